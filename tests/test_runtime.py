"""The server's own form of answers: one JSON action. Data, examples, grammar, scores, and the commands."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from test_cli import heimdall, refused

from heimdall_nb import actions, prompts
from heimdall_nb.actions import QUERY, Action
from heimdall_nb.dataset import runtime
from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.dataset.example import Example, load, save
from heimdall_nb.dataset.validate import validate
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation import evaluate as ev
from heimdall_nb.evaluation import runtime as form
from heimdall_nb.evaluation.answers import prompt_of
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.facts import load_pack
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.protocol import Completion
from heimdall_nb.run import Run, read_json, write_json

FACTS = load_pack()
ACTIONS = {fact.id: fact for fact in FACTS.of_kind("action")}
MOVIES = [e for e in benchmark("iid") if e.graph == "movies"][:6]
MIXED = [*MOVIES[:3], *[e for e in benchmark("operations") if e.task == "text"][:6], *MOVIES[3:]]


def query(cypher: str) -> str:
    return Action(QUERY, {"cypher": cypher}).text()


# --- data


def test_the_actions_are_those_of_the_fact_pack() -> None:
    assert set(actions.names()) == set(ACTIONS)
    for name, fact in ACTIONS.items():
        known = {argument.rstrip("?") for argument in fact.arguments}
        assert set(actions.parameters(name)) <= known
        assert {argument for argument in fact.arguments if argument[-1] != "?"} <= set(actions.parameters(name))
    limits = actions.document()["parameters"]
    for setting in ("max_tokens", "temperature"):
        assert limits[setting]["most"] == FACTS.fact(f"limit.set_config.{setting}").value
    assert limits["depth"] | {"form": ""} == {"type": "integer", "least": 1, "most": 3, "form": ""}
    assert read_action_of_the_pack() == QUERY


def read_action_of_the_pack() -> str:
    found = actions.read(FACTS.fact("prompt.answer").value)
    assert isinstance(found, Action)
    return found.name


def test_no_wording_of_the_test_is_one_of_the_training() -> None:
    wordings: dict[str, list[str]] = {"train": [], "test": []}
    for spec in actions.document()["actions"].values():
        for item in spec.get("forms", []):
            assert item["train"] and item["test"]
            for part, found in wordings.items():
                found += item[part]
    both = [text for part in wordings.values() for text in part]
    assert len(both) == len(set(both))


# --- reading


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (query("RETURN 1"), Action(QUERY, {"cypher": "RETURN 1"})),
        (f"Sure! {query('RETURN 1')} Done.", Action(QUERY, {"cypher": "RETURN 1"})),
        ('{"action": "a.b"}', Action("a.b")),
        ("MATCH (n) RETURN n", "holds no JSON object"),
        ("MATCH (n {a: 1}) RETURN n", "holds no JSON object that can be read"),
        (query("RETURN 1")[:-1], "holds no JSON object that can be read"),
        ('{"a": 1} {"b": 2}', "holds no JSON object that can be read"),
        ('{"params": {}}', "names no action"),
        ('{"action": "a", "params": []}', "has params that are no object"),
        ("{" * 100_000 + "}", "holds no JSON object that can be read"),
    ],
)
def test_an_answer_is_read_from_the_first_brace_to_the_last(text: str, found: Action | str) -> None:
    assert actions.read(text) == found


@pytest.mark.parametrize(
    ("name", "params", "wrong"),
    [
        ("heimdall.watcher.events", {}, ""),
        (QUERY, {"cypher": "RETURN $a", "params": {"a": 1}}, ""),
        ("heimdall.watcher.reboot", {}, "there is no action 'heimdall.watcher.reboot'"),
        ("heimdall.watcher.broadcast", {}, "message is missing"),
        ("heimdall.watcher.hello", {"to": "all"}, "there is no parameter 'to'"),
        ("heimdall.watcher.set_config", {"max_tokens": 5000}, "max_tokens is not between 1 and 4096"),
        ("heimdall.watcher.set_config", {"max_tokens": True}, "max_tokens must be integer"),
        ("heimdall.watcher.discover", {"query": "x", "types": "Person"}, "types must be list"),
        ("heimdall.watcher.notify", {"type": "odd", "title": "a", "message": "b"}, "type is none of info, warning"),
    ],
)
def test_what_the_server_would_not_take(name: str, params: dict[str, Any], wrong: str) -> None:
    found = actions.faults(Action(name, params))
    assert [wrong in what for what in found] == ([True] if wrong else [])


# --- examples


def test_queries_keep_their_words_and_text_gives_way_to_actions() -> None:
    made = runtime.to_runtime(MIXED, 7, "test")
    assert len(made) == len(MIXED)  # half of them were text: enough for the other actions
    for before, after in zip(MIXED, made, strict=True):
        rest, action = runtime.inner(after)
        assert after.task == actions.TASK and after.graph == before.graph and not actions.faults(action)
        assert (action.name == QUERY) == (before.task == "cypher")
        if action.name == QUERY:
            assert (after.input, action.cypher, rest.output) == (before.input, before.output, before.output)
            assert after.answer == before.answer and after.id == after.with_id().id != before.id
    assert runtime.to_runtime(made) == made
    assert runtime.to_runtime(MIXED, 7, "test") == made != runtime.to_runtime(MIXED, 8, "test")
    assert sum(runtime.counts(made).values()) == len(made)


def test_other_actions_stand_between_where_no_example_is_text() -> None:
    counted = runtime.counts(runtime.to_runtime(benchmark("iid"), 7, "test"))
    others = sum(number for name, number in counted.items() if name != QUERY)
    assert counted[QUERY] == 300 and others == 300 // runtime.QUERIES
    assert set(counted) == set(ACTIONS)


def test_the_values_of_a_question_are_those_of_its_answer() -> None:
    texts = [e for e in benchmark("operations") if e.task == "text"] * 3
    made = [e for e in runtime.to_runtime(texts, 3) if e.category == "runtime"]
    assert len({(e.graph, e.input) for e in made}) == len(made)
    for example in made:
        for value in runtime.inner(example)[1].params.values():
            for part in value if isinstance(value, list) else [value]:
                assert str(part) in example.input, example
    names = {runtime.inner(example)[1].name for example in made}
    assert names == set(ACTIONS) - {QUERY}


def test_examples_that_are_actions_already_are_taken_as_they_are() -> None:
    asked = [e for e in benchmark("operations") if e.output.startswith('{"action"') and "$" not in e.output]
    made = {e.input: e.output for e in runtime.to_runtime(asked)}
    assert asked and all(json.loads(made[e.input]) == json.loads(e.output) for e in asked)


def test_the_actions_are_listed_in_another_order_for_each_graph() -> None:
    prompt = prompt_of(runtime.to_runtime(MOVIES)[0])
    assert prompt[0]["content"].startswith(prompts.TASKS["nornicdb"] + "\nAVAILABLE ACTIONS:\n- heimdall.watcher.")
    assert prompt[0]["content"].endswith("ADDITIONAL CONTEXT:\n" + MOVIES[0].schema)
    listed = {graph: runtime.context("", graph) for graph in ("", "movies", "shop")}
    assert len(set(listed.values())) == 3
    assert len({tuple(sorted(text.splitlines())) for text in listed.values()}) == 1
    assert "- heimdall.watcher.discover(query, types, limit, depth)" in listed["shop"]


def test_sql_and_broken_examples_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="is SQL"):
        runtime.to_runtime([replace(MOVIES[0], part="sql")])
    with pytest.raises(BadInput, match="has no action as its answer"):
        runtime.inner(MOVIES[0])
    with pytest.raises(BadInput, match="there is no action 'x'"):
        runtime.inner(replace(MOVIES[0], output='{"action": "x", "params": {}}'))
    monkeypatch.setattr(runtime, "DRAWS", 3)
    with pytest.raises(BadInput, match="run out"):
        runtime.to_runtime([replace(MIXED[3], graph=None)] * 4000)


def test_a_file_in_the_form_is_a_sound_dataset(tmp_path: Path) -> None:
    path = save(tmp_path / "all.jsonl", benchmark("operations"))
    counted = runtime.rewrite(path, 7)
    report = validate(path)
    assert report.ok and not report.faults and report.examples == sum(counted.values()) == 300


# --- grammar


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LlamaCppModel:
    folder = tmp_path_factory.mktemp("runtime")
    return LlamaCppModel(write_gguf(tiny_model.make_base(folder / "base"), folder / "tiny.gguf"), context=512)


@pytest.mark.parametrize(
    "text",
    [
        query('MATCH (p:Person {name: "O\'Hara"})\nRETURN p.a'),
        query("MATCH (c:City {name: 'Łódź'}) RETURN c"),
        *(Action(f"heimdall.watcher.{name}").text() for name in ("hello", "events", "set_config")),
        Action("heimdall.watcher.set_config", {"max_tokens": 4096, "temperature": 0.7}).text(),
        Action("heimdall.watcher.set_config", {"temperature": 2.0}).text(),
        Action("heimdall.watcher.notify", {"type": "info", "title": "", "message": "a b"}).text(),
        Action("heimdall.watcher.discover", {"query": "a", "types": ["A", "B"], "depth": 3}).text(),
    ],
)
def test_the_grammar_takes_what_the_server_takes(tiny: LlamaCppModel, text: str) -> None:
    assert isinstance(actions.read(text), Action)
    assert tiny.refused(text, actions.grammar(256)) is None


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n) RETURN n",
        query("RETURN 1") + " ",
        query("RETURN 1")[:-1],
        '{"action": "heimdall.watcher.reboot", "params": {}}',
        '{"action": "heimdall.watcher.hello"}',
        '{"action": "heimdall.watcher.broadcast", "params": {}}',
        '{"action": "heimdall.watcher.query", "params": {"cypher": "a\tb"}}',
        '{"action": "heimdall.watcher.query", "params": {"cypher": "a\\qb"}}',
        Action("heimdall.watcher.set_config", {"max_tokens": 4097}).text(),
        Action("heimdall.watcher.set_config", {"max_tokens": 0}).text(),
        Action("heimdall.watcher.set_config", {"temperature": 2.1}).text(),
        Action("heimdall.watcher.discover", {"query": "a", "depth": 4}).text(),
        Action("heimdall.watcher.discover", {"limit": 4}).text(),
    ],
)
def test_the_grammar_refuses_everything_else(tiny: LlamaCppModel, text: str) -> None:
    assert tiny.refused(text, actions.grammar(256)) is not None


@pytest.mark.parametrize(("character", "cost"), [("a", 1), ("\n", 2), ('"', 2), ("Ł", 4), ("語", 4)])
def test_texts_are_bounded_in_bytes(tiny: LlamaCppModel, character: str, cost: int) -> None:
    room = 200 - 1 - len(query(""))
    assert tiny.refused(query(character * (room // cost)), actions.grammar(200)) is None
    assert tiny.refused(query(character * (room // cost + 1)), actions.grammar(200)) is not None
    assert len(query(character * (room // cost)).encode()) < 200


def test_any_model_writes_actions_and_ends_in_time(tiny: LlamaCppModel) -> None:
    """Untrained and drawn almost evenly among all tokens: nothing but the grammar brings this about."""
    tokens = actions.SHORTEST
    asked = [prompts.conversation(f"{n}", task="nornicdb") for n in range(4)]
    found: list[Completion] = []
    for seed in range(10):
        found += tiny.complete(asked, tokens, temperature=5.0, seed=seed, grammar=actions.grammar(tokens))
    read = [actions.read(answer.text) for answer in found]
    assert all(isinstance(action, Action) and not actions.faults(action) for action in read)
    assert {answer.outcome for answer in found} == {"ok"} and max(a.new_tokens for a in found) > 60
    assert len({action.name for action in read if isinstance(action, Action)}) > 3


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(BadInput, match="leave no room for an action"):
        actions.grammar(actions.SHORTEST - 1)
    assert actions.grammar(actions.SHORTEST).count("\n") < actions.grammar(1024).count("\n")


# --- scores


def answered(examples: Sequence[Example], texts: Sequence[str], outcome: str = "ok") -> list[Completion]:
    return [Completion(text, 9, 3, 0.1, outcome) for _, text in zip(examples, texts, strict=True)]  # type: ignore[arg-type]


def scored(examples: Sequence[Example], texts: Sequence[str], engine: Any, **how: str) -> list[Any]:
    return ev.score(examples, answered(examples, texts, **how), seed=2026, engine=engine)


def test_golds_are_right_and_counted(arcadedb: Any) -> None:
    examples = runtime.to_runtime(MIXED, 7, "test")
    texts = [example.output for example in examples]
    scores = scored(examples, texts, arcadedb)
    assert all(score.va and score.ex and score.em and score.cause == "right" for score in scores)
    assert [score.id for score in scores] == [example.id for example in examples]
    found = form.summary(examples, answered(examples, texts), scores)
    assert [found[key]["value"] for key in ("parses", "known", "right_action", "ex")] == [1, 1, 1, 1]
    assert {name: group["items"] for name, group in found["by_action"].items()} == runtime.counts(examples)
    most = Counter(text for text in texts if QUERY not in text).most_common(1)[0][1]
    assert found["constant"]["value"] == pytest.approx(most / len(texts), abs=1e-4)
    plain = ev.score(MOVIES, answered(MOVIES, [e.output for e in MOVIES]), seed=2026, engine=arcadedb)
    assert form.summary(MOVIES, answered(MOVIES, [""] * 6), plain) == {}


def test_the_query_inside_is_scored_by_execution(arcadedb: Any) -> None:
    read = next(e for e in MOVIES if e.category != "write" and " AS " in e.output)
    [example] = runtime.to_runtime([read])
    other_words = read.output.replace(" AS ", " AS  ") + ";"
    for text, va, ex in (
        (query(other_words), True, True),
        (f"Here: {query(read.output)}", True, True),
        (query("MATCH (n) RETURN count(n) AS n"), True, False),
        (query("MATCH (a:Dragon) RETURN a.title AS title"), False, False),
        (query("MATCH (a"), False, False),
        (read.output, False, False),
    ):
        [score] = scored([example], [text], arcadedb)
        assert (score.va, score.ex) == (va, ex), text


@pytest.mark.parametrize(
    ("text", "va", "cause"),
    [
        ('{"action": "heimdall.watcher.events", "params": {"limit": 12}}', True, "right"),
        ('{"params": {"limit": 12}, "action": "heimdall.watcher.events"}', True, "right"),
        ('{"action": "heimdall.watcher.events", "params": {"limit": 13}}', True, "wrong result"),
        ('{"action": "heimdall.watcher.status", "params": {}}', True, "wrong result"),
        (query("MATCH (n) RETURN n"), True, "wrong result"),
        ('{"action": "heimdall.watcher.event", "params": {"limit": 12}}', False, "invented name"),
        ('{"action": "heimdall.watcher.events", "params": {"limit": "12"}}', False, "wrong result"),
        ("The last twelve events", False, "syntax"),
        ("", False, "no answer"),
    ],
)
def test_other_actions_are_compared(arcadedb: Any, text: str, va: bool, cause: str) -> None:
    gold = '{"action": "heimdall.watcher.events", "params": {"limit": 12}}'
    example = replace(runtime.to_runtime(MOVIES)[0], input="The last 12 events?", output=gold)
    [score] = scored([example], [text], arcadedb)
    assert (score.va, score.ex, score.cause) == (va, cause == "right", cause)


def test_a_wrong_action_in_the_place_of_a_query_says_so(arcadedb: Any) -> None:
    example = runtime.to_runtime(MOVIES)[0]
    [score] = scored([example], ['{"action": "heimdall.watcher.hello", "params": {}}'], arcadedb)
    assert (score.va, score.ex, score.cause) == (True, False, "wrong result") and "hello" in score.message
    assert score.gold_rows is not None  # the floor counts the item
    [score] = scored([example], [example.output[:20]], arcadedb, outcome="truncated")
    assert (score.va, score.cause) == (False, "truncated")


# --- commands


def test_evaluate_asks_in_the_form_and_keeps_to_the_grammar(tiny: LlamaCppModel, tmp_path: Path, arcadedb: Any) -> None:
    done = ev.run(
        tiny.path,
        str(save(tmp_path / "mixed.jsonl", MIXED[2:5])),
        tmp_path / "out",
        seed=2026,
        runtime_form=True,
        keep_to_form=True,
        max_new_tokens=256,
        with_perplexity=False,
        similarity_model=ev.NO_SIMILARITY,
    )
    assert done.summary["actions"]["parses"]["value"] == done.summary["actions"]["known"]["value"] == 1
    assert "name a known action" in ev.text(done.summary)
    assert "name a known action" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert read_json(tmp_path / "out" / "scores.json")["summary"]["actions"] == done.summary["actions"]


def test_formats_are_checked_on_the_command_line(tmp_path: Path) -> None:
    refused(heimdall("generate", "--output", str(tmp_path / "a.jsonl"), "--format", "sql"), "'sql' is no format")
    refused(heimdall("evaluate", "--grammar"), "needs --format nornicdb")
    refused(heimdall("evaluate", "--format", "nornicdb"), "need --model")
    assert not (tmp_path / "a.jsonl").exists()


def test_training_gets_a_run_of_its_own(tmp_path: Path) -> None:
    run = Run("nano", root=tmp_path)
    with pytest.raises(BadInput, match="is missing"):
        runtime.prepare(run)
    for part in ("train", "validation", "test", "fewshot"):
        save(run.artifact(f"dataset/{part}.jsonl"), MIXED)
    entry = {"parameters": {"seed": 3}}
    write_json(run.manifest_path, {"run": "nano", "stages": {"01": entry, "02": entry, "03": entry}})
    for number in ("01", "02", "03"):
        write_json(run.path / "metrics" / f"{number}.json", {"headline": {f"figure {number}": "1"}})
    before = (run.path / "artifacts/dataset/train.jsonl").read_bytes()
    made = runtime.prepare(run)
    assert made.name == "nano-nornicdb" and made.path == tmp_path / "nano-nornicdb"
    assert set(made.manifest()["stages"]) == {"01", "02"} and made.manifest()["run"] == "nano-nornicdb"
    parts = {part: load(made.need(f"dataset/{part}.jsonl", "02")) for part in ("train", "validation", "test")}
    assert {e.task for part in ("train", "validation") for e in parts[part]} == {actions.TASK}
    assert parts["test"] == MIXED and (run.path / "artifacts/dataset/train.jsonl").read_bytes() == before
    assert made.headline() == {"figure 01": "1", "figure 02": "1"}  # what the end of a run shows can be read
    assert runtime.prepare(run).path == made.path
