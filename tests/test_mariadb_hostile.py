"""Hostile statements on a private MariaDB: past the gate nothing is written, nothing hangs; nor without the gate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pymysql
import pytest
from hostile import MAX_ROWS, statements
from hypothesis import given
from hypothesis import strategies as st
from test_hostile import check, digest, files

from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.mariadb import PRIVATE, MariaDB
from heimdall_nb.engines.mariadb_server import missing
from heimdall_nb.engines.sql import Column, Database, Table, gate
from heimdall_nb.engines.sql_gate import server_gate

needs_server = pytest.mark.skipif(bool(missing()), reason=missing())
OFFICES = Table("offices", (Column("officeCode", "varchar(10)", False), Column("city", "varchar(50)")), ("officeCode",))
EMPLOYEES = Table(
    "employees",
    (Column("n", "int", False), Column("officeCode", "varchar(10)"), Column("pay", "decimal(10,2)")),
    ("n",),
    {"officeCode": ("offices", "officeCode")},
)
BIG = Table("big", (Column("n", "int", False), Column("t", "varchar(50)")), ("n",))
SMALL = Database(
    "small",
    (OFFICES, EMPLOYEES, BIG),
    {
        "offices": [("1", "Paris"), ("2", "Oslo")],
        "employees": [(1, "1", 10.5), (2, "2", None)],
        "big": [(k, f"t{k}") for k in range(200)],
    },
)
STATEMENTS = statements("sql.yaml")


@pytest.fixture(scope="module")
def engine() -> Iterator[MariaDB]:
    with MariaDB(SMALL, PRIVATE) as started:
        yield started


def contents(engine: MariaDB) -> str:
    return digest([engine.run(f"SELECT * FROM {table.name}", 10) for table in SMALL.tables])


def everything(engine: MariaDB) -> list[str]:
    """What is on the server: schemas, tables, routines, accounts and their rights, and the files of the folder."""
    queries = (
        "SELECT table_schema, table_name, table_type FROM information_schema.tables",
        "SELECT * FROM information_schema.routines",
        "SELECT * FROM mysql.global_priv",
        "SELECT * FROM mysql.db",
        "SELECT * FROM small.offices",
        "SELECT * FROM small.employees",
        "SELECT * FROM small.big",
    )
    with pymysql.connect(unix_socket=engine.server.socket, user="root") as connection, connection.cursor() as cursor:
        found = []
        for query in queries:
            cursor.execute(query)
            found += sorted(map(str, cursor.fetchall()))
    folder = Path(engine.server.socket).parent
    return found + sorted(str(path) for path in folder.rglob("*") if path.suffix != ".log" and "#sql" not in path.name)


@needs_server
def test_nothing_passes_the_gate_that_should_not(engine: MariaDB) -> None:
    assert sum(item.expected == "refused" for item in STATEMENTS) >= 200
    before = contents(engine), everything(engine)

    def run(query: str, seconds: float) -> Rows | Refusal:
        return engine.run(query, seconds=seconds, max_rows=MAX_ROWS)

    check(STATEMENTS, run, psutil.Process(engine.server.pid), lambda: engine.run("SELECT 1", 10))
    assert (contents(engine), everything(engine)) == before


SESSION = (
    "SET",
    "BEGIN",
    "START",
    "LOCK",
    "FLUSH",
    "XA",
    "PREPARE",
    "HANDLER",
    "USE",
    "SAVEPOINT",
    "ANALYZE",
    "EXECUTE",
)
ALIKE = {"settings of SQLite", "hidden keywords", "more than one statement"}  # to this server mere syntax errors


@needs_server
def test_the_account_and_the_watch_hold_without_the_gate(engine: MariaDB) -> None:
    before, made, slow = everything(engine), files(), []
    for item in STATEMENTS:
        if item.expected != "refused" or item.kind in ALIKE or item.text.startswith(("KILL", "SHUTDOWN")):
            continue
        started = time.monotonic()
        engine._limited(item.text, 0.1, MAX_ROWS)
        if item.text.upper().lstrip("(").startswith(SESSION):
            engine._reader.dispose()  # what it set in its session goes with the session
        if time.monotonic() - started > 5:
            slow.append(item.text)
    assert slow == []
    assert everything(engine) == before
    assert files() == made


@needs_server
def test_set_statement_cannot_raise_the_time_limit(engine: MariaDB) -> None:
    """The server itself lets a statement lift its own limit; neither the gate nor the watch lets it have the time."""
    hole = "SET STATEMENT max_statement_time=60 FOR SELECT SLEEP(30), COUNT(*) FROM offices"
    assert engine.run(hole).kind == "write"
    started = time.monotonic()
    assert engine._limited("SELECT SLEEP(30)", 0.3, 10).message.startswith("Query execution was interrupted")
    assert engine._limited(hole, 0.3, 10) == Refusal("timeout", "the statement was stopped after 0.3 s")
    assert time.monotonic() - started < 10
    with pymysql.connect(unix_socket=engine.server.socket, user="root") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(30)%' AND id <> 0")
        assert cursor.fetchone() == (1,)  # this statement itself
    assert engine.run("SELECT COUNT(*) FROM offices").rows == ((2,),)


PIECES = st.lists(
    st.sampled_from(
        ["'", '"', "`", "\\", "--", "-- ", "#", "/*", "*/", "\n", "\r", ";", ",", "(", ")", " ", "1", "a"]
        + ["\x01", "\xa0", "SELECT", "SLEEP(0)", "/**/", "*", "UNION SELECT 1", "FROM offices", "''", '""']
    ),
    max_size=12,
)


@needs_server
@given(PIECES)
def test_the_gate_reads_what_the_server_reads(engine: MariaDB, pieces: list[str]) -> None:
    """Whatever comments and quotes are mixed in, the server sees as many result columns as the gate saw."""
    query = "SELECT 1 " + "".join(pieces)
    tree = server_gate(query, "small")
    if isinstance(tree, Refusal):
        return
    result = engine.run(query)
    assert isinstance(result, Refusal) or "*" in query or len(result.columns) == len(tree.selects)


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("SELECT * FROM other.offices", "schema"),
        ("SELECT * FROM small.offices", ""),
        ("SELECT * FROM SMALL.offices", ""),
        ("SELECT * FROM mysql.user", "schema"),
        ("SELECT * FROM seq_1_to_1000000000", "schema"),
        ("SELECT * FROM offices FOR SYSTEM_TIME ALL", "syntax"),
        ("SELECT COLUMN_CREATE('a', 1)", "schema"),
        ("SELECT f(1)", "schema"),
        ("SELECT 1 --\xa0, SLEEP(10)", "syntax"),
        ("SELECT 'a\xa0b' AS t", ""),
        ("SELECT /*+ SET_VAR(max_execution_time=0) */ 1", "write"),
        ("SELECT LOWER(city) AS c FROM offices WHERE city LIKE '%a%'", ""),
        ("SET STATEMENT max_statement_time=60 FOR SELECT 1", "write"),
    ],
)
def test_what_a_server_must_not_see(query: str, kind: str) -> None:
    found = server_gate(query, "small")
    assert (found.kind if isinstance(found, Refusal) else "") == kind


@given(st.text(max_size=200))
def test_a_text_in_quotes_is_never_refused_as_a_write(text: str) -> None:
    literal = "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    found = server_gate(f"SELECT {literal} AS t")
    executable = "/*!" in text or "/*M!" in text.upper() or "/*+" in text
    assert not isinstance(found, Refusal) or executable


def test_the_server_gate_is_never_laxer_than_the_gate() -> None:
    stopped = [item.text for item in STATEMENTS if isinstance(gate(item.text), Refusal)]
    assert [text for text in stopped if not isinstance(server_gate(text), Refusal)] == []
