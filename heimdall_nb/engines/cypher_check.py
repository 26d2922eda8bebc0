"""Does a Cypher query name only what the schema has? Labels, relationship types, properties, directions, end points.

An engine answers a query about `(:Persn)` with no rows; this check says that there is no such label. It reads the
query by scope (WITH, UNION, sub-queries, comprehensions) and stays silent where it cannot know what a variable holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from heimdall_nb.engines.cypher_patterns import (
    Clause,
    Hop,
    Part,
    clauses,
    entries,
    hops,
    is_node,
    is_relationship,
    read_part,
)
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, tree, word

BLOCKS = ("EXISTS", "COUNT", "COLLECT", "CALL")


@dataclass(frozen=True)
class SchemaNames:
    """The names of a schema: properties per label and per relationship type, and which type leads where."""

    labels: dict[str, set[str]]
    relationships: dict[str, set[str]]
    ends: set[tuple[str, str, str]] = field(default_factory=set)  # (start label, type, end label)


@dataclass(frozen=True)
class _Bound:
    """What a variable holds: `kind` node, relationship or other; `names` its labels or types, empty when not known."""

    kind: str
    names: frozenset[str] = frozenset()


_OTHER = _Bound("other")
Scope = dict[str, _Bound]


def name_faults(query: str, schema: SchemaNames) -> list[str]:
    """Each thing that `query` names and `schema` does not have, as a sentence; empty when there is none.

    A name inside a string, a comment or a plain map is not looked at. Never raises: what does not parse is the
    engine's to refuse.
    """
    checker = _Checker(schema)
    try:
        checker.block(tree(query), {})
    except RecursionError:
        return ["the query is nested too deeply to be checked"]
    return list(dict.fromkeys(checker.faults))


class _Checker:
    def __init__(self, schema: SchemaNames) -> None:
        self.schema = schema
        self.faults: list[str] = []

    def block(self, items: Sequence[Item], inherited: Scope) -> Scope:
        """Check one query or sub-query; returns what its RETURN gives to the outside."""
        scope, returned = dict(inherited), {}
        projecting: Scope | None = None  # what WITH lets through; its WHERE and ORDER BY still see what was before
        for clause in clauses(items):
            if projecting is not None and clause.keyword not in ("WHERE", "ORDER", "SKIP", "OFFSET", "LIMIT"):
                scope, projecting = projecting, None
            if clause.keyword == "UNION":
                scope = dict(inherited)
            self.clause(clause, scope if projecting is None else scope | projecting)
            if clause.keyword in ("WITH", "RETURN"):
                projecting = _projection(clause.items, scope)
                returned = projecting if clause.keyword == "RETURN" else returned
        return returned

    def clause(self, clause: Clause, scope: Scope) -> None:
        items = clause.items
        if clause.keyword == "CALL":
            items = self.call(items, scope)
        elif clause.keyword in ("UNWIND", "LOAD"):
            scope.update({items[k + 1].text: _OTHER for k in _places(items, "AS") if named(_at(items, k + 1))})
        self.bind(items, scope, clause.keyword in ("MATCH", "CREATE", "MERGE"))
        self.check(items, scope)

    def call(self, items: Sequence[Item], scope: Scope) -> Sequence[Item]:
        """A procedure's YIELD binds variables; a sub-query sees what it imports. Returns what is left to check."""
        place = next((k for k, item in enumerate(items) if isinstance(item, Group) and item.bracket == "{"), None)
        if place is None:
            for item in items[next(_places(items, "YIELD"), len(items)) :]:
                if named(item):
                    scope[item.text] = _OTHER
            return [item for item in items if isinstance(item, Group)]
        inner = items[place]
        assert isinstance(inner, Group)
        inside: Scope = dict(scope) if inner.starts_with("WITH") else {}
        if place and isinstance(items[place - 1], Group):
            imports = [item for item in items[place - 1].items if isinstance(item, Token)]
            everything = any(symbol(item, "*") for item in imports)
            inside = dict(scope) if everything else {i.text: scope[i.text] for i in imports if i.text in scope}
        scope.update(self.block(inner.items, inside))
        return items[place + 1 :]

    def bind(self, items: Sequence[Item], scope: Scope, pattern: bool = False) -> None:
        """Note what the patterns among `items` say about their variables; inner scopes are left to `check`."""
        for place, item in enumerate(items):
            before, after = _at(items, place - 1), _at(items, place + 1)
            if symbol(item, "=") and named(before) and pattern:
                scope[before.text] = _OTHER  # a path
            if not isinstance(item, Group):
                continue
            if is_relationship(item, before, after):
                self._bind_part(read_part(item), "relationship", scope)
            elif is_node(item, before):
                part = read_part(item)
                joined = symbol(before, "-", ">") or symbol(after, "-", "<") or pattern
                if part.names or part.keys or joined:
                    self._bind_part(part, "node", scope)
            elif item.bracket == "(" and _local(item) is None:
                self.bind(item.items, scope, pattern)

    def _bind_part(self, part: Part, kind: str, scope: Scope) -> None:
        if part.variable is None:
            return
        bound = scope.get(part.variable)
        names = frozenset(part.names) if part.exact else frozenset()
        if part.many:
            scope[part.variable] = _OTHER
        elif bound is None:
            scope[part.variable] = _Bound(kind, names)
        elif bound.kind == kind and names:
            scope[part.variable] = _Bound(kind, bound.names | names)

    def check(self, items: Sequence[Item], scope: Scope) -> None:
        """Report what is wrong in `items`, and in the groups within."""
        for hop in hops(items):
            self._hop(hop, scope)
        for place, item in enumerate(items):
            before, after = _at(items, place - 1), _at(items, place + 1)
            if isinstance(item, Group):
                self._group(item, before, after, scope)
            elif item.name and not symbol(before, ".") and symbol(after, "."):
                self._chain(items, place, scope)
            elif symbol(item, ":") and named(before) and not word(before, "IS"):
                self._label_test(items, place, scope)

    def _group(self, group: Group, before: Item | None, after: Item | None, scope: Scope) -> None:
        if group.bracket == "{":
            self._braces(group, before, scope)
        elif is_relationship(group, before, after):
            self._part(read_part(group), "relationship", scope)
        elif is_node(group, before):
            self._part(read_part(group), "node", scope)
        else:
            inner = dict(scope)
            if (local := _local(group)) is not None:
                inner[local] = _OTHER
            if group.bracket == "[":
                self.bind(group.items, inner)
            self.check(group.items, inner)

    def _braces(self, group: Group, before: Item | None, scope: Scope) -> None:
        if word(before, *BLOCKS):
            self.block(group.items, scope)
            return
        if named(before):  # a map projection: p {.name, .born}
            for place, item in enumerate(group.items):
                dotted = symbol(item, ".") and (place == 0 or symbol(group.items[place - 1], ","))
                if dotted and named(key := _at(group.items, place + 1)):
                    self._property(before.text, key.text, scope)
        self.check(entries(group.items)[1], scope)

    def _part(self, part: Part, kind: str, scope: Scope) -> None:
        known = self.schema.labels if kind == "node" else self.schema.relationships
        self._names(part.names, kind)
        if part.keys:
            bound = scope.get(part.variable or "", _Bound(kind, frozenset(part.names) if part.exact else frozenset()))
            for key in part.keys:
                self._owned(key, kind, bound.names, known)
        self.check(part.values, scope)
        self.check(part.where, scope)

    def _names(self, names: Sequence[str], kind: str) -> None:
        known = self.schema.labels if kind == "node" else self.schema.relationships
        called = "label" if kind == "node" else "relationship type"
        self.faults += [f"{called} {name} is not in the schema" for name in names if name not in known]

    def _label_test(self, items: Sequence[Item], place: int, scope: Scope) -> None:
        # `n:Person` outside a pattern. In a comprehension `|` ends the condition, so only `:` and `&` go on.
        name = items[place - 1].text
        bound = scope.get(name)
        while symbol(_at(items, place), ":", "&") and named(label := _at(items, place + 1)):
            if bound is not None and bound.kind != "other":
                self._names([label.text], bound.kind)
                if bound.names:
                    bound = scope[name] = _Bound(bound.kind, bound.names | {label.text})
            place += 2

    def _chain(self, items: Sequence[Item], place: int, scope: Scope) -> None:
        end = place + 1
        while symbol(_at(items, end), ".") and named(_at(items, end + 1)):
            end += 2
        call = isinstance(following := _at(items, end), Group) and following.bracket == "("
        if end > place + 1 and not call:
            self._property(items[place].text, items[place + 2].text, scope)

    def _property(self, variable: str, key: str, scope: Scope) -> None:
        bound = scope.get(variable, _OTHER)
        if bound.kind != "other":
            known = self.schema.labels if bound.kind == "node" else self.schema.relationships
            self._owned(key, bound.kind, bound.names, known)

    def _owned(self, key: str, kind: str, names: frozenset[str], known: dict[str, set[str]]) -> None:
        if not all(name in known for name in names):
            return  # the name itself is reported already
        if any(key in known[name] for name in (names or known)):
            return
        if names:
            self.faults.append(f"property {key} is not a property of {' or '.join(sorted(names))}")
        else:
            self.faults.append(
                f"property {key} is not a property of any {'label' if kind == 'node' else kind + ' type'}"
            )

    def _hop(self, hop: Hop, scope: Scope) -> None:
        types = [name for name in hop.relationship.names if hop.relationship.exact]
        if not types or hop.relationship.many or any(name not in self.schema.relationships for name in types):
            return
        left, right = self._labels(hop.left, scope), self._labels(hop.right, scope)
        forward = any(self._leads(left, name, right) for name in types)
        backward = any(self._leads(right, name, left) for name in types)
        if (hop.direction != "<" and forward) or (hop.direction != ">" and backward):
            return
        start, end = (right, left) if hop.direction == "<" else (left, right)
        place = (
            f"from {_either(start)} to {_either(end)}"
            if hop.direction
            else f"between {_either(left)} and {_either(right)}"
        )
        self.faults.append(f"relationship type {' or '.join(types)} does not lead {place}")

    def _labels(self, part: Part, scope: Scope) -> frozenset[str]:
        names = frozenset(part.names) if part.exact else frozenset()
        if part.variable and (bound := scope.get(part.variable)) is not None:
            names = bound.names if bound.kind == "node" else frozenset()
        return names if all(name in self.schema.labels for name in names) else frozenset()

    def _leads(self, start: frozenset[str], name: str, end: frozenset[str]) -> bool:
        return any(
            kind == name and (not start or a in start) and (not end or b in end) for a, kind, b in self.schema.ends
        )


def _either(names: frozenset[str]) -> str:
    return " or ".join(sorted(names)) or "any label"


def _at(items: Sequence[Item], place: int) -> Item | None:
    return items[place] if 0 <= place < len(items) else None


def _places(items: Sequence[Item], *words: str) -> Iterator[int]:
    return (place for place, item in enumerate(items) if word(item, *words))


def _local(group: Group) -> str | None:
    """The variable that a comprehension or a quantifier binds: `x` of `[x IN …]`, `any(x IN …)`."""
    for place, item in enumerate(group.items):
        starts = place == 0 or symbol(group.items[place - 1], ",")
        if starts and named(item) and word(_at(group.items, place + 1), "IN"):
            return item.text
    return None


def _projection(items: Sequence[Item], scope: Scope) -> Scope:
    """The scope after `WITH items` or `RETURN items`: variables that pass through keep what is known of them."""
    passed: Scope = {}
    entry: list[Item] = []
    for item in [*items, None]:
        if item is not None and not symbol(item, ","):
            if not word(item, "DISTINCT"):
                entry.append(item)
            continue
        if len(entry) == 1 and symbol(entry[0], "*"):
            passed.update(scope)
        elif len(entry) == 1 and named(entry[0]):
            passed[entry[0].text] = scope.get(entry[0].text, _OTHER)
        elif len(entry) >= 3 and word(entry[-2], "AS") and named(entry[-1]):
            plain = len(entry) == 3 and named(entry[0])
            passed[entry[-1].text] = scope.get(entry[0].text, _OTHER) if plain else _OTHER
        entry = []
    return passed
