"""Checks of notebook 03's exercises."""

from __future__ import annotations

from typing import Any

from heimdall_nb.prompts import TURN_END

BLOCK, SCALES_PER_GROUP = 64, 256  # NF4 with double quantisation, as bitsandbytes does it


def check_1(answer: Any) -> str | None:
    """Bits a weight: 4, its part of an 8-bit scale, and that scale's part of a 32-bit number."""
    right = 4 + 8 / BLOCK + 32 / (BLOCK * SCALES_PER_GROUP)
    try:
        off = float(answer) - right
    except (TypeError, ValueError):
        return "Give a number."
    if abs(off) < 0.01:
        return None
    if abs(off - (4 + 32 / BLOCK - right)) < 0.01:
        return "This is without double quantisation: the scale itself takes 8 bits, not 32."
    return f"Each weight takes 4 bits and a share of 1/{BLOCK} in the scale."


def check_2(answer: Any, trainable: int) -> str | None:
    """The number of parameters that the run trained."""
    if not isinstance(answer, int) or isinstance(answer, bool):
        return "Give an integer."
    if answer == trainable:
        return None
    hint = "Sum lora_rank * (outputs + inputs) over all layers, and add the embeddings if they are trained; "
    return hint + ("too few." if answer < trainable else "too many.")


def check_3(answer: Any, pair: Any, tokenizer: Any) -> str | None:
    """One conversation that teaches the answers of both examples."""
    from heimdall_nb.training.rows import supervised_text

    try:
        roles = [message["role"] for message in answer]
        learnt = supervised_text(tokenizer, answer)
    except (TypeError, KeyError):
        return "Give the list of messages that prompts.conversation makes."
    if roles.count("system") != 1 or pair[0].schema not in answer[0]["content"]:
        return "The schema must be there once, in the system message."
    missing = [item.output for item in pair if item.output + TURN_END not in learnt]
    if missing:
        return f"This answer is not learnt: {missing[0]}"
    unasked = [item.input for item in pair if item.input not in [m["content"] for m in answer if m["role"] == "user"]]
    return f"This question is not asked: {unasked[0]}" if unasked else None
