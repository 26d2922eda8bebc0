"""Peak memory and step time of every preset on a GPU, with random weights, in one call of at most nine minutes.

    python benchmarks/memory_gpu.py [--presets heimdall,phi3_mini] [--seconds 540] [--output DIR] [--cpu --tiny]

Each preset's base is built from its configuration with random weights, which need no download and as much memory as
real ones, and is trained for a few steps by the course's own trainer: with the preset's batch, row length, rank and
checkpointing, in 4 bits and, where that fits, in 16. Each measurement has a process of its own and a share of the time
that is left. Writes memory_gpu.json after each of them, and memory_gpu.md. With --cpu --tiny the same code runs small
shapes on the CPU: it shows that the script works, its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_memory import NANO, train

from heimdall_nb import hardware, presets
from heimdall_nb.memory import Training, estimate_training, shape_of
from heimdall_nb.memory.parts import GIB, MIB, markdown
from heimdall_nb.memory.shape import Shape, shape_from
from heimdall_nb.run import atomic_text, write_json

STEPS = 4  # the first also warms up; the others are timed
TINY = {"layers": 2, "hidden": 128, "heads": 4, "kv_heads": 2, "ffn": 256, "vocabulary": 4096}
KNOBS = (
    "batch_size",
    "max_length",
    "load_in_4bit",
    "lora_rank",
    "lora_dropout",
    "checkpointing",
    "double_quantisation",
)


def main() -> None:
    """Measure all tasks that the time allows, one process each, or, with --task, be such a process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", default="", help="comma-separated; all but nano and smoke without it")
    parser.add_argument("--seconds", type=float, default=540, help="for all together")
    parser.add_argument("--output", type=Path, default=Path(os.environ.get("OUT", "reports/gpu")))
    parser.add_argument("--cpu", action="store_true", help="on the CPU")
    parser.add_argument("--tiny", action="store_true", help="small shapes in place of the presets'")
    parser.add_argument("--task", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        print("RESULT " + json.dumps(measured(**json.loads(given.task))))
        return
    ended = time.monotonic() + given.seconds
    tasks, found = all_tasks(given.presets, given.tiny, given.cpu), []
    for number, task in enumerate(tasks):
        left = ended - time.monotonic()
        if left < 20:
            found.append({"preset": task["preset"], "settings": task["settings"], "failed": "no time left"})
            continue
        print(f"{task['preset']}: {task['settings']} ({left:.0f} s left)", file=sys.stderr, flush=True)
        found.append(in_child(task, min(left, max(60.0, 3 * left / (len(tasks) - number)))))
        write_json(given.output / "memory_gpu.json", {"machine": hardware.machine(), "points": found})
    head = "# Memory and step time on a GPU, random weights\n\n" + ", ".join(
        f"{name} {value}" for name, value in hardware.machine().items()
    )
    atomic_text(given.output / "memory_gpu.md", f"{head}\n\n{markdown([row(point) for point in found])}\n")
    print(markdown([row(point) for point in found]))


def all_tasks(names: str, tiny: bool, cpu: bool) -> list[dict[str, Any]]:
    """What is measured: each preset in 4 bits, then each in 16."""
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    chosen = chosen or [name for name in presets.names() if name not in ("nano", "smoke")]
    tasks = []
    for four in (True, False):
        for name in chosen:
            knobs = presets.preset(name)["03"]
            settings = {knob: knobs[knob] for knob in KNOBS} | {"load_in_4bit": four}
            if tiny:
                settings |= {"batch_size": 2, "max_length": 128, "lora_rank": 4}
            tasks.append({"preset": name, "base": knobs["base"], "settings": settings, "tiny": tiny, "cpu": cpu})
    return tasks


def in_child(task: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The task's figures from a process of its own; `failed` has the reason where there are none."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if task["cpu"]:
        environment |= {"HEIMDALL_DEVICE": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    start = {"preset": task["preset"], "settings": task["settings"]}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        return start | {"failed": f"took more than {seconds:.0f} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return start | {"failed": reason[:200]}
    return start | json.loads(lines[-1][7:])


def measured(preset: str, base: str, settings: dict[str, Any], tiny: bool, cpu: bool) -> dict[str, Any]:
    """Build the base, train it, and return peaks in bytes and the seconds of a step, with the estimate beside them."""
    import torch

    where = "cpu" if cpu else "cuda"
    if not cpu and not torch.cuda.is_available():
        sys.exit("no CUDA device: give --cpu --tiny to try the script")
    shape = smaller(shape_of(base)) if tiny else replace(shape_of(base), chat_tokens=0)  # random tokens lack none
    free = 0 if cpu else torch.cuda.mem_get_info()[0]
    model = random_base(base, shape, settings, where)
    held = 0 if cpu else torch.cuda.memory_allocated()
    if not cpu:
        torch.cuda.reset_peak_memory_stats()
    found = train({"base": str(NANO), "settings": settings, "steps": STEPS}, model)
    training = Training.of(settings, precision=found["precision"], where=where)
    estimate = estimate_training(shape, training)
    peak = hardware.peak_memory_mb() * MIB if cpu else torch.cuda.max_memory_allocated()
    return {
        "estimate": estimate.bytes,
        "estimate_without_runtime": estimate.bytes - estimate.part("runtime"),
        "parts": {part.name: part.bytes for part in estimate.parts},
        "weights_held": held,
        "peak": peak,
        "reserved": 0 if cpu else torch.cuda.max_memory_reserved(),
        "context": 0 if cpu else free - torch.cuda.mem_get_info()[0] - torch.cuda.memory_reserved(),
        "step_seconds": found["step_seconds"],
        "tokens_a_second": training.tokens / found["step_seconds"],
        "precision": found["precision"],
    }


def smaller(shape: Shape) -> Shape:
    """The shape with few, narrow layers."""
    return shape_from(shape.name, TINY | {"architecture": shape.architecture, "tied": shape.tied, "context": 2048})


def random_base(base: str, shape: Shape, settings: dict[str, Any], where: str) -> Any:
    """The model with random weights on its device: each block is quantised as soon as it is there."""
    import torch
    from transformers import AutoModelForCausalLM

    from heimdall_nb.model_shapes import FIELDS, configuration
    from heimdall_nb.training.config import FinetuneConfig

    precision = FinetuneConfig(**settings).arithmetic(where)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    config = configuration(base)
    for ours, theirs in FIELDS.items():
        if ours != "rms_eps":
            setattr(config, theirs, getattr(shape, ours))
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: shape.layers]
    config.pad_token_id = 0
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if settings["load_in_4bit"]:
        quantise_empty(model, dtype, settings["double_quantisation"], where)
        model.is_loaded_in_4bit = True  # what loading a quantised model sets, and the trainer asks for
    fill(model, where)
    return model


def quantise_empty(model: Any, dtype: Any, double: bool, where: str) -> None:
    """Put random NF4 layers in the place of the linear layers, all but the output, one after the other."""
    import bitsandbytes as bnb
    import torch

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, torch.nn.Linear) or name == "lm_head":
                continue
            four = bnb.nn.Linear4bit(
                child.in_features, child.out_features, child.bias is not None, dtype, double, "nf4", device="meta"
            )
            values = torch.randn(child.weight.shape, dtype=dtype, device=where) * 0.02
            four.weight = bnb.nn.Params4bit(values, requires_grad=False, compress_statistics=double, quant_type="nf4")
            four.weight = four.weight.to(where)
            if child.bias is not None:
                four.bias = torch.nn.Parameter(torch.zeros(child.out_features, dtype=dtype, device=where), False)
            four.support_avx512bf16_for_cpu = False
            setattr(parent, name, four)


def fill(model: Any, where: str) -> None:
    """Give what is still without values random ones, on the device; what is tied stays tied."""
    import torch

    rotary = model.model.rotary_emb
    model.model.rotary_emb = type(rotary)(model.config).to(where)  # its frequencies are computed, not random
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta:
                values = torch.empty(parameter.shape, dtype=parameter.dtype, device=where).normal_(0, 0.02)
                setattr(module, name, torch.nn.Parameter(values if parameter.ndim > 1 else values + 1, False))
    model.tie_weights()


def row(point: dict[str, Any]) -> dict[str, Any]:
    """A point as a line of the table, in GiB and seconds."""
    settings = point["settings"]
    start = {
        "preset": point["preset"],
        "method": "QLoRA" if settings["load_in_4bit"] else "LoRA",
        "rows": f"{settings['batch_size']} × {settings['max_length']}",
    }
    if "failed" in point:
        columns = ("estimate, GiB", "peak, GiB", "error", "reserved, GiB", "context, GiB", "s a step", "tokens/s")
        return start | dict.fromkeys(columns, "-") | {"note": point["failed"]}
    known = point["estimate_without_runtime"] if point["reserved"] else point["estimate"]
    return start | {
        "estimate, GiB": round(known / GIB, 2),
        "peak, GiB": round(point["peak"] / GIB, 2),
        "error": f"{(known - point['peak']) / point['peak']:+.1%}",
        "reserved, GiB": round(point["reserved"] / GIB, 2),
        "context, GiB": round(point["context"] / GIB, 2),
        "s a step": round(point["step_seconds"], 2),
        "tokens/s": round(point["tokens_a_second"]),
        "note": point["precision"],
    }


if __name__ == "__main__":
    main()
