"""Domain `coding`: functions written, corrected, explained and tested, in Python, JavaScript, Go or Java.

The truth is what the code does: functions, mistakes and tests are run where the language can be run on this machine,
and parsed elsewhere; there, results are those of the same problem's Python function.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import ClassVar

from heimdall_nb import progress
from heimdall_nb.dataset.example import Example
from heimdall_nb.domains.coding_ask import example as asked
from heimdall_nb.domains.coding_check import fault_check, score_check, verdicts
from heimdall_nb.domains.coding_mutants import mutants
from heimdall_nb.domains.coding_problems import LANGUAGES, Task, tasks
from heimdall_nb.domains.coding_prove import mistakes, prove
from heimdall_nb.domains.protocol import counts, drawn_seed
from heimdall_nb.errors import BadInput

CHUNK = 200  # tasks that are proven together
NEED_MISTAKES = ("bug fixing", "tests")
# Which task is for which category: in the shares, and each task for one alone, so that no question holds the answer of
# another one.
_TURNS = "generation,bug fixing,generation,explanation,bug fixing,generation,tests,bug fixing,generation,explanation"


@dataclass(frozen=True)
class Coding:
    """Examples of one programming language."""

    language: str = "python"

    name: ClassVar[str] = "coding"
    title: ClassVar[str] = "functions in Python, JavaScript, Go or Java: written, corrected, explained, tested"
    metric: ClassVar[str] = "tests passed"
    shares: ClassVar[Mapping[str, float]] = {
        "generation": 0.4,
        "bug fixing": 0.3,
        "explanation": 0.2,
        "tests": 0.1,
    }

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            remedy = f"Choose one of: {', '.join(LANGUAGES)}."
            raise BadInput(f"there is no language {self.language!r}", "--language", remedy)

    def examples(self, number: int, seed: int) -> Iterator[Example]:
        """Exactly `number` examples; see `protocol.Domain`."""
        quotas = counts(number, self.shares)
        made = list(progress.track(self._made(quotas, seed), f"{self.language} examples", number))
        for category, quota in quotas.items():
            if (there := sum(item.category == category for item in made)) < quota:
                what = f"only {there} different examples of {category} can be made, of {quota}"
                raise BadInput(what, "--examples", "Ask for fewer.")
        random.Random(drawn_seed("coding order", seed)).shuffle(made)
        yield from made

    def faults(self, example: Example) -> list[str]:
        """What is wrong with an example; see `protocol.Domain`."""
        return self.many_faults([example])[0]

    def many_faults(self, examples: Sequence[Example]) -> list[list[str]]:
        """`faults` of each example; the programs of a language run together."""
        return verdicts(examples, list(map(fault_check, examples)))

    def score(self, example: Example, answer: str) -> float:
        """How right an answer is; see `coding_check.score_check`."""
        return self.many_scores([example], [answer])[0]

    def many_scores(self, examples: Sequence[Example], answers: Sequence[str]) -> list[float]:
        """`score` of each example's answer; the programs of a language run together."""
        return verdicts(examples, list(map(score_check, examples, answers)))

    def _made(self, quotas: Mapping[str, int], seed: int) -> Iterator[Example]:
        """Examples until all categories are full, or nothing more can be made; only whole ones are counted."""
        left, styles, seen = dict(quotas), {category: count() for category in quotas}, set()
        stream = _stream(self.language, seed)
        while any(left.values()) and (chunk := list(islice(stream, _size(left)))):
            chunk = [(category, task) for category, task in chunk if left[category]]
            category_of = {(task.key, task.variant): category for category, task in chunk}
            proven = prove([task for _, task in chunk], self.language, seed)
            needed = [item for item in proven if category_of[item.task.key, item.task.variant] in NEED_MISTAKES]
            wrong = dict(zip(map(id, needed), mistakes(needed, seed), strict=True))
            for item in proven:
                category = category_of[item.task.key, item.task.variant]
                made = (
                    asked(category, item, wrong.get(id(item), []), next(styles[category])) if left[category] else None
                )
                if made is not None and made.input not in seen:
                    seen.add(made.input)
                    left[category] -= 1
                    yield made


def _size(left: Mapping[str, int]) -> int:
    """How many tasks to prove next, given how many examples are missing: some tasks give none."""
    return min(CHUNK, 10 + 2 * sum(left.values()))


def _stream(language: str, seed: int) -> Iterator[tuple[str, Task]]:
    """All tasks with their category: problems in turn, then the same tasks once more under another name."""
    rng = random.Random(drawn_seed("coding tasks", seed))
    placed = []
    for group in tasks().values():
        first = [task for task in group if task.variant == 0]
        for turn, task in enumerate(rng.sample(first, len(first))):
            placed.append((turn, rng.random(), task, rng.randrange(2)))
    turns, order = _TURNS.split(","), []
    for place, (*_, task, variant) in enumerate(sorted(placed, key=lambda item: item[:2])):
        category = turns[place % len(turns)]
        if category in NEED_MISTAKES and not mutants(task.code(language), language):
            category = "generation"
        order.append((category, task, variant))
    for other in (0, 1):
        for category, task, variant in order:
            yield category, Task(task.problem, task.binding, variant ^ other)
