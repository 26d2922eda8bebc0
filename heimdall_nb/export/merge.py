"""An adapter merged into the weights that it was trained on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from heimdall_nb import prompts
from heimdall_nb.errors import BadInput
from heimdall_nb.models.transformers_model import add_adapter, double_scales, load_4bit, load_tokenizer, load_weights

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
        model = _dequantised(load_4bit(base, "cpu", double=double_scales(adapter)), DTYPES[dtype])
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
