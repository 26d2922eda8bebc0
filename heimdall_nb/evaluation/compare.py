"""When are two results the same? Bags of rows, in order only where the query orders, whatever the columns' names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from heimdall_nb.engines.cypher_patterns import clauses
from heimdall_nb.engines.cypher_tokens import tokens, tree
from heimdall_nb.engines.graph import Rows

TOLERANCE = 1e-6  # relative, of floats
MAX_PERMUTATIONS = 5040


def same_result(gold: Rows, predicted: Rows, ordered: bool, bag_lists: bool = False) -> bool:
    """True when `predicted` says what `gold` says.

    Rows are compared as bags, in order when `ordered`; one permutation of the columns is allowed and their names do
    not matter. 1 equals 1.0, floats agree within a relative 1e-6, booleans and text equal only themselves, lists
    compare in order (as bags with `bag_lists`: what an unordered `collect` gives), maps by key.
    """
    if len(gold.rows) != len(predicted.rows):
        return False
    if not gold.rows:
        return True
    width = len(gold.rows[0])
    if any(len(row) != width for row in (*gold.rows, *predicted.rows)):
        return False
    left = [[_canonical(value, bag_lists) for value in row] for row in gold.rows]
    right = [[_canonical(value, bag_lists) for value in row] for row in predicted.rows]
    compare = _same_in_order if ordered else _same_bag
    return any(compare(left, [[row[k] for k in order] for row in right]) for order in _column_orders(left, right))


def ordered(query: str) -> bool:
    """True when the outermost RETURN of `query` orders its rows; an ORDER BY of a sub-query or of WITH does not count.

    Of a UNION only a part would be ordered, so the whole is not.
    """
    outermost = clauses(tree(query))
    keywords = [clause.keyword for clause in outermost]
    if "RETURN" not in keywords or "UNION" in keywords:
        return False
    last_return = len(keywords) - 1 - keywords[::-1].index("RETURN")
    return "ORDER" in keywords[last_return:]


def collects_unordered(query: str) -> bool:
    """True when `query` makes lists with `collect` and orders nothing before: then their order means nothing."""
    items = tokens(query)
    collects = [k for k, item in enumerate(items) if item.is_word("COLLECT")]
    return bool(collects) and not any(item.is_word("ORDER") for item in items[: collects[-1]])


def _canonical(value: Any, bag_lists: bool) -> tuple[Any, ...]:
    """A value as nested tuples (rank of its type, contents), which can be sorted whatever the types are."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, (int, float)):
        return (2, value) if not (isinstance(value, float) and math.isnan(value)) else (3,)
    if isinstance(value, str):
        return (4, value)
    if isinstance(value, (list, tuple)):
        items = [_canonical(item, bag_lists) for item in value]
        return (5, tuple(sorted(items, key=_sort_key) if bag_lists else items))
    if isinstance(value, dict):
        return (6, tuple(sorted((str(k), _canonical(v, bag_lists)) for k, v in value.items())))
    return (4, value.isoformat() if hasattr(value, "isoformat") else str(value))


def _sort_key(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The value with its numbers rounded to 6 digits: near ones sort together, and are compared exactly afterwards."""
    if value[0] == 2:
        return (2, _rounded(value[1]))
    if value[0] == 5:
        return (5, tuple(_sort_key(item) for item in value[1]))
    if value[0] == 6:
        return (6, tuple((key, _sort_key(item)) for key, item in value[1]))
    return value


def _rounded(number: float) -> float:
    try:
        return float(f"{float(number):.5e}")
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _equal(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    if a[0] != b[0]:
        return False
    if a[0] == 2:
        return _same_number(a[1], b[1])
    if a[0] == 5:
        return len(a[1]) == len(b[1]) and all(map(_equal, a[1], b[1]))
    if a[0] == 6:
        same_keys = [key for key, _ in a[1]] == [key for key, _ in b[1]]
        return same_keys and all(_equal(x, y) for (_, x), (_, y) in zip(a[1], b[1], strict=True))
    return a == b


def _same_number(a: float, b: float) -> bool:
    if a == b:
        return True
    if isinstance(a, int) and isinstance(b, int):
        return False
    try:
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-12)
    except OverflowError:
        return False


def _same_in_order(left: list[list[Any]], right: list[list[Any]]) -> bool:
    return all(_same_row(a, b) for a, b in zip(left, right, strict=True))


def _same_row(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return all(map(_equal, a, b))


def _same_bag(left: list[list[Any]], right: list[list[Any]]) -> bool:
    # Sorting pairs equal rows; only floats that nearly agree may sort apart, and for them every partner is tried.
    a, b = (sorted(rows, key=lambda row: [_sort_key(value) for value in row]) for rows in (left, right))
    if _same_in_order(a, b):
        return True
    if not any(_has_float(value) for row in a for value in row):
        return False
    rest = list(b)
    for row in a:
        place = next((k for k, other in enumerate(rest) if _same_row(row, other)), None)
        if place is None:
            return False
        del rest[place]
    return True


def _has_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, tuple) and any(map(_has_float, value)))


def _column_orders(left: list[list[Any]], right: list[list[Any]]) -> list[tuple[int, ...]]:
    """Column orders worth trying: the given one first, and only those that put like columns at the same place."""
    width = len(left[0])
    if width == 1:
        return [(0,)]

    def column(rows: list[list[Any]], k: int) -> list[list[Any]]:
        return [[row[k]] for row in rows]

    fits = [[_same_bag(column(left, k), column(right, j)) for j in range(width)] for k in range(width)]
    return list(islice(_assignments(fits, ()), MAX_PERMUTATIONS))


def _assignments(fits: list[list[bool]], chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if len(chosen) == len(fits):
        yield chosen
        return
    for column, fit in enumerate(fits[len(chosen)]):
        if fit and column not in chosen:
            yield from _assignments(fits, (*chosen, column))
