"""Schemas that no one has seen: names from word lists, put together, or made of random letters.

A small model copies a name token by token, and can do so only for tokens that it has met inside names. So the names
come from many words, in every naming style, and a share of them are no words at all.
"""

from __future__ import annotations

import datetime
import random
import string
from functools import lru_cache

import yaml

from heimdall_nb.dataset.graphs import GraphSchema, Label, Property, RelationshipType
from heimdall_nb.dataset.words import past, plural, third_person
from heimdall_nb.run import DATA

WORDS = DATA / "words.yaml"
INVENTED = 0.35  # share of words made of letters
_KEYS = ("name", "name", "title", "code", "id", "label")
_TYPES = ("STRING", "STRING", "INTEGER", "INTEGER", "FLOAT", "DATE", "BOOLEAN")
_RESERVED = frozenset(
    "all and as asc by call case contains create date delete desc detach distinct else end ends exists false in is "
    "limit match merge n not null on optional or order remove result return set skip starts then true union unwind "
    "value when where with xor yield item items level total average lowest highest a b c r".split()
)


@lru_cache(maxsize=1)
def word_lists() -> dict[str, tuple[str, ...]]:
    """The lists of data/words.yaml: nouns, verbs, adjectives."""
    return {name: tuple(text.split()) for name, text in yaml.safe_load(WORDS.read_text(encoding="utf-8")).items()}


def invented_word(rng: random.Random) -> str:
    """A word that is none: syllables, or plain random letters."""
    if rng.random() < 0.5:
        syllables = rng.randint(1, 3)
        text = "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(syllables))
        return text + rng.choice("bdgklmnprtvx")
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 8)))


def invent_schema(rng: random.Random) -> GraphSchema:
    """A random schema of two to four labels and two to four relationship types; the name is always `invented`."""
    return _Inventor(rng).schema()


class _Inventor:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.taken: set[str] = set(_RESERVED)
        self.label_style = rng.choice(("pascal",) * 6 + ("upper", "snake"))
        self.property_style = rng.choice(("camel",) * 6 + ("snake",) * 2 + ("pascal",))
        self.type_style = rng.choice(("upper",) * 7 + ("camel",))

    def word(self, kind: str) -> str:
        return invented_word(self.rng) if self.rng.random() < INVENTED else self.rng.choice(word_lists()[kind])

    def fresh(self, compound: float, kind: str = "nouns") -> list[str]:
        """One or two words that no other name of this schema consists of."""
        while True:
            words = [self.word(kind)]
            if self.rng.random() < compound:
                words.insert(0, self.word(self.rng.choice(("adjectives", "nouns"))))
            if " ".join(words) not in self.taken:
                self.taken.add(" ".join(words))
                return words

    def schema(self) -> GraphSchema:
        labels = [self.label() for _ in range(self.rng.choice((2, 3, 3, 4)))]
        relationships = [self.relationship(labels) for _ in range(self.rng.randint(2, 4))]
        return GraphSchema("invented", "", {label.name: label for label in labels}, tuple(relationships))

    def label(self) -> Label:
        words = self.fresh(0.2)
        key_name = self.rng.choice(_KEYS)
        if self.rng.random() < 0.4:
            key_words = self.fresh(0.3)
            key_name = styled(key_words, self.property_style)
        else:
            key_words = [key_name]
        key = self.key_property(key_name, " ".join(key_words))
        others = [self.property() for _ in range(self.rng.randint(2, 4))]
        name, spoken = styled(words, self.label_style), " ".join(words)
        return Label(name, key.name, {p.name: p for p in (key, *others)}, spoken, plural(spoken))

    def relationship(self, labels: list[Label]) -> RelationshipType:
        start, end = self.rng.choice(labels).name, self.rng.choice(labels).name
        verb = self.fresh(0.0, "verbs")[0]
        done = past(verb)
        words, says, back = self.rng.choice(
            (
                ([third_person(verb)], third_person(verb), f"is {done} by"),
                ([done], done, f"was {done} by"),
                ([done, "by"], f"was {done} by", done),
                (["has", done], f"has {done}", f"was {done} by"),
                ([verb], third_person(verb), f"is {done} by"),
            )
        )
        properties = [self.property(compound=0.1) for _ in range(self.rng.choice((0, 0, 1, 1, 2)))]
        name = styled(words, self.type_style)
        return RelationshipType(name, start, end, says, back, properties={p.name: p for p in properties})

    def key_property(self, name: str, words: str) -> Property:
        if self.rng.random() < 0.15:
            low = self.rng.choice((1, 100, 1000, 10_000))
            return Property(name, "INTEGER", words, range=(low, 10 * low), additive=False)
        parts = tuple(tuple(self.value() for _ in range(4)) for _ in range(self.rng.choice((1, 2, 2))))
        return Property(name, "STRING", words, parts=parts, join=self.rng.choice((" ", " ", " ", "-", "_")))

    def property(self, compound: float = 0.3) -> Property:
        kind = self.rng.choice(_TYPES)
        spoken = self.fresh(0.0, "adjectives") if kind == "BOOLEAN" else self.fresh(compound)
        name, words = styled(spoken, self.property_style), " ".join(spoken)
        missing = 0.1 if self.rng.random() < 0.5 else 0.0
        if kind == "STRING":
            return Property(name, kind, words, values=tuple(self.value() for _ in range(5)), missing=missing)
        return Property(name, kind, words, range=self.range(kind), decimals=self.rng.randint(1, 2), missing=missing)

    def range(self, kind: str) -> tuple[object, ...]:
        if kind == "DATE":
            first = datetime.date(self.rng.randint(1990, 2020), self.rng.randint(1, 12), self.rng.randint(1, 28))
            return first, first + datetime.timedelta(days=self.rng.randint(200, 4000))
        if kind == "INTEGER" and self.rng.random() < 0.25:
            return 1900, 2024
        high = self.rng.choice((9, 30, 100, 500, 2000, 90_000))
        return (0, high) if kind == "INTEGER" else (0.0, float(high))

    def value(self) -> str:
        if self.rng.random() < 0.15:
            letters = "".join(self.rng.choice(string.ascii_uppercase) for _ in range(self.rng.randint(1, 3)))
            return letters + str(self.rng.randint(1, 999))
        word = self.word(self.rng.choice(("nouns", "adjectives")))
        return word.capitalize() if self.rng.random() < 0.6 else word


def styled(words: list[str], style: str) -> str:
    """Words as one identifier: pascal, camel, snake or upper (UPPER_SNAKE)."""
    if style == "snake":
        return "_".join(words)
    if style == "upper":
        return "_".join(words).upper()
    joined = "".join(word.capitalize() for word in words)
    return joined if style == "pascal" else joined[0].lower() + joined[1:]
