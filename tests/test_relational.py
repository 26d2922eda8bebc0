"""The SQL part of the base's corpus: invented tables with their rows, and questions about them."""

from __future__ import annotations

import random
import re

import pytest

from heimdall_nb.dataset import classicmodels, relational_corpus
from heimdall_nb.dataset.example import normalise
from heimdall_nb.dataset.relational import RelationalSchema
from heimdall_nb.dataset.relational_corpus import RelationalTemplate, ask, relational_templates
from heimdall_nb.dataset.relational_invent import invent_relational
from heimdall_nb.dataset.relational_slots import NoRoom, literal
from heimdall_nb.dataset.sql import generate_sql
from heimdall_nb.engines.graph import Rows
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation.compare import tells_nothing

SEQUENCES, SEED = 40, 11
TEXT = re.compile(r"'((?:[^']|'')*)'")


def corpus(sequences: int, seed: int = SEED, **further: object) -> list[dict]:
    return list(relational_corpus.relational_corpus(sequences, seed, **further))


def schema_of(number: int, seed: int = SEED) -> RelationalSchema:
    """The schema of a record: the first thing that its generator draws."""
    return invent_relational(random.Random(f"relational {seed} {number}"))


@pytest.fixture(scope="module")
def engine() -> SQLite:
    return SQLite()


@pytest.fixture(scope="module")
def records(engine: SQLite) -> list[dict]:
    return corpus(SEQUENCES, engine=engine)


@pytest.fixture(scope="module")
def schemas() -> list[RelationalSchema]:
    return [schema_of(number) for number in range(SEQUENCES)]


def test_records_have_a_schema_and_that_many_different_turns(records: list[dict]) -> None:
    assert len(records) == SEQUENCES
    for record in records:
        assert list(record) == ["task", "schema", "turns"] and record["task"] == "sql"
        assert len({question for question, _ in record["turns"]}) == 8
        assert len({query for _, query in record["turns"]}) == 8
        assert all("{" not in text and text == text.strip() for turn in record["turns"] for text in turn)


def test_a_record_depends_on_the_seed_and_its_number_alone() -> None:
    assert corpus(3) == corpus(5)[:3]
    assert corpus(3) != corpus(3, seed=SEED + 1)
    assert [len(record["turns"]) for record in corpus(2, turns=3)] == [3, 3]


def test_every_query_tells_something_and_mysql_would_take_it(records: list[dict], schemas: list) -> None:
    for record, schema in zip(records, schemas, strict=True):
        database = schema.database()
        with SQLite(database) as loaded:
            for _, query in record["turns"]:
                result = loaded.run(query)
                assert isinstance(result, Rows), (query, result)
                assert not tells_nothing(result), query
                assert refusal(query, database) is None, query


def test_the_schema_text_is_that_of_the_tables_in_classicmodels_form(records: list[dict], schemas: list) -> None:
    assert classicmodels.tables_text(classicmodels.tables()) == classicmodels.schema_text()
    for record, schema in zip(records, schemas, strict=True):
        lines = classicmodels.tables_text(entity.table() for entity in schema.entities).splitlines()
        assert sorted(record["schema"].splitlines()) == sorted(lines)


def test_schemas_have_the_shapes_of_databases(schemas: list[RelationalSchema]) -> None:
    entities = [entity for schema in schemas for entity in schema.entities]
    assert {len(schema.entities) for schema in schemas} == {2, 3, 4, 5, 6, 8}
    assert {len(entity.columns) for entity in entities} == {3, 4, 5, 6, 7, 8, 9}
    assert all(30 <= len(rows) <= 60 for schema in schemas for rows in schema.rows.values())
    links = [e for e in entities if len(e.key) == 2]
    itself = [e for e in entities if e.name in {table for table, _ in e.references.values()}]
    assert len(links) > SEQUENCES / 6 and len(itself) > SEQUENCES / 12
    assert all(len(entity.columns) > 2 for entity in links)  # a link table has columns of its own
    assert all(any(e.references for e in schema.entities) for schema in schemas)


def test_names_come_in_every_style(schemas: list[RelationalSchema]) -> None:
    names = [entity.name for schema in schemas for entity in schema.entities]
    columns = [column.name for schema in schemas for entity in schema.entities for column in entity.columns]
    for style in (r"[a-z]+", r"[a-z]+(_[a-z]+)+", r"[a-z]+([A-Z][a-z]*)+", r"([A-Z][a-z]+)+"):
        assert any(re.fullmatch(style, name) for name in columns), style
        assert any(re.fullmatch(style, name) for name in names), style
    assert len(set(names)) > 0.9 * len(names)


def test_titles_name_one_row_each_and_columns_are_missing_only_where_they_may_be(schemas: list) -> None:
    missing = 0
    for schema in schemas:
        for entity in schema.entities:
            for at, column in enumerate(entity.columns):
                values = [row[at] for row in schema.rows[entity.name]]
                missing += None in values
                assert column.nullable or None not in values
                if column.kind == "title":
                    assert len({value.lower() for value in values}) == len(values)
    assert missing > SEQUENCES / 4


@pytest.mark.parametrize("template", relational_templates(), ids=lambda t: t.id)
def test_every_template_binds_and_its_query_is_mysql(template: RelationalTemplate) -> None:
    assert len(set(template.questions)) == len(template.questions) >= 2
    found = 0
    for number in range(400):
        schema = schema_of(number, seed=3)
        try:
            question, query = ask(template, schema, random.Random(f"{template.id} {number}"))
        except NoRoom:
            continue
        assert refusal(query, schema.database()) is None, query
        assert "{" not in question + query
        found += 1
        if found == 2:
            return
    assert found, f"{template.id} is never bound"


def test_templates_have_the_breadth_of_a_course() -> None:
    queries = " ; ".join(template.sql for template in relational_templates())
    for part in (
        *(
            "LIKE '{v.raw}%'",
            "LIKE '%{v.raw}%'",
            " IN ({v})",
            "IS NULL",
            "IS NOT NULL",
            "BETWEEN",
            " OR ",
            "<>",
            "DISTINCT",
        ),
        *("COUNT(DISTINCT", "AVG(", "MIN(", "GROUP BY", "HAVING", "LEFT JOIN", "NOT IN", "NOT EXISTS", "CASE", "YEAR("),
        *("MONTH(", "DATEDIFF", "LIMIT", "SUM(", "ROUND(", "SELECT DISTINCT"),
    ):
        assert part in queries, part
    assert any(template.sql.count(" JOIN ") == 2 for template in relational_templates())
    assert len({template.id for template in relational_templates()}) == len(relational_templates()) >= 40


def test_a_question_holds_every_text_of_its_query(records: list[dict]) -> None:
    checked = 0
    for record in records:
        for question, query in record["turns"]:
            for text in TEXT.findall(query):
                assert text.strip("%").replace("''", "'") in question, (question, query)
                checked += 1
    assert checked > SEQUENCES


def test_a_limit_is_complete_and_the_question_says_how(records: list[dict]) -> None:
    limited = [turn for record in records for turn in record["turns"] if " LIMIT " in turn[1]]
    assert len(limited) > SEQUENCES / 4
    for question, query in limited:
        order = re.search(r" ORDER BY (.*) LIMIT (\d+)$", query)
        assert ", " in order[1] and "ties by" in question.lower(), (question, query)
        assert order[2] in question or order[2] == "1"


def test_quotes_in_a_text_are_doubled() -> None:
    assert literal("O'Hara's") == "'O''Hara''s'"
    assert literal(12.5) == "12.5"
    queries = [query for record in corpus(300) for _, query in record["turns"]]
    assert any("''" in query for query in queries)


def test_the_base_does_not_meet_classicmodels(records: list[dict]) -> None:
    known = {table.name for table in classicmodels.tables()}
    with SQLite(classicmodels.classicmodels(7)) as loaded:
        course = {normalise(example.input).strip("?. ") for example in generate_sql(200, 7, loaded)}
    for record in (*records, *corpus(150, seed=5)):
        names = {line.split("(")[0].lower() for line in record["schema"].splitlines()}
        assert not names & known
        assert not {normalise(question).strip("?. ") for question, _ in record["turns"]} & course


def only(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    template = RelationalTemplate("test", {"t": "table"}, ("How many {t}?", "Count {t}."), sql)
    monkeypatch.setattr(relational_corpus, "relational_templates", lambda: (template,))


def test_a_refused_query_is_a_fault_of_its_template(monkeypatch: pytest.MonkeyPatch, engine: SQLite) -> None:
    only(monkeypatch, "SELECT COUNT(nothing) FROM {t}")
    with pytest.raises(HeimdallError, match="template test.*nothing"):
        corpus(1, turns=1, engine=engine)


def test_an_empty_answer_is_drawn_again(monkeypatch: pytest.MonkeyPatch, engine: SQLite) -> None:
    only(monkeypatch, "SELECT MAX(1) FROM {t} WHERE 1 = 2")
    assert len(corpus(1, turns=1)[0]["turns"]) == 1
    with pytest.raises(BadInput, match="gives 0 questions"):
        corpus(1, turns=1, engine=engine)


def test_more_turns_than_a_schema_gives_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "SELECT COUNT(*) FROM {t}")
    with pytest.raises(BadInput, match="Ask for fewer turns"):
        corpus(1, turns=9)
    with pytest.raises(BadInput, match="Use 1 or more"):
        corpus(1, turns=0)
