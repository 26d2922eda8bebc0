"""How a model turns its attention by position (RoPE), under the names that llama.cpp reads."""

from __future__ import annotations

import math
from typing import Any

import gguf
import numpy as np
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from heimdall_nb.errors import BadInput

# Which scalings llama.cpp computes for an architecture as transformers does. `llama3` and `longrope` divide each
# frequency by a number of its own, which the file holds as a tensor that only these two architectures read.
SCALINGS = {
    "qwen2": ("default", "linear", "yarn"),
    "qwen3": ("default", "linear", "yarn"),
    "llama": ("default", "linear", "yarn", "llama3"),
    "phi3": ("default", "longrope"),
}

Extra = dict[str, np.ndarray]


def head_width(config: Any) -> int:
    """Numbers in one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def add_rope(writer: gguf.GGUFWriter, config: Any, where: str) -> Extra:
    """Write the rotary settings of a transformers `config`; returns the tensors (float32) that go with them.

    `where` is the path for messages. Raises BadInput for a scaling that llama.cpp does not know for this model.
    """
    rope = config.rope_parameters or {"rope_theta": 10_000.0}
    kind = rope.get("rope_type", "default")
    known = SCALINGS[config.model_type]
    if kind not in known:
        what = f"scales RoPE as {kind!r}, which llama.cpp does not compute for {config.model_type}"
        raise BadInput(what, where, f"Known are {', '.join(known)}.")
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(int(head_width(config) * rope.get("partial_rotary_factor", 1.0)))
    try:
        return _SCALERS[kind](writer, config, rope)
    except KeyError as missing:
        raise BadInput(f"scales RoPE without saying {missing}", where, "Copy the model's config.json again.") from None


def _unscaled(writer: gguf.GGUFWriter, config: Any, rope: dict[str, Any]) -> Extra:
    return {}


def _linear(writer: gguf.GGUFWriter, config: Any, rope: dict[str, Any]) -> Extra:
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(rope["factor"])
    return {}


def _yarn(writer: gguf.GGUFWriter, config: Any, rope: dict[str, Any]) -> Extra:
    factor = rope["factor"]
    _, attention = ROPE_INIT_FUNCTIONS["yarn"](config, torch.device("cpu"))
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(factor)
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    # llama.cpp multiplies this number by the usual one itself
    writer.add_rope_scaling_attn_factors(attention / (0.1 * math.log(factor) + 1.0) if factor > 1 else attention)
    writer.add_rope_scaling_yarn_beta_fast(rope.get("beta_fast") or 32.0)
    writer.add_rope_scaling_yarn_beta_slow(rope.get("beta_slow") or 1.0)
    return {}


def _llama3(writer: gguf.GGUFWriter, config: Any, rope: dict[str, Any]) -> Extra:
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    width = 2 * len(scaled)
    plain = 1.0 / rope["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    return {"rope_freqs.weight": (plain / scaled).float().numpy()}


def _longrope(writer: gguf.GGUFWriter, config: Any, rope: dict[str, Any]) -> Extra:
    _, attention = ROPE_INIT_FUNCTIONS["longrope"](config, torch.device("cpu"))
    writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    writer.add_rope_scaling_attn_factors(attention)
    return {f"rope_factors_{n}.weight": np.array(rope[f"{n}_factor"], dtype=np.float32) for n in ("long", "short")}


_SCALERS = {"default": _unscaled, "linear": _linear, "yarn": _yarn, "llama3": _llama3, "longrope": _longrope}
