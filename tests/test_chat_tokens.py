"""ChatML's tokens in models whose makers left them out: added, trained, merged, and exported through the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_architectures
import torch
from safetensors.torch import load_file

from heimdall_nb.errors import BadInput
from heimdall_nb.export.agreement import agreement
from heimdall_nb.export.gate import export
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.export.merge import merge
from heimdall_nb.models.chat_tokens import missing, trained_tokens, with_chat_tokens
from heimdall_nb.models.transformers_model import TransformersModel, load_4bit, load_tokenizer
from heimdall_nb.prompts import TURN_END, TURN_START, chat_template
from heimdall_nb.run import read_json, sha256

TALKS, TEXTS = tiny_architectures.CONVERSATIONS[:4], tiny_architectures.TEXTS[:4]
BARE = ("llama", "llama3", "phi3")
EMBEDDINGS, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"


def rows(folder: Path) -> dict[str, torch.Tensor]:
    """Embeddings and, where they are not the same, output layer."""
    return {name: t for name, t in load_file(folder / "model.safetensors").items() if name in (EMBEDDINGS, OUTPUT)}


def adapter_of(base: Path, path: Path, steps: int = 15) -> Path:
    """A QLoRA adapter of `base`, trained on a few conversations as finetune.py trains one."""
    from peft import LoraConfig, get_peft_model

    settings: dict[str, Any] = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    torch.manual_seed(7)
    model = get_peft_model(
        load_4bit(base, "cpu"), LoraConfig(**settings, trainable_token_indices=trained_tokens(base))
    ).float()
    tokenizer = load_tokenizer(base)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    for _ in range(steps):
        for text in TEXTS[:2]:
            ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
            model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(path)
    return path


@pytest.mark.parametrize("name", BARE)
def test_tokens_are_added_trained_merged_and_exported(name: str, tmp_path: Path) -> None:
    bare = tiny_architectures.make(tmp_path / "bare", name, hidden=64, chatml=False)
    assert missing(load_tokenizer(bare)) == [TURN_START, TURN_END] and trained_tokens(bare) is None
    with pytest.raises(BadInput, match="lacks the token <.im_start.>"):
        write_gguf(bare, tmp_path / "x.gguf")

    base = with_chat_tokens(bare, tmp_path / "base")
    assert base == tmp_path / "base" and with_chat_tokens(base, tmp_path / "other") == base
    tokenizer, before, after = load_tokenizer(base), rows(bare), rows(base)
    assert tokenizer.eos_token == TURN_END and tokenizer.pad_token not in (None, TURN_END)
    assert tokenizer.chat_template == chat_template()
    ids = tokenizer.convert_tokens_to_ids([TURN_START, TURN_END])
    assert set(after) == set(before) and trained_tokens(base) == {
        layer: ids for layer in ("embed_tokens", "lm_head")[: len(after)]
    }
    for layer, values in after.items():
        assert torch.equal(values[: ids[0]], before[layer])
        assert (values[ids] - before[layer].mean(dim=0)).abs().max() < 0.1 * before[layer].std()
        assert not torch.equal(values[ids[0]], values[ids[1]])

    merged = merge(base, adapter_of(base, tmp_path / "adapter"), tmp_path / "merged")
    trained = rows(merged)
    for layer, values in after.items():
        assert (trained[layer][ids] - values[ids]).abs().max() > 0.01, "the new tokens were not trained"
        assert (trained[layer][: ids[0]] - values[: ids[0]]).abs().max() < 0.01
    with_adapter = TransformersModel(base, tmp_path / "adapter", four_bit=True)
    assert agreement(with_adapter, TransformersModel(merged), TEXTS)["mean_kl"] < 1e-3
    record = export(merged, tmp_path / "F16.gguf", "F16", TEXTS, TALKS, greedy=2, scored=2)
    assert record["ok"] and record["ids_equal"] == record["texts"] >= 500


def test_spare_rows_are_used_and_the_result_can_be_repeated(tmp_path: Path) -> None:
    """Phi-3 has more embeddings than tokens; then no matrix grows. The folder itself can be the target."""
    size = len(load_tokenizer(tiny_architectures.make(tmp_path / "small", "phi3", hidden=64, chatml=False)))
    bare = tiny_architectures.make(tmp_path / "bare", "phi3", hidden=64, chatml=False, vocab_size=size + 20)
    one, two = with_chat_tokens(bare, tmp_path / "one"), with_chat_tokens(bare, tmp_path / "two")
    assert read_json(Path(one) / "config.json")["vocab_size"] == size + 20
    assert rows(Path(one))[EMBEDDINGS].shape == rows(bare)[EMBEDDINGS].shape
    assert sha256(Path(one)) == sha256(Path(two)) == sha256(Path(with_chat_tokens(bare, bare)))
    assert all(token.rstrip for token in load_tokenizer(one).added_tokens_decoder.values() if "im_" in token.content)


def test_a_model_that_has_them_is_left_alone(tmp_path: Path) -> None:
    folder = tiny_architectures.make(tmp_path / "qwen", "qwen2", hidden=64)
    assert with_chat_tokens(folder, tmp_path / "other") == folder and not (tmp_path / "other").exists()
    with pytest.raises(BadInput, match="is missing"):
        with_chat_tokens(tmp_path / "none", tmp_path / "other")
