"""The shapes in a Cypher query: its clauses, the nodes and relationships of its patterns, and single hops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, word

CLAUSES = (
    "MATCH OPTIONAL WITH RETURN WHERE ORDER SKIP OFFSET LIMIT UNWIND CREATE MERGE SET DELETE DETACH REMOVE FOREACH "
    "CALL LOAD UNION USE"
).split()

# A name before a parenthesis makes a function call, unless it is one of these keywords.
_NO_FUNCTION = (
    "MATCH WHERE AND OR XOR NOT RETURN WITH WHEN THEN ELSE CASE IN AS BY CREATE MERGE UNWIND DELETE DISTINCT ON "
    "CONTAINS SET REMOVE LIMIT SKIP FOR REQUIRE CALL IS SHORTEST ALL ANY PATHS GROUPS WALK TRAIL"
).split()
_FUNCTIONS_TOO = ("ALL", "ANY")

AGGREGATES = ("COUNT", "SUM", "AVG", "MIN", "MAX", "COLLECT", "STDEV", "STDEVP", "PERCENTILECONT", "PERCENTILEDISC")


@dataclass(frozen=True)
class Clause:
    """One clause: its keyword in upper case (empty for what stands before the first) and what follows it."""

    keyword: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Part:
    """A node or a relationship of a pattern: `(variable:names {keys: values} WHERE where)`.

    `exact` is false when a label expression says what it is not; `many` is true for a path of variable length.
    """

    variable: str | None = None
    names: tuple[str, ...] = ()
    exact: bool = True
    many: bool = False
    keys: tuple[str, ...] = ()
    values: tuple[Item, ...] = ()
    where: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Hop:
    """Two nodes and the relationship between them; `direction` is `>`, `<` or empty."""

    left: Part
    relationship: Part
    right: Part
    direction: str


def clauses(items: Sequence[Item]) -> list[Clause]:
    """Split a query or sub-query at its clause keywords (`STARTS WITH`, aliases and properties are none)."""
    found: list[Clause] = []
    keyword, body = "", []
    for place, item in enumerate(items):
        before = items[place - 1] if place else None
        after = items[place + 1] if place + 1 < len(items) else None
        if _starts_clause(item, before, after):
            found.append(Clause(keyword, tuple(body)))
            keyword, body = item.text.upper(), []
        else:
            body.append(item)
    found.append(Clause(keyword, tuple(body)))
    return [clause for clause in found if clause.keyword or clause.items]


def _starts_clause(item: Item, before: Item | None, after: Item | None) -> bool:
    if not word(item, *CLAUSES):
        return False
    if symbol(before, ".", ":", "|", "&") or symbol(after, ".", ",", "=") or word(before, "AS", "STARTS", "ENDS"):
        return False
    if word(item, "ORDER"):
        return word(after, "BY")
    if word(item, "LOAD"):
        return word(after, "CSV")
    return not (word(item, "WITH") and word(after, "HEADERS"))


def is_relationship(group: Group, before: Item | None, after: Item | None) -> bool:
    """True for the brackets of `-[…]-`."""
    return group.bracket == "[" and symbol(before, "-") and symbol(after, "-")


def is_node(group: Group, before: Item | None) -> bool:
    """True for the parentheses of a node, and of a label test `(n:Label)`, which says the same."""
    if group.bracket != "(":
        return False
    if named(before):
        function = not word(before, *_NO_FUNCTION) or (word(before, *_FUNCTIONS_TOO) and len(group.items) > 1)
        if function or word(before, "CALL"):
            return False
    rest = _after_names(group.items)
    if rest < len(group.items) and isinstance(group.items[rest], Group) and group.items[rest].bracket == "{":
        rest += 1
    elif rest < len(group.items) and isinstance(group.items[rest], Token) and group.items[rest].kind == "parameter":
        rest += 1
    return rest == len(group.items) or word(group.items[rest], "WHERE")


def _after_names(items: Sequence[Item]) -> int:
    """Where the part behind variable and labels begins."""
    place = 1 if items and named(items[0]) and not word(items[0], "WHERE") else 0
    while place < len(items):
        item, following = items[place], items[place + 1] if place + 1 < len(items) else None
        joins = symbol(item, ":", "|", "&", "!", "%") or (isinstance(item, Group) and item.bracket == "(")
        if symbol(item, ":", "|", "&", "!") and named(following):
            place += 2
        elif joins and place > 0 or symbol(item, ":"):
            place += 1
        else:
            break
    return place


def read_part(group: Group) -> Part:
    """Read a node or a relationship that `is_node` or `is_relationship` has found."""
    items = group.items
    end = _after_names(items)
    variable = items[0].text if items and named(items[0]) and end and not word(items[0], "WHERE") else None
    head = _flat(items[1 if variable is not None else 0 : end])
    where = next((place for place, item in enumerate(items) if place >= end and word(item, "WHERE")), len(items))
    maps = [item for item in items[end:where] if isinstance(item, Group) and item.bracket == "{"]
    keys, values = entries(maps[0].items) if maps else ((), ())
    return Part(
        variable=variable,
        names=tuple(item.text for item in head if item.name),
        exact=not any(symbol(item, "!", "%") for item in head),
        many=any(symbol(item, "*") for item in items[end:where]),
        keys=keys,
        values=values,
        where=tuple(items[where + 1 :]),
    )


def _flat(items: Sequence[Item]) -> list[Token]:
    return [token for item in items for token in ([item] if isinstance(item, Token) else _flat(item.items))]


def entries(items: Sequence[Item]) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    """The keys of a map, and what stands in it beside the keys and their colons."""
    keys, values = [], []
    colon_due = False
    for place, item in enumerate(items):
        following = items[place + 1] if place + 1 < len(items) else None
        if (place == 0 or symbol(items[place - 1], ",")) and named(item) and symbol(following, ":"):
            keys.append(item.text)
            colon_due = True
        elif colon_due:
            colon_due = False
        else:
            values.append(item)
    return tuple(keys), tuple(values)


def hops(items: Sequence[Item]) -> Iterator[Hop]:
    """The single hops `(a)-[r]->(b)`, `(a)--(b)` among `items`, left to right; quantified ones are left out."""
    for place, item in enumerate(items):
        before = items[place - 1] if place else None
        if not (isinstance(item, Group) and is_node(item, before)):
            continue
        end, backward, forward = place + 1, False, False
        relationship = Part()
        if end < len(items) and symbol(items[end], "<"):
            backward, end = True, end + 1
        if not (end < len(items) and symbol(items[end], "-")):
            continue
        end += 1
        if end < len(items) and isinstance(items[end], Group) and items[end].bracket == "[":
            relationship, end = read_part(items[end]), end + 1
        if not (end < len(items) and symbol(items[end], "-")):
            continue
        end += 1
        if end < len(items) and symbol(items[end], ">"):
            forward, end = True, end + 1
        if end < len(items) and isinstance(items[end], Group) and is_node(items[end], items[end - 1]):
            direction = "" if backward == forward else ("<" if backward else ">")
            yield Hop(read_part(item), relationship, read_part(items[end]), direction)


def split(items: Sequence[Item], keyword: str = "") -> list[tuple[Item, ...]]:
    """`items` cut at the commas of this level, or at a keyword; nothing for what is empty."""
    parts: list[list[Item]] = [[]]
    for item in items:
        if word(item, keyword) if keyword else symbol(item, ","):
            parts.append([])
        else:
            parts[-1].append(item)
    return [tuple(part) for part in parts if part]


def aggregates(items: Sequence[Item]) -> bool:
    """True when an aggregate function is called anywhere among `items`."""
    for place, item in enumerate(items):
        if isinstance(item, Group):
            called = place and item.bracket == "(" and word(items[place - 1], *AGGREGATES)
            if called or aggregates(item.items):
                return True
    return False
