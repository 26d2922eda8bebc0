"""Distilling a suite for SQL: keep a database only if it tells a gold from a neighbour that no kept one tells.

Each candidate aims at the golds with the most neighbours left. As for Cypher (`distil`), adequacy says how much the
suite is worth: of the neighbours that any database tells from the gold, the share that the suite tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import SqlEngine
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.evaluation.compare import Expectation
from heimdall_nb.evaluation.distil import Adequacy, Case
from heimdall_nb.evaluation.sql_databases import build, digest, draw_recipe, profile
from heimdall_nb.evaluation.sql_neighbours import KINDS, neighbours
from heimdall_nb.evaluation.sql_suite import Judge, SqlSuite, base
from heimdall_nb.progress import track

FOCUS = 8  # golds that a database aims at
REQUIRED = 0.97  # share of the non-equivalent neighbours that the committed suite tells apart
SETTINGS = {"seed": 2026, "candidates": 40, "patience": 6, "pool": 16, "per_item": 16}  # of the committed suite


def distil_sql(
    examples: Sequence[Example],
    engine: SqlEngine,
    database_seed: int = 7,
    seed: int = 2026,
    candidates: int = 40,
    patience: int = 8,
    pool: int = 20,
    per_item: int = 0,
    seconds: float = 2.0,
) -> tuple[SqlSuite, Adequacy]:
    """A suite for the SQL `examples`, and how much it tells apart.

    At most `candidates` databases are tried; the search ends when `patience` in a row tell nothing new. Neighbours that
    are left are run on a `pool` of further databases: what one of them tells apart was missed. `per_item` limits the
    neighbours of an item to so many drawn at random (0: all). Same arguments, same suite.
    """
    work = _Distiller(examples, Judge(engine, seconds), database_seed, seed)
    work.first(per_item)
    kept, useless = [], 0
    for number in track(range(candidates), "databases", total=candidates):
        if useless >= patience or not work.left():
            break
        recipe = draw_recipe(f"{seed} {number}", work.focus(number))
        database = build(work.base, work.profiles, recipe)
        told = work.tell(database, "suite")
        useless = 0 if told else useless + 1
        if told:
            kept.append(replace(recipe, digest=digest(database)))
            work.note_found()
    suite = SqlSuite(database_seed, work.base.digest, tuple(work.profiles), tuple(kept))
    for number in track(range(pool), "further databases", total=pool):
        # Every other one aims at what is left, so that a gap of the suite is looked for and not waited for.
        focus = work.focus(candidates + number) if number % 2 else work.any_focus(candidates + number)
        work.tell(build(work.base, work.profiles, draw_recipe(f"{seed} pool {number}", focus)), "missed")
    refused = set(work.adequacy.refused)
    golds = {e.id: e.output for e in examples if e.id not in refused}
    work.adequacy.empty = [identity for identity, gold in golds.items() if gold not in work.found]
    return suite, work.adequacy


class _Distiller:
    """The neighbours of all golds, and what became of each."""

    def __init__(self, examples: Sequence[Example], judge: Judge, database_seed: int, seed: int) -> None:
        self.examples, self.judge, self.seed = examples, judge, seed
        self.base = base(database_seed)
        self.profiles = [profile(example.output, self.base.database) for example in examples]
        self.adequacy = Adequacy()
        self.found: set[str] = set()  # golds that find something on a database of the suite

    def first(self, per_item: int) -> None:
        """Make the neighbours, leave out what does not run, and note what the first database tells apart."""
        self.judge.load(self.base.database)
        for example in track(self.examples, "neighbours"):
            if isinstance(self.judge.gold(example.output), Refusal):
                self.adequacy.refused.append(example.id)
                continue
            made = neighbours(example.output, self.base.database)
            if 0 < per_item < len(made):
                made = Random(f"neighbours {self.seed} {example.id}").sample(made, per_item)
            for neighbour in made:
                if refusal(neighbour.query, self.base.database):
                    continue
                result = self.judge.run(neighbour.query)
                if isinstance(result, Refusal) and result.kind in ("syntax", "schema", "engine"):
                    continue
                told = not self.judge.agree(example.output, result)
                self.adequacy.cases.append(Case(example, neighbour, "first" if told else "none"))

    def left(self) -> Counter[str]:
        """How many neighbours of each gold no database tells so far, by the id of the item."""
        return Counter(case.example.id for case in self.adequacy.cases if case.outcome == "none")

    def focus(self, number: int) -> list[int]:
        """The golds to aim at next: drawn from those with neighbours left, the more of them the likelier."""
        left, rng = self.left(), Random(f"focus {self.seed} {number}")
        weights = {k: left[example.id] for k, example in enumerate(self.examples) if left[example.id]}
        ranked = sorted(weights, key=lambda k: -(rng.random() ** (1 / weights[k])))  # Efraimidis and Spirakis 2006
        return sorted(ranked[:FOCUS])

    def any_focus(self, number: int) -> list[int]:
        """Golds to aim at, whatever is left."""
        rng = Random(f"any focus {self.seed} {number}")
        return sorted(rng.sample(range(len(self.examples)), min(FOCUS, len(self.examples))))

    def tell(self, database: Any, outcome: str) -> int:
        """Run the neighbours that are left; those that this database tells apart get `outcome`. How many?"""
        self.judge.load(database)
        told = 0
        for case in self.adequacy.cases:
            if case.outcome == "none" and self.judge.right(case.example.output, case.neighbour.query) is False:
                case.outcome = outcome
                told += 1
        return told

    def note_found(self) -> None:
        """Note which golds find something on the database that is loaded."""
        for gold in {example.output: None for example in self.examples}:
            expected = self.judge.gold(gold) if gold not in self.found else None
            if isinstance(expected, Expectation) and expected.rows.rows:
                self.found.add(gold)


def report(adequacy: Adequacy) -> dict[str, Any]:
    """The adequacy as plain data: of all neighbours, by kind of edit, and every neighbour that only the pool tells."""
    by_edit = adequacy.counts(lambda case: case.neighbour.edit)
    missed = [case.record() for case in adequacy.cases if case.outcome == "missed"]
    untold: Mapping[str, int] = Counter(case.neighbour.edit for case in adequacy.cases if case.outcome == "none")
    return {
        "all": adequacy.counts().get("all", {}),
        "edits": {edit: by_edit[edit] for edit in KINDS if edit in by_edit},
        "refused": adequacy.refused,
        "empty": adequacy.empty,
        "missed": missed,
        "told by none": dict(untold),
    }
