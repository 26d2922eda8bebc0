"""The whole course at preset smoke: it runs, it is kept as pages, it skips what is unchanged, it survives kill -9.

All tests that start kernels are here: started at the same moment, two may take the same ports.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from test_cli import heimdall, refused

from heimdall_nb.run import ROOT, STAGES, notebook_path, sha256

pytestmark = pytest.mark.notebooks


def start(reports: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "heimdall_nb", "run", "--preset", "smoke", "--run", "smoke", *arguments]
    environment = os.environ | {"HEIMDALL_REPORTS": str(reports)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(the run's folder, what the command said) of one undisturbed run."""
    reports = tmp_path_factory.mktemp("reports")
    said = finish(start(reports))
    return reports / "smoke", said


def test_it_ends_with_report_file_scores_and_an_answer(course: tuple[Path, str]) -> None:
    path, said = course
    for word in ("Report:", "GGUF:", "EX", "Question (", "Answer:"):
        assert word in said, said[-3000:]
    manifest = json.loads((path / "manifest.json").read_text())
    assert list(manifest["stages"]) == list(STAGES) and manifest["preset"] == "smoke"


@pytest.mark.parametrize("number", STAGES)
def test_executed_copies_are_complete_and_stamped(course: tuple[Path, str], number: str) -> None:
    executed = nbformat.read(course[0] / notebook_path(number).name, 4)
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code if cell.source.strip())
    assert not [out for cell in code for out in cell.outputs if out.output_type == "error"]
    assert {"commit", "machine", "versions"} <= set(executed.metadata["heimdall"])
    text = json.dumps(executed)
    assert str(ROOT) not in text.replace(str(course[0]), ""), "a local path is in the executed copy"


@pytest.mark.parametrize("number", STAGES)
def test_pages_are_accessible(course: tuple[Path, str], number: str) -> None:
    page = (course[0] / notebook_path(number).name).with_suffix(".html").read_text()
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", page)]
    assert levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in re.findall(r"<img [^>]*>", page))
    assert "<html lang=" in page and "<script" not in page


def test_a_second_run_skips_everything(course: tuple[Path, str]) -> None:
    path, _ = course
    before = (path / "manifest.json").read_text()
    said = finish(start(path.parent))
    assert said.count("skipped") == len(STAGES)
    assert (path / "manifest.json").read_text() == before
    assert (path.parent / "LOGBOOK.md").read_text().count("<!-- run smoke -->") == 1


def test_killed_in_training_it_resumes_to_the_same_weights(course: tuple[Path, str], tmp_path: Path) -> None:
    undisturbed, _ = course
    shutil.copytree(undisturbed, tmp_path / "smoke")
    for folder in ("adapter", "checkpoints"):
        shutil.rmtree(tmp_path / "smoke/artifacts" / folder, ignore_errors=True)
    process = start(tmp_path, "--only", "03")
    _wait_for_checkpoint(tmp_path / "smoke/artifacts/checkpoints", process)
    kernels = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(kernels, timeout=10)
    assert not alive, "the kernel outlived its killed parent"
    assert not (tmp_path / "smoke/artifacts/adapter").exists()
    said = finish(start(tmp_path, "--only", "03"))
    assert "goes on from step" in said
    weights = "artifacts/adapter/adapter_model.safetensors"
    assert sha256(tmp_path / "smoke" / weights) == sha256(undisturbed / weights)


def _wait_for_checkpoint(folder: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            pytest.fail(f"ended before a checkpoint: {process.communicate()[0]}")
        if list(folder.glob("*/checkpoint-*/trainer_state.json")):
            return
        time.sleep(0.1)
    pytest.fail("no checkpoint within two minutes")


@pytest.mark.parametrize(
    ("verb", "missing"),
    [
        ("train", "dataset/train.jsonl"),
        ("export", "adapter"),
        ("evaluate", "dataset/test.jsonl"),
        ("profile", "dataset"),
        ("baselines", "dataset/test.jsonl"),
        ("sql", "adapter"),
        ("deploy", "gguf"),
    ],
)
def test_a_stage_without_its_input_names_what_to_run(verb: str, missing: str, tmp_path: Path) -> None:
    done = heimdall(verb, "--preset", "smoke", "--run", "empty", reports=tmp_path)
    refused(done, missing, "is missing", "heimdall run --run empty --only")
