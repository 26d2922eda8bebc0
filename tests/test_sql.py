"""The SQL track: gate, embedded engine, MySQL's functions, validity, classicmodels, questions and scores."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.dataset import classicmodels as cm
from heimdall_nb.dataset import sql as questions
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.engines import mysql_functions as mysql
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.sql import Column, Database, Table, gate
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.engines.sqlite import SQLite, create_table
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation.metrics import ItemScore
from heimdall_nb.evaluation.sql_evaluate import SqlScorer
from heimdall_nb.evaluation.sql_scores import (
    differences,
    different_failures,
    exact_match,
    explain,
    orders_rows,
)
from heimdall_nb.evaluation.sql_suite import SUITE, SqlSuite
from heimdall_nb.exercises import nb08
from heimdall_nb.models.protocol import Completion

LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")
SMALL = Database(
    "small",
    (
        Table("offices", (Column("officeCode", "varchar(10)", False), Column("city", "varchar(50)")), ("officeCode",)),
        Table(
            "employees",
            (
                Column("n", "int", False),
                Column("officeCode", "varchar(10)"),
                Column("hired", "date"),
                Column("pay", "decimal(10,2)"),
            ),
            ("n",),
            {"officeCode": ("offices", "officeCode")},
        ),
    ),
    {
        "offices": [("1", "Paris"), ("2", "Oslo")],
        "employees": [(1, "1", "2004-01-31", 10.5), (2, "1", "2004-02-29", 20.0), (3, "2", None, None)],
    },
)


@pytest.fixture(scope="module")
def small() -> SQLite:
    return SQLite(SMALL)


@pytest.fixture(scope="module")
def database() -> Database:
    return cm.classicmodels(7)


@pytest.fixture(scope="module")
def engine(database: Database) -> SQLite:
    return SQLite(database)


@pytest.fixture(scope="module")
def examples(engine: SQLite) -> list[Example]:
    return questions.generate_sql(300, 7, engine)


HOSTILE = """
INSERT INTO offices VALUES ('3', 'Rome')
UPDATE offices SET city = 'Rome'
DELETE FROM offices
REPLACE INTO offices VALUES ('1', 'Rome')
DROP TABLE employees
TRUNCATE TABLE employees
ALTER TABLE offices ADD COLUMN x INT
CREATE TABLE x (a INT)
CREATE TABLE x AS SELECT * FROM offices
SELECT * INTO x FROM offices
SELECT city FROM offices INTO OUTFILE '/tmp/x'
SELECT city INTO @a FROM offices
SELECT 1; DROP TABLE employees
SELECT 1; SELECT 2
WITH d AS (DELETE FROM offices) SELECT 1
SELECT * FROM offices FOR UPDATE
SELECT * FROM offices LOCK IN SHARE MODE
SELECT SLEEP(10)
SELECT BENCHMARK(1000000, MD5('a'))
SELECT LOAD_FILE('/etc/passwd')
SELECT GET_LOCK('a', 10)
SELECT 1 /*!50000 , SLEEP(10) */
SET STATEMENT max_statement_time=60 FOR SELECT 1
SET @a = 1
SELECT @a := 1
SELECT @@version
PRAGMA writable_schema = 1
ATTACH DATABASE '/tmp/x.db' AS x
VACUUM
EXPLAIN SELECT 1
SHOW TABLES
CALL p()
LOCK TABLES offices WRITE
LOAD DATA INFILE '/tmp/x' INTO TABLE offices
GRANT ALL ON *.* TO u
SELECT load_extension('x')
SELECT sql FROM sqlite_master
SELECT * FROM pragma_table_info('offices')
SELECT readfile('/etc/passwd')
SELECT randomblob(1000000000)
SELECT city FROM offices WHERE officeCode = ?
hello
SELECT
""".strip().splitlines()


@pytest.mark.parametrize("query", [*HOSTILE, "", "SELECT " + "(" * 3000 + "1" + ")" * 3000, "SELECT '" + "a" * 20000])
def test_hostile_statements_are_refused_and_change_nothing(small: SQLite, query: str) -> None:
    started = time.monotonic()
    assert isinstance(small.run(query), Refusal)
    assert time.monotonic() - started < 5
    assert small.run("SELECT COUNT(*), MIN(city) FROM offices").rows == ((2, "Oslo"),)


def test_writes_are_told_from_mistakes() -> None:
    kinds = {query: gate(query).kind for query in ("DROP TABLE a", "SELECT 1; DELETE FROM a", "SELECT FROM WHERE", "")}
    assert list(kinds.values()) == ["write", "write", "syntax", "syntax"]


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r",
        "SELECT COUNT(*) FROM orderdetails a, orderdetails b, orderdetails c WHERE a.priceEach < b.priceEach",
        "SELECT a.priceEach FROM orderdetails a, orderdetails b, orderdetails c ORDER BY a.priceEach + b.priceEach",
        "SELECT COUNT(*) FROM orders a, orders b, orders c WHERE YEAR(a.orderDate) = 1 OR MONTH(b.orderDate) = 13",
    ],
)
def test_endless_work_stops_in_time(engine: SQLite, query: str) -> None:
    started = time.monotonic()
    assert engine.run(query, seconds=0.3).kind == "timeout"
    assert time.monotonic() - started < 5
    assert engine.run("SELECT COUNT(*) FROM offices").rows == ((7,),)


def test_too_many_rows_are_a_refusal(engine: SQLite) -> None:
    assert engine.run("SELECT orderNumber FROM orders", max_rows=325).kind == "limit"
    assert len(engine.run("SELECT orderNumber FROM orders", max_rows=326).rows) == 326


# Each expected result was derived by hand from MySQL's manual and the three rows of `employees`.
TRANSLATED = [
    ("SELECT city FROM offices WHERE city = 'PARIS'", [("Paris",)]),
    ("SELECT city FROM offices WHERE UPPER(city) = 'paris' AND CONCAT(city, '!') = 'paris!'", [("Paris",)]),
    ('SELECT city FROM offices WHERE city LIKE "p%"', [("Paris",)]),
    ("SELECT 7 / 2, 7 DIV 2, 7 MOD 3, MOD(7.5, 2), 1 / 0", [(3.5, 3, 1, 1.5, None)]),
    ("SELECT ROUND(2.5), ROUND(0.125, 2), ROUND(1234, -2), TRUNCATE(1.999, 2)", [(3, 0.13, 1200, 1.99)]),
    ("SELECT CEIL(1.2), FLOOR(-1.2), ABS(-3), SIGN(-2), POW(2, 10)", [(2, -2, 3, -1, 1024)]),
    ("SELECT 1 XOR 0, 1 XOR 1, NOT 0, 2 > 1 AND 0", [(1, 0, 1, 0)]),
    ("SELECT n FROM employees WHERE YEAR(hired) = '2004' AND MONTH(hired) = 2", [(2,)]),
    ("SELECT QUARTER(hired), DAYOFWEEK(hired), WEEKDAY(hired) FROM employees WHERE n = 1", [(1, 7, 5)]),
    ("SELECT DATE_FORMAT(hired, '%Y-%m %M %e %W %%') FROM employees WHERE n = 1", [("2004-01 January 31 Saturday %",)]),
    ("SELECT DATE_ADD(hired, INTERVAL 1 MONTH) FROM employees ORDER BY n", [("2004-02-29",), ("2004-03-29",), (None,)]),
    (
        "SELECT hired - INTERVAL 1 YEAR, DATE_SUB(hired, INTERVAL 2 DAY) FROM employees WHERE n = 2",
        [("2003-02-28", "2004-02-27")],
    ),
    (
        "SELECT DATEDIFF('2004-03-01', hired), TIMESTAMPDIFF(MONTH, hired, '2005-01-30') FROM employees WHERE n = 1",
        [(30, 11)],
    ),
    (
        "SELECT EXTRACT(YEAR FROM hired), LAST_DAY(hired), MONTHNAME(hired) FROM employees WHERE n = 2",
        [(2004, "2004-02-29", "February")],
    ),
    (
        "SELECT CAST('2004-01-05 10:00:00' AS DATE), DATE('2004-1-5'), CAST(1.005 AS DECIMAL(10,2))",
        [("2004-01-05", "2004-01-05", 1.01)],
    ),
    ("SELECT CURDATE(), DATE(NOW()), CURRENT_DATE", [("2005-06-01", "2005-06-01", "2005-06-01")]),
    (
        "SELECT CONCAT('a', NULL), CONCAT_WS('-', 'a', NULL, 'b'), IFNULL(NULL, 3), IF(1 > 2, 'x', 'y')",
        [(None, "a-b", 3, "y")],
    ),
    (
        "SELECT LEFT('abc', 2), RIGHT('abc', 1), SUBSTRING('abc', 2, 1), LENGTH('é'), CHAR_LENGTH('é')",
        [("ab", "c", "b", 2, 1)],
    ),
    (
        "SELECT LPAD('7', 3, '0'), REPLACE('aba', 'a', 'c'), LOCATE('B', 'abc'), SUBSTRING_INDEX('a.b.c', '.', 2)",
        [("007", "cbc", 2, "a.b")],
    ),
    ("SELECT GREATEST(1, 3, 2), LEAST(1, NULL), COALESCE(NULL, 2), NULLIF(1, 1)", [(3, None, 2, None)]),
    ("SELECT COUNT(*), COUNT(pay), AVG(pay), SUM(pay), STDDEV(pay) FROM employees", [(3, 2, 15.25, 30.5, 4.75)]),
    ("SELECT COUNT(DISTINCT officeCode, hired) FROM employees", [(2,)]),
    (
        "SELECT city, COUNT(*) AS n FROM offices JOIN employees USING (officeCode) GROUP BY city HAVING n > 1",
        [("Paris", 2)],
    ),
    ("SELECT YEAR(hired) AS y, COUNT(*) FROM employees GROUP BY y ORDER BY y DESC", [(2004, 2), (None, 1)]),
    ("SELECT n FROM employees ORDER BY pay LIMIT 1, 2", [(1,), (2,)]),
    ("SELECT n FROM employees WHERE pay <=> NULL", [(3,)]),
    ("SELECT n, LAG(n) OVER (ORDER BY n) FROM employees", [(1, None), (2, 1), (3, 2)]),
    (
        "SELECT city FROM small.offices o "
        "WHERE NOT EXISTS (SELECT 1 FROM employees WHERE pay > 11 AND officeCode = o.officeCode)",
        [("Oslo",)],
    ),
    (
        "SELECT CASE WHEN pay > 11 THEN 'high' ELSE 'low' END AS k, COUNT(*) FROM employees GROUP BY k ORDER BY k",
        [("high", 1), ("low", 2)],
    ),
]


@pytest.mark.parametrize(("query", "expected"), TRANSLATED)
def test_mysql_means_the_same_on_sqlite(small: SQLite, query: str, expected: list[tuple]) -> None:
    result = small.run(query)
    assert isinstance(result, Rows), result
    for row, wanted in zip(result.rows, expected, strict=True):
        assert row == tuple(pytest.approx(v) if isinstance(v, float) else v for v in wanted)
    assert refusal(query, SMALL) is None  # what runs and is right must not be called invalid


@pytest.mark.parametrize(
    "query",
    [
        "SELECT officeCode, COUNT(*) FROM employees GROUP BY officeCode WITH ROLLUP",
        "SELECT city FROM offices WHERE city REGEXP '^P'",
        "SELECT n FROM employees WHERE pay >= ALL (SELECT pay FROM employees)",
        "SELECT GROUP_CONCAT(city ORDER BY city) FROM offices",
        "SELECT MD5(city) FROM offices",
    ],
)
def test_gaps_of_the_engine_are_not_the_models_fault(small: SQLite, query: str) -> None:
    assert refusal(query, SMALL) is None
    assert small.run(query).kind == "engine"


INVALID = [
    ("SELECT nope FROM offices", "schema"),
    ("SELECT `nope` FROM offices", "schema"),
    ("SELECT city FROM nope", "schema"),
    ("SELECT city FROM other.offices", "schema"),
    ("SELECT x.city FROM offices o", "schema"),
    ("SELECT offices.city FROM offices o", "schema"),
    ("SELECT officeCode FROM offices JOIN employees", "schema"),
    ("SELECT city FROM offices WHERE city IN (SELECT nope FROM employees)", "schema"),
    ("SELECT city AS c FROM offices WHERE c = 'Paris'", "schema"),
    ("SELECT STRFTIME('%Y', hired) FROM employees", "schema"),
    ("SELECT DATE_TRUNC('month', hired) FROM employees", "schema"),
    ("SELECT city, COUNT(*) FROM offices", "syntax"),
    ("SELECT hired, COUNT(*) FROM employees GROUP BY officeCode", "syntax"),
    ("SELECT MONTH(hired), COUNT(*) FROM employees GROUP BY YEAR(hired)", "syntax"),
    ("SELECT officeCode, MAX(pay) FROM employees GROUP BY officeCode ORDER BY hired", "syntax"),
    ("SELECT city FROM (SELECT city FROM offices)", "syntax"),
    ("SELECT n FROM employees WHERE n IN (SELECT n FROM employees LIMIT 2)", "syntax"),
    ("SELECT n FROM employees e FULL OUTER JOIN offices o ON e.officeCode = o.officeCode", "syntax"),
    ("SELECT city FROM offices WHERE city ILIKE 'p%'", "syntax"),
    ("SELECT city FROM offices LIMIT -1", "syntax"),
    ("SELECT city FROM offices WHERE", "syntax"),
    ("SELEC city FROM offices", "syntax"),
]


@pytest.mark.parametrize(("query", "kind"), INVALID)
def test_what_mysql_would_not_take_is_found_without_running(query: str, kind: str) -> None:
    found = refusal(query, SMALL)
    assert found is not None and found.kind == kind, found


@pytest.mark.parametrize(
    "query",
    [
        "SELECT o.city, COUNT(*) FROM employees e JOIN offices o ON e.officeCode = o.officeCode GROUP BY o.officeCode",
        "SELECT o.city, COUNT(*) FROM employees e JOIN offices o ON e.officeCode = o.officeCode GROUP BY e.officeCode",
        "SELECT CITY FROM OFFICES WHERE `officecode` = '1'",
        "SELECT city AS c FROM offices GROUP BY c HAVING c > 'a' ORDER BY c",
        "WITH x AS (SELECT city FROM offices) SELECT city FROM x",
        "SELECT AVG(q.k) FROM (SELECT officeCode, COUNT(*) AS k FROM employees GROUP BY officeCode) AS q",
        "SELECT RANK() OVER (ORDER BY pay) AS r, n FROM employees ORDER BY r",
    ],
)
def test_valid_statements_are_not_called_invalid(small: SQLite, query: str) -> None:
    assert refusal(query, SMALL) is None
    assert isinstance(small.run(query), Rows)


def test_load_refuses_rows_that_reference_nothing() -> None:
    broken = Database("small", SMALL.tables, {"offices": [("1", "Paris")], "employees": [(1, "9", None, None)]})
    with pytest.raises(BadInput, match="employees"):
        SQLite(broken)
    with pytest.raises(BadInput, match="no database"):
        SQLite().run("SELECT 1")


def test_text_and_dates_are_text_without_case_and_numbers_are_numbers() -> None:
    statement = create_table(SMALL.table("employees"))
    assert "`hired` TEXT COLLATE NOCASE" in statement and "`pay` REAL" in statement and "`n` INTEGER" in statement


DAYS = st.dates(date(1900, 1, 1), date(2100, 1, 1))


@given(DAYS, st.integers(-5000, 5000))
def test_days_are_added_as_the_calendar_does(day: date, days: int) -> None:
    moved = mysql.add_interval(day.isoformat(), days, "DAY")
    assert moved == (day + timedelta(days=days)).isoformat()
    assert mysql.FUNCTIONS["DATEDIFF"](moved, day.isoformat()) == days


@given(DAYS, st.integers(0, 600))
def test_months_added_are_months_between(day: date, months: int) -> None:
    first = day.replace(day=min(day.day, 28)).isoformat()
    assert mysql.timestampdiff("MONTH", first, mysql.add_interval(first, months, "MONTH")) == months


@given(st.decimals(-(10**6), 10**6, places=4), st.integers(0, 3))
def test_round_is_decimal_and_half_away_from_zero(value: Decimal, digits: int) -> None:
    expected = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    assert Decimal(repr(mysql.rounded(float(value), digits))) == expected


@given(st.text(max_size=60))
def test_no_text_breaks_the_gate_the_check_or_the_engine(text: str) -> None:
    for query in (text, f"SELECT '{text}", f"SELECT city FROM offices WHERE city = {text}"):
        assert isinstance(_SMALL_ENGINE.run(query, seconds=0.5), (Rows, Refusal))
        assert refusal(query, SMALL) is None or isinstance(refusal(query, SMALL), Refusal)


_SMALL_ENGINE = SQLite(SMALL)


def test_classicmodels_has_its_sizes_and_is_the_same_for_a_seed(database: Database) -> None:
    assert {name: len(rows) for name, rows in database.rows.items()} == {
        "productlines": 7, "products": 110, "offices": 7, "employees": 23, "customers": 122,
        "payments": 273, "orders": 326, "orderdetails": 2996,
    }  # fmt: skip
    assert sum(len(table.columns) for table in database.tables) == 59
    assert cm.classicmodels(7) == database and cm.classicmodels(8).rows != database.rows


def test_classicmodels_rows_agree_with_the_schema_and_each_other(database: Database, engine: SQLite) -> None:
    for table in database.tables:  # loading checked the foreign keys
        names = [column.name for column in table.columns]
        keys = [tuple(row[names.index(key)] for key in table.primary_key) for row in database.rows[table.name]]
        assert len(set(keys)) == len(keys), table.name
        for row in database.rows[table.name]:
            assert all(value is not None or column.nullable for value, column in zip(row, table.columns, strict=True))
    consistent = [
        "SELECT COUNT(*) FROM orders WHERE requiredDate <= orderDate OR shippedDate <= orderDate",
        "SELECT COUNT(*) FROM orders WHERE (status = 'Shipped') <> (shippedDate IS NOT NULL) AND status = 'Shipped'",
        "SELECT COUNT(*) FROM orders WHERE status = 'In Process' AND shippedDate IS NOT NULL",
        "SELECT COUNT(*) FROM payments p WHERE paymentDate <= (SELECT MIN(orderDate) FROM orders o "
        "WHERE o.customerNumber = p.customerNumber)",
        "SELECT COUNT(*) FROM products WHERE MSRP <= buyPrice OR quantityInStock < 0",
        "SELECT COUNT(*) FROM orderdetails WHERE quantityOrdered < 1 OR priceEach <= 0",
        "SELECT COUNT(*) FROM orders WHERE YEAR(orderDate) NOT BETWEEN 2003 AND 2005",
    ]
    assert [engine.run(query).rows for query in consistent] == [((0,),)] * len(consistent)


def test_schema_text_names_every_column_once_and_can_be_cut() -> None:
    lines = cm.schema_text().splitlines()
    assert [line.partition("(")[0] for line in lines] == [table.name for table in cm.tables()]
    assert sum(line.count(",") + 1 for line in lines) == 59
    assert cm.schema_text(["orders", "offices"]).splitlines() == [lines[2], lines[6]]
    assert "customerNumber*, customerName" in lines[4] and "salesRepEmployeeNumber > employees" in lines[4]
    assert lines[7] == "orderdetails(orderNumber*, productCode*, quantityOrdered, priceEach, orderLineNumber)"


def test_the_prompt_shows_more_tables_than_the_answer_needs(examples: list[Example]) -> None:
    for example in examples:
        shown = {line.partition("(")[0] for line in example.schema.splitlines()}
        needed = set(questions.tables_of(example.output))
        assert needed < shown and len(shown) >= 3
    assert len({example.schema for example in examples}) == 3
    assert len(cm.family(["offices", "products"])) == 8


def test_the_templates_are_many_and_worded_in_several_ways() -> None:
    templates = questions.templates()
    assert len(templates) >= 30 and len({t.type for t in templates}) >= 8
    assert len({t.id for t in templates}) == len(templates)
    assert all(len(set(t.questions)) >= 3 for t in templates)


def test_generation_repeats_for_a_seed_and_not_for_another(engine: SQLite, examples: list[Example]) -> None:
    assert questions.generate_sql(300, 7, engine) == examples
    assert questions.generate_sql(300, 8, engine) != examples


def test_every_example_is_valid_and_tells_something(
    engine: SQLite, database: Database, examples: list[Example]
) -> None:
    assert len({normalise(e.input) for e in examples}) == len(examples) == 300
    counts = Counter(e.category for e in examples)
    assert set(counts) == {t.type for t in questions.templates()} and max(counts.values()) - min(counts.values()) <= 3
    for example in examples:
        assert example.task == "sql" and example.graph == "classicmodels" and example.dialect == "mysql"
        assert refusal(example.output, database) is None, example.output
        rows = engine.run(example.output).rows
        assert any(value not in (None, 0) for row in rows for value in row) or len(rows) > 1, example.output


def test_literals_stand_in_the_question_as_they_are_in_the_query(examples: list[Example]) -> None:
    for example in examples:
        for literal in LITERAL.findall(example.output):
            assert literal.strip("'").replace("''", "'") in example.input, (example.input, literal)


def test_more_examples_than_the_templates_hold_are_an_error(engine: SQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [t for t in questions.templates() if t.id == "count-table"]
    monkeypatch.setattr(questions, "templates", lambda: few)
    assert len(questions.generate_sql(20, 7, engine)) == 20  # 8 tables in 3 wordings
    with pytest.raises(HeimdallError, match="24"):
        questions.generate_sql(30, 7, engine)


def scored(engine: SQLite, folder: Path, examples: list[Example], answers: list[str]) -> list[ItemScore]:
    completions = [Completion(text, 10, 5, 0.1, "ok") for text in answers]
    return SqlScorer(engine, folder / "verdicts.jsonl").score(examples, completions)


def test_gold_answers_score_full_and_faults_are_told_apart(
    engine: SQLite, examples: list[Example], tmp_path: Path
) -> None:
    chosen = [e for e in examples if "ORDER BY" not in e.output][:5] + [e for e in examples if "ORDER BY" in e.output][
        :1
    ]
    assert all(s.va and s.ex and s.em for s in scored(engine, tmp_path, chosen, [e.output for e in chosen]))
    answers = [
        "SELECT nope FROM orders",
        "SELECT 1, 2, 3",
        "DROP TABLE orders",
        "",
        f"```sql\n{chosen[4].output};\n```",
    ]
    answers.append(chosen[5].output.replace(" DESC", " X").replace(" ASC", " DESC").replace(" X", " ASC"))
    scores = scored(engine, tmp_path, chosen, answers)
    assert [s.cause for s in scores[:4]] == ["schema", "wrong result", "write", "no answer"]
    assert [s.va for s in scores] == [False, True, False, False, True, True]
    assert [s.ex for s in scores] == [False, False, False, False, True, False]


def test_order_counts_only_where_the_outermost_select_orders() -> None:
    assert orders_rows("SELECT a FROM b ORDER BY a")
    assert not orders_rows("SELECT a FROM (SELECT a FROM b ORDER BY a LIMIT 3) AS c")
    assert exact_match("SELECT a FROM b WHERE c = 'X'", "select a\nfrom b where c='X'")
    assert not exact_match("SELECT a FROM b WHERE c = 'X'", "SELECT a FROM b WHERE c = 'Y'")


def test_a_failure_is_explained_by_what_differs() -> None:
    gold = "SELECT city FROM offices WHERE country = 'USA' ORDER BY city LIMIT 3"
    assert differences(gold, gold) == []
    assert differences(gold, gold.replace("'USA'", "'UK'")) == ["values: 'UK' instead of 'USA'"]
    assert differences(gold, gold.replace("city LIMIT", "city DESC LIMIT")) == ["sorting: city DESC instead of city"]
    counted = differences(gold, "SELECT COUNT(DISTINCT city) FROM customers WHERE country = 'USA'")
    assert "tables: customers instead of offices" in counted
    assert "functions: COUNT, DISTINCT instead of nothing" in counted


def test_failures_are_of_different_causes(engine: SQLite, examples: list[Example], tmp_path: Path) -> None:
    texts = ["SELECT nope FROM orders", "SELECT 1, 2, 3", "SELECT nope FROM orders", *(e.output for e in examples[3:9])]
    scores = scored(engine, tmp_path, examples[:9], texts)
    chosen = different_failures(scores, 2)
    assert {s.cause for s in chosen} == {"schema", "wrong result"}
    assert any("nope" in explain(s) for s in chosen) and explain(scores[4]) == "The answer is right."


def test_exercises_accept_right_answers_and_no_others() -> None:
    right = "SELECT COUNT(*) AS n, p.productLine FROM products AS p GROUP BY p.productLine HAVING n > 10"
    assert nb08.check_1(right) is None
    assert "refused" in nb08.check_1("SELECT nope FROM products")
    assert "others" in nb08.check_1(right.replace("10", "11"))
    suite = SqlSuite.load(SUITE)
    assert nb08.check_2("SELECT COUNT(*) FROM customers", suite) is None
    assert "no luck" in nb08.check_2("SELECT COUNT(*) FROM offices", suite)
    short = SqlSuite(suite.seed, suite.snapshot, suite.profiles, suite.recipes[:2])
    assert "No database" in nb08.check_2(nb08.NAMES, short) and "refused" in nb08.check_2("SELECT x", suite)
    assert nb08.check_3("SELECT COUNT(*) FROM orderdetails a, orderdetails b, orderdetails c") is None
    for wrong in ("SELECT SLEEP(9)", "SELECT 1", "SELECT nope FROM orders"):
        assert nb08.check_3(wrong) is not None
