"""How closely two models agree about each next token, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from heimdall_nb.errors import HeimdallError
from heimdall_nb.progress import track


class Scorer(Protocol):
    """What `agreement` compares: TransformersModel and LlamaCppModel both are."""

    def tokens(self, text: str) -> list[int]: ...

    def log_probabilities(self, text: str) -> np.ndarray: ...


def agreement(
    model_a: Scorer, model_b: Scorer, texts: Sequence[str], prompts: Sequence[str] | None = None
) -> dict[str, float]:
    """How closely two models agree about each next token of `texts`.

    With `prompts`, the beginning of each text, only what follows them counts: there a model that was trained on answers
    alone says what it has learnt. Returns `mean_kl`, the Kullback-Leibler divergence of b from a in nats (0: the same
    distributions), `top1`, the share of places where both name the same likeliest token, and the counts `tokens` and
    `texts`. Raises HeimdallError when the two do not read the same tokens, or when probabilities are not numbers.
    """
    divergence, same, tokens = 0.0, 0, 0
    for text, prompt in track(list(zip(texts, prompts or [""] * len(texts), strict=True)), "agreement"):
        a, b = model_a.log_probabilities(text), model_b.log_probabilities(text)
        if a.shape != b.shape:
            raise HeimdallError(f"The two models read other tokens, or have other vocabularies: {a.shape}, {b.shape}.")
        if prompt:  # the last token of the prompt foretells the first of the answer; nothing follows the last one
            start = len(model_a.tokens(prompt)) - 1
            a, b = a[start:-1], b[start:-1]
        divergence += float((np.exp(a) * (a - b)).sum())
        same += int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
        tokens += len(a)
    if not np.isfinite(divergence):
        raise HeimdallError("A model gives probabilities that are not numbers.")
    count = max(tokens, 1)
    return {"texts": len(texts), "tokens": tokens, "mean_kl": max(0.0, divergence / count), "top1": same / count}
