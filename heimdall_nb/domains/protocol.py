"""What a domain of examples is: a generator, a check and a metric behind one seam."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Protocol

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.mix import divided


class Domain(Protocol):
    """A domain of examples: it writes them, proves them and scores answers to them.

    Its class is a dataclass; its fields are the options of `heimdall generate`. Each has a default, because `faults`
    and `score` are called on `domain(example.part)` without options: all that they need stands in the record (`answer`
    may hold what a check expects, as JSON). The instruction of its examples is the model's system message.
    A domain whose checks are cheaper together may have `many_faults(examples)` and `many_scores(examples, answers)`,
    too, which return a list each. One whose check needs an option to see all may say what it misses in `unchecked`.
    """

    name: str  # of `heimdall generate --domain NAME`; `part` of its examples
    title: str  # one line: what its examples are
    metric: str  # what `score` means: "tests passed", "simulator agrees", "exact match"
    shares: Mapping[str, float]  # category -> exact share of the examples; they add up to 1

    def examples(self, number: int, seed: int) -> Iterator[Example]:
        """Exactly `number` examples, each once, in the exact shares; the same bytes from the same seed.

        Raises BadInput where there are fewer different examples than `number`; the message says how many there are.
        """
        ...

    def faults(self, example: Example) -> list[str]:
        """What is wrong with an example, found by running, simulating or parsing it again; empty when it is true."""
        ...

    def score(self, example: Example, answer: str) -> float:
        """How right a model's answer to an example is, from 0 to 1."""
        ...


def counts(number: int, shares: Mapping[str, float]) -> dict[str, int]:
    """`number` examples divided over the categories by their shares: the largest remainder rounds up."""
    return dict(zip(shares, divided(number, list(shares.values())), strict=True))


def drawn_seed(*parts: object) -> int:
    """A seed made of several things, the same in every process (Python's own `hash` of a text is not)."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:8], "big")
