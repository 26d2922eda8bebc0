"""Statements that would exhaust a server before its clock stops them, told from their text.

A server checks its time limit between rows, and not every server limits memory: one `reduce` that doubles a text ends
it. Only what the text itself shows is found; a client can do no more without running the statement.
"""

from __future__ import annotations

import math
import re

from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, tree, word
from heimdall_nb.engines.graph import Refusal

MAX_RANGE = 1_000_000  # elements of one list that range() makes
MAX_STEPS = 10_000_000  # product of the lengths of all ranges in one statement
MAX_DOUBLINGS = 16  # 2 to this power is 65,536
MAX_COMPREHENSIONS = 3  # list comprehensions inside each other

# A group with a repetition or a choice in it that is itself repeated: matching may take exponential time.
_BACKTRACKS = re.compile(r"\((?:[^()]|\([^()]*\))*[*+?}|](?:[^()]|\([^()]*\))*\)\s*[*+{]|(?:.\?){12,}")


def exhausting(query: str) -> Refusal | None:
    """Why `query` must not be sent to a server that shares its memory with others; None where nothing is seen."""
    items = tree(query)
    sizes = [size for group in _calls(items, "RANGE") if (size := _range_size(group)) is not None]
    if any(size > MAX_RANGE for size in sizes) or math.prod(sizes) > MAX_STEPS:
        return Refusal("limit", f"Its ranges count further than {MAX_RANGE}, or {MAX_STEPS} together.")
    if any(_doubles(group) for group in _calls(items, "REDUCE")):
        return Refusal("limit", "A reduce makes its value many times larger at each step.")
    if _comprehensions(items) > MAX_COMPREHENSIONS:
        return Refusal("limit", f"List comprehensions are nested more than {MAX_COMPREHENSIONS} deep.")
    if any(_BACKTRACKS.search(pattern) for pattern in _patterns(items)):
        return Refusal("limit", "A regular expression repeats a group that repeats: it may never end.")
    return None


def _calls(items: tuple[Item, ...], name: str) -> list[Group]:
    """The argument lists of all calls of this function, however deep."""
    found: list[Group] = []
    for before, item in zip((None, *items), items, strict=False):
        if isinstance(item, Group):
            if item.bracket == "(" and word(before, name):
                found.append(item)
            found += _calls(item.items, name)
    return found


def _range_size(group: Group) -> int | None:
    """The length of range(a, b[, step]) where all are whole numbers; None where they are not."""
    values, sign = [], 1
    for item in group.items:
        if symbol(item, "-"):
            sign = -1
        elif isinstance(item, Token) and item.kind == "number" and item.text.isdecimal():
            values.append(sign * int(item.text))
            sign = 1
        elif not symbol(item, ","):
            return None
    if len(values) not in (2, 3) or 0 in values[2:]:
        return None
    step = values[2] if len(values) == 3 else 1
    return max(0, (values[1] - values[0]) // step + 1)


def _doubles(group: Group) -> bool:
    """True for reduce(s = …, x IN list | …s…s…), or with `replace`, over a list that is not known to be short."""
    bar = next((k for k, item in enumerate(group.items) if symbol(item, "|")), None)
    if bar is None or not named(group.items[0]):
        return False
    name, body = group.items[0].text, group.items[bar + 1 :]
    grows = sum(named(token) and token.text == name for token in _leaves(body)) > 1
    grows = grows or bool(_calls(body, "REPLACE"))
    sizes = [_range_size(call) for call in _calls(group.items[:bar], "RANGE")]
    steps = sizes[0] if sizes and sizes[0] is not None else None
    if not sizes:
        lists = [item for item in group.items[:bar] if isinstance(item, Group) and item.bracket == "["]
        steps = len(lists[-1].items) if lists else None
    return grows and (steps is None or steps > MAX_DOUBLINGS)


def _leaves(items: tuple[Item, ...]) -> list[Token]:
    return [leaf for item in items for leaf in (_leaves(item.items) if isinstance(item, Group) else [item])]


def _comprehensions(items: tuple[Item, ...]) -> int:
    """How deep `[x IN …]` are inside each other."""
    deepest = 0
    for item in items:
        if isinstance(item, Group):
            own = item.bracket == "[" and len(item.items) > 2 and named(item.items[0]) and word(item.items[1], "IN")
            deepest = max(deepest, own + _comprehensions(item.items))
    return deepest


def _patterns(items: tuple[Item, ...]) -> list[str]:
    """The texts to the right of `=~`."""
    found = []
    for before, item in zip((None, *items), items, strict=False):
        if isinstance(item, Group):
            found += _patterns(item.items)
        elif symbol(before, "=~") and item.kind == "string":
            found.append(item.text)
    return found
