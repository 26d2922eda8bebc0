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
    from heimdall_nb.models.llamacpp import LlamaCppModel
    from heimdall_nb.models.transformers_model import TransformersModel

LogLikelihood = tuple[float, int]  # the sum of natural log probabilities, and the number of tokens


def answer_perplexity(model: TransformersModel | LlamaCppModel | Path | str, examples: Sequence[Example]) -> float:
    """The `perplexity` of the gold answers of `examples`; see `answer_log_likelihoods`."""
    return perplexity(answer_log_likelihoods(model, examples))


def perplexity(pairs: Sequence[LogLikelihood]) -> float:
    """exp of the mean negative log-likelihood of all tokens (Jelinek, Mercer, Bahl and Baker 1977).

    Raises BadInput where there is no token.
    """
    count = sum(tokens for _, tokens in pairs)
    if not count:
        raise BadInput("no answer fits into the model's window", "perplexity", "Give examples, or shorter schemas.")
    return math.exp(-math.fsum(total for total, _ in pairs) / count)


def answer_log_likelihoods(
    model: TransformersModel | LlamaCppModel | Path | str, examples: Sequence[Example]
) -> list[LogLikelihood]:
    """For each example the log-likelihood of its gold answer with the end token, in order; the prompt is given.

    `model` is open, or the GGUF file or the folder of one. An answer that does not fit into the window counts (0, 0).
    Raises BadInput for a model that gives no probabilities.
    """
    opened = _open(model) if isinstance(model, (str, Path)) else None
    reader: Any = opened or model
    read = _from_logits if hasattr(reader, "model") else _from_log_probabilities
    try:
        if read is _from_log_probabilities and not hasattr(reader, "log_probabilities"):
            what = "gives no probabilities of tokens"
            raise BadInput(what, str(getattr(reader, "name", reader)), "Give a GGUF file or a model folder.")
        return [read(reader, example) for example in track(examples, f"perplexity of {reader.name}")]
    finally:
        if opened:
            opened.close()


def _open(path: Path | str) -> Any:
    if Path(path).suffix == ".gguf":
        from heimdall_nb.models.llamacpp import LlamaCppModel

        return LlamaCppModel(path)
    from heimdall_nb.models.transformers_model import TransformersModel

    return TransformersModel(path)


def _from_logits(model: Any, example: Example) -> LogLikelihood:
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


def _from_log_probabilities(model: Any, example: Example) -> LogLikelihood:
    prompt = render(prompt_of(example))
    text = prompt + example.output + TURN_END
    before, ids = model.tokens(prompt), model.tokens(text)
    if len(ids) > model.context:
        return 0.0, 0
    # A tokenizer may join the end of the prompt with the answer's first characters: then that token counts as answer.
    start = next((k for k, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))
    table = model.log_probabilities(text)
    return math.fsum(float(table[k - 1, ids[k]]) for k in range(start, len(ids))), len(ids) - start
