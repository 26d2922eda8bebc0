"""Values that functions are called with: drawn at random by kind, and written as the literals of four languages."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

WORDS = (
    "apple stone river cloud bread table sun cat tree house green bird chair lemon fox door spoon glass car boat ice "
    "bear rain snow leaf root sea sand bench moon star ink net owl crow plum corn salt rope brick candle basket"
).split()

# The type of a kind of value: of these the languages know a literal.
TYPES = {
    "int": "int",
    "ints": "ints",
    "sorted": "ints",
    "distinct": "ints",
    "nearly_sorted": "ints",
    "words": "texts",
    "table": "texts",
    "counts": "counts",
    "matrix": "matrix",
    "square": "matrix",
}


def type_of(kind: str) -> str:
    """The type of a kind such as `ints 0 8 -12 20`: int, ints, text, texts, counts or matrix."""
    return TYPES.get(kind.split(" ")[0], "text")


def draw(kind: str, rng: random.Random) -> Any:
    """A value of a kind: its name and its bounds, or what separates its parts."""
    name, *given = kind.split(" ", 1)
    return _KINDS[name](rng, *_bounds(name, given[0] if given else ""))


def _bounds(name: str, given: str) -> list[Any]:
    if name in ("pairs", "brackets"):
        return given.split(" ")
    if name in ("table", "numbers"):
        return [given]
    return list(map(int, given.split()))


def _ints(rng: random.Random, least: int, most: int, low: int, high: int) -> list[int]:
    return [rng.randint(low, high) for _ in range(rng.randint(least, most))]


def _nearly_sorted(rng: random.Random, *bounds: int) -> list[int]:
    numbers = sorted(_ints(rng, *bounds))
    if len(numbers) > 1 and rng.random() < 0.4:
        place = rng.randrange(1, len(numbers))
        numbers[place - 1], numbers[place] = numbers[place], numbers[place - 1]
    return numbers


def _distinct(rng: random.Random, least: int, most: int, low: int, high: int) -> list[int]:
    return sorted(rng.sample(range(low, high + 1), rng.randint(least, most)))


def _words(rng: random.Random, least: int, most: int) -> list[str]:
    return [rng.choice(WORDS) for _ in range(rng.randint(least, most))]


def _text(rng: random.Random) -> str:
    marks = [", ", " ", ".", "? ", "1", " 42 ", "70", "", " "]
    return "".join(rng.choice(WORDS) + rng.choice(marks) for _ in range(rng.randint(1, 3)))[: rng.randint(3, 18)]


def _mirror(rng: random.Random) -> str:
    half = "".join(rng.choice("abenrst1 2,.") for _ in range(rng.randint(1, 4)))
    whole = list(half + half[::-1][rng.randint(0, 1) :])
    if rng.random() < 0.6:
        whole.insert(rng.randrange(len(whole) + 1), rng.choice("aen12,. st"))
    return "".join(whole)


def _runs(rng: random.Random) -> str:
    return "".join(rng.choice("abcx") * rng.randint(1, 4) for _ in range(rng.randint(0, 5)))


def _pairs(rng: random.Random, pair: str, assign: str) -> str:
    keys = rng.sample(WORDS, rng.randint(0, 3))
    return pair.join(f"{key}{assign}{rng.randint(0, 40)}" for key in keys)


def _table(rng: random.Random, sep: str) -> list[str]:
    rows = range(rng.randint(0, 3))
    return [sep.join([rng.choice(WORDS), str(rng.randint(0, 30)), str(rng.randint(-9, 60))]) for _ in rows]


def _brackets(rng: random.Random, opening: str, closing: str) -> str:
    text, depth = "", 0
    for _ in range(rng.randint(0, 8)):
        step = rng.choice((opening, closing if depth else opening, "a"))
        depth += (step == opening) - (step == closing)
        text += step
    text += closing * depth
    if text and rng.random() < 0.4:
        place = rng.randrange(len(text))
        text = text[:place] + text[place + 1 :]
    return text


def _counts(rng: random.Random, least: int, most: int, low: int, high: int) -> dict[str, int]:
    return {key: rng.randint(low, high) for key in sorted(rng.sample(WORDS, rng.randint(least, most)))}


def _matrix(rng: random.Random, low: int, high: int, square: bool = False) -> list[list[int]]:
    rows = rng.randint(1, 3)
    columns = rows if square else rng.randint(1, 3)
    return [[rng.randint(low, high) for _ in range(columns)] for _ in range(rows)]


_KINDS: dict[str, Callable[..., Any]] = {
    "int": lambda rng, low, high: rng.randint(low, high),
    "ints": _ints,
    "sorted": lambda rng, *bounds: sorted(_ints(rng, *bounds)),
    "nearly_sorted": _nearly_sorted,
    "distinct": _distinct,
    "words": _words,
    "word": lambda rng: rng.choice(["", "a", "ab", *WORDS]),
    "sentence": lambda rng: " ".join(_words(rng, 1, 4)),
    "text": _text,
    "mirror": _mirror,
    "runs": _runs,
    "pairs": _pairs,
    "numbers": lambda rng, sep: sep.join(str(rng.randint(-9, 40)) for _ in range(rng.randint(0, 4))),
    "table": _table,
    "brackets": _brackets,
    "counts": _counts,
    "matrix": _matrix,
    "square": lambda rng, low, high: _matrix(rng, low, high, square=True),
}

_BRACES = {
    "go": {"ints": "[]int", "texts": "[]string", "counts": "map[string]int", "matrix": "[][]int"},
    "java": {"ints": "new int[] ", "texts": "new String[] ", "matrix": "new int[][] "},
}


def literal(value: Any, kind: str, language: str) -> str:
    """A value of a type (`type_of`) as the literal that a programmer of the language writes."""
    if language == "python":
        return _python(value)
    if language == "javascript" or kind in ("int", "text"):
        return _json(value)
    if kind == "counts":
        flat = [f"{_json(key)}{': ' if language == 'go' else ', '}{_json(item)}" for key, item in value.items()]
        if language == "go":
            return f"map[string]int{{{', '.join(flat)}}}"
        return f"new TreeMap<>(Map.of({', '.join(flat)}))"  # Map.of alone has another order in each run of Java
    rows = kind == "matrix"
    inside = ", ".join(f"{{{', '.join(map(_json, item))}}}" if rows else _json(item) for item in value)
    return f"{_BRACES[language][kind]}{{{inside}}}"


def result_literal(value: Any, language: str) -> str:
    """A result as text for a sentence: Python's own form, or JSON for the other languages."""
    return _python(value) if language == "python" else _json(value)


def _python(value: Any) -> str:
    if isinstance(value, str):
        return _json(value)
    if isinstance(value, dict):
        # A result comes as JSON, in which the keys of a dictionary of numbers are texts.
        keys = [key if str(key).isdigit() else _json(key) for key in value]
        return "{" + ", ".join(f"{k}: {_python(v)}" for k, v in zip(keys, value.values(), strict=True)) + "}"
    return f"[{', '.join(map(_python, value))}]" if isinstance(value, list) else repr(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def canonical(value: Any) -> str:
    """One text for values that are the same in every language: keys are texts, 2.0 is 2, Go's nil is an empty list."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def call(function: str, arguments: Sequence[Any], types: Sequence[str], language: str) -> str:
    """The call of a function with literal arguments."""
    written = [literal(value, kind, language) for value, kind in zip(arguments, types, strict=True)]
    return f"{function}({', '.join(written)})"
