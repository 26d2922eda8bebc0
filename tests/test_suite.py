"""Test suites: their graphs, what they tell apart that the first graph does not, and how far that goes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.graph import GraphInstance, Node, Relationship, Rows
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.benchmark_suites import (
    ADEQUACY,
    REQUIRED,
    SETTINGS,
    SUITED,
    adequacy_page,
    benchmark_suite,
    first_instance,
    schema_of,
)
from heimdall_nb.evaluation.distil import Adequacy, distil, report
from heimdall_nb.evaluation.execute import same_state
from heimdall_nb.evaluation.suite import Judge, Suite, run_suite, test_suite_scores
from heimdall_nb.evaluation.suite_graphs import build, digest, draw_recipe, frame, profile

GRAPH = "company"
GOLDS = {
    "boundary": "MATCH (a:Project) WHERE a.cost >= 65000 RETURN a.code AS code",
    "direction": "MATCH (a:Project)-[:DEPENDS_ON]->(b:Project) WHERE a.code = '{code}' RETURN b.code AS code",
    "distinct": "MATCH (a:Employee)-[:ASSIGNED_TO]->(b:Project) RETURN b.phase AS phase, count(DISTINCT a) AS n",
    "missing": "MATCH (a:Employee) WHERE a.salary IS NOT NULL RETURN count(*) AS n",
    "order": "MATCH (a:Employee) RETURN a.email AS email ORDER BY a.salary DESC, email LIMIT 3",
    "write": "MATCH (a:Project) WHERE a.priority > 4 SET a.phase = 'done'",
}


def example(gold: str) -> Example:
    return Example("", gold, gold, "any", "small", graph=GRAPH, check="executed").with_id()


@pytest.fixture(scope="module")
def golds() -> dict[str, str]:
    starts = Counter(r.start for r in first_instance(GRAPH).relationships if r.type == "DEPENDS_ON")
    nodes = {node.key: node for node in first_instance(GRAPH).nodes}
    code = nodes[min(starts)].properties["code"]
    return {name: gold.replace("{code}", code) for name, gold in GOLDS.items()}


@pytest.fixture(scope="module")
def made(arcadedb: Any, golds: dict[str, str]) -> tuple[Suite, Adequacy]:
    items = [example(gold) for gold in golds.values()]
    return distil(items, schema_of, first_instance, arcadedb, candidates=12, least=6)


def ex(engine: Any, gold: str, answer: str) -> bool:
    judge = Judge(engine)
    judge.load(first_instance(GRAPH))
    return judge.agree(gold, judge.result(answer, gold))


WRONG = {  # answers that the first graph calls right
    "boundary": ("cost >= 65000", "cost > 65000"),
    "missing": (" WHERE a.salary IS NOT NULL", ""),
    "order": ("a.salary DESC, email", "a.salary DESC, a.jobTitle, email"),
    "write": ("a.priority > 4", "a.priority > 4 OR a.code = 'no such project'"),
}
RIGHT = {
    "boundary": "MATCH (p:Project) WHERE NOT p.cost < 65000 RETURN p.code",
    "distinct": "MATCH (b:Project)<-[:ASSIGNED_TO]-(a) WITH DISTINCT a, b.phase AS f RETURN count(a) AS n, f",
    "missing": "MATCH (a:Employee) RETURN count(a.salary)",
    "order": "MATCH (e:Employee) WITH e.salary AS s, e.email AS m RETURN m ORDER BY s DESC, m LIMIT 3",
    "write": "MATCH (p:Project) WHERE p.priority >= 5 SET p.phase = 'do' + 'ne'",
}


def test_wrong_answers_that_ex_accepts_fail_ts(arcadedb: Any, golds: dict[str, str], made: Any) -> None:
    wrong = {name: golds[name].replace(*WRONG[name]) for name in ("boundary", "missing", "order")}
    assert all(ex(arcadedb, golds[name], answer) for name, answer in wrong.items()), "no trap: EX sees it already"
    pairs = [(example(golds[name]), answer) for name, answer in wrong.items()]
    assert test_suite_scores(pairs, made[0], arcadedb) == [False, False, False]


def test_other_wrong_answers_fail_ts_as_well(arcadedb: Any, golds: dict[str, str], made: Any) -> None:
    pairs = [
        (example(golds["direction"]), golds["direction"].replace("]->", "]-").replace(")-[", ")<-[")),
        (example(golds["distinct"]), golds["distinct"].replace("DISTINCT ", "")),
        (example(golds["write"]), golds["write"].replace("> 4", ">= 4")),
        (example(golds["boundary"]), "MATCH (a:Project) DETACH DELETE a"),  # a write is no answer to a read
        (example(golds["boundary"]), "MATCH (a:Projekt"),
    ]
    assert test_suite_scores(pairs, made[0], arcadedb) == [False] * 5


def test_right_rewritings_pass_ts(arcadedb: Any, golds: dict[str, str], made: Any) -> None:
    pairs = [(example(golds[name]), answer) for name, answer in RIGHT.items()]
    pairs += [(example(golds["write"]), golds["write"].replace(*WRITE_SAME))]
    scores = run_suite(pairs, made[0], arcadedb)
    assert [score.passed for score in scores] == [True] * len(pairs)
    graphs = len(made[0].graphs[GRAPH].recipes)
    assert all(score.graphs == graphs and score.refused == 0 for score in scores)
    assert all(score.empty < graphs for score in scores)


WRITE_SAME = WRONG["write"]  # a condition that adds nothing: right, as far as any graph goes


def test_a_graph_that_refuses_the_gold_says_nothing_and_is_counted(
    arcadedb: Any, golds: dict[str, str], made: Any
) -> None:
    gold = golds["boundary"]
    (score,) = run_suite([(example(gold), "RETURN 1 AS code")], made[0], arcadedb, max_rows=0)
    assert (score.passed, score.graphs) == (True, 0)
    assert score.refused == len(made[0].graphs[GRAPH].recipes)


def test_a_saved_suite_makes_the_same_graphs(tmp_path: Path, made: Any) -> None:
    suite = made[0]
    loaded = Suite.load(suite.save(tmp_path / "suite.json"))
    assert loaded.graphs == suite.graphs
    pairs = list(zip(suite.instances(GRAPH), loaded.instances(GRAPH), strict=True))
    assert len(pairs) == len(suite.graphs[GRAPH].recipes)
    for a, b in pairs:
        assert a == b
        assert digest(a) == digest(b)


def test_a_suite_that_no_longer_fits_is_refused(tmp_path: Path, made: Any) -> None:
    path = made[0].save(tmp_path / "suite.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    document[GRAPH]["recipes"][0]["missing"] += 0.5
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BadInput, match="no longer what it was"):
        next(Suite.load(path).instances(GRAPH))
    path.write_text('{"company": {"keys": {}}}', encoding="utf-8")
    with pytest.raises(BadInput, match="is no suite"):
        Suite.load(path)
    with pytest.raises(BadInput, match="no graphs of 'movies'"):
        next(made[0].instances("movies"))


def test_distilling_keeps_few_graphs_and_only_such_as_tell_something(arcadedb: Any, golds: dict[str, str]) -> None:
    items = [example(golds[name]) for name in ("boundary", "distinct")]
    one, first = distil(items, schema_of, first_instance, arcadedb, candidates=6, keep=1, least=1)
    more, second = distil(items, schema_of, first_instance, arcadedb, candidates=6, keep=3, least=1)
    again, _ = distil(items, schema_of, first_instance, arcadedb, candidates=6, keep=3, least=1)
    assert len(one.graphs[GRAPH].recipes) == 1
    assert 1 <= len(more.graphs[GRAPH].recipes) <= 3
    assert more == again
    told = [found.counts()["all"]["suite"] for found in (first, second)]
    assert told[1] >= told[0] > 0
    _, short = distil(items, schema_of, first_instance, arcadedb, candidates=1, least=1, per_item=5)
    assert {len([case for case in short.cases if case.example.id == item.id]) for item in items} == {5}


@given(st.integers(0, 400), st.sampled_from(["winery", "company", "street_network", "banking"]))
def test_a_suite_graph_keeps_to_its_schema(seed: int, name: str) -> None:
    schema = schema_of(name)
    gold = next(e.output for e in (*benchmark("graph"), *benchmark("iid")) if e.graph == name)
    base = frame(schema, first_instance(name), [gold])
    graph = build(schema, base, draw_recipe(str(seed)))
    labels = {node.key: node.label for node in graph.nodes}
    assert len(labels) == len(graph.nodes)
    for label in schema.labels.values():
        keys = [node.properties[label.key] for node in graph.nodes if node.label == label.name]
        assert len(keys) == len(set(keys))
    ends = schema.names().ends
    assert all((labels[r.start], r.type, labels[r.end]) in ends for r in graph.relationships)
    assert all(set(n.properties) <= set(schema.labels[n.label].properties) for n in graph.nodes)
    single = {kind.type for kind in schema.relationships if kind.each[1] == 1}
    starts = Counter((r.type, r.start) for r in graph.relationships if r.type in single)
    assert all(number == 1 for number in starts.values())


def test_suite_graphs_have_what_ordinary_data_lacks(golds: dict[str, str]) -> None:
    schema = schema_of(GRAPH)
    base = frame(schema, first_instance(GRAPH), list(golds.values()))
    graphs = [build(schema, base, draw_recipe(f"x {seed}")) for seed in range(30)]

    def some(test: Any) -> bool:
        return any(test(graph) for graph in graphs)

    costs = {node.properties.get("cost") for graph in graphs for node in graph.nodes if node.label == "Project"}
    assert {64999, 65000, 65001, None} <= costs
    assert some(lambda g: any(r.start == r.end for r in g.relationships))
    assert some(lambda g: max(Counter((r.type, r.start, r.end) for r in g.relationships).values(), default=0) > 1)
    assert some(lambda g: any((r.type, r.end, r.start) in edges(g) and r.start != r.end for r in g.relationships))
    assert some(lambda g: {n.key for n in g.nodes} - {k for r in g.relationships for k in (r.start, r.end)})
    assert some(lambda g: not any(n.label == "Department" for n in g.nodes))
    assert all([n.key for n in g.nodes] != sorted(n.key for n in g.nodes) for g in graphs)


def edges(graph: GraphInstance) -> set[tuple[str, int, int]]:
    return {(r.type, r.start, r.end) for r in graph.relationships}


def test_a_profile_is_what_the_gold_compares_with() -> None:
    query = (
        "MATCH (a:Employee)-[r:ASSIGNED_TO]->(b) "
        "WHERE a.email CONTAINS 'x\\'y' AND r.hours > 7 AND a.hired.year = 2020 RETURN a LIMIT 2"
    )
    found = {(c.owner, c.property, c.value) for c in profile(query, schema_of(GRAPH))}
    assert ("Employee", "email", "x'y") in found
    assert ("ASSIGNED_TO", "hours", 7) in found
    assert {("Employee", "hired", "2020-01-01"), ("Employee", "hired", "2020-12-31")} <= found


def test_the_state_after_a_write_is_compared_within_the_tolerance_of_floats(arcadedb: Any) -> None:
    graph = GraphInstance(
        "g", [Node(1, "A", {"x": 3.0, "s": "t"}), Node(2, "A", {"x": 1.5})], [Relationship("R", 1, 2, {"w": 2})]
    )
    judge = Judge(arcadedb)
    judge.load(graph)
    gold = "MATCH (a:A) SET a.x = a.x * 1.1"
    state = judge.result(gold, gold)
    assert isinstance(state, Rows)
    for answer, same in (
        ("MATCH (a:A) SET a.x = a.x + a.x / 10", True),
        ("MATCH (a:A) SET a.x = a.x * 1.1, a.missing = null", True),
        ("MATCH (a:A) SET a.x = a.x * 1.11", False),
        ("MATCH (a:A) WHERE a.x > 2 SET a.x = a.x * 1.1", False),
        ("MATCH (a:A)-[r]->() SET a.x = a.x * 1.1 DELETE r", False),
    ):
        result = judge.result(answer, gold)
        assert isinstance(result, Rows)
        assert same_state(state, result) is same, answer
    after = arcadedb.run("MATCH (a:A)-[r]->(b) RETURN a.x, r.w, b.x")
    assert after.rows == ((3.0, 2, 1.5),)  # every write was undone


def test_the_committed_suites_are_adequate_and_small() -> None:
    found = json.loads(ADEQUACY.read_text(encoding="utf-8"))
    assert list(found) == list(SUITED)
    for name in SUITED:
        counts = found[name]["all"]
        different = counts["first"] + counts["suite"] + counts["missed"] + counts["rule broken"]
        assert different > 2000
        assert (counts["first"] + counts["suite"]) / different >= REQUIRED
        assert counts["rule broken"] == 0
        suite = benchmark_suite(name)
        assert set(suite.graphs) == {str(e.graph) for e in benchmark(name)}
        assert all(10 <= len(entry.recipes) <= 20 for entry in suite.graphs.values())
        for graph in sorted(suite.graphs)[::6]:
            assert len({digest(instance) for instance in suite.instances(graph)}) == len(suite.graphs[graph].recipes)
    assert ADEQUACY.with_suffix(".md").read_text(encoding="utf-8") == adequacy_page(found)


def test_the_figures_of_a_schema_come_out_again(arcadedb: Any) -> None:
    committed = json.loads(ADEQUACY.read_text(encoding="utf-8"))["iid"]["graphs"][AGAIN]
    items = [e for e in benchmark("iid") if e.graph == AGAIN]
    settings = {**SETTINGS, "pool": 0}
    suite, adequacy = distil(items, schema_of, first_instance, arcadedb, **settings)
    counts = report({"iid": adequacy})["iid"]["graphs"][AGAIN]
    assert suite.graphs[AGAIN] == benchmark_suite("iid").graphs[AGAIN]
    assert {name: counts[name] for name in ("neighbours", "first", "suite", "rule")} == {
        name: committed[name] for name in ("neighbours", "first", "suite", "rule")
    }
    assert counts["none"] == committed["none"] + committed["missed"]


AGAIN = "company"


def test_recipes_are_data() -> None:
    recipe = draw_recipe("s")
    schema = schema_of(GRAPH)
    base = frame(schema, first_instance(GRAPH), [])
    assert recipe == draw_recipe("s") != draw_recipe("t")
    assert digest(build(schema, base, recipe)) == digest(build(schema, base, replace(recipe, digest="x")))
    assert digest(build(schema, base, recipe)) != digest(build(schema, base, replace(recipe, seed="t")))
