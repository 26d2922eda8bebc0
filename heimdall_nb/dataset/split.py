"""Training, validation, few-shot and test parts that share no question and no query, and the proof that they do not.

Beside the plain test, whose items are like those of training, there can be three harder ones: their templates, their
graphs or their style of question occur in no other part.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from heimdall_nb.dataset.example import OWN_PARTS, Example, normalise
from heimdall_nb.dataset.held_out import HELD_OUT, choose
from heimdall_nb.dataset.validate import masked
from heimdall_nb.errors import BadInput

PARTS = ("train", "validation", "fewshot", "test")

# What two parts can share, read off an example without the code that splits.
SHARED: dict[str, Callable[[Example], Any]] = {
    "question": lambda e: " ".join((e.input if e.input.strip() else e.instruction).casefold().split()),
    "query": lambda e: (e.graph, " ".join(e.output.casefold().split()), "" if e.tells_by_answer else e.id),
    "id": lambda e: e.id,
    "template": lambda e: e.template,
    "graph": lambda e: e.graph,
    "style": lambda e: e.style,
}


def split(
    examples: Sequence[Example],
    seed: int,
    validation: int = 150,
    test: int = 200,
    fewshot: int = 40,
    template_test: int = 0,
    graph_test: int = 0,
    style_test: int = 0,
    reads_only: bool = True,
) -> dict[str, list[Example]]:
    """Exactly so many examples in each part, the rest in `train`; each part has its share of every graph and category.

    Validation has its share of each part of the mix as well. Examples that share a question or a query stay together.
    Test and few-shot parts hold executed reads only, unless `reads_only` is false; of other domains, any example.
    `test` is made of the same graphs, templates and styles as `train`; a size above 0 for another test adds
    `test_template`, `test_graph` or `test_style`.
    What these hold out occurs nowhere else, so that examples that fit no part are left out: `left_out` counts them.
    Raises BadInput when there are not enough examples.
    """
    sizes = {"validation": validation, "test": test, "fewshot": fewshot}
    held = dict(zip(HELD_OUT, (template_test, graph_test, style_test), strict=True))
    if min(*sizes.values(), *held.values()) < 0:
        raise BadInput("must not be negative", "the sizes of the parts")
    total = sum(sizes.values()) + sum(held.values())
    if total >= len(examples):
        what = f"{len(examples)} examples leave nothing to train on after {total}"
        raise BadInput(what, "validation, test, fewshot", "Generate more examples, or ask for smaller parts.")
    fits = _executed_read if reads_only else _anything
    order = {id(example): place for place, example in enumerate(examples)}
    groups = _in_proportion(_groups(examples), random.Random(f"split {seed}"))
    parts, waiting = choose(groups, {name: size for name, size in held.items() if size}, fits, seed)
    parts |= {name: [] for name in PARTS}
    for name, size in sizes.items():
        left: list[list[Example]] = []
        for group in _shares_first(waiting, size) if name == "validation" else waiting:
            taken = len(parts[name]) + len(group) <= size and (name == "validation" or all(map(fits, group)))
            parts[name] += group if taken else []
            if not taken:
                left.append(group)
        waiting = left
        if len(parts[name]) < size:
            what = f"only {len(parts[name])} of {size} examples can be set apart"
            raise BadInput(what, name, "Generate more examples, or ask for a smaller part.")
    parts["train"] = [example for group in waiting for example in group]
    if not parts["train"]:
        raise BadInput("nothing is left to train on", "train", "Generate more examples, or ask for smaller parts.")
    names = (*PARTS, *(name for name in parts if name not in PARTS))
    return {name: sorted(parts[name], key=lambda example: order[id(example)]) for name in names}


def _executed_read(example: Example) -> bool:
    if example.part not in OWN_PARTS:  # another domain: its own check proved each example
        return True
    return example.check.startswith("executed") and example.answer is not None


def _anything(example: Example) -> bool:
    return True


def _shares_first(groups: Sequence[list[Example]], size: int) -> list[list[Example]]:
    """The groups, those first that fill each part of the mix up to its share of `size`.

    One answer may have many questions, so that a part can be few large groups, and chance alone would leave it out.
    """
    counts = Counter(example.part for group in groups for example in group)
    room = {part: math.ceil(size * count / counts.total()) for part, count in counts.items()}
    first, later = [], []
    for group in groups:
        part = group[0].part
        fits = len(group) <= room[part]
        room[part] -= len(group) if fits else 0
        (first if fits else later).append(group)
    return first + later


def of_each_part(examples: Sequence[Example], number: int, seed: int) -> list[Example]:
    """At most `number` examples of each part of the mix, drawn by `seed`: part after part, each in its first order."""
    order = {id(example): place for place, example in enumerate(examples)}
    drawn: list[Example] = []
    for name in sorted({example.part for example in examples}):
        those = [example for example in examples if example.part == name]
        some = random.Random(f"of each part {seed} {name}").sample(those, min(number, len(those)))
        drawn += sorted(some, key=lambda example: order[id(example)])
    return drawn


def left_out(examples: Sequence[Example], parts: Mapping[str, Sequence[Example]]) -> int:
    """How many examples are in no part: what the held-out templates, graphs and style cost."""
    return len(examples) - sum(map(len, parts.values()))


def overview(parts: Mapping[str, Sequence[Example]]) -> list[list[Any]]:
    """For a table: each part with its examples, and how many templates, graphs and styles they have."""
    return [
        [name, len(part), *(len({getattr(e, what) for e in part}) for what in ("template", "graph", "style"))]
        for name, part in parts.items()
    ]


def _keys(example: Example) -> list[Hashable]:
    answer = [("query", example.graph, normalise(example.output))] * example.tells_by_answer
    return [*answer, ("question", normalise(example.question))]


def _groups(examples: Sequence[Example]) -> list[list[Example]]:
    """Examples that are connected by a shared query or question (connected components, by union-find)."""
    parent = list(range(len(examples)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = place = parent[parent[place]]
        return place

    first: dict[Hashable, int] = {}
    for place, example in enumerate(examples):
        for key in _keys(example):
            parent[root(place)] = root(first.setdefault(key, place))
    groups: dict[int, list[Example]] = {}
    for place, example in enumerate(examples):
        groups.setdefault(root(place), []).append(example)
    return list(groups.values())


def _in_proportion(groups: Iterable[list[Example]], rng: random.Random) -> list[list[Example]]:
    """An order of which every beginning holds each graph and category in about the proportion of the whole."""
    strata: dict[tuple[str, str], list[list[Example]]] = {}
    for group in groups:
        strata.setdefault((group[0].graph or "", group[0].category), []).append(group)
    placed = []
    for stratum in sorted(strata):
        members = strata[stratum]
        rng.shuffle(members)
        offset = rng.random()
        placed += [((place + offset) / len(members), stratum, group) for place, group in enumerate(members)]
    return [group for _, _, group in sorted(placed, key=lambda item: item[:2])]


def leakage(splits: Mapping[str, Sequence[Example]]) -> list[str]:
    """Every question, query or id that two parts share, and every template, graph or style that `test_template`,
    `test_graph` or `test_style` shares with another part, as sentences; empty when the parts are apart.

    Written without the code that splits, so that a fault there shows here.
    """
    found = []
    for (one, left), (other, right) in combinations(splits.items(), 2):
        for what, view in SHARED.items():
            if what in ("template", "graph", "style") and f"test_{what}" not in (one, other):
                continue
            shared = {view(example) for example in left} & {view(example) for example in right}
            found += [f"{one} and {other} share the {what} {item!r}" for item in sorted(shared, key=str)]
    return found


def masked_overlap(splits: Mapping[str, Sequence[Example]], train: str = "train") -> dict[str, float]:
    """For each part, the share of items whose query occurs in `train` with other values.

    No leak, but what the part can measure: with a high share it tests new values, not new shapes.
    """
    known = {(example.graph, masked(example.output)) for example in splits[train]}
    shares = {}
    for name, part in splits.items():
        if name != train and part:
            shares[name] = sum((e.graph, masked(e.output)) in known for e in part) / len(part)
    return shares
