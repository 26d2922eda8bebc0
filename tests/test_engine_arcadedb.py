"""ArcadeDB in process: loading, reading, refusing, and what its values become."""

import builtins
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.engines.graph import GraphInstance, Node, Refusal, Relationship, Rows
from heimdall_nb.errors import BadInput

DAY = datetime.date(2020, 2, 29)
TINY = GraphInstance(
    "tiny",
    [
        Node(1, "Person", {"name": "Ann", "born": DAY, "height": 1.5, "ok": True, "tags": ["a", "b"]}),
        Node(2, "Person", {"name": "Bo'b", "born": None}),
        Node(3, "Odd `Label", {"a b": 3, "x`y": "z"}),
    ],
    [Relationship("KNOWS", 1, 2, {"since": 2001}), Relationship("KNOWS", 1, 2), Relationship("LIVES-IN", 2, 3)],
)


def ring(name="ring", size=60):
    nodes = [Node(k, f"L{k % 5}", {"number": k, "text": f"n{k}", "half": k / 2}) for k in range(size)]
    return GraphInstance(name, nodes, [Relationship("NEXT", k, (k + 1) % size, {"step": k}) for k in range(size)])


@pytest.fixture
def tiny(arcadedb):
    arcadedb.load(TINY)
    return arcadedb


def rows(result):
    assert isinstance(result, Rows), result
    return list(result.rows)


def test_values_are_plain_python(tiny):
    query = (
        "MATCH (p:Person {name: 'Ann'}) RETURN p.name, p.born, p.height, p.ok, p.tags, p.none, {a: [1, p.born]} AS m, p"
    )
    result = tiny.run(query)
    assert result.columns == ("p.name", "p.born", "p.height", "p.ok", "p.tags", "p.none", "m", "p")
    person = {"name": "Ann", "born": "2020-02-29", "height": 1.5, "ok": True, "tags": ["a", "b"]}
    assert rows(result) == [("Ann", "2020-02-29", 1.5, True, ["a", "b"], None, {"a": [1, "2020-02-29"]}, person)]
    assert [type(v) for v in rows(result)[0][:5]] == [str, str, float, bool, list]


def test_dates_are_dates_in_queries(tiny):
    assert rows(tiny.run("MATCH (p:Person) WHERE p.born >= date('2020-02-29') RETURN p.born.year, p.born.day")) == [
        (2020, 29)
    ]


def test_odd_names_and_parallel_relationships(tiny):
    assert rows(tiny.run("MATCH (:Person)-[:`LIVES-IN`]->(o:`Odd ``Label`) RETURN o.`a b`, o.`x``y`")) == [(3, "z")]
    assert rows(tiny.run("MATCH (:Person)-[r:KNOWS]->() RETURN r.since ORDER BY r.since")) == [(2001,), (None,)]


def test_load_replaces_everything(tiny):
    tiny.load(ring())
    assert rows(tiny.run("MATCH (n) RETURN count(n)")) == [(60,)]
    assert rows(tiny.run("MATCH ()-[r]->() RETURN count(r), sum(r.step)")) == [(60, 1770)]
    tiny.load(TINY)
    assert rows(tiny.run("MATCH (n) RETURN count(n)")) == [(3,)]


def test_reload_gives_the_same_order_and_is_fast(arcadedb):
    graph, query, times = ring(), "MATCH (n) RETURN n.number", []
    arcadedb.load(graph)
    first = arcadedb.run(query)
    for _ in range(12):
        started = time.perf_counter()
        arcadedb.load(graph)
        times.append(time.perf_counter() - started)
        assert arcadedb.run(query) == first
    assert min(times) < 0.05


def test_parameters(tiny):
    assert rows(tiny.run("MATCH (p:Person {name: $name}) RETURN p.name", {"name": "Bo'b"})) == [("Bo'b",)]
    values = {"d": DAY, "l": [1, None, {"a": "b"}], "n": None}
    assert rows(tiny.run("RETURN $d, $l, $n", values)) == [("2020-02-29", [1, None, {"a": "b"}], None)]


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("", "syntax"),
        ("// nothing", "syntax"),
        ("MATCH (n RETURN n", "syntax"),
        ("MATCH (n) RETURN m", "syntax"),
        ("MATCH (n) RETURN nope(n)", "syntax"),
        ("RETURN 1/0", "syntax"),
        ("RETURN $missing", "syntax"),
        ("RETURN 1; RETURN 2", "syntax"),
        ("CREATE (n:X)", "write"),
        ("MATCH (n) SET n.x = 1 RETURN n", "write"),
        ("MATCH (n) DETACH DELETE n", "write"),
        ("LOAD CSV FROM 'file:///etc/hostname' AS line RETURN line", "write"),
        ("load /* */ csv FROM 'https://example.org/a.csv' AS line RETURN line", "write"),
        ("CALL nope.nothing()", "engine"),
        ("CALL { CREATE (n:X) RETURN n } RETURN n", "write"),
        ("PROFILE CREATE (n:X) RETURN n", "write"),
        ("CALL do.when(true, 'CREATE (n:X) RETURN n', '', {}) YIELD value RETURN value", "write"),
        ('CALL do.when(true, "LOAD CSV FROM \'file:///etc/hostname\' AS l RETURN l", "", {})', "write"),
        ("RETURN range(1, 1000000000)", "limit"),
    ],
)
def test_refusals(tiny, query, kind):
    result = tiny.run(query)
    assert isinstance(result, Refusal) and result.kind == kind and result.message
    assert rows(tiny.run("MATCH (n) RETURN count(n)")) == [(3,)]


def test_limits(tiny):
    many = "UNWIND range(1, 11) AS x RETURN x"
    assert tiny.run(many, max_rows=10).kind == "limit" and len(rows(tiny.run(many, max_rows=11))) == 11
    cross = " ".join(f"UNWIND range(1, 400) AS x{k}" for k in range(4)) + " RETURN count(*)"
    started = time.perf_counter()
    assert tiny.run(cross, seconds=0.3).kind == "timeout"
    assert time.perf_counter() - started < 3
    assert rows(tiny.run("RETURN 1")) == [(1,)]


def test_memory_runs_out_as_a_refusal(tiny):
    query = "UNWIND range(1, 30) AS x RETURN reduce(s = 'a', y IN range(1, 60) | s + s)"
    assert tiny.run(query, seconds=5).kind in ("limit", "timeout")
    assert rows(tiny.run("RETURN 1")) == [(1,)]


def test_writes_only_when_asked_and_all_or_nothing(tiny):
    assert rows(tiny.run("CREATE (n:New {x: 1}) RETURN n.x", write=True)) == [(1,)]
    assert tiny.run("CREATE (n:New {x: 2}) WITH n RETURN 1/0", write=True).kind == "syntax"
    assert rows(tiny.run("MATCH (n:New) RETURN n.x")) == [(1,)]


def test_parse(arcadedb):
    assert arcadedb.parse("MATCH (n:Unknown) WHERE n.x = $p RETURN n.y ORDER BY n.y") is None
    assert arcadedb.parse("EXPLAIN MATCH (n) RETURN n") is None and arcadedb.parse("CREATE (n:X)") is None
    assert arcadedb.parse("MATCH (n) RETURN m").kind == "syntax" and arcadedb.parse("MATCH (n").kind == "syntax"
    assert arcadedb.parse("").kind == "syntax"


def test_several_databases_side_by_side(tiny, tmp_path):
    with ArcadeDB() as other:
        other.load(ring())
        assert rows(other.run("MATCH (n) RETURN count(n)")) == [(60,)]
        assert rows(tiny.run("MATCH (n) RETURN count(n)")) == [(3,)]
    with ArcadeDB(tmp_path / "kept") as kept:
        kept.load(TINY)
    with ArcadeDB(tmp_path / "kept") as kept:
        assert rows(kept.run("MATCH (n) RETURN count(n)")) == [(3,)]
    assert (tmp_path / "kept").is_dir()


def test_the_temporary_folder_goes(arcadedb, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine = ArcadeDB()
    assert len(list(tmp_path.iterdir())) == 1
    engine.close()
    engine.close()
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_folder_goes_when_nobody_closes(tmp_path):
    code = "from heimdall_nb.engines.arcadedb import ArcadeDB; e = ArcadeDB(); print(e.run('RETURN 1').rows)"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "((1,),)\n", "")
    assert list(tmp_path.glob("heimdall-*")) == []


def test_a_process_with_the_engine_ends_by_sigterm_without_a_crash(tmp_path):
    code = "from heimdall_nb.engines.arcadedb import ArcadeDB; e = ArcadeDB(); print('up', flush=True); input()"
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert (process.communicate(timeout=60)[1], process.returncode) == ("", -signal.SIGTERM)


def test_faulty_graphs_are_refused(tiny):
    with pytest.raises(BadInput, match="no node"):
        tiny.load(GraphInstance("g", [Node(1, "A", {})], [Relationship("R", 1, 2)]))
    with pytest.raises(BadInput, match="one key"):
        tiny.load(GraphInstance("g", [Node(1, "A", {}), Node(1, "A", {})], []))
    assert rows(tiny.run("MATCH (n) RETURN count(n)")) == [(3,)]


def test_what_is_missing_is_said_in_one_sentence(arcadedb, monkeypatch):
    with pytest.raises(BadInput, match="does not start") as unwritable:
        ArcadeDB("/proc/nowhere")
    assert "\n" not in str(unwritable.value)
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "arcadedb_embedded":
            raise ImportError("no", name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadInput, match="pip install arcadedb-embedded"):
        ArcadeDB()
