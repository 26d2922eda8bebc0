"""SQL for the corpus of the small base model: invented tables, then several questions about them with their SELECTs.

Without it the base would have no SQL words among its outputs, and an adapter cannot add them. The tables are invented:
the questions of the SQL track stay unseen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from sqlglot.dialects.mysql import MySQL

from heimdall_nb.dataset.invent import invented_word, styled, word_lists
from heimdall_nb.dataset.sql import Option, fill
from heimdall_nb.dataset.words import plural
from heimdall_nb.errors import HeimdallError
from heimdall_nb.run import DATA

INVENTED = 0.35  # share of words made of letters
_AGGREGATES = (("average", "AVG"), ("highest", "MAX"), ("lowest", "MIN"), ("total", "SUM"))
_SIDES = (("above", ">"), ("over", ">"), ("below", "<"))
_EXTREMES = (("highest", "DESC"), ("lowest", "ASC"))
_RESERVED = {word.lower() for word in MySQL.Tokenizer.KEYWORDS} | set("value group order key rank lead lag".split())
_KEYS = ("number", "number", "code", "id")
_TRIES = 200


@dataclass(frozen=True)
class _Table:
    name: str
    one: str
    many: str
    key: Option
    label: Option
    texts: tuple[Option, ...]
    numbers: tuple[Option, ...]
    dates: tuple[Option, ...]
    parent: _Table | None

    def text(self) -> str:
        """The table's line, as `classicmodels.schema_text` writes it."""
        plain = [self.label, *self.texts, *self.numbers, *self.dates]
        target = [f"{self.parent.key.sql} > {self.parent.name}"] if self.parent else []
        return f"{self.name}({', '.join([f'{self.key.sql}*', *(c.sql for c in plain), *target])})"


def sql_corpus(sequences: int, seed: int, turns: int = 6) -> Iterator[dict[str, Any]]:
    """Records `{"schema": text, "turns": [[question, query], …], "task": "sql"}`, each about tables of its own.

    The same arguments give the same records; a record does not depend on those before it.
    """
    for number in range(sequences):
        rng = random.Random(f"sql corpus {seed} {number}")
        tables = _Inventor(rng).tables()
        schema = "\n".join(table.text() for table in tables)
        yield {"schema": schema, "turns": _turns(tables, turns, rng), "task": "sql"}


@cache
def _templates() -> list[dict[str, Any]]:
    return yaml.safe_load((DATA / "sql" / "corpus.yaml").read_text(encoding="utf-8"))["templates"]


def _turns(tables: list[_Table], turns: int, rng: random.Random) -> list[list[str]]:
    found: dict[str, str] = {}
    for _ in range(_TRIES):
        if len(found) == turns:
            return [[question, query] for question, query in found.items()]
        template, slots = rng.choice(_templates()), _slots(rng.choice(tables), rng)
        try:
            question = fill(rng.choice(template["questions"]), slots, sql=False)
            found[question] = fill(template["sql"], slots, sql=True)
        except KeyError:  # the table has no such column, or references no other
            continue
    raise HeimdallError(f"The SQL corpus has no {turns} questions for one schema.")


def _slots(table: _Table, rng: random.Random) -> dict[str, Option]:
    low, high = sorted(rng.sample(range(1, rng.choice((20, 100, 2000, 100_000))), 2))
    day = f"{rng.randint(1990, 2024)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    slots = {
        "v": _text_value(rng),
        "w": _text_value(rng),
        "k": _option(str(low)),
        "l": _option(str(high)),
        "m": _option(str(rng.randint(1, 12))),
        "y": _option(str(rng.randint(1990, 2024))),
        "day": Option(day, f"'{day}'", {}),
        "a": _option(*rng.choice(_AGGREGATES)),
        "s": _option(*rng.choice(_SIDES)),
        "e": _option(*rng.choice(_EXTREMES)),
        "t": Option(table.many, table.name, {"one": table.one}),
        "key": table.key,
        "n": table.label,
    }
    for name, columns in (("c", table.texts), ("x", table.numbers), ("d", table.dates)):
        if columns:
            slots[name] = rng.choice(columns)
    if table.parent:
        slots |= _parent_slots("p", table.parent, rng)
        if table.parent.parent:
            slots |= _parent_slots("g", table.parent.parent, rng)
    return slots


def _parent_slots(letter: str, table: _Table, rng: random.Random) -> dict[str, Option]:
    return {
        letter: Option(table.many, table.name, {"one": table.one}),
        f"{letter}k": table.key,
        f"{letter}n": table.label,
        f"{letter}c": rng.choice(table.texts),
    }


def _option(say: str, sql: str = "") -> Option:
    return Option(say, sql or say, {})


def _text_value(rng: random.Random) -> Option:
    words = [_word(rng, "nouns") for _ in range(rng.choice((1, 1, 2, 3)))]
    if rng.random() < 0.8:
        words = [word.capitalize() for word in words]
    if rng.random() < 0.15:
        words[-1] = words[-1][:2].upper() + str(rng.randint(1, 9999))
    if rng.random() < 0.1:
        words.insert(0, str(rng.randint(1900, 2024)))
    text = " ".join(words)
    return Option(text, f"'{text}'", {})


def _word(rng: random.Random, kind: str) -> str:
    return invented_word(rng) if rng.random() < INVENTED else rng.choice(word_lists()[kind])


class _Inventor:
    """Makes the tables of one schema; no two names of it are alike, so that columns need no table before them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.taken: set[str] = {form for word in _RESERVED for form in (word, plural(word))}
        self.style = rng.choice(("camel", "camel", "camel", "snake"))

    def tables(self) -> list[_Table]:
        made: list[_Table] = []
        for _ in range(self.rng.choice((2, 3, 3))):
            made.append(self.table(made[-1] if made and self.rng.random() < 0.85 else None))
        return made

    def table(self, parent: _Table | None) -> _Table:
        words = self.fresh(0.2)
        one = " ".join(words)
        key = self.column([*words[-1:], self.rng.choice(_KEYS)])
        label = self.column([*words[-1:], self.rng.choice(("name", "name", "title"))])
        texts = tuple(self.column(self.fresh(0.3)) for _ in range(self.rng.randint(1, 3)))
        numbers = tuple(self.column(self.fresh(0.4)) for _ in range(self.rng.randint(1, 2)))
        dates = tuple(self.column([*self.fresh(0.0), "date"]) for _ in range(self.rng.randint(0, 1)))
        many = plural(one)
        return _Table(styled(many.split(), "snake"), one, many, key, label, texts, numbers, dates, parent)

    def fresh(self, compound: float) -> list[str]:
        while True:
            words = [_word(self.rng, "nouns")]
            if self.rng.random() < compound:
                words.insert(0, _word(self.rng, self.rng.choice(("adjectives", "nouns"))))
            name = styled(words, "snake")
            if name not in self.taken:
                self.taken |= {name, plural(name)}
                return words

    def column(self, words: list[str]) -> Option:
        return _option(" ".join(words), styled(words, self.style))
