"""Questions about classicmodels with their MySQL SELECTs: templates filled with values, each answer checked by running.

The templates and the values are in data/sql/questions.yaml, which also says how they are written. The test set and what
goes with it have templates of their own: see sql_curated.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import sqlglot
import yaml
from sqlglot import exp

from heimdall_nb.dataset.classicmodels import family, schema_text
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.generate import answer_hash, degenerate
from heimdall_nb.dataset.sql_forms import constructs, kind
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.sql import SqlEngine
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.progress import track
from heimdall_nb.prompts import TASKS
from heimdall_nb.run import DATA

QUESTIONS = DATA / "sql" / "questions.yaml"
MAX_RESULT_ROWS = 200  # a longer result is no answer that a person reads
TRIES = 60  # draws for one example before its template counts as used up
_SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Option:
    """One value of a slot: its wording in a question, its text in SQL, and further fields by name."""

    say: str
    sql: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Template:
    """A question type with its wordings and the SELECT that answers it; `below` names slots that must increase.

    Without a type, the kind of the query is its type (`sql_forms.kind`).
    """

    id: str
    type: str
    questions: tuple[str, ...]
    sql: str
    slots: Mapping[str, str]
    below: tuple[str, ...] = ()


@cache
def _document(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def templates(path: Path = QUESTIONS) -> list[Template]:
    """All templates of a file, in its order."""
    return [
        Template(
            t["id"], t.get("type", ""), tuple(t["questions"]), t["sql"], t.get("slots", {}), tuple(t.get("below", ()))
        )
        for t in _document(path)["templates"]
    ]


def slot_values(engine: SqlEngine, path: Path = QUESTIONS) -> dict[str, list[Option]]:
    """What each slot of a file can hold, with the values that the loaded database has."""
    return {name: _options(name, spec, engine) for name, spec in _document(path)["values"].items()}


def _options(name: str, spec: dict[str, Any], engine: SqlEngine) -> list[Option]:
    if "options" in spec:
        return [Option(o["say"], o["sql"], {k: v for k, v in o.items() if k != "sql"}) for o in spec["options"]]
    if "range" in spec:
        first, last, step = spec["range"]
        return [_literal(value) for value in range(first, last + 1, step)]
    if "list" in spec:
        return [_literal(value) for value in spec["list"]]
    result = engine.run(spec["query"])
    if isinstance(result, Refusal):
        raise BadInput(f"the query of {name!r} is refused ({result.message})", str(QUESTIONS), "Mend the query.")
    return [_literal(value) for value in sorted({row[0] for row in result.rows if row[0] is not None})]


def _literal(value: Any) -> Option:
    sql = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
    return Option(str(value), sql, {"raw": str(value)})


def fill(text: str, slots: Mapping[str, Option], sql: bool) -> str:
    """A question or a SELECT with its slots filled. Raises KeyError for a slot or field that does not exist."""

    def value(match: re.Match[str]) -> str:
        option = slots[match[1]]
        if match[2]:
            return option.fields[match[2]]
        return option.sql if sql else option.say

    return _SLOT.sub(value, text)


def tables_of(query: str) -> list[str]:
    """The names of the tables that a SELECT reads, in alphabetical order."""
    return sorted({table.name for table in sqlglot.parse_one(query, read="mysql").find_all(exp.Table)})


def generate_sql(examples: int, seed: int, engine: SqlEngine) -> list[Example]:
    """`examples` questions with their SELECTs, of all types alike, each run on `engine` and not degenerate.

    No question occurs twice. The same database and seed give the same examples.
    Raises HeimdallError when the templates do not give that many.
    """
    values, rng = slot_values(engine), Random(f"sql questions {seed}")
    by_type: dict[str, list[Template]] = defaultdict(list)
    for template in templates():
        by_type[template.type].append(template)
    made: dict[str, Example] = {}
    for index in track(range(10 * examples), "SQL questions", total=examples):
        open_types = [kind for kind in by_type if by_type[kind]]
        if len(made) == examples or not open_types:
            break
        kind = open_types[index % len(open_types)]
        template = rng.choice(by_type[kind])
        example = draw(template, values, rng, engine, made)
        if example is None:
            by_type[kind].remove(template)
        else:
            made[normalise(example.input)] = example
    if len(made) < examples:
        raise HeimdallError(f"The SQL templates give {len(made)} questions, not {examples}: ask for fewer examples.")
    chosen = list(made.values())
    rng.shuffle(chosen)
    return chosen


def draw(
    template: Template,
    values: Mapping[str, Sequence[Option]],
    rng: Random,
    engine: SqlEngine,
    made: Mapping[str, Example],
    max_rows: int = MAX_RESULT_ROWS,
) -> Example | None:
    """A new example of the template, whose question is none of `made`; None when none was found in `TRIES` draws.

    Its rows tell something (`degenerate`), are at most `max_rows`, and are as many as a LIMIT allows.
    Raises BadInput for a statement that the engine refuses for another reason than its size.
    """
    for _ in range(TRIES):
        slots = {slot: rng.choice(values[name]) for slot, name in template.slots.items()}
        wording = rng.randrange(len(template.questions))
        question = fill(template.questions[wording], slots, sql=False).replace("..", ".")
        if normalise(question) in made or not _fitting(template, slots):
            continue
        query = fill(template.sql, slots, sql=True)
        result = engine.run(query, max_rows=max_rows)
        if isinstance(result, Refusal):
            if result.kind == "limit":
                continue
            raise BadInput(f"{query} is refused ({result.message})", f"template {template.id}", "Mend the template.")
        if not degenerate(result) and len(result.rows) >= _least_rows(query):
            return _example(template, wording, question, query, result)
    return None


def _fitting(template: Template, slots: Mapping[str, Option]) -> bool:
    """Slots of one list hold different values, and those of `below` increase."""
    if len({(template.slots[slot], option.sql) for slot, option in slots.items()}) < len(slots):
        return False
    bounds = [slots[name].fields["raw"] for name in template.below]
    keys = [float(bound) if _NUMBER.fullmatch(bound) else bound for bound in bounds]
    return all(a < b for a, b in zip(keys, keys[1:], strict=False))


def _least_rows(query: str) -> int:
    """The rows that the LIMIT of a query asks for; 1 without LIMIT."""
    found = re.search(r"\bLIMIT (\d+)(?: OFFSET \d+)?$", query)
    return int(found[1]) if found else 1


def _example(template: Template, wording: int, question: str, query: str, result: Rows) -> Example:
    return Example(
        instruction=TASKS["sql"],
        input=question,
        output=query,
        category=template.type or kind(query),
        context_size="medium",
        part="sql",
        graph="classicmodels",
        schema=schema_text(family(tables_of(query))),
        template=template.id,
        style=f"wording {wording + 1}",
        dialect="mysql",
        check="executed",
        answer=result_hash(query, result),
    ).with_id()


def result_hash(query: str, result: Rows) -> str:
    """A hash of the rows of a query: as a list where it orders them, else as a bag; numbers to 6 decimals.

    The sum of binary floats depends on their order and on the library that adds them; all of classicmodels is cents.
    """
    rows = tuple(tuple(round(v, 6) if isinstance(v, float) else v for v in row) for row in result.rows)
    return answer_hash(Rows(result.columns, rows), ordered="ORDER BY" in constructs(query))
