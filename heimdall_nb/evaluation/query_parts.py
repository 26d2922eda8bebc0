"""What a linter asks of a query: the paths of a MATCH, the tests of a WHERE, the items of a projection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from heimdall_nb.engines.cypher_patterns import (
    Clause,
    Hop,
    Part,
    aggregates,
    hops,
    is_node,
    is_relationship,
    read_part,
    split,
)
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, word

SHORTEST = ("SHORTESTPATH", "ALLSHORTESTPATHS")
COMPARES = ("=", "<", ">", "<=", ">=", "<>", "=~")


@dataclass
class Path:
    """One path of a MATCH: its nodes and hops, its text, and the variables that it binds or uses."""

    nodes: list[Part]
    hops: list[Hop]
    tokens: tuple[str, ...]
    variables: set[str]


@dataclass(frozen=True)
class Condition:
    """A test of `variable.property` in a WHERE or a map; `other` are the variables of the other side, where it is =."""

    variable: str
    property: str
    operator: str
    other: frozenset[str] = frozenset()


@dataclass
class Stage:
    """What one run of MATCH clauses, up to WITH or RETURN, finds."""

    paths: list[Path] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    filtered: bool = False  # anything in WHERE or in a map
    alternatives: bool = False  # OR, XOR or NOT: then no condition holds for sure
    many: bool = False  # more than one row comes in
    bound: set[str] = field(default_factory=set)  # variables that come in


def read_path(items: Sequence[Item]) -> Path:
    """Read one path of a MATCH, also one within shortestPath( )."""
    inner = next((i for k, i in enumerate(items) if isinstance(i, Group) and word(at(items, k - 1), *SHORTEST)), None)
    body = inner.items if inner is not None else items
    nodes = [read_part(i) for k, i in enumerate(body) if isinstance(i, Group) and is_node(i, at(body, k - 1))]
    links = [
        read_part(i) for k, i in enumerate(body)
        if isinstance(i, Group) and is_relationship(i, at(body, k - 1), at(body, k + 1))
    ]  # fmt: skip
    variables = {part.variable for part in [*nodes, *links] if part.variable}
    # values in maps join a path to what they name: (b {code: a.code})
    values = {
        item.text
        for part in nodes
        for k, item in enumerate(part.values)
        if named(item) and not symbol(at(part.values, k - 1), ".") and not isinstance(at(part.values, k + 1), Group)
    }
    return Path(nodes, list(hops(body)), tuple(texts(body)), variables | values)


def texts(items: Sequence[Item]) -> Iterator[str]:
    """The text of items, token by token."""
    for item in items:
        if isinstance(item, Token):
            yield f"'{item.text}'" if item.kind == "string" else item.text
        else:
            yield item.bracket
            yield from texts(item.items)
            yield {"(": ")", "[": "]", "{": "}"}[item.bracket]


def conditions(items: Sequence[Item]) -> Iterator[Condition]:
    """The tests of properties in a WHERE, those in parentheses too; sub-queries are left out."""
    for k, item in enumerate(items):
        before = at(items, k - 1)
        if isinstance(item, Group):
            if item.bracket == "(" and not (named(before) and not word(before, "AND", "OR", "NOT", "XOR", "WHERE")):
                yield from conditions(item.items)
            continue
        if not (named(item) and symbol(at(items, k + 1), ".") and named(key := at(items, k + 2))):
            continue
        if symbol(before, "."):
            continue
        operator = at(items, k + 3)
        if symbol(operator, *COMPARES) or word(operator, "IN", "STARTS", "ENDS", "CONTAINS", "IS"):
            end = next((j for j in range(k + 4, len(items)) if word(items[j], "AND", "OR", "XOR")), len(items))
            side = items[k + 4 : end]
            names = frozenset(t.text for j, t in enumerate(side) if named(t) and symbol(at(side, j + 1), "."))
            bare = frozenset(t.text for t in side if named(t)) if len(side) == 1 else frozenset()
            yield Condition(item.text, key.text, operator.text.upper(), names | bare)


def null_test(items: Sequence[Item], place: int) -> bool:
    """True when the variable at `place`, or a property of it, is tested by IS NULL."""
    place += 1
    while symbol(at(items, place), "."):
        place += 2
    return word(at(items, place), "IS") and word(at(items, place + 1), "NULL")


def tail(parts: Sequence[Clause]) -> list[Clause]:
    """The clauses that belong to a projection: ORDER, SKIP, LIMIT, WHERE."""
    found = []
    for clause in parts:
        if clause.keyword not in ("ORDER", "SKIP", "OFFSET", "LIMIT", "WHERE"):
            break
        found.append(clause)
    return found


def limit(rest: Sequence[Clause]) -> int | None:
    """The number behind LIMIT (0 where it is a parameter or an expression); None without one."""
    for clause in rest:
        if clause.keyword == "LIMIT":
            first = clause.items[0] if clause.items else None
            return int(first.text) if isinstance(first, Token) and first.text.isdigit() else 0
    return None


def aggregates_all(items: Sequence[Item]) -> bool:
    """True when each item of a projection aggregates, so that it gives one row."""
    return bool(items) and all(aggregates(entry) for entry in split(items))


def has_call(items: Sequence[Item], name: str) -> bool:
    """True when the function `name` (upper case) is called anywhere in the items."""
    return any(
        isinstance(item, Group)
        and ((item.bracket == "(" and word(at(items, k - 1), name)) or has_call(item.items, name))
        for k, item in enumerate(items)
    )


def collects_all(items: Sequence[Item]) -> bool:
    """True when collect gathers a value of each row: without DISTINCT."""
    return any(
        isinstance(item, Group)
        and (
            (word(at(items, k - 1), "COLLECT") and not word(at(item.items, 0), "DISTINCT")) or collects_all(item.items)
        )
        for k, item in enumerate(items)
    )


def sliced(items: Sequence[Item]) -> bool:
    """True where a list is cut at once: collect(…)[..5]."""
    return any(isinstance(i, Group) and i.bracket == "[" and any(symbol(t, "..") for t in i.items) for i in items)


def pairs(items: Sequence[Item]) -> Iterator[tuple[Item, Sequence[Item]]]:
    """Each item with what follows it, in all groups."""
    for k, item in enumerate(items):
        yield item, items[k + 1 :]
        if isinstance(item, Group):
            yield from pairs(item.items)


def names(group: Sequence[Path]) -> set[str]:
    """The variables of some paths."""
    return {name for path in group for name in path.variables}


def linked(first: set[str], second: set[str], links: Sequence[frozenset[str]]) -> bool:
    """True when two sets of variables share one, or a link holds one of each."""
    return bool(first & second) or any(link & first and link & second for link in links)


def title(group: Sequence[Path] | None) -> str:
    """What a group of paths is called in a hint; None are the rows that came before."""
    if group is None:
        return "the rows so far"
    part = group[0].nodes[0] if group[0].nodes else Part()
    return part.variable or f"(:{part.names[0] if part.names else ''})"


def flat(items: Sequence[Item]) -> list[Token]:
    """The tokens of items and of the groups within."""
    return [token for item in items for token in ([item] if isinstance(item, Token) else flat(item.items))]


def at(items: Sequence[Any], place: int) -> Any:
    """The item at a place; None outside."""
    return items[place] if 0 <= place < len(items) else None


def starts_distinct(items: Sequence[Item]) -> bool:
    """True for the items of WITH DISTINCT and RETURN DISTINCT."""
    return bool(items) and word(items[0], "DISTINCT")
