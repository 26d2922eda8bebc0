"""Checks of notebook 11's exercises."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

OWN, SHARE = 1400, 0.3  # examples of the domain, and the share of general ones among all
_HEADS, _TAILS = ("seal", "sea", "sel", "Seal", "xseal"), ("", ".csv", ".md")
_NAMES = sorted("".join(parts) for parts in product(_HEADS, ("", "s", "_old"), _TAILS))


def check_1(answer: Any, few: Sequence[str]) -> str | None:
    """A pattern that is wrong for `begin with seal`, though it selects the right ones of `few`."""
    if not isinstance(answer, str) or not answer:
        return "Give a pattern as text."
    for name in few:
        if fnmatchcase(name, answer) != name.startswith("seal"):
            return f"The check refuses it: {name} is {'' if fnmatchcase(name, answer) else 'not '}selected."
    if all(fnmatchcase(name, answer) == name.startswith("seal") for name in _NAMES):
        return "It passes the check, but it is right for other names as well. Find one that is wrong."
    return None


def check_2(answer: Any) -> str | None:
    """How many general examples make SHARE of all, beside OWN of the domain."""
    if not isinstance(answer, int) or isinstance(answer, bool):
        return "Give an integer."
    if answer == round(OWN * SHARE):
        return f"That is {SHARE:.0%} of your own examples, and {answer / (OWN + answer):.0%} of all."
    if answer != round(OWN * SHARE / (1 - SHARE)):
        return f"Then {max(0, answer) / (OWN + max(0, answer)):.1%} of all are general."
    return None


def check_3(answer: Any) -> str | None:
    """A pair of pattern and test for names that do not begin with a letter."""
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], str) and callable(answer[1])):
        return "Give a pair: the pattern as text, and a function of a name and a letter."
    pattern, test = answer
    for letter, name in product("sxq", _NAMES):
        try:
            tested, filled = bool(test(name, letter)), pattern.format(letter=letter)
        except Exception as problem:  # the reader's code, which may raise anything
            return f"With {name!r} and {letter!r} it stops: {type(problem).__name__}: {problem}"
        right = not name.startswith(letter)
        if tested != right:
            return f"The test says {tested} for the name {name!r} and the letter {letter!r}."
        if fnmatchcase(name, filled) != right:
            return f"The pattern {filled} {'leaves out' if right else 'selects'} {name!r}."
    return None
