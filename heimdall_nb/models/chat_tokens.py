"""ChatML's tokens for a base model whose tokenizer lacks them, as those of TinyLlama, Llama 3 and Phi-3 do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from heimdall_nb import prompts
from heimdall_nb.models.transformers_model import load_tokenizer
from heimdall_nb.run import read_json, write_json
from heimdall_nb.training.report import move_into_place, temporary_folder

RECORD = "chat_tokens.json"  # in the folder of a model that got new tokens: which ones, and where they are trained
NOISE = 0.01  # of the spread of the known embeddings: two new tokens must not be the same one


def missing(tokenizer: Any) -> list[str]:
    """Which of `<|im_start|>` and `<|im_end|>` the tokenizer does not have as a special token."""
    known = tokenizer.get_added_vocab()
    return [token for token in (prompts.TURN_START, prompts.TURN_END) if token not in known]


def add_chat_tokens(tokenizer: Any, model: Any, seed: int = 7) -> list[int]:
    """Give tokenizer and model, in place, the tokens that are `missing`; returns their ids, none when all are there.

    A new token starts as the mean of all known ones, in the embeddings and in the output layer, so that it takes little
    probability away from a right token (Hewitt 2021, "Initializing new word embeddings for pretrained language
    models"). The end of a turn becomes the end token, the old end token the padding where there is none. The same
    `seed` gives the same model.
    """
    from transformers import AddedToken

    wanted, before = missing(tokenizer), len(tokenizer)
    if not wanted:
        return []
    # Phi-3's special tokens swallow the space behind them, and llama.cpp knows this for all of a model's or for none.
    strips = any(token.rstrip for token in tokenizer.added_tokens_decoder.values())
    tokenizer.add_tokens(
        [AddedToken(token, special=True, normalized=False, rstrip=strips) for token in wanted], special_tokens=True
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.eos_token = prompts.TURN_END
    tokenizer.chat_template = prompts.chat_template()
    ids = tokenizer.convert_tokens_to_ids(wanted)
    if max(ids) >= model.get_input_embeddings().weight.shape[0]:  # some models have rows to spare
        model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    layers = [model.get_input_embeddings()]
    layers += [] if model.config.tie_word_embeddings else [model.get_output_embeddings()]
    for layer in layers:
        _start_at_mean(layer.weight, before, ids, seed)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    return ids


def _start_at_mean(weight: torch.Tensor, known: int, ids: list[int], seed: int) -> None:
    with torch.no_grad():
        rows = weight[:known].float()
        noise = torch.randn(len(ids), rows.shape[1], generator=torch.Generator().manual_seed(seed))
        weight[ids] = (rows.mean(dim=0) + NOISE * rows.std(dim=0) * noise.to(rows.device)).to(weight.dtype)


def with_chat_tokens(base: Path | str, folder: Path) -> Path | str:
    """`base` itself when it has ChatML's tokens; else `folder`, where the model is written with them.

    `base` is a folder, which `folder` may be as well, or a hub id. The weights keep their number format. Whatever reads
    `folder` afterwards (training, merging, export) needs to know nothing about it but `trained_tokens`. Raises BadInput
    when there is no model.
    """
    tokenizer = load_tokenizer(base)
    if not missing(tokenizer):
        return base
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    ids = add_chat_tokens(tokenizer, model)
    temporary = temporary_folder(folder)
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    layers = ["embed_tokens"] if model.config.tie_word_embeddings else ["embed_tokens", "lm_head"]
    tokens = dict(zip(tokenizer.convert_ids_to_tokens(ids), ids, strict=True))
    write_json(temporary / RECORD, {"tokens": tokens, "layers": layers})
    move_into_place(temporary, folder)
    return folder


def trained_tokens(base: Path | str) -> dict[str, list[int]] | None:
    """The rows that LoRA must train as well, for `LoraConfig(trainable_token_indices=…)`; None where none are new.

    LoRA leaves embeddings as they are, so that a new token would stay the mean of all others.
    """
    path = Path(base) / RECORD
    if not path.is_file():
        return None
    record = read_json(path)
    return {layer: list(record["tokens"].values()) for layer in record["layers"]}
