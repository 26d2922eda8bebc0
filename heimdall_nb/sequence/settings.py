"""How a sequence is run: the settings of `data/models.yaml`, in llama.cpp's terms, with a user's changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA

SMALLEST = 64  # tokens of a window that must be left for the prompt
_AT_LEAST = {"n_ctx": 256, "max_tokens": 1, "n_gpu_layers": -1, "n_batch": 1, "n_ubatch": 1, "keep_turns": 1}
_RANGES = {"temperature": (0, 10), "retry_temperature": (0, 10), "trim_to": (0.05, 1), "timeout": (0.01, 86400)}


@dataclass(frozen=True)
class Settings:
    """The fields of `data/models.yaml`, which explains each; sizes are in tokens, `timeout` in seconds."""

    n_ctx: int
    max_tokens: int
    n_gpu_layers: int
    n_batch: int
    n_ubatch: int
    flash_attn: bool
    offload_kqv: bool
    margin: int
    trim_to: float
    keep_turns: int
    window: int
    summary_tokens: int
    temperature: float
    retry_temperature: float
    minimal: int
    retries: int
    timeout: float

    @property
    def budget(self) -> int:
        """Tokens that a prompt may have: the window without the longest answer and the margin."""
        return self.n_ctx - self.max_tokens - self.margin

    @property
    def options(self) -> dict[str, int | bool]:
        """What llama.cpp's parameters are set to, by its names."""
        return {
            "n_gpu_layers": self.n_gpu_layers,
            "n_ubatch": min(self.n_ubatch, self.n_batch),
            "flash_attn_type": int(self.flash_attn),  # LLAMA_FLASH_ATTN_TYPE_DISABLED, _ENABLED
            "offload_kqv": self.offload_kqv,
        }


def named() -> dict[str, dict[str, Any]]:
    """The settings of `data/models.yaml` by their names; the first ones are whole."""
    return yaml.safe_load((DATA / "models.yaml").read_text(encoding="utf-8"))["settings"]


def load(name: str = "long", assignments: Sequence[str] = ()) -> Settings:
    """The settings of this name with each `field=value` of `assignments`.

    Raises BadInput for an unknown name or field, a value of another type or out of range, and a window without room.
    """
    known = named()
    if name not in known:
        raise BadInput(f"{name!r} is not the name of settings", "--settings", f"Choose from {', '.join(known)}.")
    found = Settings(**(known[next(iter(known))] | known[name]))
    for assignment in assignments:
        found = replace(found, **_assigned(assignment))
    return _checked(found)


def _assigned(assignment: str) -> dict[str, Any]:
    field, equals, text = assignment.partition("=")
    types = {item.name: item.type for item in fields(Settings)}
    where = f"--set {assignment}"
    if not equals or field not in types:
        raise BadInput("is not field=value", where, f"Fields are: {', '.join(types)}.")
    value = yaml.safe_load(text)
    if types[field] == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value).__name__ != types[field]:
        raise BadInput(f"needs {types[field]}", where, "See data/models.yaml.")
    return {field: value}


def _checked(found: Settings) -> Settings:
    for item in fields(Settings):
        value = getattr(found, item.name)
        low, high = _RANGES.get(item.name, (_AT_LEAST.get(item.name, 0), float("inf")))
        if item.type != "bool" and not low <= value <= high:  # also not a number
            most = f", at most {high:g}" if high < float("inf") else ""
            raise BadInput(f"{value} is out of range", item.name, f"Give at least {low}{most}.")
    if found.budget - found.summary_tokens < SMALLEST:
        what = f"{found.n_ctx} tokens have no room for a prompt beside an answer of {found.max_tokens}"
        raise BadInput(what, "n_ctx", "Give --set max_tokens=N with a smaller number.")
    return found
