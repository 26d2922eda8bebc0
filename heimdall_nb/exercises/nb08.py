"""Checks of notebook 08's exercises, on the embedded engine."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import gate
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.evaluation.compare import same_result
from heimdall_nb.evaluation.sql_suite import Judge, SqlSuite, base

LARGE_LINES = "SELECT productLine, COUNT(*) FROM products GROUP BY productLine HAVING COUNT(*) > 10"
NAMES = "SELECT COUNT(DISTINCT customerName) FROM customers"
DATABASE_SEED = 7  # of the rows that the notebook uses


def check_1(answer: Any) -> str | None:
    """A valid SELECT for: which product lines have more than 10 products, and how many?"""
    if not isinstance(answer, str):
        return "Give the statement as text."
    with closing(SQLite(base(DATABASE_SEED).database)) as engine:
        found = refusal(answer, base(DATABASE_SEED).database) or engine.run(answer)
        if isinstance(found, Refusal):
            return f"It is refused ({found.kind}): {found.message}."
        if same_result(engine.run(LARGE_LINES), found, ordered=False):
            return None
    return f"It is valid, but its {len(found.rows)} rows are others. Group the products by line, and filter the groups."


def check_2(answer: Any, suite: SqlSuite) -> str | None:
    """A statement that gives the rows of NAMES on the first database, and other rows on one of the suite."""
    if not isinstance(answer, str):
        return "Give the statement as text."
    first = base(suite.seed).database
    if found := refusal(answer, first):
        return f"It is refused ({found.kind}): {found.message}."
    with closing(SQLite()) as engine:
        judge = Judge(engine)
        judge.load(first)
        if not judge.right(NAMES, answer):
            return "It gives other rows on our database already: that is wrong, and no luck."
        for database in suite.databases():
            judge.load(database)
            if judge.right(NAMES, answer) is False:
                return None
    return "No database of the suite tells it from the gold. When do two customers count as one in the gold?"


def check_3(answer: Any) -> str | None:
    """One SELECT that the gate lets through and that the time limit stops."""
    if not isinstance(answer, str):
        return "Give the statement as text."
    tree = gate(answer)
    if isinstance(tree, Refusal):
        return f"The gate refuses it ({tree.kind}): {tree.message}."
    with closing(SQLite(base(DATABASE_SEED).database)) as engine:
        result = engine.run(answer, seconds=0.5)
    if isinstance(result, Refusal) and result.kind == "timeout":
        return None
    if isinstance(result, Refusal):
        return f"It is refused for another reason ({result.kind}): {result.message}."
    return f"It ends in time with {len(result.rows)} rows. Join more tables without any condition, and count."
