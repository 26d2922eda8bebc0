"""Checks of notebook 05's exercises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.cypher_check import SchemaNames
from heimdall_nb.engines.graph import GraphEngine, GraphInstance
from heimdall_nb.evaluation.metrics import ItemScore, score_items
from heimdall_nb.evaluation.statistics import wilson
from heimdall_nb.models.protocol import Completion


def check_1(answer: Any, scores: Sequence[ItemScore]) -> str | None:
    """The width of EX's interval with four times as many questions, in percentage points."""
    low, high = wilson(4 * sum(score.ex for score in scores), 4 * len(scores))
    if isinstance(answer, int | float) and abs(answer - 100 * (high - low)) <= 0.1:
        return None
    return "Multiply both numbers by 4, call wilson, and give 100 * (high - low)."


def check_2(answer: Any, scores: Sequence[ItemScore]) -> str | None:
    """EX over valid answers only."""
    valid = sum(score.va for score in scores)
    right = sum(score.ex for score in scores) / valid if valid else 0.0
    if isinstance(answer, int | float) and abs(answer - right) <= 0.005:
        return None
    return "Divide the number of scores with ex by the number of scores with va (give 0 when none is valid)."


def check_3(
    answer: Any,
    example: Example,
    instance_of: Callable[[str], GraphInstance],
    names_of: Callable[[str], SchemaNames],
    engine: GraphEngine,
) -> str | None:
    """A query with the gold's result that is not the gold query."""
    if not isinstance(answer, str) or not answer.strip():
        return "Give the query as text."
    completion = Completion(answer, 0, 0, 0.0, "ok")
    (score,) = score_items([example], [completion], instance_of, names_of, engine)
    if not score.ex:
        return f"It does not score EX ({score.cause}: {score.message})."
    return "It is the gold query itself; rename a variable or a column." if score.em else None
