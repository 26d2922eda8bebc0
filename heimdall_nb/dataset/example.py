"""The example record: one line of a JSONL file, read with located errors and written byte for byte the same."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.jsonl import Fault, printable, records
from heimdall_nb.dataset.sizes import CONTEXT_SIZES
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS
from heimdall_nb.run import atomic_text

OWN_PARTS = ("cypher", "nornicdb", "plugins", "troubleshooting", "sql")
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
    part: str = "cypher"  # one of OWN_PARTS, or the name of another domain
    graph: str | None = None  # name of the schema in data/graphs
    schema: str = ""  # as the model sees it
    template: str = ""
    style: str = ""
    dialect: str = "common"  # where the query is valid
    check: str = ""  # how its truth was established: executed, parsed, fact:<id>
    answer: str | None = None  # hash of the result rows, for executed reads; of another domain, what its check expects

    @property
    def task(self) -> str:
        """The prompt task that the instruction names; of another domain's example, the instruction itself.

        For another instruction of the course's own parts it is `cypher` where there is a graph, else `text`.
        """
        named = next((task for task, text in TASKS.items() if text == self.instruction), None)
        own = self.part in OWN_PARTS
        return named or (self.instruction if not own else "cypher" if self.graph else "text")

    @property
    def question(self) -> str:
        """What the model is asked: the input, or the instruction where a record has no input."""
        return self.input.strip() or self.instruction

    @property
    def tells_by_answer(self) -> bool:
        """Whether its answer alone gives it away: a query does, the short answer of another domain (`yes`) does not."""
        return self.part in OWN_PARTS or len(self.output) >= _TELLING

    def with_id(self) -> Example:
        """This example with its id: a hash of the normalised schema name, question and answer."""
        content = "\x1f".join(normalise(text) for text in (self.graph or "", self.input, self.output))
        return replace(self, id=hashlib.sha256(content.encode()).hexdigest()[:16])

    def to_json(self) -> str:
        """One JSONL line, keys in the order of the fields."""
        return json.dumps(vars(self), ensure_ascii=False)


_TELLING = 80  # characters from which an answer of another domain is as good as unique
_FIELDS = tuple(field.name for field in fields(Example))
_OWN_ID = re.compile(r"[0-9a-f]{16}")
_FILLED = ("instruction", "output", "category")
_RECURRING = ("instruction", "category", "context_size", "part", "graph", "schema", "template", "style", "dialect")


def has_own_id(example: Example) -> bool:
    """Whether the id has the form that `with_id` gives; ids of other forms come from elsewhere and are left alone."""
    return _OWN_ID.fullmatch(example.id) is not None


def normalise(text: str) -> str:
    """Lower case with single spaces: what two texts share when they differ in nothing that matters."""
    return " ".join(text.lower().split())


def faults(record: dict[str, Any]) -> list[tuple[str, str]]:
    """The faults of a decoded line as (field, what is wrong); empty when it is a valid example."""
    found = [(name, "is missing") for name in REQUIRED if name not in record]
    found += [(printable(name), "is not a known field") for name in record if name not in _FIELDS]
    for name, value in record.items():
        if name not in _FIELDS or (value is None and name in ("graph", "answer")):
            continue
        what = _text_fault(value) or ("is empty" if name in _FILLED and not value.strip() else "")
        if what:
            found.append((name, what))
    size = record.get("context_size")
    if isinstance(size, str) and size not in CONTEXT_SIZES:
        found.append(("context_size", f"{printable(size)!r} is not one of {', '.join(CONTEXT_SIZES)}"))
    return found


def _text_fault(value: Any) -> str:
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__}"
    if "\0" in value:
        return "holds a NUL character"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no character"
    return ""


def scan(path: Path | str) -> Iterator[Example | Fault]:
    """Read a JSONL file line by line: an Example for each good line, one Fault for each thing wrong.

    Raises BadInput when the file cannot be read, or is no JSONL in UTF-8.
    """
    for _, item in scan_lines(path):
        yield item


def scan_lines(path: Path | str) -> Iterator[tuple[int, Example | Fault]]:
    """Like `scan`, each item with the number of its line."""
    for number, item in records(path):
        found = [item] if isinstance(item, Fault) else [Fault(number, *fault) for fault in faults(item)]
        yield from ((number, fault) for fault in found)
        if not found:
            yield number, from_record(item)


def from_record(record: dict[str, Any]) -> Example:
    """The example of a record without faults. An id is made where there is none; texts that recur are kept once."""
    shared = {name: sys.intern(record[name]) for name in _RECURRING if record.get(name)}
    example = Example(**(record | shared))
    return example if example.id else example.with_id()


def load(path: Path | str) -> list[Example]:
    """All examples of a JSONL file. Raises BadInput for the first fault, naming file, line and field."""
    examples = []
    for item in scan(path):
        if isinstance(item, Fault):
            raise BadInput(item.what, item.located(path), "Run `heimdall validate` for the whole list.")
        examples.append(item)
    return examples


def save(path: Path | str, examples: Iterable[Example]) -> Path:
    """Write a JSONL file: to a temporary name first, then renamed."""
    return atomic_text(Path(path), "".join(example.to_json() + "\n" for example in examples))
