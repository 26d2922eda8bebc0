"""Where things stand in a Cypher query: its clauses, nodes, relationships and conditions as places among its tokens.

The syntax tree of `engines` says what a query holds; an edit of its text needs to know where. A place is the number of
a token, a span a pair (first, end) of them; `Layout.edited` replaces spans and leaves the rest of the text alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heimdall_nb.engines.cypher_patterns import Part, clauses, is_node, is_relationship, read_part
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, symbol, tokens, tree, word

Span = tuple[int, int]
_BLOCKS = ("EXISTS", "COUNT", "COLLECT", "CALL")
_JOINS = ("AND", "OR", "XOR")


@dataclass(frozen=True)
class PlacedClause:
    """A clause: its keyword at `at`, its contents in [first, end)."""

    keyword: str
    at: int
    first: int
    end: int


@dataclass(frozen=True)
class PlacedPart:
    """A node or a relationship of a pattern, with the places of its brackets; `clause` is the keyword it stands in."""

    kind: str
    part: Part
    opening: int
    closing: int
    clause: str = ""


@dataclass(frozen=True)
class PlacedHop:
    """A relationship between two nodes of a pattern; `arrow` spans from the first `-` or `<` to the last `-` or `>`."""

    left: PlacedPart
    relationship: PlacedPart | None
    right: PlacedPart
    arrow: Span
    direction: str


class Layout:
    """The places of a query whose brackets are balanced (any query that the engine parses)."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.tokens = tokens(query)
        self.clauses: list[PlacedClause] = []
        self.nodes: list[PlacedPart] = []
        self.relationships: list[PlacedPart] = []
        self.partner: dict[int, int] = {}  # the place of the other bracket
        self._block(tree(query), 0)
        self.labels: dict[str, set[str]] = {}  # variable -> labels of a node
        self.types: dict[str, set[str]] = {}  # variable -> types of a relationship
        for found, parts in ((self.labels, self.nodes), (self.types, self.relationships)):
            for placed in parts:
                if placed.part.variable:
                    found.setdefault(placed.part.variable, set()).update(placed.part.names)

    def _block(self, items: Sequence[Item], place: int) -> None:
        """Note the clauses of a query or sub-query that begins at `place`, and what is in them."""
        for clause in clauses(items):
            first = place + 1 if clause.keyword else place
            end = first + sum(map(_width, clause.items))
            self.clauses.append(PlacedClause(clause.keyword, place, first, end))
            self._inside(clause.items, first, clause.keyword)
            place = end

    def _inside(self, items: Sequence[Item], place: int, clause: str) -> None:
        for k, item in enumerate(items):
            if isinstance(item, Group):
                before = items[k - 1] if k else None
                after = items[k + 1] if k + 1 < len(items) else None
                closing = place + _width(item) - 1
                self.partner[place], self.partner[closing] = closing, place
                if is_relationship(item, before, after):
                    self.relationships.append(PlacedPart("relationship", read_part(item), place, closing, clause))
                elif is_node(item, before):
                    self.nodes.append(PlacedPart("node", read_part(item), place, closing, clause))
                if item.bracket == "{" and _opens_block(items, k):
                    self._block(item.items, place + 1)
                else:
                    self._inside(item.items, place + 1, clause)
            place += _width(item)

    def hops(self) -> Iterator[PlacedHop]:
        """The relationships of all patterns, left to right."""
        ends = {placed.closing: placed for placed in self.nodes}
        starts = {placed.opening: placed for placed in self.nodes}
        brackets = {placed.opening: placed for placed in self.relationships}
        for closing, left in sorted(ends.items()):
            place = closing + 1
            backward = self.is_symbol(place, "<")
            place += backward
            if not self.is_symbol(place, "-"):
                continue
            relationship = brackets.get(place + 1)
            place = relationship.closing + 1 if relationship else place + 1
            if not self.is_symbol(place, "-"):
                continue
            forward = self.is_symbol(place + 1, ">")
            end = place + 1 + forward
            if end in starts:
                direction = "" if backward == forward else "<" if backward else ">"
                yield PlacedHop(left, relationship, starts[end], (closing + 1, end), direction)

    def token(self, place: int) -> Token | None:
        """The token at a place, or None outside the query."""
        return self.tokens[place] if 0 <= place < len(self.tokens) else None

    def is_symbol(self, place: int, *texts: str) -> bool:
        """True when one of these symbols stands there."""
        return symbol(self.token(place), *texts)

    def is_word(self, place: int, *words: str) -> bool:
        """True when one of these keywords (upper case) stands there."""
        return word(self.token(place), *words)

    def end_of(self, place: int) -> int:
        """The offset in the text behind the token at `place`."""
        token = self.tokens[place]
        if token.kind == "string":
            return token.start + len(token.text) + 2
        if token.kind == "quoted":
            return token.start + len(token.text.replace("`", "``")) + 2
        return token.start + len(token.text)

    def text(self, span: Span) -> str:
        """The text of a span."""
        return self.query[self.tokens[span[0]].start : self.end_of(span[1] - 1)] if span[1] > span[0] else ""

    def edited(self, span: Span, text: str) -> str:
        """The query with `text` in place of a span; an empty span inserts before its place."""
        first, end = span
        start = self.tokens[first].start if first < len(self.tokens) else len(self.query)
        stop = self.end_of(end - 1) if end > first else start
        before, after = self.query[:start], self.query[stop:]
        if not text and before.endswith(" ") and (after.startswith(" ") or not after):
            before = before[:-1]
        return before + text + after

    def clause_of(self, place: int) -> PlacedClause:
        """The innermost clause that a place stands in."""
        around = [clause for clause in self.clauses if clause.at <= place < max(clause.end, clause.at + 1)]
        return min(around, key=lambda clause: clause.end - clause.at)

    def split(self, span: Span, by_word: Sequence[str] = (), by_symbol: Sequence[str] = ()) -> list[Span]:
        """The parts of a span between separators that stand in no inner bracket."""
        parts, first, place = [], span[0], span[0]
        while place < span[1]:
            if self.is_word(place, *by_word) or self.is_symbol(place, *by_symbol):
                parts.append((first, place))
                first = place + 1
            place = self.partner.get(place, place) + 1 if self.partner.get(place, place) > place else place + 1
        return [*parts, (first, span[1])]

    def conditions(self, span: Span) -> list[list[Span]]:
        """The operands of AND, OR and XOR in a condition: one list for it, and one for each bracket of conditions."""
        operands = self.split(span, by_word=_JOINS)
        found = [operands]
        for first, end in operands:
            inner = first + 1 if self.is_word(first, "NOT") else first
            if inner < end and self.is_symbol(inner, "(") and self.partner.get(inner) == end - 1:
                deeper = self.split((inner + 1, end - 1), by_word=_JOINS)
                if len(deeper) > 1:
                    found += self.conditions((inner + 1, end - 1))
        return found


def _width(item: Item) -> int:
    return 1 if isinstance(item, Token) else 2 + sum(map(_width, item.items))


def _opens_block(items: Sequence[Item], k: int) -> bool:
    before = items[k - 1] if k else None
    if isinstance(before, Group) and k > 1:
        before = items[k - 2]
    return word(before, *_BLOCKS)
