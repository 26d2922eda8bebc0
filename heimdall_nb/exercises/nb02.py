"""Checks of the exercises of notebook 02."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.split import leakage
from heimdall_nb.dataset.validate import masked


def check_1(answer: Any, examples: Sequence[Example], *_: Any) -> str | None:
    """How many examples stay when no category may be larger than twice the smallest."""
    sizes = Counter(example.category for example in examples).values()
    expected = sum(min(size, 2 * min(sizes)) for size in sizes)
    if isinstance(answer, bool) or not isinstance(answer, int):
        return "The answer is a whole number."
    return None if answer == expected else "Cut each category at twice the smallest one, then add the sizes up."


def check_2(answer: Any, train: Sequence[Example], *_: Any) -> str | None:
    """Two different ids of one graph whose queries differ in literals only."""
    known = {example.id: example for example in train}
    if not isinstance(answer, (list, tuple)) or len(answer) != 2 or not set(answer) <= set(known):
        return "The answer is a pair of ids of the training part."
    first, second = (known[item] for item in answer)
    if first.output == second.output:
        return "The two queries are the same; look for two that differ."
    same = first.graph == second.graph and masked(first.output) == masked(second.output)
    return None if same else "Their masked queries or their graphs differ: compare masked(example.output)."


def check_3(answer: Any, *_: Any) -> str | None:
    """Parts that leak a query although no question is shared."""
    if not isinstance(answer, Mapping):
        return "The answer is a dictionary from a part's name to a list of examples."
    found = leakage(answer)
    if any("share the question" in line for line in found):
        return "A question is shared as well; change the wording of one of them."
    return None if any("share the query" in line for line in found) else "leakage() finds no shared query."
