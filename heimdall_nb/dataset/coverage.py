"""What a set of queries exercises of Cypher, and a picture of a schema."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.engines.cypher_tokens import tokens

# Name -> the words or symbols, in a row, that show it.
FEATURES: dict[str, tuple[str, ...]] = {
    "WHERE": ("WHERE",),
    "comparison": ("<", ">", "<=", ">="),
    "IN list": ("IN",),
    "text search": ("STARTS", "ENDS", "CONTAINS"),
    "IS NULL": ("NULL",),
    "ORDER BY": ("ORDER",),
    "SKIP or LIMIT": ("SKIP", "LIMIT"),
    "DISTINCT": ("DISTINCT",),
    "aggregation": ("COUNT", "SUM", "AVG", "MIN", "MAX", "COLLECT"),
    "one hop or more": ("->",),
    "variable length": ("..",),
    "relationship property": ("r.",),
    "OPTIONAL MATCH": ("OPTIONAL",),
    "EXISTS": ("EXISTS",),
    "WITH": ("WITH",),
    "UNION": ("UNION",),
    "UNWIND": ("UNWIND",),
    "CASE": ("CASE",),
    "function of a value": ("TOUPPER", "SIZE", "COALESCE"),
    "date": ("DATE",),
    "write": ("CREATE", "MERGE", "SET", "DELETE", "REMOVE"),
}


def features(query: str) -> set[str]:
    """The names of FEATURES that a query uses."""
    seen: set[str] = set()
    items = tokens(query)
    for before, token, after in zip((None, *items), items, (*items[1:], None), strict=False):
        if token.text == ">" and before is not None and before.text == "-":
            seen.add("->")
        elif token.kind == "symbol":
            arrow = token.text == "<" and after is not None and after.text == "-"
            seen.update((f"{before.text if before else ''}{token.text}", "->" if arrow else token.text))
        elif token.kind == "word" and not (before and before.text in (".", ":")):  # a name is no keyword
            search = token.is_word("WITH") and before is not None and before.is_word("STARTS", "ENDS")
            seen.update(() if search else (token.text.upper(),))
    return {name for name, marks in FEATURES.items() if seen.intersection(marks)}


def coverage(examples: Iterable[Example]) -> dict[str, int]:
    """How many examples use each of FEATURES, in that order."""
    counts = Counter(name for example in examples for name in features(example.output))
    return {name: counts[name] for name in FEATURES}


def schema_figure(schema: GraphSchema) -> Any:
    """A drawing of a schema: a circle for each label, an arrow for each relationship type."""
    from heimdall_nb import plots

    fig, axes = plots.figure(schema.title, size=(6.4, 4.4))
    axes.set(xlim=(-1.75, 1.75), ylim=(-1.45, 1.45), aspect="equal")
    axes.axis("off")
    step = 2 * math.pi / len(schema.labels)
    places = {
        name: (1.15 * math.cos(math.pi / 2 + turn * step), math.sin(math.pi / 2 + turn * step))
        for turn, name in enumerate(schema.labels)
    }
    for name, place in places.items():
        axes.scatter(*place, s=2600, color="#dbe7f3", edgecolor=plots.COLOURS[0], zorder=3)
        axes.text(*place, name, ha="center", va="center", zorder=4)
    lines = Counter()
    for item in schema.relationships:
        ends = tuple(sorted((item.start, item.end)))
        _arrow(axes, item.type, places[item.start], places[item.end], lines[ends], plots.COLOURS[1])
        lines[ends] += 1
    return fig


def _arrow(axes: Any, name: str, start: tuple[float, float], end: tuple[float, float], turn: int, colour: str) -> None:
    """An arrow with its name; further ones between the same labels (`turn`) are bent and named elsewhere."""
    if start == end:
        outwards = 1 if start[1] >= 0 else -1
        axes.text(
            start[0], start[1] + 0.34 * outwards, f"\u21bb {name}", ha="center", va="center", color=colour, size=9
        )
        return
    bend = (0.0, 0.28, -0.28, 0.5)[turn % 4]
    style = {"arrowstyle": "-|>", "color": colour, "shrinkA": 28, "shrinkB": 28}
    axes.annotate("", end, start, arrowprops=style | {"connectionstyle": f"arc3,rad={bend}"}, zorder=1)
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    across = ((end[1] - start[1]) * bend / 2, (start[0] - end[0]) * bend / 2)
    place = (middle[0] + across[0], middle[1] + across[1])
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(*place, name, ha="center", va="center", color=colour, size=9, bbox=white, zorder=2)
