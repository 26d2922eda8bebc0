"""ReAct traces for the base model's corpus: questions solved step by step, with what the engine really gave.

The turns are the bytes that ReAct shows a model and wants it to write. A wrong first query is one of the mistakes that
people make, and only one that shows: by an error, by no rows, by nothing but nulls or a zero.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from heimdall_nb.dataset.benchmark import held_texts
from heimdall_nb.dataset.broken import Broken, break_query
from heimdall_nb.dataset.example import normalise
from heimdall_nb.dataset.generate import ENUMERATED, apart, degenerate
from heimdall_nb.dataset.graphs import GraphSchema, Property, instantiate
from heimdall_nb.dataset.invent import invent_schema
from heimdall_nb.dataset.questions import STYLES, ask
from heimdall_nb.dataset.slots import Binder, InstanceValues, NoBinding, literal
from heimdall_nb.dataset.templates import Template, templates
from heimdall_nb.dataset.trace_words import FINISHES, LOOK_UPS, MISTAKES, SYMPTOMS, THOUGHTS
from heimdall_nb.engines.cypher_tokens import quoted, writes
from heimdall_nb.engines.graph import GraphEngine, Refusal, Rows
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import conversation, render
from heimdall_nb.react_protocol import asked, demonstration, shown, step

KINDS = {"run": 0.55, "finish": 0.15, "mend": 0.20, "look_up": 0.10}  # kind of trace -> share
TRACES = {1: 0.3, 2: 0.45, 3: 0.25}  # whole traces in a record -> share
DEMONSTRATED = 0.3  # share of records that begin with a solved question
NODES = 60
LONGEST = 6000  # characters of a record, as the model reads it
SECONDS = 20.0  # for one query: long, so that a busy machine gives the same traces
_TRIES = 300  # questions drawn for one trace before the schema is said to have none

Draw = Callable[[random.Random], GraphSchema]


@dataclass(frozen=True)
class Question:
    """A question, the query that answers it and its rows; what it names, and which of its text values the graph has."""

    text: str
    query: str
    rows: Rows
    names: str  # labels and relationship types, as a list in words
    properties: str
    bare: bool  # whether it names no value of the data
    values: tuple[tuple[str, Property, str], ...]  # pattern of the owner (variable a), property, value


@dataclass(frozen=True)
class Step:
    """A reply and what its action brought (nothing for the last); `slip` marks a query that is wrong on purpose."""

    reply: str
    observation: str = ""
    slip: bool = False


def react_traces(records: int, seed: int, engine: GraphEngine, draw: Draw = invent_schema) -> Iterator[dict[str, Any]]:
    """Records `{"task", "schema": text, "turns": [[user's text, reply], …], "slips": [place, …]}` on schemas of `draw`.

    A record holds one to three whole traces in ReAct's words, each observation given by `engine`. `slips` are the
    places of the turns whose reply holds a wrong query, which a later turn mends: training may leave them out. Row
    orders depend on the engine's past: with `verified.FreshArcadeDB` the same seed gives the same records. Raises
    BadInput when a schema has no question that its data answer, or is too long for a record.
    """
    known = [template for template in templates().values() if not (template.benchmark or template.writes)]
    for number in range(records):
        rng = random.Random(f"traces {seed} {number}")  # one each, so that a record does not depend on those before
        yield _Maker(draw(rng), engine, known, rng).record()


class _Maker:
    """Makes the traces of one schema on one graph."""

    def __init__(self, schema: GraphSchema, engine: GraphEngine, known: list[Template], rng: random.Random) -> None:
        self.schema, self.engine, self.rng = schema, engine, rng
        self.groups = apart(known)  # in the shares that a dataset has
        graph = instantiate(schema, rng.randrange(2**31), NODES)
        engine.load(graph)
        self.values = InstanceValues(graph)
        self.used: set[str] = set()

    def record(self) -> dict[str, Any]:
        turns: list[tuple[str, str]] = []
        slips: list[int] = []
        if self.rng.random() < DEMONSTRATED:
            solved = self.first(lambda question: question) or self.none()
            turns += demonstration(solved.text, solved.query, shown(solved.rows))
        wanted, made = self.weighted(TRACES), 0
        for _ in range(4 * wanted):  # a trace that is too long is left out
            text, steps = self.trace(self.weighted(KINDS)) or self.trace("run") or self.none()
            users = asked(text, [item.observation for item in steps[:-1]])
            more = [*turns, *zip(users, (item.reply for item in steps), strict=True)]
            if self.length(more) <= LONGEST:
                slips += [len(turns) + place for place, item in enumerate(steps) if item.slip]
                turns, made = more, made + 1
            if made == wanted:
                break
        if not made:
            raise BadInput(f"has no trace of {LONGEST} characters", f"graph {self.schema.name}", "Use a smaller one.")
        as_lists = [list(turn) for turn in turns]
        return {"task": "cypher", "schema": self.schema.text(), "turns": as_lists, "slips": slips}

    def length(self, turns: list[tuple[str, str]]) -> int:
        *earlier, (user, reply) = turns
        return len(render(conversation(user, self.schema.text(), "cypher", reply, earlier), generation_prompt=False))

    def trace(self, kind: str) -> tuple[str, list[Step]] | None:
        """A question and the steps that solve it in this way; None where the schema has no such question."""

        def solved(question: Question) -> tuple[str, list[Step]] | None:
            steps = _SOLVERS[kind](self, question)
            return (question.text, steps) if steps else None

        return self.first(solved)

    def first(self, use: Callable[[Question], Any]) -> Any:
        """What `use` makes of the first question that it can use; that question is not asked again."""
        for _ in range(_TRIES):
            question = self.question()
            if question is not None and (made := use(question)) is not None:
                self.used.add(question.text)
                return made
        return None

    def none(self) -> NoReturn:
        raise BadInput("has no question that its data answer", f"graph {self.schema.name}", "Add properties to it.")

    def question(self) -> Question | None:
        """A question that the graph answers, or None where the template that was drawn has none."""
        drawn = self.groups[self.rng.random() < ENUMERATED] if len(self.groups) > 1 else self.groups[0]
        template, binder = self.pick(drawn), Binder(self.schema, self.values, self.rng)
        try:
            binding = binder.bind(template.bind)
        except NoBinding:
            return None
        text, query = ask(template, binding, self.pick(STYLES), self.rng), template.render(binding)
        held = not held_texts().isdisjoint((normalise(text), normalise(query)))
        rows = None if held or text in self.used or writes(query) else self.run(query)
        if not isinstance(rows, Rows) or degenerate(rows):
            return None
        names = [label.name for label in binder.labels.values()] + [r.type for r in binder.relationships.values()]
        properties = [prop.name for _, prop in binder.properties.values()]
        values = tuple(self.texts(binder, query))
        return Question(text, query, rows, _listed(names), _listed(properties), not any(binder.used.values()), values)

    def texts(self, binder: Binder, query: str) -> Iterator[tuple[str, Property, str]]:
        """The text values of a question that the graph has, each with where it is found."""
        for slot, values in binder.used.items():
            owner, prop = binder.properties.get(slot, ("", None))
            if prop is None or prop.type != "STRING":
                continue
            label = binder.labels.get(owner)
            name = label.name if label else binder.relationships[owner].type
            pattern = f"(a:{quoted(name)})" if label else f"()-[a:{quoted(name)}]->()"
            there = self.values.pool(name, prop, self.rng)
            yield from ((pattern, prop, value) for value in values if value in there and literal(value) in query)

    def run(self, query: str) -> Rows | Refusal:
        return self.engine.run(query, seconds=SECONDS)

    def pick(self, options: Any) -> Any:
        return options[int(self.rng.random() * len(options))]

    def weighted(self, shares: dict[Any, float]) -> Any:
        return self.rng.choices(list(shares), list(shares.values()))[0]

    def finish(self, question: Question, thought: str) -> Step:
        return Step(step(thought, "finish", question.query))

    def answered(self, question: Question) -> list[Step]:
        """The right query is run, and is the answer."""
        first = json.dumps(question.rows.rows[0], ensure_ascii=False)
        count = len(question.rows.rows)
        short = count == 1 and len(first) <= 40
        wording = FINISHES["value" if short else "row" if count == 1 else "rows"]
        return [self.finish(question, self.pick(wording).format(rows=f"{count} rows", first=first))]

    def solve_run(self, question: Question) -> list[Step]:
        thought = self.pick(THOUGHTS["run" if question.names else "plain"])
        thought = thought.format(names=question.names)
        return [Step(step(thought, "run_query", question.query), shown(question.rows)), *self.answered(question)]

    def solve_finish(self, question: Question) -> list[Step] | None:
        """Only where no value of the data is named: the schema says all else."""
        if not question.properties or not question.bare:
            return None
        thought = self.pick(THOUGHTS["finish"]).format(names=question.names, properties=question.properties)
        return [self.finish(question, thought)]

    def solve_mend(self, question: Question) -> list[Step] | None:
        broken, result, fix = self.mistake(question) or (None, None, "")
        if broken is None or result is None:
            return None
        mended = f"{_symptom(result, self)} {fix} {self.pick(THOUGHTS['again'])}"
        return [
            Step(step(self.pick(THOUGHTS["plain"]), "run_query", broken.query), shown(result), slip=True),
            Step(step(mended, "run_query", question.query), shown(question.rows)),
            *self.answered(question),
        ]

    def mistake(self, question: Question) -> tuple[Broken, Rows | Refusal, str] | None:
        """A mistake that can be made in the query and that its result shows, with the words that mend it."""
        name = self.weighted({name: weight for name, (weight, _) in MISTAKES.items()})
        broken = break_query(question.query, name, self.schema, self.rng)
        if broken is None or not _explained(name, broken, question, self.schema):
            return None
        result = self.run(broken.query)
        shows = result.kind == "syntax" if isinstance(result, Refusal) else degenerate(result)
        fix = MISTAKES[name][1].format(wrong=broken.wrong, right=broken.right)
        return (broken, result, fix) if shows else None

    def solve_look_up(self, question: Question) -> list[Step] | None:
        if not question.values:
            return None
        pattern, prop, value = self.pick(question.values)
        first, query, seen, unseen = self.pick(LOOK_UPS)
        words = {"property": quoted(prop.name), "value": literal(value), "pattern": pattern}
        words["lowered"] = literal(value.lower())
        rows = self.run(query.format(**words))
        if not isinstance(rows, Rows) or degenerate(rows):
            return None
        example = next((cell for row in rows.rows for cell in row if isinstance(cell, str)), "")
        thought = seen if not example or (value,) in rows.rows else unseen
        return [
            Step(step(first.format(**words), "run_query", query.format(**words)), shown(rows)),
            self.finish(question, thought.format(**words, example=literal(example))),
        ]


_SOLVERS: dict[str, Callable[[_Maker, Question], list[Step] | None]] = {
    "run": _Maker.solve_run,
    "finish": _Maker.solve_finish,
    "mend": _Maker.solve_mend,
    "look_up": _Maker.solve_look_up,
}


def _symptom(result: Rows | Refusal, maker: _Maker) -> str:
    """What shows that a query was wrong."""
    if isinstance(result, Refusal):
        return maker.pick(SYMPTOMS["error"])
    kind = "empty" if not result.rows else "null" if not any(v is not None for r in result.rows for v in r) else "zero"
    return maker.pick(SYMPTOMS[kind]).format(first=json.dumps(result.rows[0]) if result.rows else "")


def _explained(mistake: str, broken: Broken, question: Question, schema: GraphSchema) -> bool:
    """Whether the words that mend the mistake are true: a wrong name is nowhere in the schema, a value in the text."""
    if mistake == "value_case":
        return broken.right.strip("'") in question.text
    if mistake.endswith(("_spelling", "_case")):
        return broken.wrong not in re.findall(r"\w+", schema.text())
    return True


def _listed(names: list[str]) -> str:
    """Names as a list in words: `A, B and C`."""
    *first, last = dict.fromkeys(map(quoted, names)) or [""]
    return f"{', '.join(first)} and {last}" if first else last
