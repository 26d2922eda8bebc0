"""VA, EX and EM of generated SQL, as the same item scores that Cypher gets, so that tables and summaries are shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.sql import Database, SqlEngine, gate
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.errors import BadInput
from heimdall_nb.models.answers import query_of
from heimdall_nb.evaluation.compare import same_result
from heimdall_nb.evaluation.metrics import ItemScore, _cause, constant_floor, share
from heimdall_nb.models.protocol import Completion


def orders_rows(query: str) -> bool:
    """True when the outermost level of a SELECT has an ORDER BY: then the order of its rows counts."""
    tree = gate(query)
    return not isinstance(tree, Refusal) and bool(tree.args.get("order"))


def exact_match(gold: str, answer: str) -> bool:
    """True when two statements have the same syntax tree: white space, comments and the case of keywords are free."""
    trees = gate(gold), gate(answer)
    return not any(isinstance(tree, Refusal) for tree in trees) and trees[0] == trees[1]


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
        result = refusal(query, database) or engine.run(query, seconds, max_rows)
        ex = isinstance(result, Rows) and same_result(gold, result, orders_rows(example.output))
        cause, message = _cause(query, completion, result, (), ex)
        scores.append(
            ItemScore(
                id=example.id,
                graph=database.name,
                category=example.category,
                style=example.style,
                question=example.input,
                gold=example.output,
                answer=query,
                va=isinstance(result, Rows),
                ex=ex,
                em=exact_match(example.output, query),
                cause=cause,
                message=message,
                seconds=completion.seconds,
                prompt_tokens=completion.prompt_tokens,
                new_tokens=completion.new_tokens,
                gold_rows=gold,
            )
        )
    return scores


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
