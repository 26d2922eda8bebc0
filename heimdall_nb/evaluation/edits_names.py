"""Edits of names and patterns: property, label, type, direction, hops, OPTIONAL; and what the names of a query mean."""

from __future__ import annotations

from collections.abc import Iterator

from heimdall_nb.dataset.graphs import GraphSchema, Property
from heimdall_nb.engines.cypher_tokens import quoted
from heimdall_nb.evaluation.query_layout import Layout, PlacedHop, PlacedPart, Span

Edit = tuple[Span, str]  # a span of the gold, and the text that stands there instead
_NAMES_TRIED = 2  # other types or properties put in the place of one


def owners(layout: Layout, variable: str, schema: GraphSchema) -> list[tuple[str, dict[str, Property]]]:
    """The labels or types that a variable can have, with the properties of each; all labels where it names none."""
    if variable in layout.types:
        kinds = [(r.type, dict(r.properties)) for r in schema.relationships if r.type in layout.types[variable]]
        return kinds or [(r.type, dict(r.properties)) for r in schema.relationships]
    if variable in layout.labels:
        names = sorted(layout.labels[variable] & set(schema.labels)) or list(schema.labels)
        return [(name, dict(schema.labels[name].properties)) for name in names]
    return []


def named_properties(layout: Layout, schema: GraphSchema) -> Iterator[tuple[int, str, Property, dict[str, Property]]]:
    """Each property that the query names: its place, its owner (label or type), itself, and its owner's others."""
    for k, token in enumerate(layout.tokens):
        if token.name and layout.is_symbol(k - 1, ".") and (variable := layout.token(k - 2)) and variable.name:
            for owner, properties in owners(layout, variable.text, schema):
                if token.text in properties:
                    yield k, owner, properties[token.text], properties
                    break
    for placed in (*layout.nodes, *layout.relationships):
        for key in placed.part.keys:
            named = schema.labels if placed.kind == "node" else {r.type: r for r in schema.relationships}
            for owner in (name for name in placed.part.names if name in named):
                properties = dict(named[owner].properties)
                places = range(placed.opening + 1, placed.closing)
                at = next((k for k in places if layout.tokens[k].text == key and layout.is_symbol(k + 1, ":")), None)
                if key in properties and at is not None:
                    yield at, owner, properties[key], properties


def property_at(layout: Layout, place: int, schema: GraphSchema) -> Property | None:
    """The property that a literal is compared with or set to: the last one named before it in its clause."""
    clause = layout.clause_of(place)
    near = [(k, prop) for k, _, prop, _ in named_properties(layout, schema) if clause.at <= k < place]
    return max(near, key=lambda item: item[0])[1] if near else None


def property_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, _, prop, properties in named_properties(layout, schema):
        others = [other for other in properties.values() if other.name != prop.name]
        alike = [other for other in others if other.type == prop.type]
        for other in _following(alike or others, prop.name, list(properties))[:_NAMES_TRIED]:
            yield (k, k + 1), quoted(other.name)


def _following(items: list[Property], after: str, order: list[str]) -> list[Property]:
    """The items in the order of the schema, those behind `after` first: neighbours differ from property to property."""
    place = order.index(after)
    return sorted(items, key=lambda item: (order.index(item.name) - place) % len(order))


def _label_places(layout: Layout) -> Iterator[tuple[int, PlacedPart]]:
    """The places of labels in patterns, behind their colon or bar."""
    for placed in layout.nodes:
        for k in range(placed.opening + 1, placed.closing):
            if layout.tokens[k].name and layout.is_symbol(k - 1, ":", "|", "&") and not _in_map(layout, k, placed):
                yield k, placed


def _type_places(layout: Layout) -> Iterator[tuple[int, PlacedPart]]:
    for placed in layout.relationships:
        for k in range(placed.opening + 1, placed.closing):
            if layout.tokens[k].name and layout.is_symbol(k - 1, ":", "|") and not _in_map(layout, k, placed):
                yield k, placed


def _in_map(layout: Layout, place: int, placed: PlacedPart) -> bool:
    return any(placed.opening < o < place < c for o, c in layout.partner.items())


def label_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    names = list(schema.labels)
    for k, _ in _label_places(layout):
        if (name := layout.tokens[k].text) in names and len(names) > 1:
            yield (k, k + 1), quoted(names[(names.index(name) + 1) % len(names)])


def label_dropped_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, placed in _label_places(layout):
        if placed.clause not in ("CREATE", "MERGE") and not layout.is_symbol(k + 1, "|", "&"):
            yield (k - 1, k + 1), ""


def type_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    kinds = {r.type: (r.start, r.end) for r in schema.relationships}
    for k, _ in _type_places(layout):
        if (name := layout.tokens[k].text) in kinds:
            others = [other for other in kinds if other != name]
            ends = set(kinds[name])
            others.sort(key=lambda other: (kinds[other] != kinds[name], not ends & set(kinds[other])))
            yield from (((k, k + 1), quoted(other)) for other in others[:_NAMES_TRIED])


def type_dropped_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, placed in _type_places(layout):
        if placed.clause not in ("CREATE", "MERGE") and len(placed.part.names) == 1:
            yield (k - 1, k + 1), ""


# ---- patterns


def _arrow(layout: Layout, hop: PlacedHop, direction: str) -> Edit:
    middle = ""
    if hop.relationship:
        middle = layout.text((hop.relationship.opening, hop.relationship.closing + 1))
    return hop.arrow, f"{'<' if direction == '<' else ''}-{middle}-{'>' if direction == '>' else ''}"


def direction_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for hop in layout.hops():
        for direction in ("<", ">") if not hop.direction else (">" if hop.direction == "<" else "<",):
            yield _arrow(layout, hop, direction)


def undirected_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for hop in layout.hops():
        if hop.direction and hop.left.clause not in ("CREATE", "MERGE"):
            yield _arrow(layout, hop, "")


def hops_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for placed in layout.relationships:
        star = next((k for k in range(placed.opening, placed.closing) if layout.is_symbol(k, "*")), None)
        for k in range(star + 1 if placed.part.many and star else placed.closing, placed.closing):
            if layout.tokens[k].kind == "number" and layout.tokens[k].text.isdigit():
                bound = int(layout.tokens[k].text)
                yield from (((k, k + 1), str(other)) for other in (bound + 1, bound - 1) if other >= 0)


def optional_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for clause in layout.clauses:
        if clause.keyword == "OPTIONAL":
            yield (clause.at, clause.at + 1), ""
        elif clause.keyword == "MATCH" and clause.at and not layout.is_word(clause.at - 1, "OPTIONAL", "ON", "UNION"):
            yield (clause.at, clause.at), "OPTIONAL "
