"""Checks of the exercises of notebook 01."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heimdall_nb.dataset.agreement import missing_literals
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.generate import answer_hash
from heimdall_nb.engines.graph import GraphEngine, Refusal

_REFERENCE = (
    "MATCH (a:Person)-[:ACTED_IN]->(b:Movie) WITH a.name AS name, count(DISTINCT b) AS n WHERE n >= 2 RETURN name"
)


def check_1(answer: Any, engine: GraphEngine, *_: Any) -> str | None:
    """The query must give the names of people that acted in at least two different films."""
    result = engine.run(str(answer))
    if isinstance(result, Refusal):
        return f"The engine refuses it ({result.kind}): {result.message}"
    expected = engine.run(_REFERENCE)
    assert not isinstance(expected, Refusal)
    if len(result.columns) != 1:
        return f"It returns {len(result.columns)} columns; return the name alone."
    if answer_hash(result, ordered=False) == answer_hash(expected, ordered=False):
        return None
    found = f"It finds {len(result.rows)} rows, not {len(expected.rows)}"
    return f"{found}. Count different films, then filter with WITH … WHERE."


def check_2(answer: Any, examples: Sequence[Example], *_: Any) -> str | None:
    """The share of examples whose query writes."""
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        return "The answer is a number between 0 and 1."
    share = sum(example.category == "write" for example in examples) / len(examples)
    return None if abs(answer - share) < 0.005 else "Divide the examples of category write by all examples."


def check_3(answer: Any, query: str, *_: Any) -> str | None:
    """A question for `query` that says every literal."""
    if not isinstance(answer, str) or len(answer.split()) < 4:
        return "The answer is a question of at least four words, as text."
    missing = missing_literals(answer, query)
    return f"It does not say {', '.join(missing)}." if missing else None
