"""Words for names: lists, pairs of English and foreign words, and invented words that no list holds."""

from __future__ import annotations

import random
import re
import string
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import yaml

from heimdall_nb.run import DATA

WORDS = DATA / "words.yaml"
LEXICON = DATA / "lexicon.yaml"
INVENTED = 0.3  # share of drawn words that no list holds
_RANDOM = 0.12  # share of invented words that are plain random letters; the others follow English spelling


@lru_cache(maxsize=1)
def word_lists() -> dict[str, tuple[str, ...]]:
    """The lists of data/words.yaml: nouns, verbs, adjectives."""
    return {name: tuple(text.split()) for name, text in yaml.safe_load(WORDS.read_text(encoding="utf-8")).items()}


@dataclass(frozen=True)
class Lexicon:
    """Pairs (English, foreign) of one language; `verbs` are (says, back, foreign)."""

    nouns: tuple[tuple[str, str], ...]
    adjectives: tuple[tuple[str, str], ...]
    verbs: tuple[tuple[str, str, str], ...]


@lru_cache(maxsize=1)
def lexicons() -> dict[str, Lexicon]:
    """The word lists of data/lexicon.yaml by language."""
    document = yaml.safe_load(LEXICON.read_text(encoding="utf-8"))
    backs = dict(_pairs(document.pop("backs")))
    return {language: _lexicon(entry, backs) for language, entry in document.items()}


def _lexicon(entry: Mapping[str, str], backs: Mapping[str, str]) -> Lexicon:
    nouns, adjectives, verbs = (_pairs(entry[kind]) for kind in ("nouns", "adjectives", "verbs"))
    return Lexicon(nouns, adjectives, tuple((says, backs[says], foreign) for says, foreign in verbs))


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    found = [item.partition("=") for item in text.split(",")]
    return tuple((left.strip(), right.strip()) for left, _, right in found)


def invented_word(rng: random.Random) -> str:
    """A word of 3 to 11 letters that is none: by the letter sequences of English nouns, or plain random letters."""
    if rng.random() < _RANDOM:
        return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 7)))
    chain = _letter_chain()
    while True:
        text = "^"
        while not text.endswith("$"):
            letters, sums = chain[text[-2:]]
            text += rng.choices(letters, cum_weights=sums)[0]
        if 3 <= len(text) - 2 <= 11:
            return text[1:-1]


def drawn_word(rng: random.Random, kind: str) -> str:
    """A word of the list `kind` (nouns, verbs, adjectives), or one that is none."""
    return invented_word(rng) if rng.random() < INVENTED else rng.choice(word_lists()[kind])


@lru_cache(maxsize=1)
def _letter_chain() -> dict[str, tuple[str, tuple[int, ...]]]:
    """For each two letters of a word what follows, with cumulated counts; ^ begins and $ ends a word."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for word in (*word_lists()["nouns"], *word_lists()["adjectives"]):
        text = f"^{word}$"
        for place in range(1, len(text)):
            counts[text[max(0, place - 2) : place]][text[place]] += 1
    return {pair: ("".join(found), tuple(accumulate(found.values()))) for pair, found in counts.items()}


def styled(words: list[str], style: str) -> str:
    """Words as one identifier: pascal, camel, snake, upper (UPPER_SNAKE), title or plain (both with spaces)."""
    words = [re.sub(r"\W", "", word) for word in words]  # `co-owner`
    if style in ("snake", "upper"):
        text = "_".join(words)
        return text.upper() if style == "upper" else text
    if style in ("title", "plain"):
        return " ".join(word.capitalize() if style == "title" else word for word in words)
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return joined if style == "pascal" else joined[0].lower() + joined[1:]
