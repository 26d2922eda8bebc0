"""A task in a process of its own, so that no memory of an earlier one is counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from heimdall_nb.errors import HeimdallError
from heimdall_nb.run import ROOT


def run(module: str, task: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """What `python -m module TASK` prints as its last line of JSON; the task is given as JSON.

    Raises HeimdallError, naming the task's context, when the process fails or takes over `seconds`.
    """
    command = [sys.executable, "-m", module, json.dumps(task)]
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(task["threads"])}
    where = f"context {task['context']}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=ROOT, env=environment)
    except subprocess.TimeoutExpired:
        raise HeimdallError(f"{where}: the measurement took more than {seconds:g} seconds") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
        raise HeimdallError(f"{where}: the measurement failed: {lines[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
