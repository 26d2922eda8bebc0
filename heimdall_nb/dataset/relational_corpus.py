"""The SQL part of the base model's corpus: invented tables, then several questions with their MySQL SELECTs.

The templates are in data/sql/relational.yaml, which also says how they are written. A question and its query come from
one binding; with an engine every query is run as well, and must tell something.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from heimdall_nb.dataset.classicmodels import tables_text
from heimdall_nb.dataset.relational import TEMPLATES, RelationalSchema, document
from heimdall_nb.dataset.relational_invent import invent_relational
from heimdall_nb.dataset.relational_slots import Binder, NoRoom
from heimdall_nb.dataset.sql import fill
from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import SqlEngine
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.compare import tells_nothing

_DRAWS = 12  # of tables and columns, before a schema is said to have no room for a template
_TRIES = 4  # queries for one turn before another template takes its place
_ROUNDS = 20  # times through all templates before the schema counts as used up
_WEIGHTS = (1, 2, 8)  # of a template by its number of joins: few schemas can bind the long ones
_REFUSED = "Mend the template."


@dataclass(frozen=True)
class RelationalTemplate:
    """A question type with its wordings, the SELECT that answers it, and what its slots are bound to."""

    id: str
    slots: dict[str, str]
    questions: tuple[str, ...]
    sql: str


@cache
def relational_templates() -> tuple[RelationalTemplate, ...]:
    """All templates, in the order of the file."""
    return tuple(
        RelationalTemplate(t["id"], t["slots"], tuple(t["questions"]), t["sql"]) for t in document()["templates"]
    )


def relational_corpus(
    sequences: int, seed: int, turns: int = 8, engine: SqlEngine | None = None
) -> Iterator[dict[str, Any]]:
    """Records `{"task": "sql", "schema": text, "turns": [[question, query], …]}`, each on a schema of its own.

    With an `engine` each schema is loaded with about 40 rows a table, and every query is run: one that returns nothing
    is drawn again, one that is refused raises HeimdallError. The same arguments give the same records.
    Raises BadInput when `turns` is less than 1 or more than a schema gives.
    """
    if turns < 1:
        raise BadInput(f"{turns} questions are none", "turns", "Use 1 or more.")
    for number in range(sequences):
        rng = random.Random(f"relational {seed} {number}")  # one each, so that a record does not depend on those before
        schema = invent_relational(rng)
        if engine is not None:
            engine.load(schema.database())
        tables = [entity.table() for entity in schema.entities]
        if rng.random() < 0.5:
            rng.shuffle(tables)
        yield {"task": "sql", "schema": tables_text(tables), "turns": _turns(schema, turns, rng, engine)}


def _turns(schema: RelationalSchema, number: int, rng: random.Random, engine: SqlEngine | None) -> list[list[str]]:
    """The turns of one record, of as many templates as the schema binds."""
    found: dict[str, str] = {}
    for _ in range(_ROUNDS):
        for template in _shuffled(relational_templates(), rng):
            turn = _turn(template, schema, rng, found, engine)
            if turn is not None:
                found[turn[0]] = turn[1]
            if len(found) == number:
                chosen = [[question, query] for question, query in found.items()]
                rng.shuffle(chosen)  # they were found the harder ones first
                return chosen
    raise BadInput(f"a schema gives {len(found)} questions, not {number}", "turns", "Ask for fewer turns.")


def _shuffled(templates: Sequence[RelationalTemplate], rng: random.Random) -> list[RelationalTemplate]:
    """All templates; the more joins one has, the sooner it comes."""
    weights = [_WEIGHTS[min(template.sql.count(" JOIN "), len(_WEIGHTS) - 1)] for template in templates]
    order = [rng.random() ** (1 / weight) for weight in weights]
    return [template for _, template in sorted(zip(order, templates, strict=True), key=lambda pair: -pair[0])]


def _turn(
    template: RelationalTemplate,
    schema: RelationalSchema,
    rng: random.Random,
    found: Mapping[str, str],
    engine: SqlEngine | None,
) -> tuple[str, str] | None:
    """A question that was not found yet, with its query; None when some draws give none."""
    for _ in range(_TRIES):
        try:
            question, query = _bound(template, schema, rng)
        except NoRoom:
            return None
        known = question in found or query in found.values()
        if not known and (engine is None or _tells(template, query, engine)):
            return question, query
    return None


def _tells(template: RelationalTemplate, query: str, engine: SqlEngine) -> bool:
    """Whether the query returns something that is not NULL. Raises BadInput when the engine refuses it."""
    result = engine.run(query)
    if isinstance(result, Refusal):
        where = f"{TEMPLATES}, template {template.id}"
        raise BadInput(f"the engine refuses {query} ({result.message})", where, _REFUSED)
    return not tells_nothing(result)


def _bound(template: RelationalTemplate, schema: RelationalSchema, rng: random.Random) -> tuple[str, str]:
    """Like `ask`, with some more draws where one has no room."""
    for _ in range(_DRAWS):
        try:
            return ask(template, schema, rng)
        except NoRoom:
            continue
    raise NoRoom


def ask(template: RelationalTemplate, schema: RelationalSchema, rng: random.Random) -> tuple[str, str]:
    """A question of this template about the schema, and its query. Raises NoRoom when the schema cannot bind it."""
    binder = Binder(schema, rng)
    for slot, spec in template.slots.items():
        binder.bind(slot, spec)
    options = binder.options(qualify=" JOIN " in template.sql)
    question = _manner(fill(rng.choice(template.questions), options, sql=False), rng)
    return question, fill(template.sql, options, sql=True)


def _manner(question: str, rng: random.Random) -> str:
    """A question as people type: `an` before a vowel; now and then without a capital or a mark at its end."""
    question = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", question)
    if rng.random() < 0.12 and question.split()[0].isalpha():
        question = question[0].lower() + question[1:]
    return question.rstrip(".?") if rng.random() < 0.12 else question
