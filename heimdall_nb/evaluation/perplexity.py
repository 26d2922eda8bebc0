"""How surprised a model is by the right answer: perplexity a token, which needs no execution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.answers import prompt_of
from heimdall_nb.progress import track
from heimdall_nb.prompts import TURN_END, render

if TYPE_CHECKING:
    from heimdall_nb.models.transformers_model import TransformersModel


def answer_perplexity(model: TransformersModel | Path | str, examples: Sequence[Example]) -> float:
    """exp of the mean negative log-likelihood of the gold answers' tokens, each answer with its end token.

    Perplexity after Jelinek, Mercer, Bahl and Baker (1977), over the answer alone: the prompt is given. `model` is a
    TransformersModel or the folder of one. Raises BadInput for no examples, or none that fits into the window.
    """
    from heimdall_nb.models.transformers_model import TransformersModel

    opened = None if isinstance(model, TransformersModel) else TransformersModel(model)
    reader = opened or model
    try:
        pairs = [_log_likelihood(reader, example) for example in track(examples, f"perplexity of {reader.name}")]
    finally:
        if opened:
            opened.close()
    count = sum(tokens for _, tokens in pairs)
    if not count:
        raise BadInput("no answer fits into the model's window", "perplexity", "Give examples, or shorter schemas.")
    return math.exp(-math.fsum(total for total, _ in pairs) / count)


def _log_likelihood(model: Any, example: Example) -> tuple[float, int]:
    """(sum of natural log probabilities, number of tokens) of the answer; (0, 0) when it does not fit."""
    import torch

    prompt = model.tokens(render(prompt_of(example)))
    answer = model.tokens(example.output + TURN_END)
    if len(prompt) + len(answer) > model.context:
        return 0.0, 0
    ids = torch.tensor([prompt + answer], device=model.model.device)
    with torch.inference_mode():
        # Logits of the prompt's last position and of the answer but its last: those that predict the answer.
        logits = model.model(input_ids=ids, logits_to_keep=len(answer) + 1).logits[0, :-1].float()
    chosen = torch.log_softmax(logits, dim=-1).gather(1, ids[0, len(prompt) :, None])
    return float(chosen.double().sum()), len(answer)
