"""What is inside a GGUF file: its metadata, and its tensors by type and size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf

from heimdall_nb.models.gguf_path import check_gguf

LISTS = 8  # a longer list is only counted


def metadata(path: Path | str) -> dict[str, Any]:
    """All metadata of a file by key; a long list, such as the vocabulary, is told by its length and first values.

    Raises BadInput when the file is not GGUF.
    """
    fields = gguf.GGUFReader(check_gguf(path)).fields
    return {name: _short(field.contents()) for name, field in fields.items()}


def _short(value: Any) -> Any:
    if not isinstance(value, list) or len(value) <= LISTS:
        return value
    return f"{len(value)} values: {', '.join(map(repr, value[:3]))}, …"


def tensors(path: Path | str) -> list[dict[str, Any]]:
    """Each tensor of a file: `tensor`, `type`, `shape` as llama.cpp has it (row length first), `weights`, `bytes`."""
    return [
        {
            "tensor": t.name,
            "type": t.tensor_type.name,
            "shape": " x ".join(str(int(n)) for n in t.shape),
            "weights": int(t.n_elements),
            "bytes": int(t.n_bytes),
        }
        for t in gguf.GGUFReader(check_gguf(path)).tensors
    ]


def by_role(path: Path | str) -> Any:
    """Tensors that do the same work in every layer as one row: how many, type, shape, MB (a pandas DataFrame)."""
    import pandas as pd

    frame = pd.DataFrame(tensors(path))
    frame["tensor"] = frame["tensor"].str.replace(r"^blk\.\d+\.", "blk.*.", regex=True)
    grouped = frame.groupby(["tensor", "type", "shape"], sort=False)["bytes"].agg(["count", "sum"]).reset_index()
    grouped["MB"] = (grouped.pop("sum") / 1e6).round(3)
    return grouped.set_index("tensor")


def by_type(files: Mapping[str, Path | str]) -> Any:
    """MB of each type of tensor, and of the metadata (columns), in each file (rows), as a pandas DataFrame."""
    import pandas as pd

    rows = {}
    for name, path in files.items():
        frame = pd.DataFrame(tensors(path))
        sizes = frame.groupby("type")["bytes"].sum()
        rows[name] = sizes.to_dict() | {"metadata": Path(path).stat().st_size - int(sizes.sum())}
    frame = pd.DataFrame.from_dict(rows, orient="index").fillna(0) / 1e6
    order = sorted(set(frame) - {"metadata"}, key=lambda kind: -float(frame[kind].max()))
    return frame[[*order, "metadata"]].round(3).rename_axis("file")


def type_figure(sizes: Any) -> Any:
    """`by_type` as stacked bars, one a file."""
    from heimdall_nb import plots

    fig, axes = plots.figure("What the bytes are", "MB (1 MB = 1,000,000 bytes)", size=(6.4, 1.3 + 0.4 * len(sizes)))
    left = [0.0] * len(sizes)
    for place, kind in enumerate(sizes):
        look = {"color": plots.COLOURS[place % 5], "hatch": "//" if place >= 5 else "", "edgecolor": "white"}
        axes.barh(list(sizes.index), sizes[kind], left=left, label=kind, **look)
        left = [a + b for a, b in zip(left, sizes[kind], strict=True)]
    for row, total in enumerate(left):
        axes.text(total + 0.01 * max(left), row, f"{total:.1f}", va="center")
    axes.set_xlim(0, 1.12 * max(left))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", ncols=2)
    return fig
