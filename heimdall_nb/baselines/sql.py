"""Baselines for text to SQL: few-shot prompts with descriptions of the tables, and ReAct with tools over the database.

Both are used as for Cypher (`fewshot`, `react`); what is of SQL's own is the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from heimdall_nb.baselines import fewshot, react
from heimdall_nb.baselines.react import Trace
from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.sql import Database, SqlEngine
from heimdall_nb.models.answers import ask
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.prompts import Conversation, conversation
from heimdall_nb.run import DATA

DESCRIPTIONS = DATA / "sql" / "descriptions.yaml"


@cache
def descriptions() -> dict[str, str]:
    """One sentence on each table of classicmodels."""
    return yaml.safe_load(DESCRIPTIONS.read_text(encoding="utf-8"))


def described(schema: str) -> str:
    """The schema of a prompt, followed by a comment on each of its tables."""
    tables = [line.partition("(")[0] for line in schema.splitlines()]
    return "\n".join([schema, *(f"-- {name}: {descriptions()[name]}" for name in tables if name in descriptions())])


def few_shot_prompt(example: Example, pool: Sequence[Example], k: int, describe: bool = True) -> Conversation:
    """Schema, descriptions of its tables, the `k` solved questions most like this one, and the question.

    One of each template: three that differ in their values show one thing. And all with the tables that this prompt
    shows, where there are enough of them.
    """
    near = [other for other in pool if other.schema == example.schema]
    found = _different(near, example, k)
    found = found if len(found) == k else _different(pool, example, k)
    schema = described(example.schema) if describe else example.schema
    return conversation(example.question, schema, example.task, exemplars=[(e.question, e.output) for e in found])


def _different(pool: Sequence[Example], example: Example, k: int) -> list[Example]:
    """Up to `k` exemplars of as many templates, the most similar one last."""
    ranked = fewshot.exemplars(pool, example, len(pool))
    best = {other.template: other for other in ranked}  # the last of a template is its most similar one
    kept = {id(other) for other in best.values()}
    return [other for other in ranked if id(other) in kept][-k:]


def few_shot(
    model: LanguageModel,
    examples: Sequence[Example],
    pool: Sequence[Example],
    k: int,
    path: Path,
    max_new_tokens: int = 192,
    version: str = "",
    describe: bool = True,
) -> list[Completion]:
    """Ask `model` each example's question after `k` solved ones; kept in `path` like all answers.

    Raises BadInput when an example is in the pool: a baseline must not be shown the test set.
    """
    fewshot.check_disjoint(pool, examples)
    prompts = [few_shot_prompt(example, pool, k, describe) for example in examples]
    return ask(model, prompts, path, [example.id for example in examples], max_new_tokens, version)


def solve(
    model: LanguageModel,
    examples: Sequence[Example],
    engine: SqlEngine,
    database: Database,
    path: Path,
    pool: Sequence[Example] = (),
    **limits: Any,
) -> list[Trace]:
    """ReAct (`react.solve`) on `database`: the tools are its schema, a read-only query, and `finish`.

    Every query of the model passes the engine's gate. Raises BadInput when an example is in the pool.
    """
    return react.solve(model, examples, engine, lambda _: database, path, pool, **limits)  # type: ignore[arg-type]
