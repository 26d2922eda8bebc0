"""A byte-level BPE tokenizer of the Qwen2 family, trained on the corpus that the base model will read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from heimdall_nb.prompts import END_OF_TEXT, TURN_END, TURN_START, chat_template


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """A Qwen2Tokenizer whose merges are learnt from `texts`, with `prompts.chat_template()` as its chat template.

    Every byte is in the alphabet, so any text can be encoded and decoded without loss (after NFC). The special tokens
    are added after training: they never become part of a merge. Ask `len(tokenizer)` for the real size: training
    stops early when no pair of tokens is left to merge.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import AddedToken, Qwen2Tokenizer

    pattern = Qwen2Tokenizer().backend_tokenizer  # NFC, Qwen2's split pattern, bytes as characters
    learner = Tokenizer(models.BPE())
    learner.normalizer, learner.pre_tokenizer = pattern.normalizer, pattern.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 3,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in _merges(learner)]
    tokenizer = Qwen2Tokenizer(
        vocab=learner.get_vocab(), merges=merges, unk_token=None, eos_token=TURN_END, pad_token=END_OF_TEXT
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(TURN_START, special=True)]})
    tokenizer.chat_template = chat_template()
    return tokenizer


def _merges(learner: Any) -> list[list[str]]:
    import json

    return json.loads(learner.to_str())["model"]["merges"]
