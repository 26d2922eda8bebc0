"""A whole evaluation: scores of all parts, the files it leaves, going on after a kill, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_cli import heimdall, refused

from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.dataset.example import Example, save
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation import evaluate as ev
from heimdall_nb.evaluation.distil import distil
from heimdall_nb.evaluation.metrics import GROUPS
from heimdall_nb.models.protocol import Completion
from heimdall_nb.run import ROOT, read_json

IID = [e for e in benchmark("iid") if e.graph == "movies" or e.category == "write"][:8]
TEXTS = [e for e in benchmark("operations") if e.task == "text"][:3]
OFF = {"with_perplexity": False, "similarity_model": ev.NO_SIMILARITY}


class Table:
    """A model that answers from a table of questions, and counts what it is asked; it can end its own process."""

    name = "table"

    def __init__(
        self, examples: Sequence[Example], changed: dict[str, str] | None = None, dies_after: int = -1
    ) -> None:
        self.answers = {e.question: e.output for e in examples} | (changed or {})
        self.dies_after, self.asked = dies_after, 0

    def complete(self, conversations: Sequence[Any], max_new_tokens: int = 192, **_: Any) -> list[Completion]:
        found = []
        for conversation in conversations:
            if self.asked == self.dies_after:
                os.kill(os.getpid(), signal.SIGKILL)
            self.asked += 1
            found.append(Completion(self.answers[conversation[-1]["content"]], 9, 3, 0.25, "ok"))
        return found

    def close(self) -> None:
        pass


def test_golds_are_right_in_all_parts_and_everything_is_written(arcadedb: Any, tmp_path: Path) -> None:
    examples = [*IID[:4], *TEXTS, *IID[4:]]
    done = ev.evaluate(Table(examples), examples, tmp_path, examples_name="iid", seed=2026, engine=arcadedb, **OFF)
    assert [score.id for score in done.scores] == [e.id for e in examples]
    assert done.summary["ex"]["value"] == done.summary["va"]["value"] == 1 and done.summary["errors"] == {}
    assert done.summary["ts"] is None and "no test suite" in done.summary["ts_missing"]
    assert set(done.summary["part"]) == {e.part for e in examples}
    kept = read_json(tmp_path / "scores.json")
    assert kept["summary"] == done.summary and len(kept["items"]) == len(examples)
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == len(examples)
    report = (tmp_path / "report.html").read_text()
    assert report.count("<details>") == len(examples) and "<script" not in report
    before = report
    ev.evaluate(Table(examples), examples, tmp_path, examples_name="iid", seed=2026, engine=arcadedb, **OFF)
    assert (tmp_path / "report.html").read_text() == before


def test_wrong_answers_have_kinds_hints_and_a_place(arcadedb: Any, tmp_path: Path) -> None:
    read = next(e for e in IID if e.category != "write")
    text = TEXTS[0]
    wrong = {read.question: "MATCH (a), (b) RETURN a.title", text.question: "Set NORNICDB_INVENTED=1."}
    done = ev.evaluate(Table([read, text], wrong), [read, text], tmp_path, seed=2026, engine=arcadedb, **OFF)
    first, second = done.scores
    assert not first.ex and any(hint.startswith("cartesian_product: ") for hint in first.hints)
    assert not second.ex and not second.va and second.cause == "invented name"
    assert done.summary["hints"]["cartesian_product"] == 1 and sum(done.summary["errors"].values()) == 2
    assert "invented name" in done.summary["errors"]
    said = ev.text(done.summary)
    assert "VA" in said and "0.0 %" in said and "perplexity was not computed: not asked for." in said


def test_perplexity_and_similarity_say_why_they_are_not_there(arcadedb: Any, tmp_path: Path) -> None:
    """The model gives no probabilities, and the tests switch the hub off."""
    done = ev.evaluate(Table(IID), IID[:1], tmp_path, seed=2026, engine=arcadedb, similarity_model="no/such-model")
    assert "no probabilities" in done.summary["perplexity"]["reason"]
    assert "not on this machine" in done.summary["similarity"]["reason"]
    assert "Semantic similarity was not computed" in (tmp_path / "report.html").read_text()


def test_perplexities_of_groups() -> None:
    pairs = [(-2.0, 2), (-1.0, 1), (0.0, 0)]
    examples = [replace(IID[0], category="a"), replace(IID[1], category="b"), replace(IID[2], category="c")]
    found = ev.perplexities(examples, pairs)
    assert found["all"] == pytest.approx(2.7183) and set(found) == {"all", *GROUPS}
    assert found["category"] == {"a": pytest.approx(2.7183), "b": pytest.approx(2.7183)}, (
        "what does not fit is left out"
    )


def test_another_seed_is_noticed(arcadedb: Any, tmp_path: Path) -> None:
    reads = [e for e in IID if e.answer]
    with pytest.raises(BadInput, match="gold results are not those"):
        ev.evaluate(Table(reads), reads, tmp_path, seed=3, engine=arcadedb, **OFF)


def test_nothing_to_ask_and_sql_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no items"):
        ev.evaluate(Table([]), [], tmp_path, **OFF)
    with pytest.raises(BadInput, match="SQL"):
        ev.evaluate(Table([]), [replace(IID[0], part="sql")], tmp_path, **OFF)


def test_a_score_that_contradicts_itself_stops_the_run(arcadedb: Any) -> None:
    (score,) = ev.score(IID[:1], Table(IID).complete([[{"content": IID[0].question}]]), 2026, engine=arcadedb)
    with pytest.raises(HeimdallError, match="contradict"):
        ev.summarise([replace(score, va=False)])


KILLED = """
import sys
from heimdall_nb.models import answers
answers.BATCH = 2
sys.path.insert(0, "tests")
from test_evaluate import IID, OFF, Table, ev
from pathlib import Path
ev.evaluate(Table(IID, dies_after=5), IID, Path(sys.argv[1]), seed=2026, **OFF)
"""


def test_after_a_kill_only_the_rest_is_asked(arcadedb: Any, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "scores.json").exists()
    model = Table(IID)
    found = ev.evaluate(model, IID, tmp_path, seed=2026, engine=arcadedb, **OFF)
    assert model.asked == len(IID) - 4 and found.summary["ex"]["value"] == 1  # two whole batches were kept


def test_the_command_on_a_tiny_model(tmp_path: Path) -> None:
    from tiny_model import ANSWERS, SCHEMA, make_base

    from heimdall_nb.export.gguf_file import write_gguf

    gguf = write_gguf(make_base(tmp_path / "base", hidden=64, layers=1), tmp_path / "tiny.gguf")
    like = replace(IID[0], schema=SCHEMA, context_size="small", graph=None, answer=None, check="parsed", id="")
    questions = [replace(like, input=q, output=a).with_id() for q, a in list(ANSWERS.items())[2:5]]
    examples, output = save(tmp_path / "own.jsonl", questions), tmp_path / "out"
    arguments = ["evaluate", "--model", str(gguf), "--examples", str(examples), "--items", "2", "--json"]
    done = heimdall(*arguments, "--output", str(output), "--similarity", "none", "--max-new-tokens", "8")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["items"] == 2 and found["examples"] == "own.jsonl" and found["seed"] == 7 and found["model"] == "tiny"
    assert found["perplexity"]["all"] > 50, "it knows nothing"
    assert {path.name for path in output.iterdir()} == {"answers.jsonl", "scores.json", "report.html"}
    folder = ev.open_model(tmp_path / "base")
    assert folder.name == "base"
    folder.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "none.gguf"], ["none.gguf", "does not exist"]),
        (["--model", "LICENSE", "--run", "nano"], ["--run", "leave out --model"]),
        (["--examples", "graph"], ["need --model"]),
    ],
)
def test_the_command_refuses(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    refused(heimdall("evaluate", *arguments, reports=tmp_path), *words)


@pytest.mark.parametrize(
    ("examples", "suite", "words"),
    [
        ("iid", None, "LICENSE: is not a GGUF file"),
        ("idd", None, "neither a benchmark set nor a file"),
        ("none.jsonl", None, "none.jsonl: cannot be read"),
        ("iid", Path("none.json"), "none.json: is missing"),
    ],
)
def test_bad_input_is_named(examples: str, suite: Path | None, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        ev.run(ROOT / "LICENSE", examples, tmp_path, suite_path=suite)


def test_a_suite_gives_ts(arcadedb: Any, tmp_path: Path) -> None:
    reads = [e for e in IID if e.answer][:3]
    few = {"candidates": 4, "keep": 2, "least": 2, "patience": 2}
    suite, _ = distil(reads, load_schema, lambda g: instantiate(load_schema(g), 2026, 60), arcadedb, **few)
    done = ev.evaluate(Table(reads), reads, tmp_path, suite=suite, seed=2026, engine=arcadedb, **OFF)
    assert done.summary["ts"]["value"] == 1 and "ts_missing" not in done.summary
    mixed = [*reads, TEXTS[0]]
    done = ev.evaluate(Table(mixed), mixed, tmp_path, suite=suite, seed=2026, engine=arcadedb, **OFF)
    assert done.summary["ts"] is None and "See the groups" in done.summary["ts_missing"]
    assert done.summary["part"]["cypher"]["ts"]["value"] == 1
