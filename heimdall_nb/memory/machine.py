"""Machines: how much memory there is, and what a process takes beside the model; from `data/hardware.yaml`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.memory.parts import GIB, MIB, Part
from heimdall_nb.run import DATA

SHARED = 0.75  # of a Mac's memory is the model's; the rest stays with the system


@lru_cache(maxsize=1)
def figures() -> dict[str, Any]:
    """The file `data/hardware.yaml`: cards, uses, targets, overheads."""
    return yaml.safe_load((DATA / "hardware.yaml").read_text(encoding="utf-8"))


def overhead(stage: str, where: str) -> Part:
    """What a process takes beside the model: `stage` is training or inference, `where` cpu or cuda."""
    known = figures()["overhead"][stage]
    if where not in known:
        raise BadInput(f"{where!r} is not estimated", "--device", f"Choose from {', '.join(known)}.")
    text = "interpreter and libraries, measured" if where == "cpu" else "CUDA context and kernels, not measured yet"
    return Part("runtime", round(known[where] * MIB), text)


def card(name: str) -> dict[str, Any]:
    """A card of the file: `memory` in GiB, `bandwidth` in GB/s, `kind`. Raises BadInput for an unknown one."""
    cards = figures()["cards"]
    known = {key.lower(): key for key in cards}
    if name.lower() not in known:
        raise BadInput(f"{name!r} is not in data/hardware.yaml", "--hardware", f"Choose from {', '.join(cards)}.")
    return cards[known[name.lower()]]


def usable(spec: dict[str, Any]) -> float:
    """Bytes of a card's memory that a model can take."""
    return spec["memory"] * GIB * (SHARED if spec["kind"] == "shared" else 1.0)


def here() -> tuple[str, float]:
    """(where, bytes) of this machine: its first NVIDIA GPU's memory, else its main memory."""
    import psutil

    from heimdall_nb import hardware

    _, vram = hardware.gpu()
    return ("cuda", vram * GIB) if vram else ("cpu", float(psutil.virtual_memory().total))
