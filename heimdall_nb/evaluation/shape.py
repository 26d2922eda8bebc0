"""What a Cypher query asks for, read from its tree: nodes, hops, conditions, columns, order, changes; no variables.

Two queries that differ in variables, aliases, inline maps or the side an arrow is written from have the same shape, so
that what is left between two shapes is a difference that can be named (`evaluation.errors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from heimdall_nb.engines.cypher_patterns import (
    Part,
    aggregates,
    clauses,
    hops,
    is_node,
    is_relationship,
    read_part,
    split,
)
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, tree, word
from heimdall_nb.evaluation.terms import (
    CLOSING,
    MIRRORED,
    Expression,
    Term,
    aggregate_calls,
    comparison,
    token_terms,
    unwrapped,
    without_asc,
)

_READS_PATTERN = ("MATCH", "CREATE", "MERGE")


@dataclass(frozen=True)
class Link:
    """A hop from `start` to `end` (numbers of nodes); without direction where `directed` is false.

    `role` is what it is there for: match, optional, exists, create or merge; `bounds` is the text behind `*`.
    """

    start: int
    end: int
    number: int
    types: tuple[str, ...]
    directed: bool
    bounds: str
    role: str


@dataclass(frozen=True)
class Condition:
    """One comparison: `subject operator value`; the operator begins with NOT where it is negated."""

    subject: Expression
    operator: str
    value: Expression


@dataclass
class Shape:
    """All that a query asks for. `nodes` are the labels of each node, by its number."""

    nodes: list[tuple[str, ...]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    logic: list[object] = field(default_factory=list)  # how each WHERE joins its conditions
    aggregates: list[Expression] = field(default_factory=list)
    grouping: list[Expression] = field(default_factory=list)
    columns: list[Expression] = field(default_factory=list)
    order: list[Expression] = field(default_factory=list)
    limits: list[Expression] = field(default_factory=list)
    changes: list[Condition] = field(default_factory=list)
    distinct: int = 0  # WITH DISTINCT and RETURN DISTINCT
    steps: list[str] = field(default_factory=list)  # the clause keywords, and what CALL calls


def shape(query: str) -> Shape:
    """The shape of a query. Never fails: of what is no Cypher, it holds what can be read."""
    reader = _Reader()
    reader.block(tree(query), {})
    return reader.shape


Scope = dict[str, Expression]


class _Reader:
    """Reads the clauses in order; a scope says what each name stands for."""

    def __init__(self) -> None:
        self.shape = Shape()

    def block(self, items: Sequence[Item], inherited: Scope, role: str = "match") -> Scope:
        """Read a query, or a sub-query with the names that it inherits."""
        scope = dict(inherited)
        before = ""
        for clause in clauses(items):
            keyword, body = clause.keyword, clause.items
            if keyword:
                self.shape.steps.append(keyword)
            if keyword == "UNION":
                scope = dict(inherited)
            if body and word(body[-1], "ON"):  # ON CREATE SET …, which the clauses of MERGE end with
                body = body[:-1]
            scope = self._clause(keyword, body, scope, role, before)
            before = keyword if body else f"{before} ON {keyword}"
        return scope

    def _clause(self, keyword: str, items: Sequence[Item], scope: Scope, role: str, before: str) -> Scope:
        if role == "match" and before.endswith("OPTIONAL"):
            role = "optional"
        if keyword in _READS_PATTERN or (not keyword and role == "exists"):
            self._pattern(items, scope, {"CREATE": "create", "MERGE": "merge"}.get(keyword, role))
        elif keyword == "WHERE":
            self._where(items, scope)
        elif keyword in ("WITH", "RETURN"):
            return self._projection(keyword, items, scope)
        elif keyword == "ORDER":
            self.shape.order += [without_asc(self.expression(part, scope)) for part in split(items[1:])]
        elif keyword in ("SKIP", "LIMIT", "OFFSET"):
            self.shape.limits.append((("word", keyword), *self.expression(items, scope)))
        elif keyword == "UNWIND":
            expression, alias = self._aliased(items, scope)
            scope[alias] = (("word", "EACH"), *expression)
        elif keyword in ("SET", "REMOVE", "DELETE"):
            self._change(keyword, items, scope, before[-9:] if before.endswith(("ON CREATE", "ON MATCH")) else "")
        elif keyword == "CALL":
            self._call(items, scope)
        elif keyword:
            self.expression(items, scope)
        return scope

    # patterns

    def _pattern(self, items: Sequence[Item], scope: Scope, role: str) -> None:
        new = len(self.shape.nodes)
        places: dict[int, int] = {}  # id of a group -> number of its node or link
        for place, item in enumerate(items):
            before = items[place - 1] if place else None
            after = items[place + 1] if place + 1 < len(items) else None
            if named(item) and symbol(after, "="):
                scope[item.text] = (("name", "path"),)
            if not isinstance(item, Group):
                continue
            if is_relationship(item, before, after):
                places[id(item)] = len(places)
            elif is_node(item, before):
                places[id(item)] = self._node(read_part(item), scope)
            elif item.bracket == "(" or item.bracket == "{":  # shortestPath((a)-[…]->(b)), a quantified path
                self._pattern(item.items, scope, role)
        self._links(items, places, scope, role)
        for item in items:
            if isinstance(item, Group) and id(item) in places and item.bracket == "(":
                self._inside(read_part(item), (("node", str(places[id(item)])),), scope, role)
        if role in ("create", "merge"):
            for number in range(new, len(self.shape.nodes)):
                self.shape.changes.append(Condition((("node", str(number)),), role.upper(), ()))

    def _node(self, part: Part, scope: Scope) -> int:
        known = scope.get(part.variable or "", ())
        if len(known) == 1 and known[0][0] == "node":
            number = int(known[0][1])
            if part.names and not self.shape.nodes[number]:
                self.shape.nodes[number] = tuple(sorted(part.names))
            return number
        self.shape.nodes.append(tuple(sorted(part.names)))
        number = len(self.shape.nodes) - 1
        if part.variable:
            scope[part.variable] = (("node", str(number)),)
        return number

    def _links(self, items: Sequence[Item], places: dict[int, int], scope: Scope, role: str) -> None:
        for place, left in enumerate(items):
            if not isinstance(left, Group) or left.bracket != "(" or id(left) not in places:
                continue
            around = items[place : place + 7]  # a node, at most <-[…]->, a node
            hop = next(hops(around), None)
            right = next((x for x in around[1:] if isinstance(x, Group) and x.bracket == "("), None)
            if hop is None or right is None or not symbol(_at(items, place + 1), "-", "<"):
                continue
            start, end = places[id(left)], places[id(right)]
            if hop.direction == "<":
                start, end = end, start
            number, part = len(self.shape.links), hop.relationship
            link = Link(start, end, number, tuple(sorted(part.names)), bool(hop.direction), _bounds(around), role)
            self.shape.links.append(link)
            self._inside(part, (("link", str(number)),), scope, role)
            if part.variable:
                scope[part.variable] = (("link", str(number)),)

    def _inside(self, part: Part, subject: Expression, scope: Scope, role: str) -> None:
        """The map of a node or link: conditions where it is matched, changes where it is created."""
        for key, value in zip(part.keys, split(part.values), strict=False):
            item = Condition((*subject, ("property", key)), "=", self.expression(value, scope))
            (self.shape.changes if role in ("create", "merge") else self.shape.conditions).append(item)
        if part.where:
            self._where(part.where, scope)

    # conditions

    def _where(self, items: Sequence[Item], scope: Scope) -> None:
        joined = self._joined(items, scope, negated=False)
        if not isinstance(joined, str):
            self.shape.logic.append(joined)

    def _joined(self, items: Sequence[Item], scope: Scope, negated: bool) -> object:
        """Read the conditions of a boolean expression; returns how it joins them: "?" for one, else a nested tuple."""
        for operator in ("OR", "XOR", "AND"):
            parts = split(items, operator)
            if len(parts) > 1:
                inner = [self._joined(part, scope, negated) for part in parts]
                flat = [x for i in inner for x in (i[1:] if isinstance(i, tuple) and i[0] == operator else (i,))]
                return (operator, *sorted(flat, key=str))
        if items and word(items[0], "NOT"):
            return self._joined(items[1:], scope, not negated)
        if len(items) == 1 and isinstance(items[0], Group) and items[0].bracket == "(" and not is_node(items[0], None):
            return self._joined(items[0].items, scope, negated)
        self.shape.conditions.append(self._condition(items, scope, negated))
        return "?"

    def _condition(self, items: Sequence[Item], scope: Scope, negated: bool) -> Condition:
        if items and word(items[0], "EXISTS") and len(items) == 2 and isinstance(items[1], Group):
            self.block(items[1].items, scope, "exists")
            return Condition((), "NOT EXISTS" if negated else "EXISTS", ())
        if len(items) > 2 and isinstance(items[0], Group) and symbol(items[1], "-", "<") and is_node(items[0], None):
            self._pattern(items, scope, "exists")
            return Condition((), "NOT EXISTS" if negated else "EXISTS", ())
        place, length, sign = comparison(items)
        if sign == "<>":
            sign, negated = "=", not negated
        elif sign == "IS NOT NULL":
            sign, negated = "IS NULL", not negated
        left, right = self.expression(items[:place], scope), self.expression(items[place + length :], scope)
        if left and all(kind == "value" for kind, _ in left) and right and sign in {"=", *MIRRORED}:
            left, right, sign = right, left, MIRRORED.get(sign, sign)
        return Condition(left, f"NOT {sign}" if negated else sign, right)

    # projections, changes, calls

    def _projection(self, keyword: str, items: Sequence[Item], scope: Scope) -> Scope:
        if items and word(items[0], "DISTINCT"):
            self.shape.distinct += 1
            items = items[1:]
        following: Scope = {}
        keys, aggregated = [], False
        for part in split(items):
            if len(part) == 1 and symbol(part[0], "*"):
                following |= scope
                continue
            expression, alias = self._aliased(part, scope)
            following[alias] = expression
            if aggregates(part):  # written here, not behind an alias
                aggregated = True
                self.shape.aggregates += list(aggregate_calls(expression))
            else:
                keys.append(expression)
            if keyword == "RETURN":
                self.shape.columns.append(expression)
        if aggregated:
            self.shape.grouping += keys
        return scope | following if keyword == "RETURN" else following

    def _aliased(self, items: Sequence[Item], scope: Scope) -> tuple[Expression, str]:
        if len(items) > 2 and word(items[-2], "AS") and named(items[-1]):
            return self.expression(items[:-2], scope), items[-1].text
        alias = items[0].text if len(items) == 1 and named(items[0]) else ""
        return self.expression(items, scope), alias

    def _change(self, keyword: str, items: Sequence[Item], scope: Scope, event: str) -> None:
        for part in split(items):
            place = next((k for k, item in enumerate(part) if symbol(item, "=", "+=")), len(part))
            subject, value = self.expression(part[:place], scope), self.expression(part[place + 1 :], scope)
            settles = keyword == "SET" and place < len(part)
            operator = part[place].text if settles else keyword
            self.shape.changes.append(Condition(subject, f"{event} {operator}".strip(), value))

    def _call(self, items: Sequence[Item], scope: Scope) -> None:
        group = next((item for item in items if isinstance(item, Group)), None)
        if group and group.bracket == "{":
            scope |= self.block(group.items, scope)
            return
        name = "".join(item.text for item in items[: items.index(group) if group else len(items)])
        self.shape.steps.append(f"CALL {name}")
        for argument in split(group.items) if group else []:
            self.shape.changes.append(Condition((("name", name),), "CALL", self.expression(argument, scope)))

    # expressions

    def expression(self, items: Sequence[Item], scope: Scope) -> Expression:
        """An expression as terms: names replaced by what they stand for, keywords in upper case."""
        found: list[Term] = []
        local: Scope = {}
        for place, item in enumerate(items):
            before = items[place - 1] if place else None
            after = items[place + 1] if place + 1 < len(items) else None
            if isinstance(item, Group):
                found += self._group(item, before, scope | local)
            elif word(after, "IN") and named(item) and place == 0 and len(items) > 3:
                local[item.text] = (("name", "x"),)  # the name of a comprehension, or a plain `x IN list`
                found += scope.get(item.text, local[item.text])
            else:
                found += token_terms(item, before, after, scope | local)
        return unwrapped(tuple(found))

    def _group(self, group: Group, before: Item | None, scope: Scope) -> list[Term]:
        if group.bracket == "{" and (word(before, "EXISTS", "COUNT", "COLLECT") or group.starts_with("MATCH")):
            self.block(group.items, scope, "exists")
            return [("word", "SUBQUERY")]
        inner: list[Term] = []
        parts = split(group.items)
        for part in parts:
            inner += [("symbol", ",")] if inner else []
            inner += self.expression(part, scope)
        return [("symbol", group.bracket), *inner, ("symbol", CLOSING[group.bracket])]


def _bounds(around: Sequence[Item]) -> str:
    """The text behind the `*` of a hop, `*` included; empty for a single hop."""
    group = next((item for item in around[1:] if isinstance(item, Group)), None)
    if group is None or group.bracket != "[":
        return ""
    star = next((k for k, item in enumerate(group.items) if symbol(item, "*")), None)
    if star is None:
        return ""
    text = "".join(item.text for item in group.items[star:] if isinstance(item, Token))
    return text.replace("*1..", "*..")


def _at(items: Sequence[Item], place: int) -> Item | None:
    return items[place] if 0 <= place < len(items) else None
