"""Schemas and instances: what the model sees, what the engine gets, what questions need, and located errors."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heimdall_nb.dataset.graphs import GRAPHS, GraphSchema, Property, instantiate, load_schema, schema_names
from heimdall_nb.dataset.slots import _FITS, InstanceValues, NoBinding
from heimdall_nb.dataset.templates import bind, templates
from heimdall_nb.dataset.words import plural, plural_verb, third_person
from heimdall_nb.engines.cypher_check import name_faults
from heimdall_nb.engines.cypher_tokens import quoted
from heimdall_nb.engines.graph import Rows
from heimdall_nb.errors import BadInput

ALL = schema_names(None)
AWKWARD = ("maintenance", "supply_chain", "street_network", "winery", "football", "logistics")
# Words that openCypher reserves: labels and types may be named so, but a property also becomes a column name.
RESERVED = frozenset(
    "all asc ascending by create delete desc descending detach exists limit match merge on optional order remove "
    "return set skip where with union unwind and as contains distinct ends in is not or starts xor false true null "
    "constraint do for require unique case when then else end mandatory scalar of add drop".split()
)


def test_text_marks_the_key_and_the_direction() -> None:
    lines = load_schema("movies").text().splitlines()
    assert "(:Person {name: STRING KEY, birthYear: INTEGER, country: STRING, awards: INTEGER})" in lines
    assert "(:Person)-[:REVIEWED {stars: INTEGER}]->(:Movie)" in lines


def test_enough_graphs_and_a_reserve_for_the_benchmark() -> None:
    training, reserved = schema_names(), schema_names(benchmark=True)
    assert len(training) >= 25 and len(reserved) == 4
    assert sorted(training + reserved) == ALL == sorted(path.stem for path in GRAPHS.glob("*.yaml"))
    assert all(load_schema(name).benchmark for name in reserved)
    assert any("`" in load_schema(name).text() for name in reserved), "no awkward name in the benchmark"


@pytest.mark.parametrize(
    ("phrase", "many"),
    [("uses", "use"), ("supervises x", "supervise x"), ("passes", "pass"), ("crosses", "cross"), ("caches", "cache"),
     ("freezes", "freeze"), ("fixes", "fix"), ("supplies to", "supply to"), ("lies in", "lie in"), ("beat", "beat")],
)  # fmt: skip
def test_verbs_in_the_plural(phrase: str, many: str) -> None:
    assert plural_verb(phrase) == many


def test_nouns_in_the_plural() -> None:
    assert [plural(w) for w in ("minutes", "status", "risk class", "shelf", "city", "team box")] == [
        "minutes", "statuses", "risk classes", "shelves", "cities", "team boxes",
    ]  # fmt: skip
    assert third_person("carry") == "carries"


def test_awkward_names_are_there() -> None:
    def names(graph: str) -> list[str]:
        schema = load_schema(graph).names()
        return [*schema.labels, *schema.relationships, *(name for group in schema.labels.values() for name in group)]

    assert sum(quoted(name) != name for name in names("maintenance")) > 12
    assert all(name.islower() for name in names("supply_chain"))
    for graph in ("street_network", "winery"):
        assert sum(not name.isascii() for name in names(graph)) >= 6
    assert "playsFor" in names("football") and {"Order", "Node", "key", "type", "count", "at"} <= set(
        names("logistics")
    )


@pytest.mark.parametrize("name", ALL)
def test_every_graph_has_what_the_course_needs(name: str) -> None:
    schema = load_schema(name)
    assert 3 <= len(schema.labels) <= 5 and 4 <= len(schema.relationships) <= 6
    assert len(schema.text()) < 800
    names = schema.names()
    assert all(start in names.labels and end in names.labels for start, _, end in names.ends)
    # Each direction of each relationship has words of its own: a question means one thing.
    said = Counter((r.start, r.end, r.says) for r in schema.relationships)
    said += Counter((r.end, r.start, r.back) for r in schema.relationships)
    assert set(said.values()) == {1}
    assert len({label.words for label in schema.labels.values()}) == len(schema.labels)
    assert any(r.start == r.end for r in schema.relationships), "nothing for paths"


def owners(schema: GraphSchema) -> Iterator[tuple[str, list[Property]]]:
    for name, label in schema.labels.items():
        yield name, list(label.properties.values())
    for item in schema.relationships:
        yield item.type, list(item.properties.values())


@pytest.mark.parametrize("name", ALL)
def test_every_graph_fits_the_common_slots(name: str) -> None:
    schema = load_schema(name)

    def has(label: str, kind: str) -> bool:
        key = schema.labels[label].key
        return any(_FITS[kind](prop, prop.name == key) for prop in schema.labels[label].properties.values())

    assert all(has(label, "number") and has(label, "any") for label in schema.labels)
    assert sum(has(label, "group") for label in schema.labels) >= max(2, len(schema.labels) - 1)
    for kind in ("key", "string", "additive", "ordered", "optional", "optional_text"):
        assert any(has(label, kind) for label in schema.labels), kind
    texts = [label for label in schema.labels.values() if label.text]
    assert texts and all(label.properties[label.text].type == "STRING" for label in texts)
    assert any(item.properties for item in schema.relationships)


@pytest.mark.parametrize("name", ALL)
def test_words_read_as_english(name: str) -> None:
    schema = load_schema(name)
    for owner, properties in owners(schema):
        spoken = [prop.words for prop in properties]
        assert len(set(spoken)) == len(spoken), owner
        for prop in properties:
            assert prop.name.lower() not in RESERVED, f"{owner}.{prop.name} cannot be a column name"
            if prop.type != "BOOLEAN":  # a noun in the singular without a prepositional phrase
                assert plural(prop.words) != prop.words and not re.search(" (in|of) ", prop.words), prop.words
    for label in schema.labels.values():
        assert label.words.isascii() and label.plural != label.words
        last = label.words.split()[-1]  # `the order order number` is no English
        assert not any(prop.words.split()[0] == last for prop in label.properties.values())
    for item in schema.relationships:
        for phrase in (item.says, item.back):
            first = phrase.split()[0]
            past = first.endswith("ed") or first in PAST
            assert past or (first.endswith("s") and plural_verb(phrase) != phrase), phrase


PAST = ("wrote", "sent", "paid", "heard", "beat", "took", "lost", "saw", "taught", "struck")


@pytest.mark.parametrize("name", ALL)
def test_values_have_their_type_and_name_nobody(name: str) -> None:
    python: dict[str, Any] = {"STRING": str, "INTEGER": int, "FLOAT": (int, float)}
    for owner, properties in owners(load_schema(name)):
        for prop in properties:
            assert all(isinstance(value, python[prop.type]) for value in prop.values), f"{owner}.{prop.name}"
            if prop.type == "STRING":
                texts = {prop.sample(random.Random(k)) for k in range(40)}
                personal = re.compile(r"@|://|[+(]?\d[\d ()/-]{9,}")
                assert not [text for text in texts if personal.search(text)]


@pytest.mark.parametrize("name", ALL)
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


@pytest.mark.parametrize("name", ALL)
def test_any_size_is_made(name: str) -> None:
    schema = load_schema(name)
    for nodes in (len(schema.labels), 11, 200):
        graph = instantiate(schema, 1, nodes)
        assert abs(len(graph.nodes) - nodes) <= len(schema.labels)
        assert {node.label for node in graph.nodes} == set(schema.labels)
    graph = instantiate(schema, 1, 5000)
    pairs = Counter((r.type, r.start, r.end) for r in graph.relationships)
    keys = {(n.label, n.properties[schema.labels[n.label].key]) for n in graph.nodes}
    assert len(keys) == len(graph.nodes) and max(pairs.values()) > 1


@pytest.mark.parametrize("name", ALL)
def test_every_name_runs_and_is_known(name: str, arcadedb: Any) -> None:
    """Each label, property and relationship type in one query: the engine takes it, and the name check knows it."""
    schema, graph = load_schema(name), instantiate(load_schema(name), 7)
    arcadedb.load(graph)
    for label in schema.labels.values():
        columns = ", ".join(f"a.{quoted(p)} AS {quoted(p)}" for p in label.properties)
        query = f"MATCH (a:{quoted(label.name)}) RETURN {columns} ORDER BY {quoted(label.key)}"
        rows = arcadedb.run(query)
        assert isinstance(rows, Rows) and len(rows.rows) == sum(n.label == label.name for n in graph.nodes)
        assert set(rows.columns) == set(label.properties) and not name_faults(query, schema.names())
        assert all(any(row[place] is not None for row in rows.rows) for place in range(len(rows.columns)))
    for item in schema.relationships:
        maps = "".join(f", {quoted(p)}: r.{quoted(p)}" for p in item.properties)
        query = (
            f"MATCH (a:{quoted(item.start)})-[r:{quoted(item.type)}]->(b:{quoted(item.end)}) "
            f"RETURN {{n: count(*)}} AS counted, collect({{x: 1{maps}}}) AS found"
        )
        rows = arcadedb.run(query)
        assert isinstance(rows, Rows) and len(rows.rows[0][1]) > 0, query
        assert not name_faults(query, schema.names())
        assert name_faults(query.replace("]->(b", "]->(:Nothing)<--(b"), schema.names())


@pytest.mark.parametrize("name", AWKWARD)
def test_templates_hold_for_awkward_names(name: str, arcadedb: Any) -> None:
    schema, graph = load_schema(name), instantiate(load_schema(name), 7)
    values, names = InstanceValues(graph), schema.names()
    arcadedb.load(graph)
    bound, wrong = 0, []
    for template in templates().values():
        for turn in range(12):
            try:
                binding = bind(template, schema, values, random.Random(f"{template.name} {turn}"))
            except NoBinding:
                continue
            query, bound = template.render(binding), bound + 1
            refusal = name_faults(query, names) or arcadedb.parse(query)
            wrong += [(template.name, query, refusal)] if refusal else []
            break
    assert not wrong and bound > 0.9 * len(templates())


def test_some_pairs_are_connected_twice() -> None:
    graphs = [instantiate(load_schema(name), 7) for name in ALL]
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
    ("text: title", "text: minutes", "labels.Movie.text"),
    ("share: 0.4", "share: 0", "labels.Studio.share"),
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
