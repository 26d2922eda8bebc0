"""The ladder: adapter, merged model and each file on the same held-out questions, and which file to take.

Each rung is measured in a process of its own and kept in a file, so that a kill costs the rung at hand; of its answers
only the last few are asked again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from heimdall_nb import hardware
from heimdall_nb.context import child
from heimdall_nb.dataset.example import Example, save
from heimdall_nb.engines.choose import graph_engine
from heimdall_nb.engines.graph import GraphEngine
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation import evaluate
from heimdall_nb.evaluation.statistics import mcnemar
from heimdall_nb.export.rung import QUESTIONS, Task
from heimdall_nb.models.protocol import Completion
from heimdall_nb.progress import track
from heimdall_nb.run import DATA, Run, read_json, sha256, write_json

Row = dict[str, Any]

PATIENCE = 24 * 3600.0  # seconds that a rung may take: a large model on a slow machine, but not for ever


@dataclass(frozen=True)
class Rung:
    """A form of the model: a GGUF file or a model folder (or hub id) at `path`, perhaps with an `adapter` on it."""

    name: str
    path: Path | str
    adapter: Path | None = None
    four_bit: bool = False

    @property
    def bytes(self) -> int | None:
        """Bytes of the files that hold its weights; None for a model of the hub."""
        if Path(self.path).is_file():
            return Path(self.path).stat().st_size
        if not Path(self.path).is_dir():
            return None
        folders = [Path(self.path), *([self.adapter] if self.adapter else [])]
        return sum(file.stat().st_size for folder in folders for file in folder.glob("*.safetensors"))

    @property
    def version(self) -> str:
        """What the rung is, as a hash of its files."""
        return f"{sha256(Path(self.path)) or self.path} {sha256(self.adapter) if self.adapter else ''} {self.four_bit}"


@dataclass(frozen=True)
class Questions:
    """What every rung is asked, and how: the graphs are made from `seed` with `nodes` nodes each.

    The first `scored` examples, read with their answers, give the agreement with the reference file.
    """

    examples: Sequence[Example]
    seed: int
    nodes: int = 60
    scored: int = 50
    max_new_tokens: int = 128
    context: int = 2048


@cache
def rule() -> dict[str, Any]:
    """`data/ladder.yaml`: how a file is chosen, and when a line in red is due."""
    return yaml.safe_load((DATA / "ladder.yaml").read_text(encoding="utf-8"))


def rungs(
    base: Path | str, adapter: Path, merged: Path, files: Mapping[str, Path], four_bit: bool = True
) -> list[Rung]:
    """All rungs from the top: base with adapter as it was trained, the merged folder, then the GGUF `files` by name.

    Raises BadInput when the reference file is not among them.
    """
    if rule()["reference"] not in files:
        raise BadInput(f"there is no {rule()['reference']} file", "ladder", "Run stage 04 first.")
    top = [Rung("adapter", base, adapter, four_bit), Rung("merged", merged)]
    return top + [Rung(name, path) for name, path in files.items()]


def of_run(run: Run) -> list[Rung]:
    """The rungs of a run in which notebook 04 has finished. Raises BadInput where it has not."""
    from heimdall_nb.models.opened import base_of

    adapter, merged = run.need("adapter", "03"), run.need("merged", "04")
    files = {name: run.need(f"gguf/heimdall-{name}.gguf", "04") for name in run.metrics("04")["files"]}
    four_bit = run.manifest()["stages"]["04"]["parameters"]["load_in_4bit"]
    return rungs(base_of(adapter), adapter, merged, files, four_bit)


def climb(rungs: Sequence[Rung], asked: Questions, folder: Path) -> list[Row]:
    """Measure each rung and return its row, in order; rows that `folder` holds for the same files are taken from it.

    A row has `name`, `gguf` (whether it is a GGUF file), `items`, `va` and `ex` (value, low, high), `right` (a bool an
    item), `perplexity`, `mean_kl` and `top1` (against the reference file), `bytes`, `tokens_per_second`, and what
    `rung.measure` says about memory. Raises BadInput for no questions, HeimdallError when a measuring process fails.
    """
    if not asked.examples:
        raise BadInput("there are no questions", "ladder", "Give a file with examples.")
    reference = next(rung for rung in rungs if rung.name == rule()["reference"])
    examples = [vars(example) for example in asked.examples]
    settings = asdict(asked) | {"examples": examples, "reference": reference.version}
    save((folder := folder.resolve()) / QUESTIONS, asked.examples)  # the processes start in another folder
    rows = []
    with ExitStack() as stack:
        engine: GraphEngine | None = None
        for rung in track(rungs, "rungs"):
            key = hashlib.sha256(json.dumps([settings, rung.version], sort_keys=True).encode()).hexdigest()
            file = folder / f"{rung.name}.json"
            known = read_json(file) if file.exists() else {}
            if known.get("key") != key:
                found = _measured(_task(rung, reference, asked, folder))
                engine = engine or stack.enter_context(closing(graph_engine()))
                known = {"key": key} | _row(rung, asked, found, engine)
                write_json(file, known)
            rows.append(known)
    return rows


def _task(rung: Rung, reference: Rung, asked: Questions, folder: Path) -> Task:
    return Task(
        name=rung.name,
        path=str(rung.path),
        adapter=str(rung.adapter or ""),
        four_bit=rung.four_bit,
        reference=str(reference.path),
        folder=str(folder),
        scored=asked.scored,
        max_new_tokens=asked.max_new_tokens,
        context=asked.context,
        threads=hardware.threads(),
        version=rung.version,
    )


def _row(rung: Rung, asked: Questions, found: Row, engine: GraphEngine) -> Row:
    completions = [Completion(**record) for record in found.pop("completions")]
    scores = evaluate.score(asked.examples, completions, asked.seed, asked.nodes, engine=engine)
    summary = evaluate.summarise(scores)
    return {
        "name": rung.name,
        "gguf": Path(rung.path).is_file(),
        "items": len(scores),
        "va": summary["va"],
        "ex": summary["ex"],
        "right": [score.ex for score in scores],
        **found,
        "bytes": rung.bytes,
        "tokens_per_second": summary["tokens_per_second"],
    }


def _measured(task: Task) -> Row:
    """What `rung.measure` finds in a process of its own. Raises HeimdallError that names the rung."""
    try:
        return child.run("heimdall_nb.export.rung", asdict(task), PATIENCE)
    except HeimdallError as problem:
        raise HeimdallError(f"{task.name}: {problem}") from None


def lost_points(rows: Sequence[Row], name: str) -> float:
    """Points of EX that the rung loses against the reference; negative where it gains some."""
    before, after = (_row_of(rows, each)["right"] for each in (rule()["reference"], name))
    return 100 * (sum(before) - sum(after)) / len(after)


def _near(rows: Sequence[Row], name: str) -> bool:
    """Whether a rung loses no more EX than it may; rounding does not count."""
    return lost_points(rows, name) <= rule()["ex_points"] + 1e-9


def recommend(rows: Sequence[Row]) -> tuple[str, str]:
    """(the name of the file to take by `rule`, why in a sentence): the smallest that loses little."""
    limits = rule()
    near = [row for row in rows if row["gguf"] and row["top1"] >= limits["top1"] and _near(rows, row["name"])]
    chosen = min(near, key=lambda row: row["bytes"])
    own = f"EX {100 * chosen['ex']['value']:.1f} %, the same token in {chosen['top1']:.1%}"
    why = (
        f"Take {chosen['name']} ({chosen['bytes'] / 1e6:.1f} MB; {own}): it is the smallest file that loses at most "
        f"{limits['ex_points']:g} point of EX against {limits['reference']} and names the same likeliest token in at "
        f"least {limits['top1']:.0%} of all places. One question of {chosen['items']} is {100 / chosen['items']:.1f} "
        "points."
    )
    return chosen["name"], why


def warning(rows: Sequence[Row]) -> str:
    """A sentence when the watched kind loses more than it may; empty when it does not, or is not there."""
    limits = rule()
    watched, reference = limits["watched"], limits["reference"]
    if not any(row["name"] == watched for row in rows) or _near(rows, watched):
        return ""
    paired = mcnemar(_row_of(rows, reference)["right"], _row_of(rows, watched)["right"])
    chance = "these questions do not show that it is worse" if paired.p >= 0.05 else "chance alone would rarely say so"
    return (
        f"{watched} loses {lost_points(rows, watched):.1f} points of EX against {reference}, more than "
        f"{limits['ex_points']:g}: {paired.only_first} questions only {reference} has right, {paired.only_second} only "
        f"{watched} (p = {paired.p:.2g}: {chance})."
    )


def _row_of(rows: Sequence[Row], name: str) -> Row:
    return next(row for row in rows if row["name"] == name)
