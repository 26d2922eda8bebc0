"""Checks of notebook 06's exercises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_nb.context.profile import recommend
from heimdall_nb.memory import shape_of
from heimdall_nb.memory.inference import cache_bytes
from heimdall_nb.memory.parts import MIB

EXTRA = 400  # tokens of hints that exercise 1 adds to each prompt


def check_1(answer: Any, prompt_tokens: Sequence[int], max_new_tokens: int) -> str | None:
    """The context size when each prompt gets longer."""
    right = recommend([tokens + EXTRA for tokens in prompt_tokens], max_new_tokens).context
    if answer == right:
        return None
    return f"Add {EXTRA} to every prompt length, and call profile.recommend with the new list."


def check_2(answer: Any) -> str | None:
    """The cache of Qwen2.5-1.5B at 32768 tokens in Q8_0, in MiB."""
    right = cache_bytes(shape_of("Qwen/Qwen2.5-1.5B-Instruct"), 32768, "Q8_0") / MIB
    if isinstance(answer, int | float) and abs(answer - right) <= 0.01 * right:
        return None
    return "Call cache_bytes(shape_of('Qwen/Qwen2.5-1.5B-Instruct'), 32768, 'Q8_0'); a MiB has 2**20 bytes."


def check_3(answer: Any, found: Mapping[str, Any]) -> str | None:
    """How many times faster writing is behind the shortest measured prompt than behind the longest one."""
    rates = [(row["prompt_tokens"], row["write"]) for row in found["rows"] if row["write"]]
    right = min(rates)[1] / max(rates)[1]
    if isinstance(answer, int | float) and abs(answer - right) <= 0.05 * right:
        return None
    return "Divide `write` of the row with the smallest depth by `write` of the row with the largest one."


def check_4(answer: Any, prompt_tokens: Sequence[int], tokens_a_label: float, max_new_tokens: int) -> str | None:
    """How many labels more the schema can have before the longest prompt and an answer leave 2,048 tokens."""
    right = int((2048 - max(prompt_tokens) - max_new_tokens) // tokens_a_label)
    if isinstance(answer, int | float) and abs(answer - right) <= 1:
        return None
    return "Take the longest prompt and the answer from 2048, and divide what is left by the tokens of a label."
