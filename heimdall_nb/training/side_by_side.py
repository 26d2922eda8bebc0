"""The same short training with the base in 4 bits and in full numbers: what QLoRA saves, and what it costs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from heimdall_nb.errors import HeimdallError
from heimdall_nb.run import ROOT, atomic_text, read_json
from heimdall_nb.training.config import FinetuneConfig

KINDS = {"4 bits": True, "full numbers": False}


def side_by_side(
    base: Path | str, train: Path, validation: Path, folder: Path, config: FinetuneConfig
) -> dict[str, dict[str, Any]]:
    """For each of `KINDS` the training's report; each runs alone in a process of its own, so that its peak counts.

    A training that was done before with the same settings is not repeated. Raises HeimdallError when one fails.
    """
    found = {}
    for name, in_4bit in KINDS.items():
        output = folder / ("4bit" if in_4bit else "full")
        settings = atomic_text(folder / f"{output.name}.yaml", replace(config, load_in_4bit=in_4bit).yaml())
        command = [sys.executable, "-m", "heimdall_nb", "train", "--config", settings, "--set", f"03.base={base}"]
        command += ["--dataset", train, "--validation", validation, "--output", output]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"HEIMDALL_PLAIN": "1"}, capture_output=True, text=True
        )
        if done.returncode:
            raise HeimdallError(f"The training with {name} failed: {(done.stderr.splitlines() or ['no message'])[-1]}")
        found[name] = read_json(output / "training.json")
        shutil.rmtree(folder / "tensorboard" / output.name, ignore_errors=True)
    return found


def compared_row(done: Mapping[str, Any]) -> dict[str, Any]:
    """What of a training's report is worth comparing, by names for a table."""
    last = done["evaluations"][-1]
    return {
        "base in": "NF4" if done["settings"]["load_in_4bit"] else done["precision"],
        "arithmetic": done["precision"],
        "device": done["device"],
        "longest row, tokens": done["longest_row"],
        "model with adapter, MB": done["footprint_mb"],
        "peak of the training, MB": done["training_memory_mb"],
        "peak with evaluation, MB": done["memory_mb"],
        "steps": done["steps"],
        "seconds": done["timing"]["seconds"],
        "validation loss": last["loss"],
        "exact answers": last.get("right"),
    }
