"""Distilling a test suite: keep a random graph only if it tells a gold query from a neighbour that no kept one tells.

Adequacy says how much that is worth: of the neighbours that are not the gold in other words, which share does the
suite tell apart, and which does the first graph alone (all that EX sees)?
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal
from heimdall_nb.evaluation.neighbours import EDITS, Neighbour, neighbours
from heimdall_nb.evaluation.suite import Judge, Suite, SuiteGraphs
from heimdall_nb.evaluation.suite_graphs import Frame, build, digest, draw_recipe, frame
from heimdall_nb.progress import track

# How a neighbour was told from its gold. `missed`: only by the wider pool; `none`: by no graph at all.
OUTCOMES = ("first", "suite", "missed", "none", "rule", "rule broken")
RULES_TRIED = 8  # graphs of the pool on which the neighbours that a rule calls equivalent are run all the same


@dataclass
class Case:
    """A neighbour of an example's gold, and how it was told apart (one of OUTCOMES)."""

    example: Example
    neighbour: Neighbour
    outcome: str = "none"

    def record(self) -> dict[str, str]:
        """The case as plain text, for a report."""
        n = self.neighbour
        shown = {"id": self.example.id, "graph": str(self.example.graph), "edit": n.edit, "change": n.change}
        return shown | {"outcome": self.outcome, "gold": self.example.output, "neighbour": n.query}


@dataclass
class Adequacy:
    """All neighbours with their outcomes, and the items whose gold is refused or finds nothing on the suite."""

    cases: list[Case] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # ids: the gold does not run on the first graph
    empty: list[str] = field(default_factory=list)  # ids: the gold finds nothing on any kept graph

    def counts(self, key: Callable[[Case], str] | None = None) -> dict[str, dict[str, Any]]:
        """Neighbours by outcome with `first_share` and `suite_share` of the non-equivalent ones; by `key`, or as `all`.

        A neighbour counts as non-equivalent when any graph tells it from its gold: first, suite or pool.
        """
        found: dict[str, Counter[str]] = {}
        for case in self.cases:
            found.setdefault(key(case) if key else "all", Counter())[case.outcome] += 1
        return {name: _shares(counter) for name, counter in found.items()}

    def by_edit(self) -> dict[str, dict[str, Any]]:
        """The counts by kind of edit, in the order of EDITS."""
        found = self.counts(lambda case: case.neighbour.edit)
        return {edit: found[edit] for edit in EDITS if edit in found}

    def by_graph(self) -> dict[str, dict[str, Any]]:
        """The counts by graph."""
        return self.counts(lambda case: str(case.example.graph))

    def survivors(self) -> list[Case]:
        """The neighbours that the suite does not tell from their gold, and no rule calls equivalent."""
        return [case for case in self.cases if case.outcome in ("missed", "none")]


def _shares(counter: Counter[str]) -> dict[str, Any]:
    told = {name: counter[name] for name in OUTCOMES}
    different = sum(counter[name] for name in ("first", "suite", "missed", "rule broken"))
    shares = {
        "first_share": round(counter["first"] / different, 4) if different else 1.0,
        "suite_share": round((counter["first"] + counter["suite"]) / different, 4) if different else 1.0,
    }
    return {"neighbours": counter.total(), **told, **shares}


def distil(
    examples: Sequence[Example],
    schema_of: Callable[[str], GraphSchema],
    instance_of: Callable[[str], GraphInstance],
    engine: GraphEngine,
    seed: int = 2026,
    candidates: int = 40,
    keep: int = 20,
    least: int = 10,
    patience: int = 12,
    pool: int = 0,
    per_item: int = 0,
    seconds: float = 1.0,
    max_rows: int = 1000,
) -> tuple[Suite, Adequacy]:
    """A suite for the executed Cypher `examples`, and how much it tells apart.

    At most `candidates` random graphs a schema are tried and `keep` kept, and the search ends when `patience` in a row
    tell nothing new; where fewer than `least` tell something, the first of the others fill up. With `pool`, neighbours
    that are left are run on so many further graphs: whatever one of them tells apart was missed. `per_item` limits the
    neighbours of an item to so many drawn at random (0: all), where time is short. Same arguments, same suite.
    """
    graphs: dict[str, SuiteGraphs] = {}
    adequacy = Adequacy()
    names = list(dict.fromkeys(str(example.graph) for example in examples))
    for name in track(names, "test suite", total=len(names)):
        here = [example for example in examples if example.graph == name]
        work = _Distiller(schema_of(name), Judge(engine, seconds, max_rows), seed)
        work.first_graph(here, instance_of(name), check_rules=pool > 0, per_item=per_item)
        graphs[name] = work.choose(candidates, keep, least, patience)
        work.wider_pool(pool)
        adequacy.cases += work.cases
        adequacy.refused += work.refused
        adequacy.empty += [e.id for e in here if e.id not in work.refused and e.output not in work.found]
    return Suite(graphs, schema_of), adequacy


class _Distiller:
    """The work on one schema."""

    def __init__(self, schema: GraphSchema, judge: Judge, seed: int) -> None:
        self.schema, self.judge, self.seed = schema, judge, seed
        self.cases: list[Case] = []
        self.refused: list[str] = []
        self.golds: list[str] = []
        self.found: set[str] = set()  # golds that find something on a graph of the suite
        self.frame = Frame({}, ())

    def first_graph(
        self, examples: Sequence[Example], instance: GraphInstance, check_rules: bool, per_item: int
    ) -> None:
        """Make the neighbours, leave out what does not run at all, and note what the first graph tells apart."""
        self.judge.load(instance)
        for example in examples:
            if isinstance(self.judge.gold(example.output), Refusal):
                self.refused.append(example.id)
                continue
            found = neighbours(example.output, self.schema)
            if 0 < per_item < len(found):
                found = random.Random(f"neighbours {self.seed} {example.id}").sample(found, per_item)
            for neighbour in found:
                if neighbour.rule and not check_rules:
                    self.cases.append(Case(example, neighbour, "rule"))
                    continue
                result = self.judge.result(neighbour.query, example.output)
                if isinstance(result, Refusal) and result.kind in ("syntax", "schema"):
                    continue
                case = Case(example, neighbour, "rule" if neighbour.rule else "none")
                self.cases.append(case)
                if not self.judge.agree(example.output, result):
                    case.outcome = "rule broken" if neighbour.rule else "first"
        self.golds = [example.output for example in examples if example.id not in self.refused]
        self.frame = frame(self.schema, instance, self.golds)

    def choose(self, candidates: int, keep: int, least: int, patience: int) -> SuiteGraphs:
        """Try random graphs, keep those that tell something new, and fill up to `least`."""
        kept, others, useless = [], [], 0
        for number in range(candidates):
            enough = not any(self.open("none")) and len(kept) + len(others) >= least
            if len(kept) == keep or useless >= patience or enough:
                break
            recipe = draw_recipe(f"{self.seed} {number}")
            instance = build(self.schema, self.frame, recipe)
            recipe = replace(recipe, digest=digest(instance))
            told = self.tell(instance, "none", "suite")
            useless = 0 if told else useless + 1
            (kept if told else others).append(recipe)
            if told or len(kept) + len(others) <= least:
                self.note_found()
        return SuiteGraphs(self.frame, tuple(kept + others[: max(0, least - len(kept))]))

    def note_found(self) -> None:
        """Note which golds find something on the graph that is loaded; a write is taken to."""
        for gold in self.golds:
            if gold not in self.found:
                expected = self.judge.gold(gold)
                if not isinstance(expected, Refusal) and expected.rows.rows:
                    self.found.add(gold)

    def open(self, outcome: str) -> Iterator[Case]:
        """The cases with this outcome."""
        return (case for case in self.cases if case.outcome == outcome)

    def tell(self, instance: GraphInstance, before: str, after: str) -> int:
        """Run the cases whose outcome is `before`; those that this graph tells apart become `after`. How many?"""
        self.judge.load(instance)
        told = 0
        for case in list(self.open(before)):
            gold = self.judge.gold(case.example.output)
            if isinstance(gold, Refusal):
                continue
            if not self.judge.agree(case.example.output, self.judge.result(case.neighbour.query, case.example.output)):
                case.outcome = after
                told += 1
        return told

    def wider_pool(self, size: int) -> None:
        """Run what is left on further graphs, and for a few of them what the rules call equivalent."""
        for number in range(size):
            instance = build(self.schema, self.frame, draw_recipe(f"{self.seed} pool {number}"))
            self.tell(instance, "none", "missed")
            if number < RULES_TRIED:
                self.tell(instance, "rule", "rule broken")


def report(adequacy: Mapping[str, Adequacy]) -> dict[str, Any]:
    """The adequacy of several sets as plain data: all, by edit, by graph, survivors, rules."""
    return {
        name: {
            "all": found.counts().get("all", _shares(Counter())),
            "edits": found.by_edit(),
            "graphs": found.by_graph(),
            "rules": dict(sorted(Counter(c.neighbour.rule for c in found.cases if c.outcome == "rule").items())),
            "refused": found.refused,
            "empty": found.empty,
            "survivors": [case.record() for case in found.survivors()],
        }
        for name, found in adequacy.items()
    }
