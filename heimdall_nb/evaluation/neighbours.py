"""The neighbours of a Cypher query: every query that one edit makes of it, from its syntax tree.

A gold query's neighbours are the wrong answers that a test suite must tell from it (Zhong, Yu and Klein 2020, arXiv
2010.02840); the edits are theirs, and those that a graph has besides: label, type, direction, hops, OPTIONAL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.evaluation.edits import (
    Maker,
    aggregate_edits,
    boolean_edits,
    column_edits,
    comparison_edits,
    condition_edits,
    distinct_edits,
    dropped_clause,
    float_edits,
    integer_edits,
    logic_edits,
    negation_edits,
    null_edits,
    sort_edits,
    string_edits,
    text_test_edits,
    window_edits,
)
from heimdall_nb.evaluation.edits_names import (
    direction_edits,
    hops_edits,
    label_dropped_edits,
    label_edits,
    optional_edits,
    property_edits,
    type_dropped_edits,
    type_edits,
    undirected_edits,
)
from heimdall_nb.evaluation.equivalence import equivalent
from heimdall_nb.evaluation.query_layout import Layout

NOTHING = "nothing"


@dataclass(frozen=True)
class Neighbour:
    """A query that differs from the gold by one edit: its kind (one of EDITS), and what became what.

    `change` reads `before -> after`, with NOTHING for what was not there. `rule` says why this is the gold in other
    words, where the schema proves that.
    """

    edit: str
    change: str
    query: str
    rule: str = ""


EDITS: dict[str, Maker] = {
    "comparison": comparison_edits,
    "AND/OR": logic_edits,
    "NOT": negation_edits,
    "condition dropped": condition_edits,
    "IS NULL": null_edits,
    "text test": text_test_edits,
    "integer": integer_edits,
    "float": float_edits,
    "string or date": string_edits,
    "boolean": boolean_edits,
    "property": property_edits,
    "label": label_edits,
    "label dropped": label_dropped_edits,
    "type": type_edits,
    "type dropped": type_dropped_edits,
    "direction": direction_edits,
    "undirected": undirected_edits,
    "hops": hops_edits,
    "OPTIONAL": optional_edits,
    "aggregate": aggregate_edits,
    "DISTINCT": distinct_edits,
    "sort direction": sort_edits,
    "ORDER BY dropped": dropped_clause("ORDER"),
    "SKIP or LIMIT": window_edits,
    "SKIP or LIMIT dropped": dropped_clause("SKIP", "OFFSET", "LIMIT"),
    "column dropped": column_edits,
}
_READ_ONLY = ("aggregate", "DISTINCT", "sort direction", "ORDER BY dropped", "column dropped")


def neighbours(query: str, schema: GraphSchema, parses: Callable[[str], bool] | None = None) -> list[Neighbour]:
    """Every neighbour of `query`, each once, in the order of EDITS.

    With `parses`, those for which it is false are left out (a dropped column that ORDER BY still names); without, the
    first run tells. Raises nothing for a query that parses. The same query and schema give the same neighbours.
    """
    layout = Layout(query)
    kinds = [kind for kind in EDITS if not (kind in _READ_ONLY and writes(query))]
    found: dict[str, Neighbour] = {}
    for kind in kinds:
        for span, text in EDITS[kind](layout, schema):
            edited = layout.edited(span, text)
            change = f"{layout.text(span) or NOTHING} -> {text.strip() or NOTHING}"
            if edited != query and edited not in found:
                found[edited] = Neighbour(kind, change, edited, equivalent(layout, schema, kind, span, text))
    return [item for item in found.values() if parses is None or parses(item.query)]
