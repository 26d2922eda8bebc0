"""A picture of a relational schema: a box for each table with its columns, an arrow for each foreign key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heimdall_nb import plots
from heimdall_nb.engines.sql import Table

_LINE, _WIDTH, _GAP, _BETWEEN = 0.2, 1.36, 0.34, 0.4  # of a column's name, of a box, and the space around boxes
_FILL = "#dbe7f3"
_EDGE = {"edgecolor": plots.COLOURS[0], "linewidth": 0.9, "zorder": 2}  # above arrows that pass behind a box


def depths(tables: Sequence[Table]) -> dict[str, int]:
    """How far each table is from one that references none: 0 for a table without foreign keys to others."""
    by_name = {table.name: table for table in tables}

    def depth(name: str, seen: frozenset[str]) -> int:
        parents = {target for target, _ in by_name[name].references.values()} & set(by_name) - seen - {name}
        return 1 + max((depth(parent, seen | {name}) for parent in parents), default=-1)

    return {name: depth(name, frozenset()) for name in by_name}


def schema_figure(tables: Sequence[Table], title: str) -> Any:
    """The tables from left to right, each right of those that it references; keys are bold, `>` marks foreign keys."""
    found = depths(tables)
    columns = [[t for t in tables if found[t.name] == depth] for depth in range(max(found.values()) + 1)]
    tops = _tops(columns)
    height = max(_height(column) for column in columns)
    width = len(columns) * (_WIDTH + _GAP) - _GAP
    fig, axes = plots.figure(title, size=(width + 0.3, height * 0.8 + 0.4))
    axes.set(xlim=(-0.05, width + 0.05), ylim=(-height - 0.1, 0.1))
    axes.axis("off")
    places = {t.name: (k * (_WIDTH + _GAP), tops[t.name]) for k, column in enumerate(columns) for t in column}
    for table in tables:
        _box(axes, table, *places[table.name])
    for table in tables:
        for name, (target, _) in table.references.items():
            _arrow(axes, table, name, places[table.name], places[target])
    return fig


def _height(column: Sequence[Table]) -> float:
    return sum(_LINE * (len(t.columns) + 1) + _BETWEEN for t in column) - _BETWEEN


def _tops(columns: Sequence[Sequence[Table]]) -> dict[str, float]:
    """The upper edge of each box; the boxes of a column are centred on the height of the highest one."""
    height, found = max(_height(column) for column in columns), {}
    for column in columns:
        at = -(height - _height(column)) / 2
        for table in column:
            found[table.name] = at
            at -= _LINE * (len(table.columns) + 1) + _BETWEEN
    return found


def _box(axes: Any, table: Table, left: float, top: float) -> None:
    size = _LINE * (len(table.columns) + 1)
    axes.add_patch(plots.plt.Rectangle((left, top - size), _WIDTH, size, facecolor="white", **_EDGE))
    axes.add_patch(plots.plt.Rectangle((left, top - _LINE), _WIDTH, _LINE, facecolor=_FILL, **_EDGE))
    axes.text(left + _WIDTH / 2, top - _LINE / 2, table.name, ha="center", va="center", size=8, weight="bold", zorder=3)
    for line, column in enumerate(table.columns, start=1):
        mark = "> " if column.name in table.references else ""
        weight = "bold" if column.name in table.primary_key else "normal"
        axes.text(
            left + 0.04, top - (line + 0.5) * _LINE, mark + column.name, va="center", size=6.6, weight=weight, zorder=3
        )


def _arrow(axes: Any, table: Table, column: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From a foreign key to the head of the table that it points to; round the box for a table that names itself."""
    names = [c.name for c in table.columns]
    tail = start[0], start[1] - (names.index(column) + 1.5) * _LINE
    own = start == end
    tip = (end[0] if own else end[0] + _WIDTH), end[1] - _LINE / 2
    bend = "arc3,rad=-0.6" if own else "arc3"
    style = {"arrowstyle": "-|>", "color": plots.COLOURS[1], "connectionstyle": bend, "linewidth": 1.0}
    axes.annotate("", tip, tail, arrowprops=style | {"shrinkA": 0, "shrinkB": 0}, zorder=1)
