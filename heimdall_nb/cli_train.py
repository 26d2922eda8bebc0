"""The verb `train`: notebook 03, or a training of one's own files, planned, run, or only evaluated."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from heimdall_nb import presets
from heimdall_nb.errors import BadInput

SAMPLE = "iid"  # the benchmark set that a plan reads where there is no dataset yet


def train(
    preset: Annotated[str, typer.Option(help="preset of data/presets.yaml")] = "nano",
    strategy: Annotated[str, typer.Option(help="memory, speed or quality; see CONFIG.md")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="knob=value; repeatable; see CONFIG.md")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings, over the preset and under --set")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="build and show the whole run without weights")] = False,
    dataset: Annotated[
        list[str] | None, typer.Option(help="JSONL file of your own, FILE or FILE=WEIGHT; repeatable: a mixture")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="examples of the mixture; 0 for as many as there can be")] = 0,
    validation: Annotated[
        Path | None, typer.Option(help="JSONL file to measure on; a part of --dataset if none")
    ] = None,
    replay: Annotated[Path | None, typer.Option(help="JSONL file of earlier training, some of it mixed in")] = None,
    replay_ratio: Annotated[float, typer.Option(help="share of the training set that is from --replay")] = 0.3,
    output: Annotated[Path | None, typer.Option(help="folder of the adapter; needs --dataset or --eval-only")] = None,
    eval_only: Annotated[
        bool, typer.Option("--eval-only", help="evaluate the adapter in --output, train nothing")
    ] = False,
    run: Annotated[str, typer.Option("--run", help="folder under reports/, for notebook 03")] = "",
    force: Annotated[bool, typer.Option("--force", help="run notebook 03 although nothing changed")] = False,
    format_: Annotated[
        str, typer.Option("--format", help="answers: cypher, or nornicdb for the server's JSON actions")
    ] = "cypher",
) -> None:
    """Fine-tune the base with QLoRA (notebook 03), or with --dataset on files of your own, into --output.

    In the format nornicdb, notebook 03 has a run of its own, NAME-nornicdb; a --dataset has the format it was made in.
    `accelerate launch --config_file data/accelerate/data_parallel.yaml -m heimdall_nb train --dataset …` uses several
    processes.
    """
    from heimdall_nb.training.config import FinetuneConfig

    values = presets.override(presets.with_strategy(presets.preset(preset), strategy), [] if config else set_ or [])
    settings = FinetuneConfig.of(values["03"])
    if config:
        settings = FinetuneConfig.read(config, settings)
        values = presets.override(values | {"03": values["03"] | settings.knobs()}, set_ or [])
        settings = FinetuneConfig.of(values["03"])
    base, material = values["03"]["base"], (dataset or [], validation, replay, replay_ratio, examples)
    if eval_only:
        _evaluate(base, output, validation)
    elif dry_run:
        _plan(base, settings, run or preset, material, values)
    elif dataset:
        _train(base, settings, output, material)
    elif output or validation or replay or examples or config:
        raise BadInput("need --dataset", "--output, --validation, --replay, --examples, --config", "Give a JSONL file.")
    else:
        _notebook(run, preset, set_, force, strategy, format_)


def _notebook(run: str, preset: str, set_: list[str] | None, force: bool, strategy: str, format_: str) -> None:
    from heimdall_nb import cli
    from heimdall_nb.dataset import runtime
    from heimdall_nb.run import Run

    name = runtime.prepare(Run(run or preset)).name if runtime.check_format(format_) else run
    cli.stage("03", name, preset, set_, force, strategy)


def _train(base: str, settings: Any, output: Path | None, material: Sequence[Any]) -> None:
    from heimdall_nb.memory import record
    from heimdall_nb.training.finetune import finetune
    from heimdall_nb.training.material import prepare

    if output is None:
        raise BadInput("is missing", "--output", "Give the folder that the adapter is written to.")
    data, validation, replay, ratio, examples = material
    folder = output.parent / f"{output.name}-data"
    learnt, checked = prepare(data, folder, settings.seed, validation, replay, ratio, examples)
    done = finetune(located_or_id(base), learnt, checked, output, settings)
    if int(os.environ.get("RANK", "0")):
        return  # one of several processes tells
    best = next((row for row in done["evaluations"] if row["step"] == done["best_step"]), done["evaluations"][-1])
    right = f", watched answers exact {best['right']:.0%}" if "right" in best else ""
    print(f"best at step {done['best_step']} of {done['planned_steps']}: validation loss {best['loss']}{right}")
    print(f"written: {output} (curves: tensorboard --logdir {output.parent / 'tensorboard'})")
    try:
        found = record.of_training(base, done)
    except BadInput as problem:  # a base whose shape is not known has been trained all the same
        print(f"memory: {done['training_memory_mb']:,.0f} MiB at the peak; there is no estimate ({problem})")
        return
    record.log(output.parent / "LOGBOOK.md", output.name, found)
    estimate, measured = found["estimate_mb"], found["measured_mb"]
    print(f"memory: {measured:,.0f} MiB at the peak, {estimate:,.0f} estimated ({found['error']:+.1%})")


def _evaluate(base: str, output: Path | None, validation: Path | None) -> None:
    from heimdall_nb.training.finetune import evaluate_adapter

    if output is None:
        raise BadInput("is missing", "--output", "Give the folder of an adapter.")
    checked = validation or output.parent / f"{output.name}-data" / "validation.jsonl"
    found = evaluate_adapter(located_or_id(base), output, checked)
    print(json.dumps({name: found[name] for name in ("loss", "right", "asked")}))


def _plan(base: str, settings: Any, run: str, material: Sequence[Any], values: presets.Values) -> None:
    import tempfile

    from heimdall_nb.dataset.example import load
    from heimdall_nb.run import DATA, Run
    from heimdall_nb.training.material import prepare
    from heimdall_nb.training.plan import plan

    data, validation, replay, ratio, examples = material
    prepared = Run(run).path / "artifacts" / "dataset" / "train.jsonl"
    questions = 0
    if data:
        with tempfile.TemporaryDirectory() as folder:
            learnt = load(prepare(data, Path(folder), settings.seed, validation, replay, ratio, examples)[0])
        source = ", ".join(data)
    elif prepared.is_file():
        learnt, source = load(prepared), f"run {run}"
    else:
        learnt, source = (
            load(DATA / "benchmark" / f"{SAMPLE}.jsonl"),
            f"benchmark set {SAMPLE}, as a sample of what is to come",
        )
        planned = values["02"]
        questions = values["01"]["examples"] - planned["validation"] - planned["test"] - planned["fewshot"]
    made = plan(base, learnt, settings, questions)
    print(f"rows: {source}\n\n{made.text()}")


def located_or_id(base: str) -> Path | str:
    """The folder of a base that is on this machine; any other is a hub id. Raises BadInput for a missing folder."""
    from heimdall_nb.models.shipped import located

    return located(base) or base
