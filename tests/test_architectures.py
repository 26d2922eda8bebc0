"""What the exported architectures have of their own: rotary positions, tokenizers, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny_architectures
from safetensors.torch import load_file, save_file

from heimdall_nb.errors import BadInput
from heimdall_nb.export.agreement import agreement
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.transformers_model import TransformersModel
from heimdall_nb.run import read_json, write_json

LONG, SHORT = tiny_architectures.TEXTS[0] * 4, tiny_architectures.TEXTS[0][:60]
FACTORS = {"short_factor": [1.0 + 0.1 * i for i in range(8)], "long_factor": [1.0 + i for i in range(8)]}
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 256} | FACTORS
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "theta": ("qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
    "yarn": ("qwen2", {"rope_parameters": YARN}),
    "yarn with its own attention": ("qwen3", {"head_dim": 32, "rope_parameters": YARN | {"attention_factor": 1.3}}),
    "linear": ("llama", {"rope_parameters": LINEAR}),
    "llama3": ("llama3", {}),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "wide heads": ("llama", {"head_dim": 32}),
    "as many keys as heads": ("llama", {"num_key_value_heads": 4}),
    "part of a head": ("phi3", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
    "longrope": ("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 256}),
    "tied": ("phi3", {"tie_word_embeddings": True}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_llama_cpp_computes_the_same(variant: str, tmp_path: Path) -> None:
    name, changes = VARIANTS[variant]
    folder = tiny_architectures.make(tmp_path / "model", name, hidden=64, **changes)
    path = write_gguf(folder, tmp_path / "x.gguf", "F32")
    reference = TransformersModel(folder)
    assert 512 > len(reference.tokens(LONG)) > 256 and len(reference.tokens(SHORT)) < 64
    for text, context in ((LONG, 512), (SHORT, 256)):  # longrope has other factors in a short context
        model = LlamaCppModel(path, context=context)
        found = agreement(reference, model, [text])
        model.close()
        assert found["mean_kl"] < 3e-6 and found["top1"] > 0.95, found


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def test_metadata_of_llama(tmp_path: Path) -> None:
    found = fields(write_gguf(tiny_architectures.make(tmp_path / "model", "llama", hidden=64), tmp_path / "x.gguf"))
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert found["general.architecture"] == "llama" and found["tokenizer.ggml.model"] == "llama"
    assert found["llama.rope.dimension_count"] == 16 and found["llama.vocab_size"] == len(tokens)
    assert [types[tokens.index(t)] for t in ("<s>", "<0x0A>", "<|im_end|>", "e")] == [3, 6, 3, 1]
    assert tokens[found["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert tokens[found["tokenizer.ggml.bos_token_id"]] == "<s>" and tokens[found["tokenizer.ggml.unknown_token_id"]]
    assert found["tokenizer.ggml.add_bos_token"] is False and found["tokenizer.ggml.add_space_prefix"] is False


def test_phi3_says_what_llama_cpp_needs_to_know(tmp_path: Path) -> None:
    folder = tiny_architectures.make(tmp_path / "model", "phi3", hidden=64, sliding_window=128)
    found = fields(write_gguf(folder, tmp_path / "x.gguf", name="mine"))
    assert found["general.name"] == "mine (Phi-3)" and found["tokenizer.ggml.add_space_prefix"] is True
    # beyond the window llama.cpp would compute another model
    assert found["phi3.context_length"] == found["phi3.attention.sliding_window"] == 128
    assert fields(write_gguf(folder, tmp_path / "x.gguf", name="My-Phi-3"))["general.name"] == "My-Phi-3"


def changed(folder: Path, target: Path, file: str, change: Any) -> Path:
    copy = Path(shutil.copytree(folder, target))
    data = read_json(copy / file)
    change(data)
    write_json(copy / file, data)
    return copy


def test_what_llama_cpp_would_read_in_another_way_is_refused(tmp_path: Path) -> None:
    phi3 = tiny_architectures.make(tmp_path / "phi3", "phi3", hidden=64)
    llama = tiny_architectures.make(tmp_path / "llama", "llama", hidden=64)
    qwen = tiny_architectures.make(tmp_path / "qwen", "llama3", hidden=64)

    def no_strip(data: dict[str, Any]) -> None:
        next(t for t in data["added_tokens"] if t["content"] == "<|im_end|>")["rstrip"] = False

    def digits(data: dict[str, Any]) -> None:
        split = data["pre_tokenizer"]["pretokenizers"][0]["pattern"]
        split["Regex"] = split["Regex"].replace("{1,3}", "{1,2}")

    cases = {
        "add <.im_end.> to the tokenizer with rstrip=True": (phi3, "tokenizer.json", no_strip, "x"),
        "legacy": (llama, "tokenizer_config.json", lambda data: data.update(legacy=True), "x"),
        "no name here": (qwen, "tokenizer.json", digits, "x"),
        "without phi-3": (llama, "config.json", lambda data: None, "Phi-3-like"),
        "'longrope', which llama.cpp does not compute for llama": (
            llama,
            "config.json",
            lambda data: data.update(rope_parameters=LONGROPE),
            "x",
        ),
    }
    for at, (message, (folder, file, change, name)) in enumerate(cases.items()):
        with pytest.raises(BadInput, match=message):
            write_gguf(changed(folder, tmp_path / str(at), file, change), tmp_path / "out" / "x.gguf", name=name)
    assert list((tmp_path / "out").iterdir()) == []


def test_numbers_too_large_for_f16_are_named(tmp_path: Path) -> None:
    folder = tiny_architectures.make(tmp_path / "model", "qwen2", hidden=64)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e5
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match="too large for F16 in blk.0.ffn_up.weight"):
        write_gguf(folder, tmp_path / "x.gguf")
    reader = gguf.GGUFReader(write_gguf(folder, tmp_path / "x.gguf", "BF16"))
    stored = next(t for t in reader.tensors if t.name == "blk.0.ffn_up.weight")
    values = gguf.quants.dequantize(stored.data, stored.tensor_type)
    ours = weights["model.layers.0.mlp.up_proj.weight"].bfloat16().float().numpy()
    assert np.array_equal(values, ours) and json.dumps(float(values[0, 0])) == "99840.0"
