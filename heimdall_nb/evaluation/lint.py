"""Performance hints for Cypher: what in a query costs more than it must, and what to write instead.

A hint is no fault: a question for all films asks for a query without LIMIT. The sentences are in data/lint.yaml.
"""

from __future__ import annotations

import re

from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.engines.cypher_tokens import tree
from heimdall_nb.engines.graph import GraphEngine, Refusal
from heimdall_nb.evaluation.lint_rules import Hint, Linter, hint, rules

PRODUCT_ROWS = 100  # an engine's estimate from which a product is worth a hint


def hints(query: str, schema: GraphSchema | None = None) -> list[Hint]:
    """What makes `query` slower than it must be, each once, in the order of data/lint.yaml.

    With the graph's `schema`, keys and directions are known: a filter by another property and a pattern without a
    direction are noted too. Without it, any property that is tested with = counts as a key. Never raises.
    """
    linter = Linter(schema)
    try:
        items = tree(query)
        linter.block(items, set(), 0)
        linter.everywhere(items, 0, False)
    except RecursionError:
        return [hint("deep_nesting", depth="too")]
    if len(linter.found) < 2:
        return linter.found
    order = list(rules())
    return sorted(dict.fromkeys(linter.found), key=lambda item: order.index(item.rule))


def plan_hints(query: str, engine: GraphEngine) -> list[Hint]:
    """What the engine's own plan tells, for an engine that shows it as text (ArcadeDB); none from other engines.

    ArcadeDB's `EXPLAIN q` gives one row with `executionPlanAsString`: operators such as `NodeByLabelScan(a:Person)
    [filter: …] [cost=…, rows=…]`, `CartesianProduct`, `ExpandAll`, and for patterns that its optimizer does not take
    `MATCH NODE (a)` and `EXPAND PATH (a)-[:R*1..]->(b)`. A scan of a label says nothing here: the graphs are loaded
    without indexes, so a key is scanned as well.
    """
    explained = engine.run("EXPLAIN " + re.sub(r"^\s*(?:EXPLAIN|PROFILE)\b", "", query, flags=re.IGNORECASE))
    if isinstance(explained, Refusal) or not explained.rows or "executionPlanAsString" not in explained.columns:
        return []
    plan = str(explained.rows[0][explained.columns.index("executionPlanAsString")])
    found = []
    for match in re.finditer(r"^[ +]*CartesianProduct\b.*rows=([\d.,]+)", plan, re.MULTILINE):
        if float(match[1].replace(",", "").rstrip(".")) > PRODUCT_ROWS:
            found.append(hint("plan_product", rows=match[1]))
    found += [hint("plan_all_nodes", variable=m[1]) for m in re.finditer(r"\bMATCH NODE \((\w+)\)", plan)]
    found += [hint("plan_unbounded_path", path=m[1]) for m in re.finditer(r"EXPAND PATH \S*(\[[^\]]*\.\.\])", plan)]
    return list(dict.fromkeys(found))
