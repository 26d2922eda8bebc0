"""Several answers and a choice among them, and grammars: what is drawn, what is chosen, what cannot be written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heimdall_nb.baselines import grammar, vote
from heimdall_nb.dataset.example import Example, load
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.engines.cypher_check import SchemaNames, name_faults
from heimdall_nb.engines.cypher_tokens import quoted, tokens
from heimdall_nb.errors import BadInput
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.models.answers import ask, prompt_key
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.protocol import Completion
from heimdall_nb.prompts import conversation
from heimdall_nb.run import DATA

SCHEMA = load_schema("movies")
MOVIES = SCHEMA.text()
# No gold: whatever chooses here cannot have looked at it.
ITEMS = [Example("Write Cypher.", q, "", "count", "small", graph="movies", schema=MOVIES, id=q) for q in "ab"]
COUNT = "MATCH (m:Movie) RETURN count(m)"


def instance_of(graph: str):
    return instantiate(load_schema(graph), 7)


def names_of(graph: str) -> SchemaNames:
    return load_schema(graph).names()


def said(*texts: str) -> list[Completion]:
    return [Completion(text, 100, 10, 0.5, "ok") for text in texts]


class Drawing:
    """Answers with its seed and grammar, and remembers how it was asked."""

    name = "drawing"

    def __init__(self) -> None:
        self.asked: list[tuple[int, float, int, str | None]] = []

    def complete(self, conversations, max_new_tokens=192, temperature=0.0, seed=0, stop=(), grammar=None):
        self.asked.append((len(conversations), temperature, seed, grammar))
        return [Completion(f"RETURN {seed} // {c[-1]['content']}", 9, 3, 0.1, "ok") for c in conversations]

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("decoding")
    tiny = LlamaCppModel(write_gguf(tiny_model.trained(tmp_path_factory), folder / "tiny.gguf"))
    yield tiny
    tiny.close()


# asking


def test_greedy_answers_keep_their_keys(tmp_path: Path) -> None:
    path, talks = tmp_path / "a.jsonl", [conversation("a"), conversation("b")]
    model = Drawing()
    ask(model, talks, path, ["a", "b"], 64, "v1")
    keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert keys == [prompt_key(talk, "v1", 64) for talk in talks] and model.asked == [(2, 0.0, 0, None)]


def test_temperature_seed_and_grammar_are_part_of_the_key(tmp_path: Path) -> None:
    talk, keys = [conversation("a")], set()
    for temperature, seed, rules in ((0.0, 1, ""), (0.7, 1, ""), (0.7, 2, ""), (0.8, 1, ""), (0.0, 0, "root ::= s")):
        path = tmp_path / f"{len(keys)}.jsonl"
        ask(Drawing(), talk, path, ["a"], temperature=temperature, seeds=[seed], grammars=[rules] if rules else ())
        keys.add(json.loads(path.read_text())["key"])
    assert len(keys) == 5


def test_each_seed_and_each_grammar_is_asked_apart(tmp_path: Path) -> None:
    model, talks = Drawing(), [conversation(q) for q in "abcd"]
    answers = ask(model, talks, tmp_path / "a.jsonl", list("abcd"), temperature=0.5, seeds=[1, 2, 1, 2])
    assert [a.text for a in answers] == ["RETURN 1 // a", "RETURN 2 // b", "RETURN 1 // c", "RETURN 2 // d"]
    assert model.asked == [(2, 0.5, 1, None), (2, 0.5, 2, None)]
    ask(model, talks, tmp_path / "b.jsonl", list("abcd"), grammars=["x", "y", "x", "y"])
    assert model.asked[2:] == [(2, 0.0, 0, "x"), (2, 0.0, 0, "y")]


def test_samples_are_drawn_once_for_each_seed_and_kept(tmp_path: Path) -> None:
    model, path = Drawing(), tmp_path / "drawn.jsonl"
    drawn = vote.sample(model, ITEMS, path, 3, seed=2)
    texts = [[answer.text for answer in answers] for answers in drawn]
    assert texts == [[f"RETURN {2000 + k} // {q}" for k in range(3)] for q in "ab"]
    lines = path.read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a#0", "a#1", "a#2", "b#0", "b#1", "b#2"]
    path.write_text("\n".join(lines[:4]) + "\n" + lines[4][:30])  # killed while writing
    asked = sum(count for count, *_ in model.asked)
    assert vote.sample(model, ITEMS, path, 3, seed=2) == drawn
    assert sum(count for count, *_ in model.asked) == asked + 2
    other = vote.sample(model, ITEMS, tmp_path / "other.jsonl", 3, seed=3)
    assert not {a.text for answers in other for a in answers} & {a.text for answers in drawn for a in answers}


@pytest.mark.parametrize(("n", "temperature"), [(0, 0.7), (3, 0.0), (1001, 0.7)])
def test_what_draws_nothing_is_refused(tmp_path: Path, n: int, temperature: float) -> None:
    with pytest.raises(BadInput, match="cannot be drawn"):
        vote.sample(Drawing(), ITEMS, tmp_path / "a.jsonl", n, 1, temperature)


def test_real_samples_repeat_and_differ_between_seeds(model: LlamaCppModel, tmp_path: Path) -> None:
    first, again, other = (
        vote.sample(model, ITEMS, tmp_path / f"{k}.jsonl", 2, seed, 1.5, 12) for k, seed in enumerate((1, 1, 2))
    )
    texts = [[[a.text for a in answers] for answers in found] for found in (first, again, other)]
    assert texts[0] == texts[1] != texts[2] and texts[0][0][0] != texts[0][0][1]


# choosing


@pytest.mark.parametrize(
    ("answers", "chosen"),
    [
        # two that say the same in other words win against one text that came first
        (["RETURN 1", "MATCH (a:Movie) RETURN count(a)", COUNT], 1),
        (["RETURN 1", "RETURN 2"], 0),  # a tie goes to the first
        (["RETURN 1", "RETURN 2", "RETURN 2.0", "RETURN 1 AS x"], 0),
        (["MATCH (n", "MATCH (n", "RETURN 2"], 2),  # what is refused has no vote
        (["MATCH (n", "RETURN"], 0),
        # rows in another order are the same rows, unless both say an order
        (["RETURN 5", "UNWIND [1, 2] AS x RETURN x", "UNWIND [2, 1] AS x RETURN x"], 1),
        (["RETURN 5"] + [f"UNWIND [1, 2] AS x RETURN x ORDER BY x {way}" for way in ("ASC", "DESC")], 0),
        (["RETURN 5"] + [f"CREATE (m:Movie {{title: '{title}'}})" for title in "xy"] + ["RETURN 1"], 0),
        (["RETURN 5"] + ["CREATE (m:Movie {title: 'x'})", "CREATE (:Movie {title: 'x'})"], 1),  # same graph left
    ],
)
def test_the_majority_is_of_results(arcadedb, answers: list[str], chosen: int) -> None:
    found = vote.majority(ITEMS[:1], [said(*answers)], arcadedb, instance_of)[0]
    assert found.text == answers[chosen]
    assert (found.prompt_tokens, found.new_tokens) == (100 * len(answers), 10 * len(answers))
    assert found.seconds > 0.5 * len(answers), "running the answers takes time as well"


@pytest.mark.parametrize(
    ("answers", "chosen"),
    [
        ([COUNT, "RETURN 1"], 0),  # the likeliest answer stays when it stands up
        (["MATCH (n", COUNT], 1),
        (["MATCH (m:Film) RETURN count(m)", COUNT], 1),  # runs, finds 0, but there is no such label
        (["MATCH (m:Movie) WHERE m.title = 'No such' RETURN m.title", COUNT, "RETURN 1"], 1),  # finds nothing
        (["MATCH (m:Movie) DELETE m.x.y", "MATCH (n", "MATCH (m:Film) RETURN m"], 0),  # none stands up
    ],
)
def test_best_of_n_is_the_first_that_stands_up(arcadedb, answers: list[str], chosen: int) -> None:
    greedy, drawn = said(answers[0]), [said(*answers[1:])]
    found = vote.best_of(ITEMS[:1], greedy, drawn, arcadedb, instance_of, names_of)[0]
    assert found.text == answers[chosen] and found.prompt_tokens == 100 * len(answers)


def test_choosing_leaves_the_graph_as_it_was(arcadedb) -> None:
    wipe = "MATCH (n) DETACH DELETE n"
    vote.majority(ITEMS, [said(wipe, wipe), said(COUNT, wipe)], arcadedb, instance_of)
    assert arcadedb.run(COUNT).rows[0][0] > 0
    with pytest.raises(BadInput, match="1 lists of answers to 2"):
        vote.majority(ITEMS, [said("RETURN 1")], arcadedb, instance_of)


# grammars


@pytest.fixture(scope="module")
def golds() -> list[Example]:
    return [e for name in ("iid", "graph") for e in load(DATA / "benchmark" / f"{name}.jsonl")][::3]


@pytest.fixture(scope="module")
def grammars(golds: list[Example]) -> dict[str | None, str]:
    return {graph: grammar.cypher_grammar(load_schema(str(graph))) for graph in {e.graph for e in golds} | {"movies"}}


def test_gold_queries_can_be_written(model: LlamaCppModel, golds: list[Example], grammars) -> None:
    refused = [(e.output, rest) for e in golds if (rest := model.refused(e.output, grammars[e.graph])) is not None]
    assert len(golds) == 200 and not refused, refused


def test_gold_queries_with_a_wrong_name_cannot(model: LlamaCppModel, golds: list[Example], grammars) -> None:
    spoilt = 0
    for example in golds[::4]:
        for token in tokens(example.output):
            named = re.search(r"[.:|]`?$", example.output[: token.start])
            if token.name and named and token.text not in ("year", "month", "day", "days", "inDays"):
                start = token.start + (token.kind == "quoted")
                wrong = example.output[:start] + "Zq" + example.output[start:]
                assert model.refused(wrong, grammars[example.graph]), wrong
                spoilt += 1
    assert spoilt > 100


@pytest.mark.parametrize(
    "query",
    [
        "MATCH (p:Movie)-[:ACTED_IN]->(m:Person) RETURN p.name",  # the wrong way round
        "MATCH (m:Movie)-[:ACTED_IN]->(m2) RETURN m.title",
        "MATCH (p:Person)-[:PRODUCED]->(m:Movie) RETURN m.title",  # studios produce
        "MATCH (p:Person)<-[:ACTED_IN]-(m) RETURN m.title",
        "MATCH (p:Person {title: 'x'}) RETURN p.name",  # another label's property
        "MATCH (p:Person)-[:DIRECTED {role: 'x'}]->(m:Movie) RETURN p.name",
        "MATCH (p:Person) WHERE p:Actor RETURN p.name",
        "MATCH (p:Person) SET p += {nickname: 'x'}",
        "MATCH (p:Person) RETURN p.born",
        "MATCH (p:Person)",  # ends too early
        "MATCH (p:Person RETURN p.name",
        "MATCH (p:Person) RETURN count(p.name",
        "Here is the query: RETURN 1",
        "RETURN 'open",
    ],
)
def test_what_the_schema_does_not_have_cannot_be_written(model: LlamaCppModel, grammars, query: str) -> None:
    assert model.refused(query, grammars["movies"]) is not None


@pytest.mark.parametrize(
    "query",
    [
        "MATCH (p:Person)-[:ACTED_IN]->(m:Movie)<-[:DIRECTED]-(d) RETURN p.name, d.name;",
        "MATCH (m:Movie)<-[:ACTED_IN|DIRECTED]-(p:Person) RETURN DISTINCT p.name",
        "MATCH (a:Person)-[:ADMIRES*1..3]-(b:Person {name: 'Ann O\\'Neil'}) RETURN b.name",
        "MATCH path = (a:Person)-[:ADMIRES*]->(b) RETURN length(path)",
        "MATCH (a)--(b) RETURN count(*)",
        "MATCH (p:Person)\nWHERE p.awards>=2 AND NOT p.country IN ['Spain',\"France\"]\nRETURN p.name\nLIMIT 5",
        "MATCH (s:Studio) CALL (s) { MATCH (s)-[:PRODUCED]->(m) RETURN max(m.score) AS best } RETURN s.name, best",
        "MATCH (m:Movie) RETURN [x IN collect(m.title) WHERE size(x) > 3 | toUpper(x)][..2] AS 标题",
        "MATCH (p:Person) WHERE any(x IN ['a'] WHERE p.name CONTAINS x) RETURN -p.birthYear % 2 ^ 2",
        "MATCH (m:Movie) RETURN CASE m.genre WHEN 'Crime' THEN 1 ELSE 0 END AS crime ORDER BY crime DESC SKIP 1",
    ],
)
def test_what_the_schema_has_can_be_written(model: LlamaCppModel, grammars, query: str) -> None:
    assert model.refused(query, grammars["movies"]) is None


def test_generation_names_only_what_the_schema_has(model: LlamaCppModel, grammars, tmp_path: Path) -> None:
    """The tiny model learnt queries on people and cities; the graph of films knows people, and no cities."""
    questions = [replace(ITEMS[0], input=q, schema=tiny_model.SCHEMA, id=q) for q in tiny_model.ANSWERS]
    free = [c.text for c in model.complete(tiny_model.conversations(), 80)]
    bound = grammar.answer(model, questions, tmp_path / "g.jsonl", 80)
    assert sum(bool(name_faults(text, SCHEMA.names())) for text in free) >= 5
    ended = [answer for answer in bound if answer.outcome == "ok"]
    assert ended and not [a.text for a in ended if name_faults(a.text, SCHEMA.names())]
    cut_off = [a.text for a in bound if a.outcome != "ok"]
    assert all(model.refused(text, grammars["movies"]) == "" for text in cut_off), "they only lack an end"
    drawn = model.complete(tiny_model.conversations(), 60, temperature=1.5, seed=3, grammar=grammars["movies"])
    assert all(model.refused(a.text, grammars["movies"]) in (None, "") for a in drawn)


_NAMES = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), min_size=1, max_size=6)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(_NAMES, st.sets(_NAMES, max_size=2), max_size=4))
def test_any_names_make_a_grammar(model: LlamaCppModel, labels: dict[str, set[str]]) -> None:
    rules = grammar.cypher_grammar(SchemaNames(labels, {}, set()))
    assert model.refused("RETURN 1", rules) is None
    for label, keys in labels.items():
        assert model.refused(f"MATCH (n:{quoted(label)}) RETURN n", rules) is None
        assert all(model.refused(f"MATCH (n) RETURN n.{quoted(key)}", rules) is None for key in keys)


def test_names_that_begin_alike_can_all_be_written(model: LlamaCppModel) -> None:
    labels = {"Part": {"a"}, "Partner": {"ab"}, "Pa": {"abc"}, 'Odd`"Name\\': {"x y"}, "Größe": {"ü"}}
    rules = grammar.cypher_grammar(SchemaNames(labels, {"R": set()}, {("Pa", "R", "Part")}))
    for label in ("Part", "Partner", "Pa", '`Odd``"Name\\`', "Größe"):
        assert model.refused(f"MATCH (n:{label}) RETURN n.`x y`, n.ab", rules) is None
    assert model.refused("MATCH (n:Par) RETURN n", rules) and model.refused("MATCH (n:Parts) RETURN n", rules)


def test_a_model_without_grammars_says_so(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    from heimdall_nb.models.transformers_model import TransformersModel

    plain = TransformersModel(tiny_model.trained(tmp_path_factory))
    with pytest.raises(BadInput, match="no grammars"):
        grammar.answer(plain, ITEMS, tmp_path / "g.jsonl")
