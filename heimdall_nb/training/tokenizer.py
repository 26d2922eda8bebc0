"""A byte-level BPE tokenizer of the Qwen2 family, trained on the corpus that the base model will read.

A small model copies a name token by token, so a name should fall into the same tokens wherever it stands: behind a
space, a colon or a bracket, and inside a compound. No merge joins a letter with anything else, or crosses from lower to
upper case. Only common words that are no names (` the`, ` MATCH`) take the space before them along.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from heimdall_nb.prompts import END_OF_TEXT, TURN_END, TURN_START, chat_template

TEXTS = 60_000  # texts that the merges are learnt from
_SPACE = "Ġ"  # the space in the alphabet of byte-level BPE
# What a merge stays inside: a word in one case (with a capital first letter), a digit, or a run of signs.
_PIECE = r"\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|\p{L}|\p{N}| ?[^\s\p{L}\p{N}]+|\s"
_SPACED_WORD = re.compile(r" ([A-Za-z]+)")
_WORD = re.compile(r"[A-Za-z]+")
_NAME = re.compile(r"\w+")


def train_tokenizer(texts: Iterable[str], vocabulary: int, spaced: int = 240) -> Any:
    """A Qwen2Tokenizer of about `vocabulary` tokens with `prompts.chat_template()` as its chat template.

    The merges are learnt from the first TEXTS of `texts`; `spaced` of them join a common word with the space before
    it. Every byte is in the alphabet, so any text can be encoded and decoded without loss (after NFC). The special
    tokens are added after training: they never become part of a merge. Ask `len(tokenizer)` for the real size:
    training stops early when no pair of tokens is left to merge.
    """
    from transformers import AddedToken, Qwen2Tokenizer

    kept = list(islice(texts, TEXTS))
    tokens, merges = _learn(kept, vocabulary - spaced - 3)
    for word in _common(kept, tokens, spaced):
        merges.append((_SPACE, word))
        tokens[_SPACE + word] = len(tokens)
    tokenizer = Qwen2Tokenizer(vocab=tokens, merges=merges, unk_token=None, eos_token=TURN_END, pad_token=END_OF_TEXT)
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(TURN_START, special=True)]})
    tokenizer.chat_template = chat_template()
    return tokenizer


def _learn(texts: Sequence[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of plain BPE within the pieces of `_PIECE`."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    learner = Tokenizer(models.BPE())
    learner.normalizer = Qwen2Tokenizer().backend_tokenizer.normalizer  # NFC
    pieces = pre_tokenizers.Split(Regex(_PIECE), "isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    learner.pre_tokenizer = pre_tokenizers.Sequence([pieces, as_bytes])
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    return learner.get_vocab(), merges


def _common(texts: Sequence[str], tokens: Iterable[str], number: int) -> list[str]:
    """The words most often behind a space that are one token, and that schemas seldom use in a name."""
    known = {word for word in tokens if _WORD.fullmatch(word)}
    found = Counter(word for text in texts for word in _SPACED_WORD.findall(text) if word in known)
    schemas = [text for text in texts if text.startswith("system\n")]
    named = Counter(name for text in schemas for name in set(_NAME.findall(text)))
    few = max(1, len(schemas) // 120)
    return [word for word, _ in found.most_common() if word.isupper() or named[word] <= few][:number]
