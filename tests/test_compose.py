"""Composed queries: sound, said in full by their questions, varied beyond the templates, and none that is reserved."""

from __future__ import annotations

import random
from functools import lru_cache

from heimdall_nb.dataset.agreement import missing_literals
from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.dataset.compose import KINDS, compose, pieces
from heimdall_nb.dataset.corpus import _same_columns, cypher_corpus
from heimdall_nb.dataset.example import normalise
from heimdall_nb.dataset.graphs import GraphSchema, load_schema, schema_names
from heimdall_nb.dataset.invent import invent_schema
from heimdall_nb.dataset.questions import STYLES, ask
from heimdall_nb.dataset.slots import NoBinding, SampledValues
from heimdall_nb.dataset.templates import Template, bind, templates
from heimdall_nb.dataset.verified import FreshArcadeDB, runs
from heimdall_nb.engines.cypher_check import name_faults
from heimdall_nb.engines.cypher_skeleton import skeleton
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import Refusal

DRAWN = 1500


@lru_cache(maxsize=1)
def drawn() -> tuple[tuple[GraphSchema, Template, str, str], ...]:
    """(schema, template, question, query), on the graphs for training and on invented ones."""
    rng, graphs = random.Random(5), [load_schema(name) for name in schema_names()]
    found = []
    while len(found) < DRAWN:
        schema = rng.choice(graphs) if rng.random() < 0.5 else invent_schema(rng)
        template = compose(rng)
        try:
            binding = bind(template, schema, SampledValues(), rng)
        except NoBinding:
            continue
        found.append((schema, template, ask(template, binding, rng.choice(STYLES), rng), template.render(binding)))
    return tuple(found)


def test_questions_say_every_literal_and_queries_name_what_their_schema_has() -> None:
    for schema, _, question, query in drawn():
        assert not missing_literals(question, query), (question, query)
        assert not name_faults(query, schema.names()), (schema.text(), query)
        assert "{" not in question.replace("{}", "") and "[R" not in question, question
        assert "  " not in question and " ," not in question, question


def test_every_kind_and_every_piece_is_used() -> None:
    assert {template.name for _, template, _, _ in drawn()} == {f"composed_{kind}" for kind in KINDS}
    rng = random.Random(1)
    texts = "\n".join(compose(rng).query for _ in range(4000))
    for section in pieces().values():
        for name, piece in section.items():
            slotless = (piece.get("where") or piece.get("value") or piece["query"]).partition("{")[0]
            assert slotless in texts, name


def test_structures_are_many_more_than_the_templates_have() -> None:
    structures = {skeleton(query) for _, _, _, query in drawn()}
    assert len(structures) > 2 * len(templates())


def test_one_question_never_has_two_answers() -> None:
    answers: dict[tuple[str, str], str] = {}
    for schema, _, question, query in drawn():
        assert answers.setdefault((schema.text(), normalise(question)), query) == query, question


def test_reads_and_writes_are_what_their_frame_says() -> None:
    for _, template, _, query in drawn():
        assert writes(query) == (template.frame == "do") == template.writes, query


def test_every_query_runs() -> None:
    by_schema: dict[int, list[str]] = {}
    schemas = {}
    for schema, _, _, query in drawn()[:400]:
        if _same_columns(query):  # the corpus leaves such a query out
            continue
        schemas[id(schema)] = schema
        by_schema.setdefault(id(schema), []).append(query)
    with FreshArcadeDB() as engine:
        for number, queries in list(by_schema.items())[:40]:
            results = runs(schemas[number], queries, engine, seed=3)
            assert not [query for query, result in zip(queries, results, strict=True) if isinstance(result, Refusal)]


def test_the_corpus_composes_from_a_number_on_and_never_what_is_reserved() -> None:
    known = {skeleton(query) for _, record in cypher_corpus(300, 2) for _, query in record["turns"]}
    before = list(cypher_corpus(60, 9, composed_from=30))
    plain = list(cypher_corpus(60, 9))
    assert [record for _, record in before[:30]] == [record for _, record in plain[:30]]
    new = [query for _, record in before[30:] for _, query in record["turns"] if skeleton(query) not in known]
    assert 0.1 < len(new) / sum(len(record["turns"]) for _, record in before[30:]) < 0.5
    reserved = {skeleton(item.output) for item in benchmark("template")}
    assert not [query for _, record in before for _, query in record["turns"] if skeleton(query) in reserved]
