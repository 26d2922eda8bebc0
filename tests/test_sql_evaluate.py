"""The evaluation of text to SQL: scores on both engines, traps, hashes, levels, and going on after a lost server."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.sql_curated import committed
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.mariadb import PRIVATE, MariaDB
from heimdall_nb.engines.mariadb_server import missing
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation import sql_evaluate
from heimdall_nb.evaluation.evaluate import open_examples, run
from heimdall_nb.evaluation.metrics import check_order
from heimdall_nb.evaluation.sql_evaluate import EMBEDDED, SqlScorer, evaluate, open_engine
from heimdall_nb.evaluation.sql_suite import SUITE, SqlSuite
from heimdall_nb.models.protocol import Completion

needs_server = pytest.mark.skipif(bool(missing()), reason=missing())
ITEMS = committed("test")[::20]  # ten


def item(gold: str) -> Example:
    return Example("", gold, gold, "any", "small", part="sql", graph="classicmodels", check="executed").with_id()


PAIRS = {  # gold, answer, (va, ex, ts)
    "gold": ("SELECT city FROM offices", "SELECT city FROM offices", (True, True, True)),
    "other words": (
        "SELECT customerName FROM customers WHERE country <> 'Sweden' AND creditLimit = 0",
        "select c.customerName from customers c where not c.country = 'Sweden' and c.creditLimit <= 0",
        (True, True, True),
    ),
    "by luck": (
        "SELECT COUNT(DISTINCT customerName) FROM customers",
        "SELECT COUNT(*) FROM customers",
        (True, True, False),
    ),
    "constant": ("SELECT COUNT(*) FROM offices", "SELECT 7", (True, False, False)),
    "constant from a table": ("SELECT COUNT(*) FROM offices", "SELECT 7 FROM offices LIMIT 1", (True, False, False)),
    "no such column": ("SELECT city FROM offices", "SELECT town FROM offices", (False, False, False)),
    "writes": ("SELECT city FROM offices", "DELETE FROM offices", (False, False, False)),
    "not grouped": (
        "SELECT status, COUNT(*) FROM orders GROUP BY status",
        "SELECT status, customerNumber, COUNT(*) FROM orders GROUP BY status",
        (False, False, False),
    ),
    "order": (
        "SELECT city FROM offices ORDER BY city",
        "SELECT city FROM offices ORDER BY city DESC",
        (True, False, False),
    ),
}


class Parrot:
    """A model that answers each question with its gold, and counts how often it is asked."""

    name = "parrot"

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples, self.asked = examples, 0

    def complete(self, conversations: Sequence[Any], max_new_tokens: int = 192, **_: Any) -> list[Completion]:
        self.asked += len(conversations)
        asked = [conversation[-1]["content"] for conversation in conversations]
        return completions([next(e.output for e in self.examples if e.question in text) for text in asked])

    def close(self) -> None:
        """Nothing to free."""


def completions(answers: Sequence[str]) -> list[Completion]:
    return [Completion(text, 10, 5, 0.01, "ok") for text in answers]


@pytest.fixture(scope="module")
def suite() -> SqlSuite:
    return SqlSuite.load(SUITE)


def scored(engine: Any, suite: SqlSuite, path: Path) -> dict[str, tuple[bool, bool, bool]]:
    golds, answers, _ = zip(*PAIRS.values(), strict=True)
    scores = SqlScorer(engine, path).score([item(gold) for gold in golds], completions(answers), suite)
    check_order(scores)
    return {name: (s.va, s.ex, bool(s.ts)) for name, s in zip(PAIRS, scores, strict=True)}


def test_scores_on_the_embedded_engine(suite: SqlSuite, tmp_path: Path) -> None:
    with SQLite() as engine:
        assert scored(engine, suite, tmp_path / "verdicts") == {name: pair[2] for name, pair in PAIRS.items()}


@needs_server
def test_scores_on_a_server_are_the_same(suite: SqlSuite, tmp_path: Path) -> None:
    with MariaDB(address=PRIVATE) as engine:
        assert scored(engine, suite, tmp_path / "verdicts") == {name: pair[2] for name, pair in PAIRS.items()}


def test_an_evaluation_writes_hashes_levels_and_intervals(suite: SqlSuite, tmp_path: Path) -> None:
    small = SqlSuite(suite.seed, suite.snapshot, suite.profiles, suite.recipes[:2])
    with SQLite() as engine:
        _, found = evaluate(Parrot(ITEMS), ITEMS, tmp_path, engine, suite=small, version="v1")
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["summary"]["ex"]["value"] == written["summary"]["ts"]["value"] == 1.0
    assert written["summary"]["ex"]["low"] < 0.9, "ten items say little"
    assert sum(group["items"] for group in written["summary"]["level"].values()) == len(ITEMS)
    assert written["summary"]["hashes"]["database"] == suite.snapshot and written["summary"]["hashes"]["model"] == "v1"
    assert written["summary"]["parameters"]["database_seed"] == suite.seed
    assert {record["level"] for record in written["items"]} == set(found["level"])
    fewer = sql_evaluate.test_set_hash(ITEMS[:-1])
    assert found["hashes"]["test_set"] == sql_evaluate.test_set_hash(ITEMS) != fewer
    assert "SQLite" in found["engine"] and "TS" in sql_evaluate.text(found)
    assert "Perplexity and similarity are not computed for SQL." in sql_evaluate.text(found)
    page = (tmp_path / "report.html").read_text()
    assert "<h1>" in page and all(re.search(rf"^{name} {{", page, re.M) for name in ("mark", "details", "summary"))


def test_what_was_answered_and_scored_is_kept(suite: SqlSuite, tmp_path: Path) -> None:
    small = SqlSuite(suite.seed, suite.snapshot, suite.profiles, suite.recipes[:2])
    model = Parrot(ITEMS)
    with SQLite() as engine:
        first, _ = evaluate(model, ITEMS, tmp_path, engine, suite=small)
        asked, kept = model.asked, (tmp_path / "verdicts.jsonl").read_text()
        again, _ = evaluate(model, ITEMS, tmp_path, engine, suite=small)
    assert again == first and model.asked == asked
    assert (tmp_path / "verdicts.jsonl").read_text() == kept, "no verdict was given a second time"


class _Stops(MariaDB):
    """A server that stops for good when so many statements were run."""

    left = 10**9

    def run(self, *arguments: Any) -> Rows | Refusal:
        """As MariaDB's, on a server that may just have been killed."""
        self.left -= 1
        if self.left == 0:
            os.kill(self.server.pid, signal.SIGKILL)
        return super().run(*arguments)


@needs_server
def test_a_lost_server_is_one_error_and_going_on_continues(suite: SqlSuite, tmp_path: Path) -> None:
    small = SqlSuite(suite.seed, suite.snapshot, suite.profiles, suite.recipes[:1])
    model = Parrot(ITEMS)
    with _Stops(address=PRIVATE) as engine:
        engine.left = 12
        with pytest.raises(HeimdallError, match="verdicts are kept in .* goes on from there") as problem:
            evaluate(model, ITEMS, tmp_path, engine, suite=small)
    assert "\n" not in str(problem.value)
    kept = len((tmp_path / "verdicts.jsonl").read_text().splitlines())
    assert 0 < kept < len(ITEMS) and model.asked == len(ITEMS)
    with MariaDB(address=PRIVATE) as engine:
        _, found = evaluate(model, ITEMS, tmp_path, engine, suite=small)
    assert found["ts"]["value"] == 1.0 and model.asked == len(ITEMS)
    records = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert len({record["key"] for record in records}) == len(records) == 2 * len(ITEMS)


def test_the_set_has_a_name_and_other_sql_is_refused(tmp_path: Path) -> None:
    examples, _, path = open_examples("sql")
    assert len(examples) == 200 and path == SUITE
    elsewhere = Example("", "?", "SELECT 1", "any", "small", part="sql", graph="shop").with_id()
    with SQLite() as engine, pytest.raises(BadInput, match="not all questions about classicmodels"):
        evaluate(Parrot([]), [elsewhere], tmp_path, engine)


@pytest.mark.parametrize(
    "option",
    [{"nodes": 30}, {"similarity_model": "some/model"}, {"seed": 3}, {"runtime_form": True}],
    ids=lambda option: next(iter(option)),
)
def test_options_that_sql_has_no_use_for_are_refused(option: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is for Cypher.*sql is SQL"):
        run(tmp_path / "no.gguf", "sql", tmp_path, **option)


def test_the_embedded_engine_can_be_asked_for() -> None:
    with closing(open_engine(EMBEDDED)) as engine:
        assert isinstance(engine, SQLite)
