"""Few-shot prompting: solved questions on the same graph, from a pool that shares nothing with the test set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.errors import BadInput
from heimdall_nb.models.answers import ask
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.prompts import Conversation, conversation

CHOICES = ("fixed", "similar")

_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|[\d.,:/-]*\d[\d.,:/-]*")


def masked(question: str) -> frozenset[str]:
    """The words of a question without its values: quoted text and numbers become one mark, so that wording decides."""
    return frozenset(re.findall(r"\w+|□", _VALUE.sub("□", question).lower()))


def exemplars(pool: Sequence[Example], example: Example, k: int, how: str = "similar") -> list[Example]:
    """Up to `k` solved examples on the same graph, the most similar one last, next to the question.

    `fixed` takes the same first `k` of the graph for every question; `similar` those whose masked words overlap most
    (Jaccard). A question that is in the pool word for word never serves as its own exemplar. Raises BadInput for an
    unknown choice.
    """
    if how not in CHOICES:
        raise BadInput(f"{how!r} is no choice of exemplars", "how", f"Choose one of: {', '.join(CHOICES)}.")
    asked = normalise(example.question)
    same_graph = [e for e in pool if e.graph == example.graph and normalise(e.question) != asked]
    same_graph.sort(key=lambda e: e.id)
    if how == "fixed":
        return same_graph[:k]
    words = masked(example.question)

    def overlap(other: Example) -> float:
        theirs = masked(other.question)
        return len(words & theirs) / (len(words | theirs) or 1)

    return sorted(same_graph, key=overlap, reverse=True)[:k][::-1]


def prompt_of(example: Example, pool: Sequence[Example], k: int, how: str = "similar") -> Conversation:
    """The conversation that asks an example's question after `k` solved ones."""
    solved = [(e.question, e.output) for e in exemplars(pool, example, k, how)]
    return conversation(example.question, example.schema, example.task, exemplars=solved)


def answer(
    model: LanguageModel,
    examples: Sequence[Example],
    pool: Sequence[Example],
    k: int,
    path: Path,
    how: str = "similar",
    max_new_tokens: int = 192,
    version: str = "",
) -> list[Completion]:
    """Ask `model` each example's question after `k` solved ones of `pool`; kept in `path` like all answers.

    Raises BadInput when an example is in the pool: a baseline must not be shown the test set.
    """
    check_disjoint(pool, examples)
    prompts = [prompt_of(example, pool, k, how) for example in examples]
    return ask(model, prompts, path, [example.id for example in examples], max_new_tokens, version)


def check_disjoint(pool: Sequence[Example], examples: Sequence[Example]) -> None:
    """Raise BadInput when an example is in the pool."""
    inside = {e.id for e in pool} & {e.id for e in examples}
    if inside:
        raise BadInput("is in the few-shot pool", f"example {min(inside)}", "Split the data again with notebook 02.")
