"""An adapter merged into the weights that it was trained on, and how closely two models agree."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from heimdall_nb import prompts
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.models.transformers_model import add_adapter, load_4bit, load_tokenizer, load_weights
from heimdall_nb.progress import track
from heimdall_nb.run import read_json

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Scorer(Protocol):
    """What `agreement` compares: TransformersModel and LlamaCppModel both are."""

    def log_probabilities(self, text: str) -> np.ndarray: ...


def base_of(adapter: Path | str) -> Path | str:
    """The base model of an adapter: the folder `base` beside it, else the one its configuration names (a hub id)."""
    beside = Path(adapter).parent / "base"
    return beside if beside.is_dir() else read_json(Path(adapter) / "adapter_config.json")["base_model_name_or_path"]


def merge(
    base: Path | str, adapter: Path | str, output: Path | str, through_4bit: bool = True, dtype: str = "float32"
) -> Path:
    """Write base + adapter as one model folder; `output` appears when it is complete and replaces an older one.

    QLoRA trains the adapter on the 4-bit weights, so `through_4bit` merges it into exactly those, written out in
    `dtype`: they differ a little from the weights that the base was stored with, and the adapter makes up for it.
    Raises BadInput when base or adapter is missing or they do not fit.
    """
    if dtype not in DTYPES:
        raise BadInput(f"{dtype!r} is not a number format for weights", "dtype", f"Choose from {', '.join(DTYPES)}.")
    tokenizer = load_tokenizer(base)
    # Fresh from disk and on the CPU: 4-bit weights that have answered something may be repacked, see `load_4bit`.
    if through_4bit:
        model = _dequantised(load_4bit(base, "cpu"), DTYPES[dtype])
    else:
        model = load_weights(base, DTYPES[dtype], "cpu")
    merged = add_adapter(model, adapter).merge_and_unload(safe_merge=True)
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        merged.save_pretrained(temporary)
        tokenizer.chat_template = prompts.chat_template()
        tokenizer.save_pretrained(temporary)
        shutil.rmtree(output, ignore_errors=True)
        os.replace(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return output


def _dequantised(model: Any, dtype: torch.dtype) -> Any:
    """The numbers that a 4-bit model computes with, as `dtype`."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it warns that the result is not 4-bit any more, which is the purpose
    try:
        return model.dequantize().to(dtype)
    finally:
        transformers_logging.set_verbosity(verbosity)


def agreement(model_a: Scorer, model_b: Scorer, texts: Sequence[str]) -> dict[str, float]:
    """How closely two models agree about each next token of `texts`.

    Returns `mean_kl`, the Kullback-Leibler divergence of b from a in nats (0: the same distributions), `top1`, the
    share of places where both name the same likeliest token, and the counts `tokens` and `texts`. Raises HeimdallError
    when the two do not read the same tokens, or when probabilities are not numbers.
    """
    divergence, same, tokens = 0.0, 0, 0
    for text in track(texts, "agreement"):
        a, b = model_a.log_probabilities(text), model_b.log_probabilities(text)
        if a.shape != b.shape:
            raise HeimdallError(f"The two models read other tokens, or have other vocabularies: {a.shape}, {b.shape}.")
        divergence += float((np.exp(a) * (a - b)).sum())
        same += int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
        tokens += len(a)
    if not np.isfinite(divergence):
        raise HeimdallError("A model gives probabilities that are not numbers.")
    count = max(tokens, 1)
    return {"texts": len(texts), "tokens": tokens, "mean_kl": max(0.0, divergence / count), "top1": same / count}
