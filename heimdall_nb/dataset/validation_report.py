"""What the validation of dataset files found: as tables for a terminal, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from heimdall_nb.dataset.jsonl import Fault

_LISTED = 40  # faults and leaks that the terminal shows; JSON has all


@dataclass
class Report:
    """What `validate` found in one file. `ok` is true when there is nothing to mend."""

    path: str
    examples: int = 0
    copies: int = 0  # repeated on purpose, by the correction
    faults: list[Fault] = field(default_factory=list)
    duplicates: dict[str, int] = field(default_factory=dict)  # examples beyond the first of their kind
    balance: dict[str, dict[str, int]] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)  # largest to smallest
    checks: Counter[str] = field(default_factory=Counter)  # how the truth of the answers was established
    lengths: dict[str, dict[str, float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)  # what could not be checked

    @property
    def ok(self) -> bool:
        return self.examples > 0 and not self.faults

    def fault_lines(self) -> list[str]:
        """Each fault as one line: file, line, field, what is wrong."""
        return [f"{fault.located(self.path)}: {fault.what}" for fault in self.faults]

    def to_json(self) -> dict[str, Any]:
        """The report as a dictionary for JSON."""
        return asdict(self) | {"ok": self.ok, "checks": dict(sorted(self.checks.items()))}

    def text(self) -> str:
        """The report as tables; of many faults the first ones."""
        head = f"{self.path}: {self.examples} examples, {len(self.faults)} faults, {self.copies} copies made on purpose"
        return "\n\n".join(filter(None, [cut(self.fault_lines()), head, *self.remarks, *self._tables()]))

    def _tables(self) -> Iterable[str]:
        if not self.examples:
            return
        counts = [[name, number] for name, number in self.duplicates.items()]
        yield table(["duplicates", "beyond the first"], counts)
        rows = []
        for name, sizes in self.balance.items():
            smallest, largest = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
            ends = [f"{smallest} {sizes[smallest]}", f"{largest} {sizes[largest]}"]
            rows.append([name, len(sizes), *ends, f"{self.ratios[name]:.1f} : 1"])
        yield table(["balance", "kinds", "smallest", "largest", "ratio"], rows)
        yield table(["checked by", "examples"], [[name, number] for name, number in sorted(self.checks.items())])
        yield table(
            ["length (characters)", "min", "mean", "p95", "max"],
            [[name, *(f"{value:g}" for value in values.values())] for name, values in self.lengths.items()],
        )


@dataclass
class Comparison:
    """Reports of several files, and what two of them share: leaks, and the share of masked queries."""

    files: list[Report]
    leaks: list[str] = field(default_factory=list)
    masked: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.leaks and all(report.ok for report in self.files)

    def to_json(self) -> dict[str, Any]:
        """The reports, leaks and shares as a dictionary for JSON."""
        files = [report.to_json() for report in self.files]
        return {"files": files, "leaks": self.leaks, "masked": self.masked, "ok": self.ok}

    def text(self) -> str:
        """The reports one after the other, then what the files share."""
        shares = [[names, f"{share:.0%}"] for names, share in self.masked.items()]
        leaks = f"{len(self.leaks)} leaks between the files"
        known = table(["same query, perhaps other values", "of the smaller file"], shares)
        return "\n\n".join(filter(None, [*(r.text() for r in self.files), cut(self.leaks), leaks, known]))


def ratio(sizes: Mapping[str, int]) -> float:
    """The largest size divided by the smallest; 0 where there is none."""
    return round(max(sizes.values()) / min(sizes.values()), 2) if sizes else 0.0


def spread(counts: Mapping[int, int]) -> dict[str, float]:
    """Least, mean, 95th percentile and most of lengths, given how often each occurs."""
    sizes, total = sorted(counts), sum(counts.values())
    mean = sum(size * counts[size] for size in sizes) / total
    passed = 0
    for size in sizes:
        passed += counts[size]
        if passed > min(total - 1, int(0.95 * total)):
            return {"min": sizes[0], "mean": round(mean, 1), "p95": size, "max": sizes[-1]}
    raise AssertionError("the last size passes every rank")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns of text, the first to the left and the others to the right."""
    lines = [list(map(str, head)), *(list(map(str, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    aligned = [
        [c.ljust(w) if not n else c.rjust(w) for n, (c, w) in enumerate(zip(line, widths, strict=True))]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in aligned)


def cut(lines: Sequence[str]) -> str:
    """The first lines, and how many more there are."""
    more = [f"… and {len(lines) - _LISTED} more; --json prints all"] if len(lines) > _LISTED else []
    return "\n".join([*lines[:_LISTED], *more])
