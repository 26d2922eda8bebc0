"""Few-shot prompting: solved questions on the same graph, from a pool that shares nothing with the test set.

Three choices of exemplars: the same for all questions, those with a similar question, and those whose query has the
structure that the model's own first answer has. The last is DAIL-SQL's idea (Gao et al. 2023, arXiv 2308.15363).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.engines.cypher_skeleton import skeleton
from heimdall_nb.errors import BadInput
from heimdall_nb.models.answers import ask, query_of
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.prompts import Conversation, conversation

CHOICES = ("fixed", "similar", "structure")

_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|[\d.,:/-]*\d[\d.,:/-]*")


def masked(question: str) -> frozenset[str]:
    """The words of a question without its values: quoted text and numbers become one mark, so that wording decides."""
    return frozenset(re.findall(r"\w+|□", _VALUE.sub("□", question).lower()))


def _overlap(a: frozenset[Any], b: frozenset[Any]) -> float:
    """What two sets share of what they hold together (Jaccard)."""
    return len(a & b) / (len(a | b) or 1)


def exemplars(
    pool: Sequence[Example], example: Example, k: int, how: str = "similar", draft: str = ""
) -> list[Example]:
    """Up to `k` solved examples on the same graph, the most similar one last, next to the question.

    `fixed` takes the same first `k` of the graph for every question; `similar` those whose masked words overlap most
    (Jaccard); `structure` those whose query's skeleton is most like that of `draft`, a first answer, and is `similar`
    where there is none. A question that is in the pool word for word never serves as its own exemplar. Raises BadInput
    for an unknown choice.
    """
    if how not in CHOICES:
        raise BadInput(f"{how!r} is no choice of exemplars", "how", f"Choose one of: {', '.join(CHOICES)}.")
    asked = normalise(example.question)
    same_graph = [e for e in pool if e.graph == example.graph and normalise(e.question) != asked]
    same_graph.sort(key=lambda e: e.id)
    if how == "fixed":
        return same_graph[:k]
    words, structure = masked(example.question), skeleton(query_of(draft)) if how == "structure" else frozenset()

    def likeness(other: Example) -> tuple[float, float]:
        similar = _overlap(words, masked(other.question))
        return (_overlap(structure, skeleton(other.output)) if structure else 0.0, similar)

    return sorted(same_graph, key=likeness, reverse=True)[:k][::-1]


def prompt_of(example: Example, pool: Sequence[Example], k: int, how: str = "similar", draft: str = "") -> Conversation:
    """The conversation that asks an example's question after `k` solved ones."""
    solved = [(e.question, e.output) for e in exemplars(pool, example, k, how, draft)]
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
    drafts: Sequence[Completion] = (),
) -> list[Completion]:
    """Ask `model` each example's question after `k` solved ones of `pool`; kept in `path` like all answers.

    `structure` needs `drafts`, the model's answers without exemplars; their tokens and seconds count as well. Raises
    BadInput when they are missing, or when an example is in the pool: a baseline must not be shown the test set.
    """
    check_disjoint(pool, examples)
    if how == "structure" and len(drafts) != len(examples):
        raise BadInput(f"{len(drafts)} drafts for {len(examples)} questions", "drafts", "Ask without exemplars first.")
    used = list(drafts) if how == "structure" else [Completion("", 0, 0, 0.0, "ok")] * len(examples)
    prompts = [prompt_of(e, pool, k, how, draft.text) for e, draft in zip(examples, used, strict=True)]
    answers = ask(model, prompts, path, [example.id for example in examples], max_new_tokens, version)
    return [total(answer, [draft, answer]) for draft, answer in zip(used, answers, strict=True)]


def total(chosen: Completion, parts: Sequence[Completion]) -> Completion:
    """The chosen answer with the tokens and seconds of all parts that it took."""
    return replace(
        chosen,
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        new_tokens=sum(part.new_tokens for part in parts),
        seconds=math.fsum(part.seconds for part in parts),
    )


def check_disjoint(pool: Sequence[Example], examples: Sequence[Example]) -> None:
    """Raise BadInput when an example is in the pool."""
    inside = {e.id for e in pool} & {e.id for e in examples}
    if inside:
        raise BadInput("is in the few-shot pool", f"example {min(inside)}", "Split the data again with notebook 02.")
