"""How much context an example asks for: small, medium, large or xl, by what its query does and how long it all is."""

from __future__ import annotations

from heimdall_nb.engines.cypher_tokens import Token, tokens

CONTEXT_SIZES = ("small", "medium", "large", "xl")
TOKENS = dict(zip(CONTEXT_SIZES, (512, 1024, 2048, 4096), strict=True))  # context each size is meant for
CHARACTERS_PER_TOKEN = 3.0  # low, so that what is called small fits with a tokenizer that does not know the names
_CLAUSES = frozenset("MATCH CREATE MERGE SET REMOVE DELETE UNWIND CALL UNION WITH RETURN".split())
_AGGREGATIONS = frozenset("COUNT SUM AVG MIN MAX COLLECT STDEV PERCENTILECONT PERCENTILEDISC".split())


def context_size(characters: int, query: str = "") -> str:
    """The larger of what the length of prompt and answer needs, and of what the query's structure is called.

    small: one pattern, no aggregation; medium: aggregation, ordering, a hop or several clauses; large: WITH or two
    hops; xl: five clauses and two stages, or more. An empty query counts by length alone.
    """
    needed = next((n for n, name in enumerate(CONTEXT_SIZES) if characters <= TOKENS[name] * CHARACTERS_PER_TOKEN), 3)
    return CONTEXT_SIZES[max(needed, _structure(query) if query else 0)]


def _structure(query: str) -> int:
    items = tokens(query)
    words = [item.text.upper() for before, item in zip((None, *items), items, strict=False) if _keyword(before, item)]
    clauses = sum(word in _CLAUSES for word in words)
    stages = sum(word in ("WITH", "UNION") for word in words)
    hops = sum(a.text == "-" and b.text == "[" for a, b in zip(items, items[1:], strict=False))
    if stages >= 2 and clauses >= 5:
        return 3
    if stages or hops >= 2 or "SHORTESTPATH" in words:
        return 2
    return int(hops == 1 or clauses > 2 or bool(_AGGREGATIONS.union({"ORDER", "CASE"}).intersection(words)))


def _keyword(before: Token | None, item: Token) -> bool:
    """A word that is no name after `.` or `:`, and no WITH of STARTS WITH."""
    if item.kind != "word" or (before is not None and before.text in (".", ":")):
        return False
    return not (item.is_word("WITH") and before is not None and before.is_word("STARTS", "ENDS"))
