"""An estimate beside what a run measured: for the run's metrics, and a line in LOGBOOK.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heimdall_nb.logbook import HEADER
from heimdall_nb.memory.parts import MIB, Estimate
from heimdall_nb.memory.shape import shape_of
from heimdall_nb.memory.training import Training, estimate_training
from heimdall_nb.run import atomic_text

BEGIN, END = "<!-- memory -->", "<!-- memory end -->"
COLUMNS = ("what", "where", "estimate, MiB", "measured, MiB", "error")


def beside(estimate: Estimate, measured: float) -> dict[str, Any]:
    """The figures for a run's metrics: `measured` is the peak in bytes, `error` how far above it the estimate is."""
    return {
        "what": estimate.what,
        "where": estimate.where,
        "moment": estimate.moment,
        "estimate_mb": round(estimate.bytes / MIB, 1),
        "measured_mb": round(measured / MIB, 1),
        "error": round((estimate.bytes - measured) / measured, 4),
        "parts_mb": {part.name: round(part.bytes / MIB, 1) for part in estimate.parts},
    }


def of_training(base: str | Path, done: Mapping[str, Any]) -> dict[str, Any]:
    """`beside` for what `training.finetune.finetune` returned; the peak is right where the process did nothing before.

    Raises BadInput when the shape of `base` cannot be read.
    """
    where = "cpu" if done["device"] == "cpu" else "cuda"
    knobs = done["settings"] | {"precision": done["precision"], "max_length": done["longest_row"], "where": where}
    return beside(estimate_training(shape_of(base), Training.of(knobs)), done["training_memory_mb"] * MIB)


def log(path: Path, run: str, found: dict[str, Any]) -> Path:
    """Write what `beside` returned as a line of the table of memory at the end of a logbook.

    A line of the same run, subject and place is replaced. The text outside the table stays as it is.
    """
    old = path.read_text(encoding="utf-8") if path.exists() else HEADER
    text, table = old, []
    if BEGIN in old and END in old.split(BEGIN, 1)[1]:
        before, rest = old.split(BEGIN, 1)
        inside, after = rest.split(END, 1)
        text = before.rstrip("\n") + "\n" + after.lstrip("\n")
        table = [line for line in inside.splitlines() if line.startswith("| `")]
    what = found["what"].replace("|", "/")
    start = f"| `{run}` | {what} | {found['where']} |"
    line = f"{start} {found['estimate_mb']:.0f} | {found['measured_mb']:.0f} | {found['error']:+.1%} |"
    table = sorted([*(other for other in table if not other.startswith(start)), line])
    head = [f"| run | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    block = "\n".join([BEGIN, "## Memory: estimated and measured", "", *head, *table, END])
    return atomic_text(path, text.rstrip("\n") + "\n\n" + block + "\n")
