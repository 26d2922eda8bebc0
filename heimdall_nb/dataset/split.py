"""Training, validation, few-shot and test parts that share no question and no query, and the proof that they do not."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations

from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.validate import masked
from heimdall_nb.errors import BadInput

PARTS = ("train", "validation", "fewshot", "test")


def split(
    examples: Sequence[Example], seed: int, validation: int = 150, test: int = 200, fewshot: int = 40
) -> dict[str, list[Example]]:
    """Exactly so many examples in each part, the rest in `train`; each part has its share of every graph and category.

    Examples that share a question or a query stay together. Test and few-shot parts hold executed reads only.
    Raises BadInput when there are not enough examples.
    """
    sizes = {"validation": validation, "test": test, "fewshot": fewshot}
    if sum(sizes.values()) >= len(examples):
        what = f"{len(examples)} examples leave nothing to train on after {sum(sizes.values())}"
        raise BadInput(what, "validation, test, fewshot", "Generate more examples, or ask for smaller parts.")
    waiting = _in_proportion(_groups(examples), random.Random(f"split {seed}"))
    parts: dict[str, list[Example]] = {name: [] for name in PARTS}
    for name, size in sizes.items():
        left: list[list[Example]] = []
        for group in waiting:
            fits = len(parts[name]) + len(group) <= size and (name == "validation" or all(map(_executed_read, group)))
            parts[name] += group if fits else []
            if not fits:
                left.append(group)
        waiting = left
        if len(parts[name]) < size:
            what = f"only {len(parts[name])} of {size} examples can be set apart"
            raise BadInput(what, name, "Generate more examples, or ask for a smaller part.")
    parts["train"] = [example for group in waiting for example in group]
    order = {id(example): place for place, example in enumerate(examples)}
    return {name: sorted(parts[name], key=lambda example: order[id(example)]) for name in PARTS}


def _executed_read(example: Example) -> bool:
    return example.check == "executed" and example.answer is not None


def _keys(example: Example) -> tuple[Hashable, Hashable]:
    return ("query", example.graph, normalise(example.output)), ("question", normalise(example.input))


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
    """Every question, query or id that two parts share, as sentences; empty when the parts are apart.

    Written without the grouping above, so that a fault there shows here.
    """
    views = {
        "question": lambda e: " ".join(e.input.casefold().split()),
        "query": lambda e: (e.graph, " ".join(e.output.casefold().split())),
        "id": lambda e: e.id,
    }
    found = []
    for (one, left), (other, right) in combinations(splits.items(), 2):
        for what, view in views.items():
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
