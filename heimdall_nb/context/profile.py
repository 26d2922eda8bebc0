"""How long the prompts of a dataset are, in the tokens of the model that will read them, and what context they need."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from heimdall_nb import prompts
from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput

Tokenise = Callable[[str], Sequence[int]]
SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768)
PARTS = ("schema", "question", "answer", "prompt")


def lengths(tokenise: Tokenise, examples: Sequence[Example]) -> dict[str, list[int]]:
    """Tokens of each example's schema, question, answer and whole prompt (chat format included, answer excluded).

    `tokenise` gives the token ids of a text, e.g. `LlamaCppModel.tokens`. Raises BadInput when there are no examples.
    """
    if not examples:
        raise BadInput("holds no examples", "dataset", "Run stage 02 first.")
    count = cache(lambda text: len(tokenise(text)))  # schemas repeat in every example
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    for example in examples:
        conversation = prompts.conversation(example.input, example.schema, example.task)
        texts = (example.schema, example.input, example.output, prompts.render(conversation))
        for part, text in zip(PARTS, texts, strict=True):
            found[part].append(count(text))
    return found


def percentile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(found: Mapping[str, Sequence[int]]) -> list[dict[str, float | int | str]]:
    """One row a part: mean, p50, p95, p99 and max, in tokens."""
    return [
        {
            "part": part,
            "mean": round(sum(values) / len(values), 1),
            **{f"p{round(100 * share)}": percentile(values, share) for share in (0.5, 0.95, 0.99)},
            "max": max(values),
        }
        for part, values in found.items()
    ]


def shares(prompt_tokens: Sequence[int], max_new_tokens: int, sizes: Sequence[int] = SIZES) -> dict[int, float]:
    """For each context size, the share of prompts (0 to 1) that fit in it together with the longest answer."""
    return {size: sum(n + max_new_tokens <= size for n in prompt_tokens) / len(prompt_tokens) for size in sizes}


@dataclass(frozen=True)
class Recommendation:
    """A context size in tokens, and the sentence that says why."""

    context: int
    reason: str


def recommend(
    prompt_tokens: Sequence[int],
    max_new_tokens: int,
    declared: int | None = None,
    sizes: Sequence[int] = SIZES,
) -> Recommendation:
    """The smallest size that holds the longest prompt and `max_new_tokens` more, with what the p95 would have needed.

    `declared` is the context that the model was made for; a larger need is said in the reason.
    Raises BadInput when no size is large enough.
    """
    longest, p95 = max(prompt_tokens), percentile(prompt_tokens, 0.95)
    need = longest + max_new_tokens
    context = _smallest(need, sizes)
    if context is None:
        raise BadInput(f"needs {need} tokens, more than {max(sizes)}", "longest prompt", "Shorten the schema text.")
    reason = (
        f"{context} is the smallest size that holds the longest of {len(prompt_tokens)} prompts "
        f"({longest} tokens) and {max_new_tokens} tokens of answer"
    )
    usual = _smallest(p95 + max_new_tokens, sizes)
    if usual == context:
        reason += f"; the 95th percentile ({p95}) needs the same size."
    else:
        lost = sum(n + max_new_tokens > usual for n in prompt_tokens)
        reason += f"; the 95th percentile ({p95}) would choose {usual}, and cut {lost} of the prompts."
    if declared is not None and need > declared:
        reason += f" The model was made for {declared} tokens: beyond them its answers are not to be trusted."
    return Recommendation(context, reason)


def _smallest(need: int, sizes: Sequence[int]) -> int | None:
    return min((size for size in sizes if size >= need), default=None)
