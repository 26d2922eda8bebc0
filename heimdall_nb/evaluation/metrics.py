"""Scores of generated queries: VA, EX, TS and exact match on one denominator, with the floor that a constant reaches.

VA (valid answer): the query parses, names only what schema and facts have, and runs. EX (execution accuracy): it is
valid and its result is the gold query's; the result of a write is the graph that it leaves. TS (test-suite accuracy,
Zhong, Yu and Klein 2020, arXiv 2010.02840): it is so on every graph of a suite. Every item counts in every score, so
TS <= EX <= VA always.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.cypher_check import SchemaNames, name_faults
from heimdall_nb.engines.cypher_patterns import CLAUSES
from heimdall_nb.engines.cypher_tokens import tokens, writes
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal, Rows
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation.compare import (
    Expectation,
    collects_unordered,
    ignores_graph,
    ordered,
    same_result,
)
from heimdall_nb.evaluation.execute import Executor, right
from heimdall_nb.evaluation.statements import invented
from heimdall_nb.evaluation.statistics import wilson
from heimdall_nb.facts import load_pack
from heimdall_nb.models.answers import query_of
from heimdall_nb.models.protocol import Completion
from heimdall_nb.progress import track

if TYPE_CHECKING:
    from heimdall_nb.evaluation.suite import Suite

# Why an item is not right, from the worst to the nearest miss.
CAUSES = (
    "no answer",
    "truncated",
    "syntax",
    "write",
    "timeout",
    "limit",
    "engine",
    "invented name",
    "schema",
    "empty result",
    "wrong result",
    "right",
)
GROUPS = ("part", "category", "context_size", "style", "graph")
_KEYWORDS = frozenset([*CLAUSES, *"AND OR NOT XOR AS IN IS NULL BY ASC DESC DISTINCT TRUE FALSE".split()])


@dataclass(frozen=True)
class ItemScore:
    """One example, the answer it got, and what became of it.

    `cause` is one of CAUSES; `ts` is None where no suite has the item's graph; `rows` is what the answer gave where it
    is a read; `hints` are a linter's remarks.
    """

    id: str
    graph: str
    part: str
    category: str
    context_size: str
    style: str
    template: str
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
    gold_rows: Rows | None = None
    rows: Rows | None = None
    ts: bool | None = None
    hints: tuple[str, ...] = ()


def item_score(example: Example, completion: Completion, answer: str, **verdict: Any) -> ItemScore:
    """An ItemScore with what example and completion say already, and the `verdict` on the answer."""
    return ItemScore(
        id=example.id,
        part=example.part,
        category=example.category,
        context_size=example.context_size,
        style=example.style,
        template=example.template,
        question=example.question,
        gold=example.output,
        answer=answer,
        seconds=completion.seconds,
        prompt_tokens=completion.prompt_tokens,
        new_tokens=completion.new_tokens,
        **({"graph": str(example.graph or "")} | verdict),
    )


def score_items(
    examples: Sequence[Example],
    completions: Sequence[Completion],
    instance_of: Callable[[str], GraphInstance],
    names_of: Callable[[str], SchemaNames],
    engine: GraphEngine,
    suite: Suite | None = None,
    seconds: float = 2.0,
    max_rows: int = 1000,
) -> list[ItemScore]:
    """Run gold and answer of each example on its graph, and compare the results; the scores are in order.

    Where the gold writes, the answer may write, and the graphs that they leave are compared. With a `suite`, what is
    right is run on the suite's graphs as well.
    Raises BadInput for an example without a graph, or one whose gold query the engine refuses: that is a fault of the
    set, not of the model.
    """
    if len(examples) != len(completions):
        raise BadInput(f"{len(completions)} answers to {len(examples)} examples", "score_items", "Ask all of them.")
    for example in examples:
        if not example.graph:
            raise BadInput("has no graph, so it cannot be executed", f"example {example.id}", "Leave it out.")
    order = sorted(range(len(examples)), key=lambda k: (str(examples[k].graph), k))  # each graph is loaded once
    judge = _Judge(Executor(engine, instance_of, seconds, max_rows), names_of)
    scores = {k: judge.score(examples[k], completions[k]) for k in track(order, "scoring")}
    return _with_suite(examples, [scores[k] for k in range(len(examples))], suite, engine, seconds, max_rows)


@dataclass(frozen=True)
class _Verdict:
    """What there is to say of a statement beside a gold, whatever model wrote it."""

    result: Rows | Refusal
    faults: list[str]  # names that the schema does not have
    unknown: list[str]  # names that the facts do not have
    valid: bool
    same: bool
    blind: bool  # the same result, without reading the graph
    exact: bool


class _Judge:
    """Scores answers graph by graph; a statement is run and compared with a gold once, whoever wrote it."""

    def __init__(self, executor: Executor, names_of: Callable[[str], SchemaNames]) -> None:
        self.executor, self.names_of, self.pack = executor, names_of, load_pack()
        self.golds: dict[str, Expectation] = {}
        self.verdicts: dict[tuple[str, str], _Verdict] = {}

    def score(self, example: Example, completion: Completion) -> ItemScore:
        graph = str(example.graph)
        if self.executor.use(graph):
            self.golds, self.verdicts, self.names = {}, {}, self.names_of(graph)
        query, gold, write = query_of(completion.text), example.output, writes(example.output)
        expected = self.expected(example)
        if (gold, query) not in self.verdicts:
            self.verdicts[gold, query] = self.verdict(gold, query, expected)
        v = self.verdicts[gold, query]
        ex = v.same and not v.blind
        cause, message = cause_of(query, completion, v.result, v.faults, ex, v.unknown)
        message = "the answer does not read the graph" if v.blind else message
        found = {"va": v.valid, "ex": ex, "em": v.exact, "cause": cause, "message": message}
        rows = v.result if isinstance(v.result, Rows) and not write else None
        return item_score(example, completion, query, **found, gold_rows=expected.rows, rows=rows)

    def verdict(self, gold: str, query: str, expected: Expectation) -> _Verdict:
        result = self.executor.result(query, writes(gold))
        unknown = invented(query, self.pack) if query else []
        faults = [] if isinstance(result, Refusal) else name_faults(query, self.names)
        valid = isinstance(result, Rows) and not faults and not unknown
        same = valid and right(gold, expected, result)
        blind = same and not writes(gold) and ignores_graph(gold, query)
        return _Verdict(result, faults, unknown, valid, same, blind, exact_match(gold, query))

    def expected(self, example: Example) -> Expectation:
        gold = example.output
        if gold not in self.golds:
            expected = self.executor.expected(gold)
            if isinstance(expected, Refusal):
                what = f"the gold query is refused ({expected.kind}: {expected.message})"
                raise BadInput(what, f"example {example.id}", "Validate the set again with notebook 02.")
            self.golds[gold] = expected
        return self.golds[gold]


def _with_suite(
    examples: Sequence[Example],
    scores: list[ItemScore],
    suite: Suite | None,
    engine: GraphEngine,
    seconds: float,
    max_rows: int,
) -> list[ItemScore]:
    """The scores with TS, where the suite has the item's graph."""
    if suite is None:
        return scores
    from heimdall_nb.evaluation.suite import test_suite_scores

    right = [k for k, score in enumerate(scores) if score.ex and score.graph in suite.graphs]
    passed = test_suite_scores([(examples[k], scores[k].answer) for k in right], suite, engine, seconds, max_rows)
    ts = dict(zip(right, passed, strict=True))
    return [replace(s, ts=ts.get(k, False)) if s.graph in suite.graphs else s for k, s in enumerate(scores)]


def check_order(scores: Sequence[ItemScore]) -> None:
    """TS <= EX <= VA must hold item by item. Raises HeimdallError where it does not: the evaluation itself is wrong."""
    for score in scores:
        if (score.ts and not score.ex) or (score.ex and not score.va):
            raise HeimdallError(f"item {score.id}: TS {score.ts}, EX {score.ex}, VA {score.va} contradict each other.")


def cause_of(
    query: str,
    completion: Completion,
    result: Rows | Refusal,
    faults: Sequence[str],
    ex: bool,
    unknown: Sequence[str] = (),
) -> tuple[str, str]:
    """(one of CAUSES, a sentence about it): why an answer is wrong, the first reason that applies; SQL uses it too."""
    if ex:
        return "right", ""
    if not query or completion.outcome in ("empty", "timeout", "error"):
        return "no answer", f"the model's outcome is {completion.outcome}"
    if completion.outcome == "truncated":
        return "truncated", f"the answer does not end within {completion.new_tokens} tokens"
    if unknown and (isinstance(result, Rows) or result.kind in ("engine", "syntax")):
        return "invented name", "; ".join(unknown)
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

    return gold == answer or _form(gold) == _form(answer)


@lru_cache(maxsize=4096)
def _form(query: str) -> list[tuple[str, str]]:
    items = [(t.kind, t.keyword if t.keyword in _KEYWORDS else t.text) for t in tokens(query)]
    return items[:-1] if items and items[-1] == ("symbol", ";") else items


def share(successes: int, total: int) -> dict[str, float]:
    """A share with its 95 % Wilson interval: value, low, high."""
    low, high = wilson(successes, total)
    return {"value": round(successes / total if total else 0.0, 4), "low": round(low, 4), "high": round(high, 4)}


def constant_floor(scores: Sequence[ItemScore]) -> dict[str, Any]:
    """The best EX of an answer that ignores the question: one result, given freely as rows, for all items.

    No query has to produce these rows, so no constant query can score more. Items without rows cannot be met.
    """
    alike: dict[tuple[Any, ...], list[tuple[Rows, bool, bool]]] = {}  # only results with the same values can agree
    for score in scores:
        if score.gold_rows is not None:
            known = score.gold_rows, ordered(score.gold), collects_unordered(score.gold)
            alike.setdefault(_values(score.gold_rows), []).append(known)
    best, rows = 0, Rows((), ())
    for group in alike.values():
        for candidate, _, _ in group:
            if best >= len(group):
                break
            hits = sum(same_result(gold, candidate, *how) for gold, *how in group)
            if hits > best:
                best, rows = hits, candidate
    return share(best, len(scores)) | {"rows": [list(row) for row in rows.rows[:5]]}


def _values(rows: Rows) -> tuple[Any, ...]:
    """What results that agree have in common, whatever the order of rows and columns: shape, and numbers and texts."""
    values = (float(v) if isinstance(v, int) and abs(v) < 2**53 else v for row in rows.rows for v in row)
    simple = sorted(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values if not _nested(v))
    return len(rows.rows), len(rows.rows[0]) if rows.rows else 0, *simple


def _nested(value: Any) -> bool:
    return isinstance(value, list | tuple | dict)


def summary(scores: Sequence[ItemScore]) -> dict[str, Any]:
    """All scores of a model, ready for JSON: VA, EX, TS, EM with intervals, the floor, causes, tokens, latency, groups.

    `ts` is None unless every item has one. Latency is in seconds an item (median and 95th percentile); tokens a second
    are generated ones. `engine_gaps` counts items that the engine could not judge; they count as wrong.
    Raises HeimdallError when TS <= EX <= VA does not hold.
    """
    check_order(scores)
    total = len(scores)
    seconds = sorted(score.seconds for score in scores)
    new_tokens = sum(score.new_tokens for score in scores)
    counted = Counter(score.cause for score in scores)
    hints = Counter(hint for score in scores for hint in score.hints)
    return {
        "items": total,
        **_rates(scores),
        "floor": constant_floor(scores),
        "causes": {cause: counted[cause] for cause in CAUSES if counted[cause]},
        "engine_gaps": counted["engine"],
        "hints": dict(sorted(hints.items())),
        "tokens": {"prompt": sum(score.prompt_tokens for score in scores), "new": new_tokens},
        "seconds": {
            "total": round(math.fsum(seconds), 3),
            "median": round(median(seconds), 4) if total else 0.0,
            "p95": round(seconds[math.ceil(0.95 * total) - 1], 4) if total else 0.0,
        },
        "tokens_per_second": round(new_tokens / math.fsum(seconds), 1) if math.fsum(seconds) > 0 else 0.0,
        **{name: _groups(scores, name) for name in GROUPS},
    }


def _rates(scores: Sequence[ItemScore]) -> dict[str, dict[str, float] | None]:
    rates: dict[str, Any] = {
        name: share(sum(bool(getattr(s, name)) for s in scores), len(scores)) for name in ("va", "ex", "ts", "em")
    }
    return rates | ({} if scores and all(s.ts is not None for s in scores) else {"ts": None})


def _groups(scores: Sequence[ItemScore], name: str) -> dict[str, Any]:
    members: dict[str, list[ItemScore]] = {}
    for score in scores:
        members.setdefault(getattr(score, name), []).append(score)
    return {key: {"items": len(group), **_rates(group)} for key, group in sorted(members.items())}
