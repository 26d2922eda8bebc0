"""What comes back from the process of a model: an answer, or how it failed. Nothing here needs llama.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from heimdall_nb.errors import HeimdallError


@dataclass(frozen=True)
class Written:
    """One answer: text, its token ids without the end token, and how many prompt tokens were not computed again."""

    text: str
    tokens: list[int]
    prompt_tokens: int
    reused_tokens: int
    seconds: float
    outcome: Literal["ok", "empty", "truncated", "timeout"]


class CorruptState(HeimdallError):
    """The cache does not hold what was read into it, or the model computes no numbers any more."""


class Crashed(HeimdallError):
    """The process of the model ended by itself."""


class Hung(HeimdallError):
    """The process of the model did not answer in time, and was ended."""
