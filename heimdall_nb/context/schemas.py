"""Schemas as lines of text: made larger by labels that a question does not need, and smaller by leaving labels out.

A line names one label, or the two labels that a relationship type joins, as `dataset.graphs` writes them. Lines that
name none are nobody's: they stay where they are.
"""

from __future__ import annotations

import math
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from heimdall_nb.dataset.graphs import load_schema, schema_names
from heimdall_nb.errors import BadInput

PLACES = ("first", "middle", "last", "mixed")
ALIKE = 0.4  # Dice coefficient from which two words count as forms of one
NAMED, JOINED, BESIDE = 2.0, 0.5, 0.3  # weights: of a label's own name, of its relationships' words, of a neighbour
_LABEL = re.compile(r"\(:(`[^`]+`|[^\s{)`]+)")
_TYPE = re.compile(r"\[:(`[^`]+`|[^\s{\]`]+)")
_PROPERTY = re.compile(r"[{,] ?(`[^`]+`|[^\s:`,{]+):")
_WORD = re.compile(r"[^\W\d_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
T = TypeVar("T")


def labels_of(line: str) -> tuple[str, ...]:
    """The labels that a line names: one of a label's own line, two of a relationship type's, else none."""
    return tuple(name.strip("`") for name in _LABEL.findall(line))


def names_in(text: str) -> set[str]:
    """Labels and relationship types of a schema."""
    return {name.strip("`") for name in (*_LABEL.findall(text), *_TYPE.findall(text))}


@lru_cache(maxsize=1024)
def with_others(schema: str, number: int, place: str = "mixed", seed: str = "") -> str:
    """The schema with `number` labels of other graphs of data/graphs, and what joins these among themselves.

    The schema's own lines come `first`, in the `middle`, `last`, or `mixed` with the others; each kind of line keeps to
    its block, labels before relationship types. The same `seed` gives the same labels, a larger number more of them.
    Raises BadInput for an unknown place, and for more labels than there are.
    """
    check_place(place)
    rng = random.Random(seed)
    labels, joins = _others(schema, number, rng)
    own = [line for line in schema.splitlines() if line.strip()]
    nodes = _merged([line for line in own if len(labels_of(line)) == 1], labels, place, rng)
    edges = _merged([line for line in own if len(labels_of(line)) == 2], joins, place, rng)
    return "\n".join([*nodes, *edges, *(line for line in own if not labels_of(line))])


@lru_cache(maxsize=256)
def lines_of(graph: str) -> tuple[str, ...]:
    """The lines of the schema of a graph in data/graphs."""
    return tuple(load_schema(graph).text().splitlines())


def check_place(place: str) -> None:
    """Raise BadInput for what is none of PLACES."""
    if place not in PLACES:
        raise BadInput(f"{place!r} is no place", "--place", f"Choose from {', '.join(PLACES)}.")


def _others(schema: str, number: int, rng: random.Random) -> tuple[list[str], list[str]]:
    """Lines of so many labels from other graphs, whole graphs as far as possible, and of what joins them."""
    taken = {name.lower() for name in names_in(schema)}
    labels: list[str] = []
    joins: list[str] = []
    for name in rng.sample(schema_names(None), len(schema_names(None))):
        lines = lines_of(name)
        fresh = {n for line in lines for n in labels_of(line)[1:] or labels_of(line) if n.lower() not in taken}
        here = [line for line in lines if len(labels_of(line)) == 1 and labels_of(line)[0] in fresh]
        here = here[: number - len(labels)]
        there = {labels_of(line)[0] for line in here}
        labels += here
        joins += [line for line in lines if _joins(line, there) and not _types(line) & taken]
        taken |= {n.lower() for n in there}
        if len(labels) == number:
            return labels, joins
    raise BadInput(f"{number} labels are more than the {len(labels)} of data/graphs", "--labels", "Give fewer.")


def _joins(line: str, labels: set[str]) -> bool:
    return len(labels_of(line)) == 2 and set(labels_of(line)) <= labels


def _types(line: str) -> set[str]:
    return {name.strip("`").lower() for name in _TYPE.findall(line)}


def _merged(own: Sequence[T], others: Sequence[T], place: str, rng: random.Random) -> list[T]:
    at = {"first": 0, "middle": len(others) // 2, "last": len(others)}
    if place in at:
        return [*others[: at[place]], *own, *others[at[place] :]]
    chosen = set(rng.sample(range(len(own) + len(others)), len(own)))
    left, right = iter(own), iter(others)
    return [next(left) if k in chosen else next(right) for k in range(len(own) + len(others))]


def pruned(schema: str, question: str, keep: int) -> str:
    """The schema with the `keep` labels that the question most likely needs, and all that joins them, in its order.

    Likely is what shares words with the question: its name, its properties, the relationship types at it, and to a
    part its neighbours. A word counts more where fewer labels have it, and words are alike by their letters in threes,
    so that plurals, accents and typing errors do no harm. Names in another language than the question's are not found.
    """
    ranked = rank(schema, question)
    if len(ranked) <= keep:
        return schema
    chosen = set(ranked[: max(1, keep)])
    return "\n".join(line for line in schema.splitlines() if set(labels_of(line)) <= chosen)


def rank(schema: str, question: str) -> list[str]:
    """The labels of a schema, the likeliest to be needed first; equals stay in the schema's order."""
    labels = _read(schema)
    asked = [{s: alike for s in _vocabulary(schema) if (alike := _alike(word, s))} for word in sorted(_words(question))]
    score = {
        name: sum(max((of.weight(s) * a for s, a in found.items()), default=0.0) for found in asked)
        for name, of in labels.items()
    }
    final = {n: score[n] + BESIDE * max((score[o] for o in of.beside), default=0.0) for n, of in labels.items()}
    return sorted(labels, key=lambda name: -final[name])


@dataclass(frozen=True)
class _Label:
    """What a question can share with a label: the weight of each word, and the labels that a relationship joins."""

    weights: dict[str, float]
    beside: frozenset[str]

    def weight(self, word: str) -> float:
        return self.weights.get(word, 0.0)


@lru_cache(maxsize=512)
def _read(schema: str) -> dict[str, _Label]:
    """The labels of a schema by their names. A word weighs more where fewer labels have it, and in a label's name."""
    lines = schema.splitlines()
    own = {labels_of(line)[0]: line for line in lines if len(labels_of(line)) == 1}
    joins = [(set(labels_of(line)), " ".join(_TYPE.findall(line))) for line in lines if len(labels_of(line)) == 2]
    words: dict[str, dict[str, float]] = {}
    for name, line in own.items():
        said = " ".join(text for ends, text in joins if name in ends)
        parts = [(JOINED, said), (1.0, " ".join(_PROPERTY.findall(line))), (NAMED, name)]
        words[name] = {word: weight for weight, text in parts for word in _words(text)}  # the largest comes last
    everywhere = Counter(word for found in words.values() for word in found)
    rare = {word: math.log(1 + len(own) / count) for word, count in everywhere.items()}
    return {
        name: _Label(
            {word: weight * rare[word] for word, weight in found.items()},
            frozenset(o for ends, _ in joins if name in ends for o in ends if o != name and o in own),
        )
        for name, found in words.items()
    }


@lru_cache(maxsize=512)
def _vocabulary(schema: str) -> frozenset[str]:
    return frozenset(word for label in _read(schema).values() for word in label.weights)


def _words(text: str) -> set[str]:
    """The words of a text or a name in lower case, without accents; those of one or two letters left out."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return {word.lower() for word in _WORD.findall(_HUMP.sub(" ", plain)) if len(word) > 2}


@lru_cache(maxsize=200_000)
def _alike(a: str, b: str) -> float:
    """Dice coefficient of two words' sequences of three letters, 0 below ALIKE."""
    left, right = _threes(a), _threes(b)
    found = 2 * len(left & right) / (len(left) + len(right))
    return found if found >= ALIKE else 0.0


@lru_cache(maxsize=50_000)
def _threes(word: str) -> frozenset[str]:
    padded = f" {word} "
    return frozenset(padded[k : k + 3] for k in range(len(padded) - 2))
