"""Templates of the plugin and troubleshooting parts: they bind, are true to the pack, run, and mean one thing."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb import fact_check, facts
from heimdall_nb.dataset.broken import MISTAKES, break_query
from heimdall_nb.dataset.example import normalise
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.dataset.plugin_slots import PluginBinder, reads, tables
from heimdall_nb.dataset.questions import STYLES, ask
from heimdall_nb.dataset.slots import Binder, Binding, InstanceValues, NoBinding, SampledValues
from heimdall_nb.dataset.templates import Template, families, templates
from heimdall_nb.engines.graph import GraphInstance, Rows

PARTS = ("plugins", "troubleshooting")
GRAPHS = ("movies", "shop", "banking", "social")
FAMILIES = [(part, family) for part in PARTS for family in families(part)]
TEMPLATES = [template for part in PARTS for template in templates(part).values()]

# What must not stand in an answer as if it worked. Procedures and functions are the business of fact_check.
WRONG = re.compile(
    r"\bGROUP BY a|@(?:Procedure|UserFunction)|`vector\.|apoc\.text\.to|model_path:|threads:|BEGIN;|(?<!\.)\balgo\."
)


@lru_cache(maxsize=8)
def instance(graph: str) -> GraphInstance:
    return instantiate(load_schema(graph), 7)


@lru_cache(maxsize=8)
def values(graph: str) -> InstanceValues:
    return InstanceValues(instance(graph))


@lru_cache(maxsize=1)
def pack() -> facts.FactPack:
    return facts.load_pack()


def bound(template: Template, graph: str, seed: int, tries: int = 30) -> Binding | None:
    for turn in range(tries):
        rng = random.Random(f"{template.name} {graph} {seed} {turn}")
        try:
            return PluginBinder(load_schema_once(graph), values(graph), rng, pack()).bind(template.bind)
        except NoBinding:
            continue
    return None


@lru_cache(maxsize=8)
def load_schema_once(graph: str) -> Any:
    return load_schema(graph)


def somewhere(template: Template, seed: int) -> Binding:
    """A binding on the first graph that has one; an empty one is a binding too."""
    found = (bound(template, graph, seed) for graph in GRAPHS)
    return next(binding for binding in found if binding is not None)


def of_family(part: str, family: str) -> list[Template]:
    return [template for template in templates(part).values() if template.family == family]


def test_there_are_enough_templates() -> None:
    assert len(templates("plugins")) >= 70
    assert len(templates("troubleshooting")) >= 60
    assert len(families("plugins")) >= 8
    assert len(families("troubleshooting")) >= 10


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_template_has_three_wordings_and_a_ground_for_its_truth(template: Template) -> None:
    assert len(template.phrases) + len(template.questions) + len(template.keywords) >= 3
    assert template.phrases and template.questions and template.keywords
    assert template.facts or template.runs or "entry" in str(template.bind)
    assert template.frame in ("show", "do", "explain")


@pytest.mark.parametrize(("part", "family"), FAMILIES)
def test_answers_are_known_to_the_pack_and_run(part: str, family: str, arcadedb: Any) -> None:
    unbound = {template.name for template in of_family(part, family)}
    for graph in GRAPHS:
        arcadedb.load(instance(graph))
        for template in of_family(part, family):
            binding = bound(template, graph, 1)
            if binding is None:
                continue
            unbound.discard(template.name)
            answer = template.render(binding)
            assert not fact_check.unknown(answer, pack()), answer
            assert not WRONG.search(answer), answer
            for identifier in template.facts:
                pack().fact(identifier.format_map({name: slot.query for name, slot in binding.items()}))
            if runs := template.render_runs(binding):
                assert isinstance(arcadedb.run(runs), Rows), runs
    assert not unbound


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_questions_have_no_slots_left(template: Template) -> None:
    made = somewhere(template, 2)
    answer = template.render(made)
    assert not re.search(r"(?<!\$)\{[a-zA-Z]\w?(_\w+)?\}", answer)
    for style in STYLES:
        question = ask(template, made, style, random.Random(1))
        assert question and "  " not in question and not re.search(r"\{[a-zA-Z]\w?(_\w+)?\}", question)
        assert "None" not in question


@pytest.mark.parametrize("part", PARTS)
def test_one_question_never_has_two_answers(part: str) -> None:
    answers: dict[str, tuple[str, str]] = {}
    for template in templates(part).values():
        for seed in range(12):
            binding = bound(template, "movies", seed, tries=6)
            if binding is None:
                continue
            question = normalise(ask(template, binding, STYLES[seed % 3], random.Random(seed)))
            answer = template.render(binding)
            known = answers.setdefault(question, (answer, template.name))
            assert known[0] == answer, (question, known, template.name)


def test_names_of_plugins_and_actions_are_said() -> None:
    """Whatever is in quotation marks in a Go answer, and is no word of the interface, stands in the question."""
    fixed = {"", "time", "github.com/orneryd/nornicdb/pkg/heimdall", "github.com/orneryd/nornicdb/apoc", "heimdall"}
    fixed |= {"function", "type", "object", "properties", "integer", "minimum", "maximum", "rows"}
    for family in ("heimdall_plugin", "function_plugin"):
        for template in of_family("plugins", family):
            binding = bound(template, "movies", 3)
            assert binding is not None, template.name
            answer = template.render(binding)
            if not answer.startswith(("func", "package", "var")) or "MATCH" in answer:
                continue
            question = ask(template, binding, "question", random.Random(4))
            for text in re.findall(r'"([^"\n\\]*)"', answer):
                words = [word for word in re.findall(r"\w+", text) if word.lower() not in _PHRASES]
                assert text in fixed or all(word.lower() in question.lower() for word in words), (
                    template.name,
                    text,
                    question,
                )


_PHRASES = frozenset("is done d v must be from to not the parameter missing handled preprompt queries failed n".split())


def test_go_answers_balance_and_json_answers_parse() -> None:
    for template in TEMPLATES:
        binding = somewhere(template, 5)
        answer = template.render(binding)
        if answer.startswith(("package", "func")):
            code = re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', answer)
            for opening, closing in ("{}", "()", "[]"):
                assert code.count(opening) == code.count(closing), template.name
        if template.name.startswith("action_") and answer.startswith('{"') and answer.endswith("}}"):
            assert json.loads(answer)["action"].startswith("heimdall.watcher.")
        if "yaml" in " ".join(template.keywords).lower() and re.match(r"\w+:\n", answer):
            assert isinstance(yaml.safe_load(answer), dict)


def test_templates_without_a_schema_bind_without_one() -> None:
    free = 0
    for template in TEMPLATES:
        rng = random.Random(template.name)
        try:
            PluginBinder(None, SampledValues(), rng, pack()).bind(template.bind)
        except (NoBinding, AttributeError):
            continue
        free += 1
    assert free >= 90


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_can_be_made(mistake: str) -> None:
    """Every mistake is possible on some query, and makes another one of it."""
    made = list(_broken(mistake))
    assert made, "cannot be made anywhere"
    for right, wrong in made:
        assert right != wrong.query and wrong.query.strip()


def _broken(mistake: str) -> Iterator[tuple[str, Any]]:
    for graph in ("movies", "banking"):
        schema = load_schema_once(graph)
        for number, template in enumerate(reads("")):
            rng = random.Random(f"{mistake} {graph} {number}")
            try:
                query = template.render(Binder(schema, values(graph), rng).bind(template.bind))
            except NoBinding:
                continue
            if found := break_query(query, mistake, schema, rng):
                yield query, found


@pytest.mark.parametrize(
    "name", ["misspelt_label", "misspelt_type", "wrong_direction", "value_in_other_case", "equals_null"]
)
def test_a_query_said_to_find_nothing_finds_nothing(name: str, arcadedb: Any) -> None:
    template = templates("troubleshooting")[name]
    for graph in GRAPHS[:3]:
        arcadedb.load(instance(graph))
        for seed in range(4):
            binding = bound(template, graph, seed)
            if binding is not None:
                result = arcadedb.run(binding["bad"].query)
                assert isinstance(result, Rows) and not result.rows, binding["bad"].query


@pytest.mark.parametrize(
    "name", ["missing_parenthesis", "missing_bracket", "broken_arrow", "like", "having", "double_equals"]
)
def test_a_query_said_to_be_refused_is_refused(name: str, arcadedb: Any) -> None:
    template = templates("troubleshooting")[name]
    for graph in GRAPHS[:3]:
        for seed in range(4):
            binding = bound(template, graph, seed)
            if binding is not None:
                assert arcadedb.parse(binding["bad"].query) is not None, binding["bad"].query


@given(st.text(max_size=60), st.sampled_from(sorted(MISTAKES)), st.integers(0, 9))
def test_no_text_breaks_the_mistakes(text: str, mistake: str, seed: int) -> None:
    schema = load_schema_once("movies")
    if mistake == "keyword" and not re.search("MATCH|WHERE|RETURN|ORDER BY|DISTINCT", text):
        text += " RETURN 1"
    made = break_query(text, mistake, schema, random.Random(seed))
    assert made is None or made.query != text


def test_tables_name_functions_of_the_pack() -> None:
    known = {fact.id for fact in pack().of_kind("function")} | {fact.id for fact in pack().of_kind("procedure")}
    for entries in tables().values():
        for entry in entries:
            if isinstance(entry, dict) and "call" in entry:
                name = entry["call"].partition("(")[0]
                assert name in known or f"function.{name}" in known
                assert entry["says"]
