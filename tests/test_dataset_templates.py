"""Templates, questions and the corpus: every template binds, says its literals, and means one thing."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import pytest

from heimdall_nb.dataset import corpus, invent, questions, words
from heimdall_nb.dataset.coverage import FEATURES, features
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.graphs import instantiate, load_schema, schema_names
from heimdall_nb.dataset.slots import Binding, InstanceValues, NoBinding, Slot, literal
from heimdall_nb.dataset.templates import Template, bind, families, templates
from heimdall_nb.dataset.validate import missing_literals
from heimdall_nb.engines.cypher_check import name_faults
from heimdall_nb.engines.graph import GraphInstance, Rows
from heimdall_nb.errors import BadInput


@lru_cache(maxsize=8)
def instance(graph: str) -> GraphInstance:
    return instantiate(load_schema(graph), 7)


def bindings(name: str, tries: int = 80) -> list[tuple[Template, str, Binding]]:
    """One binding of each graph that has one."""
    found = []
    for graph in schema_names():
        schema = load_schema(graph)
        values = InstanceValues(instance(graph))
        for turn in range(tries):
            try:
                bound = bind(templates()[name], schema, values, random.Random(f"{graph} {turn}"))
            except NoBinding:
                continue
            found.append((templates()[name], graph, bound))
            break
    return found


def test_there_are_enough_templates_in_every_family() -> None:
    assert len(templates()) >= 40
    assert {t.family for t in templates().values()} == set(families())


@pytest.mark.parametrize("name", templates())
def test_every_template_agrees_with_its_question_and_runs(name: str, arcadedb: Any) -> None:
    found = bindings(name)
    assert found, "binds on no graph"
    for place, (template, graph, bound) in enumerate(found):
        schema = load_schema(graph)
        query = template.render(bound)
        assert not name_faults(query, schema.names())
        if place < 2:  # the generation executes them all
            arcadedb.load(instance(graph))
            assert isinstance(arcadedb.run(query, write=template.writes), Rows), query
        for style in questions.STYLES:
            question = questions.ask(template, bound, style, random.Random(1))
            assert "{" not in question and "  " not in question
            assert not missing_literals(question, query), (question, query)


def test_a_slot_named_twice_reads_the_same() -> None:
    template = templates()["aggregate"]
    slot = Slot("max", ("highest", "largest"))
    twice = Template("t", "cypher", "aggregation", (), "", ("{fn} and {fn}",), ("{fn}",), ("{fn}",))
    for seed in range(20):
        text = questions.ask(twice, {"fn": slot}, "order", random.Random(seed))
        assert text.count("highest") in (0, 2), text
    assert template.family == "aggregation"


def test_literals_are_escaped_and_dates_are_dates() -> None:
    assert literal("O'Neil \\") == "'O\\'Neil \\\\'"
    assert literal(True) == "true"
    assert literal(__import__("datetime").date(2024, 1, 2)) == "date('2024-01-02')"


@pytest.mark.parametrize(
    ("name", "spoken"),
    [("creditLimit", "credit limit"), ("ACTED_IN", "acted in"), ("HTTPPort", "http port"), ("a", "a")],
)
def test_identifiers_become_words(name: str, spoken: str) -> None:
    assert words.split_identifier(name) == spoken


@pytest.mark.parametrize(
    ("phrase", "many"),
    [
        ("works in", "work in"),
        ("is part of", "are part of"),
        ("carries", "carry"),
        ("watches", "watch"),
        ("wrote", "wrote"),
    ],
)
def test_verb_phrases_agree_with_a_plural(phrase: str, many: str) -> None:
    assert words.plural_verb(phrase) == many


def test_the_corpus_is_deterministic_and_record_by_record() -> None:
    five = list(corpus.base_corpus(5, 7, ["movies"]))
    assert five == list(corpus.base_corpus(9, 7, ["movies"]))[:5]
    assert five != list(corpus.base_corpus(5, 8, ["movies"]))
    assert all(len(record["turns"]) == 6 for record in five)


def test_own_share_decides_whose_schemas_are_used() -> None:
    text = load_schema("shop").text()
    assert all(r["schema"] == text for r in corpus.base_corpus(20, 1, ["shop"], own_share=1.0))
    assert all(r["schema"] != text for r in corpus.base_corpus(20, 1, ["shop"], own_share=0.0))
    own = sum(r["schema"] == text for r in corpus.base_corpus(400, 1, ["shop"], own_share=0.5))
    assert 150 < own < 250


def test_corpus_questions_say_their_literals_and_names_of_their_schema() -> None:
    for record in corpus.base_corpus(150, 3, schema_names(), own_share=0.2):
        for question, query in record["turns"]:
            assert not missing_literals(question, query), (question, query)


def test_held_out_items_do_not_reach_the_corpus() -> None:
    plain = list(corpus.base_corpus(60, 5, ["movies"], own_share=1.0, only=["count", "list_property", "top"]))
    unseen = [
        Example("i", q, c, "filter", "small", graph="movies") for r in plain[:10] for q, c in r["turns"] if "LIMIT" in c
    ]
    exclude = corpus.held_out(unseen)
    texts = {
        normalise(text)
        for r in corpus.base_corpus(60, 5, ["movies"], exclude, 1.0, only=["count", "list_property", "top"])
        for turn in r["turns"]
        for text in turn
    }
    assert unseen and not texts & {text for _, text in exclude}
    with pytest.raises(BadInput, match="held out"):
        list(corpus.base_corpus(1, 5, ["movies"], lambda graph, text: True, own_share=1.0))


def test_corpus_refuses_bad_arguments() -> None:
    for arguments in ({"own_share": 2}, {"own_share": 0.5, "graphs": []}, {"only": ["nothing"]}):
        with pytest.raises(BadInput):
            list(corpus.base_corpus(1, 1, **({"graphs": ["movies"]} | arguments)))


def test_one_question_never_has_two_answers() -> None:
    answers: dict[tuple[str, str], str] = {}
    for record in corpus.base_corpus(1500, 11, schema_names(), own_share=1.0):
        for question, query in record["turns"]:
            assert answers.setdefault((record["schema"], normalise(question)), query) == query, question


def test_invented_schemas_are_sound_and_varied() -> None:
    schemas = [invent.invent_schema(random.Random(n)) for n in range(200)]
    labels = [name for schema in schemas for name in schema.labels]
    assert len(set(labels)) > 0.8 * len(labels)
    for schema in schemas:
        assert 2 <= len(schema.labels) <= 4
        for label in schema.labels.values():
            assert label.key in label.properties and not label.properties[label.key].missing
            assert not {name.lower() for name in label.properties} & {"count", "return", "n"}


def test_features_are_seen_in_code_and_not_in_names() -> None:
    assert features("MATCH (a:Set)-[:WITH]->(b:Case) RETURN a.where AS x") == {"one hop or more"}
    assert "comparison" in features("MATCH (a) WHERE a.x > 1 RETURN a.x AS x")
    assert "relationship property" in features("MATCH (a)-[r:R]->(b) WHERE r.p = 1 RETURN a.x AS x")
    assert features("MATCH (a) WHERE a.x STARTS WITH 'WITH' RETURN a.x AS x") == {"WHERE", "text search"}
    used = {name for t in templates().values() for name in features(t.query.replace("{op}", ">"))}
    assert set(FEATURES) - used <= {"date"}
