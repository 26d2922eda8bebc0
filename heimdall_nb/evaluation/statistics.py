"""How sure a score is: intervals for shares and means, and the test for two models asked the same questions."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from heimdall_nb.errors import BadInput

Z_95 = 1.959963984540054  # the standard normal distribution's 97.5 % point


def wilson(successes: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927): it stays within 0 and 1 and is right for few items too.

    No items say nothing: (0, 1). Raises BadInput for impossible counts.
    """
    if not 0 <= successes <= total:
        raise BadInput(f"{successes} of {total} is no share", "wilson", "Give 0 <= successes <= total.")
    if total == 0:
        return 0.0, 1.0
    share = successes / total
    spread = Z_95 * math.sqrt(share * (1 - share) / total + Z_95**2 / (4 * total**2))
    centre, scale = share + Z_95**2 / (2 * total), 1 + Z_95**2 / total
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return (0.0 if successes == 0 else low, 1.0 if successes == total else high)


def bootstrap(values: Sequence[float], seed: int = 0, samples: int = 2000, level: float = 0.95) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean (Efron 1979); the same seed gives the same interval.

    Raises BadInput for no values.
    """
    if not values:
        raise BadInput("there are no values", "bootstrap", "Give at least one.")
    rng = random.Random(seed)
    means = sorted(math.fsum(rng.choices(values, k=len(values))) / len(values) for _ in range(samples))
    tail = (1 - level) / 2
    return means[math.floor(tail * (samples - 1))], means[math.ceil((1 - tail) * (samples - 1))]


def paired_bootstrap(
    first: Sequence[float], second: Sequence[float], seed: int = 0, samples: int = 2000
) -> tuple[float, float]:
    """The 95 % percentile interval of the mean difference `first - second` on the same items (Efron 1979).

    Items are drawn, not scores, so that what makes an item hard for both does not widen the interval (Koehn 2004).
    Raises BadInput when the lists are empty or not of one length.
    """
    return bootstrap([a - b for a, b in _paired(first, second, "paired_bootstrap")], seed, samples)


def over_seeds(shares: Sequence[float]) -> tuple[float, float]:
    """(mean, sample standard deviation) of a score over the seeds of sampled runs.

    Raises BadInput for fewer than two seeds: one run says nothing about the spread.
    """
    if len(shares) < 2:
        raise BadInput(f"{len(shares)} seeds have no spread", "over_seeds", "Run at least two seeds, better three.")
    return mean(shares), stdev(shares)


def _paired(first: Sequence[Any], second: Sequence[Any], where: str) -> list[tuple[Any, Any]]:
    if len(first) != len(second):
        raise BadInput(f"{len(first)} and {len(second)} items cannot be paired", where, "Score the same items.")
    return list(zip(first, second, strict=True))


@dataclass(frozen=True)
class Paired:
    """Two models on the same items: how many only one of them has right, and how likely that is by chance."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """McNemar's test, two-sided and exact (binomial): do two models differ on the same items?

    Raises BadInput when the lists are not of one length.
    """
    pairs = _paired(first, second, "mcnemar")
    only_first = sum(a and not b for a, b in pairs)
    only_second = sum(b and not a for a, b in pairs)
    differing = only_first + only_second
    tail = sum(math.comb(differing, k) for k in range(min(only_first, only_second) + 1))
    return Paired(only_first, only_second, min(1.0, 2 * tail / 2**differing))
