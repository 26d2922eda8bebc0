"""A sequence's folder: a record of each prompt, a log of each try, and where a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.jsonl import Fault, records
from heimdall_nb.errors import BadInput
from heimdall_nb.models.answers import append, stored
from heimdall_nb.run import sha256
from heimdall_nb.sequence.settings import Settings

RESULTS, LOG, SUMMARY = "results.jsonl", "log.jsonl", "summary.json"
FIELDS = {"item", "key", "outcome", "text", "tokens", "new_tokens", "prompt_tokens", "attempts", "summary"}
# They say how fast and how patiently, not what is asked: a run may go on with others.
HOW = {"n_gpu_layers", "n_batch", "n_ubatch", "flash_attn", "offload_kqv", "retries", "timeout"}


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file: JSONL with the field `prompt` (or `input`), or one a line; lines with # are comments.

    Raises BadInput, with file and line, for what cannot be read, and for a file without a prompt.
    """
    if path.suffix == ".jsonl":
        found = [_prompt(path, line, record) for line, record in records(path)]
    else:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as problem:
            reason = getattr(problem, "strerror", None) or "is not UTF-8"
            raise BadInput(f"cannot be read ({reason})", str(path), "Give a text file or JSONL.") from None
        found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise BadInput("holds no prompt", str(path), "Give a prompt a line, or JSONL with the field prompt.")
    return found


def _prompt(path: Path, line: int, record: Any) -> str:
    if isinstance(record, Fault):
        raise BadInput(record.what, record.located(path), "A prompt is a JSON object with the field prompt.")
    text = record.get("prompt", record.get("input")) if isinstance(record, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise BadInput("has no text in the field prompt", f"{path}, line {line}", "Give one.")
    return text.strip()


def keys(model: Path, settings: Settings, system: str, seed: int, prompts: Sequence[str]) -> list[str]:
    """A hash for each prompt of all that its answer depends on: model, settings, and all prompts up to it."""
    asked = {name: value for name, value in asdict(settings).items() if name not in HOW}
    key = hashlib.sha256(json.dumps([sha256(model), asked, system, seed]).encode()).hexdigest()
    found = []
    for prompt in prompts:
        key = hashlib.sha256(f"{key}\0{prompt}".encode()).hexdigest()[:20]
        found.append(key)
    return found


class Store:
    """The folder's files. `known` are the records of prompts that were answered before, in order."""

    def __init__(self, folder: Path, wanted: Sequence[str], restart: bool = False) -> None:
        self.folder = folder
        if restart:
            _set_aside(folder)
        self.known = list(stored(folder / RESULTS, FIELDS))
        if [record["key"] for record in self.known] != list(wanted[: len(self.known)]):
            what = "holds answers to other prompts, or of another model or other settings"
            raise BadInput(what, str(folder), "Choose another --output, or set them aside with --restart.")
        for _ in stored(folder / LOG, set()):  # cuts off a line that a kill tore
            pass

    def add(self, record: dict[str, Any]) -> None:
        """Write the record of a prompt; it is safe on the disk when this returns."""
        append(self.folder / RESULTS, [record])

    def log(self, item: int, event: str, **what: Any) -> None:
        """Write what happened to a prompt, with the time."""
        append(self.folder / LOG, [{"time": datetime.now(UTC).isoformat(), "item": item, "event": event} | what])


def _set_aside(folder: Path) -> None:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for name in (RESULTS, LOG, SUMMARY):
        if (folder / name).exists():
            (folder / name).rename(folder / f"{stamp}-{name}")
