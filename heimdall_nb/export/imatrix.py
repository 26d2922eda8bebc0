"""Which numbers of each matrix matter most on given texts, for a quantiser that then rounds those more carefully."""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
import torch

from heimdall_nb.errors import BadInput
from heimdall_nb.export.gguf_file import ARCHITECTURES
from heimdall_nb.models.transformers_model import TransformersModel
from heimdall_nb.progress import track

Importance = dict[str, np.ndarray]


def importance(model_dir: Path | str, texts: Sequence[str]) -> Importance:
    """The mean square of what enters each column of each matrix while the model reads `texts`, by name in the GGUF.

    Texts like the model's real prompts give the best result; some dozens are enough. Raises BadInput without texts or
    for a folder that holds no model.
    """
    if not texts:
        raise BadInput("there are none", "texts", "Give some prompts with their answers.")
    model = TransformersModel(model_dir, dtype=torch.float32)
    config = model.model.config
    names = gguf.get_tensor_name_map(ARCHITECTURES[config.model_type], config.num_hidden_layers)
    sums: dict[str, torch.Tensor] = defaultdict(lambda: torch.zeros(1, dtype=torch.float64))
    counts: dict[str, int] = defaultdict(int)

    def watch(name: str, module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        rows = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).double().cpu()
        sums[name] = sums[name] + rows.square().sum(dim=0)
        counts[name] += len(rows)

    for name, module in model.model.named_modules():
        if isinstance(module, torch.nn.Linear):
            tied = name == "lm_head" and config.tie_word_embeddings
            module.register_forward_pre_hook(partial(watch, "token_embd" if tied else names.get_name(name)))
    for text in track(texts, "importance"):
        model.log_probabilities(text)
    model.close()
    return {f"{name}.weight": (total / counts[name]).float().numpy() for name, total in sums.items()}


def as_c_array(values: Importance) -> Any:
    """The matrix as llama.cpp's quantiser takes it. It points into `values`, which must outlive it."""
    array = (llama_cpp.llama_model_imatrix_data * (len(values) + 1))()  # an entry without a name ends it
    for entry, (name, columns) in zip(array, values.items(), strict=False):
        entry.name, entry.size = name.encode(), columns.size
        entry.data = columns.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return array
