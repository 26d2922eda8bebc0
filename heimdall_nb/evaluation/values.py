"""Values of results as keys that can be hashed: equal keys where the values say the same."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

TOLERANCE = 1e-6  # relative, of floats
_LEAST = 1e-12  # absolute, near zero
_TRUE, _FALSE, _NAN = ("true",), ("false",), ("NaN",)

PLAIN = frozenset((str, int, type(None)))  # types whose values are their own keys, where no number is moved
Snap = Callable[[float], float]


def cell(value: Any, mark: int = 0, snap: Snap | None = None) -> Any:
    """The key of a value. Of `mark` lists are bags: 0 none, 1 the outermost, 2 all; `snap` moves numbers together."""
    kind = type(value)
    if kind is str or value is None:
        return value
    if kind is int:
        return snap(value) if snap else value
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is float:
        if value != value:
            return _NAN
        return snap(value) if snap else value
    return _structure(value, mark, snap)


def _structure(value: Any, mark: int, snap: Snap | None) -> Any:
    if isinstance(value, (list, tuple)):
        items = [cell(item, mark if mark == 2 else 0, snap) for item in value]
        return ("bag", frozenset(Counter(items).items())) if mark else ("list", *items)
    if isinstance(value, dict):
        return ("map", frozenset((str(key), cell(item, mark, snap)) for key, item in value.items()))
    if isinstance(value, (int, float)):  # a subclass, as some drivers give
        return cell(int(value) if isinstance(value, int) else float(value), mark, snap)
    if isinstance(value, Decimal):
        return cell(int(value) if value == value.to_integral_value() else float(value), mark, snap)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


class Numbers:
    """The numbers of the gold's rows. `snap` gives the one that a number agrees with, so that equality is exact."""

    def __init__(self, values: Iterable[Any]) -> None:
        found: set[float] = set()
        for value in values:
            _collect(value, found)
        self.sorted = sorted(found)
        self.of: dict[float, float] = {}
        self.floats = any(isinstance(number, float) for number in self.sorted)
        last: float | None = None  # the float before, through which near floats chain together
        for number in self.sorted:
            self.of[number] = number
            if not isinstance(number, float):
                continue
            whole = round(number) if math.isfinite(number) else None
            if whole is not None and whole in found and _near(whole, number):
                self.of[number] = whole
            elif last is not None and _near(last, number):
                self.of[number] = self.of[last]
            last = number

    def snap(self, number: float) -> float:
        """The gold's number that agrees with `number`, or itself; whole ones agree only exactly, or with floats."""
        if number in self.of:
            return self.of[number]
        whole = not isinstance(number, float)
        if whole and not self.floats:
            return number
        place = bisect_left(self.sorted, number)
        near = [n for n in self.sorted[max(0, place - 1) : place + 1] if _near(n, number)]
        if whole:
            near = [n for n in near if isinstance(n, float)]
        return self.of[min(near, key=lambda n: abs(n - number))] if near else number


def _near(a: float, b: float) -> bool:
    try:
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=_LEAST)
    except OverflowError:
        return False


def _collect(value: Any, found: set[float]) -> None:
    if isinstance(value, (bool, str)) or value is None:
        return
    if isinstance(value, (int, float)):
        if value == value:
            found.add(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, found)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, Decimal):
        found.add(int(value) if value == value.to_integral_value() else float(value))
