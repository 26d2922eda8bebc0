"""Several datasets as one, in given proportions: for a model of many tasks, or new examples among general ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from heimdall_nb.dataset.example import Example, load, normalise
from heimdall_nb.dataset.mix import divided
from heimdall_nb.dataset.validate import COPY_MARK
from heimdall_nb.errors import BadInput


def mixture(sources: Sequence[tuple[Path, float]], examples: int, seed: int, repeat: bool = False) -> list[Example]:
    """`examples` examples (0: as many as there can be) in proportion to the sources' weights, in a seeded order.

    A question that occurs twice, within a source or in two, counts for the first source that has it. Where a source
    has fewer examples than its share, all of them are repeated in turn if `repeat`, each repetition with a marked id.
    The same files, weights and seed give the same list. Raises BadInput for a weight that is not positive, and for a
    share that is larger than its source; the message says how many examples there can be.
    """
    if not sources or not all(0 < weight < 1e9 for _, weight in sources):
        raise BadInput("must be positive, one for each source", "weights", "Leave out a source of weight 0.")
    if examples < 0:
        raise BadInput(f"{examples} is no number of examples", "examples", "Give 0 for as many as there can be.")
    weights = [weight for _, weight in sources]
    pools = _without_duplicates([load(path) for path, _ in sources])
    for (path, _), pool in zip(sources, pools, strict=True):
        if not pool:
            raise BadInput("holds no example that the sources before it do not have", str(path), "Leave it out.")
    most = _most(list(map(len, pools)), weights)
    shares = divided(examples or most, weights)
    for (path, _), pool, share in zip(sources, pools, shares, strict=True):
        if share > len(pool) and not repeat:
            what = f"has {len(pool)} different examples, and its share of {examples} is {share}"
            raise BadInput(what, str(path), f"Ask for at most {most}, lower its weight, or repeat what there is.")
    found: list[Example] = []
    for (place, pool), share in zip(enumerate(pools), shares, strict=True):
        rng = random.Random(f"mixture source {place} {seed}")
        found += islice(_turns(rng.sample(pool, len(pool))), share)
    random.Random(f"mixture order {seed}").shuffle(found)
    return found


def _without_duplicates(pools: Sequence[Sequence[Example]]) -> list[list[Example]]:
    """Each source without questions that were asked before, in itself or in a source before it."""
    seen: set[tuple[str, str, str]] = set()
    kept: list[list[Example]] = []
    for pool in pools:
        kept.append([])
        for example in pool:
            key = (example.instruction, example.graph or "", normalise(f"{example.schema}\x1f{example.input}"))
            if key not in seen:
                seen.add(key)
                kept[-1].append(example)
    return kept


def _turns(pool: Sequence[Example]) -> Iterator[Example]:
    """The examples again and again; from the second turn on, the mark in the id says that it is a copy."""
    yield from pool
    for turn in count(1):
        for example in pool:
            yield replace(example, id=f"{example.id}{COPY_MARK}{turn}")


def _most(sizes: Sequence[int], weights: Sequence[float]) -> int:
    """The most examples that can be had in these proportions when nothing is repeated."""
    number = min(int((size + 1) * sum(weights) / weight) for size, weight in zip(sizes, weights, strict=True))
    while any(share > size for share, size in zip(divided(number, weights), sizes, strict=True)):
        number -= 1  # a few steps: rounding gives a source one more or one less than its part
    return number
