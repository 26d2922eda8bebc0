"""Questions, schemas and answers out of a file of any of three forms, to count their tokens.

examples  JSONL with the course's fields, or with other usual names for them
log       a query log or Cypher text, as `heimdall add-queries` reads it: each query is an answer without question
lines     plain text: each line that is not blank is a question
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.jsonl import Fault, opened, records
from heimdall_nb.dataset.query_log import read_log
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS

FORMS = ("auto", "examples", "log", "lines")
NAMES = {  # our field: the names that files give it, the first that holds text counts
    "input": ("input", "question", "prompt", "instruction"),
    "output": ("output", "answer", "completion", "response", "cypher", "sql"),
    "schema": ("schema", "context"),
}
SAMPLE = 200  # entries that decide what a text file is


@dataclass
class Items:
    """What a file holds: examples with their lines (1-based), and the lines that could not be used, with the reason."""

    form: str
    examples: list[Example] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, **texts: str) -> None:
        """Append an example; `texts` are fields of `Example`."""
        given = {"instruction": TASKS["cypher"], "input": "", "output": "", "category": "", "context_size": ""} | texts
        self.examples.append(Example(**given))
        self.lines.append(line)


def read(path: Path | str, form: str = "auto", schema: str = "") -> Items:
    """The items of a file; `schema` stands for that of items that have none.

    Raises BadInput for an unknown form, and a file that cannot be read or holds no item.
    """
    path = Path(path)
    if form not in FORMS:
        raise BadInput(f"{form!r} is no form", "--form", f"Choose one of: {', '.join(FORMS)}.")
    found = Items(form if form != "auto" else form_of(path))
    {"examples": _examples, "log": _queries, "lines": _questions}[found.form](path, found, schema)
    if not found.examples:
        why = f" (line {found.skipped[0][0]}: {found.skipped[0][1]})" if found.skipped else ""
        raise BadInput(f"holds nothing to count as {found.form}{why}", str(path), "Give --form, or another file.")
    return found


def form_of(path: Path) -> str:
    """What a file is, by its beginning: JSON with a question or an answer, mostly queries, or lines of text."""
    if not _compressed(path):
        with opened(path) as handle:
            first = next((line for line in handle if line.strip()), b"")
        if first.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
            return "log" if _is_log(first) else "examples"
    entries = list(islice(read_log(path), SAMPLE))
    return "log" if entries and 2 * sum(bool(entry.query) for entry in entries) >= len(entries) else "lines"


def _compressed(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return handle.read(2) == b"\x1f\x8b"
    except OSError:
        return False  # `opened` says what is wrong with it


def _is_log(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    known = {name for names in NAMES.values() for name in names} | {"messages"}
    return isinstance(record, dict) and not known & set(record) and bool({"query", "cypher", "statement"} & set(record))


def _examples(path: Path, found: Items, schema: str) -> None:
    for line, record in records(path):
        if isinstance(record, Fault):
            found.skipped.append((line, record.what))
            continue
        texts = _of_messages(record) or {ours: _first(record, names) for ours, names in NAMES.items()}
        if not texts["input"] and not texts["output"]:
            found.skipped.append((line, "has neither question nor answer"))
            continue
        texts |= {"schema": texts["schema"] or schema}
        texts |= {name: record[name] for name in ("part", "graph", "id") if isinstance(record.get(name), str)}
        if isinstance(record.get("instruction"), str) and record["instruction"] != texts["input"]:
            texts["instruction"] = record["instruction"]
        found.add(line, **texts)


def _first(record: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((record[n].strip() for n in names if isinstance(record.get(n), str) and record[n].strip()), "")


def _of_messages(record: dict[str, Any]) -> dict[str, str] | None:
    """System, last user and last assistant message of a chat record; None for another record."""
    messages = record.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        return None
    said = {str(m.get("role")): str(m.get("content") or "") for m in messages}  # the last of each role stays
    return {"schema": said.get("system", ""), "input": said.get("user", ""), "output": said.get("assistant", "")}


def _queries(path: Path, found: Items, schema: str) -> None:
    for entry in read_log(path):
        if entry.query and entry.fault != "cut off in the log":
            found.add(entry.line, output=entry.query, schema=schema)
        else:
            found.skipped.append((entry.line, entry.fault or "no query"))


def _questions(path: Path, found: Items, schema: str) -> None:
    with opened(path) as handle:
        for line, raw in enumerate(handle, start=1):
            try:
                text = raw.decode("utf-8-sig").strip()
            except UnicodeDecodeError:
                found.skipped.append((line, "is not UTF-8"))
                continue
            if text:
                found.add(line, input=text, schema=schema)
