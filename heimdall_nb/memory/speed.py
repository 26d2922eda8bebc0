"""The speed that a machine allows: its bandwidth bounds writing, its arithmetic bounds reading. Bounds, no forecasts.

The two limits are those of the roofline model (Williams, Waterman, Patterson 2009, "Roofline: an insightful visual
performance model for multicore architectures"). Real programs reach a part of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heimdall_nb.memory.parts import Estimate
from heimdall_nb.memory.shape import Shape


@dataclass(frozen=True)
class Speed:
    """The most tokens a second of one conversation: reading a prompt, and writing after it."""

    reading: float
    writing: float

    def seconds(self, prompt: int, answer: int) -> float:
        """The least seconds for an answer, the prompt being new to the machine."""
        return prompt / self.reading + answer / self.writing


def speed(shape: Shape, estimate: Estimate, machine: Mapping[str, Any], prompt: int, context: int) -> Speed:
    """The bounds of a file with this `estimate` on a machine of data/hardware.yaml: a prompt in a context, in tokens.

    Reading: two operations for each weight of the linear layers and, for each earlier token, four times the width of
    the queries in every layer; on average half of the prompt is earlier. Writing: each token reads all weights once and
    the part of the cache that is filled, and computes the same as a token that is read, and the output layer.
    """
    rate, share = machine["teraflops"] * 1e12, min(1.0, prompt / context)
    attention = 4 * shape.layers * shape.query
    read = 2 * shape.linear_weights + attention * prompt / 2
    write = 2 * (shape.linear_weights + shape.vocabulary * shape.hidden) + attention * prompt
    moved = estimate.part("weights") + share * estimate.part("key-value cache")
    return Speed(rate / read, 1 / max(moved / (machine["bandwidth"] * 1e9), write / rate))
