"""English for names: identifiers as words, plurals, and the plural form of a verb phrase."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")
_IRREGULAR = {"is": "are", "was": "were", "has": "have", "does": "do", "goes": "go", "lies": "lie", "caches": "cache"}
_PLURALS = {"person": "people", "child": "children", "shelf": "shelves", "analysis": "analyses"}
_SIBILANTS = ("s", "x", "z", "ch", "sh")
_SINGULAR_ENDS = ("ss", "us", "is", "as")  # words in s that are no plural: address, status, basis, gas


@lru_cache(maxsize=20_000)
def split_identifier(name: str) -> str:
    """An identifier as words in lower case: `creditLimit`, `CREDIT_LIMIT` and `CreditLimit` give `credit limit`."""
    return " ".join(part.lower() for part in _BOUNDARY.split(name) if part)


@lru_cache(maxsize=20_000)
def plural(words: str) -> str:
    """The English plural of the last word; what is a plural already (`minutes`) stays."""
    before, space, last = words.rpartition(" ")
    if last in _PLURALS:
        return before + space + _PLURALS[last]
    if words.endswith("s") and not words.endswith(_SINGULAR_ENDS):
        return words
    return _regular(words)


def _regular(words: str) -> str:
    if words.endswith("y") and words[-2:-1] not in ("a", "e", "i", "o", "u", ""):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(_SIBILANTS) else "s")


@lru_cache(maxsize=20_000)
def plural_verb(phrase: str) -> str:
    """A verb phrase for a plural subject: `works in` -> `work in`, `is part of` -> `are part of`; the past stays."""
    first, _, rest = phrase.partition(" ")
    if first in _IRREGULAR:
        first = _IRREGULAR[first]
    elif first.endswith("ies"):
        first = first[:-3] + "y"
    elif first.endswith(("sses", "xes", "zzes", "ches", "shes")):  # but `uses` and `seizes` lose the s alone
        first = first[:-2]
    elif first.endswith("s") and not first.endswith("ss"):
        first = first[:-1]
    return f"{first} {rest}".strip()


@lru_cache(maxsize=20_000)
def third_person(verb: str) -> str:
    """The third person singular of a regular verb: `carry` -> `carries`."""
    return _regular(verb)


@lru_cache(maxsize=20_000)
def past(verb: str) -> str:
    """The past (and participle) of a regular verb: `carry` -> `carried`, `move` -> `moved`."""
    if verb.endswith("y") and verb[-2:-1] not in ("a", "e", "i", "o", "u", ""):
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")


def listed(texts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; nothing for no texts."""
    return " and ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))
