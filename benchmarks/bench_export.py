"""How much memory the export needs beside the size of its file, at the true shape of a real model, random weights.

    python benchmarks/bench_export.py [--model Qwen/Qwen2.5-1.5B-Instruct] [--kind F16] [--quantise Q4_K_M]

Each step runs in a process of its own: making the model folder (not measured), writing the GGUF file, and, if asked
for, quantising it. The peak is the largest resident memory of that process (VmHWM), which counts the pages of files
that it has mapped as well; the libraries alone (torch, transformers, gguf) are measured apart. The goal: a peak below
1.5 times the file for a model of 1.5 billion weights. Needs three times the file of free disk. The exit status is 1
when the goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from heimdall_nb import hardware

GOAL = 1.5  # times the file
TOKENS = 151_643  # tokens of the real tokenizer without its special ones


def make(base: str, folder: Path) -> None:
    """Write a model folder in bfloat16 with random weights, and a tokenizer with as many tokens as the real one."""
    import torch
    from safetensors.torch import save_file

    from heimdall_nb.model_shapes import empty_model

    model = empty_model(base)  # on the meta device
    model.config.dtype = "bfloat16"
    torch.manual_seed(7)
    shapes = {name: tensor.shape for name, tensor in model.named_parameters()}
    weights = {name: torch.empty(size, dtype=torch.bfloat16).normal_(std=0.02) for name, size in shapes.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    tokenizer().save_pretrained(folder)
    model.config.save_pretrained(folder)


def tokenizer() -> Any:
    """A Qwen2 tokenizer of full size: every byte, and made-up merges of what is there until it is full."""
    from tokenizers import pre_tokenizers
    from transformers import AddedToken, Qwen2Tokenizer

    from heimdall_nb import prompts

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {byte: number for number, byte in enumerate(alphabet)}
    merges = []
    pairs = ((left, right) for left in [*alphabet, *(a + b for a in alphabet for b in alphabet)] for right in alphabet)
    for left, right in pairs:
        if len(vocabulary) == TOKENS:
            break
        if left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
            merges.append((left, right))
    special = {"unk_token": None, "eos_token": prompts.TURN_END, "pad_token": prompts.END_OF_TEXT}
    made = Qwen2Tokenizer(vocab=vocabulary, merges=merges, **special)
    made.add_tokens([AddedToken(prompts.TURN_START, special=True)], special_tokens=True)
    made.chat_template = prompts.chat_template()
    return made


def libraries() -> None:
    """What writing a file needs in memory before it reads a model."""
    import heimdall_nb.export.gguf_file  # noqa: F401


def write(folder: Path, output: Path, kind: str) -> None:
    from heimdall_nb.export.gguf_file import write_gguf

    write_gguf(folder, output, kind)


def quantise(source: Path, output: Path, kind: str) -> None:
    from heimdall_nb.export.quantise import quantise as smaller

    smaller(source, output, kind)


STEPS = {"make": make, "libraries": libraries, "write": write, "quantise": quantise}
PATHS = {"make": (1,), "libraries": (), "write": (0, 1), "quantise": (0, 1)}  # which arguments are paths


def step(name: str, *arguments: str) -> dict[str, float]:
    """Run a step in a fresh process; its peak of memory in MB (1 MB = 1,000,000 bytes) and its seconds."""
    command = [sys.executable, __file__, "--step", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HEIMDALL_PLAIN": "1"})
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _step(name: str, arguments: list[str]) -> None:
    started = time.perf_counter()
    STEPS[name](*(Path(a) if k in PATHS[name] else a for k, a in enumerate(arguments)))
    found = {"peak_mb": hardware.peak_memory_mb() * 2**20 / 1e6, "seconds": time.perf_counter() - started}
    print(json.dumps(found))


def main(base: str, kind: str, smaller: str, parent: str | None) -> bool:
    """Print the table; whether the writing of the file reached the goal."""
    with tempfile.TemporaryDirectory(prefix="heimdall-bench-export-", dir=parent) as name:
        folder, output = Path(name) / "model", Path(name) / f"{kind}.gguf"
        folder.mkdir()
        print(f"{base}, {kind}; {hardware.cpu_model()}, load {os.getloadavg()[0]:.1f}")
        step("make", base, str(folder))
        stored = (folder / "model.safetensors").stat().st_size / 1e6
        libraries = step("libraries")["peak_mb"]
        print(f"model folder {stored:,.0f} MB in bf16; the libraries alone {libraries:,.0f} MB\n")
        print(f"{'':<10}{'file, MB':>10}{'peak, MB':>10}{'times':>8}{'without libraries':>19}{'seconds':>9}")
        runs = [(kind, output, step("write", str(folder), str(output), kind))]
        if smaller:
            target = Path(name) / f"{smaller}.gguf"
            runs.append((smaller, target, step("quantise", str(output), str(target), smaller)))
        for label, file, found in runs:
            size, peak = file.stat().st_size / 1e6, found["peak_mb"]
            times = f"{peak / size:>8.2f}{(peak - libraries) / size:>19.2f}"
            print(f"{label:<10}{size:>10,.0f}{peak:>10,.0f}{times}{found['seconds']:>9.1f}")
        reached = runs[0][2]["peak_mb"] < GOAL * output.stat().st_size / 1e6
        print(f"\ngoal, a peak below {GOAL} times the file: {'reached' if reached else 'missed'}")
        if smaller:
            print("(quantising maps the file that it reads, whose pages count as resident but can be dropped any time)")
    return reached


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="Qwen/Qwen2.5-0.5B-Instruct", help="a Qwen2.5 of data/models.yaml")
    parser.add_argument("--kind", choices=("F16", "BF16", "F32"), default="F16")
    parser.add_argument("--quantise", default="", help="and this kind from the file, e.g. Q4_K_M")
    parser.add_argument("--folder", help="where the files go meanwhile; the system's temporary folder by default")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        _step(given.step[0], given.step[1:])
    else:
        sys.exit(0 if main(given.model, given.kind, given.quantise, given.folder) else 1)
