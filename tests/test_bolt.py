"""The contract of graph engines on both of them, and what only a connection can do: be refused, be lost, be cut."""

from __future__ import annotations

import datetime
import json
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bolt_server
import pytest
from neo4j import GraphDatabase
from neo4j.time import DateTime, Time

from heimdall_nb.dataset import graphs
from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.engines.bolt import PASSWORD, URI, USER, BoltEngine
from heimdall_nb.engines.bolt_values import plain
from heimdall_nb.engines.choose import graph_engine
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Node, Refusal, Relationship, Rows
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation.compare import collects_unordered, ordered, same_result
from heimdall_nb.evaluation.evaluate import score
from heimdall_nb.models.protocol import Completion

BENCHMARK = Path(__file__).parent.parent / "data" / "benchmark" / "iid.jsonl"
GOLDS = 40
TINY = GraphInstance(
    "tiny",
    [
        Node(1, "Person", {"name": "Ann", "born": datetime.date(2020, 2, 29), "height": 1.5, "tags": ["a", "b"]}),
        Node(2, "Person", {"name": "Bo'b", "born": None, "ok": True}),
        Node(3, "Odd `Label", {"a b": 3, "x`y": "z"}),
    ],
    [Relationship("KNOWS", 1, 2, {"since": 2001}), Relationship("KNOWS", 1, 2), Relationship("LIVES-IN", 2, 3)],
)
ANN = {"name": "Ann", "born": "2020-02-29", "height": 1.5, "tags": ["a", "b"]}

# (statement, rows): derived by hand from TINY
READS = [
    ("MATCH (n) RETURN count(n)", [(3,)]),
    ("MATCH ()-[r]->() RETURN count(r), sum(r.since)", [(3, 2001)]),
    ("MATCH (p:Person {name: 'Ann'}) RETURN p.name, p.born, p.height, p.tags, p.none", [(*ANN.values(), None)]),
    ("MATCH (p:Person {name: 'Ann'}) RETURN p", [(ANN,)]),
    ('MATCH (p:Person {name: "Bo\'b"}) RETURN p.ok, p.born IS NULL', [(True, True)]),
    ("MATCH (:Person)-[r:KNOWS]->() RETURN r.since ORDER BY r.since", [(2001,), (None,)]),
    ("MATCH (:Person)-[r:KNOWS {since: 2001}]->() RETURN r", [({"since": 2001},)]),
    ("MATCH p = (:Person {name: 'Ann'})-[:KNOWS {since: 2001}]->() RETURN p", [([ANN, {"name": "Bo'b", "ok": True}],)]),
    ("MATCH (:Person)-[:`LIVES-IN`]->(o:`Odd ``Label`) RETURN o.`a b`, o.`x``y`", [(3, "z")]),
    ("MATCH (p:Person) WHERE p.born >= date('2020-02-29') RETURN p.born.year, p.born.day", [(2020, 29)]),
    ("RETURN {a: [1, null, {b: 'c'}]} AS m, [] AS l, 1.0 AS f", [({"a": [1, None, {"b": "c"}]}, [], 1.0)]),
    ("MATCH (p:Person) RETURN p.name ORDER BY p.name SKIP 1", [("Bo'b",)]),
    ("MATCH (n:Nothing) RETURN n", []),
    ("RETURN date('2024-01-31') + duration('P1M') AS d", [("2024-02-29",)]),
]
REFUSED = [
    ("", "syntax"),
    ("MATCH (n RETURN n", "syntax"),
    ("MATCH (n) RETURN m", "syntax"),
    ("MATCH (n) RETURN nope(n)", "syntax"),
    ("RETURN 1/0", "syntax"),
    ("RETURN $missing", "syntax"),
    ("RETURN 1; RETURN 2", "syntax"),
    ("CREATE (n:X)", "write"),
    ("MATCH (n) SET n.x = 1 RETURN n", "write"),
    ("CALL { CREATE (n:X) RETURN n } RETURN n", "write"),
    ("LOAD CSV FROM 'file:///etc/hostname' AS line RETURN line", "write"),
    ("CALL nope.nothing()", "engine"),
    ("RETURN range(1, 1000000000)", "limit"),
    ("UNWIND range(1, 11) AS x RETURN x", "limit"),
]


@pytest.fixture(scope="module")
def bolt_engine(bolt: bolt_server.Server) -> Iterator[BoltEngine]:
    with BoltEngine(bolt.uri, bolt.user, bolt.password, bolt.database, scratch=True) as engine:
        yield engine


@pytest.fixture(params=["embedded", "bolt"])
def engine(request: pytest.FixtureRequest) -> GraphEngine:
    found = request.getfixturevalue({"embedded": "arcadedb", "bolt": "bolt_engine"}[request.param])
    found.load(TINY)
    return found


def rows(result: Rows | Refusal) -> list[tuple[Any, ...]]:
    assert isinstance(result, Rows), result
    return list(result.rows)


def test_reads(engine: GraphEngine) -> None:
    for query, expected in READS:
        assert rows(engine.run(query, seconds=10)) == expected, query


def test_refusals(engine: GraphEngine) -> None:
    for query, kind in REFUSED:
        result = engine.run(query, seconds=10, max_rows=10)
        assert isinstance(result, Refusal) and (result.kind, bool(result.message)) == (kind, True), (query, result)
    assert rows(engine.run("MATCH (n) RETURN count(n)")) == [(3,)]


def test_parameters(engine: GraphEngine) -> None:
    values = {"d": datetime.date(2020, 2, 29), "l": [1, None, {"a": "b"}], "n": None}
    assert rows(engine.run("RETURN $d, $l, $n", values, seconds=10)) == [("2020-02-29", [1, None, {"a": "b"}], None)]


def test_time_limit(engine: GraphEngine) -> None:
    started = time.monotonic()
    assert engine.run("MATCH (a), (b) UNWIND range(1, 1000000) AS x RETURN max(x * a.k)", seconds=0.2).kind == "timeout"
    assert time.monotonic() - started < 3
    assert rows(engine.run("RETURN 1", seconds=10)) == [(1,)]


def test_row_limit_takes_what_fits(engine: GraphEngine) -> None:
    query = "UNWIND range(1, 300) AS x RETURN x"
    assert len(rows(engine.run(query, max_rows=300, seconds=10))) == 300
    assert engine.run(query, max_rows=299, seconds=10).kind == "limit"


def test_trial_is_rolled_back(engine: GraphEngine) -> None:
    result = engine.trial("CREATE (n:New {x: 1})", "MATCH (n) RETURN count(n), max(n.x)", seconds=10)
    assert rows(result) == [(4, 1)]
    assert rows(engine.trial("MATCH (p {name: 'Ann'}) SET p.height = 2.5", "MATCH (p {name: 'Ann'}) RETURN p.height"))
    assert engine.trial("CREATE (n", "RETURN 1", seconds=10).kind == "syntax"
    assert engine.trial("CREATE (n:New)", "CREATE (n:New)", seconds=10).kind == "write"
    assert rows(engine.run("MATCH (n) RETURN count(n), max(n.height)", seconds=10)) == [(3, 1.5)]


def test_writes_only_when_asked_and_all_or_nothing(engine: GraphEngine) -> None:
    assert rows(engine.run("CREATE (n:New {x: 1}) RETURN n.x", write=True, seconds=10)) == [(1,)]
    assert engine.run("CREATE (n:New {x: 2}) WITH n RETURN 1/0", write=True, seconds=10).kind == "syntax"
    assert rows(engine.run("MATCH (n:New) RETURN n.x", seconds=10)) == [(1,)]
    engine.load(TINY)
    assert rows(engine.run("MATCH (n) RETURN count(n)", seconds=10)) == [(3,)]


def test_parse_runs_nothing(engine: GraphEngine) -> None:
    assert engine.parse("MATCH (n:Unknown) WHERE n.x = $p RETURN n.y ORDER BY n.y") is None
    assert engine.parse("EXPLAIN MATCH (n) RETURN n") is None and engine.parse("CREATE (n:X)") is None
    assert {engine.parse(query).kind for query in ("MATCH (n) RETURN m", "MATCH (n", "")} == {"syntax"}
    assert rows(engine.run("MATCH (n) RETURN count(n)", seconds=10)) == [(3,)]


def answer(engine: GraphEngine, query: str) -> Rows | Refusal:
    """The rows of a read, or the whole graph after a write."""
    if not writes(query):
        return engine.run(query, seconds=20)
    return engine.trial(query, "MATCH (n) OPTIONAL MATCH (n)-[r]->(m) RETURN n, type(r), r, m", seconds=20)


def test_golds_give_the_same_on_both(arcadedb: GraphEngine, bolt_engine: BoltEngine) -> None:
    golds: dict[str, list[str]] = {}
    for line in BENCHMARK.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        golds.setdefault(record["graph"], []).append(record["output"])
    compared = 0
    for name in sorted(golds)[:4]:
        instance = graphs.instantiate(graphs.load_schema(name), 2026, nodes=60)
        arcadedb.load(instance)
        bolt_engine.load(instance)
        for query in golds[name][: GOLDS // 4]:
            ours, theirs = answer(arcadedb, query), answer(bolt_engine, query)
            assert isinstance(ours, Rows) and isinstance(theirs, Rows), (query, ours, theirs)
            assert same_result(ours, theirs, ordered(query), collects_unordered(query)), (query, ours, theirs)
            compared += 1
    assert compared == GOLDS


def test_an_evaluation_runs_on_a_server(bolt_engine: BoltEngine) -> None:
    """Golds are right, and a write is compared by the graph that it leaves."""
    reads = [e for e in benchmark("iid") if e.graph == "museum" and not writes(e.output)][:4]
    changes = [e for e in benchmark("iid") if e.graph == "museum" and writes(e.output)][:2]
    examples = [*reads, *changes]
    golds = [Completion(e.output, 1, 1, 0.1, "ok") for e in examples]
    assert all(item.ex for item in score(examples, golds, 2026, engine=bolt_engine)) and len(changes) == 2
    wrong = replace(golds[-1], text=changes[0].output)
    assert not score(changes[1:], [wrong], 2026, engine=bolt_engine)[0].ex


def test_a_database_that_is_not_ours_is_not_deleted(bolt: bolt_server.Server, bolt_engine: BoltEngine) -> None:
    bolt_engine.load(TINY)
    with BoltEngine(bolt.uri, bolt.user, bolt.password, bolt.database) as careful:
        with pytest.raises(BadInput, match="3 nodes that are not ours"):
            careful.load(TINY)
        assert rows(careful.run("MATCH (n) RETURN count(n)", seconds=10)) == [(3,)]
        assert rows(bolt_engine.run("MATCH (n) DETACH DELETE n RETURN 1 LIMIT 1", write=True, seconds=10))
        careful.load(TINY)
        careful.load(TINY)
        assert rows(careful.run("MATCH (n) RETURN count(n)", seconds=10)) == [(3,)]
    assert rows(bolt_engine.run("MATCH (n) RETURN count(n)", seconds=10)) == [(0,)]  # close deletes what it made


def test_reading_mode_does_not_protect_this_server(bolt: bolt_server.Server) -> None:
    """Why there is a gate and a rollback: the server itself runs a write in a transaction opened for reading."""
    with GraphDatabase.driver(bolt.uri, auth=(bolt.user, bolt.password)) as driver:
        with driver.session(database=bolt.database, default_access_mode="READ") as session:
            with session.begin_transaction() as transaction:
                assert transaction.run("CREATE (n:Hole) RETURN 1 AS one").single()["one"] == 1
                transaction.rollback()


def test_wrong_password_is_one_sentence_without_it(bolt: bolt_server.Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(BadInput) as refused:
        BoltEngine(bolt.uri, "root", "a-secret-word", bolt.database)
    assert "password" in str(refused.value) and "\n" not in str(refused.value)
    assert "a-secret-word" not in str(refused.value) + caplog.text
    with pytest.raises(BadInput) as inside:
        BoltEngine("bolt://root:a-secret-word@127.0.0.1:1")
    assert "a-secret-word" not in str(inside.value)


def test_the_environment_comes_first(bolt: bolt_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ((URI, bolt.uri), (USER, bolt.user), (PASSWORD, bolt.password)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HEIMDALL_BOLT_DATABASE", bolt.database)
    with graph_engine() as engine:
        assert isinstance(engine, BoltEngine) and rows(engine.run("RETURN 1", seconds=10)) == [(1,)]
        assert bolt.password not in repr(engine) + str(vars(engine))
    with BoltEngine(bolt.uri, "nobody", "wrong") as engine:
        assert rows(engine.run("RETURN 1", seconds=10)) == [(1,)]


def test_no_server_is_bad_input(bolt: bolt_server.Server) -> None:
    started = time.monotonic()
    for uri in ("bolt://127.0.0.1:9", "http://127.0.0.1", "nonsense"):
        with pytest.raises(BadInput) as problem:
            graph_engine(uri)
        assert problem.value.exit_code == 2 and "\n" not in str(problem.value)
    with BoltEngine(bolt.uri, bolt.user, bolt.password, "absent") as engine, pytest.raises(BadInput, match="absent"):
        engine.run("RETURN 1", seconds=10)
    assert time.monotonic() - started < 20


def test_a_lost_connection_is_one_clear_error() -> None:
    with bolt_server.started() as server:
        engine = BoltEngine(server.uri, server.user, server.password, server.database)
        engine.load(TINY)
        bolt_server.stop(server)
        for _ in range(2):
            with pytest.raises(HeimdallError, match=re.escape(server.uri)) as problem:
                engine.run("MATCH (n) RETURN n", seconds=5)
            assert "\n" not in str(problem.value) and server.password not in str(problem.value)
        engine.close()
        engine.close()


def test_times_are_written_as_the_embedded_engine_writes_them(arcadedb: GraphEngine) -> None:
    day = (2024, 1, 2)
    texts = ["2024-01-02T03:04", "2024-01-02T03:04:05.006", "2024-01-02T03:04:05.000007"]
    values = [DateTime(*day, 3, 4), DateTime(*day, 3, 4, 5, 6_000_000), DateTime(*day, 3, 4, 5, 7_000)]
    assert [plain(value) for value in values] == texts and plain(Time(3, 4)) == "03:04"
    query = f"RETURN {', '.join(f'localdatetime({text!r})' for text in texts)}"
    assert list(rows(arcadedb.run(query, seconds=10))[0]) == texts
