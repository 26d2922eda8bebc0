"""Slots of a fact pack and of administration: what they draw is in the pack, and says what the answer needs."""

from __future__ import annotations

import random
import re

import pytest
import yaml

from heimdall_nb.dataset.fact_slots import FactBinder, fitting, other_values, passes, snippet, text_of
from heimdall_nb.dataset.graphs import GraphSchema, load_schema
from heimdall_nb.dataset.slots import Binding, NoBinding, SampledValues
from heimdall_nb.dataset.templates import slot_rule
from heimdall_nb.facts import load_pack

PACK = load_pack()


def bind(rules: str, seed: int = 0, schema: GraphSchema | None = None) -> Binding:
    rng = random.Random(f"test {seed}")
    return FactBinder(schema, SampledValues(), rng, PACK).bind([slot_rule(rule) for rule in rules.split(", ")])


def test_the_same_random_numbers_give_the_same_slots() -> None:
    rules = "x=setting * type:boolean, v=other_value x, y=fact procedure, i=fact flag of:serve"
    assert bind(rules, 3) == bind(rules, 3)
    assert len({bind(rules, seed)["x_id"].query for seed in range(30)}) > 10


def test_a_setting_brings_all_that_hangs_on_it() -> None:
    slots = bind("x=named server.bolt_port")
    assert slots["x"].words == PACK.fact("server.bolt_port").words
    assert {name: slots[f"x_{name}"].query for name in ("id", "env", "default", "leaf", "section", "type")} == {
        "id": "server.bolt_port",
        "env": "NORNICDB_BOLT_PORT",
        "default": "7687",
        "leaf": "bolt_port",
        "section": "server",
        "type": "integer",
    }
    assert slots["x_yaml"].query == "server:\n  bolt_port: 7687"
    assert slots["x_export"].query == "export NORNICDB_BOLT_PORT=7687"


def test_a_procedure_has_its_columns_and_an_endpoint_its_path() -> None:
    slots = bind("x=named db.labels, y=named endpoint.health")
    assert slots["x_yield"].query == "YIELD label"
    assert (slots["y_method"].query, slots["y_path"].query) == ("GET", "/health")


@pytest.mark.parametrize("kind", ["setting", "variable", "flag"])
def test_other_values_are_valid_and_not_the_default(kind: str) -> None:
    valid = [(fact, value) for fact in PACK.of_kind(kind) for value in other_values(fact) if value != fact.value]
    assert len({fact.id for fact, _ in valid}) > 0.8 * len(PACK.of_kind(kind))
    if kind == "setting":
        assert [(fact.id, value) for fact, value in valid if PACK.setting_fault(fact.id, value)] == []


@pytest.mark.parametrize("seed", range(20))
def test_a_drawn_value_differs_from_the_default(seed: int) -> None:
    slots = bind("x=setting * type:boolean, v=other_value x, y=setting server type:integer, w=other_value y", seed)
    assert slots["v"].query != slots["x_default"].query
    assert slots["w"].query != slots["y_default"].query
    assert set(slots["v_verb"].words) & {"turn on", "turn off"}


def test_a_variable_for_several_settings_is_never_exported_as_one_of_them() -> None:
    assert "v_export" not in bind("x=named auth.enabled, v=other_value x")
    assert "v_yaml" in bind("x=named auth.enabled, v=other_value x")


@pytest.mark.parametrize("seed", range(25))
def test_yaml_reads_back_as_the_values(seed: int) -> None:
    rules = "x=setting * type:boolean, v=other_value x, y=setting * type:integer, w=other_value y, z=yaml v w"
    slots = bind(rules, seed)
    document = yaml.safe_load(slots["z"].query)
    for name, value in (("x_id", "v"), ("y_id", "w")):
        found = document
        for key in slots[name].query.split("."):
            found = found[key]
        assert found == slots[value].value


def test_text_that_yaml_would_read_as_something_else_is_quoted() -> None:
    assert yaml.safe_load(snippet({"a": {"b": "none", "c": "1.5", "d": "true", "e": "x: y", "f": True}})) == {
        "a": {"b": "none", "c": "1.5", "d": "true", "e": "x: y", "f": True}
    }
    assert text_of((1, True)) == "1, true"


def test_tests_of_a_template_choose_facts() -> None:
    assert {fact.id for fact in fitting(PACK, "procedure", ("fulltext", "index"))} < {
        fact.id for fact in fitting(PACK, "procedure", ("fulltext",))
    }
    fact = PACK.fact("db.labels")
    assert passes(fact, "schema") and passes(fact, "-vector") and passes(fact, "-+arguments") and passes(fact, "+words")
    assert passes(PACK.fact("server.bolt_port"), "section:server")
    assert not passes(PACK.fact("server.bolt_port"), "type:boolean")


def test_names_of_indexes_are_plain_words_and_said() -> None:
    schema = load_schema("shop")
    for seed in range(30):
        slots = bind("A=label, p=any A, i=index_name A p, c=constraint_name A p, f=fulltext_index A p", seed, schema)
        for name in "icf":
            assert re.fullmatch(r"[a-z_]\w*", slots[name].query)
            assert slots[name].words == (slots[name].query,)


def test_a_read_is_a_whole_query_and_never_a_write_or_of_the_benchmark() -> None:
    schema = load_schema("movies")
    for seed in range(40):
        slots = bind("q=read", seed, schema)
        assert "RETURN" in slots["q"].query
        assert not re.search(r"\b(CREATE|MERGE|SET|DELETE)\b", slots["q"].query)
        assert "{" not in slots["q_asks"].query
        assert yaml.safe_load(slots["q_json"].query)["statements"][0]["statement"] == slots["q"].query


def test_without_a_schema_a_label_cannot_be_drawn_and_no_fact_is_drawn_twice() -> None:
    with pytest.raises(NoBinding):
        bind("x=named db.labels, y=named db.labels")
    with pytest.raises(AttributeError):
        bind("A=label")
