"""Scores of generated queries: VA, EX and exact match on one denominator, with the floor that a constant reaches.

VA (valid answer): the query parses, names only what the schema has, and runs. EX (execution accuracy): it is valid and
its result is the gold query's; the result of a write is the graph that it leaves. Every item counts in every score, so
EX <= VA always.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.cypher_check import SchemaNames, name_faults
from heimdall_nb.engines.cypher_patterns import CLAUSES
from heimdall_nb.engines.cypher_tokens import tokens, writes
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal, Rows
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.compare import collects_unordered, ordered, same_result
from heimdall_nb.evaluation.execute import Executor
from heimdall_nb.evaluation.statistics import wilson
from heimdall_nb.models.answers import query_of
from heimdall_nb.models.protocol import Completion
from heimdall_nb.progress import track

# Why an item is not right, from the worst to the nearest miss.
CAUSES = (
    "no answer",
    "truncated",
    "syntax",
    "write",
    "timeout",
    "limit",
    "engine",
    "schema",
    "empty result",
    "wrong result",
    "right",
)
_KEYWORDS = frozenset([*CLAUSES, *"AND OR NOT XOR AS IN IS NULL BY ASC DESC DISTINCT TRUE FALSE".split()])


@dataclass(frozen=True)
class ItemScore:
    """One example, the answer it got, and what became of it. `cause` is one of CAUSES."""

    id: str
    graph: str
    category: str
    style: str
    question: str
    gold: str
    answer: str
    va: bool
    ex: bool
    em: bool
    cause: str
    message: str
    seconds: float
    prompt_tokens: int
    new_tokens: int
    gold_rows: Rows


def score_items(
    examples: Sequence[Example],
    completions: Sequence[Completion],
    instance_of: Callable[[str], GraphInstance],
    names_of: Callable[[str], SchemaNames],
    engine: GraphEngine,
    seconds: float = 2.0,
    max_rows: int = 1000,
) -> list[ItemScore]:
    """Run gold and answer of each example on its graph, and compare the results; the scores are in order.

    Where the gold writes, the answer may write, and the graphs that they leave are compared.
    Raises BadInput for an example without a graph, or one whose gold query the engine refuses: that is a fault of the
    set, not of the model.
    """
    if len(examples) != len(completions):
        raise BadInput(f"{len(completions)} answers to {len(examples)} examples", "score_items", "Ask all of them.")
    for example in examples:
        if not example.graph:
            raise BadInput("has no graph, so it cannot be executed", f"example {example.id}", "Leave it out.")
    order = sorted(range(len(examples)), key=lambda k: (str(examples[k].graph), k))  # each graph is loaded once
    executor = Executor(engine, instance_of, seconds, max_rows)
    scores: dict[int, ItemScore] = {}
    golds: dict[str, Rows] = {}
    for k in track(order, "scoring"):
        graph, gold = str(examples[k].graph), examples[k].output
        if executor.use(graph):
            golds, names = {}, names_of(graph)
        if gold not in golds:
            golds[gold] = _gold_rows(examples[k], executor)
        scores[k] = _score(examples[k], completions[k], golds[gold], names, executor)
    return [scores[k] for k in range(len(examples))]


def _gold_rows(example: Example, executor: Executor) -> Rows:
    rows = executor.write(example.output) if writes(example.output) else executor.read(example.output)
    if isinstance(rows, Refusal):
        what = f"the gold query is refused ({rows.kind}: {rows.message})"
        raise BadInput(what, f"example {example.id}", "Validate the set again with notebook 02.")
    return rows


def _score(example: Example, completion: Completion, gold: Rows, names: SchemaNames, executor: Executor) -> ItemScore:
    query = query_of(completion.text)
    result = executor.write(query) if writes(example.output) else executor.read(query)
    faults = [] if isinstance(result, Refusal) else name_faults(query, names)
    va = isinstance(result, Rows) and not faults
    ex = va and same_result(gold, result, ordered(example.output), collects_unordered(example.output))
    cause, message = cause_of(query, completion, result, faults, ex)
    return ItemScore(
        id=example.id,
        graph=str(example.graph),
        category=example.category,
        style=example.style,
        question=example.question,
        gold=example.output,
        answer=query,
        va=va,
        ex=ex,
        em=exact_match(example.output, query),
        cause=cause,
        message=message,
        seconds=completion.seconds,
        prompt_tokens=completion.prompt_tokens,
        new_tokens=completion.new_tokens,
        gold_rows=gold,
    )


def cause_of(
    query: str, completion: Completion, result: Rows | Refusal, faults: Sequence[str], ex: bool
) -> tuple[str, str]:
    """(one of CAUSES, a sentence about it): why an answer is wrong, the first reason that applies; SQL uses it too."""
    if ex:
        return "right", ""
    if not query or completion.outcome in ("empty", "timeout", "error"):
        return "no answer", f"the model's outcome is {completion.outcome}"
    if completion.outcome == "truncated":
        return "truncated", f"the answer does not end within {completion.new_tokens} tokens"
    if isinstance(result, Refusal):
        return result.kind, result.message
    if faults:
        return "schema", "; ".join(faults)
    if not result.rows:
        return "empty result", "the query finds nothing"
    if writes(query):
        return "wrong result", "the graph that the query leaves is another one"
    return "wrong result", f"{len(result.rows)} rows, the first: {list(result.rows[0])}"


def exact_match(gold: str, answer: str) -> bool:
    """True when two queries are the same but for white space, comments, a last semicolon and the case of keywords."""

    def form(query: str) -> list[tuple[str, str]]:
        items = [(t.kind, t.text.upper() if t.is_word(*_KEYWORDS) else t.text) for t in tokens(query)]
        return items[:-1] if items and items[-1] == ("symbol", ";") else items

    return form(gold) == form(answer)


def share(successes: int, total: int) -> dict[str, float]:
    """A share with its 95 % Wilson interval: value, low, high."""
    low, high = wilson(successes, total)
    return {"value": round(successes / total if total else 0.0, 4), "low": round(low, 4), "high": round(high, 4)}


def constant_floor(scores: Sequence[ItemScore]) -> dict[str, Any]:
    """The best EX of an answer that ignores the question: one result, given freely as rows, for all items.

    No query has to produce these rows, so no constant query can score more.
    """
    candidates: list[Rows] = []
    for score in scores:
        if not any(same_result(score.gold_rows, other, True, collects_unordered(score.gold)) for other in candidates):
            candidates.append(score.gold_rows)
    orders = [(ordered(score.gold), collects_unordered(score.gold)) for score in scores]
    best, rows = 0, Rows((), ())
    for candidate in candidates:
        hits = sum(same_result(s.gold_rows, candidate, *how) for s, how in zip(scores, orders, strict=True))
        if hits > best:
            best, rows = hits, candidate
    return share(best, len(scores)) | {"rows": [list(row) for row in rows.rows[:5]]}


def summary(scores: Sequence[ItemScore]) -> dict[str, Any]:
    """All scores of a model, ready for JSON: VA, EX, EM with intervals, the floor, causes, tokens, latency, groups.

    Latency is in seconds an item (median and 95th percentile); tokens a second are generated ones.
    """
    total = len(scores)
    seconds = sorted(score.seconds for score in scores)
    new_tokens = sum(score.new_tokens for score in scores)
    counted = Counter(score.cause for score in scores)
    return {
        "items": total,
        **_rates(scores),
        "floor": constant_floor(scores),
        "causes": {cause: counted[cause] for cause in CAUSES if counted[cause]},
        "tokens": {"prompt": sum(score.prompt_tokens for score in scores), "new": new_tokens},
        "seconds": {
            "total": round(math.fsum(seconds), 3),
            "median": round(median(seconds), 4) if total else 0.0,
            "p95": round(seconds[math.ceil(0.95 * total) - 1], 4) if total else 0.0,
        },
        "tokens_per_second": round(new_tokens / math.fsum(seconds), 1) if math.fsum(seconds) > 0 else 0.0,
        "category": _groups(scores, lambda score: score.category),
        "graph": _groups(scores, lambda score: score.graph),
    }


def _rates(scores: Sequence[ItemScore]) -> dict[str, dict[str, float]]:
    return {name: share(sum(getattr(s, name) for s in scores), len(scores)) for name in ("va", "ex", "em")}


def _groups(scores: Sequence[ItemScore], key: Callable[[ItemScore], str]) -> dict[str, Any]:
    names: Iterable[str] = sorted({key(score) for score in scores})
    members = {name: [score for score in scores if key(score) == name] for name in names}
    return {name: {"items": len(group), **_rates(group)} for name, group in members.items()}
