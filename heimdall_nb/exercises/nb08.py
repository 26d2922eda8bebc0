"""Checks of notebook 08's exercises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.sql import mask
from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import Database, SqlEngine, gate
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.evaluation.compare import same_result

LARGE_LINES = "SELECT productLine, COUNT(*) FROM products GROUP BY productLine HAVING COUNT(*) > 10"


def check_1(answer: Any, engine: SqlEngine, database: Database) -> str | None:
    """A valid SELECT for: which product lines have more than 10 products, and how many?"""
    if not isinstance(answer, str):
        return "Give the statement as text."
    found = refusal(answer, database) or engine.run(answer)
    if isinstance(found, Refusal):
        return f"It is refused ({found.kind}): {found.message}."
    if same_result(engine.run(LARGE_LINES), found, ordered=False):
        return None
    return f"It is valid, but its {len(found.rows)} rows are others. Group the products by line, and filter the groups."


def check_2(answer: Any, train: Sequence[Example], test: Sequence[Example]) -> str | None:
    """The share of test queries whose form, with literals masked, occurs in the training set."""
    forms = {mask(example.output) for example in train}
    right = sum(mask(example.output) in forms for example in test) / len(test)
    if isinstance(answer, int | float) and abs(answer - right) <= 0.005:
        return None
    return "Mask every training query, make a set of the results, and count the test queries whose mask is in it."


def check_3(answer: Any, engine: SqlEngine) -> str | None:
    """One SELECT that the gate lets through and that the time limit stops."""
    if not isinstance(answer, str):
        return "Give the statement as text."
    tree = gate(answer)
    if isinstance(tree, Refusal):
        return f"The gate refuses it ({tree.kind}): {tree.message}."
    result = engine.run(answer, seconds=0.5)
    if isinstance(result, Refusal) and result.kind == "timeout":
        return None
    if isinstance(result, Refusal):
        return f"It is refused for another reason ({result.kind}): {result.message}."
    return f"It ends in time with {len(result.rows)} rows. Join more tables without any condition, and count."
