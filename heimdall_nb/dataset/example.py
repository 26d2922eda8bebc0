"""The example record: one line of a JSONL file, read with located errors and written byte for byte the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS
from heimdall_nb.run import atomic_text

CONTEXT_SIZES = ("small", "medium", "large", "xl")
REQUIRED = ("instruction", "input", "output", "category", "context_size")


@dataclass(frozen=True)
class Example:
    """One question with its answer. The first five fields are required; files with only those load too."""

    instruction: str
    input: str
    output: str
    category: str
    context_size: str
    id: str = ""
    part: str = "cypher"  # cypher, nornicdb, plugins, troubleshooting, sql
    graph: str | None = None  # name of the schema in data/graphs
    schema: str = ""  # as the model sees it
    template: str = ""
    style: str = ""
    dialect: str = "common"  # where the query is valid
    check: str = ""  # how its truth was established: executed, parsed, fact:<id>
    answer: str | None = None  # hash of the result rows, for executed reads

    @property
    def task(self) -> str:
        """The prompt task that the instruction names; for another instruction `cypher` where there is a graph."""
        named = next((task for task, text in TASKS.items() if text == self.instruction), None)
        return named or ("cypher" if self.graph else "text")

    @property
    def question(self) -> str:
        """What the model is asked: the input, or the instruction where a record has no input."""
        return self.input.strip() or self.instruction

    def with_id(self) -> Example:
        """This example with its id: a hash of the normalised schema name, question and answer."""
        content = "\x1f".join(normalise(text) for text in (self.graph or "", self.input, self.output))
        values = asdict(self) | {"id": hashlib.sha256(content.encode()).hexdigest()[:16]}
        return Example(**values)

    def to_json(self) -> str:
        """One JSONL line, keys in the order of the fields."""
        return json.dumps(asdict(self), ensure_ascii=False)


def normalise(text: str) -> str:
    """Lower case with single spaces: what two texts share when they differ in nothing that matters."""
    return " ".join(text.lower().split())


def faults(record: Any) -> list[tuple[str, str]]:
    """The faults of a decoded line as (field, what is wrong); empty when it is a valid example."""
    if not isinstance(record, dict):
        return [("", f"the line holds {type(record).__name__}, not an object")]
    known = {f.name for f in fields(Example)}
    found = [(name, "is missing") for name in REQUIRED if name not in record]
    found += [(name, "is not a known field") for name in record if name not in known]
    for name, value in record.items():
        optional = name in ("graph", "answer")
        if name in known and not isinstance(value, str) and not (optional and value is None):
            found.append((name, f"must be text, not {type(value).__name__}"))
        elif name in ("instruction", "output", "category") and not value.strip():
            found.append((name, "is empty"))
    size = record.get("context_size")
    if isinstance(size, str) and size not in CONTEXT_SIZES:
        found.append(("context_size", f"{size!r} is not one of {', '.join(CONTEXT_SIZES)}"))
    return found


@dataclass(frozen=True)
class Fault:
    """Something wrong in a JSONL file: where (1-based line, field) and what."""

    line: int
    field: str
    what: str


def scan(path: Path | str) -> Iterator[Example | Fault]:
    """Read a JSONL file line by line: an Example for each good line, one Fault for each thing wrong.

    Raises BadInput when the file cannot be opened.
    """
    for _, item in scan_lines(path):
        yield item


def scan_lines(path: Path | str) -> Iterator[tuple[int, Example | Fault]]:
    """Like `scan`, each item with the number of its line."""
    path = Path(path)
    try:
        handle = path.open("rb")
    except OSError as problem:
        raise BadInput(f"cannot be read ({problem.strerror})", str(path), "Give the path of a JSONL file.") from None
    with handle:
        for number, raw in enumerate(handle, start=1):
            yield from ((number, item) for item in _scan_line(number, raw))


def _scan_line(number: int, raw: bytes) -> Iterator[Example | Fault]:
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as problem:
        yield Fault(number, "", f"is not UTF-8 (byte {problem.start + 1})")
        return
    if not text.strip():
        return
    try:
        record = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as problem:
        yield Fault(number, "", f"is not JSON ({problem})")
        return
    found = faults(record)
    yield from (Fault(number, name, what) for name, what in found)
    if not found:
        example = Example(**record)
        yield example if example.id else example.with_id()


def load(path: Path | str) -> list[Example]:
    """All examples of a JSONL file. Raises BadInput for the first fault, naming file, line and field."""
    examples = []
    for item in scan(path):
        if isinstance(item, Fault):
            where = f"{path}, line {item.line}" + (f", field {item.field!r}" if item.field else "")
            raise BadInput(item.what, where, "Run `heimdall validate` for the whole list.")
        examples.append(item)
    return examples


def save(path: Path | str, examples: Iterable[Example]) -> Path:
    """Write a JSONL file: to a temporary name first, then renamed."""
    return atomic_text(Path(path), "".join(example.to_json() + "\n" for example in examples))
