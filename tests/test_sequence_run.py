"""`heimdall sequence` run: what is recorded, what happens when llama.cpp fails, and when the command is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import sequence_model
from sequence_model import Failing, impatient

from heimdall_nb import cli
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.run import ROOT
from heimdall_nb.sequence import process
from heimdall_nb.sequence.report import text
from heimdall_nb.sequence.runner import run
from heimdall_nb.sequence.settings import load

PROMPTS = [f"Chapter {number}: what happens now?" for number in range(1, 7)]
SYSTEM = "You write a long story."
WIDE = load("long", ["n_ctx=2048", "max_tokens=40", "margin=16", "timeout=600"])
NARROW = load("long", ["n_ctx=512", "max_tokens=60", "margin=12", "timeout=600"])


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sequence_model.shared(tmp_path_factory)


def records(folder: Path, name: str = "results.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def begins(record: dict[str, Any]) -> list[str]:
    return [attempt["begins_with"] for attempt in record["attempts"]]


# --- a run without failures


def test_each_prompt_sees_the_answers_before_it_and_reads_only_what_is_new(gguf: Path, tmp_path: Path) -> None:
    found = run(gguf, PROMPTS, tmp_path, WIDE, SYSTEM)
    done = records(tmp_path)
    assert [record["item"] for record in done] == list(range(1, 7)) and found["answered"] == 6
    for before, record in zip(done, done[1:], strict=False):
        assert record["seen"] == list(range(1, record["item"])) and not record["dropped"] and not record["cut"]
        assert record["prompt_tokens"] > before["prompt_tokens"] + before["new_tokens"]
        # All of the prompt and the answer before; of an answer that was cut off, the last token was not read.
        unread = before["outcome"] == "truncated"
        assert record["reused_tokens"] == before["prompt_tokens"] + before["new_tokens"] - unread
    assert found["answered_tokens"] == sum(len(record["tokens"]) for record in done) == 6 * 40
    assert found["reused"] == round(sum(r["reused_tokens"] for r in done) / sum(r["prompt_tokens"] for r in done), 4)
    assert found["outcomes"] == {"truncated": 6} and found["mended"] == {} and found["tries"] == 6
    assert json.loads((tmp_path / "summary.json").read_text()) == found
    events = [(event["item"], event["event"]) for event in records(tmp_path, "log.jsonl")]
    assert events == [(k, what) for k in range(1, 7) for what in ("prompt", "answer")]
    assert f"6 of 6 prompts are answered, with {6 * 40} tokens." in text(found)


def test_the_same_seed_writes_the_same_and_another_does_not(gguf: Path, tmp_path: Path) -> None:
    written = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        run(gguf, PROMPTS[:2], tmp_path / name, WIDE, SYSTEM, seed)
        written.append([record["text"] for record in records(tmp_path / name)])
    assert written[0] == written[1] and not set(written[0]) & set(written[2])


def test_a_full_window_drops_whole_turns_and_says_so(gguf: Path, tmp_path: Path) -> None:
    found = run(gguf, PROMPTS * 3, tmp_path, NARROW, SYSTEM)
    done = records(tmp_path)
    assert found["answered"] == 18
    for record in done:
        assert record["prompt_tokens"] <= NARROW.budget
        assert record["dropped"] + record["seen"] == list(range(1, record["item"]))
        assert record["item"] == 1 or record["item"] - 1 in record["seen"]
    trimmed = [k for k, record in enumerate(done) if k and record["dropped"] != done[k - 1]["dropped"]]
    assert 2 <= len(trimmed) <= 8  # and between two trimmings, what was read stays
    assert all(
        record["reused_tokens"] > record["prompt_tokens"] // 2
        for k, record in enumerate(done[1:], 1)
        if k not in trimmed
    )
    logged = [event for event in records(tmp_path, "log.jsonl") if event["event"] == "prompt"]
    assert [event["dropped"] for event in logged] == [record["dropped"] for record in done]


def test_a_window_of_turns(gguf: Path, tmp_path: Path) -> None:
    run(gguf, PROMPTS, tmp_path, replace(WIDE, window=2), SYSTEM)
    assert [record["seen"] for record in records(tmp_path)] == [[], [1], [1, 2], [2, 3], [3, 4], [4, 5]]


def test_turns_that_leave_are_summarised_and_a_run_that_goes_on_knows_it(gguf: Path, tmp_path: Path) -> None:
    settings = replace(NARROW, summary_tokens=30)
    run(gguf, PROMPTS * 2, tmp_path, settings, SYSTEM)
    done = records(tmp_path)
    made = [record for record in done if record["summary"]]
    assert made and all(record["prompt_tokens"] <= NARROW.budget for record in done)
    for record in made:
        assert set(record["summary"]["of"]) <= set(record["dropped"]) and 0 < len(record["summary"]["tokens"]) <= 30
        assert record["summary"]["attempts"][0]["reused_tokens"] > 100  # what is summarised was read before
    keep = made[0]["item"] + 1
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(record) + "\n" for record in done[:keep]))
    run(gguf, PROMPTS * 2, tmp_path, settings, SYSTEM)
    again = records(tmp_path)
    sizes = ("prompt_tokens", "dropped", "cut")
    assert [[r[name] for name in sizes] for r in again[: keep + 1]] == [
        [r[name] for name in sizes] for r in done[: keep + 1]
    ]


def test_a_prompt_without_room_is_typed_and_the_next_goes_on(gguf: Path, tmp_path: Path) -> None:
    found = run(gguf, [PROMPTS[0], "word " * 500, PROMPTS[1]], tmp_path, NARROW, SYSTEM)
    assert [record["outcome"] for record in records(tmp_path)] == ["truncated", "too_long", "truncated"]
    assert found["answered"] == 2 and records(tmp_path)[2]["seen"] == [1]  # nothing had to go for it


# --- llama.cpp fails


@pytest.mark.parametrize(
    ("faults", "outcomes", "mended"),
    [
        ({3: "empty"}, ["empty", "truncated"], ["", "seed"]),
        ({3: "empty", 4: "blank"}, ["empty", "truncated", "truncated"], ["", "seed", "reset"]),
        ({3: "crash"}, ["error", "truncated"], ["", "reload"]),
        ({3: "killed", 4: "killed"}, ["error", "error", "truncated"], ["", "reload", "reload"]),
        ({3: "hang"}, ["timeout", "truncated"], ["", "reload"]),
        ({3: "lost"}, ["error", "truncated"], ["", "reset"]),
        ({3: "grown"}, ["error", "truncated"], ["", "reset"]),
        ({3: "refused"}, ["error", "truncated"], ["", "reset"]),
        ({3: "nan"}, ["error", "truncated"], ["", "reset"]),
        ({3: "stuck"}, ["error", "truncated"], ["", "reset"]),
        ({3: "refused", 4: "refused"}, ["error", "error", "truncated"], ["", "reset", "reload"]),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_failure_is_recovered_from(
    faults: dict[int, str],
    outcomes: list[str],
    mended: list[str],
    gguf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = Failing(tmp_path / "count", faults)
    impatient(monkeypatch, failing)
    found = run(gguf, PROMPTS[:4], tmp_path / "out", WIDE, SYSTEM, serve=failing)
    done = records(tmp_path / "out")
    assert [record["outcome"] for record in done] == ["truncated"] * 4 and found["answered"] == 4
    third = done[2]
    assert ([attempt["outcome"] for attempt in third["attempts"]], begins(third)) == (outcomes, mended)
    assert [len(record["attempts"]) for record in done] == [1, 1, len(outcomes), 1]
    assert len({attempt["seed"] for attempt in third["attempts"]}) == len(outcomes)  # each try draws anew
    assert third["seen"] == [1, 2] and done[3]["seen"] == [1, 2, 3]
    warm = third["attempts"][-1]["reused_tokens"] > 0
    assert warm == (mended[-1] == "seed")  # an emptied cache is read anew
    assert done[3]["reused_tokens"] > 0.8 * done[3]["prompt_tokens"]  # and is warm from there on
    assert all(attempt.get("why") for attempt in third["attempts"] if attempt["outcome"] in ("error", "timeout"))


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("empty", "empty"), ("blank", "empty"), ("killed", "error"), ("hang", "timeout"), ("refused", "error")],
)
def test_a_failure_that_stays_is_typed_after_two_more_tries(
    fault: str, outcome: str, gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(tmp_path / "count", {number: fault for number in (2, 3, 4)})
    impatient(monkeypatch, failing)
    found = run(gguf, PROMPTS[:3], tmp_path / "out", WIDE, SYSTEM, serve=failing)
    done = records(tmp_path / "out")
    assert [record["outcome"] for record in done] == ["truncated", outcome, "truncated"]
    assert len(done[1]["attempts"]) == 3 and len(done[2]["attempts"]) == 1
    assert done[2]["seen"] == [1]  # what is no answer is not shown
    assert found["answered"] == 2 and found["outcomes"][outcome] == 1


def test_an_answer_that_takes_too_long_keeps_what_was_written(gguf: Path, tmp_path: Path) -> None:
    failing = Failing(tmp_path / "count", {2: "late"})
    run(gguf, PROMPTS[:3], tmp_path / "out", WIDE, SYSTEM, serve=failing)
    done = records(tmp_path / "out")
    assert [record["outcome"] for record in done] == ["truncated", "timeout", "truncated"]
    assert 15 < done[1]["new_tokens"] < 40 and len(done[1]["attempts"]) == 1
    assert done[2]["seen"] == [1, 2]


def test_a_greedy_answer_that_is_empty_is_drawn_the_next_time(gguf: Path, tmp_path: Path) -> None:
    failing = Failing(tmp_path / "count", {1: "empty"})
    run(gguf, PROMPTS[:1], tmp_path / "out", replace(WIDE, temperature=0.0), SYSTEM, serve=failing)
    assert [a["temperature"] for a in records(tmp_path / "out")[0]["attempts"]] == [0.0, WIDE.retry_temperature]


def _never(pipe: Any, path: str, settings: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_model_that_cannot_be_loaded_ends_the_run_with_a_sentence(gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(HeimdallError, match="ended by signal 9"):
        run(gguf, PROMPTS, tmp_path / "out", replace(WIDE, retries=0), SYSTEM, serve=_never)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(gguf.read_bytes()[:3000])
    with pytest.raises(BadInput, match="is damaged"):
        run(damaged, PROMPTS, tmp_path / "other", WIDE, SYSTEM)


# --- the command: killed, told to do something else, twice at once

FAST = ("--set", "n_ctx=4096", "--set", "max_tokens=150", "--set", "margin=16", "--system", SYSTEM)


def command(model: Path, prompts: Path, folder: Path, *more: str) -> list[str]:
    start = [sys.executable, "-m", "heimdall_nb", "sequence", str(prompts), "--model", str(model)]
    return [*start, "--output", str(folder), *FAST, *more]


def written(folder: Path) -> int:
    """How many whole lines the results have."""
    path = folder / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_at(line: list[str], folder: Path, lines: int, later: float) -> None:
    """Start the command and kill it, with -9, so many seconds after its results have so many lines."""
    running = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while written(folder) < lines and time.monotonic() < until and running.poll() is None:
        time.sleep(0.002)
    time.sleep(later)
    below = psutil.Process(running.pid).children(recursive=True) if running.poll() is None else []
    running.kill()
    running.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert running.returncode == -signal.SIGKILL and not alive  # and the model's process went with it


def test_a_run_killed_at_ten_places_goes_on(gguf: Path, tmp_path: Path) -> None:
    prompts, folder = tmp_path / "prompts.txt", tmp_path / "out"
    asked = [f"Chapter {number}: what happens now?" for number in range(1, 16)]
    prompts.write_text("\n".join(asked))
    line, kept = command(gguf, prompts, folder), b""
    for kill in range(10):  # before the first answer, just after one, in the middle of one, …
        kill_at(line, folder, kill, 0.05 * (kill % 4))
        now = (folder / "results.jsonl").read_bytes() if (folder / "results.jsonl").exists() else b""
        assert now.startswith(kept)  # nothing that was written is written again
        kept = now[: now.rfind(b"\n") + 1]
        if kill == 5:  # a kill in the middle of writing
            with (folder / "results.jsonl").open("ab") as handle:
                handle.write(b'{"item": 99, "ke')
        elif kill == 7:
            with (folder / "log.jsonl").open("ab") as handle:
                handle.write(b'{"time"')
    assert kept.count(b"\n") < len(asked)
    done = subprocess.run([*line, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found, results = json.loads(done.stdout), records(folder)
    assert [record["prompt"] for record in results] == asked and found["answered"] == len(asked)
    assert (folder / "results.jsonl").read_bytes().startswith(kept)
    for before, record in zip(results, results[1:], strict=False):
        assert record["seen"] == list(range(1, record["item"]))
        assert record["prompt_tokens"] > before["prompt_tokens"] + before["new_tokens"]
    assert all(records(folder, "log.jsonl"))
    again = subprocess.run(
        line, cwd=ROOT, capture_output=True, text=True, timeout=600
    )  # all is there: nothing is asked
    assert again.returncode == 0 and "15 of 15 prompts are answered" in again.stdout
    assert records(folder) == results


def call(monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["heimdall", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts, folder = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("One.\nTwo.\n")
    verb = command(gguf, prompts, folder, "--set", "max_tokens=30")[3:]
    assert call(monkeypatch, verb) == 0
    assert "2 of 2 prompts are answered, with 60 tokens." in capsys.readouterr().out
    prompts.write_text("One.\nTwo.\nThree.\n")  # more prompts: it goes on
    assert call(monkeypatch, verb) == 0 and len(records(folder)) == 3
    assert call(monkeypatch, [*verb, "--seed", "8"]) == 2
    assert "holds answers to other prompts" in capsys.readouterr().err
    assert call(monkeypatch, [*verb, "--seed", "8", "--restart"]) == 0
    assert len(list(folder.glob("*-results.jsonl"))) == 1 and len(records(folder)) == 3
    prompts.write_text("One.\n" + "word " * 4000)
    assert call(monkeypatch, [*verb, "--restart"]) == 1
    assert "1 of 2 prompts have no answer" in capsys.readouterr().err
    assert call(monkeypatch, [*verb[:-1], "max_tokens=5000"]) == 2
    assert call(monkeypatch, ["sequence", str(prompts), "--model", str(prompts), "--output", str(folder)]) == 2
    assert "is not a GGUF file" in capsys.readouterr().err
    assert call(monkeypatch, ["sequence", str(prompts), "--model", str(gguf), "--output", str(prompts)]) == 2


def test_two_runs_do_not_share_a_folder(gguf: Path, tmp_path: Path) -> None:
    from heimdall_nb.run import lock

    with lock(tmp_path, "--output"), pytest.raises(BadInput, match="in use by another process.*--output"):
        run(gguf, PROMPTS, tmp_path, WIDE)
    with process.ModelProcess(gguf, WIDE) as worker:  # and the process of the model ends with its user
        worker.tokens(["a"])
        pid = worker._process.pid
    assert not psutil.pid_exists(pid)
