"""Which examples can be executed, and a model's answers to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from heimdall_nb.dataset.example import Example
from heimdall_nb.models.answers import ask
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.prompts import Conversation, conversation


def executable(examples: Iterable[Example]) -> list[Example]:
    """The examples whose truth can be executed: queries on one of the graphs, checked so when the set was built."""
    return [e for e in examples if e.graph and e.part == "cypher" and e.check in ("", "executed")]


def prompt_of(example: Example) -> Conversation:
    """The conversation that asks an example's question."""
    return conversation(example.question, example.schema, example.task)


def answer_examples(
    model: LanguageModel,
    examples: Sequence[Example],
    path: Path,
    max_new_tokens: int = 192,
    version: str = "",
    grammar: str = "",
) -> list[Completion]:
    """Ask `model` each example's question; the completions in order, kept in `path` and resumed (`models.answers`).

    `grammar` is GBNF that all answers keep to. Raises BadInput for one with a model that knows no grammars.
    """
    ids, prompts = [example.id for example in examples], [prompt_of(example) for example in examples]
    return ask(model, prompts, path, ids, max_new_tokens, version, grammars=[grammar] * len(ids) if grammar else ())
