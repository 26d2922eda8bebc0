"""Answers kept in a file: what was asked once is not asked again, also after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from heimdall_nb.errors import BadInput
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.progress import track
from heimdall_nb.prompts import Conversation, render
from heimdall_nb.run import atomic_text

BATCH = 16

_FENCE = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)(?:```|\Z)", re.DOTALL)


def query_of(text: str) -> str:
    """The query in an answer: the contents of its first code fence, or all of it; without a last semicolon."""
    fenced = _FENCE.search(text)
    return (fenced[1] if fenced else text).strip().rstrip(";").rstrip()


def prompt_key(conversation: Conversation, *settings: object) -> str:
    """A hash of all that an answer depends on: the rendered prompt and the settings it is asked with."""
    return hashlib.sha256("\0".join([*map(str, settings), render(conversation)]).encode()).hexdigest()[:20]


def ask(
    model: LanguageModel,
    conversations: Sequence[Conversation],
    path: Path,
    ids: Sequence[str],
    max_new_tokens: int = 192,
    version: str = "",
    temperature: float = 0.0,
    seeds: Sequence[int] = (),
    grammars: Sequence[str] = (),
) -> list[Completion]:
    """The model's answers to `conversations`, in order; `ids` name them in the file.

    Answers go to the JSONL file `path` as they come, and answers that it holds to the same prompts are taken from it.
    `version` names the model's contents (a hash of its file): another version is asked anew. At a `temperature` above
    0, answers are drawn, each with its seed of `seeds`; `grammars` hold a GBNF grammar for each conversation. Raises
    BadInput for a file with a line that is no answer; a last line torn by a kill is dropped.
    """
    hows = [
        (seeds[k] if temperature > 0 and seeds else 0, grammars[k] if grammars else "")
        for k in range(len(conversations))
    ]
    keys = [
        prompt_key(conversation, version, max_new_tokens, *_extras(temperature, *how))
        for conversation, how in zip(conversations, hows, strict=True)
    ]
    known = {record["key"]: _completion(record) for record in stored(path, {"key", *Completion.__dataclass_fields__})}
    missing = list({key: k for k, key in reversed(list(enumerate(keys))) if key not in known}.values())
    # Prompts that begin alike are asked together, so that a model with a prefix cache reads the schema once.
    missing.sort(key=lambda k: (hows[k], render(conversations[k][:-1], generation_prompt=False), k))
    for batch in track(_batches(missing, hows), f"asking {model.name}"):
        seed, grammar = hows[batch[0]]
        settings = {"temperature": temperature, "seed": seed} if temperature > 0 else {}
        settings |= {"grammar": grammar} if grammar else {}
        answers = model.complete([conversations[k] for k in batch], max_new_tokens=max_new_tokens, **settings)
        known.update((keys[k], answer) for k, answer in zip(batch, answers, strict=True))
        append(path, [_record(ids[k], keys[k], known[keys[k]]) for k in batch])
    records = {key: _record(identity, key, known[key]) for identity, key in zip(ids, keys, strict=True)}
    rewrite(path, records.values())
    return [known[key] for key in keys]


def _extras(temperature: float, seed: int, grammar: str) -> tuple[str, ...]:
    """What a key holds beside the usual settings; nothing for a greedy answer without a grammar."""
    drawn = (f"temperature {temperature}", f"seed {seed}") if temperature > 0 else ()
    return drawn + ((f"grammar {grammar}",) if grammar else ())


def _batches(missing: Sequence[int], hows: Sequence[tuple[int, str]]) -> list[list[int]]:
    """Batches of places that are asked in the same way."""
    groups = [list(group) for _, group in groupby(missing, key=lambda k: hows[k])]
    return [group[start : start + BATCH] for group in groups for start in range(0, len(group), BATCH)]


def _record(identity: str, key: str, answer: Completion) -> dict[str, Any]:
    return {"id": identity, "key": key} | asdict(answer)


def _completion(record: dict[str, Any]) -> Completion:
    return Completion(**{name: record[name] for name in Completion.__dataclass_fields__})


def append(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Add records to a JSONL file, safely on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        handle.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        handle.flush()
        os.fsync(handle.fileno())


def rewrite(path: Path, records: Any) -> None:
    """Replace a JSONL file by these records: the ones of this run, in its order."""
    atomic_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def stored(path: Path, fields: set[str]) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file; a torn last line is cut off, so that appending goes on behind the line before.

    Raises BadInput for a line that is no object with at least `fields`.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    for number, line in enumerate(whole.decode("utf-8", errors="replace").split("\n")[:-1], start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if not isinstance(record, dict) or not fields <= set(record):
            raise BadInput("is not an answer", f"{path}, line {number}", "Delete the file and ask again.")
        yield record
