"""The command: every verb's bad input ends with one clear sentence and exit status 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from heimdall_nb.run import ROOT

VERBS = (
    "doctor generate validate correct split add-queries distil base train export ladder evaluate profile baselines sql "
    "deploy ask serve benchmark sequence query recommend run".split()
)
GOOD = {
    "instruction": "Write",
    "input": "How many?",
    "output": "RETURN 1",
    "category": "count",
    "context_size": "small",
}


def heimdall(*arguments: str, reports: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"HEIMDALL_REPORTS": str(reports)} if reports else {})
    command = [sys.executable, "-m", "heimdall_nb", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit status 2, one sentence, no traceback."""
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said
    for word in words:
        assert word in said


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_help_names_every_verb() -> None:
    done = heimdall("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_unknown_options_are_refused(verb: str) -> None:
    refused(heimdall(verb, "--no-such-option"), "--no-such-option")


def test_validate_names_file_line_and_field(tmp_path: Path) -> None:
    broken = write(
        tmp_path / "broken.jsonl",
        json.dumps(GOOD),
        "{not json",
        json.dumps({k: v for k, v in GOOD.items() if k != "output"}),
        json.dumps(GOOD | {"context_size": "huge"}),
        json.dumps(GOOD | {"input": 3}),
        json.dumps(GOOD | {"colour": "red"}),
        "[1, 2]",
    )
    done = heimdall("validate", str(broken))
    refused(done, "broken.jsonl")
    for line, field in ((2, ""), (3, "output"), (4, "context_size"), (5, "input"), (6, "colour"), (7, "")):
        assert any(f"line {line}" in text and field in text for text in done.stdout.splitlines()), (line, field)
    assert "line 1," not in done.stdout and "line 1:" not in done.stdout


def test_validate_accepts_a_file_with_only_the_five_fields(tmp_path: Path) -> None:
    done = heimdall("validate", str(write(tmp_path / "five.jsonl", json.dumps(GOOD))))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("verb", ["validate", "correct", "split"])
def test_a_missing_file_is_one_sentence(verb: str, tmp_path: Path) -> None:
    extra = ["--output", str(tmp_path)] if verb == "split" else []
    refused(heimdall(verb, str(tmp_path / "none.jsonl"), *extra), "none.jsonl", "cannot be read")


def test_split_refuses_a_broken_file_with_its_place(tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.jsonl", json.dumps(GOOD), "{")
    refused(heimdall("split", str(broken), "--output", str(tmp_path / "out")), "broken.jsonl, line 2", "is not JSON")
    assert not (tmp_path / "out").exists()


def test_generate_refuses_an_unknown_graph(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    refused(heimdall("generate", "--examples", "100", "--graphs", "nowhere", "--output", str(output)), "nowhere")
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--preset", "nanno"], "'nanno' is not a preset"),
        (["run", "--only", "42"], "'42' is not a stage"),
        (["run", "--set", "exmples=3"], "'exmples' is not a parameter"),
        (["run", "--set", "examples=many"], "needs int"),
        (["train", "--set", "examples"], "is not knob=value"),
        (["run", "--run", "../elsewhere"], "is no run name"),
    ],
)
def test_run_refuses(arguments: list[str], words: str, tmp_path: Path) -> None:
    refused(heimdall(*arguments, reports=tmp_path), words)


def test_doctor_tells_what_it_found() -> None:
    done = heimdall("doctor")
    assert done.returncode == 0, done.stdout
    assert "[ok]" in done.stdout and "ArcadeDB" in done.stdout
