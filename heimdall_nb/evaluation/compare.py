"""When are two results the same? Bags of rows, in order only where the gold orders, whatever the columns' names.

Two rows that the gold leaves tied may change places; which of the tied rows a LIMIT keeps is free as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.evaluation.constants import ignores_graph, reads_nothing
from heimdall_nb.evaluation.gold_lists import collects_unordered, list_marks
from heimdall_nb.evaluation.gold_order import Variant, ordered, variant
from heimdall_nb.evaluation.values import PLAIN, Numbers, cell

__all__ = [
    "Expectation",
    "agrees",
    "collects_unordered",
    "expectation",
    "ignores_graph",
    "ordered",
    "reads_nothing",
    "same_result",
    "tells_nothing",
    "with_ties",
]

MAX_CHECKS = 5040  # partial column orders tried before two results count as different
Row = tuple[Any, ...]
Keys = list[list[Any]]  # one list a column


@dataclass(frozen=True)
class Expectation:
    """What a right answer must give.

    `ties` is the number of the tie group of each row of `rows`, then of each row of `spare`: rows of a group may change
    places, and a spare row may stand in for a row of its group (ties at SKIP or LIMIT). Without `ties` the order is
    exact when `ordered`, else free. `bag_lists` says which lists are bags: of all columns alike, or one mark a column
    (0 none, 1 the outermost list, 2 lists at every depth).
    """

    rows: Rows
    ordered: bool = False
    bag_lists: bool | tuple[int, ...] = False
    ties: tuple[int, ...] | None = None
    spare: tuple[Row, ...] = ()

    @cached_property
    def gold(self) -> _Gold:
        """The canonical form of the rows, made once for all answers."""
        return _Gold(self)


class _Gold:
    """The rows that an answer is compared with, as keys that are equal where values are equal."""

    def __init__(self, expected: Expectation) -> None:
        rows = (*expected.rows.rows, *expected.spare)
        self.size = len(expected.rows.rows)
        self.width = len(rows[0]) if rows else 0
        self.regular = all(len(row) == self.width for row in rows)
        if expected.ties is not None:
            self.groups = list(expected.ties)
        else:
            self.groups = list(range(self.size)) if expected.ordered else [0] * self.size
        marks = expected.bag_lists
        self.marks = (2 * marks,) * self.width if isinstance(marks, bool) else (*marks, *[0] * self.width)[: self.width]
        self.rows = rows

    @cached_property
    def numbers(self) -> Numbers:
        return Numbers(value for row in self.rows for value in row)

    @cached_property
    def plain(self) -> dict[Row, int]:
        """How often each row occurs: its group and values, with every number as it stands."""
        return dict(Counter(_keyed(self.groups, self.rows, self.marks)))

    @cached_property
    def columns(self) -> Keys:
        snap = self.numbers.snap
        return [[cell(row[k], self.marks[k], snap) for row in self.rows] for k in range(self.width)]

    @cached_property
    def prefixes(self) -> list[Counter[Row]]:
        """For each number of columns, how often each (group, first values) occurs."""
        return [Counter(zip(self.groups, *self.columns[:k], strict=True)) for k in range(self.width + 1)]


def _keyed(groups: Sequence[int], rows: Sequence[Row], marks: Sequence[int]) -> list[Row]:
    """The rows as keys, each behind its group; further groups than rows are left out."""
    columns = [
        [value if type(value) in PLAIN else cell(value, mark) for value in column]
        for column, mark in zip(zip(*rows, strict=True), marks, strict=True)
    ]
    return list(zip(groups, *columns, strict=False))


def agrees(expected: Expectation, rows: Rows) -> bool:
    """True when `rows` is one of the results that `expected` allows.

    One permutation of the columns is allowed and their names do not matter. 1 equals 1.0, floats agree within a
    relative 1e-6, NaN equals NaN, booleans and text equal only themselves, dates their ISO text, maps compare by key,
    lists in order or as bags as `expected` says. No row equals only no row.
    """
    gold, found = expected.gold, rows.rows
    if len(found) != gold.size:
        return False
    if not found:
        return True
    width = gold.width
    if not gold.regular or any(len(row) != width for row in found):
        return False
    counted, plain = dict(Counter(_keyed(gold.groups, found, gold.marks))), gold.plain
    if counted == plain or all(number <= plain.get(key, 0) for key, number in counted.items()):
        return True
    return _some_column_order(gold, found)


def _some_column_order(gold: _Gold, found: Sequence[Row]) -> bool:
    """True when the columns of `found` can be put into an order in which all rows agree; numbers within tolerance."""
    if not gold.numbers.floats and PLAIN.issuperset([type(value) for row in found for value in row]):
        plain = list(map(list, zip(*found, strict=True)))  # no float and no list: nothing to move or to sort
        columns = dict.fromkeys(gold.marks, plain)
    else:
        turned, snap = list(zip(*found, strict=True)), gold.numbers.snap
        columns = {mark: [[cell(value, mark, snap) for value in values] for values in turned] for mark in {*gold.marks}}
    groups = gold.groups[: gold.size]
    budget = MAX_CHECKS

    def assign(chosen: list[int]) -> bool:
        nonlocal budget
        place = len(chosen)
        if place == gold.width:
            return True
        tried: list[list[Any]] = []
        before = [columns[gold.marks[k]][column] for k, column in enumerate(chosen)]
        for column, values in enumerate(columns[gold.marks[place]]):
            if column in chosen or values in tried:
                continue
            budget -= 1
            if budget < 0:
                return False
            tried.append(values)
            known = gold.prefixes[place + 1]
            counted = Counter(zip(groups, *before, values, strict=True))
            if all(number <= known.get(key, 0) for key, number in counted.items()) and assign([*chosen, column]):
                return True
        return False

    return assign([])


def same_result(gold: Rows, predicted: Rows, ordered: bool, bag_lists: bool = False) -> bool:
    """True when `predicted` says what `gold` says: as bags, or row by row when `ordered`; see `agrees`."""
    return agrees(Expectation(gold, ordered, bag_lists), predicted)


def tells_nothing(rows: Rows) -> bool:
    """True for a result that proves little: no row, nothing but nulls, or a single zero, false or empty value.

    A gold with such a result must not be in a set: too many wrong queries find the same.
    """
    if all(value is None for row in rows.rows for value in row):
        return True
    return len(rows.rows) == 1 and not any(rows.rows[0])


def expectation(query: str, run: Callable[[str], Rows | Refusal]) -> Expectation | Refusal:
    """What a right answer to the gold `query` gives; `run` runs it, and a variant of it where the gold orders or cuts.

    The variant returns the sort keys too, and the rows beyond SKIP and LIMIT: rows with equal keys are tied. LIMIT
    without ORDER BY ties all rows. Where the variant cannot be made or run (UNION, a LIMIT that is no plain number, an
    aggregation that hides the key), or its rows are not the gold's, the order and the choice of the gold's own rows
    count. Ties inside a sub-query, a WITH … LIMIT or an ordered `collect` are the gold's to settle.
    """
    rows = run(query)
    if isinstance(rows, Refusal):
        return rows
    marks = list_marks(query)
    bag_lists = marks if marks and len(marks) == len(rows.columns) else collects_unordered(query)
    exact = Expectation(rows, ordered(query), bag_lists)
    shown = variant(query, rows.columns) if rows.rows else None
    more = run(shown.query) if shown is not None else None
    if shown is None or not isinstance(more, Rows):
        return exact
    return with_ties(exact, shown, more) or exact


def with_ties(exact: Expectation, shown: Variant, more: Rows) -> Expectation | None:
    """The expectation with tie groups from the variant's rows, or None where these are not the gold's."""
    names, width, rows = list(more.columns), len(exact.rows.columns), exact.rows.rows
    if any(isinstance(key, str) and key not in names for key in shown.keys):
        return None
    places = [key if isinstance(key, int) else names.index(key) for key in shown.keys]
    snap = Numbers(row[k] for row in more.rows for k in places).snap
    keys = [[cell(row[k], 0, snap) for k in places] for row in more.rows]
    groups = [0] * len(keys)
    for k in range(1, len(keys)):
        groups[k] = groups[k - 1] + (keys[k] != keys[k - 1])
    start = shown.skip if exact.ordered else 0
    window = groups[start : start + len(rows)]
    if len(window) != len(rows):
        return None
    every = Expectation(Rows(exact.rows.columns, tuple(row[:width] for row in more.rows)), True, exact.bag_lists)
    everything = _keyed(groups, every.rows.rows, every.gold.marks)
    left = Counter(everything)
    left.subtract(_keyed(window, rows, every.gold.marks))
    if any(number < 0 for number in left.values()):
        return None
    spare = []
    for key, group, row in zip(everything, groups, every.rows.rows, strict=True):
        if left[key] > 0 and group in (window[0], window[-1]):
            left[key] -= 1
            spare.append((group, row))
    ties = (*window, *(group for group, _ in spare))
    return Expectation(exact.rows, exact.ordered, exact.bag_lists, ties, tuple(row for _, row in spare))
