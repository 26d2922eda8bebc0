"""Runs the statements of data/hostile on an engine and says how each was stopped. The tests and the report use it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from heimdall_nb.engines.graph import GraphInstance, Node, Refusal, Relationship, Rows

DATA = Path(__file__).resolve().parent.parent / "data" / "hostile"
# Limit of a statement, and what it may take beyond: a full garbage collection, several times on a machine that is busy.
# Alone on two cores the slowest takes 1.0 s; these statements would run for hours.
SECONDS, SLACK = 0.1, 5.0
PATIENT = 10.0  # limit of the harmless ones: the first of its kind loads classes
MAX_ROWS = 1000
_TIMES = re.compile("«([^×]*)×([0-9]+)»", re.DOTALL)

PEOPLE = 48
GRAPH = GraphInstance(
    "hostile",
    [Node(k, "Person", {"name": f"p{k}", "age": 18 + k}) for k in range(PEOPLE)]
    + [Node(PEOPLE + k, "City", {"name": f"c{k}"}) for k in range(12)],
    [
        Relationship("KNOWS", k, (k + step) % PEOPLE, {"since": 2000 + k})
        for k in range(PEOPLE)
        for step in (1, 5, 7, 11)
    ]
    + [Relationship("LIVES_IN", k, PEOPLE + k % 12) for k in range(PEOPLE)],
)


@dataclass(frozen=True)
class Statement:
    """One statement: `expected` is `refused`, `bounded` or `allowed`."""

    kind: str
    expected: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """What a statement came to: its result, its seconds, and by how many MiB the process that runs the engine grew."""

    statement: Statement
    result: Rows | Refusal
    seconds: float
    grown: float


def statements(file: str) -> list[Statement]:
    """The statements of a file, with their repetitions written out."""
    kinds = yaml.safe_load((DATA / file).read_text(encoding="utf-8"))
    return [
        Statement(kind, expected, _TIMES.sub(lambda match: match[1] * int(match[2]), text))
        for kind, lists in kinds.items()
        for expected, texts in lists.items()
        for text in texts
    ]


def outcomes(
    items: list[Statement], run: Callable[[str, float], Rows | Refusal], process: psutil.Process
) -> Iterator[Outcome]:
    """Run the statements one after the other; `process` is the one that holds the engine."""
    for item in items:
        before, started = process.memory_info().rss, time.monotonic()
        result = run(item.text, PATIENT if item.expected == "allowed" else SECONDS)
        seconds = time.monotonic() - started
        yield Outcome(item, result, seconds, (process.memory_info().rss - before) / 2**20)


def stopped_by(outcome: Outcome, gated: bool) -> str:
    """How it ended: by the gate, by the engine, by time, by memory or size, or not at all."""
    if isinstance(outcome.result, Rows):
        return "answered"
    if gated:
        return "gate"
    return {"timeout": "time", "limit": "size"}.get(outcome.result.kind, "engine")


def faults(outcome: Outcome) -> list[str]:
    """What is wrong with an outcome, in words."""
    item, found = outcome.statement, []
    if item.expected == "refused" and isinstance(outcome.result, Rows):
        found.append("it ran")
    if item.expected == "allowed" and isinstance(outcome.result, Refusal):
        found.append(f"refused: {outcome.result.message}")
    if outcome.seconds > SECONDS + SLACK and item.expected != "allowed":
        found.append(f"it took {outcome.seconds:.1f} s")
    return [f"{item.kind}: {item.text[:100]!r}: {fault}" for fault in found]
