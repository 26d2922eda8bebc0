"""Runs: atomic files, the manifest, freshness, locks, unknown parameters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heimdall_nb import run as runs
from heimdall_nb.errors import BadInput
from heimdall_nb.run import ROOT, Run, begin, source_digest

PARAMETERS = {"run": "r", "seed": 7, "quantisations": ["Q8_0"]}


@pytest.fixture
def finished(tmp_path: Path) -> Run:
    """A run with one finished stage that has one input and one output."""
    run = Run("r", root=tmp_path)
    given = run.artifact("in.txt")
    given.write_text("in")
    stage = begin(run, "01", PARAMETERS, inputs=[given])
    made = runs.atomic_text(run.artifact("out/made.txt"), "out")
    stage.finish([made.parent], {"n": 1})
    return run


def fresh(run: Run, **changes: object) -> bool:
    return run.fresh("01", PARAMETERS | changes, source_digest("01"))


def test_a_finished_stage_is_fresh_and_recorded(finished: Run) -> None:
    entry = finished.manifest()["stages"]["01"]
    assert fresh(finished)
    assert finished.metrics("01") == {"n": 1}
    assert entry["inputs"].keys() == {"run:artifacts/in.txt"}
    assert entry["machine"]["cores"] >= 1 and entry["peak_memory_mb"] > 10 and entry["seconds"] >= 0


@pytest.mark.parametrize("change", [{"seed": 8}, {"quantisations": []}, {"more": 1}])
def test_other_parameters_are_not_fresh(finished: Run, change: dict[str, object]) -> None:
    assert not fresh(finished, **change)


@pytest.mark.parametrize("name", ["in.txt", "out/made.txt", "stamps/01.json"])
def test_changed_or_missing_files_are_not_fresh(finished: Run, name: str) -> None:
    path = finished.artifact(name)
    old = path.read_text()
    path.write_text(old + "x")
    assert not fresh(finished)
    path.unlink()
    assert not fresh(finished)
    path.write_text(old)
    assert fresh(finished)


def test_other_source_is_not_fresh(finished: Run) -> None:
    assert not finished.fresh("01", PARAMETERS, "another source")


def test_a_lock_is_taken_once(tmp_path: Path) -> None:
    handle = Run("r", root=tmp_path).lock()
    script = f"from heimdall_nb.run import Run; from pathlib import Path; Run('r', Path({str(tmp_path)!r})).lock()"
    second = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert "is in use by another process" in second.stderr
    handle.close()
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT).returncode == 0


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_run_names_cannot_leave_the_folder(name: str) -> None:
    with pytest.raises(BadInput, match="no run name"):
        Run(name)


def test_a_missing_artifact_names_its_stage(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is missing.*--only 03"):
        Run("r", root=tmp_path).need("base", "03")


def test_a_torn_manifest_is_a_clear_error(finished: Run) -> None:
    finished.manifest_path.write_text("{")
    with pytest.raises(BadInput, match="is not JSON"):
        finished.manifest()


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = runs.write_json(tmp_path / "a.json", {"a": 1})

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        runs.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_papermill_names_are_found_in_the_kernel() -> None:
    script = (
        "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance();"
        "s.run_cell('# Parameters\\nexmples = 3\\nseed = 1\\n', store_history=True);"
        "from heimdall_nb.run import begin; begin('x', '01', {'seed': 1})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert "'exmples' is not a parameter of this notebook" in done.stderr
