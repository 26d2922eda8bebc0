"""Examples of the user's own beside the generated ones: a JSONL file, and the statements of a NornicDB checkout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from heimdall_nb.dataset.benchmark import held_out
from heimdall_nb.dataset.example import Example, Fault, normalise, scan_lines
from heimdall_nb.dataset.production import Adder, KnownGraph
from heimdall_nb.dataset.query_log import Entry
from heimdall_nb.dataset.repository import repository_facts, repository_statements
from heimdall_nb.dataset.validate import content_faults
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.errors import BadInput
from heimdall_nb.facts import load_pack

CATEGORY = "repository"


def custom(path: Path) -> list[Example]:
    """The examples of a JSONL file, when every one of them is sound and none is in the benchmark.

    Raises BadInput that names file, line and field of the first fault.
    """
    examples: list[Example] = []
    asked: dict[tuple[str, str], int] = {}
    for line, item in scan_lines(path):
        found = [item] if isinstance(item, Fault) else [*content_faults(line, item), *_repeated(line, item, asked)]
        if found:
            raise BadInput(found[0].what, found[0].located(path), "Mend it; `heimdall validate` lists all faults.")
        examples.append(item)
    if not examples:
        raise BadInput("holds no example", str(path), "Give a JSONL file with at least one.")
    return examples


def _repeated(line: int, example: Example, asked: dict[tuple[str, str], int]) -> Sequence[Fault]:
    graph, question = example.graph or "", normalise(example.question)
    if {(graph, question), (graph, normalise(example.output))} & held_out():
        return [Fault(line, "", "is an item of the benchmark, and training must not have it")]
    first = asked.setdefault((graph, question), line)
    return [Fault(line, "input", f"asks what line {first} asks")] if first != line else []


def from_repository(path: Path, engine: ArcadeDB | None = None) -> tuple[list[Example], Counter[str]]:
    """Examples from the Cypher statements of a NornicDB checkout, and what became of the statements.

    A statement becomes two examples when the engine parses it, the facts know its names (those of the checkout's own
    procedures and variables among them) and its structure can be put into words. Raises BadInput for another folder.
    """
    found = repository_facts(path)
    adder = Adder([], KnownGraph(), secrets_only=False, category=CATEGORY, pack=load_pack().extended(found))
    own = ArcadeDB() if engine is None else None
    try:
        adder.start(engine or own)
        for number, (statement, _) in enumerate(repository_statements(path), start=1):
            adder.take(Entry(number, statement))
    finally:
        if own is not None:
            own.close()
    done = adder.done
    report = Counter({"procedures and variables": len(found), "statements": done.counts["read"]})
    report |= Counter({f"left out, {reason}": number for reason, number in done.refused.items()})
    report |= Counter(
        {"left out, repeated": done.counts["duplicates"], "left out, no words for it": done.counts["undescribed"]}
    )
    return adder.made, report + Counter({"examples": len(adder.made)})
