"""Lines of a source file that seem to hold a key, a token or a password: by form, by name, and by randomness.

What is found is never shown: a report names the file, the line and the kind.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from heimdall_nb.domains.repository_rules import left_out, pattern

_SIGNS = re.compile(r"[/_-]")


def secret_lines(text: str) -> dict[int, str]:
    """Line number (from 1) -> kind of secret, in the order of the lines."""
    found: dict[int, str] = {}
    for start, end, kind in _found(text):
        first = text.count("\n", 0, start) + 1
        for line in range(first, first + text.count("\n", start, end) + 1):
            found.setdefault(line, kind)
    return dict(sorted(found.items()))


def entropy(text: str) -> float:
    """Shannon's entropy of the characters of a text, in bits a character; 0 for an empty one."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts) if text else 0.0


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[str, str]]:
    return [tuple(item) for item in left_out()["secrets"]["patterns"]]


def _found(text: str) -> Iterator[tuple[int, int, str]]:
    table = left_out()["secrets"]
    for wanted, kind in _patterns():
        for match in pattern(wanted).finditer(text):
            end = text.find("-----END", match.end()) if kind == "private key" else match.end()
            yield match.start(), max(end, match.end()), kind
    for match in pattern(table["assigned"]).finditer(text):
        if not pattern(table["harmless"]).match(match[2]):
            yield *match.span(), "password or key in a literal"
    for match in pattern(table["literal"]).finditer(text):
        if _random(match[1], _line_of(text, match.start())):
            yield *match.span(), "random text in a literal"


def _line_of(text: str, place: int) -> str:
    start, end = text.rfind("\n", 0, place) + 1, text.find("\n", place)
    return text[start : end if end >= 0 else len(text)]


def _random(literal: str, line: str) -> bool:
    table = left_out()["secrets"]
    if pattern(table["hexadecimal"]).match(literal):
        return entropy(literal) >= table["hexadecimal_entropy"] and pattern(table["named"]).search(line) is not None
    if max(map(len, _SIGNS.split(literal))) < table["piece"]:
        return False
    mixed = any(map(str.islower, literal)) and any(map(str.isupper, literal)) and sum(map(str.isdigit, literal)) >= 3
    return mixed and entropy(literal) >= table["entropy"] and not _alphabet(literal)


def _alphabet(literal: str) -> bool:
    """Characters in their order, such as `ABC…xyz0123`: a table for an encoding."""
    return sum(ord(b) - ord(a) == 1 for a, b in zip(literal, literal[1:], strict=False)) > len(literal) // 2
