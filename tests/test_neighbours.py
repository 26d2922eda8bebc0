"""Neighbours of Cypher queries: one edit each, all kinds, and the rules that prove some of them equivalent."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import GraphSchema, load_schema
from heimdall_nb.engines.cypher_tokens import tokens
from heimdall_nb.evaluation.neighbours import EDITS, NOTHING, neighbours
from heimdall_nb.evaluation.query_layout import Layout

schema_of = lru_cache(load_schema)


@lru_cache(maxsize=1)
def examples() -> list[Example]:
    return [example for name in ("iid", "template", "graph", "style") for example in benchmark(name)]


def company() -> GraphSchema:
    return schema_of("company")


def queries(query: str, edit: str = "", graph: str = "company") -> set[str]:
    return {n.query for n in neighbours(query, schema_of(graph)) if edit in ("", n.edit)}


@given(st.integers(0, 1199))
def test_a_neighbour_differs_in_one_place_by_what_it_says(number: int) -> None:
    example = examples()[number]
    gold = [(t.kind, t.text) for t in tokens(example.output)]
    for neighbour in neighbours(example.output, schema_of(str(example.graph))):
        other = [(t.kind, t.text) for t in tokens(neighbour.query)]
        assert other != gold
        same = next(
            (k for k, (a, b) in enumerate(zip(gold, other, strict=False)) if a != b), min(len(gold), len(other))
        )
        back = 0
        while back < min(len(gold), len(other)) - same and gold[-1 - back] == other[-1 - back]:
            back += 1
        before, after = (len(tokens(text)) * (text != NOTHING) for text in neighbour.change.split(" -> ", 1))
        assert len(gold) - same - back <= before, neighbour
        assert len(other) - same - back <= after, neighbour


def test_what_is_left_parses_and_little_is_lost(arcadedb: Any) -> None:
    made, left = 0, 0
    for example in examples()[::47]:
        schema = schema_of(str(example.graph))
        made += len(neighbours(example.output, schema))
        kept = neighbours(example.output, schema, parses=lambda query: arcadedb.parse(query) is None)
        left += len(kept)
        assert all(arcadedb.parse(item.query) is None for item in kept)
    assert made > 300
    assert left >= 0.98 * made


def test_every_kind_of_edit_occurs_in_the_benchmark() -> None:
    missing = set(EDITS)
    for example in examples():
        missing -= {n.edit for n in neighbours(example.output, schema_of(str(example.graph)))}
        if not missing:
            return
    raise AssertionError(missing)


READ = (
    "MATCH (a:Employee)-[r:ASSIGNED_TO]->(b:Project) WHERE a.salary >= 50000 AND b.phase = 'done' "
    "RETURN a.email AS e, b.cost AS c"
)


@pytest.mark.parametrize(
    ("query", "edit", "expected"),
    [
        (READ, "comparison", READ.replace(">=", ">")),
        (READ, "comparison", READ.replace("= 'done'", "<> 'done'")),
        (READ, "AND/OR", READ.replace("AND", "OR")),
        (READ, "NOT", READ.replace("b.phase = 'done'", "NOT (b.phase = 'done')")),
        (READ, "condition dropped", READ.replace(" AND b.phase = 'done'", "")),
        (READ, "condition dropped", READ.replace("a.salary >= 50000 AND ", "")),
        (READ, "integer", READ.replace("50000", "50001")),
        (READ, "property", READ.replace("b.cost", "b.priority")),
        (READ, "label", READ.replace("(a:Employee)", "(a:Department)")),
        (READ, "label dropped", READ.replace("(b:Project)", "(b)")),
        (READ, "type", READ.replace("ASSIGNED_TO", "WORKS_IN")),
        (READ, "type dropped", READ.replace("[r:ASSIGNED_TO]", "[r]")),
        (READ, "direction", READ.replace("-[r:ASSIGNED_TO]->", "<-[r:ASSIGNED_TO]-")),
        (READ, "undirected", READ.replace("]->", "]-")),
        (READ, "DISTINCT", READ.replace("RETURN", "RETURN DISTINCT")),
        (READ, "column dropped", READ.replace(", b.cost AS c", "")),
        ("MATCH (a:Employee)-->(b) RETURN b", "direction", "MATCH (a:Employee)<--(b) RETURN b"),
        (
            "MATCH (a:Project)-[:DEPENDS_ON*1..3]->(b) RETURN b.code AS c",
            "hops",
            "MATCH (a:Project)-[:DEPENDS_ON*1..2]->(b) RETURN b.code AS c",
        ),
        (
            "MATCH (a:Employee) WHERE NOT (a.remote = true OR a.hired IS NULL) RETURN a.email AS e",
            "condition dropped",
            "MATCH (a:Employee) WHERE NOT (a.remote = true) RETURN a.email AS e",
        ),
        (
            "MATCH (a:Employee) WHERE a.remote = true RETURN a.email AS e",
            "condition dropped",
            "MATCH (a:Employee) RETURN a.email AS e",
        ),
        (
            "MATCH (a:Employee) WHERE a.hired > date('2020-01-01') RETURN a.email AS e",
            "string or date",
            "MATCH (a:Employee) WHERE a.hired > date('2019-12-31') RETURN a.email AS e",
        ),
        (
            "MATCH (a:Department) OPTIONAL MATCH (a)-[:FUNDS]->(b) RETURN a.name AS n, avg(b.cost) AS m",
            "OPTIONAL",
            "MATCH (a:Department) MATCH (a)-[:FUNDS]->(b) RETURN a.name AS n, avg(b.cost) AS m",
        ),
        (
            "MATCH (a:Project) RETURN a.code AS c ORDER BY a.cost DESC, c LIMIT 3",
            "sort direction",
            "MATCH (a:Project) RETURN a.code AS c ORDER BY a.cost, c LIMIT 3",
        ),
        (
            "MATCH (a:Project) RETURN a.code AS c ORDER BY a.cost DESC, c LIMIT 3",
            "SKIP or LIMIT dropped",
            "MATCH (a:Project) RETURN a.code AS c ORDER BY a.cost DESC, c",
        ),
        (
            "MATCH (a:Department) WHERE EXISTS { (a)-[:FUNDS]->(b:Project) WHERE b.cost > 9 } RETURN count(*) AS n",
            "comparison",
            "MATCH (a:Department) WHERE EXISTS { (a)-[:FUNDS]->(b:Project) WHERE b.cost >= 9 } RETURN count(*) AS n",
        ),
        (
            "MATCH (a:Project) WHERE a.code = 'AX-07' SET a.cost = 5000",
            "integer",
            "MATCH (a:Project) WHERE a.code = 'AX-07' SET a.cost = 5001",
        ),
    ],
)
def test_the_edit_that_one_expects_is_made(query: str, edit: str, expected: str) -> None:
    made = [[(t.kind, t.text) for t in tokens(other)] for other in queries(query, edit)]
    assert [(t.kind, t.text) for t in tokens(expected)] in made


@pytest.mark.parametrize(
    ("query", "unwanted"),
    [
        ("MATCH (a:Project) SET a.cost = 5", "comparison"),  # the = of SET is no comparison
        ("MATCH p = (a:Project)-[:DEPENDS_ON]->(b) RETURN length(p) AS n", "comparison"),
        ("MATCH (a:Project)<-[:FUNDS]-(b) RETURN a.code AS c", "comparison"),  # nor is an arrow
        ("CREATE (a:Project {code: 'X'})", "label dropped"),
        ("MATCH (a:Project) RETURN a.code AS c LIMIT 3", "integer"),
        ("MERGE (a:Project {code: 'X'}) ON MATCH SET a.cost = 5", "OPTIONAL"),
        ("MATCH (a:Project) SET a.cost = 5", "DISTINCT"),
    ],
)
def test_what_is_no_such_edit_is_not_made(query: str, unwanted: str) -> None:
    assert neighbours(query, company())
    assert not queries(query, unwanted)


def rules(query: str, edit: str) -> list[str]:
    return [n.rule for n in neighbours(query, company()) if n.edit == edit]


@pytest.mark.parametrize(
    ("query", "edit", "equivalent"),
    [
        ("MATCH (a:Employee)-[:ASSIGNED_TO]->(b:Project) RETURN a.email AS e, b.code AS c", "undirected", True),
        ("MATCH (a)-[:ASSIGNED_TO]->(b) RETURN a.email AS e, b.code AS c", "undirected", False),
        ("MATCH (a:Project)-[:DEPENDS_ON]->(b:Project) RETURN a.code AS c", "undirected", False),
        ("MATCH (a:Employee)-[:ASSIGNED_TO]->(b:Project) RETURN a.email AS e", "type dropped", True),
        ("MATCH (a:Employee)-[:ASSIGNED_TO]->(b) RETURN a.email AS e", "type dropped", False),
        ("MATCH (a)-[:ASSIGNED_TO]->(b:Project) RETURN a.email AS e", "label dropped", True),
        ("MATCH (a)-[:ASSIGNED_TO*0..2]->(b:Project) RETURN a.email AS e", "label dropped", False),
        ("MATCH (a:Employee) WHERE a.salary > 5 RETURN a.email AS e", "label dropped", True),
        ("MATCH (a:Employee) WHERE a.salary > 5 OR a.remote = true RETURN a.email AS e", "label dropped", False),
        ("MATCH (a:Employee) WHERE NOT a.salary > 5 RETURN a.email AS e", "label dropped", False),
        ("MATCH (a:Employee) RETURN max(a.salary) AS m", "DISTINCT", True),
        ("MATCH (a:Employee) RETURN a.email AS e", "DISTINCT", True),
        ("MATCH (a:Employee) RETURN a.jobTitle AS t", "DISTINCT", False),
        ("MATCH (a:Employee)-[:ASSIGNED_TO]->(b) RETURN a.email AS e", "DISTINCT", False),
        ("MATCH (a:Employee), (b:Project) RETURN a.email AS e", "DISTINCT", False),
    ],
)
def test_rules_hold_where_the_schema_proves_it_and_only_there(query: str, edit: str, equivalent: bool) -> None:
    found = rules(query, edit)
    assert found
    assert [bool(rule) for rule in found] == [equivalent] * len(found)


def test_the_layout_of_a_query_gives_back_its_text() -> None:
    query = "MATCH (a:`Work Order` {n: 'it\\'s'})-[r*1..3]->(b) WHERE a.x = 1 RETURN count(DISTINCT b) AS n // end"
    layout = Layout(query)
    assert layout.text((0, len(layout.tokens))) == query[: query.index(" //")]
    assert [clause.keyword for clause in layout.clauses] == ["MATCH", "WHERE", "RETURN"]
    hop = next(layout.hops())
    assert (layout.text(hop.arrow), hop.direction) == ("-[r*1..3]->", ">")
    assert layout.labels["a"] == {"Work Order"}
