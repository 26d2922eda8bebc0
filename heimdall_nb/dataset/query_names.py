"""The names that a Cypher query takes from a graph: its labels, relationship types and properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from heimdall_nb.engines.cypher_patterns import Part, entries, is_node, is_relationship, read_part
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, tree, word

_SCHEMA_OBJECTS = ("INDEX", "CONSTRAINT", "DATABASE", "ALIAS")
_BEFORE_OBJECTS = "CREATE DROP ALTER REPLACE VECTOR FULLTEXT RANGE TEXT POINT LOOKUP UNIQUE COMPOSITE USE".split()
_COMPONENTS = (
    "year quarter month week day hour minute second dayOfWeek ordinalDay epochMillis epochSeconds "
    "years months weeks days hours minutes seconds"
).split()
_BETWEEN = ("IF", "NOT", "EXISTS")
_NO_NAMES = ("FOR", "ON", "WAIT", "NOWAIT", "OPTIONS", "IF", "YIELD", "WHERE")


@dataclass
class Names:
    """Names in the order of their first use. `objects` are indexes, constraints and databases that the query names."""

    labels: dict[str, None] = field(default_factory=dict)
    types: dict[str, None] = field(default_factory=dict)
    properties: dict[str, None] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)  # properties that do more than being compared with a literal
    variables: dict[str, None] = field(default_factory=dict)  # of two letters or more, and aliases
    objects: dict[str, None] = field(default_factory=dict)


def used_names(query: str) -> Names:
    """The names of a query. What stands in a string, or is the key of a plain map, is no name."""
    found = Names()
    try:
        _walk(tree(query), found)
    except RecursionError:
        return Names()
    return found


def _walk(items: Sequence[Item], found: Names) -> None:
    for place, item in enumerate(items):
        before, after = _at(items, place - 1), _at(items, place + 1)
        if isinstance(item, Group):
            _group(item, before, after, found)
        elif symbol(item, ".") and named(after) and not symbol(_at(items, place + 2), ":"):  # no key of a map
            of_value = symbol(_at(items, place - 2), ".") or isinstance(before, Group)
            component = after.text in _COMPONENTS and of_value  # a.opened.year, date().year
            if not component and not _called(items, place):
                _property(after.text, _compared(items, place + 2) or _same(items, place), found)
        elif symbol(item, ":") and named(before) and named(after):
            found.labels[after.text] = None  # a label test outside a pattern: `n:Person`
        elif word(item, "AS") and named(after):
            found.variables[after.text] = None
        elif word(item, *_SCHEMA_OBJECTS) and word(before, *_BEFORE_OBJECTS):
            _object(items, place + 1, found)


def _group(group: Group, before: Item | None, after: Item | None, found: Names) -> None:
    if is_relationship(group, before, after):
        _part(read_part(group), found.types, found)
    elif is_node(group, before):
        _part(read_part(group), found.labels, found)
    elif group.bracket == "{" and not word(before, "EXISTS", "COUNT", "COLLECT", "CALL"):
        keys, values = entries(group.items)
        if symbol(before, "+=", "="):  # SET n += {name: …}
            for key in keys:
                _property(key, False, found)
        _walk(values, found)
    else:
        _walk(group.items, found)


def _part(part: Part, names: dict[str, None], found: Names) -> None:
    names.update(dict.fromkeys(part.names))
    for key in part.keys:
        _property(key, True, found)
    if part.variable and len(part.variable) > 1:
        found.variables[part.variable] = None
    _walk(part.values, found)
    _walk(part.where, found)


def _property(name: str, compared: bool, found: Names) -> None:
    found.properties[name] = None
    found.shown.update(() if compared else (name,))


def _compared(items: Sequence[Item], place: int) -> bool:
    """Whether `= literal`, `<> literal` or `IN [literals]` stands at a place."""
    value = _at(items, place + 1)
    if word(_at(items, place), "IN"):
        return isinstance(value, Group) and value.bracket == "["
    literal = isinstance(value, Token) and value.kind in ("string", "number", "parameter")
    return symbol(_at(items, place), "=", "<>") and literal


def _same(items: Sequence[Item], place: int) -> bool:
    """Whether the property after the dot at `place` is compared with that of another variable: `a.name < b.name`.

    This says that two nodes differ, or that a pair is counted once.
    """
    name, signs = _at(items, place + 1), ("<", ">", "<>")
    left, right = _at(items, place - 3), _at(items, place + 4)
    assert isinstance(name, Token)
    before = symbol(_at(items, place - 2), *signs) and named(left) and left.text == name.text
    after = symbol(_at(items, place + 2), *signs) and named(_at(items, place + 3)) and symbol(right, ".")
    following = _at(items, place + 5)
    return before or (after and named(following) and following.text == name.text)


def _called(items: Sequence[Item], place: int) -> bool:
    """Whether the dot stands in the name of a function or procedure: `apoc.text.join(…)`, `CALL db.labels`."""
    start, end = place, place
    while symbol(_at(items, start), ".") and named(_at(items, start - 1)):
        start -= 2
    while symbol(_at(items, end), ".") and named(_at(items, end + 1)):
        end += 2
    following = _at(items, end)
    return (isinstance(following, Group) and following.bracket == "(") or word(_at(items, start), "CALL")


def _object(items: Sequence[Item], place: int, found: Names) -> None:
    while word(_at(items, place), *_BETWEEN):
        place += 1
    name = _at(items, place)
    if named(name) and not word(name, *_NO_NAMES):
        assert isinstance(name, Token)
        found.objects[name.text] = None


def _at(items: Sequence[Item], place: int) -> Item | None:
    return items[place] if 0 <= place < len(items) else None
