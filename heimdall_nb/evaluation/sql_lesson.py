"""What notebook 08 shows of scores: several models at once, a wrong query that one database lets pass, and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heimdall_nb import plots
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.generate import degenerate
from heimdall_nb.engines.graph import Rows
from heimdall_nb.engines.mariadb import PRIVATE
from heimdall_nb.engines.mariadb_server import missing
from heimdall_nb.engines.sql import Database, SqlEngine
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.engines.sql_connect import PASSWORD, URL, USER, target
from heimdall_nb.engines.sql_dump import read_dump
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.compare import Expectation
from heimdall_nb.evaluation.metrics import ItemScore, share
from heimdall_nb.evaluation.report import percent
from heimdall_nb.evaluation.sql_compare import states_its_result
from heimdall_nb.evaluation.sql_evaluate import EMBEDDED, SqlScorer, open_engine
from heimdall_nb.evaluation.sql_neighbours import neighbours
from heimdall_nb.evaluation.sql_suite import Judge, SqlSuite, base
from heimdall_nb.evaluation.statistics import Paired
from heimdall_nb.models.answers import query_of
from heimdall_nb.models.protocol import Completion

ENGINES = ("", EMBEDDED, PRIVATE)  # a server of one's own is named by the environment
LEVEL = 0.01  # of the paired test
_MEASURES = {"va": "VA", "ex": "EX", "ts": "TS"}
_LUCKY_ROWS = 3  # a result that a reader takes in at a glance
_TELLING = ("condition dropped", "comparison", "DISTINCT")  # edits that are plainly another question
_LOOKED_AT = 30  # golds whose neighbours are tried, the shortest first


def open_named(name: str = "") -> tuple[SqlEngine, str]:
    """The engine that a notebook's knob names, nothing loaded, and a sentence on which it is and why.

    "" takes the server that the environment names, else a private MariaDB where one can be started, else SQLite.
    Raises BadInput for another name: an address may hold a password, and a notebook keeps its parameters.
    """
    if name not in ENGINES:
        remedy = f"Choose {', '.join(filter(None, ENGINES))} or nothing; name a server by {URL}, {USER} and {PASSWORD}."
        raise BadInput("is no name of an engine", "sql_engine", remedy)
    if not name and target():
        return open_engine(), "The engine is the server that the environment names."
    if name == EMBEDDED or (not name and missing()):
        reason = "as asked for" if name else f"because {missing()}"
        return open_engine(EMBEDDED), f"The engine is the embedded SQLite, {reason}."
    return open_engine(PRIVATE), "The engine is a private MariaDB: reached by a socket only, gone with this notebook."


def score_all(
    scorer: SqlScorer,
    examples: Sequence[Example],
    answers: Mapping[str, Sequence[Completion]],
    suite: SqlSuite | None = None,
) -> dict[str, list[ItemScore]]:
    """The scores of several models' answers to the same examples; each database of the suite is loaded once for all.

    Raises as `SqlScorer.score` does, and BadInput for a model that did not answer every question.
    """
    for name, given in answers.items():
        if len(given) != len(examples):
            raise BadInput(f"{len(given)} answers to {len(examples)} questions", name, "Ask it again.")
    together = [completion for given in answers.values() for completion in given]
    found = scorer.score(list(examples) * len(answers), together, suite)
    size = len(examples)
    return {name: found[k * size : (k + 1) * size] for k, name in enumerate(answers)}


@dataclass(frozen=True)
class Lucky:
    """A wrong query with the gold's rows on the first database, and the rows of both on one that tells them apart."""

    example: Example
    query: str
    edit: str
    same: Rows
    number: int  # of the database, in the order of the suite
    gold: Rows
    wrong: Rows


def by_luck(examples: Sequence[Example], suite: SqlSuite, engine: SqlEngine) -> Lucky:
    """A neighbour of a short gold that is right on the first database (EX) and not on a later one (TS).

    Raises BadInput where none of the examples has one that the suite tells.
    """
    first, judge = base(suite.seed).database, Judge(engine)
    judge.load(first)
    short = sorted(examples, key=lambda e: (len(e.output), e.id))[:_LOOKED_AT]
    wrong = [(e, n) for e in short for n in neighbours(e.output, first) if n.edit in _TELLING]
    passing = [(e, n) for e, n in wrong if _passes(judge, first, e.output, n.query)]
    shown = {n.query: judge.run(n.query) for _, n in passing}
    for number, recipe in enumerate(suite.recipes, start=1):
        judge.load(suite.database(recipe))
        for example, neighbour in passing:
            results = shown[neighbour.query], judge.run(example.output), judge.run(neighbour.query)
            if judge.right(example.output, neighbour.query) is False and all(map(_small, results)):
                same, gold, wrong = results
                return Lucky(example, neighbour.query, neighbour.edit, same, number, gold, wrong)
    raise BadInput("no wrong query passes the first database and fails a later one", "by_luck", "Give more examples.")


def _passes(judge: Judge, database: Database, gold: str, query: str) -> bool:
    return refusal(query, database) is None and judge.right(gold, query) is True


def _small(result: Any) -> bool:
    return isinstance(result, Rows) and 0 < len(result.rows) <= _LUCKY_ROWS


def proof(better: str, than: str, pair: Paired, items: int, measure: str = "EX") -> str:
    """What McNemar's test says of two models on the same items, in a sentence; `pair` is (better, than)."""
    counts = f"{pair.only_first} of {items} questions only {better} has right, and {pair.only_second} only {than}"
    if pair.p < LEVEL and pair.only_first > pair.only_second:
        return f"{measure}: {better} is better than {than}: {counts} (McNemar, p = {pair.p:.2g})."
    if pair.p < LEVEL:
        return f"{measure}: {better} is worse than {than}: {counts} (McNemar, p = {pair.p:.2g})."
    return f"{measure}: these questions do not show that {better} and {than} differ: {counts} (p = {pair.p:.2g})."


def figure(summaries: Mapping[str, Mapping[str, Any]], title: str) -> tuple[Any, str]:
    """VA, EX and TS of each model with 95 % intervals, and the floor as a line; the figure and its alternative text."""
    fig, axes = plots.figure(title, "share of the questions, %", size=(6.4, 1.1 + 0.62 * len(summaries)))
    measures = [name for name in _MEASURES if all(s.get(name) is not None for s in summaries.values())]
    for place, name in enumerate(measures):
        rates = [summary[name] for summary in summaries.values()]
        values = [100 * rate["value"] for rate in rates]
        lower = [max(0.0, value - 100 * rate["low"]) for value, rate in zip(values, rates, strict=True)]
        upper = [max(0.0, 100 * rate["high"] - value) for value, rate in zip(values, rates, strict=True)]
        rows = [row + 0.24 * (place - (len(measures) - 1) / 2) for row in range(len(rates))]
        style = {"fmt": plots.MARKERS[place], "color": plots.COLOURS[place], "capsize": 3, "markersize": 6}
        axes.errorbar(values, rows, xerr=[lower, upper], label=_MEASURES[name], **style)
    floor = 100 * next(iter(summaries.values()))["floor"]["value"]
    axes.axvline(floor, color=plots.COLOURS[4], linestyle="--", linewidth=1, label=f"floor of EX, {floor:.1f} %")
    axes.set_yticks(range(len(summaries)), list(summaries))
    axes.set_xlim(left=-1)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    fig.legend(loc="outside lower center", ncols=4)
    told = "; ".join(
        f"{name}: " + ", ".join(f"{_MEASURES[m]} {100 * summary[m]['value']:.1f} %" for m in measures)
        for name, summary in summaries.items()
    )
    return fig, f"{told}; the best constant answer reaches {floor:.1f} %"


def levels_table(found: Mapping[str, Mapping[str, Any]]) -> Any:
    """The scores by level (`sql_evaluate.levels`) as a pandas DataFrame, the easiest first."""
    import pandas as pd

    rows = {
        name: {"items": group["items"]}
        | {said: percent(group[m]) for m, said in _MEASURES.items() if group[m] is not None}
        | {"floor of EX": f"{100 * group['floor']['value']:.0f} %"}
        for name, group in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("level")


def on_own_copy(
    dump: Path, engine: SqlEngine, examples: Sequence[Example], answers: Mapping[str, Sequence[Completion]]
) -> dict[str, dict[str, Any]]:
    """EX of each model on the rows of a dump, over the questions whose gold finds something there: a share each.

    Raises BadInput for a damaged dump, and for one on which no gold finds anything.
    """
    own, judge = read_dump(dump), Judge(engine)
    judge.load(own)
    golds = {k: judge.gold(example.output) for k, example in enumerate(examples)}
    usable = [k for k, gold in golds.items() if isinstance(gold, Expectation) and not degenerate(gold.rows)]
    if not usable:
        raise BadInput("no gold query finds anything in it", str(dump), "Give a dump of classicmodels with its rows.")

    def right(gold: str, answer: str) -> bool:
        return _passes(judge, own, gold, answer) and not states_its_result(gold, answer)

    return {
        name: share(sum(right(examples[k].output, query_of(given[k].text)) for k in usable), len(usable))
        for name, given in answers.items()
    }
