"""Figures that everyone can read: saved beside the run, shown with alternative text, calm colours with markers."""

from __future__ import annotations

import base64
import html
import os
from pathlib import Path
from typing import Any

import matplotlib

if not os.environ.get("MPLBACKEND"):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
from IPython.display import HTML, display
from PIL import Image

COLOURS = ("#0b5cad", "#d1741c", "#2a7f4f", "#8a3f8f", "#6b6b6b")  # told apart in greyscale and by colour-blind readers
MARKERS = ("o", "s", "^", "D", "v")


def figure(title: str, x: str = "", y: str = "", size: tuple[float, float] = (6.0, 3.2)) -> tuple[Any, Any]:
    """A figure and its axes with title, axis labels and a light grid."""
    fig, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return fig, axes


def bars(
    title: str,
    values: dict[str, float],
    x: str = "",
    intervals: dict[str, tuple[float, float]] | None = None,
    number_format: str = "{:g}",
) -> Any:
    """Horizontal bars, one a name, each with its number; `intervals` adds (low, high) whiskers."""
    fig, axes = figure(title, x, size=(6.0, 0.9 + 0.42 * max(1, len(values))))
    names = list(values)
    errors = None
    if intervals:
        errors = [[values[n] - intervals[n][0] for n in names], [intervals[n][1] - values[n] for n in names]]
    axes.barh(names, list(values.values()), color=COLOURS[0], xerr=errors, ecolor="#333333", capsize=3)
    span = max([*values.values(), *(high for _, high in (intervals or {}).values())], default=1) or 1
    for row, name in enumerate(names):
        end = max(values[name], intervals[name][1] if intervals else 0)
        axes.text(end + 0.015 * span, row, number_format.format(values[name]), va="center")
    axes.set_xlim(0, 1.15 * span)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    return fig


def save(fig: Any, path: Path) -> Path:
    """Save the figure as PNG of 256 colours at `path`, and free it."""
    fig.savefig(path, dpi=110)
    plt.close(fig)
    # A page holds each figure as text, and a run keeps it three times: a palette takes a third of the bytes.
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)
    return path


def show(fig: Any, path: Path, alt: str) -> None:
    """`save` the figure at `path`, and display it with its alternative text."""
    save(fig, path)
    image = base64.b64encode(path.read_bytes()).decode()
    display(HTML(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{image}" style="max-width: 100%">'))
