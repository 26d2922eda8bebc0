"""What there is to say of one SQL answer: whether it may run, how it differs from its gold, failures worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import Database, SqlEngine, function_name, gate
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.evaluation.metrics import ItemScore


def orders_rows(query: str) -> bool:
    """True when the outermost level of a SELECT has an ORDER BY: then the order of its rows counts."""
    tree = gate(query)
    return not isinstance(tree, Refusal) and bool(tree.args.get("order"))


def exact_match(gold: str, answer: str) -> bool:
    """True when two statements have the same syntax tree: white space, comments and the case of keywords are free."""
    trees = gate(gold), gate(answer)
    return not any(isinstance(tree, Refusal) for tree in trees) and trees[0] == trees[1]


def check_and_run(query: str, engine: SqlEngine, database: Database, seconds: float = 2.0, max_rows: int = 1000) -> Any:
    """The rows of a statement that MySQL would take on this schema and that runs within the limits; else a Refusal."""
    return refusal(query, database) or engine.run(query, seconds, max_rows)


def explain(score: ItemScore) -> str:
    """One sentence about a failure: what the engine said, or in which parts the answer differs from the gold query."""
    if score.ex:
        return "The answer is right."
    if not score.va:
        return f"Not valid ({score.cause}): {score.message}."
    found = differences(score.gold, score.answer)
    return f"It runs, and answers another question: {'; '.join(found) or 'the same parts, put together differently'}."


def differences(gold: str, answer: str) -> list[str]:
    """The kinds of parts in which two statements differ, e.g. `values: 'Oslo' instead of 'Norway'`."""
    trees = gate(gold), gate(answer)
    if any(isinstance(tree, Refusal) for tree in trees):
        return []
    found = []
    for name, kinds in _PARTS.items():
        wanted, given = ({_part(node) for node in tree.find_all(*kinds)} for tree in trees)
        extra, missing = sorted(given - wanted), sorted(wanted - given)
        if extra or missing:
            found.append(f"{name}: {', '.join(extra) or 'nothing'} instead of {', '.join(missing) or 'nothing'}")
    return found


_PARTS: dict[str, tuple[type[exp.Expression], ...]] = {
    "tables": (exp.Table,),
    "columns": (exp.Column,),
    "values": (exp.Literal,),
    "functions": (exp.AggFunc, exp.Anonymous, exp.Distinct),
    "comparisons": (exp.GT, exp.LT, exp.GTE, exp.LTE, exp.NEQ, exp.Between, exp.Like, exp.Is),
    "sorting": (exp.Ordered,),
}


def _part(node: exp.Expression) -> str:
    if isinstance(node, exp.Distinct):
        return "DISTINCT"
    if isinstance(node, exp.Func):
        return function_name(node)
    return node.name if isinstance(node, (exp.Table, exp.Column)) else node.sql("mysql")


def different_failures(scores: Sequence[ItemScore], number: int) -> list[ItemScore]:
    """Up to `number` failures, of as many causes and question types as there are."""
    chosen: list[ItemScore] = []
    left = [score for score in scores if not score.ex]
    while left and len(chosen) < number:
        seen = {s.cause for s in chosen}, {s.category for s in chosen}
        left.sort(key=lambda s: ((s.cause in seen[0]) + (s.category in seen[1]), s.id))
        chosen.append(left.pop(0))
    return chosen
