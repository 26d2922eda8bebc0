"""A whole evaluation of text to SQL: ask a model, score by VA, EX and TS, keep answers and verdicts, and go on later.

VA (valid answer): sqlglot qualifies the statement against the schema, EXPLAIN takes it where the engine is a server,
and it runs within the limits. EX: its rows are the gold's, and it reads them from tables. TS: it is right on every
database of a suite as well (`sql_suite`). So TS <= EX <= VA for each item.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.sql import result_hash
from heimdall_nb.dataset.sql_curated import DATABASE_SEED, committed
from heimdall_nb.dataset.sql_forms import LEVELS, level
from heimdall_nb.engines.choose import sql_engine
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.mariadb import PRIVATE, MariaDB
from heimdall_nb.engines.mariadb_server import missing
from heimdall_nb.engines.sql import SqlEngine
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.engines.sql_connect import target
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation import sql_page
from heimdall_nb.evaluation.answers import answer_examples
from heimdall_nb.evaluation.metrics import ItemScore, cause_of, constant_floor, item_score, share, summary
from heimdall_nb.evaluation.report import percent
from heimdall_nb.evaluation.sql_compare import states_its_result
from heimdall_nb.evaluation.sql_scores import exact_match
from heimdall_nb.evaluation.sql_suite import SUITE, Judge, SqlSuite, base
from heimdall_nb.models.answers import append, query_of, stored
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.progress import track
from heimdall_nb.run import git_commit, sha256, write_json

SET = "sql"  # the name of the committed test set
EMBEDDED = "sqlite"  # the address that always means the embedded engine
SCORING = 1  # goes up when verdicts are given in another way: verdicts that were kept then count no more
DATABASE = "classicmodels"


def is_sql(examples: Sequence[Example]) -> bool:
    """Whether examples are questions about the classicmodels database."""
    return bool(examples) and all(e.part == "sql" and e.graph == DATABASE for e in examples)


def open_engine(address: str = "") -> SqlEngine:
    """The engine of an address (`choose.sql_engine`), nothing loaded; "sqlite" is the embedded one.

    Without an address: the server that the environment names, a private MariaDB where one can be started, else SQLite.
    Raises BadInput when there is no server.
    """
    if address == EMBEDDED:
        return SQLite()
    return sql_engine(address if address or target() or missing() else PRIVATE)


@dataclass
class _Kept:
    """Verdicts by key, kept in a file as they come."""

    path: Path
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = {record["key"]: record for record in stored(self.path, {"key"})}

    def add(self, records: Sequence[dict[str, Any]]) -> None:
        """Keep further verdicts, safely on the disk when this returns."""
        if records:
            append(self.path, records)
            self.known |= {record["key"]: record for record in records}


@dataclass(frozen=True)
class SqlScorer:
    """Scores answers on one engine and keeps the verdicts in `path`, so that a scoring which was cut off goes on."""

    engine: SqlEngine
    path: Path
    seed: int = DATABASE_SEED
    seconds: float = 2.0
    max_rows: int = 1000

    def score(
        self, examples: Sequence[Example], completions: Sequence[Completion], suite: SqlSuite | None = None
    ) -> list[ItemScore]:
        """The scores in the order of the examples; `ts` is None without a suite.

        Raises BadInput for a gold that is refused, or gives other rows than when the set was made;
        HeimdallError when the connection to the server is lost: verdicts so far are kept, and scoring again goes on.
        """
        kept = _Kept(self.path)
        try:
            scores = self._first(examples, completions, kept)
            return scores if suite is None else self._suite(examples, scores, suite, kept)
        except _Lost as problem:
            raise HeimdallError(
                f"{problem} {len(kept.known)} verdicts are kept in {self.path}: the same command goes on from there."
            ) from None

    def _first(self, examples: Sequence[Example], completions: Sequence[Completion], kept: _Kept) -> list[ItemScore]:
        database = base(self.seed)
        judge = Judge(_Watched(self.engine), self.seconds, self.max_rows)
        self.engine.load(database.database)  # what fails here is bad input, not a loss on the way
        found = []
        for example, completion in track(list(zip(examples, completions, strict=True)), "scoring"):
            rows = self._gold_rows(example, judge)
            query = query_of(completion.text)
            key = self._key(example.output, query, completion.outcome, database.digest)
            if key not in kept.known:
                kept.add([{"key": key, "id": example.id, **self._verdict(example, completion, query, judge)}])
            verdict = {name: value for name, value in kept.known[key].items() if name not in ("key", "id")}
            found.append(item_score(example, completion, query, gold_rows=rows, **verdict))
        return found

    def _gold_rows(self, example: Example, judge: Judge) -> Rows:
        expected = judge.gold(example.output)
        if isinstance(expected, Refusal):
            what = f"the gold query is refused ({expected.message})"
            raise BadInput(what, f"example {example.id}", "Generate it again.")
        rows = expected.rows
        if example.answer and result_hash(example.output, rows) != example.answer:
            what = "the gold gives other rows than when the set was made"
            raise BadInput(what, f"example {example.id}", "The rows of classicmodels changed: make the set again.")
        return rows

    def _verdict(self, example: Example, completion: Completion, query: str, judge: Judge) -> dict[str, Any]:
        result: Rows | Refusal | None = refusal(query, base(self.seed).database)
        if result is None and isinstance(self.engine, MariaDB):
            result = judge.engine.parse(query)  # EXPLAIN
        result = result or judge.run(query)
        valid = isinstance(result, Rows)
        blind = valid and states_its_result(example.output, query)
        right = valid and not blind and judge.agree(example.output, result)
        cause, message = cause_of(query, completion, result, (), right)
        message = "the answer does not read the database" if blind else message
        verdict = {"va": valid, "ex": right, "em": exact_match(example.output, query)}
        return verdict | {"cause": cause, "message": message}

    def _suite(
        self, examples: Sequence[Example], scores: list[ItemScore], suite: SqlSuite, kept: _Kept
    ) -> list[ItemScore]:
        open_items = [k for k, score in enumerate(scores) if score.ex]
        failed: set[int] = set()
        judge = Judge(_Watched(self.engine), self.seconds, self.max_rows)
        for recipe in track(suite.recipes, "test suite"):
            keys = {
                k: self._key(examples[k].output, scores[k].answer, "", recipe.digest)
                for k in open_items
                if k not in failed
            }
            unknown = {key: k for k, key in keys.items() if key not in kept.known}
            if unknown:
                judge.load(suite.database(recipe))
                kept.add(
                    [
                        {"key": key, "id": examples[k].id, "right": judge.right(examples[k].output, scores[k].answer)}
                        for key, k in unknown.items()
                    ]
                )
            failed |= {k for k, key in keys.items() if kept.known[key]["right"] is False}
        passed = set(open_items) - failed
        return [replace(score, ts=k in passed) for k, score in enumerate(scores)]

    def _key(self, *parts: str) -> str:
        """All that a verdict depends on: gold, answer, outcome, database, engine, limits, way of scoring."""
        how = (engine_name(self.engine), str(self.seconds), str(self.max_rows), str(SCORING))
        return hashlib.sha256("\0".join([*parts, *how]).encode()).hexdigest()[:20]


class _Lost(HeimdallError):
    """The engine itself failed, not a statement."""


class _Watched:
    """An engine whose own failures, such as a lost connection, can be told from bad input."""

    def __init__(self, engine: SqlEngine) -> None:
        self.engine = engine

    def load(self, database: Any) -> None:
        self._call(self.engine.load, database)

    def run(self, *arguments: Any) -> Rows | Refusal:
        return self._call(self.engine.run, *arguments)

    def parse(self, query: str) -> Refusal | None:
        return self._call(self.engine.parse, query)

    def close(self) -> None:
        self.engine.close()

    def _call(self, what: Any, *arguments: Any) -> Any:
        try:
            return what(*arguments)
        except HeimdallError as problem:
            raise _Lost(str(problem)) from None


def engine_name(engine: SqlEngine) -> str:
    """The engine as result files name it: what answers may depend on, and no address."""
    if isinstance(engine, SQLite):
        return f"SQLite {sqlite3.sqlite_version}, sqlglot {version_of('sqlglot')}"
    return "MariaDB or MySQL server" if getattr(engine, "server", None) is None else "private MariaDB"


def evaluate(
    model: LanguageModel,
    examples: Sequence[Example],
    folder: Path,
    engine: SqlEngine,
    *,
    examples_name: str = SET,
    suite: SqlSuite | None = None,
    max_new_tokens: int = 192,
    version: str = "",
    seconds: float = 2.0,
    max_rows: int = 1000,
) -> tuple[list[ItemScore], dict[str, Any]]:
    """Ask `model` each question, score the answers on `engine`, and keep all in `folder`; the scores and their summary.

    Files: answers.jsonl, verdicts.jsonl, scores.json (with the hashes of database, test set and suite), report.html.
    `version` is a hash of the model: what the same model has answered is not asked again, and what was scored is not
    scored again, also after a kill or a lost connection. Raises as `SqlScorer.score` does, and BadInput for examples
    about other databases.
    """
    if not is_sql(examples):
        what = f"are not all questions about {DATABASE}"
        raise BadInput(what, examples_name, "Give --examples sql, or a file of examples of that database alone.")
    completions = answer_examples(model, examples, folder / "answers.jsonl", max_new_tokens, version)
    scorer = SqlScorer(engine, folder / "verdicts.jsonl", DATABASE_SEED, seconds, max_rows)
    scores = scorer.score(examples, completions, suite)
    found = summary(scores) | {"level": levels(scores), "model": model.name, "examples": examples_name}
    found["engine"] = engine_name(engine)
    found["hashes"] = {
        "database": base(DATABASE_SEED).digest,
        "test_set": test_set_hash(examples),
        "suite": suite_hash(suite) if suite else None,
        "model": version,
    }
    found["parameters"] = {
        **{"database_seed": DATABASE_SEED, "seconds": seconds, "max_rows": max_rows, "temperature": 0},
        **{"max_new_tokens": max_new_tokens, "suite_databases": len(suite.recipes) if suite else 0},
        "commit": git_commit(),
    }
    if suite is None:
        found["ts_missing"] = "TS was not computed: there is no test suite for these examples."
    write_json(folder / "scores.json", {"summary": found, "items": [_record(score) for score in scores]})
    sql_page.write(scores, text(found), f"Text to SQL: {model.name} on {examples_name}", folder / "report.html")
    return scores, found


def _record(score: ItemScore) -> dict[str, Any]:
    """A score as it is kept: without the rows, which the database gives again."""
    kept = {name: value for name, value in vars(score).items() if name not in ("rows", "gold_rows", "hints")}
    return kept | {"level": level(score.gold)}


def levels(scores: Sequence[ItemScore]) -> dict[str, dict[str, Any]]:
    """For each level that occurs, from easy to extra: items, VA, EX and TS with intervals, and the constant floor."""
    groups = {name: [score for score in scores if level(score.gold) == name] for name in LEVELS}
    return {
        name: {
            "items": len(group),
            "va": share(sum(s.va for s in group), len(group)),
            "ex": share(sum(s.ex for s in group), len(group)),
            "ts": share(sum(bool(s.ts) for s in group), len(group)) if group[0].ts is not None else None,
            "floor": {k: v for k, v in constant_floor(group).items() if k != "rows"},
        }
        for name, group in groups.items()
        if group
    }


def test_set_hash(examples: Iterable[Example]) -> str:
    """A hash of what is asked and what is right: questions, schemas and golds, in order."""
    content = [[example.question, example.schema, example.output] for example in examples]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


test_set_hash.__test__ = False  # type: ignore[attr-defined]  # no test, though pytest collects what is called so


def suite_hash(suite: SqlSuite) -> str:
    """A hash of the suite's databases."""
    digests = [suite.snapshot, *(recipe.digest for recipe in suite.recipes)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def text(found: Mapping[str, Any]) -> str:
    """The summary as text for a terminal."""
    from heimdall_nb.dataset.validation_report import table

    names = {"va": "valid answers, VA", "ex": "execution accuracy, EX", "ts": "test suite, TS", "em": "exact match, EM"}
    rows = [(said, percent(found[name])) for name, said in names.items()]
    rows.append(("floor (constant answer)", percent(found["floor"])))
    rows.append(("seconds, median and p95", f"{found['seconds']['median']:.3f} and {found['seconds']['p95']:.3f}"))
    groups = [
        (name, group["items"], *(percent(group[score]) for score in ("va", "ex", "ts", "floor")))
        for name, group in found["level"].items()
    ]
    hashes = ", ".join(f"{name} {value}" for name, value in found["hashes"].items() if value and name != "model")
    lines = [f"{found['model']} on {found['examples']}: {found['items']} items on {found['engine']}"]
    lines += [table(("score", "value"), rows), *filter(None, [found.get("ts_missing", "")])]
    lines.append(table(("level", "items", "VA", "EX", "TS", "floor"), groups))
    lines.append(table(("cause", "items"), found["causes"].items()))
    lines.append("Perplexity and similarity are not computed for SQL.")
    return "\n\n".join([*lines, f"hashes: {hashes}"])


def run(
    model: LanguageModel,
    examples: Sequence[Example],
    examples_name: str,
    output: Path,
    model_path: Path,
    suite_path: Path | None = None,
    engine_address: str = "",
    max_new_tokens: int = 192,
) -> tuple[list[ItemScore], dict[str, Any]]:
    """`evaluate` with the engine of an address and a suite file: what the command does.

    Without `suite_path`, the committed suite is taken: it was made for the committed set, and its databases serve any
    question about classicmodels.
    """
    suite = SqlSuite.load(suite_path or SUITE) if suite_path or SUITE.exists() else None
    with closing(open_engine(engine_address)) as engine:
        return evaluate(
            model,
            examples,
            output,
            engine,
            examples_name=examples_name,
            suite=suite,
            max_new_tokens=max_new_tokens,
            version=sha256(model_path),
        )


def open_set() -> list[Example]:
    """The committed test set."""
    return committed("test")
