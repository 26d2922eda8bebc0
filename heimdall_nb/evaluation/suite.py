"""Test suites for Cypher: a few graphs per schema on which a right answer must agree with the gold (TS).

A suite is a small JSON file; its graphs are made again from recipes, byte for byte. See `distil` for how they are
chosen, and Zhong, Yu and Klein (2020, arXiv 2010.02840) for the idea.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import GraphSchema, load_schema
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal, Rows
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.compare import Expectation
from heimdall_nb.evaluation.execute import Executor, right
from heimdall_nb.evaluation.suite_graphs import Constant, Frame, Recipe, build, digest
from heimdall_nb.run import atomic_text, read_json

REMAKE = "Make the suite again (data/benchmark: python tools/make_suites.py)."


@dataclass(frozen=True)
class SuiteGraphs:
    """The graphs of one schema: what they share, and a recipe for each."""

    frame: Frame
    recipes: tuple[Recipe, ...]


@dataclass(frozen=True)
class Suite:
    """The graphs of a test suite by name of their schema; `schema_of` gives a schema by its name."""

    graphs: Mapping[str, SuiteGraphs]
    schema_of: Callable[[str], GraphSchema] = field(default=load_schema, compare=False)

    def instances(self, graph: str) -> Iterator[GraphInstance]:
        """The suite's graphs of a schema, one after the other.

        Raises BadInput when the suite has none, or when a graph is not what it was when the suite was made (its schema
        or the code that fills it has changed since).
        """
        if graph not in self.graphs:
            raise BadInput(f"the suite has no graphs of {graph!r}", "suite", REMAKE)
        schema, entry = self.schema_of(graph), self.graphs[graph]
        for recipe in entry.recipes:
            instance = build(schema, entry.frame, recipe)
            if recipe.digest and digest(instance) != recipe.digest:
                raise BadInput(f"graph {recipe.seed!r} is no longer what it was", "suite", REMAKE)
            yield instance

    def save(self, path: Path | str) -> Path:
        """Write the suite as JSON, one line a profile or recipe."""
        graphs = {name: _written(entry) for name, entry in self.graphs.items()}
        body = ",\n".join(f"{json.dumps(name, ensure_ascii=False)}: {text}" for name, text in graphs.items())
        return atomic_text(Path(path), f"{{\n{body}\n}}\n")

    @classmethod
    def load(cls, path: Path | str, schema_of: Callable[[str], GraphSchema] = load_schema) -> Suite:
        """Read a suite. Raises BadInput when the file is missing, is no JSON, or is no suite."""
        document = read_json(Path(path))
        try:
            return cls({name: _read(entry) for name, entry in document.items()}, schema_of)
        except (TypeError, KeyError, ValueError, AttributeError) as problem:
            raise BadInput(f"is no suite ({problem!r})", str(path), REMAKE) from None


def _written(entry: SuiteGraphs) -> str:
    def lines(items: Sequence[Any]) -> str:
        return "[\n" + ",\n".join("  " + json.dumps(item, ensure_ascii=False) for item in items) + "\n]"

    profiles = [[[c.owner, c.property, c.value] for c in profile] for profile in entry.frame.profiles]
    keys = json.dumps({name: list(values) for name, values in entry.frame.keys.items()}, ensure_ascii=False)
    recipes = lines([asdict(recipe) for recipe in entry.recipes])
    return f'{{"keys": {keys},\n"profiles": {lines(profiles)},\n"recipes": {recipes}}}'


def _read(entry: Mapping[str, Any]) -> SuiteGraphs:
    keys = {name: tuple(values) for name, values in entry["keys"].items()}
    profiles = tuple(tuple(Constant(*constant) for constant in profile) for profile in entry["profiles"])
    return SuiteGraphs(Frame(keys, profiles), tuple(Recipe(**recipe) for recipe in entry["recipes"]))


class Judge:
    """Runs golds and answers on the graph that was loaded last; a gold is run once a graph."""

    def __init__(self, engine: GraphEngine, seconds: float = 2.0, max_rows: int = 1000) -> None:
        self.engine = engine
        self._executor = Executor(engine, _no_instance, seconds, max_rows)
        self._golds: dict[str, Expectation | Refusal] = {}

    def load(self, instance: GraphInstance) -> None:
        """Put `instance` into the engine, and forget what golds gave on the one before."""
        self.engine.load(instance)
        self._golds.clear()

    def gold(self, query: str) -> Expectation | Refusal:
        """What a right answer to this gold must give on this graph: rows of a read, the whole graph after a write."""
        if query not in self._golds:
            self._golds[query] = self._executor.expected(query)
        return self._golds[query]

    def result(self, answer: str, gold: str) -> Rows | Refusal:
        """What `answer` gives; it may write where its gold does."""
        return self._executor.result(answer, writes(gold))

    def agree(self, gold: str, result: Rows | Refusal) -> bool:
        """Whether a result is right by a gold that this graph does not refuse."""
        expected = self.gold(gold)
        if isinstance(result, Refusal) or isinstance(expected, Refusal):
            return False
        return right(gold, expected, result)


def _no_instance(graph: str) -> GraphInstance:
    raise LookupError(graph)  # the judge loads graphs itself


@dataclass(frozen=True)
class SuiteScore:
    """One answer on a suite: right on all graphs; how many were used, refused the gold, or gave the gold no rows."""

    passed: bool
    graphs: int
    refused: int
    empty: int


def run_suite(
    pairs: Sequence[tuple[Example, str]], suite: Suite, engine: GraphEngine, seconds: float = 2.0, max_rows: int = 1000
) -> list[SuiteScore]:
    """Run each (example, answer) on the suite's graphs of the example, until one tells them apart.

    A graph on which the gold itself is refused (time, rows) says nothing about this answer, and is left out.
    Raises BadInput for an example whose graph the suite does not have.
    """
    counts = [Counter[str]() for _ in pairs]
    failed: set[int] = set()
    judge = Judge(engine, seconds, max_rows)
    for graph in dict.fromkeys(str(example.graph) for example, _ in pairs):
        here = [k for k, (example, _) in enumerate(pairs) if example.graph == graph]
        for instance in suite.instances(graph):
            open_here = [k for k in here if k not in failed]
            if not open_here:
                break
            judge.load(instance)
            for k in open_here:
                outcome = _on_graph(judge, pairs[k][0].output, pairs[k][1])
                counts[k].update(outcome)
                if "wrong" in outcome:
                    failed.add(k)
    return [SuiteScore(k not in failed, c["used"], c["refused"], c["empty"]) for k, c in enumerate(counts)]


def _on_graph(judge: Judge, gold: str, answer: str) -> list[str]:
    expected = judge.gold(gold)
    if isinstance(expected, Refusal):
        return ["refused"]
    found = ["used"] if expected.rows.rows else ["used", "empty"]
    right = answer == gold or judge.agree(gold, judge.result(answer, gold))
    return found if right else [*found, "wrong"]


def test_suite_scores(
    pairs: Sequence[tuple[Example, str]], suite: Suite, engine: GraphEngine, seconds: float = 2.0, max_rows: int = 1000
) -> list[bool]:
    """TS of each (example, answer): whether the answer gives what the gold gives on every graph of the suite.

    For answers that are right on the first graph. Raises BadInput as `run_suite` does, which tells more of each.
    """
    return [score.passed for score in run_suite(pairs, suite, engine, seconds, max_rows)]


test_suite_scores.__test__ = False  # type: ignore[attr-defined]  # no test, though pytest collects what is called so
