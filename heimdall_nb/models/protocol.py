"""Text in, text out: what every language model in Heimdall answers to, wherever it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from heimdall_nb.prompts import STOPS, Conversation

Outcome = Literal["ok", "empty", "truncated", "timeout", "error"]


@dataclass(frozen=True)
class Completion:
    """One answer. `seconds` is the wall time of this answer (a batch's time shared equally among its items)."""

    text: str
    prompt_tokens: int
    new_tokens: int
    seconds: float
    outcome: Outcome


class LanguageModel(Protocol):
    """A model that completes conversations; `name` appears in reports."""

    name: str

    def complete(
        self,
        conversations: Sequence[Conversation],
        max_new_tokens: int = 192,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = STOPS,
        grammar: str | None = None,
    ) -> list[Completion]:
        """Answer each conversation, in order. Temperature 0 is greedy; `grammar` is GBNF where supported.

        Stop strings are not part of the text. Raises BadInput when a grammar is given to a model without grammars.
        """
        ...

    def close(self) -> None:
        """Free the memory; the model cannot be used afterwards."""
        ...
