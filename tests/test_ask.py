"""`heimdall ask`: a query from a question, run where that was asked for; one clear sentence for what cannot be."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_model

from heimdall_nb import actions, cli
from heimdall_nb.actions import Action
from heimdall_nb.baselines.grammar import cypher_grammar
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.deploy.ask import SHOWN, Answer, Asker, chosen_schema, once, talk, text, typed
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.opened import open_model
from heimdall_nb.models.protocol import Completion
from heimdall_nb.prompts import TASKS
from heimdall_nb.run import ROOT

SCHEMA = """
title: People and where they live
labels:
  Person:
    key: name
    properties:
      name: {type: STRING, parts: [[Nina, Otto, Ada, Leo], [Berg, Lind, Moe, Dahl]]}
      age: {type: INTEGER, range: [1, 90]}
  City:
    key: name
    properties:
      name: {type: STRING, values: [Oslo, Łódź, Rome, Bern]}
relationships:
  - {type: LIVES_IN, start: Person, end: City, says: lives in, back: is home of, each: [1, 1],
     properties: {since: {type: DATE, range: [2000-01-01, 2020-01-01]}}}
"""
QUESTION = "How many people are there?"
QUERY = "MATCH (p:Person) RETURN count(p)"
WRITE = "root ::= \"CREATE (:Person {name: 'Eve'})\""


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tiny_model.trained(tmp_path_factory), tmp_path_factory.mktemp("ask") / "tiny.gguf")


@pytest.fixture(scope="module")
def model(gguf: Path) -> LlamaCppModel:
    return LlamaCppModel(gguf, context=512)


@pytest.fixture(scope="module")
def schema_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("schema") / "people.yaml"
    path.write_text(SCHEMA, encoding="utf-8")
    return path


def people(schema_file: Path) -> int:
    return sum(node.label == "Person" for node in instantiate(load_schema(schema_file), 7, 60).nodes)


def test_the_query_is_run_on_the_generated_graph(model: LlamaCppModel, schema_file: Path, arcadedb: Any) -> None:
    answer = Asker(model, load_schema(schema_file), arcadedb, f'root ::= "{QUERY};"')(f"  {QUESTION} ")
    assert (answer.question, answer.text) == (QUESTION, QUERY)
    assert isinstance(answer.result, Rows) and answer.result.rows == ((people(schema_file),),)
    assert text(answer).startswith(QUERY) and text(answer).endswith(f"{people(schema_file)}\n1 row")
    assert answer.record() | {"seconds": 0} == {
        "question": QUESTION,
        "answer": QUERY,
        "prompt_tokens": answer.completion.prompt_tokens,
        "new_tokens": answer.completion.new_tokens,
        "seconds": 0,
        "outcome": "ok",
        "columns": ["count(p)"],
        "rows": [[people(schema_file)]],
    }


def test_a_write_is_refused_and_leaves_nothing(
    model: LlamaCppModel, schema_file: Path, arcadedb: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    asker = Asker(model, load_schema(schema_file), arcadedb, grammar=WRITE)
    with pytest.raises(HeimdallError, match=r"did not run \(write\)") as caught:
        once(asker, "Add Eve.")
    assert caught.value.exit_code == 1
    assert "CREATE (:Person {name: 'Eve'})\n\nrefused (write): " in capsys.readouterr().out
    assert arcadedb.run("MATCH (p:Person) RETURN count(p)").rows == ((people(schema_file),),)


def test_the_grammar_of_the_graph_holds(model: LlamaCppModel, schema_file: Path) -> None:
    schema = load_schema(schema_file)
    rules = cypher_grammar(schema)
    answer = Asker(model, schema, grammar=rules)("Which customers ordered a bicycle?")
    assert answer.completion.outcome == "truncated" or model.refused(answer.completion.text, rules) is None
    assert answer.text.split()[0] in ("MATCH", "WITH", "UNWIND", "CALL", "OPTIONAL", "RETURN", "CREATE", "MERGE")


def test_without_a_graph_the_answer_is_text(model: LlamaCppModel) -> None:
    answer = Asker(model, grammar='root ::= "Start the server;"')("What now?")
    assert answer.text == "Start the server;" and answer.result is None  # no query, so its semicolon stays


def test_an_action_is_asked_for_and_its_query_is_run(gguf: Path, schema_file: Path, arcadedb: Any) -> None:
    schema, large = load_schema(schema_file), LlamaCppModel(gguf, context=1024)  # the actions take room in the prompt
    said = Action(actions.QUERY, {"cypher": QUERY}).text()
    asker = Asker(large, schema, arcadedb, f"root ::= {json.dumps(said)}", as_actions=True)
    assert asker.prompt("x")[0]["content"].startswith(f"{TASKS[actions.TASK]}\nAVAILABLE ACTIONS:\n")
    answer = asker(QUESTION)
    assert answer.text == said and answer.result.rows == ((people(schema_file),),)
    hello = Action("heimdall.watcher.hello").text()
    answer = Asker(large, schema, arcadedb, f"root ::= {json.dumps(hello)}", as_actions=True)(QUESTION)
    assert (answer.text, answer.result) == (hello, None)  # another action is shown, and nothing is run
    large.close()


def test_folders_of_models_and_adapters_are_asked_as_well(
    gguf: Path, tmp_path_factory: pytest.TempPathFactory, model: LlamaCppModel
) -> None:
    base = tiny_model.trained(tmp_path_factory)
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(base, folder / "base")
    adapter = tiny_model.make_adapter(folder / "base", folder / "adapter", size=0.0)
    here = Asker(model)(QUESTION).text
    for path in (gguf, base, adapter):
        opened = open_model(path, 512)
        assert Asker(opened)(QUESTION).text == here
        opened.close()


def test_talk_goes_on_after_a_fault(model: LlamaCppModel, capsys: pytest.CaptureFixture[str]) -> None:
    talk(Asker(model, max_new_tokens=2), questions=lambda: iter(["x " * 600, "What now?"]))
    out, err = capsys.readouterr()
    assert "more than the context holds" in err and "(cut off after 2 tokens)" in out


@pytest.mark.parametrize("end", ["quit\nnever\n", "EXIT\nnever\n", ""])
def test_typed_lines_until_quit(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = io.TextIOWrapper(io.BytesIO(b"first\n\n  second\xff \n" + end.encode()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", lines)
    assert list(typed()) == ["first", "second\ufffd"]


def test_the_command_answers_each_line_of_a_pipe(
    gguf: Path, model: LlamaCppModel, schema_file: Path, arcadedb: Any
) -> None:
    command = [sys.executable, "-m", "heimdall_nb", "ask", "--model", str(gguf), "--schema", str(schema_file), "--json"]
    lines = f"{QUESTION}\nHow many cities are there?\nquit\nnever\n"
    done = subprocess.run(
        [*command, "--context", "512", "--run"], input=lines, capture_output=True, text=True, cwd=ROOT, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    asker = Asker(model, load_schema(schema_file), arcadedb)
    here = [asker(question).record() | {"seconds": 0} for question in lines.splitlines()[:2]]
    assert [json.loads(line) | {"seconds": 0} for line in done.stdout.splitlines()] == here
    assert all(record["answer"] and ("rows" in record or "refused" in record) for record in here)
    assert "Traceback" not in done.stderr and "tiny, graph people" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--graph", "nowhere"], "there is no graph 'nowhere'"),
        (["--schema", "none.yaml"], "none.yaml: is no YAML file"),
        (["--graph", "movies", "--schema", "none.yaml"], "cannot both be given"),
        (["--run"], "need a graph"),
        (["--grammar"], "need a graph"),
        (["--graph", "movies"], "does not exist"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        cli.app(["ask", "How many?", "--model", str(tmp_path / "none.gguf"), *arguments], standalone_mode=False)


def test_bad_questions(model: LlamaCppModel, schema_file: Path) -> None:
    asker = Asker(model, load_schema(schema_file))
    with pytest.raises(BadInput, match="is empty"):
        asker(" \n")
    with pytest.raises(BadInput, match="more than the context holds"):
        asker("word " * 400)
    assert asker("\udcff" + QUESTION).question == "?" + QUESTION


def test_a_long_result_is_cut_in_the_terminal_only() -> None:
    rows = Rows(("a", "b"), tuple((f"x\n{n}", [n, None]) for n in range(SHOWN + 3)))
    answer = Answer("?", "MATCH", Completion("MATCH", 1, 1, 0.1, "ok"), rows)
    lines = text(answer).splitlines()
    assert len(lines) == 2 + 1 + SHOWN + 1 and lines[3].split() == ["x", "0", "[0,", "null]"]
    assert lines[-1].startswith(f"{SHOWN + 3} rows (the first {SHOWN}")
    assert len(answer.record()["rows"]) == SHOWN + 3
    assert text(Answer("?", "MATCH", answer.completion, Rows(("a",), ()))).endswith("\n0 rows")
    refused = Answer("?", "", answer.completion, Refusal("syntax", "no"))
    assert refused.record()["refused"] == {"kind": "syntax", "message": "no"} and "(no answer)" in text(refused)


def test_schemas_by_name_and_file(schema_file: Path) -> None:
    assert chosen_schema("", None) is None
    assert chosen_schema("movies", None).name == "movies" and chosen_schema("", schema_file).name == "people"
