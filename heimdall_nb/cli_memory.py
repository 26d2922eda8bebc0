"""The verb `estimate`: what a training and its file need in memory, before anything is loaded."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from heimdall_nb import presets
from heimdall_nb.errors import BadInput


def estimate(
    preset: Annotated[str, typer.Option(help="preset of data/presets.yaml")] = "nano",
    strategy: Annotated[str, typer.Option(help="memory, speed or quality; see CONFIG.md")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="knob=value; repeatable; see CONFIG.md")] = None,
    model: Annotated[str, typer.Option(help="folder, hub id or GGUF file instead of the preset's base")] = "",
    qlora: Annotated[bool | None, typer.Option("--qlora/--no-qlora", help="base in 4 bits, or 16 or 32")] = None,
    batch_size: Annotated[int, typer.Option(min=0, help="rows at once; 0 for the preset's")] = 0,
    max_seq_length: Annotated[int, typer.Option(min=0, help="tokens of a row; 0 for the preset's")] = 0,
    context: Annotated[int, typer.Option(min=1, help="tokens that the GGUF file is run with")] = 2048,
    quantisation: Annotated[str, typer.Option(help="of the GGUF file: F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, …")] = "Q4_K_M",
    cache: Annotated[str, typer.Option(help="numbers of the key-value cache: F16, Q8_0, Q4_0")] = "F16",
    flash: Annotated[bool, typer.Option("--flash/--no-flash", help="flash attention, as llama.cpp does it")] = True,
    optimizer: Annotated[str, typer.Option(help="adamw, adamw_8bit or paged_adamw_8bit")] = "adamw",
    device: Annotated[str, typer.Option(help="cuda or cpu; empty for this machine's")] = "",
    memory: Annotated[float, typer.Option(min=0, help="GiB of the machine; 0 for this machine's")] = 0.0,
    hardware: Annotated[str, typer.Option(help="a card of data/hardware.yaml, e.g. 'RTX 3060'")] = "",
    tables: Annotated[bool, typer.Option("--tables", help="tables of hardware, contexts, uses, targets")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Estimate the memory of a preset's training and of its GGUF file, part by part, and recommend a batch size."""
    if tables:
        from heimdall_nb.memory.tables import all_tables

        print(all_tables())
        return
    from heimdall_nb.memory import estimate_inference, estimate_training, recommended_batch, shape_of
    from heimdall_nb.memory.parts import GIB
    from heimdall_nb.memory.training import Training

    knobs = presets.override(presets.with_strategy(presets.preset(preset), strategy), set_ or [])["03"]
    given = {"load_in_4bit": qlora, "batch_size": batch_size or None, "max_length": max_seq_length or None}
    where, room = _machine(device, memory, hardware)
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    training = Training.of(knobs, where=where, precision=_precision(knobs, where), optimizer=optimizer, **changes)
    shape = shape_of(model or knobs["base"])
    if max(context, training.max_length) > shape.context:
        what = f"{max(context, training.max_length)} tokens are more than the {shape.context} it is made for"
        raise BadInput(what, shape.name, "Give smaller --context and --max-seq-length.")
    trained = estimate_training(shape, training)
    run = estimate_inference(shape, quantisation, context, cache.upper(), flash, where=where)
    rows = training.batch_size * training.accumulation
    fits = recommended_batch(shape, training, room, rows)
    if as_json:
        advice = {"batch_size": fits[0], "accumulation": fits[1]} if fits else None
        parts = {e.what: e.rows() for e in (trained, run)}
        figures = {"training_bytes": trained.bytes, "inference_bytes": run.bytes, "memory_bytes": round(room)}
        print(json.dumps(figures | {"recommended": advice, "parts": parts}, indent=2, ensure_ascii=False))
        return
    named = hardware or ("this machine" if not memory else "the machine given")
    print(f"Training\n{trained.text()}\n\nGGUF file\n{run.text()}\n")
    if fits:
        print(f"Recommended for {named} ({room / GIB:.1f} GiB, {where}): batch_size={fits[0]} accumulation={fits[1]}")
    else:
        from heimdall_nb.memory.machine import figures as known

        smaller = "a smaller preset" if preset != known()["ladder"][0] else "a shorter row"
        print(f"One row does not fit into {named} ({room / GIB:.1f} GiB). Try --strategy memory, or {smaller}.")


def _machine(device: str, memory: float, hardware: str) -> tuple[str, float]:
    """(where, bytes) of the machine that is asked about."""
    from heimdall_nb.memory import machine
    from heimdall_nb.memory.parts import GIB

    where, room = machine.here()
    if hardware:
        spec = machine.card(hardware)
        where, room = ("cuda" if spec["kind"] == "cuda" else "cpu"), machine.usable(spec)
    return device or where, memory * GIB if memory else room


def _precision(knobs: dict[str, Any], where: str) -> str:
    """The number format of the arithmetic: the preset's, or the one that training would choose."""
    if knobs.get("precision", "auto") != "auto":
        return knobs["precision"]
    if where == "cuda":
        return "bf16"
    from heimdall_nb.hardware import fast_bf16

    return "bf16" if fast_bf16() else "fp32"
