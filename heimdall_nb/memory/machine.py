"""Machines: how much memory there is, and what a process takes beside the model; from `data/hardware.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.memory.parts import GIB, MIB, Part
from heimdall_nb.run import DATA

SIZE = r"(\d+)\s*gi?b\b"
MAKERS = {"nvidia", "geforce", "apple", "tesla", "gpu"}  # words that tell no card from another
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
    """A card of the file: `memory` in GiB, `bandwidth` in GB/s, `teraflops`, `kind`; `name` as `named` takes it.

    A size in the name (`RTX 3060 12GB`) is the card's memory. Raises BadInput for an unknown one.
    """
    spec = figures()["cards"][card_name(name)]
    size = re.search(SIZE, name, re.IGNORECASE)
    return spec | ({"memory": float(size[1])} if size else {})


def card_name(name: str) -> str:
    """The name in the file of a card that is called otherwise. Raises BadInput for an unknown one."""
    return named(name, figures()["cards"], "--hardware")


def named(text: str, names: Iterable[str], option: str) -> str:
    """The one of `names` that a text means: the same words, or some of them; maker and memory do not count.

    Raises BadInput, with all that is known, where none or several are meant.
    """
    names = list(names)
    given = _words(text)
    same = [name for name in names if name.lower() == text.strip().lower()] or [n for n in names if _words(n) == given]
    some = same or [name for name in names if given and all(_among(word, _words(name)) for word in given)]
    if len(some) != 1:
        what = f"{text!r} may be {' or '.join(some)}" if some else f"{text!r} is not in data/hardware.yaml"
        raise BadInput(what, option, f"Choose from {', '.join(names)}.")
    return some[0]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", re.sub(SIZE, " ", text.lower()))) - MAKERS


def _among(word: str, words: set[str]) -> bool:
    return word in words or (len(word) > 3 and any(other.startswith(word) for other in words))


def usable(spec: dict[str, Any]) -> float:
    """Bytes of a card's memory that a model can take."""
    return spec["memory"] * GIB * (SHARED if spec["kind"] == "shared" else 1.0)


def here() -> tuple[str, float]:
    """(where, bytes) of this machine: its first NVIDIA GPU's memory, else its main memory."""
    import psutil

    from heimdall_nb import hardware

    _, vram = hardware.gpu()
    return ("cuda", vram * GIB) if vram else ("cpu", float(psutil.virtual_memory().total))
