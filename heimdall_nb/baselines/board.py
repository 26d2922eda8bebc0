"""The leader board: all approaches on the same items, with what they cost, and what their differences prove."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from heimdall_nb import plots
from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.cypher_check import SchemaNames
from heimdall_nb.engines.graph import GraphEngine, GraphInstance
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.metrics import ItemScore, check_order, constant_floor, score_items, share
from heimdall_nb.evaluation.report import percent
from heimdall_nb.evaluation.statistics import bootstrap, mcnemar, over_seeds
from heimdall_nb.evaluation.suite import Suite
from heimdall_nb.models.protocol import Completion

LEVEL = 0.05  # of all comparisons together
SHOWN = 3  # approaches that a sentence lists by name
NEAR = 1.1  # in the figure, points whose costs differ by a smaller factor share a label

Scores = Mapping[str, Sequence[Sequence[ItemScore]]]  # approach -> one list a run


@dataclass(frozen=True)
class Approach:
    """One way to answer: the answers of each run, in the order of the items, and the seeds of sampled runs."""

    runs: tuple[Sequence[Completion], ...]
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two approaches on the same items: how many only one has right, McNemar's p, and p adjusted by Holm."""

    first: str
    second: str
    only_first: int
    only_second: int
    p: float
    adjusted: float


def score_all(
    examples: Sequence[Example],
    approaches: Mapping[str, Approach],
    instance_of: Callable[[str], GraphInstance],
    names_of: Callable[[str], SchemaNames],
    engine: GraphEngine,
    suite: Suite | None = None,
) -> dict[str, list[list[ItemScore]]]:
    """The scores of every run of every approach. The same answer to the same question is run once for all.

    Raises BadInput for an approach that did not answer every question.
    """
    for name, approach in approaches.items():
        if any(len(run) != len(examples) for run in approach.runs) or not approach.runs:
            raise BadInput(f"did not answer all {len(examples)} questions", name, "Ask it again.")
    distinct = {
        (k, answer.text, answer.outcome): answer
        for approach in approaches.values()
        for run in approach.runs
        for k, answer in enumerate(run)
    }
    asked = [examples[k] for k, _, _ in distinct]
    found = score_items(asked, list(distinct.values()), instance_of, names_of, engine, suite)
    scores = dict(zip(distinct, found, strict=True))

    def scored(k: int, answer: Completion) -> ItemScore:
        cost = {name: getattr(answer, name) for name in ("seconds", "prompt_tokens", "new_tokens")}
        return replace(scores[k, answer.text, answer.outcome], **cost)

    return {
        name: [[scored(k, answer) for k, answer in enumerate(run)] for run in approach.runs]
        for name, approach in approaches.items()
    }


def board(approaches: Mapping[str, Approach], scores: Scores) -> dict[str, Any]:
    """The leader board, ready for JSON: best EX first, cheaper first among equals.

    `rows` hold VA, EX and TS (None where no suite was run) with 95 % intervals (Wilson; over several seeds a bootstrap
    of the items) and the standard deviation over seeds, and tokens and seconds a question. `answers` hold every answer
    in the order of `items`; `digest` is their hash. All but the seconds is the same each time. Raises BadInput when
    the approaches did not answer the same items, HeimdallError when TS <= EX <= VA does not hold.
    """
    first = next(iter(scores.values()))[0]
    items = [score.id for score in first]
    for name, runs in scores.items():
        for run in runs:
            check_order(run)
            if [score.id for score in run] != items:
                raise BadInput("answered other items than the first approach", name, "Ask all the same questions.")
    answers = {name: [[score.answer for score in run] for run in runs] for name, runs in sorted(scores.items())}
    rows = [_row(name, approaches[name].seeds, runs) for name, runs in scores.items()]
    rows.sort(key=lambda row: (-row["ex"]["value"], tokens_of(row), row["approach"]))
    digest = hashlib.sha256(json.dumps([items, answers], ensure_ascii=False).encode()).hexdigest()
    return {"items": items, "digest": digest, "floor": constant_floor(first), "rows": rows, "answers": answers}


def _row(name: str, seeds: Sequence[int], runs: Sequence[Sequence[ItemScore]]) -> dict[str, Any]:
    everything = [score for run in runs for score in run]

    def average(of: Callable[[ItemScore], float]) -> float:
        return round(mean(of(score) for score in everything), 4)

    return {
        "approach": name,
        "seeds": list(seeds),
        **{measure: _rate(runs, measure) for measure in ("va", "ex", "ts")},
        "tokens_read": average(lambda score: score.prompt_tokens),
        "tokens_written": average(lambda score: score.new_tokens),
        "seconds": average(lambda score: score.seconds),
    }


def _rate(runs: Sequence[Sequence[ItemScore]], measure: str) -> dict[str, float] | None:
    """A share with its interval and, over several runs, its standard deviation `sd`; None where an item has none."""
    found = [[getattr(score, measure) for score in run] for run in runs]
    if any(value is None for run in found for value in run):
        return None
    if len(found) == 1:
        return share(sum(found[0]), len(found[0]))
    of_items = [mean(map(float, values)) for values in zip(*found, strict=True)]
    low, high = bootstrap(of_items)
    value, spread = over_seeds([mean(map(float, run)) for run in found])
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "sd": round(spread, 4)}


def tokens_of(row: Mapping[str, Any]) -> float:
    """Tokens that a question costs: read and written."""
    return row["tokens_read"] + row["tokens_written"]


def compare(scores: Scores, reference: str, others: Sequence[str] = ()) -> list[Comparison]:
    """The EX of `reference` against each of `others` (default: all), on the same items.

    McNemar's exact test; p is adjusted for the number of comparisons by Holm's method (1979), so that the chance of
    any false finding among them stays below LEVEL. Of sampled approaches the first seed counts.
    """
    ours = [score.ex for score in scores[reference][0]]
    names = [name for name in (others or scores) if name != reference]
    paired = [mcnemar(ours, [score.ex for score in scores[name][0]]) for name in names]
    return [
        Comparison(reference, name, pair.only_first, pair.only_second, pair.p, adjusted)
        for name, pair, adjusted in zip(names, paired, holm([pair.p for pair in paired]), strict=True)
    ]


def holm(values: Sequence[float]) -> list[float]:
    """The p values of several tests, adjusted by Holm's method (1979): each may be held against LEVEL itself.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=lambda k: values[k])
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, k in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[k]))
        adjusted[k] = highest
    return adjusted


def verdict(standings: Mapping[str, Any], scores: Scores) -> str:
    """What the leader board proves, in sentences: who is first, whom it beats by more than chance, at what cost."""
    rows = {row["approach"]: row for row in standings["rows"]}
    best = next(iter(rows))
    found = compare(scores, best)
    beaten = [c.second for c in found if c.adjusted < LEVEL and c.only_first > c.only_second]
    open_ = [name for name in rows if name != best and name not in beaten]
    standing = f"{percent(rows[best]['ex'])} on {len(standings['items'])} questions"
    said = [f"{best} has the highest EX of {len(rows)} approaches: {standing}, {_cost(rows[best])}."]
    tested = f"McNemar's test, Holm's correction for {len(found)} comparisons"
    if beaten:
        said.append(f"It is better than {_listed(beaten)} ({tested}: p < {LEVEL}).")
    if open_:
        others = f"any of the other {len(open_)}" if len(open_) > SHOWN else _listed(open_)
        said.append(f"These questions do not show that it is better than {others}{'' if beaten else f' ({tested})'}.")
        cheapest = min([best, *open_], key=lambda name: (tokens_of(rows[name]), name))
        times = tokens_of(rows[best]) / max(tokens_of(rows[cheapest]), 1e-9)
        cheaper = f"{cheapest}: {percent(rows[cheapest]['ex'])}, {_cost(rows[cheapest])}, {times:.1f} times less"
        said.append("None of these is cheaper." if cheapest == best else f"The cheapest of these is {cheaper}.")
    return " ".join(said)


def _cost(row: Mapping[str, Any]) -> str:
    return f"{tokens_of(row):,.0f} tokens a question"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def table(standings: Mapping[str, Any]) -> Any:
    """The leader board as it is read: one row an approach, numbered from the best (a pandas DataFrame)."""
    import pandas as pd

    def shown(rate: Mapping[str, float] | None) -> str:
        if rate is None:
            return "not computed"
        return percent(rate) + (f" ± {100 * rate['sd']:.1f}" if "sd" in rate else "")

    rows = [
        {
            "approach": row["approach"],
            **{name.upper(): shown(row[name]) for name in ("va", "ex", "ts")},
            "floor": f"{100 * standings['floor']['value']:.1f} %",
            "tokens read": round(row["tokens_read"]),
            "tokens written": round(row["tokens_written"], 1),
            "seconds": round(row["seconds"], 3),
            "seeds": ", ".join(map(str, row["seeds"])) or "greedy",
        }
        for row in standings["rows"]
    ]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="rank"))


def figure(standings: Mapping[str, Any], own: str) -> Any:
    """Cost against accuracy: tokens a question (logarithmic) and EX with its interval, each point with its rank.

    Approaches whose name begins with `own` get a colour and marker of their own; points of like cost stand apart.
    """
    fig, axes = plots.figure(
        "What an answer costs, and how often it is right", "tokens a question", "EX in %", (6.4, 4)
    )
    axes.set_xscale("log")
    ranked = sorted(enumerate(standings["rows"], start=1), key=lambda item: (tokens_of(item[1]), item[0]))
    clusters: list[list[tuple[int, Mapping[str, Any]]]] = []
    for item in ranked:
        near = clusters and tokens_of(item[1]) < NEAR * tokens_of(clusters[-1][0][1])
        clusters[-1].append(item) if near else clusters.append([item])
    for cluster in clusters:
        for place, (_, row) in enumerate(sorted(cluster)):
            kind = int(row["approach"].startswith(own))
            value, low, high = (100 * row["ex"][part] for part in ("value", "low", "high"))
            style = {"fmt": plots.MARKERS[kind], "color": plots.COLOURS[kind], "elinewidth": 0.7, "markersize": 5}
            x = tokens_of(cluster[0][1]) * 1.03 ** (place - (len(cluster) - 1) / 2)
            axes.errorbar(x, value, [[max(0.0, value - low)], [max(0.0, high - value)]], **style)
        top = max(100 * row["ex"]["high"] for _, row in cluster)
        ranks = ", ".join(str(rank) for rank, _ in sorted(cluster))
        axes.annotate(ranks, (tokens_of(cluster[0][1]), top), (0, 4), textcoords="offset points", ha="center", size=8)
    for kind, name in enumerate(("base", own)):
        axes.plot([], [], plots.MARKERS[kind], color=plots.COLOURS[kind], label=name)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:g}"[0] in "25" else "")
    axes.set_ylim(0, 100)
    axes.margins(x=0.08)
    axes.legend(loc="center right")
    return fig
