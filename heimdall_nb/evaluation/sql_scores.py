"""VA, EX and EM of generated SQL, as the same item scores that Cypher gets, so that tables and summaries are shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import exp

from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.sql import Database, SqlEngine, function_name, gate
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.compare import same_result
from heimdall_nb.evaluation.metrics import ItemScore, cause_of, constant_floor, item_score, share
from heimdall_nb.evaluation.statistics import Paired
from heimdall_nb.models.answers import query_of
from heimdall_nb.models.protocol import Completion


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


def score_sql(
    examples: Sequence[Example],
    completions: Sequence[Completion],
    engine: SqlEngine,
    database: Database,
    seconds: float = 2.0,
    max_rows: int = 1000,
) -> list[ItemScore]:
    """Run gold and answer of each example on `engine`, which has `database` loaded; the scores are in order.

    Valid (VA) means that MySQL would take the statement on this schema and that it runs within the limits; right (EX)
    that its rows are the gold's, in order where the gold orders. Raises BadInput for a gold that is refused.
    """
    scores = []
    for example, completion in zip(examples, completions, strict=True):
        query = query_of(completion.text)
        gold = engine.run(example.output, 5 * seconds, max_rows)
        if isinstance(gold, Refusal):
            raise BadInput(f"the gold query is refused ({gold.message})", f"example {example.id}", "Generate it again.")
        result = check_and_run(query, engine, database, seconds, max_rows)
        ex = isinstance(result, Rows) and same_result(gold, result, orders_rows(example.output))
        cause, message = cause_of(query, completion, result, (), ex)
        verdict = {"va": isinstance(result, Rows), "ex": ex, "em": exact_match(example.output, query)}
        verdict |= {"cause": cause, "message": message, "gold_rows": gold, "graph": database.name}
        scores.append(item_score(example, completion, query, **verdict, rows=result if verdict["va"] else None))
    return scores


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


def honest_sentence(
    result: Mapping[str, Any],
    plain: Mapping[str, Any],
    before: str,
    pair: Paired,
    kinds: Mapping[str, Mapping[str, Any]],
) -> str:
    """What the scores of an adapter (`result`) and of the model `before` it (`plain`) allow to say, and no more."""
    ex, floor = result["ex"], result["floor"]["value"]
    above = "above" if ex["low"] > floor else "not surely above"
    gain = 100 * (ex["value"] - plain["ex"]["value"])
    surely = "more than chance explains" if pair.p < 0.05 else "which may be chance"
    worst = min(kinds, key=lambda kind: (kinds[kind]["ex"]["value"], kind))
    return (
        f"The adapter answers {100 * ex['value']:.1f} % of {result['items']} questions right "
        f"(95 % interval {100 * ex['low']:.1f} to {100 * ex['high']:.1f}), {above} the floor of {100 * floor:.1f} %. "
        f"That is {gain:+.1f} points against '{before}', {surely} (p = {pair.p:.2g}). "
        f"Hardest is the type '{worst}' with {100 * kinds[worst]['ex']['value']:.0f} %."
    )


def by_type(scores: Sequence[ItemScore]) -> dict[str, dict[str, Any]]:
    """For each question type: its items, VA and EX with intervals, and the floor that one constant result reaches."""
    groups: dict[str, list[ItemScore]] = {}
    for score in scores:
        groups.setdefault(score.category, []).append(score)
    return {
        name: {
            "items": len(group),
            "va": share(sum(s.va for s in group), len(group)),
            "ex": share(sum(s.ex for s in group), len(group)),
            "floor": constant_floor(group)["value"],
        }
        for name, group in sorted(groups.items())
    }
