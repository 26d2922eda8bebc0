"""Neighbours that are the gold in other words: rules that prove it from the schema, so that no suite need tell them.

A rule must hold on every graph of the schema: keys are unique and never missing, a relationship type leads only where
the schema says. What no rule covers is left to the graphs.
"""

from __future__ import annotations

from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.engines.cypher_patterns import AGGREGATES, Part
from heimdall_nb.evaluation.query_layout import Layout, PlacedClause, PlacedHop, PlacedPart, Span

_CREATING = ("CREATE", "MERGE")


def equivalent(layout: Layout, schema: GraphSchema, edit: str, span: Span, text: str) -> str:
    """The rule by which this edit of the query changes nothing, in words; empty where no rule says so."""
    rule = _RULES.get(edit)
    return rule(layout, schema, span, text) if rule else ""


def _label_dropped(layout: Layout, schema: GraphSchema, span: Span, text: str) -> str:
    for hop in layout.hops():
        for placed in (hop.left, hop.right):
            if placed.opening < span[0] < placed.closing and _single_hop(hop) and len(placed.part.names) == 1:
                for direction in (hop.direction,) if hop.direction else (">", "<"):
                    starts = (direction == ">") == (placed is hop.left)
                    leads = {
                        r.start if starts else r.end
                        for r in schema.relationships
                        if r.type in hop.relationship.part.names
                    }
                    if leads != set(placed.part.names):
                        break
                else:
                    return "the relationship type leads only to this label"
    return _only_owner(layout, schema, span)


def _only_owner(layout: Layout, schema: GraphSchema, span: Span) -> str:
    """A condition that needs a property which one label alone has (what compares with null is not true)."""
    node = next((node for node in layout.nodes if node.opening < span[0] < node.closing), None)
    if node is None or len(node.part.names) != 1 or node.clause != "MATCH":
        return ""
    owned = {
        name
        for label in schema.labels.values()
        for name in label.properties
        if [label.name] == [other.name for other in schema.labels.values() if name in other.properties]
        and label.name == node.part.names[0]
    }
    if owned & set(node.part.keys):
        return "a condition needs a property that only this label has"
    following = (c for c in layout.clauses if c.at >= node.closing)
    where = next(following, None)
    if where is None or where.keyword != "WHERE" or node.part.variable is None:
        return ""
    operands = layout.split((where.first, where.end), by_word=("AND",))
    for first, end in operands:
        property_first = layout.tokens[first].text == node.part.variable and layout.is_symbol(first + 1, ".")
        test = first + 3
        plain = len(layout.split((first, end), by_word=("OR", "XOR"))) == 1
        needs = layout.is_symbol(test, "=", "<>", "<", "<=", ">", ">=") or layout.is_word(
            test, "STARTS", "ENDS", "CONTAINS", "IN"
        )
        needs = needs or (layout.is_word(test, "IS") and layout.is_word(test + 1, "NOT"))
        if property_first and plain and needs and layout.tokens[first + 2].text in owned:
            return "a condition needs a property that only this label has"
    return ""


def _single_hop(hop: PlacedHop) -> bool:
    plain = hop.relationship is not None and hop.relationship.part.exact and not hop.relationship.part.many
    return plain and len(hop.relationship.part.names) == 1 and hop.left.clause not in _CREATING


def _labels(layout: Layout, placed: PlacedPart) -> set[str]:
    part: Part = placed.part
    known = layout.labels.get(part.variable or "", set()) | set(part.names)
    return known if part.exact and len(known) == 1 else set()


def _undirected(layout: Layout, schema: GraphSchema, span: Span, text: str) -> str:
    """Between two labels that a type joins one way only, the direction says nothing new."""
    for hop in layout.hops():
        if hop.arrow == span and _single_hop(hop):
            ends = {(r.start, r.end) for r in schema.relationships if r.type in hop.relationship.part.names}
            direction = hop.direction or (">" if text.endswith(">") else "<")
            start, end = (hop.left, hop.right) if direction == ">" else (hop.right, hop.left)
            if len(ends) == 1:
                (first, last), *_ = ends
                if first != last and (_labels(layout, start) == {first} or _labels(layout, end) == {last}):
                    return "the labels give the direction"
    return ""


def _type_dropped(layout: Layout, schema: GraphSchema, span: Span, text: str) -> str:
    for hop in layout.hops():
        if _single_hop(hop) and hop.arrow[0] < span[0] < hop.arrow[1]:
            left, right = _labels(layout, hop.left), _labels(layout, hop.right)
            forward = {r.type for r in schema.relationships if {r.start} == left and {r.end} == right}
            backward = {r.type for r in schema.relationships if {r.start} == right and {r.end} == left}
            types = {">": forward, "<": backward}.get(hop.direction, forward | backward)
            if left and right and types == set(hop.relationship.part.names):
                return "no other type leads between these labels"
    return ""


def _distinct(layout: Layout, schema: GraphSchema, span: Span, text: str) -> str:
    place = span[0]
    if layout.is_symbol(place - 1, "("):
        if layout.is_word(place - 2, "MIN", "MAX"):
            return "min and max see a value once"
        argument = place + 1 if layout.is_word(place, "DISTINCT") else place
        return _once(layout, schema, argument, layout.partner[place - 1])
    clause = layout.clause_of(place)
    if clause.keyword not in ("RETURN", "WITH") or layout.is_word(place, "UNION", "ALL"):
        return ""
    calls = (k for k in range(clause.first, clause.end) if layout.is_symbol(k + 1, "("))
    if any(layout.is_word(k, *AGGREGATES) for k in calls):
        return "the rows of groups differ already"
    if _grouped_before(layout, schema, clause):
        return "the rows of groups differ already"
    for start, end in _columns(layout, clause):
        named = end - 2 if layout.is_word(end - 2, "AS") else end
        if rule := _once(layout, schema, start, named):
            return rule
    return ""


def _columns(layout: Layout, clause: PlacedClause) -> list[Span]:
    first = clause.first + layout.is_word(clause.first, "DISTINCT")
    return layout.split((first, clause.end), by_symbol=(",",))


def _grouped_before(layout: Layout, schema: GraphSchema, clause: PlacedClause) -> bool:
    """Whether `clause` returns all that a WITH before it groups by, with nothing but conditions between them."""
    before = [
        c for c in layout.clauses if c.at < clause.at and c.keyword not in ("WHERE", "ORDER", "SKIP", "LIMIT", "")
    ]
    if clause.keyword != "RETURN" or not before or before[-1].keyword != "WITH":
        return False
    groups: set[str] = set()
    aggregated = False
    for first, end in _columns(layout, before[-1]):
        if any(layout.is_word(k, *AGGREGATES) and layout.is_symbol(k + 1, "(") for k in range(first, end)):
            aggregated = True
        else:
            groups.add(layout.tokens[end - 1].text)
    returned = set()
    for first, end in _columns(layout, clause):
        end = end - 2 if layout.is_word(end - 2, "AS") else end
        words = [layout.tokens[k].text for k in range(first, end)]
        keys = [schema.labels[name].key for name in layout.labels.get(words[0], ()) if name in schema.labels]
        if len(words) == 1 or (len(words) == 3 and words[1] == "." and keys == [words[2]]):
            returned.add(words[0])
    return aggregated and groups <= returned


def _once(layout: Layout, schema: GraphSchema, first: int, end: int) -> str:
    """Whether [first, end) is a node, or its key, of a query that reads nothing but the nodes of one label."""
    reading = [
        c for c in layout.clauses if c.keyword in ("MATCH", "UNWIND", "CALL", "WITH", "LOAD", "UNION", "FOREACH")
    ]
    nodes = [node for node in layout.nodes if reading and node.opening < reading[0].end]
    inner = layout.clause_of(first)
    if len(reading) > 1 and not (reading[1:] == [inner] and inner.keyword == "WITH"):
        return ""
    if not reading or reading[0].keyword != "MATCH" or len(nodes) != 1 or len(nodes[0].part.names) != 1:
        return ""
    label = schema.labels.get(nodes[0].part.names[0])
    variable = nodes[0].part.variable
    words = [layout.tokens[k].text for k in range(first, end)]
    if variable and label and words in ([variable], [variable, ".", label.key]):
        return "each node is read once, and has its own key"
    return ""


def _counted(layout: Layout, schema: GraphSchema, span: Span, text: str) -> str:
    optional = any(clause.keyword == "OPTIONAL" for clause in layout.clauses)
    bound = {placed.part.variable for placed in (*layout.nodes, *layout.relationships) if placed.clause == "MATCH"}
    if text != "*" or optional or layout.is_word(span[0], "DISTINCT"):
        return ""
    name = layout.tokens[span[0]].text
    if span[1] == span[0] + 1 and name in bound:
        return "what MATCH has found is not null"
    keys = {schema.labels[label].key for label in layout.labels.get(name, ()) if label in schema.labels}
    if span[1] == span[0] + 3 and name in bound and keys == {layout.tokens[span[0] + 2].text}:
        return "a key is not null"
    return ""


def _given_direction(layout: Layout, schema: GraphSchema, span: Span, text: str) -> str:
    """An undirected hop of the gold that gets a direction; another direction is another query."""
    directed = any(hop.arrow == span and hop.direction for hop in layout.hops())
    return "" if directed else _undirected(layout, schema, span, text)


_RULES = {
    "label dropped": _label_dropped,
    "undirected": _undirected,
    "direction": _given_direction,
    "type dropped": _type_dropped,
    "DISTINCT": _distinct,
    "aggregate": _counted,
}
