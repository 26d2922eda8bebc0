"""Pictures of graph schemas: one large with its names, or all of them small."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from heimdall_nb import plots
from heimdall_nb.dataset.graphs import GraphSchema

_COLUMNS = 5
_FILL = "#dbe7f3"


def schema_figure(schema: GraphSchema) -> Any:
    """A drawing of a schema: a circle for each label, a named arrow for each relationship type."""
    fig, axes = plots.figure(schema.title, size=(6.4, 4.4))
    axes.set(xlim=(-1.75, 1.75), ylim=(-1.45, 1.45), aspect="equal")
    axes.axis("off")
    places = _places(schema)
    for name, place in places.items():
        axes.scatter(*place, s=2600, color=_FILL, edgecolor=plots.COLOURS[0], zorder=3)
        axes.text(*place, name, ha="center", va="center", zorder=4)
    lines: Counter[tuple[str, ...]] = Counter()
    for item in schema.relationships:
        ends = tuple(sorted((item.start, item.end)))
        _arrow(axes, item.type, places[item.start], places[item.end], lines[ends], plots.COLOURS[1])
        lines[ends] += 1
    return fig


def gallery(schemas: Sequence[GraphSchema]) -> Any:
    """All schemas, each small: labels as circles, relationship types as arrows without names, loops as rings."""
    rows = -(-len(schemas) // _COLUMNS)
    fig, grid = plots.plt.subplots(rows, _COLUMNS, figsize=(2.3 * _COLUMNS, 2.1 * rows), layout="constrained")
    for axes in grid.flat:
        axes.axis("off")
    for axes, schema in zip(grid.flat, schemas, strict=False):
        colour = plots.COLOURS[1] if schema.benchmark else plots.COLOURS[0]
        axes.set_title(schema.name + (" (reserved)" if schema.benchmark else ""), fontsize=9, color=colour)
        axes.set(xlim=(-1.9, 1.9), ylim=(-1.55, 1.55), aspect="equal")
        _small(axes, schema, colour)
    return fig


def _small(axes: Any, schema: GraphSchema, colour: str) -> None:
    places = _places(schema)
    style = {"arrowstyle": "-|>", "color": "#888888", "shrinkA": 9, "shrinkB": 9, "linewidth": 0.7}
    for item in schema.relationships:
        if item.start == item.end:
            axes.scatter(*places[item.start], s=330, facecolor="none", edgecolor="#888888", linewidth=0.7)
        else:
            axes.annotate("", places[item.end], places[item.start], arrowprops=style)
    for name, (x, y) in places.items():
        axes.scatter(x, y, s=150, color=_FILL, edgecolor=colour, zorder=3)
        above = y >= 0
        axes.text(x, y + (0.27 if above else -0.27), name, ha="center", va="bottom" if above else "top", fontsize=6.5)


def _places(schema: GraphSchema) -> dict[str, tuple[float, float]]:
    """The labels on an ellipse, the first on top."""
    step = 2 * math.pi / len(schema.labels)
    turns = {name: math.pi / 2 + turn * step for turn, name in enumerate(schema.labels)}
    return {name: (1.15 * math.cos(angle), math.sin(angle)) for name, angle in turns.items()}


def _arrow(axes: Any, name: str, start: tuple[float, float], end: tuple[float, float], turn: int, colour: str) -> None:
    """An arrow with its name; further ones between the same labels (`turn`) are bent and named elsewhere."""
    if start == end:
        outwards = 1 if start[1] >= 0 else -1
        place = start[0], start[1] + 0.34 * outwards
        axes.text(*place, f"\u21bb {name}", ha="center", va="center", color=colour, size=9)
        return
    bend = (0.0, 0.28, -0.28, 0.5)[turn % 4]
    style = {"arrowstyle": "-|>", "color": colour, "shrinkA": 28, "shrinkB": 28}
    axes.annotate("", end, start, arrowprops=style | {"connectionstyle": f"arc3,rad={bend}"}, zorder=1)
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    across = ((end[1] - start[1]) * bend / 2, (start[0] - end[0]) * bend / 2)
    place = (middle[0] + across[0], middle[1] + across[1])
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(*place, name, ha="center", va="center", color=colour, size=9, bbox=white, zorder=2)
