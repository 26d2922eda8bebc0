"""The folder of a training in progress: whose it is, and the newest checkpoint that is whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from heimdall_nb.errors import BadInput
from heimdall_nb.run import read_json, write_json


def folder(output: Path) -> Path:
    """Where the checkpoints of the training of `output` lie, until it has ended."""
    return output.parent / "checkpoints" / output.name


def board(output: Path) -> Path:
    """Where TensorBoard's files of that training lie; they stay."""
    return output.parent / "tensorboard" / output.name


def keep_only(output: Path, identity: str) -> None:
    """Remove checkpoints and TensorBoard files of another training than `identity`."""
    mark = folder(output) / "key.json"
    if not mark.exists() or read_json(mark) != identity:
        shutil.rmtree(folder(output), ignore_errors=True)
        shutil.rmtree(board(output), ignore_errors=True)
        write_json(mark, identity)


def last_complete(checkpoints: Path) -> Path | None:
    """The newest checkpoint that was written to its end, or None; what was killed half-way is removed."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=step)
    while found:
        try:
            read_json(found[-1] / "trainer_state.json")  # the Trainer writes this file last
            return found[-1]
        except BadInput:
            shutil.rmtree(found.pop())
    return None


def step(checkpoint: Path) -> int:
    """The number of steps after which a checkpoint was written."""
    return int(checkpoint.name.rsplit("-", 1)[1])
