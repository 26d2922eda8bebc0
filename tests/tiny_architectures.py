"""Tiny models of the architectures that are exported, each with a tokenizer of the kind that its real models have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tiny_model import ANSWERS, QWEN_SPLIT, SCHEMA
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast

from heimdall_nb import prompts
from heimdall_nb.run import read_json, write_json

LLAMA3_SPLIT = QWEN_SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|")
CONVERSATIONS = [prompts.conversation(question, "", answer=answer) for question, answer in ANSWERS.items()]
TEXTS = [prompts.render(talk, generation_prompt=False) for talk in CONVERSATIONS]
LEARNT = 4  # of them are learnt
CORPUS = [message["content"] for talk in CONVERSATIONS for message in talk]
CORPUS += [SCHEMA, *(Path(__file__).parent / "tiny_model.py").read_text().splitlines()]

LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0}
LLAMA3_ROPE |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}
OWN_END = {"llama": "</s>", "llama3": "<|end_of_text|>", "phi3": "<|endoftext|>"}
PHI3_TOKENS = ("<|endoftext|>", "<|assistant|>", "<|end|>", "<|system|>", "<|user|>")


def byte_level(split: str, ignore_merges: bool, added: tuple[str, ...]) -> Tokenizer:
    """Byte-level BPE with a splitting rule, as Qwen and Llama 3 have it."""
    core = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=450, initial_alphabet=alphabet, show_progress=False)
    )
    core.add_special_tokens(list(added))
    return core


def sentencepiece(added: list[AddedToken]) -> Tokenizer:
    """What tokenizer.json holds for Llama 2: SentencePiece's BPE with bytes for rare characters.

    SentencePiece joins whatever two tokens make a third one, so each token brings all its splits as merges.
    """
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    learner.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=230, show_progress=False))
    learnt = sorted(learner.get_vocab(), key=learner.get_vocab().get)
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *learnt]
    ids = {piece: i for i, piece in enumerate(pieces)}
    splits = [(token[:at], token[at:]) for token in learnt for at in range(1, len(token))]
    merges = [pair for pair in splits if pair[0] in ids and pair[1] in ids]
    core = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    core.normalizer = learner.normalizer
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    core.decoder = decoders.Sequence(steps)
    core.add_special_tokens(["<unk>", "<s>"])
    core.add_tokens([token for token in added if not token.special])
    core.add_special_tokens([token for token in added if token.special])
    return core


def tokenizer(name: str, chatml: bool = True) -> tuple[Tokenizer, str, dict[str, Any]]:
    """The tokenizer of one of `ARCHITECTURES`, its class in tokenizer_config.json, and its special tokens.

    Without `chatml` it is as the model's makers left it: TinyLlama, Llama 3 and Phi-3 have no tokens of ChatML.
    """
    turns = (prompts.TURN_START, prompts.TURN_END) if chatml else ()
    end = {"eos_token": prompts.TURN_END if chatml else OWN_END.get(name, prompts.TURN_END)}
    if name == "llama3":
        added = ("<|begin_of_text|>", "<|end_of_text|>", *turns)
        core = byte_level(LLAMA3_SPLIT, True, added)
        return core, "PreTrainedTokenizerFast", end | {"bos_token": "<|begin_of_text|>"}
    if name.startswith("qwen"):
        core = byte_level(QWEN_SPLIT, False, prompts.SPECIAL_TOKENS)
        core.normalizer = normalizers.NFC()
        return core, "Qwen2Tokenizer", end | {"pad_token": prompts.END_OF_TEXT}
    marks = end | {"bos_token": "<s>", "unk_token": "<unk>", "legacy": False}
    if name == "llama":
        added = [AddedToken(n, special=True, normalized=False) for n in ("</s>", *turns)]
        return sentencepiece(added), "LlamaTokenizer", marks
    names = (*PHI3_TOKENS, *turns)
    added = [AddedToken(n, rstrip=n != "<|endoftext|>", special=True, normalized=False) for n in names]
    core = sentencepiece([AddedToken("</s>", rstrip=True, special=False, normalized=False), *added])
    return core, "LlamaTokenizer", marks | {"pad_token": "<|endoftext|>"}


# name: model type, and what its configuration has beside the usual
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"head_dim": 64, "tie_word_embeddings": True}),
    "llama": ("llama", {"tie_word_embeddings": False}),
    "llama3": ("llama", {"tie_word_embeddings": True, "rope_parameters": LLAMA3_ROPE}),
    "phi3": ("phi3", {"tie_word_embeddings": False}),
}


def make(
    path: Path, name: str, steps: int = 0, seed: int = 7, hidden: int = 256, chatml: bool = True, **changes: Any
) -> Path:
    """Write the model folder of one of `ARCHITECTURES` with random weights; `steps` of training follow.

    The attention is made sharp: with the usual random weights every place looks alike, and no fault in the rotary
    positions could be seen. `changes` go into the configuration.
    """
    core, kind, marks = tokenizer(name, chatml)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=core, **{k: v for k, v in marks.items() if k != "legacy"})
    wrapped.chat_template = prompts.chat_template()
    model_type, settings = ARCHITECTURES[name]
    usual = {"vocab_size": len(wrapped), "hidden_size": hidden, "intermediate_size": hidden, "num_hidden_layers": 2}
    usual |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    usual |= {"eos_token_id": wrapped.eos_token_id, "pad_token_id": wrapped.pad_token_id}
    usual |= {"bos_token_id": wrapped.bos_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **(usual | settings | changes)))
        _unlike(model)
        if steps:
            _train(model, wrapped, steps)
    model.generation_config = GenerationConfig(eos_token_id=wrapped.eos_token_id)
    model.save_pretrained(path)
    wrapped.save_pretrained(path)
    saved = read_json(path / "tokenizer_config.json")
    write_json(path / "tokenizer_config.json", saved | marks | {"tokenizer_class": kind})
    return path


def _unlike(model: torch.nn.Module) -> None:
    """Vectors of ones and zeros would hide a mix-up; attention is made to tell places apart."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.add_(0.2 * torch.randn(weight.shape))
            elif any(part in name for part in ("q_proj", "k_proj", "qkv_proj")):
                weight.mul_(4)


def _train(model: torch.nn.Module, wrapped: Any, steps: int) -> None:
    """Learn a few conversations; the loss is on all tokens."""
    rows = [wrapped(text, add_special_tokens=False)["input_ids"] for text in TEXTS[:LEARNT]]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
