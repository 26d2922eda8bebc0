"""Memory and bounds of speed by model, context, type of cache and machine: with sliders, or as a table without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heimdall_nb.browser import interactive
from heimdall_nb.context.profile import SIZES
from heimdall_nb.memory import estimate_inference, shape_of
from heimdall_nb.memory.machine import card, figures, usable
from heimdall_nb.memory.parts import GIB, Estimate
from heimdall_nb.memory.recommend import SAFE
from heimdall_nb.memory.speed import speed
from heimdall_nb.model_shapes import shapes

CACHES = ("F16", "Q8_0", "Q4_0")
KIND = "Q4_K_M"
BAR = "#0b5cad"  # the first colour of `plots`


def point(model: str, context: int, cache: str, hardware: str) -> tuple[dict[str, Any], Estimate]:
    """(one choice as a row, its estimate): GiB, whether it fits, and the most tokens a second with a full context.

    Everything is computed: memory by the formula, speed as a bound from arithmetic and bandwidth. Raises BadInput for
    names that data/models.yaml and data/hardware.yaml do not have.
    """
    machine, shape = card(hardware), shape_of(model)
    found = estimate_inference(shape, KIND, context, cache, where="cuda" if machine["kind"] == "cuda" else "cpu")
    bound = speed(shape, found, machine, context, context)
    row = {"model": shape.name.split("/")[-1], "hardware": hardware, "cache": cache, "context": context}
    row |= {"cache, GiB": round(found.part("key-value cache") / GIB, 2), "together, GiB": round(found.bytes / GIB, 2)}
    row |= {"fits": "yes" if found.bytes <= SAFE * usable(machine) else "no"}
    row |= {"read, tokens/s at most": round(bound.reading), "write, tokens/s at most": round(bound.writing)}
    return row | {"made for it": "yes" if context <= shape.context else "no"}, found


def grid(
    models: Sequence[str], hardware: Sequence[str], contexts: Sequence[int] = SIZES, caches: Sequence[str] = CACHES
) -> list[dict[str, Any]]:
    """The rows of all combinations, the context changing fastest."""
    return [point(m, size, cache, h)[0] for m in models for h in hardware for cache in caches for size in contexts]


def explore(model: str, hardware: str, contexts: Sequence[int] = SIZES) -> Any:
    """Sliders for model, machine, type of cache and context, that begin at these; a table where there is no front end.

    The table has every context and type of cache for this model and machine. Returns the widget or the table, as the
    last value of a cell shows it.
    """
    if interactive():
        return _widget(model, hardware, contexts)
    import pandas as pd

    return pd.DataFrame(grid([model], [hardware], contexts)).set_index(["cache", "context"])


def said(model: str, context: int, cache: str, hardware: str) -> str:
    """One choice as HTML: a sentence, and the parts of its memory with bars."""
    import html

    row, found = point(model, context, cache, hardware)
    head = (
        f"{row['model']} as {KIND}, context {context:,}, cache {cache}, on {hardware}: {row['together, GiB']} GiB "
        f"({'fits' if row['fits'] == 'yes' else 'does not fit'}); with a full context it reads at most "
        f"{row['read, tokens/s at most']:,} and writes at most {row['write, tokens/s at most']:,} tokens a second."
    )
    if row["made for it"] == "no":
        head += " The model was not made for so many tokens."
    lines = [
        f"<tr><td>{html.escape(part.name)}</td><td style='text-align:right'>{part.bytes / GIB:.3f} GiB</td>"
        f"<td><div style='background:{BAR};height:0.8em;width:{240 * part.bytes / found.bytes:.0f}px'></div></td></tr>"
        for part in found.parts
    ]
    return f"<p>{html.escape(head)}</p><table>{''.join(lines)}</table>"


def _widget(model: str, hardware: str, contexts: Sequence[int]) -> Any:
    import ipywidgets as widgets

    wide = {"description_width": "5em"}
    models = list(dict.fromkeys([model, *shapes(), "heimdall-nano-base"]))
    chosen = {
        "model": widgets.Dropdown(options=models, value=model, description="model", style=wide),
        "hardware": widgets.Dropdown(
            options=list(figures()["cards"]), value=hardware, description="machine", style=wide
        ),
        "cache": widgets.Dropdown(options=CACHES, description="cache", style=wide),
        "context": widgets.SelectionSlider(options=list(contexts), description="context", style=wide),
    }
    view = widgets.HTML()

    def show(_: Any = None) -> None:
        view.value = said(**{name: item.value for name, item in chosen.items()})

    for item in chosen.values():
        item.observe(show, names="value")
    show()
    return widgets.VBox([*chosen.values(), view])
