"""What a gold query says about the order of its rows and lists, read from its token tree; nothing is run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heimdall_nb.engines.cypher_patterns import Clause, clauses
from heimdall_nb.engines.cypher_tokens import Token, quoted, symbol, tokens, tree, word

KEY = "heimdall_sort_key_"  # columns that a variant adds
_SKIPS = ("SKIP", "OFFSET")


@dataclass(frozen=True)
class Variant:
    """A query that also returns the sort keys of the gold, and the rows that its SKIP and LIMIT hide.

    `keys` are the columns of the sort keys: numbers of the gold's own columns, or names of added ones.
    """

    query: str
    keys: tuple[int | str, ...]
    skip: int


@dataclass(frozen=True)
class _Span:
    """A clause with its place in the query: `start` of its keyword, `body` after it, `end` where the next begins."""

    clause: Clause
    start: int
    body: int
    end: int


def ordered(query: str) -> bool:
    """True when the outermost RETURN of `query` orders its rows; an ORDER BY of a sub-query or of WITH does not count.

    Of a UNION only a part would be ordered, so the whole is not.
    """
    tail = _tail(query)
    return any(span.clause.keyword == "ORDER" for span in tail)


def variant(query: str, columns: Sequence[str]) -> Variant | None:
    """The query that shows what the order of `query` leaves open, or None where there is nothing to show or no way.

    `columns` are those of its result. Nothing to show: neither ORDER BY nor SKIP or LIMIT in the outermost RETURN. No
    way: UNION, no RETURN, a SKIP or LIMIT that is no plain number.
    """
    query = _without_semicolon(query)
    tail = {span.clause.keyword: span for span in _tail(query)}
    skips = [span.clause for keyword, span in tail.items() if keyword in _SKIPS]
    limits = [*skips, *(span.clause for keyword, span in tail.items() if keyword == "LIMIT")]
    if not limits and "ORDER" not in tail or not all(map(_plain_number, limits)):
        return None
    skip = int(_plain_number(skips[0]) or 0) if skips else 0
    returned, order = tail["RETURN"], tail.get("ORDER")
    head, body = query[: returned.body], query[returned.body : returned.end].rstrip()
    if order is None:
        return Variant(head + body, (), skip)
    star = len(returned.clause.items) == 1 and symbol(returned.clause.items[0], "*")
    projection = _projection(query, returned) if not star else [(_signature(quoted(c)), c, quoted(c)) for c in columns]
    keys, added = _sort_keys(query, order, projection)
    body = " " + ", ".join(map(quoted, columns)) if star else body
    extra = "".join(f"\n, {text}\n AS {KEY}{k}" for k, text in enumerate(added))
    return Variant(f"{head}{body}{extra}\n{query[order.start : order.end]}", keys, skip)


def _without_semicolon(query: str) -> str:
    found = tokens(query)
    while found and found[-1].text == ";" and found[-1].kind == "symbol":
        query = query[: found[-1].start]
        found = tokens(query)
    return query


def _spans(query: str) -> list[_Span]:
    items = tree(query)
    places: list[tuple[Clause, int, int]] = []
    index = 0
    for clause in clauses(items):
        if clause.keyword:
            keyword = items[index]
            assert isinstance(keyword, Token)
            places.append((clause, keyword.start, keyword.start + len(keyword.text)))
            index += 1
        index += len(clause.items)
    ends = [start for _, start, _ in places[1:]] + [len(query)] if places else []
    return [_Span(clause, start, body, end) for (clause, start, body), end in zip(places, ends, strict=True)]


def _tail(query: str) -> list[_Span]:
    """The last RETURN at the outermost level with what follows it; empty for a UNION, and where there is none."""
    spans = _spans(query)
    keywords = [span.clause.keyword for span in spans]
    if "RETURN" not in keywords or "UNION" in keywords:
        return []
    return spans[len(keywords) - 1 - keywords[::-1].index("RETURN") :]


def _plain_number(clause: Clause) -> str | None:
    item = clause.items[0] if len(clause.items) == 1 else None
    return item.text if isinstance(item, Token) and item.kind == "number" and item.text.isdigit() else None


def _pieces(query: str, span: _Span, after: int) -> list[str]:
    """The texts between the commas of a clause, from the offset `after`."""
    commas = [item.start for item in span.clause.items if isinstance(item, Token) and symbol(item, ",")]
    starts, ends = [after, *(comma + 1 for comma in commas)], [*commas, span.end]
    return [query[a:b] for a, b in zip(starts, ends, strict=True)]


_Signature = tuple[tuple[str, str], ...]


def _signature(text: str) -> _Signature:
    """The tokens of an expression without places; a plain name equals a back-ticked one."""
    return tuple(("name" if t.name else t.kind, t.text) for t in tokens(text))


def _projection(query: str, returned: _Span) -> list[tuple[_Signature, str, str]]:
    """(signature, alias or nothing, text) of each item of a RETURN."""
    first = returned.clause.items[0] if returned.clause.items else None
    distinct = isinstance(first, Token) and word(first, "DISTINCT")
    found = []
    for piece in _pieces(query, returned, first.start + len(first.text) if distinct else returned.body):
        items = tokens(piece)
        aliased = len(items) > 2 and items[-2].is_word("AS") and items[-1].name
        text = piece[: items[-2].start] if aliased else piece
        found.append((_signature(text), items[-1].text if aliased else "", text.strip()))
    return found


def _sort_keys(
    query: str, order: _Span, projection: Sequence[tuple[_Signature, str, str]]
) -> tuple[tuple[int | str, ...], list[str]]:
    """(columns of the sort keys, expressions that the RETURN lacks): a key is found by its alias or its text."""
    aliases = {alias: (k, text) for k, (_, alias, text) in enumerate(projection) if alias}
    expressions = [signature for signature, _, _ in projection]
    counted = (("symbol", "*"),) not in expressions  # with `*` the numbers of the columns are not known
    by = order.clause.items[0]
    assert isinstance(by, Token)
    keys: list[int | str] = []
    added: list[str] = []
    for piece in _pieces(query, order, by.start + len(by.text)):
        items = tokens(piece)
        if items and items[-1].is_word("ASC", "DESC", "ASCENDING", "DESCENDING"):
            piece = piece[: items[-1].start]
        signature = _signature(piece)
        if counted and len(signature) == 1 and signature[0][1] in aliases:
            keys.append(aliases[signature[0][1]][0])
        elif counted and signature in expressions:
            keys.append(expressions.index(signature))
        else:
            keys.append(f"{KEY}{len(added)}")
            added.append(_substituted(piece, aliases))
    return tuple(keys), added


def _substituted(piece: str, aliases: dict[str, tuple[int, str]]) -> str:
    """The expression with the aliases of the RETURN replaced by what they stand for."""
    found = tokens(piece)
    parts, place = [], 0
    for k, token in enumerate(found):
        before, after = (found[k - 1] if k else None), (found[k + 1] if k + 1 < len(found) else None)
        plain = token.name and not symbol(before, ".", ":", "$") and not symbol(after, "(", ":")
        if plain and token.text in aliases:
            raw = len(token.text) + (2 + token.text.count("`") if token.kind == "quoted" else 0)
            parts += [piece[place : token.start], "(", aliases[token.text][1], "\n)"]
            place = token.start + raw
    return "".join([*parts, piece[place:]]).strip()
