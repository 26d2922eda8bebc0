"""The templates of NornicDB's operations: each binds, is in the fact pack, collides with none, and what runs, runs."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest

from heimdall_nb import fact_check
from heimdall_nb.dataset.example import normalise
from heimdall_nb.dataset.fact_slots import FactBinder
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.dataset.questions import STYLES, ask
from heimdall_nb.dataset.slots import Binding, InstanceValues, NoBinding, SampledValues
from heimdall_nb.dataset.templates import Template, templates
from heimdall_nb.engines.graph import Rows
from heimdall_nb.facts import load_pack

PACK = load_pack()
GRAPHS = ("shop", "flights", "movies")
FAMILIES = set(
    "indexing constraints vector_search fulltext_search transactions schema profiling optimization procedures "
    "statistics databases configuration environment server http_api memory_decay import_export link_prediction "
    "algorithms corrections".split()
)
WRONG = re.compile(
    r"\bGROUP BY \w|CALL algo\.|`vector\.|vector\.similarity\(|apoc\.text\.toUpperCase|IS NODE KEY"
    r"|REQUIRE .* IS NOT NULL|IS ::|LIMIT \d+ ORDER BY|BEGIN;"
    r"|NORNICDB_AUTH_ENABLED|model_path|CREATE (RANGE|TEXT|POINT|LOOKUP) INDEX"
)
# Forms in data/forms.yaml that give the same rows as the answer of these templates.
SAME = (
    "label_in_pattern missing_label cartesian count_not_collect exists_not_distinct optional_to_match filter_early "
    "or_to_in union_to_in unwind_collect empty_with directed"
).split()


@lru_cache(maxsize=4)
def graph(name: str) -> tuple[Any, Any]:
    if not name:
        return None, SampledValues()
    schema = load_schema(name)
    return schema, InstanceValues(instantiate(schema, 1))


def bindings(template: Template, seeds: int) -> Iterator[tuple[str, random.Random, Binding]]:
    for name in GRAPHS if template.needs_schema else ("",):
        schema, values = graph(name)
        for seed in range(seeds):
            rng = random.Random(f"{template.name} {name} {seed}")
            try:
                yield name, rng, FactBinder(schema, values, rng, PACK).bind(template.bind)
            except NoBinding:
                continue


@lru_cache(maxsize=1)
def sample() -> tuple[tuple[Template, str, str, str, Binding], ...]:
    """(template, graph, question, answer, binding), some of each template and graph."""
    found = []
    for template in templates("nornicdb").values():
        for name, rng, binding in bindings(template, 6):
            question = ask(template, binding, STYLES[len(found) % len(STYLES)], rng)
            found.append((template, name, question, template.render(binding), binding))
    return tuple(found)


def test_there_are_the_families_and_enough_templates() -> None:
    known = templates("nornicdb").values()
    assert {t.family for t in known} == FAMILIES
    assert len(known) >= 130


def test_every_template_binds_and_has_three_wordings() -> None:
    bound = {template.name for template, *_ in sample()}
    assert set(templates("nornicdb")) - bound == set()
    for template in templates("nornicdb").values():
        assert len(template.phrases) + len(template.questions) + len(template.keywords) >= 3, template.name
        assert template.facts or template.runs, template.name


def test_no_slot_is_left_open() -> None:
    for template, _, question, answer, binding in sample():
        for name in binding:
            assert f"{{{name}}}" not in question + answer, (template.name, question, answer)
        assert "None" not in answer.split() and "\ue000" not in question


def test_facts_are_in_the_pack_and_every_name_of_an_answer_is_known() -> None:
    for template, _, _, answer, binding in sample():
        named = [item.format_map({name: slot.query for name, slot in binding.items()}) for item in template.facts]
        for identifier in filter(None, ",".join(named).split(",")):
            PACK.fact(identifier)
        assert fact_check.unknown(answer, PACK) == [], (template.name, answer)


def test_no_two_answers_for_one_question() -> None:
    answers: dict[tuple[str, str], tuple[str, str]] = {}
    for template, name, question, answer, _ in sample():
        first = answers.setdefault((name, normalise(question)), (template.name, answer))
        assert first[1] == answer, (first, template.name, question, answer)


def test_what_is_wrong_stands_in_questions_of_corrections_alone() -> None:
    for template, _, question, answer, _ in sample():
        if not answer.startswith("No"):  # a refusal may name what it refuses
            assert not WRONG.search(answer), (template.name, answer)
        if template.family not in ("corrections", "constraints", "procedures", "indexing"):
            assert not WRONG.search(question), (template.name, question)


def test_what_the_answer_names_is_said_in_the_question() -> None:
    for template, _, question, _, binding in sample():
        for slot in ("i", "e", "d"):
            if slot in binding and template.family in ("indexing", "constraints", "vector_search", "fulltext_search"):
                assert binding[slot].query in question, (template.name, question)


def test_what_runs_runs(arcadedb: Any) -> None:
    for name in GRAPHS:
        schema = load_schema(name)
        arcadedb.load(instantiate(schema, 1))
        for template, of, _, _, binding in sample():
            runs = template.render_runs(binding)
            if of != name or not runs:
                continue
            if template.writes:
                verify, expected = template.render_verify(binding)
                result = arcadedb.trial(runs, verify)
                assert isinstance(result, Rows) and result.rows == (expected,), (template.name, runs, result)
            else:
                assert isinstance(arcadedb.run(runs), Rows), (template.name, runs, arcadedb.run(runs))


@pytest.mark.parametrize("name", SAME)
def test_a_faster_form_gives_the_same_rows(name: str, arcadedb: Any) -> None:
    template, compared = templates("nornicdb")[name], 0
    loaded = ""
    for of, _, binding in bindings(template, 4):
        if of != loaded:
            arcadedb.load(instantiate(load_schema(of), 1))
            loaded = of
        slow, fast = arcadedb.run(binding["f"].query), arcadedb.run(template.render(binding))
        assert isinstance(slow, Rows) and isinstance(fast, Rows), (slow, fast)
        assert _bag(slow) == _bag(fast), (binding["f"].query, template.render(binding))
        compared += bool(fast.rows)
    assert compared


def _bag(result: Rows) -> list[str]:
    return sorted(repr([sorted(map(repr, v)) if isinstance(v, list) else v for v in row]) for row in result.rows)
