"""The structure of a query without its names and values: what two queries on different graphs have in common."""

from __future__ import annotations

from itertools import pairwise

from heimdall_nb.engines.cypher_patterns import CLAUSES
from heimdall_nb.engines.cypher_tokens import Token, tokens

_WORDS = "AND OR XOR NOT AS IN IS NULL BY ASC DESC DISTINCT CASE WHEN THEN ELSE END EXISTS CONTAINS STARTS ENDS"
_KEYWORDS = frozenset([*CLAUSES, *_WORDS.split()])


def skeleton(query: str) -> frozenset[tuple[str, str]]:
    """The structure of a query: the pairs of neighbours among its keywords, functions and symbols.

    Names become `_` and values `□`, so that queries on different labels can have the same structure.
    """
    items = tokens(query)
    ends = [Token("symbol", "", -1)]
    around = zip([*ends, *items], items, [*items[1:], *ends], strict=False)
    return frozenset(pairwise(_mark(*three) for three in around))


def _mark(before: Token, item: Token, after: Token) -> str:
    if item.kind in ("string", "number", "parameter"):
        return "□"
    if not item.name:
        return item.text
    named = before.text in (".", ":", "|") or after.text == ":"  # a property, label or type, whatever it is called
    return item.text.upper() if not named and (item.is_word(*_KEYWORDS) or after.text == "(") else "_"
