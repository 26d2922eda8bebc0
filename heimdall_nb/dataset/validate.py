"""Is a dataset file sound? Its form, its duplicates, its balance, and whether questions and queries agree."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import Example, Fault, normalise, scan_lines
from heimdall_nb.dataset.graphs import load_schema, schema_names
from heimdall_nb.engines.cypher_check import SchemaNames, name_faults
from heimdall_nb.engines.cypher_tokens import tokens
from heimdall_nb.prompts import conversation, render

COPY_MARK = "-copy"  # in the id of an example that the correction repeated on purpose
_OWN_ID = re.compile(r"[0-9a-f]{16}")


@dataclass
class Report:
    """What `validate` found in one file. `ok` is true when there is nothing to mend."""

    path: str
    examples: int = 0
    copies: int = 0  # repeated on purpose, by the correction
    faults: list[Fault] = field(default_factory=list)
    duplicates: dict[str, int] = field(default_factory=dict)  # examples beyond the first of their kind
    balance: dict[str, dict[str, int]] = field(default_factory=dict)
    lengths: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.examples > 0 and not self.faults

    def fault_lines(self) -> list[str]:
        """Each fault as one line: file, line, field, what is wrong."""
        named = ((fault, f", field {fault.field!r}" if fault.field else "") for fault in self.faults)
        return [f"{self.path}, line {fault.line}{where}: {fault.what}" for fault, where in named]

    def to_json(self) -> dict[str, Any]:
        """The report as a dictionary for JSON."""
        return asdict(self) | {"ok": self.ok}


def validate(path: Path | str) -> Report:
    """Check a JSONL file of examples. Raises BadInput when it cannot be opened; all else is in the report."""
    report, items = Report(str(path)), []
    for number, item in scan_lines(path):
        if isinstance(item, Fault):
            report.faults.append(item)
        else:
            items.append((number, item))
            report.faults.extend(content_faults(number, item))
    report.faults.extend(duplicate_faults(items))
    report.faults.sort(key=lambda fault: (fault.line, fault.field))
    examples = [example for _, example in items]
    report.examples = len(examples)
    report.copies = sum(COPY_MARK in example.id for example in examples)
    report.duplicates = _duplicates(examples)
    report.balance = {
        name: dict(sorted(Counter(str(getattr(example, name)) for example in examples).items()))
        for name in ("category", "graph", "style", "template")
    }
    report.lengths = _lengths(examples)
    return report


def content_faults(line: int, example: Example) -> Iterator[Fault]:
    """What is wrong with a well-formed example: its id, the names in its query, literals that no one asked for."""
    if _OWN_ID.fullmatch(example.id) and example.id != example.with_id().id:
        yield Fault(line, "id", "does not fit the content: the line was edited; check the query and remove the id")
    if not example.input.strip() and example.part == "cypher" and example.graph:
        yield Fault(line, "input", "holds no question")
    if example.part != "cypher" or not example.graph:
        return
    names = _names(example.graph)
    if names is None:
        yield Fault(line, "graph", f"there is no graph {example.graph!r} in data/graphs")
    else:
        yield from (Fault(line, "output", what) for what in name_faults(example.output, names))
    for item in missing_literals(example.input, example.output):
        yield Fault(line, "input", f"does not say {item}, which the query uses")


@lru_cache(maxsize=64)
def _names(graph: str) -> SchemaNames | None:
    return load_schema(graph).names() if graph in schema_names() else None


def missing_literals(question: str, query: str) -> list[str]:
    """The text and number literals of `query` that `question` does not contain word for word."""
    missing = []
    for token in tokens(query):
        if token.kind == "string":
            if re.sub(r"\\(.)", r"\1", token.text) not in question:
                missing.append(repr(token.text))
        elif token.kind == "number" and not _says_number(question, token.text):
            missing.append(token.text)
    return list(dict.fromkeys(missing))


def _says_number(question: str, number: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(number)}(?!\w|\.\d)", question) is not None


def masked(query: str) -> str:
    """A query with `?` for each literal: what two queries share when they differ in values only."""
    return " ".join("?" if t.kind in ("string", "number") else t.text for t in tokens(query))


def duplicate_faults(items: list[tuple[int, Example]]) -> Iterator[Fault]:
    """A pair that occurred before, and a question that occurred before with another answer; copies are no faults."""
    pairs: dict[tuple[str, ...], int] = {}
    questions: dict[tuple[str, ...], int] = {}
    for line, example in items:
        if COPY_MARK in example.id:
            continue
        question = (example.instruction, example.graph or "", normalise(example.input))
        pair = (*question, normalise(example.output))
        if pair in pairs:
            yield Fault(line, "", f"repeats line {pairs[pair]}")
        elif question in questions:
            yield Fault(line, "output", f"answers the question of line {questions[question]} differently")
        pairs.setdefault(pair, line)
        questions.setdefault(question, line)


def _duplicates(examples: list[Example]) -> dict[str, int]:
    kinds = {
        "exact": [(e.graph, e.input, e.output) for e in examples],
        "normalised": [(e.graph, normalise(e.input), normalise(e.output)) for e in examples],
        "query": [(e.graph, normalise(e.output)) for e in examples],
        "masked query": [(e.graph, masked(e.output)) for e in examples],
    }
    return {kind: len(keys) - len(set(keys)) for kind, keys in kinds.items()}


def _lengths(examples: list[Example]) -> dict[str, dict[str, float]]:
    """Characters: least, mean, 95th percentile, most."""
    texts = {
        "question": [len(e.input) for e in examples],
        "query": [len(e.output) for e in examples],
        "whole prompt": [len(render(conversation(e.input, e.schema, e.task))) for e in examples],
    }
    return {name: _spread(sorted(sizes)) for name, sizes in texts.items() if sizes}


def _spread(sizes: list[int]) -> dict[str, float]:
    high = sizes[min(len(sizes) - 1, int(0.95 * len(sizes)))]
    return {"min": sizes[0], "mean": round(statistics.mean(sizes), 1), "p95": high, "max": sizes[-1]}
