"""Patterns of a Cypher query in plain English: `every person that acted in a movie`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from heimdall_nb.dataset.describe_expressions import Reader
from heimdall_nb.dataset.describe_words import Names, NotUnderstood, Ref, Scope, Spoken, item_at, pairs
from heimdall_nb.dataset.words import listed
from heimdall_nb.engines.cypher_patterns import Part, is_node, is_relationship, read_part, split
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, word

# Before a pattern that starts from a node already named: `the person directed a movie`.
_CASE = {"every": "every case in which ", "a": "", "new": "a link so that "}


class Patterns:
    """Reads patterns, and notes in `scope` what their variables stand for."""

    def __init__(self, items: Sequence[Item], names: Names) -> None:
        self.names = names
        self.scope: Scope = {}
        self.letters = _letters(items)

    def value(self, items: Sequence[Item]) -> Spoken:
        """The English of an expression."""
        return Reader(items, self.scope, self.names, self.within).whole()

    def within(self, items: Sequence[Item], scope: Scope) -> str:
        """A pattern inside an expression, with its condition; what it binds goes into `scope`."""
        where = next((k for k, item in enumerate(items) if word(item, "WHERE")), len(items))
        outer, self.scope = self.scope, scope
        try:
            said = listed([self.path(path, "a") for path in split(items[:where])])
            if where < len(items):
                said += f" where {self.value(items[where + 1 :]).text}"
        finally:
            self.scope = outer
        return said

    def path(self, items: Sequence[Item], article: str, new: bool = False) -> str:
        """`every person that acted in a movie`: one path of a pattern. What it binds goes into the scope."""
        name = ""
        if len(items) > 2 and named(items[0]) and symbol(items[1], "="):
            name, items = items[0].text, items[2:]
        shortest = ""
        if len(items) == 2 and word(items[0], "SHORTESTPATH", "ALLSHORTESTPATHS") and isinstance(items[1], Group):
            shortest = "the shortest path, " if word(items[0], "SHORTESTPATH") else "all shortest paths, "
            items = items[1].items
        if not items or not isinstance(items[0], Group) or not is_node(items[0], None):
            raise NotUnderstood("a pattern")
        left = read_part(items[0])
        bound = left.variable in self.scope and len(items) > 1
        said, place, verb = self.node(items[0], left, article), 1, "" if bound else "that "
        while place < len(items):
            backward = symbol(items[place], "<")
            place += int(backward)
            if not symbol(item_at(items, place), "-"):
                raise NotUnderstood("a pattern")
            link = item_at(items, place + 1)
            link = link if isinstance(link, Group) and link.bracket == "[" else None
            place += 2 if link else 1
            if not symbol(item_at(items, place), "-"):
                raise NotUnderstood("a pattern")
            forward = symbol(item_at(items, place + 1), ">")
            place += 2 if forward else 1
            group = item_at(items, place)
            if not isinstance(group, Group) or not is_node(group, items[place - 1]):
                raise NotUnderstood("a pattern")
            right = read_part(group)
            direction = "" if forward == backward else ">" if forward else "<"
            said += f" {verb}{self.link(link, direction, left, right)} {self.node(group, right, 'a')}"
            left, place, verb = right, place + 1, "that "
        if bound:
            said = f"{_CASE[article if not new else 'new']}{said}"
        if name:
            self.scope[name] = Ref(f"the path {name}")
            said = f"{shortest or 'the path '}{name}, of {said}"
        elif shortest:
            said = f"{shortest}of {said}"
        return said

    def node(self, group: Group, part: Part, article: str) -> str:
        if part.where or not part.exact or any(isinstance(i, Token) and i.kind == "parameter" for i in group.items[1:]):
            raise NotUnderstood("a pattern")
        if part.variable in self.scope and part.variable is not None:
            if part.names or part.keys:
                raise NotUnderstood("a variable that is bound twice")
            return self.scope[part.variable].the
        joined = " or " if any(symbol(item, "|") for item in group.items) else " and "
        noun = joined.join(self.names.label(name) for name in part.names) or "node"
        letter = self.letters.get(part.variable or "", "")
        noun = f"{noun} {letter}".strip()
        if part.variable:
            the = noun if letter else f"the {noun}"
            self.scope[part.variable] = Ref(the, part.names, "node")
        an = "an" if noun[0].lower() in "aeio" else "a"
        return f"{an if article == 'a' else article} {noun}{self.properties(group, part.names)}"

    def properties(self, group: Group, owners: Sequence[str]) -> str:
        maps = [item for item in group.items if isinstance(item, Group) and item.bracket == "{"]
        found = pairs(maps[0]) if maps else []
        said = [f"the {self.names.property(owners, name)} {self.value(value).text}" for name, value in found]
        return f" with {listed(said)}" if said else ""

    def link(self, group: Group | None, direction: str, left: Part, right: Part) -> str:
        """The verb between two nodes."""
        if group is None:
            return {">": "has any relationship to", "<": "has any relationship from"}.get(
                direction, "has any relationship, in either direction, with"
            )
        part = read_part(group)
        if part.where or not part.exact:
            raise NotUnderstood("a pattern")
        if part.variable:
            types = " or ".join(part.names)
            bound = Ref(f"the {types} link" if types else "the link", part.names, "value" if part.many else "link")
            if part.variable in self.scope or any(ref.the == bound.the for ref in self.scope.values()):
                raise NotUnderstood("a variable that is bound twice")
            self.scope[part.variable] = bound
        verb = self._verb(part, direction, left, right)
        many = _many(group) if part.many else ""
        held = self.properties(group, part.names)
        return f"{verb}{f' ({many})' if many else ''}{f' (link{held})' if held else ''}"

    def _verb(self, part: Part, direction: str, left: Part, right: Part) -> str:
        ends = [self._labels(left), self._labels(right)]
        start, end = reversed(ends) if direction == "<" else ends
        if self.names.schema and direction and len(part.names) == 1:
            for item in self.names.schema.relationships:
                fits = (not start or item.start in start) and (not end or item.end in end)
                if item.type == part.names[0] and fits and item.says and item.back:
                    return item.back if direction == "<" else item.says
        types = f"a relationship {' or '.join(part.names)}" if part.names else "any relationship"
        way = {">": "to", "<": "from"}.get(direction, "in either direction with")
        return f"has {types} {way}"

    def _labels(self, part: Part) -> tuple[str, ...]:
        ref = self.scope.get(part.variable or "")
        return part.names or (ref.names if ref else ())


def _many(group: Group) -> str:
    """The number of steps of `*1..3`."""
    star = next(k for k, item in enumerate(group.items) if symbol(item, "*"))
    items = [item for item in group.items[star + 1 :] if isinstance(item, Token)]
    numbers = [item.text for item in items if item.kind == "number"]
    dots = next((k for k, item in enumerate(items) if symbol(item, "..")), None)
    if dots is None:
        return f"in {numbers[0]} steps" if numbers else "in any number of steps"
    if len(numbers) == 2:
        return f"in {numbers[0]} to {numbers[1]} steps"
    if not numbers:
        return "in one or more steps"
    return f"in up to {numbers[0]} steps" if dots == 0 else f"in {numbers[0]} or more steps"


def _letters(items: Sequence[Item]) -> dict[str, str]:
    """Letters A, B, C … for the variables of nodes that share their labels with other nodes of the query."""
    labels: dict[str, tuple[str, ...]] = {}
    for number, part in enumerate(_nodes(items)):
        name = part.variable or f" {number}"
        labels[name] = labels.get(name) or part.names
    sizes = Counter(labels.values())
    shared = [name for name, own in labels.items() if sizes[own] > 1 and not name.startswith(" ")]
    if len(shared) > 26:
        raise NotUnderstood("more than 26 nodes")
    return {name: chr(ord("A") + place) for place, name in enumerate(shared)}


def _nodes(items: Sequence[Item]) -> Iterator[Part]:
    for place, item in enumerate(items):
        if not isinstance(item, Group):
            continue
        before, after = item_at(items, place - 1), item_at(items, place + 1)
        if is_node(item, before):
            yield read_part(item)
        elif not is_relationship(item, before, after):
            yield from _nodes(item.items)
