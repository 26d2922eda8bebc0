"""What training and inference would do to each item for want of room: nothing is cut without being named here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heimdall_nb.context.items import Items

END = 1  # token that ends an answer


@dataclass(frozen=True)
class Limits:
    """Tokens: a training row's, a context's, and the longest answer that inference allows."""

    max_length: int
    context: int
    max_new_tokens: int


def training(prompt: int, answer: int, limits: Limits) -> str:
    """`kept`, or `left out`: training drops a question whose answer does not end within a row, and cuts none."""
    return "kept" if prompt + answer + END <= limits.max_length else "left out"


def inference(prompt: int, answer: int, limits: Limits) -> str:
    """`whole`; `refused`, when the prompt alone fills the context; or after how many tokens the answer is cut."""
    if prompt >= limits.context:
        return "refused"
    room = min(limits.max_new_tokens, limits.context - prompt)
    return "whole" if answer + END <= room else f"cut after {room}"


def of_items(items: Items, found: Mapping[str, Sequence[int]], limits: Limits) -> list[dict[str, Any]]:
    """One record an item: its line and id, its tokens, and what training and inference would do to it."""
    return [
        {
            "line": line,
            "id": example.id,
            **{part: values[place] for part, values in found.items()},
            "training": training(found["prompt"][place], found["answer"][place], limits),
            "inference": inference(found["prompt"][place], found["answer"][place], limits),
        }
        for place, (line, example) in enumerate(zip(items.lines, items.examples, strict=True))
    ]


def affected(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records that training leaves out, or that inference refuses or cuts."""
    return [r for r in records if r["training"] != "kept" or r["inference"] != "whole"]
