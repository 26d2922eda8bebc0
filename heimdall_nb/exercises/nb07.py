"""Checks of notebook 07's exercises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heimdall_nb.baselines.fewshot import exemplars
from heimdall_nb.baselines.react import Trace
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.evaluation.metrics import ItemScore
from heimdall_nb.models.protocol import Completion


def check_1(answer: Any, traces: Sequence[Trace]) -> str | None:
    """Tokens a question of ReAct."""
    right = sum(trace.prompt_tokens + trace.new_tokens for trace in traces) / len(traces)
    if isinstance(answer, int | float) and abs(answer - right) <= 0.5:
        return None
    return "Add prompt_tokens and new_tokens of all traces, and divide by the number of traces."


def check_2(answer: Any, questions: Sequence[Example], pool: Sequence[Example]) -> str | None:
    """The exemplar most similar to the second question."""
    found = exemplars(pool, questions[1], 1, "similar")
    if isinstance(answer, str) and [normalise(answer)] == [normalise(e.question) for e in found]:
        return None
    return "Call fewshot.exemplars(pool, questions[1], 1) and give the input of the example that it returns."


def check_3(answer: Any, few: Sequence[ItemScore], zero: Sequence[ItemScore]) -> str | None:
    """Questions that only few-shot has right."""
    right = sum(a.ex and not b.ex for a, b in zip(few, zero, strict=True))
    if isinstance(answer, int) and not isinstance(answer, bool) and answer == right:
        return None
    return "Go through both lists together and count where few-shot's ex is true and zero-shot's is false."


def check_4(answer: Any, greedy: Sequence[Completion], chosen: Sequence[Completion]) -> str | None:
    """Questions on which best of n did not keep the likeliest answer."""
    right = sum(a.text != b.text for a, b in zip(greedy, chosen, strict=True))
    if isinstance(answer, int) and not isinstance(answer, bool) and answer == right:
        return None
    return "Go through both lists together and count where their texts differ."
