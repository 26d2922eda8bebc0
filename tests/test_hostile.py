"""Hostile statements on each engine: nothing is written, nothing hangs, memory is bounded, the engine lives on."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hostile import GRAPH, MAX_ROWS, Statement, faults, outcomes, statements
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.engines.bolt import BoltEngine
from heimdall_nb.engines.cypher_cost import exhausting
from heimdall_nb.engines.cypher_gate import refused
from heimdall_nb.engines.graph import GraphEngine, Refusal, Rows
from heimdall_nb.engines.sql import Column, Database, Table
from heimdall_nb.engines.sqlite import SQLite

GROWTH = 700  # MiB that a process may grow by over all statements: Java's heap is 512 of them
STATE = (
    "MATCH (n) RETURN labels(n), properties(n)",
    "MATCH (a)-[r]->(b) RETURN a.name, type(r), properties(r), b.name",
)


def digest(parts: list[Rows | Refusal]) -> str:
    """A hash of results, whatever the order of their rows."""
    assert all(isinstance(part, Rows) for part in parts), parts
    return hashlib.sha256("\n".join(sorted(str(row) for part in parts for row in part.rows)).encode()).hexdigest()


def files() -> set[str]:
    """What a statement may have made in the places that the statements name."""
    return {str(path) for folder in (Path("/tmp"), Path.cwd()) for path in folder.glob("*heimdall-hostile*")}


def check(items: list[Statement], run: Callable, process: psutil.Process, alive: Callable[[], Rows | Refusal]) -> None:
    """Run all; collect every fault, so that one does not hide the next."""
    before, made, found = process.memory_info().rss, files(), []
    for outcome in outcomes(items, run, process):
        found += faults(outcome)
        if outcome.grown > GROWTH:
            found.append(f"{outcome.statement.text[:100]!r}: {outcome.grown:.0f} MiB")
        if not isinstance(alive(), Rows):
            found.append(f"{outcome.statement.text[:100]!r}: the engine does not answer after it")
    assert found == []
    assert (process.memory_info().rss - before) / 2**20 < GROWTH
    assert files() == made


def check_graph(engine: GraphEngine, process: psutil.Process) -> None:
    def state() -> str:
        return digest([engine.run(query, seconds=10) for query in STATE])

    def run(query: str, seconds: float) -> Rows | Refusal:
        return engine.run(query, seconds=seconds, max_rows=MAX_ROWS)

    engine.load(GRAPH)
    before = state()
    check(statements("cypher.yaml"), run, process, lambda: engine.run("RETURN 1", seconds=5))
    assert state() == before


def test_there_are_200_of_each() -> None:
    for file in ("cypher.yaml", "sql.yaml"):
        items = statements(file)
        assert len({item.text for item in items}) == len(items)
        assert Counter(item.expected != "allowed" for item in items)[True] >= 200
        assert sum(item.expected == "allowed" for item in items) >= 20
        assert len({item.kind for item in items}) >= 12


def test_embedded_graph_engine(arcadedb) -> None:
    check_graph(arcadedb, psutil.Process())


def test_bolt_server(bolt) -> None:
    with BoltEngine(bolt.uri, bolt.user, bolt.password, bolt.database, scratch=True) as engine:
        check_graph(engine, psutil.Process(bolt.pid))


def test_sqlite() -> None:
    columns = (Column("n", "int", False), Column("t", "varchar(50)"))
    offices = Table(
        "offices", (Column("officeCode", "varchar(10)", False), Column("city", "varchar(50)")), ("officeCode",)
    )
    more = (Column("n", "int", False), Column("officeCode", "varchar(10)"), Column("pay", "decimal(10,2)"))
    employees = Table("employees", more, ("n",), {"officeCode": ("offices", "officeCode")})
    rows = {
        "offices": [("1", "Paris"), ("2", "Oslo")],
        "employees": [(1, "1", 10.5), (2, "2", None)],
        "big": [(k, f"t{k}") for k in range(200)],
    }
    with SQLite(Database("small", (offices, employees, Table("big", columns, ("n",))), rows)) as engine:
        queries = [f"SELECT * FROM {table}" for table in rows]
        before = digest([engine.run(query) for query in queries])

        def run(query: str, seconds: float) -> Rows | Refusal:
            return engine.run(query, seconds=seconds, max_rows=MAX_ROWS)

        check(statements("sql.yaml"), run, psutil.Process(os.getpid()), lambda: engine.run("SELECT 1"))
        assert digest([engine.run(query) for query in queries]) == before
        assert isinstance(engine.run("DELETE FROM offices"), Refusal)


WRITES = [item.text for item in statements("cypher.yaml") if item.expected == "refused" and len(item.text) < 200]
HARMLESS = [item.text for item in statements("cypher.yaml") if item.expected == "allowed" and ";" not in item.text]


@given(st.sampled_from(WRITES), st.sampled_from(["", " ", "\n", "/* x */", "// x\n", "EXPLAIN ", "PROFILE ", "\t\r\n"]))
def test_the_gate_refuses_whatever_stands_before_a_write(query: str, before: str) -> None:
    assert isinstance(refused(before + query), Refusal)


@given(st.sampled_from(HARMLESS), st.sampled_from(["", " ", "/* SET */ ", "// CREATE (n)\n"]))
def test_the_gate_lets_harmless_statements_through(query: str, before: str) -> None:
    assert refused(before + query) is None


@given(st.text(max_size=200))
def test_a_text_in_quotes_is_never_a_write(text: str) -> None:
    literal = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    assert refused(f"RETURN {literal} AS t") is None or "\\u" in text


@given(st.text(max_size=300))
def test_any_text_gets_an_answer(text: str) -> None:
    for answer in (refused(text), refused(text, write=True), exhausting(text)):
        assert answer is None or isinstance(answer, Refusal)


@pytest.mark.parametrize(
    ("query", "stopped"),
    [
        ("RETURN range(1, 1000001)", True),
        ("RETURN range(1, 1000000, 2)", False),
        ("RETURN range(5, 1)", False),
        ("RETURN reduce(s = 'a', x IN range(1, 20) | s + s)", True),
        ("RETURN reduce(s = 'a', x IN [1, 2, 3] | s + s)", False),
        ("MATCH p = (a)-[*1..3]->(b) RETURN reduce(s = 0, r IN relationships(p) | s + r.step)", False),
        ("RETURN 'a' =~ '(a+)+'", True),
        ("RETURN 'a' =~ '[a-z]+(b|c)d*'", False),
        ("RETURN [a IN [1] | [b IN [1] | [c IN [1] | [d IN [1] | d]]]]", True),
    ],
)
def test_what_would_exhaust_a_server_is_seen(query: str, stopped: bool) -> None:
    assert (exhausting(query) is not None) == stopped


def test_other_accounts_and_files_are_refused_even_for_a_write() -> None:
    kinds = ("files and addresses", "more than one statement")
    items = [item for item in statements("cypher.yaml") if item.kind in kinds and item.expected == "refused"]
    assert len(items) > 30
    assert [item.text for item in items if refused(item.text, write=True) is None] == []
    for query in (
        "DROP DATABASE x",
        "CREATE USER u SET PASSWORD 'p'",
        "USE x CREATE (n)",
        "CALL apoc.cypher.doIt('', {})",
    ):
        assert refused(query, write=True).kind == "write"
    plain = ["CREATE (user:User {database: 1})", "CREATE INDEX i FOR (n:A) ON (n.b)", "MATCH (n) SET n.use = 1"]
    assert [query for query in plain if refused(query, write=True)] == []
    assert refused("MATCH (n) WHERE n.use IS NULL RETURN n.use AS use") is None
