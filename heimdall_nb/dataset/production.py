"""Queries from production logs as examples: masked, without duplicates, checked, and with a question of their own."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heimdall_nb import fact_check, facts
from heimdall_nb.dataset.describe import describe
from heimdall_nb.dataset.example import Example, load, normalise
from heimdall_nb.dataset.generate import answer_hash, degenerate
from heimdall_nb.dataset.graphs import GraphSchema, instantiate, load_schema, schema_names
from heimdall_nb.dataset.masking import mask
from heimdall_nb.dataset.query_log import Entry, read_log
from heimdall_nb.dataset.replace import Replacement
from heimdall_nb.dataset.sizes import context_size
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.engines.cypher_check import name_faults
from heimdall_nb.engines.cypher_tokens import Token, tokens, writes
from heimdall_nb.engines.graph import Rows
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS, conversation, render
from heimdall_nb.run import atomic_text

CATEGORY = "production"
STYLES = ("order", "question")  # one example each
SEED = 7  # of the graph that reads are run on
MOST_KNOWN = 50_000  # values of a property made of parts that are looked up


@dataclass
class Done:
    """What became of a log's queries: numbers of entries, and the file that was written, if any."""

    counts: Counter[str] = field(default_factory=Counter)  # read, recognised, duplicates, undescribed, queries, added
    masked: Counter[str] = field(default_factory=Counter)  # values by kind
    refused: Counter[str] = field(default_factory=Counter)  # queries by reason
    written: Path | None = None
    backup: Path | None = None

    def table(self) -> str:
        """The numbers as lines of text; no line shows a query or a value."""
        names = ("read", "recognised", "duplicates", "undescribed", "queries", "added")
        rows = [(name, self.counts[name]) for name in names[:2]]
        rows += [("masked values", self.masked.total()), *_indented(self.masked), (names[2], self.counts[names[2]])]
        rows += [("refused", self.refused.total()), *_indented(self.refused)]
        rows += [(name, self.counts[name]) for name in names[3:]]
        return "\n".join(f"{name:<34}{number:>8}" for name, number in rows)


def _indented(counts: Counter[str]) -> list[tuple[str, int]]:
    return [(f"  {name}", number) for name, number in sorted(counts.items())]


def add_queries(
    log: Path | str,
    dataset: Path | str,
    graph: str = "",
    form: str = "auto",
    limit: int = 0,
    output: Path | str | None = None,
    secrets_only: bool = False,
    engine: ArcadeDB | None = None,
) -> Done:
    """Add the queries of a log to a dataset file, which is copied to a timestamped backup first, or write `output`.

    `graph` names a schema of data/graphs or the path of one; without it names are not checked and the question says
    them as they stand. At most `limit` queries are added (0: all). Every query gives two examples, an order and a
    question. A second run adds nothing. Raises BadInput (file, line) for an input that cannot be read, and then
    nothing has changed on disk.
    """
    log, dataset, output = Path(log), Path(dataset), Path(output or dataset)
    if os.path.abspath(output) != os.path.abspath(dataset):
        adder = _read(log, dataset, graph, form, limit, secrets_only, engine)
        adder.done.written = atomic_text(output, "".join(_lines(dataset, adder.made)))
        return adder.done
    # Held from before the dataset is read, so that nothing written meanwhile is lost.
    with Replacement(dataset) as file:
        adder = _read(log, dataset, graph, form, limit, secrets_only, engine)
        if adder.made:
            adder.done.backup = file.replace(_lines(dataset, adder.made))
            adder.done.written = dataset
    return adder.done


def _read(
    log: Path, dataset: Path, graph: str, form: str, limit: int, secrets_only: bool, engine: ArcadeDB | None
) -> Adder:
    """Read the whole log. Nothing is written."""
    adder = Adder(load(dataset), KnownGraph.load(graph), secrets_only)
    with ExitStack() as stack:
        entries = stack.enter_context(closing(read_log(log, form)))
        adder.start(engine or stack.enter_context(ArcadeDB()))
        for entry in entries:
            adder.take(entry)
            if limit and adder.done.counts["queries"] >= limit:
                break
    if not adder.done.counts["recognised"]:
        raise BadInput(
            "holds no query that is recognised", str(log), "See --format, and `heimdall add-queries --help`."
        )
    return adder


def _lines(dataset: Path, made: list[Example]) -> list[str]:
    """The dataset as it stands, and the new examples."""
    before = dataset.read_text(encoding="utf-8-sig")
    before += "\n" if before and not before.endswith("\n") else ""
    return [before, *(example.to_json() + "\n" for example in made)]


@dataclass
class KnownGraph:
    """The schema that queries are held against, and the values that its graphs are made of."""

    schema: GraphSchema | None = None
    named: bool = False  # in data/graphs, so that reads can be run and the example can name it
    known: Collection[Any] = frozenset()

    @classmethod
    def load(cls, graph: str) -> KnownGraph:
        if not graph:
            return cls()
        schema = load_schema(graph)
        return cls(schema, graph in schema_names(None), frozenset(_values(schema)))


def _values(schema: GraphSchema) -> set[Any]:
    found: set[Any] = set()
    for holder in (*schema.labels.values(), *schema.relationships):
        for item in holder.properties.values():
            found.update(value for value in item.values if isinstance(value, (str, int)))
            if item.parts and math.prod(map(len, item.parts)) <= MOST_KNOWN:
                texts = [""]
                for place, pool in enumerate(item.parts):
                    texts = [f"{text}{item.join if place else ''}{part}" for text in texts for part in pool]
                found.update(texts)
            elif item.type == "INTEGER" and item.range and item.range[1] - item.range[0] <= MOST_KNOWN:
                found.update(range(item.range[0], item.range[1] + 1))
    return found


class Adder:
    """Takes the entries of a log one by one. Of a query that is not used only the hash of its shape is kept."""

    def __init__(
        self,
        examples: list[Example],
        graph: KnownGraph,
        secrets_only: bool,
        category: str = CATEGORY,
        pack: facts.FactPack | None = None,
    ) -> None:
        self.graph, self.secrets_only, self.category = graph, secrets_only, category
        self.engine: ArcadeDB | None = None
        self.done, self.made = Done(), []
        self.shapes = {shape(example.output) for example in examples if example.part == "cypher"}
        self.questions = {(example.graph or "", normalise(example.input)) for example in examples}
        self.pack = pack or facts.load_pack()

    def start(self, engine: ArcadeDB) -> None:
        """Use this engine: to parse, and to run reads where the graph has data."""
        self.engine = engine
        if self.graph.named and self.graph.schema is not None:
            engine.load(instantiate(self.graph.schema, SEED))

    def take(self, entry: Entry) -> None:
        """Make examples of an entry, or count why there are none."""
        counts = self.done.counts
        counts["read"] += 1
        if not entry.query:
            counts["unrecognised"] += 1
            return
        counts["recognised"] += 1
        if entry.fault:
            self.done.refused[entry.fault] += 1
            return
        masked = mask(entry.query, self.graph.known, self.secrets_only, entry.parameters)
        self.done.masked += masked.counts
        query = _without_prefix(masked.query)
        key = shape(query)
        if key in self.shapes:
            counts["duplicates"] += 1
            return
        self.shapes.add(key)
        if reason := "a name that looks personal" if not masked.sound else self.refusal(query):
            self.done.refused[reason] += 1
            return
        said = describe(query, self.graph.schema)
        if said is None:
            counts["undescribed"] += 1
            return
        self.add(query, said)

    def refusal(self, query: str) -> str:
        """Why a masked query cannot be taught; empty where it can."""
        if any(t.kind == "symbol" and t.text == ";" for t in tokens(query)):
            return "more than one statement"
        refused = self.engine.parse(query)
        if refused is not None and refused.kind != "engine":
            return "reads files or addresses" if refused.kind == "write" else "syntax"
        if self.graph.schema is not None and name_faults(query, self.graph.schema.names()):
            return "a name that is not in the schema"
        if fact_check.unknown(query, self.pack):
            return "a procedure, function or statement that NornicDB does not have"
        return ""

    def add(self, query: str, said: tuple[str, str]) -> None:
        schema, name = self.graph.schema, self.graph.schema.name if self.graph.named else ""
        keys = [(name, normalise(question)) for question in said]
        if any(key in self.questions for key in keys):
            self.done.refused["a question that another query answers"] += 1
            return
        self.questions.update(keys)
        shown = schema.text() if schema is not None else ""
        check, answer = self.checked(query)
        for style, question in zip(STYLES, said, strict=True):
            text = render(conversation(question, shown, "cypher", query), generation_prompt=False)
            self.made.append(
                Example(
                    instruction=TASKS["cypher"],
                    input=question,
                    output=query,
                    category=self.category,
                    context_size=context_size(len(text), query),
                    graph=name or None,
                    schema=shown,
                    style=style,
                    dialect="nornicdb" if _special(query) else "common",
                    check=check,
                    answer=answer,
                ).with_id()
            )
        self.done.counts["queries"] += 1
        self.done.counts["added"] += len(STYLES)

    def checked(self, query: str) -> tuple[str, str | None]:
        """`executed` and the hash of the rows for a read that finds something on the graph, else `parsed`."""
        if self.graph.named and not writes(query) and "$" not in query and not _special(query):
            result = self.engine.run(query)
            if isinstance(result, Rows) and not degenerate(result):
                return "executed", answer_hash(result, ordered=" ORDER BY " in query)
        return "parsed", None


def _special(query: str) -> bool:
    """Whether a query calls a procedure, calls a function with a dotted name, or speaks of indexes and settings."""
    items = tokens(query)
    if items[0].is_word("CALL", "SHOW", "DROP", "USE", "ALTER"):
        return True
    return any(
        (a.is_word("CALL") and b.name)
        or (a.is_word("CREATE") and b.is_word("INDEX", "CONSTRAINT", "VECTOR", "FULLTEXT"))
        for a, b in zip(items, items[1:], strict=False)
    )


def _without_prefix(query: str) -> str:
    """A query without EXPLAIN, PROFILE and CYPHER with its options."""
    items = list(tokens(query))
    place = 0
    while place < len(items) and items[place].is_word("EXPLAIN", "PROFILE", "CYPHER"):
        options = items[place].is_word("CYPHER")
        place += 1
        while options and place + 2 < len(items) and items[place + 1].text == "=":
            place += 3
        if options and place < len(items) and items[place].kind == "number":
            place += 1
    return query[items[place].start :] if 0 < place < len(items) else query


def shape(query: str) -> bytes:
    """A hash of a query without its literals, spaces, the case of keywords, and the names of variables and columns."""
    items = tokens(query)
    variables = _variables(items)
    texts: list[str] = []
    for place in range(len(items)):
        text = _canonical(items, place, variables)
        if text == "?" and texts[-2:] == ["?", ","]:
            texts.pop()  # a list of two literals has the shape of one of three
        else:
            texts.append(text)
    return hashlib.sha256(" ".join(texts).encode()).digest()[:16]


def _canonical(items: tuple[Token, ...], place: int, variables: Mapping[str, str]) -> str:
    item = items[place]
    before = items[place - 1].text if place else ""
    after = items[place + 1].text if place + 1 < len(items) else ""
    if item.kind in ("string", "number", "parameter"):
        return "?"
    if not item.name or before == ".":
        return item.text
    key = after == ":" and before in ("{", ",")
    label = before in (":", "|", "&", "!") and not (place > 1 and _is_key(items, place - 2))
    if item.text in variables and not key and not label:
        return variables[item.text]
    return item.text if key or label or item.kind == "quoted" else item.text.upper()


def _is_key(items: tuple[Token, ...], place: int) -> bool:
    return items[place].name and place > 0 and items[place - 1].text in ("{", ",")


def _variables(items: tuple[Token, ...]) -> dict[str, str]:
    """The names of variables and columns, each with a number in the order of their first use."""
    found: set[str] = set()
    for place, item in enumerate(items):
        if not item.name or item.is_word("WHERE"):
            continue
        before = items[place - 1] if place else None
        after = items[place + 1].text if place + 1 < len(items) else ""
        opens = before is not None and before.text in ("(", "[") and before.kind == "symbol"
        if opens and (
            after in (")", ":", "{", "]", "*") or (place + 1 < len(items) and items[place + 1].is_word("IN"))
        ):
            found.add(item.text)
        elif before is not None and before.is_word("AS"):
            found.add(item.text)
        elif after == "=" and place + 2 < len(items) and items[place + 2].text in ("(", "shortestPath"):
            found.add(item.text)
    order = dict.fromkeys(item.text for item in items if item.name and item.text in found)
    return {name: f"v{number}" for number, name in enumerate(order)}
