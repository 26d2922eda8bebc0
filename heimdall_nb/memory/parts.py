"""An estimate: parts that add up, each with its bytes and the formula that gave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Part:
    """One line of an estimate: what the memory holds, how many bytes, and by which formula."""

    name: str
    bytes: int
    formula: str


@dataclass(frozen=True)
class Estimate:
    """The parts of the moment that needs the most memory; `moments` has the bytes of each moment looked at."""

    what: str
    where: str  # cpu (resident memory of the process) or cuda (memory of the card)
    moment: str
    parts: tuple[Part, ...]
    moments: dict[str, int]

    @property
    def bytes(self) -> int:
        """All parts together."""
        return sum(part.bytes for part in self.parts)

    def part(self, name: str) -> int:
        """Bytes of one part; 0 where the estimate has none of this name."""
        return sum(part.bytes for part in self.parts if part.name == name)

    def rows(self) -> list[dict[str, Any]]:
        """The parts as a table: part, MiB, formula."""
        return [{"part": p.name, "MiB": round(p.bytes / MIB, 1), "formula": p.formula} for p in self.parts]

    def text(self) -> str:
        """The parts as aligned lines, and their sum."""
        wide = max(len(part.name) for part in self.parts)
        lines = [f"{p.name:<{wide}}  {p.bytes / MIB:>10,.1f} MiB  {p.formula}" for p in self.parts]
        total = f"{'together':<{wide}}  {self.bytes / MIB:>10,.1f} MiB  = {self.bytes / GIB:.2f} GiB ({self.moment})"
        return "\n".join([f"{self.what}, {self.where}", *lines, total])


def largest(what: str, where: str, moments: dict[str, Sequence[Part]]) -> Estimate:
    """The estimate of the moment with the most bytes; parts of no bytes are left out."""
    totals = {moment: sum(part.bytes for part in parts) for moment, parts in moments.items()}
    moment = max(totals, key=lambda name: totals[name])
    return Estimate(what, where, moment, tuple(part for part in moments[moment] if part.bytes), totals)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with equal keys as a Markdown table."""
    head = list(rows[0])
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(str(row[name]) for name in head)} |" for row in rows)])
