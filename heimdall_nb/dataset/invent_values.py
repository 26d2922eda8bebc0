"""Values for the properties of an invented schema: pools of texts, ranges of numbers and dates."""

from __future__ import annotations

import datetime
import random
import string

from heimdall_nb.dataset.graphs import Property
from heimdall_nb.dataset.invent_words import invented_word, lexicons, word_lists

_YEARS = ("year", "since", "founded", "built")
_NOT_ADDITIVE = ("number", "level", "rating", "score", "grade", "rank", "age", "floor", "height", "percentage", "index")
_FOREIGN = 0.1  # share of the words in texts that come from another language
_ODD = ("'", "-", " & ", ". ")  # what texts hold besides letters, digits and spaces


def property_of(name: str, words: str, kind: str, key: bool, rng: random.Random) -> Property:
    """A property with a pool or a range of values that fit its type; years are years, and some values are missing."""
    year = kind == "INTEGER" and any(word in _YEARS for word in words.split())
    if kind == "BOOLEAN":
        return Property(name, kind, words)
    if kind == "STRING":
        return _text(name, words, key, rng)
    missing = 0.1 if not key and rng.random() < 0.5 else 0.0
    limits = (rng.randint(1850, 1990), rng.randint(2000, 2024)) if year else _range(kind, key, rng)
    additive = not (key or year or any(word in _NOT_ADDITIVE for word in words.split()))
    decimals = rng.randint(1, 2)
    return Property(name, kind, words, range=limits, decimals=decimals, missing=missing, additive=additive)


def _text(name: str, words: str, key: bool, rng: random.Random) -> Property:
    if key or rng.random() < 0.15:
        parts = tuple(tuple(value(rng) for _ in range(6)) for _ in range(rng.choice((1, 2, 2, 3))))
        return Property(name, "STRING", words, parts=parts, join=rng.choice((" ", " ", " ", "-", "_", "")))
    capital = rng.random() < 0.4  # the values of one property look alike
    pool = tuple(dict.fromkeys(_case(value(rng), capital) for _ in range(6)))
    return Property(name, "STRING", words, values=pool, missing=0.1 if rng.random() < 0.5 else 0.0)


def _case(text: str, capital: bool) -> str:
    return text[0].upper() + text[1:] if capital else text.lower()


def _range(kind: str, key: bool, rng: random.Random) -> tuple[object, ...]:
    if kind == "DATE":
        first = datetime.date(rng.randint(1990, 2022), rng.randint(1, 12), rng.randint(1, 28))
        return first, first + datetime.timedelta(days=rng.randint(200, 4000))
    if key:
        low = rng.choice((1, 100, 1000, 10_000, 400_000))
        return low, 10 * low + 80
    high = rng.choice((9, 30, 100, 500, 2000, 90_000, 900_000))
    return (0, high) if kind == "INTEGER" else (0.0, float(high))


def value(rng: random.Random) -> str:
    """A text as databases hold it: a name of one to three words, a code, or a word in lower case."""
    kind = rng.random()
    if kind < 0.12:
        letters = "".join(rng.choice(string.ascii_uppercase) for _ in range(rng.randint(1, 3)))
        return letters + rng.choice(("", "-", " ")) + str(rng.randint(1, 9999))
    words = [_word(rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    if kind < 0.6:
        words = [word.capitalize() for word in words]
    if kind > 0.96 and len(words) > 1:
        return rng.choice(_ODD).join(words)
    return " ".join(words)


def _word(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.3:
        return invented_word(rng)
    if kind < 0.3 + _FOREIGN:
        lexicon = lexicons()[rng.choice(tuple(lexicons()))]
        return rng.choice(lexicon.nouns + lexicon.adjectives)[1]
    return rng.choice(word_lists()[rng.choice(("nouns", "adjectives"))])
