"""Templates, questions and the corpus: every template binds, says its literals, and means one thing."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, strategies

from heimdall_nb.dataset import corpus, invent, questions, words
from heimdall_nb.dataset.agreement import missing_literals
from heimdall_nb.dataset.corpus import cypher_corpus
from heimdall_nb.dataset.coverage import KINDS, canonical, constructs, coverage, coverage_table, used
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.generate import degenerate
from heimdall_nb.dataset.graphs import GraphSchema, instantiate, load_schema, schema_names
from heimdall_nb.dataset.slots import Binding, InstanceValues, NoBinding, Slot, literal
from heimdall_nb.dataset.templates import Template, bind, families, templates
from heimdall_nb.engines.cypher_check import name_faults
from heimdall_nb.engines.graph import GraphInstance, Rows
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS

STYLES = (*questions.STYLES, *questions.BENCHMARK_STYLES)
RUN_ON = ("shop", "movies", "memory", "university", "flights")
ENOUGH = 4  # bindings of a template that are run


schema_of = lru_cache(maxsize=64)(load_schema)


@lru_cache(maxsize=64)
def instance(graph: str) -> GraphInstance:
    return instantiate(schema_of(graph), 7)


@lru_cache(maxsize=64)
def values(graph: str) -> InstanceValues:
    return InstanceValues(instance(graph))


def bound(template: Template, graph: str, turns: int = 2) -> list[Binding]:
    """The bindings of a template on a graph that `turns` draws give."""
    found = []
    for turn in range(turns):
        try:
            found.append(bind(template, schema_of(graph), values(graph), random.Random(f"{graph} {turn}")))
        except NoBinding:
            continue
    return found


def training() -> dict[str, Template]:
    return {name: template for name, template in templates().items() if not template.benchmark}


def test_there_are_enough_templates_in_every_family() -> None:
    reserved = {name: template for name, template in templates().items() if template.benchmark}
    assert len(training()) >= 170 and len(reserved) >= 18
    assert {t.family for t in training().values()} == {t.family for t in reserved.values()} == set(families())
    # A reserved shape is no training shape with other words.
    assert not {t.query for t in reserved.values()} & {t.query for t in training().values()}
    long = [t for t in training().values() if len(t.query.split(" MATCH ")) + t.query.count(" WITH ") >= 3]
    assert len(long) >= 10


def test_every_template_reads_as_english_in_its_frame() -> None:
    for name, template in templates().items():
        wordings = template.phrases + template.questions + template.keywords
        assert len(wordings) >= 3 and len(set(wordings)) == len(wordings), name
        assert template.frame == ("do" if template.writes else "show"), name
        assert all(question.endswith(("?", ".")) for question in template.questions), name
        for phrase in template.phrases:
            assert not phrase.endswith((".", "?")) and not phrase.startswith(("for ", "how ", "which ")), (name, phrase)


@pytest.mark.parametrize("name", templates())
def test_every_template_binds_on_several_graphs_and_says_what_it_uses(name: str) -> None:
    template, graphs = templates()[name], 0
    for graph in schema_names(None):
        schema = schema_of(graph)
        there = bound(template, graph, 2)
        graphs += bool(there)
        for binding in there[:1]:
            query = template.render(binding)
            assert not name_faults(query, schema.names())
            for style in STYLES:
                question = questions.ask(template, binding, style, random.Random(1))
                assert "{" not in question and "  " not in question
                assert not missing_literals(question, query), (question, query)
    assert graphs >= 2, f"binds on {graphs} graphs"


def test_every_template_runs_and_half_of_its_results_say_something(arcadedb: Any) -> None:
    good, tried = dict.fromkeys(templates(), 0), dict.fromkeys(templates(), 0)
    for graph in (*RUN_ON, *(name for name in schema_names() if name not in RUN_ON)):
        waiting = [template for name, template in templates().items() if tried[name] < ENOUGH]
        if waiting:
            arcadedb.load(instance(graph))
        for template in waiting:
            for binding in bound(template, graph):
                tried[template.name] += 1
                good[template.name] += _says_something(template, binding, arcadedb)
    assert [name for name in tried if not tried[name]] == []
    assert [name for name in tried if 2 * good[name] < tried[name]] == []


def _says_something(template: Template, binding: Binding, engine: Any) -> bool:
    query = template.render(binding)
    if not template.writes:
        result = engine.run(query)
        assert isinstance(result, Rows), (query, result)
        return not degenerate(result)
    verify, expected = template.render_verify(binding)
    before, after = engine.run(verify), engine.trial(query, verify)
    assert isinstance(before, Rows) and isinstance(after, Rows), (query, before, after)
    return before.rows != (expected,) and after.rows == (expected,)


def test_no_two_queries_share_a_question() -> None:
    for graph in ("movies", "social", "company"):
        answers: dict[str, str] = {}
        for name, template in templates().items():
            for turn, binding in enumerate(bound(template, graph, 12)):
                query = normalise(template.render(binding))
                for style in STYLES:
                    if style == "typos":
                        continue  # its clean text is that of another style
                    question = normalise(questions.ask(template, binding, style, random.Random(turn)))
                    assert answers.setdefault(question, query) == query, (name, question)


@given(strategies.sampled_from(sorted(templates())), strategies.sampled_from(RUN_ON), strategies.integers(0, 10**6))
def test_typing_errors_touch_ordinary_words_only(name: str, graph: str, seed: int) -> None:
    template = templates()[name]
    for binding in bound(template, graph, 1):
        text = questions.ask(template, binding, "typos", random.Random(seed))
        assert text == questions.ask(template, binding, "typos", random.Random(seed))
        assert not missing_literals(text, template.render(binding))
        # The clean text of the same draw: what differs are one to three words, none of them a slot's.
        rng = random.Random(seed)
        marked = questions._marked(template, binding, questions._pick(questions._MISTYPED, rng), rng)
        clean = questions._plain(marked)
        changed = [(a, b) for a, b in zip(clean.split(), text.split(), strict=True) if a != b]
        assert 1 <= len(changed) <= 3
        said = " ".join(piece[1:-1] for piece in questions._MARKED.findall(marked)).lower().split()
        for before, after in changed:
            assert before.strip(".,?:;()!").lower() not in said
            assert abs(len(before) - len(after)) <= 1


def test_typing_errors_leave_what_only_matters() -> None:
    slot = Slot("Movie", ("movies",))
    bare = Template("t", "cypher", "filter", (), "", ("{As}",), ("{As}?",), ("{As}",))
    for seed in range(30):
        text = questions.ask(bare, {"As": slot}, "typos", random.Random(seed))
        assert "ovies" in text  # only the first letter may have become a capital
    no_word = Template("t", "cypher", "filter", (), "", ("{As}",), ("{As}?",), ("{As}",), frame="do")
    for seed in range(30):
        assert questions.ask(no_word, {"As": slot}, "typos", random.Random(seed)).lower() not in ("movies.", "movies?")


def test_styles_are_deterministic_and_differ() -> None:
    assert len(questions.STYLES) == 6 and not set(questions.STYLES) & set(questions.BENCHMARK_STYLES)
    template = templates()["compare"]
    binding = bound(template, "movies", 1)[0]
    said = {style: {questions.ask(template, binding, style, random.Random(n)) for n in range(40)} for style in STYLES}
    assert said == {
        style: {questions.ask(template, binding, style, random.Random(n)) for n in range(40)} for style in STYLES
    }
    for style in set(STYLES) - {"question"}:  # a wordy question holds a plain one, but is none
        others = set().union(*(texts for other, texts in said.items() if other != style))
        assert not said[style] & others, style
    assert all("?" not in text for text in said["indirect"])
    with pytest.raises(KeyError):
        questions.ask(template, binding, "shouted", random.Random(1))


@pytest.mark.parametrize("frame", ["show", "do", "explain"])
def test_every_style_has_frames_for_every_kind_of_phrase(frame: str) -> None:
    plain = Template("t", "cypher", "filter", (), "", ("rename the {A}",), ("Why {A}?",), ("{A}",), frame=frame)
    for style in STYLES:
        for seed in range(25):
            text = questions.ask(plain, {"A": Slot("A", ("axle",))}, style, random.Random(seed))
            assert "axle" in text and "{" not in text


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


def own(rng: random.Random, size: invent.Size) -> GraphSchema:
    """One of the graphs for training, in place of an invented one."""
    return schema_of(rng.choice(schema_names()))


def test_corpus_questions_say_their_literals_and_queries_name_what_their_schema_has() -> None:
    for schema, record in cypher_corpus(100, 3, composed_from=50):
        assert record["task"] == "cypher" and record["schema"] == schema.text()
        assert 2 <= len(record["turns"]) <= 8
        for question, query in record["turns"]:
            assert not missing_literals(question, query), (question, query)
            assert not name_faults(query, schema.names()), (schema.text(), query)


def test_one_question_never_has_two_answers() -> None:
    answers: dict[tuple[str, str], str] = {}
    for _, record in cypher_corpus(400, 11, draw=own, composed_from=0):
        for question, query in record["turns"]:
            assert answers.setdefault((record["schema"], normalise(question)), query) == query, question
    assert len({schema for schema, _ in answers}) == len(schema_names())


def test_corpus_begins_with_what_is_small() -> None:
    easy, number = 120, 360
    made = list(cypher_corpus(number, 5, turns=6, easy=easy))
    assert max(len(record["turns"]) for _, record in made[:easy]) == corpus.FEW
    assert max(len(record["turns"]) for _, record in made[easy:]) == 6
    assert max(len(schema.labels) for schema, _ in made[:easy]) == 2
    lengths = [sum(len(q) for _, q in record["turns"]) / len(record["turns"]) for _, record in made]
    assert sum(lengths[:easy]) / easy < 0.8 * sum(lengths[easy:]) / (number - easy)
    names = {template.name for group in corpus._groups(corpus.SHORT) for template in group}
    assert 0 < len(names) < len(training()) and all(len(templates()[n].query) <= corpus.SHORT for n in names)
    (_, whole), *_ = cypher_corpus(3, 5, turns=6)
    assert len(whole["turns"]) > corpus.FEW


def test_a_schema_without_room_for_two_questions_is_bad_input() -> None:
    bare = GraphSchema("bare", "", {}, ())
    with pytest.raises(BadInput, match="no two questions"):
        next(cypher_corpus(1, 5, draw=lambda rng, size: bare))


def test_invented_schemas_are_sound_and_varied() -> None:
    schemas = [invent.invent_schema(random.Random(n)) for n in range(200)]
    labels = [name for schema in schemas for name in schema.labels]
    assert len(set(labels)) > 0.75 * len(labels)
    for schema in schemas:
        assert 1 <= len(schema.labels) <= max(invent.Size.labels)
        assert 1 <= len(schema.relationships) <= max(invent.Size.relationships)
        assert {end for item in schema.relationships for end in (item.start, item.end)} <= set(schema.labels)
        assert all(item.says and item.back for item in schema.relationships)
        for label in schema.labels.values():
            assert label.key in label.properties and not label.properties[label.key].missing
            assert len({item.words for item in label.properties.values()}) == len(label.properties)
            assert not {name.lower() for name in label.properties} & {"count", "return", "n"}


@pytest.mark.parametrize(
    ("query", "there", "absent"),
    [
        ("MATCH (a:Set)-[:WITH]->(b:Case) RETURN a.where AS x", "one step to the right", "WITH"),
        ("MATCH (a:Set)-[:WITH]->(b:Case) RETURN a.where AS x", "MATCH", "WHERE"),
        ("MATCH (a:A) WHERE a.x STARTS WITH 'WITH' RETURN a.x AS x", "STARTS WITH", "WITH"),
        ("MATCH (a:A)<-[:R]-(b:A) RETURN a.x AS x", "one step to the left", "<"),
        ("MATCH (a:A)-[:R]->(b:A) RETURN a.x AS x", "one step to the right", ">"),
        ("MATCH (a:A)-[:R*1..2]->(b:A) RETURN a.x AS x", "variable length", "*"),
        ("MATCH (a:A) RETURN a.x * 2 AS x", "*", "variable length"),
        ("MATCH (a:A) RETURN a.x - 2 AS x", "-", "either direction"),
        ("MATCH (a:A)-[:R]-(b:A) RETURN a.x AS x", "either direction", "-"),
        ("MATCH (a:A) WHERE a.x IS NOT NULL RETURN a.x AS x", "IS NOT NULL", "NOT"),
        ("MATCH (a:A) WHERE NOT a.x = 1 RETURN a.x AS x", "NOT", "IS NOT NULL"),
        ("MATCH (a:A) RETURN a.day.year AS x", "year, month or day of a date", "named path"),
        ("MATCH p = (a:A)-[:R]->(b:B) RETURN length(p) AS n", "named path", "="),
        ("MERGE (a:A {x: 1}) ON CREATE SET a.y = 2", "ON CREATE SET", "CREATE"),
        ("MATCH (a:A) RETURN CASE a.x WHEN 1 THEN 'CASE WHEN' END AS y", "CASE of a value", "CASE with conditions"),
        ("MATCH (a:A) RETURN a.count AS `count(`", "RETURN", "count"),
        ("MATCH (a:A) RETURN [x IN a.l | x] AS y", "list comprehension", "IN"),
    ],
)
def test_constructs_are_seen_in_code_and_not_in_names(query: str, there: str, absent: str) -> None:
    names = {name for _, name in used(query)}
    assert there in names and absent not in names, canonical(query)


def test_training_templates_reach_every_construct_of_the_common_subset() -> None:
    made = []
    for graph in schema_names():
        for template in training().values():
            for binding in bound(template, graph, 1):
                query = template.render(binding)
                made.append(Example(TASKS["cypher"], "q", query, template.family, "small", graph=graph))
    table = coverage_table(made)
    assert [row.name for row in table if not row.examples] == []
    assert {row.kind for row in table} == set(KINDS) and len(table) == len(constructs()) >= 100
    matching = next(row for row in table if row.name == "MATCH")
    assert matching.share == matching.examples / len(made) == coverage(made)["MATCH"] / len(made)
    other = Example(TASKS["text"], "q", "MATCH is a clause", "tooling", "small", part="nornicdb")
    assert coverage_table([*made, other]) == table  # prose is no query
