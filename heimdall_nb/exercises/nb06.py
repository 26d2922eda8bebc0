"""Checks of notebook 06's exercises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_nb.context.memory import MIB, known_model
from heimdall_nb.context.profile import recommend

EXTRA = 400  # tokens of hints that exercise 1 adds to each prompt


def check_1(answer: Any, prompt_tokens: Sequence[int], max_new_tokens: int) -> str | None:
    """The context size when each prompt gets longer."""
    right = recommend([tokens + EXTRA for tokens in prompt_tokens], max_new_tokens).context
    if answer == right:
        return None
    return f"Add {EXTRA} to every prompt length, and call profile.recommend with the new list."


def check_2(answer: Any) -> str | None:
    """The cache of Qwen2.5-1.5B at 32768 tokens with one byte a number, in MiB."""
    right = known_model("qwen2.5-1.5b").cache_bytes(32768, bytes_per_value=1) / MIB
    if isinstance(answer, int | float) and abs(answer - right) <= 0.01 * right:
        return None
    return "Use cache_bytes of memory.known_model('qwen2.5-1.5b') with bytes_per_value=1; a MiB has 2**20 bytes."


def check_3(answer: Any, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """How many times faster writing is after a short prompt, at the largest measured size."""
    last = max(rows, key=lambda row: row["context"])
    right = last["new_per_second_short"] / last["new_per_second_full"]
    if isinstance(answer, int | float) and abs(answer - right) <= 0.05 * right:
        return None
    return "Divide new_per_second_short by new_per_second_full in the last row of the speed table."
