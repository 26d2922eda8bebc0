"""From a Hugging Face folder to a GGUF file: the tensors under llama.cpp's names, the tokenizer, the chat template."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from heimdall_nb import prompts
from heimdall_nb.errors import BadInput
from heimdall_nb.progress import track
from heimdall_nb.run import read_json

# Other architectures need more than names: Llama's attention rows are stored in another order, Phi-3 scales RoPE.
ARCHITECTURES = {"qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3}
KINDS = {
    "F32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "F16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "BF16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}


def write_gguf(
    model_dir: Path | str,
    output: Path | str,
    kind: str = "F16",
    name: str = "heimdall",
    licence: str = "",
    base_model: str = "",
) -> Path:
    """Write the model in `model_dir` (Qwen2 or Qwen3) as one GGUF file; `output` appears when it is complete.

    Matrices are stored as `kind` (F16, BF16 or F32), vectors as F32. `licence` and `base_model` go into the metadata.
    Raises BadInput when the folder holds no such model.
    """
    model_dir, output = Path(model_dir), Path(output)
    if kind not in KINDS:
        raise BadInput(f"{kind!r} is not a kind that is written directly", "kind", f"Choose from {', '.join(KINDS)}.")
    config = _config(model_dir)
    matrix_type, file_type = KINDS[kind]
    with replacing(output) as temporary:
        writer = gguf.GGUFWriter(temporary, config["model_type"])
        try:
            _add_general(writer, name, licence, base_model, file_type)
            _add_architecture(writer, config, model_dir)
            _add_tokenizer(writer, model_dir, config["vocab_size"])
            _write_tensors(writer, model_dir, config, matrix_type)
        finally:
            writer.close()
    return output


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """A temporary path beside `output`, renamed to it at the end, or removed when something goes wrong."""
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)


def _config(model_dir: Path) -> dict[str, Any]:
    config = read_json(model_dir / "config.json")
    where = str(model_dir / "config.json")
    if config.get("model_type") not in ARCHITECTURES:
        remedy = f"Supported are {', '.join(ARCHITECTURES)}; for others use llama.cpp's convert_hf_to_gguf.py."
        raise BadInput(f"has the architecture {config.get('model_type')!r}", where, remedy)
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise BadInput("scales RoPE, which this writer does not store", where, "Use a model without rope scaling.")
    if config.get("use_sliding_window"):
        raise BadInput("uses sliding windows, which this writer does not store", where, "Set use_sliding_window false.")
    return config


def _add_general(writer: gguf.GGUFWriter, name: str, licence: str, base_model: str, file_type: int) -> None:
    writer.add_type("model")
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    if base_model:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, base_model.rsplit("/", 1)[-1])
        if "/" in base_model:
            writer.add_base_model_repo_url(0, f"https://huggingface.co/{base_model}")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_architecture(writer: gguf.GGUFWriter, config: dict[str, Any], model_dir: Path) -> None:
    """The numbers that llama.cpp builds the network from, under the names of config.json."""
    try:
        heads = config["num_attention_heads"]
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(heads)
        writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        rope = config.get("rope_parameters") or config
        writer.add_rope_freq_base(rope.get("rope_theta", 10_000.0))
        if config["model_type"] == "qwen3":
            width = config.get("head_dim") or config["hidden_size"] // heads
            writer.add_key_length(width)
            writer.add_value_length(width)
    except KeyError as missing:
        raise BadInput(f"lacks {missing}", str(model_dir / "config.json"), "Export the model again.") from None


def _add_tokenizer(writer: gguf.GGUFWriter, model_dir: Path, vocab_size: int) -> None:
    path = model_dir / "tokenizer.json"
    tokenizer = read_json(path)
    if tokenizer["model"].get("type") != "BPE":
        raise BadInput("is not a byte-level BPE tokenizer", str(path), "Use a model with Qwen's tokenizer.")
    ids = dict(tokenizer["model"]["vocab"])
    types = dict.fromkeys(ids, gguf.TokenType.NORMAL)
    for token in tokenizer["added_tokens"]:
        ids[token["content"]] = token["id"]
        types[token["content"]] = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
    for needed in prompts.SPECIAL_TOKENS:
        if needed not in ids:
            raise BadInput(f"lacks the token {needed}", str(path), "Add ChatML's tokens before training.")
    if max(ids.values()) >= vocab_size:
        raise BadInput(f"has more tokens than the model's {vocab_size} embeddings", str(path), "Export both together.")
    names = {number: text for text, number in ids.items()}
    tokens = [names.get(i, f"[PAD{i}]") for i in range(vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([types.get(token, gguf.TokenType.UNUSED) for token in tokens])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(ids[prompts.TURN_END])
    writer.add_pad_token_id(ids[prompts.END_OF_TEXT])
    writer.add_add_bos_token(False)
    writer.add_chat_template(prompts.chat_template(generation_markers=False))


def _write_tensors(
    writer: gguf.GGUFWriter, model_dir: Path, config: dict[str, Any], matrix_type: gguf.GGMLQuantizationType
) -> None:
    """Announce all tensors, then write them one by one, so that one tensor at a time is in memory."""
    names = gguf.get_tensor_name_map(ARCHITECTURES[config["model_type"]], config["num_hidden_layers"])
    plan = []
    for file, name, shape in _tensors(model_dir):
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue  # the embeddings serve as the output too
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            what = f"holds {name}, which {config['model_type']} does not have"
            raise BadInput(what, str(file), "Merge the adapter first (heimdall_nb.export.merge).")
        kind = matrix_type if len(shape) > 1 else gguf.GGMLQuantizationType.F32
        size = int(np.prod(shape)) * (4 if kind == gguf.GGMLQuantizationType.F32 else 2)
        stored = np.dtype(np.float32 if kind == gguf.GGMLQuantizationType.F32 else np.float16)
        writer.add_tensor_info(target, shape, stored, size, raw_dtype=kind)
        plan.append((file, name, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for file, name, kind in track(plan, "GGUF tensors"):
        with safe_open(file, framework="pt") as tensors:
            values = tensors.get_tensor(name).to(torch.float32).numpy()
        writer.write_tensor_data(gguf.quants.quantize(values, kind))


def _tensors(model_dir: Path) -> list[tuple[Path, str, list[int]]]:
    """(file, name, shape) of every tensor in the folder's safetensors files."""
    index = model_dir / "model.safetensors.index.json"
    files = sorted(set(read_json(index)["weight_map"].values())) if index.exists() else ["model.safetensors"]
    found = []
    for file in (model_dir / name for name in files):
        try:
            with safe_open(file, framework="pt") as tensors:
                found += [(file, name, tensors.get_slice(name).get_shape()) for name in sorted(tensors.keys())]
        except (OSError, SafetensorError, json.JSONDecodeError) as problem:
            what = f"cannot be read as safetensors ({str(problem).splitlines()[0]})"
            raise BadInput(what, str(file), "Export the model again.") from None
    return found
