"""The ladder as a table, a figure and sentences, for a notebook and for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_nb.evaluation.report import percent
from heimdall_nb.export.ladder import recommend, rule, warning

RED = "#b00020"


def table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """One row a rung (a pandas DataFrame): VA and EX with intervals, perplexity, agreement, size, speed, memory."""
    import pandas as pd

    against = f"against {rule()['reference']}"
    shown = {
        row["name"]: {
            "VA": percent(row["va"]),
            "EX": percent(row["ex"]),
            "perplexity": f"{row['perplexity']:.4f}",
            f"mean KL {against}": f"{row['mean_kl']:.2g}",
            f"same token {against}": f"{row['top1']:.2%}",
            "MB": "-" if row["bytes"] is None else f"{row['bytes'] / 1e6:.2f}",
            "tokens/s": f"{row['tokens_per_second']:.0f}",
            "peak memory, MiB": f"{row['memory_mb']:.0f}",
            "of it the model, MiB": f"{row['model_mb']:.0f}",
        }
        for row in rows
    }
    return pd.DataFrame.from_dict(shown, orient="index").rename_axis("rung")


def figure(rows: Sequence[Mapping[str, Any]]) -> Any:
    """EX with its interval on the left, mean KL against the reference on the right, a line a rung."""
    from heimdall_nb import plots

    size = (7.2, 1.1 + 0.34 * len(rows))
    fig, (left, right) = plots.plt.subplots(1, 2, sharey=True, figsize=size, layout="constrained")
    places, names = range(len(rows)), [row["name"] for row in rows]
    values = [100 * row["ex"]["value"] for row in rows]
    spans = [
        [max(0.0, v - 100 * row["ex"]["low"]) for v, row in zip(values, rows, strict=True)],
        [max(0.0, 100 * row["ex"]["high"] - v) for v, row in zip(values, rows, strict=True)],
    ]
    left.errorbar(values, places, xerr=spans, fmt=plots.MARKERS[0], color=plots.COLOURS[0], capsize=3)
    left.set(title="Right answers", xlabel="EX in %", yticks=list(places), yticklabels=names)
    apart = [(place, row["mean_kl"]) for place, row in zip(places, rows, strict=True) if row["mean_kl"] > 0]
    right.plot([kl for _, kl in apart], [place for place, _ in apart], plots.MARKERS[1], color=plots.COLOURS[1])
    right.set(title=f"Distance from {rule()['reference']}", xlabel="mean KL in nats, lower is closer", xscale="log")
    left.invert_yaxis()
    for axes in (left, right):
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return fig


def alt(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figure in words."""
    said = (f"{row['name']} EX {100 * row['ex']['value']:.1f} %, KL {row['mean_kl']:.1g}" for row in rows)
    return f"Two charts, a line a rung. {'; '.join(said)}."


def red(sentence: str) -> Any:
    """A sentence in red, for a notebook."""
    import html

    from IPython.display import HTML

    return HTML(f'<p style="color: {RED}"><strong>{html.escape(sentence)}</strong></p>')


def weighted_sentences(rows: Sequence[Mapping[str, Any]], suffix: str) -> list[str]:
    """For each kind that is there with and without an importance matrix: whether the matrix brought it closer."""
    by_name = {row["name"]: row for row in rows}
    sentences = []
    for name, plain in by_name.items():
        other = by_name.get(name + suffix)
        if other:
            better = "closer" if other["mean_kl"] < plain["mean_kl"] else "not closer"
            kls = f"KL {other['mean_kl']:.2g} with the matrix, {plain['mean_kl']:.2g} without"
            exs = f"EX {100 * other['ex']['value']:.1f} and {100 * plain['ex']['value']:.1f} %"
            sentences.append(f"{name} is {better} with an importance matrix ({kls}; {exs}).")
    return sentences


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table and the recommendation for a terminal; the warning comes apart, since it is printed in red."""
    from heimdall_nb.dataset.validation_report import table as as_text

    frame = table(rows).reset_index()
    return f"{as_text(tuple(frame.columns), frame.values.tolist())}\n\n{recommend(rows)[1]}"


def findings(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The ladder for a stage's metrics: the rows without their single answers, the recommendation, the warning."""
    left_out = {"key", "right"}
    kept = {row["name"]: {k: v for k, v in row.items() if k not in left_out} for row in rows}
    name, why = recommend(rows)
    return {"rows": kept, "recommended": name, "why": why, "warning": warning(rows)}
