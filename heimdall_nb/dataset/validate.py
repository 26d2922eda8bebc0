"""Is a dataset file sound? Its form, its duplicates, its balance, and whether questions, answers and facts agree.

A file is read once, line by line. What is kept of a line is its hashes and its lengths, so that a large file fits.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.agreement import disagreements, schema_of
from heimdall_nb.dataset.example import Example, has_own_id, normalise, scan_lines
from heimdall_nb.dataset.jsonl import Fault, printable
from heimdall_nb.dataset.validation_report import Comparison, Report, ratio, spread
from heimdall_nb.domains import faults_of, is_other, unchecked
from heimdall_nb.domains.protocol import Domain
from heimdall_nb.engines.cypher_check import SchemaNames, name_faults
from heimdall_nb.engines.cypher_tokens import tokens
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import conversation, render

COPY_MARK = "-copy"  # in the id of an example that the correction repeated on purpose
_BALANCED = ("part", "category", "context_size", "graph", "style", "template")
_BATCH = 256  # prompts that are tokenised, and examples that a domain checks, at a time


def validate(path: Path | str, tokenizer: Path | str = "", opened: Mapping[str, Domain] | None = None) -> Report:
    """Check a JSONL file of examples; lengths in tokens as well where the path of a `tokenizer` is given.

    `opened` has the domains whose checks need options, by name. What could not be checked is among the remarks.
    Raises BadInput when the file cannot be read, is no JSONL, or the tokenizer is none; all else is in the report.
    """
    return _read(path, _Lengths(tokenizer), opened)[0]


def compare(
    paths: Sequence[Path | str], tokenizer: Path | str = "", opened: Mapping[str, Domain] | None = None
) -> Comparison:
    """Check several files, and what they share: a question, a query or an id in two files is a leak.

    The share of masked queries that two files have in common is no leak, and says how hard the smaller one is.
    """
    found = [_read(path, _Lengths(tokenizer), opened) for path in paths]
    comparison = Comparison([report for report, _ in found])
    for (one, left), (other, right) in combinations(found, 2):
        names = f"{one.path} and {other.path}"
        for what in ("question", "query", "id"):
            shared = sorted(
                (line, right.seen[what][key]) for key, line in left.seen[what].items() if key in right.seen[what]
            )
            comparison.leaks += [f"{names} share the {what} of lines {a} and {b}" for a, b in shared]
        smaller, larger = sorted((left.masked, right.masked), key=len)
        comparison.masked[names] = len(smaller & larger) / len(smaller) if smaller else 0.0
    return comparison


def _read(path: Path | str, lengths: _Lengths, opened: Mapping[str, Domain] | None = None) -> tuple[Report, _Seen]:
    report, seen = Report(printable(Path(path))), _Seen()
    balance: dict[str, Counter[str]] = {name: Counter() for name in _BALANCED}
    waiting: list[tuple[int, Example]] = []
    for line, item in scan_lines(path):
        if isinstance(item, Fault):
            report.faults.append(item)
            continue
        report.examples += 1
        report.copies += COPY_MARK in item.id
        report.checks[item.check.partition(":")[0] or "none"] += 1
        report.faults += [*content_faults(line, item), *seen.add(line, item)]
        waiting.append((line, item))
        if len(waiting) == _BATCH:
            report.faults += domain_faults(waiting, opened)
            waiting.clear()
        for name, counter in balance.items():
            counter[str(getattr(item, name))] += 1
        lengths.add(item)
    report.faults += domain_faults(waiting, opened)
    report.remarks = unchecked(balance["part"], opened)
    if not report.examples and not report.faults:
        report.faults.append(Fault(1, "", "the file holds no example"))
    report.faults.sort(key=lambda fault: (fault.line, fault.field))
    report.duplicates = {kind: report.examples - len(keys) for kind, keys in seen.kinds.items()}
    report.balance = {name: dict(sorted(counter.items())) for name, counter in balance.items()}
    report.ratios = {name: ratio(counter) for name, counter in balance.items()}
    report.lengths = lengths.spreads()
    return report, seen


def content_faults(line: int, example: Example) -> Iterator[Fault]:
    """What is wrong with a well-formed example: its id, names that its graph lacks, what its question does not say,
    and in answers about NornicDB what the fact pack does not know."""
    if has_own_id(example) and example.id != example.with_id().id:
        yield Fault(line, "id", "does not fit the content: the line was edited; check the query and remove the id")
    if not example.input.strip() and example.part == "cypher" and example.graph:
        yield Fault(line, "input", "holds no question")
    if example.part not in ("cypher", "sql") and not is_other(example):
        yield from _fact_faults(line, example)
    if example.task != "cypher" or not example.graph:
        return
    names = _names(example.graph)
    if names is None:
        yield Fault(line, "graph", f"there is no graph {printable(example.graph)!r} in data/graphs")
    elif example.part == "cypher" and (unknown := name_faults(example.output, names)):
        yield from (Fault(line, "output", what) for what in unknown)
        return
    yield from (Fault(line, "input", what) for what in disagreements(example, schema_of(example)))


def domain_faults(items: Sequence[tuple[int, Example]], opened: Mapping[str, Domain] | None = None) -> Iterator[Fault]:
    """What the domains of examples beside the course's own parts say against them; `items` are lines and examples."""
    those = [(line, example) for line, example in items if is_other(example)]
    for (line, example), faults in zip(those, faults_of([example for _, example in those], opened), strict=True):
        for text in faults:
            field, _, what = text.partition(": ")
            yield Fault(line, field, what) if hasattr(example, field) else Fault(line, "", text)


@lru_cache(maxsize=256)
def _names(graph: str) -> SchemaNames | None:
    schema = schema_of(Example("", "", "", "", "", graph=graph))
    return schema.names() if schema is not None else None


def _fact_faults(line: int, example: Example) -> Iterator[Fault]:
    from heimdall_nb import fact_check

    pack, known = _facts()
    for item in fact_check.unknown(example.output, pack):
        yield Fault(line, "output", f"names {printable(item.name)!r}: {item.what}")
    for identifier in filter(None, example.check.partition("fact:")[2].split(",")):
        if identifier not in known:
            yield Fault(
                line, "check", f"names the fact {printable(identifier)!r}, which pack {pack.name} does not have"
            )


@lru_cache(maxsize=1)
def _facts() -> tuple[Any, frozenset[str]]:
    from heimdall_nb.facts import load_pack

    pack = load_pack()
    return pack, frozenset(fact.id for fact in pack.facts)


def masked(query: str) -> str:
    """A query with `?` for each literal: what two queries share when they differ in values only."""
    return " ".join("?" if t.kind in ("string", "number") else t.text for t in tokens(query))


def _digest(*texts: str) -> int:
    """64 bits of a text: that two of 100,000 different texts share them has a chance of 3 in 10,000,000,000."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(texts).encode(), digest_size=8).digest(), "big")


class _Seen:
    """Hashes of the lines so far: `kinds` for the counts of duplicates, `seen` with lines for faults and leaks."""

    def __init__(self) -> None:
        self.kinds: dict[str, set[int]] = {name: set() for name in ("exact", "normalised", "query", "masked query")}
        self.seen: dict[str, dict[int, int]] = {name: {} for name in ("question", "query", "id")}
        self.pairs: dict[int, int] = {}
        self.asked: dict[int, int] = {}

    @property
    def masked(self) -> set[int]:
        return self.kinds["masked query"]

    def add(self, line: int, example: Example) -> Iterator[Fault]:
        """Note an example; yields a fault for a pair that occurred before, and for a question answered differently."""
        graph, question, answer = example.graph or "", normalise(example.input), normalise(example.output)
        keys = {
            "exact": _digest(graph, example.input, example.output),
            "normalised": _digest(graph, question, answer),
            "query": _digest(graph, answer),
            "masked query": _digest(graph, masked(example.output)),
        }
        for kind, key in keys.items():
            self.kinds[kind].add(key)
        asked = normalise(example.question)
        told = {"query": keys["query"]} if example.tells_by_answer else {}
        for what, key in {"question": _digest(asked), "id": _digest(example.id), **told}.items():
            self.seen[what].setdefault(key, line)
        if COPY_MARK in example.id:
            return
        asked_here = _digest(example.instruction, graph, question)
        pair = _digest(example.instruction, graph, question, answer)
        if pair in self.pairs:
            yield Fault(line, "", f"repeats line {self.pairs[pair]}")
        elif asked_here in self.asked:
            yield Fault(line, "output", f"answers the question of line {self.asked[asked_here]} differently")
        self.pairs.setdefault(pair, line)
        self.asked.setdefault(asked_here, line)


class _Lengths:
    """How often each length occurs: of questions, queries and whole prompts in characters, of prompts in tokens."""

    def __init__(self, tokenizer: Path | str = "") -> None:
        self.counts: dict[str, Counter[int]] = {name: Counter() for name in ("question", "query", "whole prompt")}
        self.tokenizer = _tokenizer(tokenizer) if tokenizer else None
        self.waiting: list[str] = []

    def add(self, example: Example) -> None:
        prompt = render(conversation(example.question, example.schema, example.task))
        for name, text in zip(self.counts, (example.input, example.output, prompt), strict=False):
            self.counts[name][len(text)] += 1
        if self.tokenizer is not None:
            self.waiting.append(prompt)
            if len(self.waiting) == _BATCH:
                self.tokenise()

    def tokenise(self) -> None:
        counts = self.counts.setdefault("whole prompt, tokens", Counter())
        counts.update(map(len, self.tokenizer(self.waiting, add_special_tokens=False)["input_ids"]))
        self.waiting = []

    def spreads(self) -> dict[str, dict[str, float]]:
        if self.waiting:
            self.tokenise()
        return {name: spread(counts) for name, counts in self.counts.items() if counts}


@lru_cache(maxsize=1)
def _tokenizer(path: Path | str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(path), use_fast=True, local_files_only=True)
    except Exception as problem:  # the library raises many kinds
        reason = " ".join(str(problem).split())[:200]
        raise BadInput(f"holds no tokenizer ({reason})", printable(path), "Give the folder of a model.") from None
