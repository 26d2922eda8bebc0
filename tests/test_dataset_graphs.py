"""Schemas and instances: what the model sees, what the engine gets, and located errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from heimdall_nb.dataset.graphs import GRAPHS, instantiate, load_schema, schema_names
from heimdall_nb.errors import BadInput


def test_text_marks_the_key_and_the_direction() -> None:
    lines = load_schema("movies").text().splitlines()
    assert "(:Person {name: STRING KEY, birthYear: INTEGER, country: STRING, awards: INTEGER})" in lines
    assert "(:Person)-[:REVIEWED {stars: INTEGER}]->(:Movie)" in lines


@pytest.mark.parametrize("name", schema_names())
def test_every_graph_has_what_the_course_needs(name: str) -> None:
    schema = load_schema(name)
    assert 2 <= len(schema.labels) <= 4 and 2 <= len(schema.relationships) <= 5
    assert len(schema.text()) < 600
    names = schema.names()
    assert all(start in names.labels and end in names.labels for start, _, end in names.ends)
    assert len({(r.start, r.end, r.says) for r in schema.relationships}) == len(schema.relationships)


@pytest.mark.parametrize("name", schema_names())
def test_instances_have_unique_keys_gaps_lonely_nodes_and_no_order(name: str) -> None:
    schema = load_schema(name)
    graph = instantiate(schema, 7, nodes=60)
    assert 55 <= len(graph.nodes) <= 65 and len(graph.relationships) >= 40
    by_key = {node.key: node for node in graph.nodes}
    keys = [(node.label, node.properties[schema.labels[node.label].key]) for node in graph.nodes]
    assert len(set(keys)) == len(keys)
    assert any(set(schema.labels[n.label].properties) - set(n.properties) for n in graph.nodes)
    starts = {r.start for r in graph.relationships} | {r.end for r in graph.relationships}
    assert set(by_key) - starts, "no isolated node"
    assert [node.key for node in graph.nodes] != sorted(by_key)
    for item in graph.relationships:
        assert (by_key[item.start].label, item.type, by_key[item.end].label) in schema.names().ends


def test_some_pairs_are_connected_twice() -> None:
    graphs = [instantiate(load_schema(name), 7) for name in schema_names()]
    pairs = [(g.name, r.type, r.start, r.end) for g in graphs for r in g.relationships]
    assert len(set(pairs)) < len(pairs)


def test_instances_depend_on_the_seed_alone() -> None:
    schema = load_schema("library")
    assert instantiate(schema, 3) == instantiate(schema, 3)
    assert instantiate(schema, 3) != instantiate(schema, 4)


def test_a_pool_that_is_too_small_still_gives_unique_keys() -> None:
    graph = instantiate(load_schema("company"), 1, nodes=400)
    names = [node.properties["name"] for node in graph.nodes if node.label == "Department"]
    assert len(names) > 10 and len(set(names)) == len(names)


FAULTY = [
    ("type: STRING", "type: WORD", "labels.Person.properties.name.type"),
    ("key: name", "key: nme", "labels.Person.key"),
    ("start: Person", "start: Persona", "relationships.0.start"),
    ("plural: people", "plurl: people", "labels.Person.plurl"),
    ("range: [1931, 2003]", "range: [2003, 1931]", "labels.Person.properties.birthYear.range"),
    ("range: [1931, 2003], ", "", "labels.Person.properties.birthYear"),
    ("title: Films", "titel: Films", "titel"),
    ("each: [0, 4]", "each: [4, 0]", "relationships.0.each"),
    ("labels:", "labels: [", "YAML"),
]


@pytest.mark.parametrize(("old", "new", "place"), FAULTY)
def test_faults_name_file_and_key(tmp_path: Path, old: str, new: str, place: str) -> None:
    text = (GRAPHS / "movies.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_schema(path)
    assert "mine.yaml" in str(caught.value) and place in str(caught.value)


def test_an_unknown_graph_lists_the_known_ones() -> None:
    with pytest.raises(BadInput, match="movies"):
        load_schema("moves")
    with pytest.raises(BadInput, match="nodes"):
        instantiate(load_schema("movies"), 1, nodes=2)
