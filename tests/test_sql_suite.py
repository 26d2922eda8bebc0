"""Suites for SQL: neighbours, databases made again byte for byte, ties, and what the committed suite tells apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.sql_curated import DATABASE_SEED, committed
from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import Database
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.sql_compare import states_its_result, variant
from heimdall_nb.evaluation.sql_databases import Recipe, build, digest, draw_recipe, profile
from heimdall_nb.evaluation.sql_distil import REQUIRED, distil_sql
from heimdall_nb.evaluation.sql_neighbours import KINDS, neighbours
from heimdall_nb.evaluation.sql_suite import ADEQUACY, SUITE, Judge, SqlSuite, base, run_suite
from heimdall_nb.run import read_json, sha256

GOLDS = {
    "bound": "SELECT productCode FROM products WHERE MSRP > 150",
    "distinct": "SELECT COUNT(DISTINCT customerName) FROM customers",
    "order": "SELECT customerName, creditLimit FROM customers ORDER BY creditLimit DESC LIMIT 3",
    "outer join": "SELECT c.customerName, COUNT(o.orderNumber) FROM customers AS c LEFT JOIN orders AS o "
    "ON o.customerNumber = c.customerNumber WHERE c.country = 'France' GROUP BY c.customerNumber, c.customerName",
    "year": "SELECT COUNT(*) FROM payments WHERE YEAR(paymentDate) = 2004 AND amount BETWEEN 37000 AND 40000",
    "set": "SELECT lastName FROM employees UNION SELECT contactLastName FROM customers",
    "window": "SELECT productName, RANK() OVER (PARTITION BY productLine ORDER BY MSRP DESC) FROM products",
}


def item(gold: str) -> Example:
    return Example("", gold, gold, "any", "small", part="sql", graph="classicmodels", check="executed").with_id()


@pytest.fixture(scope="module")
def database() -> Database:
    return base(DATABASE_SEED).database


@pytest.fixture(scope="module")
def suite() -> SqlSuite:
    return SqlSuite.load(SUITE)


def edited(gold: str, database: Database) -> dict[str, str]:
    return {neighbour.query: neighbour.edit for neighbour in neighbours(gold, database)}


@pytest.mark.parametrize(
    ("gold", "edit", "expected"),
    [
        ("bound", "comparison", "SELECT productCode FROM products WHERE MSRP >= 150"),
        ("bound", "number", "SELECT productCode FROM products WHERE MSRP > 151"),
        ("bound", "condition dropped", "SELECT productCode FROM products"),
        ("distinct", "aggregate", "SELECT COUNT(customerName) FROM customers"),
        (
            "order",
            "LIMIT or OFFSET",
            "SELECT customerName, creditLimit FROM customers ORDER BY creditLimit DESC LIMIT 4",
        ),
        ("order", "ORDER BY", "SELECT customerName, creditLimit FROM customers LIMIT 3"),
        ("outer join", "join", GOLDS["outer join"].replace("LEFT JOIN", "JOIN")),
        ("year", "function", GOLDS["year"].replace("YEAR", "MONTH")),
        ("set", "DISTINCT", GOLDS["set"].replace("UNION", "UNION ALL")),
        ("set", "set operation", GOLDS["set"].replace("UNION", "INTERSECT")),
        ("window", "window", GOLDS["window"].replace("PARTITION BY productLine ", "")),
    ],
)
def test_neighbours(gold: str, edit: str, expected: str, database: Database) -> None:
    assert edited(GOLDS[gold], database).get(expected) == edit


def test_a_sort_is_turned_round_with_its_nulls_where_they_were(database: Database) -> None:
    turned = "ORDER BY CASE WHEN creditLimit IS NULL THEN 1 ELSE 0 END, creditLimit ASC"
    found = edited(GOLDS["order"], database)
    assert found.get(GOLDS["order"].replace("ORDER BY creditLimit DESC", turned)) == "sort direction"


def test_neighbours_differ_from_the_gold_and_stay_the_same(database: Database) -> None:
    for gold in GOLDS.values():
        found = neighbours(gold, database)
        assert gold not in {n.query for n in found} and {n.edit for n in found} <= set(KINDS)
        assert found == neighbours(gold, database)


def test_a_profile_has_the_bounds_and_what_lies_beside(database: Database) -> None:
    year, amount = profile(GOLDS["year"], database)
    assert (year.table, year.column) == ("payments", "paymentDate")
    assert {"2004-01-01", "2004-12-31"} <= set(year.exact) and {"2003-12-31", "2005-01-01"} <= set(year.near)
    assert set(amount.exact) == {37000.0, 40000.0} and {36999.99, 40000.01} <= set(amount.near)
    assert profile("SELECT 1 +", database) == ()


def test_a_database_keeps_to_its_schema(database: Database) -> None:
    profiles = [profile(gold, database) for gold in GOLDS.values()]
    for number in range(3):
        recipe = draw_recipe(str(number), range(len(profiles)))
        made = build(base(DATABASE_SEED), profiles, recipe)
        with SQLite(made):  # refuses a foreign key that points nowhere
            pass
        for table in made.tables:
            rows = made.rows[table.name]
            assert rows
            for place, column in enumerate(table.columns):
                values = [row[place] for row in rows]
                assert column.nullable or None not in values
                if column.type == "decimal(10,2)":
                    assert all(value is None or value == round(value, 2) for value in values)
            keys = [column.name for column in table.columns]
            named = Counter(tuple(row[keys.index(key)] for key in table.primary_key) for row in rows)
            assert max(named.values()) == 1


def test_a_recipe_gives_the_same_bytes(database: Database) -> None:
    profiles = [profile(gold, database) for gold in GOLDS.values()]
    recipe = draw_recipe("again", [0, 2, 4])
    first = digest(build(base(DATABASE_SEED), profiles, recipe))
    assert digest(build(base(DATABASE_SEED), profiles, recipe)) == first
    assert digest(build(base(DATABASE_SEED), profiles, replace(recipe, seed="other"))) != first
    assert digest(build(base(DATABASE_SEED), profiles, replace(recipe, focus=()))) != first


def test_tied_rows_may_change_places(database: Database) -> None:
    gold = GOLDS["order"]
    rows = {name: list(rows) for name, rows in database.rows.items()}
    place = [column.name for column in database.table("customers").columns].index("creditLimit")
    rows["customers"] = [(*row[:place], 500.0, *row[place + 1 :]) for row in rows["customers"]]
    with SQLite() as engine:
        judge = Judge(engine)
        judge.load(Database(database.name, database.tables, rows))
        tied = gold.replace("DESC", "DESC, customerName DESC")
        assert judge.run(tied) != judge.run(gold) and judge.right(gold, tied)
        assert not judge.right(gold, gold.replace("LIMIT 3", "LIMIT 2"))
        judge.load(database)
        assert not judge.right(gold, gold.replace(" DESC", ""))


def test_a_variant_shows_keys_that_the_result_hides() -> None:
    shown = variant("SELECT productName AS n FROM products ORDER BY MSRP DESC, n LIMIT 2 OFFSET 1")
    assert shown is not None and shown.skip == 1 and shown.keys[1] == 0
    assert "LIMIT" not in shown.query and str(shown.keys[0]) in shown.query
    assert variant("SELECT city FROM offices") is None
    assert variant("SELECT DISTINCT city FROM offices ORDER BY country") is None, "the key cannot be added"


def test_a_stated_result_is_no_answer() -> None:
    gold = "SELECT COUNT(*) FROM offices"
    assert states_its_result(gold, "SELECT 7") and states_its_result(gold, "SELECT 7 FROM offices LIMIT 1")
    assert not states_its_result(gold, "SELECT COUNT(1) FROM offices")
    assert not states_its_result(gold, "SELECT (SELECT COUNT(*) FROM offices)")


def test_distilling_finds_what_the_first_database_hides() -> None:
    examples = [item(GOLDS[name]) for name in ("bound", "distinct", "order")]
    with SQLite() as engine:
        suite, adequacy = distil_sql(examples, engine, candidates=6, patience=3, pool=2)
        counts = adequacy.counts()["all"]
        assert counts["suite"] > 0 and suite.recipes, "the first database alone is not enough"
        luck = [
            (e, c.neighbour.query) for e in examples for c in adequacy.cases if c.example == e and c.outcome == "suite"
        ]
        assert not any(run_suite(luck, suite, engine))
        assert all(run_suite([(e, e.output) for e in examples], suite, engine))


def test_a_suite_is_read_as_it_was_written(suite: SqlSuite, tmp_path: Path) -> None:
    assert SqlSuite.load(suite.save(tmp_path / "suite.json")) == suite
    (tmp_path / "no.json").write_text('{"seed": 7}')
    with pytest.raises(BadInput, match="is no suite"):
        SqlSuite.load(tmp_path / "no.json")


def test_changed_databases_are_noticed(suite: SqlSuite) -> None:
    changed: Recipe = replace(suite.recipes[0], rows=0.5, seed="another")
    with pytest.raises(BadInput, match="no longer what it was"):
        next(replace(suite, recipes=(changed,)).databases())
    with pytest.raises(BadInput, match="no longer those of the suite"):
        next(replace(suite, snapshot="0").databases())


def test_the_committed_suite_is_adequate(suite: SqlSuite) -> None:
    found = read_json(ADEQUACY)
    assert found["suite"] == sha256(SUITE) and found["databases"] == len(suite.recipes)
    assert found["items"] == len(committed("test")) and not found["refused"]
    assert found["all"]["suite_share"] >= REQUIRED > found["all"]["first_share"]
    assert len(found["empty"]) <= found["items"] // 50


def test_the_committed_databases_are_those_of_the_recipes_and_take_all_golds(suite: SqlSuite) -> None:
    golds = [example.output for example in committed("test")][::10]
    with SQLite() as engine:
        judge = Judge(engine)
        for recipe in suite.recipes[::5]:
            judge.load(suite.database(recipe))
            assert not any(isinstance(judge.gold(gold), Refusal) for gold in golds)
