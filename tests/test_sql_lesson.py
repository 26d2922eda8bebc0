"""What notebook 08 is made of: the lucky query, prompts and steps for SQL, scores of several models, a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heimdall_nb import presets
from heimdall_nb.baselines import sql as baselines
from heimdall_nb.dataset.classicmodels import classicmodels, schema_text, tables
from heimdall_nb.dataset.sql_curated import DATABASE_SEED, committed
from heimdall_nb.dataset.sql_drawing import depths, schema_figure
from heimdall_nb.engines.mariadb import MariaDB
from heimdall_nb.engines.sql import Database
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation import sql_lesson
from heimdall_nb.evaluation.metrics import check_order, summary
from heimdall_nb.evaluation.sql_evaluate import SqlScorer, levels
from heimdall_nb.evaluation.sql_suite import SUITE, Judge, SqlSuite
from heimdall_nb.evaluation.statistics import mcnemar
from heimdall_nb.models.protocol import Completion
from heimdall_nb.prompts import Conversation

TEST, EXEMPLARS = committed("test"), committed("exemplars")
SHORT = sorted(TEST, key=lambda e: (len(e.output), e.id))[22:26]  # one of them has a wrong twin on our rows


@pytest.fixture(scope="module")
def database() -> Database:
    return classicmodels(DATABASE_SEED)


@pytest.fixture(scope="module")
def suite() -> SqlSuite:
    return SqlSuite.load(SUITE)


class Scripted:
    """A model that gives its replies one after the other, and keeps what it was asked."""

    name = "scripted"

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked = list(replies), []

    def complete(self, conversations: Sequence[Conversation], **_: Any) -> list[Completion]:
        self.asked += conversations
        return said(*(self.replies.pop(0) for _ in conversations))

    def close(self) -> None:
        """Nothing to free."""


def said(*texts: str) -> list[Completion]:
    return [Completion(text, 10, 5, 0.01, "ok") for text in texts]


def test_the_lucky_query_is_right_on_one_database_and_wrong_on_a_later_one(database: Database, suite: SqlSuite) -> None:
    with SQLite(database) as engine:
        found = sql_lesson.by_luck(SHORT, suite, engine)
        judge = Judge(engine)
        judge.load(database)
        assert found.query != found.example.output and judge.right(found.example.output, found.query)
        judge.load(suite.database(suite.recipes[found.number - 1]))
        assert judge.right(found.example.output, found.query) is False
        assert found.gold.rows != found.wrong.rows
        none = replace(TEST[0], output="SELECT COUNT(*) FROM offices")
        with pytest.raises(BadInput, match="no wrong query"):
            sql_lesson.by_luck([none], replace(suite, recipes=suite.recipes[:1]), engine)


def test_models_are_scored_together_as_they_are_alone(database: Database, suite: SqlSuite, tmp_path: Path) -> None:
    items, small = TEST[:6], replace(suite, recipes=suite.recipes[:2])
    answers = {
        "right": said(*(e.output for e in items)),
        "mixed": said(*(e.output for e in items[:2]), *["SELECT 1"] * 4),
    }
    with SQLite(database) as engine:
        found = sql_lesson.score_all(SqlScorer(engine, tmp_path / "all"), items, answers, small)
        alone = SqlScorer(engine, tmp_path / "alone").score(items, answers["mixed"], small)
        with pytest.raises(BadInput, match="5 answers to 6 questions"):
            sql_lesson.score_all(SqlScorer(engine, tmp_path / "all"), items, {"short": answers["right"][:5]})
    assert found["mixed"] == alone and [s.ts for s in found["mixed"]] == [True, True, False, False, False, False]
    check_order(found["right"])
    _, alt = sql_lesson.figure({name: summary(scores) for name, scores in found.items()}, "title")
    assert "right: VA 100.0 %, EX 100.0 %, TS 100.0 %" in alt and "mixed: VA 100.0 %, EX 33.3 %" in alt
    table = sql_lesson.levels_table(levels(found["right"]))
    assert table["items"].sum() == 6 and set(table["TS"].str[:7]) == {"100.0 %"}


def test_a_proof_says_no_more_than_the_test() -> None:
    def sentence(first: int, second: int) -> str:
        pair = mcnemar([True] * first + [False] * second, [False] * first + [True] * second)
        return sql_lesson.proof("A", "B", pair, 50, "TS")

    assert "TS: A is better than B: 12 of 50" in sentence(12, 1)
    assert "A is worse than B" in sentence(0, 9)
    assert "do not show" in sentence(6, 0), "p = .03 is not below .01"


def test_engines_are_named_and_addresses_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HEIMDALL_SQL_URL", "INSTANCE_CONNECTION_NAME"):
        monkeypatch.delenv(variable, raising=False)
    engine, told = sql_lesson.open_named("sqlite")
    assert isinstance(engine, SQLite) and "as asked for" in told
    with pytest.raises(BadInput, match="HEIMDALL_SQL_URL") as problem:
        sql_lesson.open_named("mysql://root:hush-hush@host/classicmodels")
    assert "hush" not in str(problem.value)
    monkeypatch.setattr(sql_lesson, "missing", lambda: "MariaDB is not installed")
    engine, told = sql_lesson.open_named()
    assert isinstance(engine, SQLite) and "because MariaDB is not installed" in told
    monkeypatch.setattr(sql_lesson, "missing", lambda: "")
    monkeypatch.setattr(sql_lesson, "open_engine", lambda address="": address)
    assert sql_lesson.open_named()[0] == "private" and "private MariaDB" in sql_lesson.open_named()[1]
    monkeypatch.setenv("HEIMDALL_SQL_URL", "mysql://user:hush-hush@db.example/classicmodels")
    assert sql_lesson.open_named()[0] == "" and "hush" not in sql_lesson.open_named()[1]


def test_a_dump_is_one_more_database(database: Database, tmp_path: Path) -> None:
    """The dump has our tables with the rows of another seed, written as mysqldump writes them."""
    other = classicmodels(8)
    statements = [table.create() + ";" for table in other.tables]
    for table in other.tables:
        rows = ", ".join(f"({', '.join(map(_literal, row))})" for row in other.rows[table.name])
        statements.append(f"INSERT INTO `{table.name}` VALUES {rows};")
    dump = tmp_path / "mysqlsampledatabase.sql"
    dump.write_text("\n".join([*statements, "-- Dump completed"]))
    answers = {"golds": said(*(e.output for e in TEST[:20])), "constant": said(*["SELECT 7"] * 20)}
    with SQLite(database) as engine:
        found = sql_lesson.on_own_copy(dump, engine, TEST[:20], answers)
        assert found["golds"]["value"] == 1.0 and found["constant"]["value"] == 0.0
        dump.write_text("\n".join(statements[: len(other.tables)]))
        with pytest.raises(BadInput, match="no gold query finds anything"):
            sql_lesson.on_own_copy(dump, engine, TEST[:20], answers)


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'" if isinstance(value, str) else str(value)


def test_every_table_has_a_description_and_prompts_hold_those_that_are_shown() -> None:
    assert list(baselines.descriptions()) == [table.name for table in tables()]
    prompt = baselines.few_shot_prompt(TEST[0], EXEMPLARS, 3)
    shown = prompt[0]["content"]
    assert TEST[0].schema in shown and "-- orders: One row an order" in shown and "-- offices" not in shown
    assert [message["role"] for message in prompt[1:]] == ["user", "assistant"] * 3 + ["user"]
    solved = {e.question: e for e in EXEMPLARS}
    assert all(solved[message["content"]].schema == TEST[0].schema for message in prompt[1:-1:2])
    assert len({solved[message["content"]].template for message in prompt[1:-1:2]}) == 3
    assert "--" not in baselines.few_shot_prompt(TEST[0], EXEMPLARS, 2, describe=False)[0]["content"]


def test_few_shot_refuses_exemplars_of_the_test(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="few-shot pool"):
        baselines.few_shot(Scripted(), TEST[:2], [*EXEMPLARS, TEST[1]], 2, tmp_path / "answers")


def test_steps_run_on_the_database_behind_the_gate(database: Database, tmp_path: Path) -> None:
    model = Scripted(
        "Thought: a trap\nAction: run_query[DELETE FROM orders]",
        "Thought: count\nAction: run_query[SELECT COUNT(*) FROM orders]",
        "Thought: done\nAction: finish[SELECT COUNT(*) FROM orders]",
    )
    with SQLite(database) as engine:
        [trace] = baselines.solve(model, TEST[:1], engine, database, tmp_path / "traces", EXEMPLARS, max_steps=3)
        assert engine.run("SELECT COUNT(*) FROM orders").rows == ((326,),)
    assert trace.finished and trace.answer == "SELECT COUNT(*) FROM orders"
    assert "Error (write)" in trace.steps[0].observation and "[326]" in trace.steps[1].observation
    told = "\n".join(message["content"] for message in model.asked[0])
    assert "run_query[a MySQL query]" in told and "Cypher" not in told and "Observation:" in told


def test_the_picture_has_every_column_and_each_table_right_of_what_it_references() -> None:
    found = depths(tables())
    for table in tables():
        assert all(found[target] < found[table.name] for target, _ in table.references.values() if target != table.name)
    fig = schema_figure(tables(), "a title")
    texts = [text.get_text().removeprefix("> ") for text in fig.axes[0].texts]
    assert all(column.name in texts for table in tables() for column in table.columns)
    arrows = [child for child in fig.axes[0].texts if getattr(child, "arrow_patch", None) is not None]
    assert len(arrows) == sum(len(table.references) for table in tables())


def test_the_knobs_of_the_adapter_are_explained_in_notebook_03() -> None:
    explained = presets.knobs("03")
    names = {"load_in_4bit", "lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "learning_rate", "accumulation"}
    assert names <= set(presets.knobs("08")) and all(explained[name]["why"] for name in names)
    assert schema_text() in baselines.described(schema_text())


def test_a_private_server_serves_the_lesson(database: Database, suite: SqlSuite) -> None:
    if reason := sql_lesson.missing():
        pytest.skip(reason)
    engine, told = sql_lesson.open_named("private")
    with engine:
        engine.load(database)
        assert isinstance(engine, MariaDB) and "private MariaDB" in told
        assert sql_lesson.by_luck(SHORT, suite, engine).query
