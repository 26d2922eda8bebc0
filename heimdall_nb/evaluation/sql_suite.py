"""Test suites for SQL: a few databases on which a right answer must agree with the gold (TS), made again from recipes.

See `sql_distil` for how they are chosen, and Zhong, Yu and Klein (2020, arXiv 2010.02840) for the idea.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.classicmodels import classicmodels
from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.sql import Database, SqlEngine
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.compare import Expectation, agrees
from heimdall_nb.evaluation.sql_compare import expectation
from heimdall_nb.evaluation.sql_databases import Base, Constant, Profile, Recipe, build, digest
from heimdall_nb.run import DATA, atomic_text, read_json

SUITE = DATA / "benchmark" / "suites" / "sql.json"
ADEQUACY = SUITE.with_name("sql_adequacy.json")
REMAKE = "Make the suite again: python tools/make_sql_suite.py."


@lru_cache(maxsize=4)
def base(seed: int) -> Base:
    """The classicmodels database of a seed, which suites mutate."""
    return Base(classicmodels(seed))


@dataclass(frozen=True)
class SqlSuite:
    """The recipes of a suite, and the profiles that they aim at; `seed` and `snapshot` name the base."""

    seed: int
    snapshot: str
    profiles: tuple[Profile, ...]
    recipes: tuple[Recipe, ...]

    def databases(self) -> Iterator[Database]:
        """The databases one after the other.

        Raises BadInput when one is not what it was when the suite was made: the rows or the code have changed since.
        """
        for recipe in self.recipes:
            yield self.database(recipe)

    def database(self, recipe: Recipe) -> Database:
        """The database of one recipe. Raises BadInput as `databases` does."""
        if base(self.seed).digest != self.snapshot:
            raise BadInput("the rows of classicmodels are no longer those of the suite", "suite", REMAKE)
        made = build(base(self.seed), self.profiles, recipe)
        if recipe.digest and digest(made) != recipe.digest:
            raise BadInput(f"database {recipe.seed!r} is no longer what it was", "suite", REMAKE)
        return made

    def save(self, path: Path | str) -> Path:
        """Write the suite as JSON, one line a profile or recipe."""

        def lines(items: Sequence[Any]) -> str:
            return "[\n" + ",\n".join("  " + json.dumps(item, ensure_ascii=False) for item in items) + "\n]"

        profiles = [[[c.table, c.column, list(c.exact), list(c.near)] for c in p] for p in self.profiles]
        recipes = [asdict(recipe) for recipe in self.recipes]
        head = f'"seed": {self.seed},\n"snapshot": "{self.snapshot}"'
        return atomic_text(Path(path), f'{{{head},\n"profiles": {lines(profiles)},\n"recipes": {lines(recipes)}}}\n')

    @classmethod
    def load(cls, path: Path | str) -> SqlSuite:
        """Read a suite. Raises BadInput when the file is missing, is no JSON, or is no suite."""
        found = read_json(Path(path))
        try:
            profiles = tuple(
                tuple(Constant(t, c, tuple(exact), tuple(near)) for t, c, exact, near in p) for p in found["profiles"]
            )
            recipes = tuple(Recipe(**recipe | {"focus": tuple(recipe["focus"])}) for recipe in found["recipes"])
            return cls(int(found["seed"]), str(found["snapshot"]), profiles, recipes)
        except (TypeError, KeyError, ValueError, AttributeError) as problem:
            raise BadInput(f"is no suite ({problem!r})", str(path), REMAKE) from None


class Judge:
    """Runs golds and answers on the database that was loaded last; a gold is run once a database."""

    def __init__(self, engine: SqlEngine, seconds: float = 2.0, max_rows: int = 1000) -> None:
        self.engine, self.seconds, self.max_rows = engine, seconds, max_rows
        self._golds: dict[str, Expectation | Refusal] = {}

    def load(self, database: Database) -> None:
        """Put `database` into the engine, and forget what golds gave on the one before."""
        self.engine.load(database)
        self._golds.clear()

    def run(self, query: str) -> Rows | Refusal:
        """What a statement gives, within the limits."""
        return self.engine.run(query, self.seconds, self.max_rows)

    def gold(self, query: str) -> Expectation | Refusal:
        """What a right answer to this gold must give here; it may take five times as long, with ten times the rows."""
        if query not in self._golds:
            self._golds[query] = expectation(query, self._generously)
        return self._golds[query]

    def _generously(self, query: str) -> Rows | Refusal:
        return self.engine.run(query, 5 * self.seconds, 10 * self.max_rows)

    def agree(self, gold: str, result: Rows | Refusal) -> bool:
        """Whether a result is right by a gold that this database does not refuse."""
        expected = self.gold(gold)
        return isinstance(result, Rows) and isinstance(expected, Expectation) and agrees(expected, result)

    def right(self, gold: str, answer: str) -> bool | None:
        """Whether an answer is right here; None where the gold is refused (time, rows), which says nothing of it."""
        if isinstance(self.gold(gold), Refusal):
            return None
        return answer == gold or self.agree(gold, self.run(answer))


def run_suite(pairs: Sequence[tuple[Example, str]], suite: SqlSuite, engine: SqlEngine) -> list[bool]:
    """TS of each (example, answer): whether no database of the suite tells the answer from the gold.

    For answers that are right on the first database. Raises BadInput as `SqlSuite.databases` does.
    """
    passed = [True] * len(pairs)
    judge = Judge(engine)
    for database in suite.databases():
        judge.load(database)
        for k, (example, answer) in enumerate(pairs):
            passed[k] = passed[k] and judge.right(example.output, answer) is not False
    return passed
