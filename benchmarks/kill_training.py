"""Kills a QLoRA training at random moments, lets it go on, and compares the result with an undisturbed one.

    python benchmarks/kill_training.py                      # ten kills of a short training of the nano base
    python benchmarks/kill_training.py --base DIR --kills 2

The first process imports everything once; each training is a fork of it, so that a kill costs no new start.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from heimdall_nb.dataset.example import Example, save
from heimdall_nb.dataset.validation_report import table
from heimdall_nb.models.shipped import located
from heimdall_nb.run import read_json, sha256
from heimdall_nb.training import checkpoints
from heimdall_nb.training.config import FinetuneConfig
from heimdall_nb.training.finetune import finetune
from heimdall_nb.training.trainer import build_trainer  # noqa: F401  (imported before the forks)

CONFIG = FinetuneConfig(
    lora_rank=4, lora_alpha=8, epochs=1, batch_size=4, questions_per_row=1, evaluations=4, max_length=256
)
PATIENCE = 600  # seconds until the first checkpoint


def question(number: int) -> Example:
    """A short question; all differ."""
    query = f"MATCH (p:Person {{name: '{number}'}}) RETURN p.age"
    return Example("Write", f"How old is {number}?", query, "read", "small", schema="(:Person {name: STRING})")


def forked(work: Callable[[], object]) -> int:
    """Run `work` in a child process without output; returns the child's number."""
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(child: int) -> bool:
    """Wait for a child; true when it ended well."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> None:
    """Print a line for each kill; exit status 1 when a final loss differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="heimdall-nano-base")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    examples = [question(number) for number in range(given.rows + 6)]
    with tempfile.TemporaryDirectory(prefix="kill_training_") as name:
        folder = Path(name)
        data = save(folder / "t.jsonl", examples[:-6]), save(folder / "v.jsonl", examples[-6:])

        def training(output: Path) -> Callable[[], object]:
            return lambda: finetune(located(given.base) or given.base, *data, output, CONFIG)

        started = time.monotonic()
        assert ended(forked(training(folder / "whole" / "adapter")))
        seconds = time.monotonic() - started
        whole, lines = outcome(folder / "whole" / "adapter"), []
        while len(lines) < given.kills:
            output = folder / str(len(lines)) / "adapter"
            child, begun = forked(training(output)), time.monotonic()
            if len(lines) % 2:  # every second kill falls after the first checkpoint has begun
                while not list(checkpoints.folder(output).glob("checkpoint-*")) and time.monotonic() - begun < PATIENCE:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, 0.2) * seconds)
            else:
                time.sleep(rng.uniform(0.05, 0.95) * seconds)
            moment = time.monotonic() - begun
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if (output / "training.json").exists():  # it was faster this time
                seconds *= 0.8
                shutil.rmtree(output.parent)
                continue
            last = checkpoints.last_complete(checkpoints.folder(output))
            assert ended(forked(training(output)))
            found = outcome(output)
            lines.append([f"{moment:.1f}", checkpoints.step(last) if last else 0, found[0], found == whole])
            print(
                f"kill {len(lines)} after {lines[-1][0]} s, went on from step {lines[-1][1]}: {found == whole}",
                flush=True,
            )
    print(table(["killed after, s", "went on from step", "final loss", "same adapter, byte for byte"], lines))
    print(f"undisturbed: final loss {whole[0]}, {seconds:.1f} s")
    sys.exit(any(abs(line[2] - whole[0]) > 1e-4 for line in lines))


def outcome(output: Path) -> tuple[float, str]:
    """The last validation loss of a training, and its adapter's hash."""
    losses = [row["loss"] for row in read_json(output / "training.json")["evaluations"]]
    return losses[-1], sha256(output / "adapter_model.safetensors")


if __name__ == "__main__":
    main()
