"""A byte-level BPE tokenizer of the Qwen2 family, trained on the corpus that the base model will read.

A small model copies a name token by token, so a name should fall into the same tokens wherever it stands: behind a
space, a colon or a bracket, and inside a compound. No merge joins a letter with anything else, or crosses from lower to
upper case. Merges are learnt without regard to case, and each holds for `red`, `Red` and `RED`: so `Ingredient` is cut
where `ingredient` is. Only common words that are no names (` the`, ` MATCH`) take the space before them along.
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
BEGINNING = 0.1  # a word that takes its space along may begin so many longer words, for each time that it stands alone
_SPACE = "Ġ"  # the space in the alphabet of byte-level BPE
_CUT = "\0"
_CHANGE_OF_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PIECE = r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s"  # of a text in lower case: what a merge stays inside
_SPACED_WORD = re.compile(r" ([A-Za-z]+)")
_NAME = re.compile(r"\w+")


def train_tokenizer(texts: Iterable[str], vocabulary: int, spaced: int = 160) -> Any:
    """A Qwen2Tokenizer of about `vocabulary` tokens with `prompts.chat_template()` as its chat template.

    The merges are learnt from the first TEXTS of `texts`; `spaced` of them join a common word with the space before
    it. Every byte is in the alphabet, so any text can be encoded and decoded without loss (after NFC). The special
    tokens are added after training: they never become part of a merge. Ask `len(tokenizer)` for the real size:
    training stops early when no pair of tokens is left to merge.
    """
    from transformers import AddedToken

    kept = list(islice(texts, TEXTS))
    tokens, merges = _learn(kept, vocabulary - spaced - 3)
    for word in _common(kept, _made(tokens, merges), spaced):
        merges.append((_SPACE, word))
        tokens[_SPACE + word] = len(tokens)
    tokenizer = _made(tokens, merges)
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(TURN_START, special=True)]})
    tokenizer.chat_template = chat_template()
    return tokenizer


def _made(tokens: dict[str, int], merges: Sequence[tuple[str, str]]) -> Any:
    from transformers import Qwen2Tokenizer

    return Qwen2Tokenizer(vocab=tokens, merges=list(merges), unk_token=None, eos_token=TURN_END, pad_token=END_OF_TEXT)


def _learn(texts: Sequence[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary, of `size` tokens at most, and merges: those of plain BPE, each in its `_cases`."""
    from tokenizers import pre_tokenizers

    tokens = {sign: number for number, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: dict[tuple[str, str], None] = {}
    for pair in _plain(texts, size):
        new = [item for item in _cases(*pair) if item not in merges]
        if len(tokens) + len(new) > size:
            break
        for left, right in new:
            merges[left, right] = None
            tokens.setdefault(left + right, len(tokens))
    return tokens, list(merges)


def _plain(texts: Sequence[str], size: int) -> list[tuple[str, str]]:
    """The merges of byte-level BPE in lower case, within the pieces of `_PIECE`."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    learner = Tokenizer(models.BPE())
    learner.normalizer = Qwen2Tokenizer().backend_tokenizer.normalizer  # NFC
    steps = [
        pre_tokenizers.CharDelimiterSplit(_CUT),
        pre_tokenizers.Split(Regex(_PIECE), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    learner.pre_tokenizer = pre_tokenizers.Sequence(steps)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator((_CHANGE_OF_CASE.sub(_CUT, text).lower() for text in texts), trainer)
    return [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]


def _cases(left: str, right: str) -> list[tuple[str, str]]:
    """A merge of letters in lower case, with a capital first letter, and in capitals; any other merge as it is."""
    if not (left + right).isascii() or not (left + right).isalpha():
        return [(left, right)]
    return [(left, right), (left.capitalize(), right), (left.upper(), right.upper())]


def _common(texts: Sequence[str], tokenizer: Any, number: int) -> list[str]:
    """The words most often behind a space that are one token and seldom in a schema, in a name or as its first token.

    `Ġin` would also be the first token of ` ingredient`, which then looks unlike `:ingredient`.
    """
    found = Counter(word for text in texts for word in _SPACED_WORD.findall(text))
    whole, beginning = Counter(), Counter()
    for word, count in found.items():
        first, *rest = tokenizer.tokenize(word)
        (beginning if rest else whole)[first] += count
    schemas = [text for text in texts if text.startswith("system\n")]
    named = Counter(name for text in schemas for name in set(_NAME.findall(text)))
    few = max(1, len(schemas) // 120)
    often = ((word, count) for word, count in whole.most_common() if count > len(texts) // 500)
    usable = (word for word, count in often if beginning[word] < BEGINNING * count)
    return list(islice((word for word in usable if word.isupper() or named[word] <= few), number))
