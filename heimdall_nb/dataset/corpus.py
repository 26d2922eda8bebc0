"""The corpus of the base model: a schema, then several questions with their queries, never about a schema seen before.

A query and its question come from one binding, so they agree by construction; `verified` runs them as well. The
templates, the graphs and the style of question that the benchmark reserves are in none of it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from heimdall_nb.dataset import sql
from heimdall_nb.dataset.benchmark import benchmark, held_texts
from heimdall_nb.dataset.compose import COMPOSED as COMPOSED_FAMILY
from heimdall_nb.dataset.compose import compose
from heimdall_nb.dataset.example import normalise
from heimdall_nb.dataset.generate import ENUMERATED, apart, chosen
from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.dataset.invent import SMALL, Size, invent_schema
from heimdall_nb.dataset.questions import STYLES, ask
from heimdall_nb.dataset.relational_corpus import relational_corpus
from heimdall_nb.dataset.slots import NoBinding, SampledValues
from heimdall_nb.dataset.templates import PARTS, Template, bind
from heimdall_nb.dataset.traces import react_traces
from heimdall_nb.dataset.verified import runs
from heimdall_nb.engines.cypher_skeleton import skeleton
from heimdall_nb.engines.graph import GraphEngine, Refusal
from heimdall_nb.engines.sql import SqlEngine
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.react_protocol import INSTRUCTIONS

Draw = Callable[[random.Random, Size], GraphSchema]
Record = dict[str, Any]  # {"task": of prompts.TASKS, "schema": text, "turns": [[question, answer], …]}
EASY = 4500  # sequences at the beginning with small schemas, short queries and few turns: they teach to copy names
EASY_SHARE = 0.6  # of a small corpus, where EASY sequences would be more than that
SHORT, FEW = 80, 4  # characters of a template's query, and turns, that count as short and few
SHARES = {"cypher": 0.76, "sql": 0.16, "react": 0.08}  # of the sequences after them
CHECKED = 20  # of each so many Cypher records one is run
TEMPLATES_FIRST = 1000  # Cypher records after the easy ones before the first composed query: first what is frequent
COMPOSED = 0.3  # of the turns after them, queries that no template has
ALIKE = 0.2  # share of the sequences whose turns come from four templates, so that a solved example helps
_AFTER_RESULT = re.compile(r" (?:ORDER BY|SKIP|LIMIT) ")
_TRIES = 60  # draws for one turn before the schema is said to have no room


def cypher_corpus(
    sequences: int,
    seed: int,
    turns: int = 8,
    draw: Draw = invent_schema,
    easy: int = 0,
    composed_from: int | None = None,
) -> Iterator[tuple[GraphSchema, Record]]:
    """Schemas with their records: up to `turns` Cypher questions about one schema that `draw` invents.

    In the first `easy` of them all is small; from number `composed_from` on some queries are composed (`compose.py`).
    Record number n depends on `seed`, n and these two alone.
    """
    for number in range(sequences):
        rng = random.Random(f"corpus {seed} {number}")
        if number < easy:
            schema, pairs = _record(draw, SMALL, FEW, rng)
        else:
            composed = COMPOSED if composed_from is not None and number >= composed_from else 0.0
            schema, pairs = _record(draw, Size(), turns, rng, composed)
        yield schema, {"task": "cypher", "schema": schema.text(), "turns": pairs}


def base_corpus(sequences: int, seed: int, graph: GraphEngine, sql_engine: SqlEngine) -> Iterator[Record]:
    """The whole corpus in the order in which it is read: easy Cypher at first, then all of it, SQL and ReAct traces.

    Every SELECT has run on `sql_engine`, every observation of a trace is what `graph` gave (`FreshArcadeDB`, so that
    the records do not depend on what it held before), and of every CHECKED-th Cypher record all queries have run.
    Raises HeimdallError for a query that is refused: then a template is at fault.
    """
    easy = min(EASY, int(EASY_SHARE * sequences))
    records = {
        "cypher": _checked(
            cypher_corpus(sequences, seed, easy=easy, composed_from=easy + TEMPLATES_FIRST), graph, seed
        ),
        "sql": relational_corpus(sequences, seed, engine=sql_engine),
        "react": react_traces(sequences, seed, graph),
    }
    rng = random.Random(f"base corpus {seed}")
    for number in range(sequences):
        kind = "cypher" if number < easy else rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        yield {"kind": kind} | next(records[kind])


def _checked(records: Iterable[tuple[GraphSchema, Record]], graph: GraphEngine, seed: int) -> Iterator[Record]:
    for number, (schema, record) in enumerate(records):
        if number % CHECKED == 0:
            queries = [query for _, query in record["turns"]]
            for query, result in zip(queries, runs(schema, queries, graph, seed), strict=True):
                if isinstance(result, Refusal):
                    raise HeimdallError(f"The engine refused a query of the corpus ({result.message}): {query}")
        yield record


def other_texts() -> Iterator[str]:
    """What later trainings will read, for the tokenizer alone: wordings and answers of all parts, SQL, ReAct.

    A tokenizer that has not seen them cuts their words into letters. The templates of the benchmark are left out.
    """
    for _ in range(4):  # beside the many texts of the corpus
        yield from [INSTRUCTIONS] * 60
        for template in sql.templates():
            yield from (*template.questions, template.sql)
        for part in PARTS[1:]:
            for template in chosen(part):
                yield from (template.query, *template.phrases, *template.questions)
    for record in relational_corpus(300, 0):
        yield from chain(*record["turns"])


def _record(
    draw: Draw, size: Size, turns: int, rng: random.Random, composed: float = 0.0
) -> tuple[GraphSchema, list[list[str]]]:
    for _ in range(_TRIES):
        schema = draw(rng, size)
        groups = _groups(SHORT if size == SMALL else 0)
        if rng.random() < ALIKE:
            one_kind = composed and rng.random() < composed
            groups = [[compose(rng) for _ in range(4)] if one_kind else rng.sample(_drawn(groups, rng), 4)]
            composed = 0.0
        # A query that names nothing of its schema may be in the benchmark, too.
        drawn = islice(_turns(schema, groups, turns, rng, composed), turns)
        kept = [list(turn) for turn in drawn if held_texts().isdisjoint(map(normalise, turn))]
        if len(kept) > 1:
            return schema, kept
    raise BadInput(f"{_TRIES} schemas have no two questions each", "draw", "Draw schemas with more labels.")


@lru_cache(maxsize=2)
def _groups(longest: int) -> list[list[Template]]:
    """The templates without and with the enumeration, which has its own share; those of the benchmark never."""
    usable = [template for template in chosen("cypher") if not longest or len(template.query) <= longest]
    return apart(usable)


def _drawn(groups: Sequence[list[Template]], rng: random.Random) -> list[Template]:
    return groups[rng.random() < ENUMERATED] if len(groups) > 1 else groups[0]


def _turns(
    schema: GraphSchema, groups: Sequence[list[Template]], turns: int, rng: random.Random, composed: float
) -> Iterator[tuple[str, str]]:
    """Pairs of question and query, none twice, until the tries are used up; a share of the queries is composed."""
    asked: set[str] = set()
    for _ in range(_TRIES * turns):
        own = composed and rng.random() < composed
        template = compose(rng) if own else rng.choice(_drawn(groups, rng))
        try:
            binding = bind(template, schema, SampledValues(), rng)
        except NoBinding:
            continue
        question, query = ask(template, binding, rng.choice(STYLES), rng), template.render(binding)
        kept_apart = template.family == COMPOSED_FAMILY and skeleton(query) in _reserved()
        if question not in asked and not _same_columns(query) and not kept_apart:
            asked.add(question)
            yield question, query


@lru_cache(maxsize=1)
def _reserved() -> frozenset[frozenset[tuple[str, str]]]:
    """The structures of the queries whose templates the benchmark keeps apart: no composed query may have one."""
    return frozenset(skeleton(item.output) for item in benchmark("template"))


def _same_columns(query: str) -> bool:
    """Whether two columns have one name: an invented property may be called like a template's alias."""
    result = _AFTER_RESULT.split(query.rpartition("RETURN ")[2])[0].removeprefix("DISTINCT ")
    columns = [item.rpartition(" AS ")[2] for item in result.split(", ")]
    return len(set(columns)) < len(columns)
