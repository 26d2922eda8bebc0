"""Memory, estimated and measured: trainings and GGUF files of random weights on this CPU; writes reports/memory.md.

    python benchmarks/bench_memory.py [--only nano,small] [--output reports/memory.md] [--results FILE.json]

Each point runs in a process of its own, forked from one that has only imported the libraries, so that no point sees
the memory of another. Measured is the largest resident memory of that process. The C library may keep memory that was
given back, so trainings are measured with MALLOC_MMAP_THRESHOLD_ of 64 KiB, where each larger block returns to the
system at once; with --kept also as the C library is by default.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from heimdall_nb import hardware
from heimdall_nb.memory import Training, estimate_inference, estimate_training, shape_of
from heimdall_nb.memory.parts import MIB, markdown
from heimdall_nb.memory.report import page
from heimdall_nb.run import DATA, ROOT, atomic_text, read_json, write_json

NANO = DATA / "models" / "heimdall-nano-base"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
SMALL = {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 2048}
QWEN = SMALL | {"num_key_value_heads": 2, "vocab_size": 32000, "tie_word_embeddings": True}
LLAMA = SMALL | {"num_key_value_heads": 8, "vocab_size": 32000, "tie_word_embeddings": False}
PHI = SMALL | {"num_key_value_heads": 8, "vocab_size": 32064, "tie_word_embeddings": False, "hidden_size": 768}
TINY = QWEN | {"num_hidden_layers": 2, "vocab_size": 4096}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny": ("qwen2", TINY),
    "small Qwen2": ("qwen2", QWEN),
    "small Llama": ("llama", LLAMA),
    "small Phi-3": ("phi3", PHI),
    "Qwen2.5-0.5B": ("qwen2", {}),
}
TRAININGS = [
    ("tiny", {"batch_size": 2, "max_length": 256}),
    ("nano", {"batch_size": 8, "max_length": 512}),
    ("nano", {"batch_size": 4, "max_length": 1024, "load_in_4bit": False}),
    ("small Qwen2", {"batch_size": 2, "max_length": 512}),
    ("small Qwen2", {"batch_size": 2, "max_length": 512, "load_in_4bit": False}),
    ("small Qwen2", {"batch_size": 2, "max_length": 512, "checkpointing": True}),
    ("small Llama", {"batch_size": 1, "max_length": 256, "lora_dropout": 0.05}),
    ("small Phi-3", {"batch_size": 1, "max_length": 256, "load_in_4bit": False}),
    ("Qwen2.5-0.5B", {"batch_size": 1, "max_length": 128, "load_in_4bit": False}),
]
FILES = [
    ("small Qwen2", "F16", 512, 480),
    ("small Qwen2", "Q4_K_M", 8192, 2048),
    ("small Llama", "Q8_0", 4096, 2048),
    ("small Phi-3", "Q5_K_M", 2048, 1024),
    ("Qwen2.5-0.5B", "Q4_K_M", 2048, 600),
    ("Qwen2.5-0.5B", "Q4_K_M", 32768, 600),
]


def main() -> None:
    """Measure the points that are asked for and write the page, or, with --serve, be the process that forks them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="names of models, comma-separated; all without it")
    parser.add_argument("--output", type=Path, default=ROOT / "reports" / "memory.md")
    parser.add_argument("--results", type=Path, help="JSON file of earlier points that are added to, and written again")
    parser.add_argument("--models", type=Path, help="folder for the random models, which is kept")
    parser.add_argument("--kept", action="store_true", help="measure trainings also with the C library's defaults")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(read_json(given.serve))
        return
    wanted = [name.strip() for name in given.only.split(",") if name.strip()]
    with tempfile.TemporaryDirectory(prefix="heimdall-memory-") as temporary:
        folder = given.models or Path(temporary)
        points = [point for point in all_points(folder) if point["model"] in wanted or not wanted and point["report"]]
        found = read_json(given.results) if given.results and given.results.exists() else []
        for kind in ("training", "inference"):
            chosen = [point for point in points if point["kind"] == kind]
            for kept in (False, True) if given.kept and kind == "training" else (False,):
                for point in measure(chosen, kept) if chosen else ():
                    found = merged(found, point)
                    if given.results:
                        write_json(given.results, found)
    if not found:
        sys.exit("no point was measured")
    print(markdown([row(point) for point in found]))
    atomic_text(given.output, page([row(point) for point in found], hardware.machine(), hardware.versions()))
    print(f"written: {given.output}")


def all_points(folder: Path) -> list[dict[str, Any]]:
    """Every point: what is trained or run, with which settings, and in which folder its random weights lie."""
    points = []
    for model, settings in TRAININGS:
        base = str(NANO if model == "nano" else folder / model.replace(" ", "-"))
        points.append({"kind": "training", "model": model, "base": base, "settings": settings})
    for model, kind, context, filled in FILES:
        base = str(folder / model.replace(" ", "-"))
        settings = {"quantisation": kind, "context": context, "filled": filled}
        points.append({"kind": "inference", "model": model, "base": base, "settings": settings})
    return [point | {"report": point["model"] != "tiny"} for point in points]


def merged(old: list[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """The points with a new one, whose figures take the place of earlier ones of the same point."""
    by = {json.dumps([p["kind"], p["model"], p["settings"]]): p for p in old}
    name = json.dumps([new["kind"], new["model"], new["settings"]])
    by[name] = by.get(name, {}) | new
    return sorted(by.values(), key=lambda point: point["kind"] != "training")


def measure(points: list[dict[str, Any]], kept: bool = False) -> Iterator[dict[str, Any]]:
    """Make the models that are missing, run the points in a server process, and yield each with its figures."""
    for point in points:
        make(point)
    with tempfile.TemporaryDirectory() as folder:
        task = write_json(Path(folder) / "points.json", points)
        environment = os.environ | {"OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environment |= {"HEIMDALL_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HEIMDALL_DEVICE": "cpu"}
        if points[0]["kind"] == "training" and not kept:
            environment["MALLOC_MMAP_THRESHOLD_"] = str(2**16)
        command = [sys.executable, __file__, "--serve", str(task)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
            for line in server.stdout or ():
                if line.startswith("POINT "):
                    point = json.loads(line.removeprefix("POINT "))
                    yield (
                        point
                        if not kept
                        else {
                            **{k: point[k] for k in ("kind", "model", "base", "settings")},
                            "kept": point["peak"],
                        }
                    )


def make(point: dict[str, Any]) -> None:
    """Write the point's random weights, as 16 bits as the hub has them, and its GGUF file; once for each model."""
    folder = Path(point["base"])
    if not (folder / "config.json").is_file():
        code = f"import bench_memory; bench_memory.random_model({point['model']!r}, {str(folder)!r})"
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)
    kind = point["settings"].get("quantisation")
    if kind and not gguf_path(point).is_file():
        code = f"import bench_memory; bench_memory.random_gguf({str(folder)!r}, {kind!r})"
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)


def random_model(model: str, folder: str) -> None:
    """A model folder with random weights and the small base's tokenizer, whose ids every vocabulary here has."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from heimdall_nb.model_shapes import configuration

    kind, sizes = MODELS[model]
    ends = {"pad_token_id": 2046, "eos_token_id": 2045, "bos_token_id": None}
    config = (
        AutoConfig.for_model(kind, max_position_embeddings=32768, **sizes | ends)
        if sizes
        else configuration("Qwen/Qwen2.5-0.5B-Instruct")
    )
    torch.manual_seed(7)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    for name in TOKENIZER:
        shutil.copy(NANO / name, folder)


def random_gguf(folder: str, kind: str) -> None:
    """The folder's model as GGUF files: F16, and `kind` made from it."""
    from heimdall_nb.export.gguf_file import write_gguf
    from heimdall_nb.export.quantise import quantise

    whole = Path(folder) / "F16.gguf"
    if not whole.is_file():
        write_gguf(folder, whole)
    if kind != "F16":
        quantise(whole, Path(folder) / f"{kind}.gguf", kind)


def gguf_path(point: dict[str, Any]) -> Path:
    """Where a point's GGUF file lies."""
    return Path(point["base"]) / f"{point['settings']['quantisation']}.gguf"


def serve(points: list[dict[str, Any]]) -> None:
    """Import what the points need, then fork a process for each and print what it found as a line of JSON."""
    hardware.die_with_parent()
    run = _import_training() if points[0]["kind"] == "training" else _import_inference()
    pages = file_pages()
    for point in points:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for address in pages:
                    ctypes.string_at(address, 1)
                Path("/proc/self/clear_refs").write_text("5")  # begin the largest resident memory anew
                started = time.monotonic()
                print(f"{point['model']}: {point['settings']}", file=sys.stderr, flush=True)
                base = _resident("VmRSS")
                found = run(point)
                figures = {"peak": _resident("VmHWM"), "libraries": base, "seconds": time.monotonic() - started}
                print("POINT " + json.dumps(point | found | figures), flush=True)
                status = 0
            finally:
                os._exit(status)
        os.waitpid(child, 0)


def file_pages() -> list[int]:
    """The addresses of this process's resident pages of files: a fork has them no more, until it touches them."""
    found: list[int] = []
    size = os.sysconf("SC_PAGESIZE")
    with open("/proc/self/pagemap", "rb") as pagemap:
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            addresses, rights, *_, path = line.split(maxsplit=5) + [""] * (line.count("/") == 0)
            if not path.startswith("/") or not rights.startswith("r"):
                continue
            first, last = (int(address, 16) // size for address in addresses.split("-"))
            pagemap.seek(8 * first)
            entries = np.frombuffer(pagemap.read(8 * (last - first)), dtype=np.uint64)
            found += [size * (first + int(at)) for at in np.flatnonzero(entries >> np.uint64(63))]
    return found


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def _import_training() -> Any:
    import bitsandbytes  # noqa: F401
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import torch
    import trl
    from transformers.models.llama import modeling_llama  # noqa: F401
    from transformers.models.phi3 import modeling_phi3  # noqa: F401
    from transformers.models.qwen2 import modeling_qwen2  # noqa: F401
    from transformers.models.qwen3 import modeling_qwen3  # noqa: F401

    from heimdall_nb.training import trainer  # noqa: F401

    assert trl.SFTTrainer and trl.SFTConfig
    torch.set_num_threads(1)
    return train


def _import_inference() -> Any:
    from heimdall_nb.models import llamacpp  # noqa: F401

    return answer


def train(point: dict[str, Any], model: Any = None) -> dict[str, Any]:
    """Two steps, one evaluation and a checkpoint of the course's own training, on rows of the full length."""
    from heimdall_nb.training.config import FinetuneConfig
    from heimdall_nb.training.report import quiet
    from heimdall_nb.training.trainer import build_trainer

    quiet()
    knobs = {"lora_rank": 16, "epochs": 1.0, "evaluations": 1, "questions_per_row": 1, "precision": "auto"}
    config = FinetuneConfig(**knobs | point["settings"])
    rows = full_rows(point["base"], config.max_length, point.get("steps", 2) * config.batch_size * config.accumulation)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        trainer = build_trainer(point["base"], rows, rows[:1], place / "points", place / "board", config, model)
        times = step_times(trainer)
        trainer.train()
    seconds = [end - start for start, end in times][1:] or [end - start for start, end in times]
    return {"precision": config.arithmetic(trainer.args.device.type), "step_seconds": statistics.median(seconds)}


def step_times(trainer: Any) -> list[list[float]]:
    """A list that training fills with the start and the end of each step, in seconds."""
    import torch
    from transformers import TrainerCallback

    times: list[list[float]] = []

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.monotonic()

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            times.append([now()])

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times[-1].append(now())

    trainer.add_callback(Clock())
    return times


def full_rows(base: str, length: int, count: int) -> list[dict[str, Any]]:
    """Conversations that are a few tokens shorter than `length`: padded to it, so that there is a mask."""
    from heimdall_nb.models.transformers_model import load_tokenizer
    from heimdall_nb.prompts import conversation, render

    tokenizer, words = load_tokenizer(base), length
    while True:
        talk = conversation("What is the name of it?", "x " * words, answer="MATCH (n) RETURN n")
        size = len(tokenizer(render(talk, generation_prompt=False))["input_ids"])
        if length - 40 < size < length:
            return [{"messages": talk}] * count
        words += (length - 20 - size) // 2 or (1 if size < length else -1)


def answer(point: dict[str, Any]) -> dict[str, Any]:
    """Load the GGUF file as the course does, read a prompt of about `filled` tokens, and answer with four."""
    from heimdall_nb.models.llamacpp import LlamaCppModel

    settings = point["settings"]
    model = LlamaCppModel(gguf_path(point), context=settings["context"], threads=1)
    words = 64 * (settings["filled"] - 40) // len(model.tokens("x " * 64))
    found = model.complete([[{"role": "user", "content": "x " * words}]], max_new_tokens=4)
    if not found[0].new_tokens:
        raise ValueError(f"the prompt of {found[0].prompt_tokens} tokens was not read")
    return {"prompt_tokens": found[0].prompt_tokens}


def row(point: dict[str, Any]) -> dict[str, Any]:
    """A point as a line of the report: what, estimate and measurement in MiB, error."""
    settings = point["settings"]
    if point["kind"] == "training":
        shape = shape_of(str(NANO)) if point["model"] == "nano" else _shape(point["model"])
        knobs = {k: v for k, v in settings.items()} | {"precision": point["precision"], "lora_rank": 16}
        training = Training.of(knobs)
        estimate = estimate_training(shape, training)
        method = ("QLoRA" if training.load_in_4bit else "LoRA") + (", checkpointing" if training.checkpointing else "")
        method += f", {point['precision']}"
        length = f"{training.batch_size} × {training.max_length}"
    else:
        estimate = estimate_inference(_shape(point["model"]), settings["quantisation"], settings["context"])
        method, length = settings["quantisation"], f"context {settings['context']}"
    peak = point["peak"]
    return {
        "model": point["model"],
        "method": method,
        "length": length,
        "largest moment": estimate.moment,
        "estimate, MiB": round(estimate.bytes / MIB),
        "measured, MiB": round(peak / MIB),
        "error": f"{(estimate.bytes - peak) / peak:+.1%}",
        "with what the C library keeps, MiB": round(point["kept"] / MIB) if "kept" in point else "-",
    }


def _shape(model: str) -> Any:
    kind, sizes = MODELS[model]
    if not sizes:
        return shape_of("Qwen/Qwen2.5-0.5B-Instruct")
    from heimdall_nb.memory.shape import shape_from

    names = {"hidden_size": "hidden", "num_hidden_layers": "layers", "num_attention_heads": "heads"}
    names |= {"intermediate_size": "ffn", "num_key_value_heads": "kv_heads", "vocab_size": "vocabulary"}
    names |= {"tie_word_embeddings": "tied"}
    found = {names[theirs]: value for theirs, value in sizes.items()}
    return replace(shape_from(model, found | {"architecture": kind, "context": 32768}))


if __name__ == "__main__":
    main()
