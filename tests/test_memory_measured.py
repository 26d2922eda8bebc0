"""One point measured: what `benchmarks/bench_memory.py` estimates is what a training in a process of its own takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heimdall_nb.run import ROOT


@pytest.mark.skipif(sys.platform != "linux", reason="the resident memory is read from /proc")
def test_a_measured_training_is_near_its_estimate(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "bench_memory.py"), "--only", "tiny"]
    command += ["--results", str(tmp_path / "points.json"), "--output", str(tmp_path / "memory.md")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    point = json.loads((tmp_path / "points.json").read_text(encoding="utf-8"))[0]
    assert point["libraries"] < point["peak"] < 2**30 and point["step_seconds"] > 0
    line = next(row for row in (tmp_path / "memory.md").read_text(encoding="utf-8").splitlines() if "| tiny |" in row)
    error = float(line.split("|")[7].strip().rstrip("%"))
    assert abs(error) < 10, line
