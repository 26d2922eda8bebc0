"""How long the prompts of a dataset are, in the tokens of the model that will read them, and what context they need."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heimdall_nb import prompts
from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput
from heimdall_nb.progress import track

Tokenise = Callable[[str], Sequence[int]]
Counts = Callable[[Sequence[str]], Sequence[int]]
CHUNK = 4096  # texts that are counted at once
SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768)
PARTS = ("schema", "question", "answer", "prompt")


def lengths(tokenise: Tokenise, examples: Sequence[Example], counts: Counts | None = None) -> dict[str, list[int]]:
    """Tokens of each example's schema, question, answer and whole prompt (chat format included, answer excluded).

    `tokenise` gives the token ids of a text, e.g. `LlamaCppModel.tokens`; `counts` the numbers of tokens of many texts,
    where a tokenizer does that faster than one by one. Raises BadInput when there are no examples.
    """
    if not examples:
        raise BadInput("holds no examples", "dataset", "Run stage 02 first.")
    # A turn begins with a special token, and no other token goes across it: the turns are counted one by one.
    apart = len(tokenise(prompts.TURN_START)) == 1
    rows = [_texts(example, apart) for example in examples]
    texts = list(dict.fromkeys(text for row in rows for text in row if text))  # schemas repeat in every example
    known = {"": 0}
    for at in track(range(0, len(texts), CHUNK), "token lengths"):
        part = texts[at : at + CHUNK]
        known |= zip(part, counts(part) if counts else [len(tokenise(text)) for text in part], strict=True)
    found: dict[str, list[int]] = {part: [known[row[place]] for row in rows] for place, part in enumerate(PARTS)}
    found["prompt"] = [known[row[-2]] + known[row[-1]] for row in rows]
    return found


def _texts(example: Example, apart: bool) -> tuple[str, ...]:
    """Schema, question, answer, and the prompt in two parts: all turns but the last, and the last; or whole."""
    *before, asked = prompts.conversation(example.input, example.schema, example.task)
    head, tail = prompts.render(before, generation_prompt=False), prompts.render([asked])
    turns = (head, tail) if apart else ("", head + tail)
    return (example.schema, example.input, example.output, *turns)


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
    share: float = 1.0,
) -> Recommendation:
    """The smallest size that holds the longest prompt and `max_new_tokens` more, with what the p95 would have needed.

    `declared` is the context that the model was made for; a larger need is said in the reason. With a `share` below 1
    the longest prompts may be beyond the size, so many that this share (0 to 1) is within it.
    Raises BadInput when no size is large enough.
    """
    longest, p95 = percentile(prompt_tokens, share), percentile(prompt_tokens, 0.95)
    need = longest + max_new_tokens
    context = _smallest(need, sizes)
    if context is None:
        raise BadInput(f"needs {need} tokens, more than {max(sizes)}", "longest prompt", "Shorten the schema text.")
    which = "the longest" if share == 1 else f"{share:.4g} of all"
    reason = (
        f"{context} is the smallest size that holds {which} of {len(prompt_tokens)} prompts "
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
