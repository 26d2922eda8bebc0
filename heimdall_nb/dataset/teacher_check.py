"""May an answer of a teacher enter a dataset? Its form, its names, its rows and its facts; each refusal says why.

A teacher is a larger model, and wrong as fluently as it is right. What is held here against an answer is what every
other source of examples is held to, so that what enters passes `heimdall validate` too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from heimdall_nb import fact_check, facts
from heimdall_nb.dataset import classicmodels
from heimdall_nb.dataset.audit import wrong_teaching
from heimdall_nb.dataset.benchmark import held_out
from heimdall_nb.dataset.example import Example, faults, normalise
from heimdall_nb.dataset.generate import answer_hash
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.dataset.sizes import context_size
from heimdall_nb.dataset.teacher_prompts import Prompt
from heimdall_nb.dataset.validate import content_faults
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.engines.cypher_check import name_faults
from heimdall_nb.engines.cypher_tokens import loads_files, tokens, writes
from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql_check import refusal as sql_refusal
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.evaluation.compare import tells_nothing
from heimdall_nb.models.answers import query_of
from heimdall_nb.models.protocol import Completion
from heimdall_nb.progress import track
from heimdall_nb.prompts import conversation, render

_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)  # of models that reason aloud before they answer
_NOT_ANSWERED = {"empty": "says nothing", "truncated": "was cut off at the longest answer"}


class Refused(Exception):
    """An answer that may not enter: `kind` is counted, `detail` is for whoever looks at this one."""

    def __init__(self, kind: str, detail: str = "") -> None:
        self.kind, self.detail = kind, detail
        super().__init__(f"{kind}: {detail}" if detail else kind)


@dataclass(frozen=True)
class Judged:
    """A prompt with the example that came of it, or with the reason why none did."""

    prompt: Prompt
    text: str = ""
    example: Example | None = None
    kind: str = ""
    detail: str = ""


class AnswerCheck:
    """Holds answers against engines and facts; the engines start when they are first needed.

    `seed` and `nodes` are those of the graphs that reads run on, as in `heimdall generate`. Statements that change
    the graph are refused unless `with_writes`: only the teacher says that a change was asked for.
    """

    def __init__(
        self, seed: int = 7, nodes: int = 60, with_writes: bool = False, engine: ArcadeDB | None = None
    ) -> None:
        self.seed, self.nodes, self.with_writes = seed, nodes, with_writes
        self.pack = facts.load_pack()
        self._stack = ExitStack()
        self._graph_engine, self._loaded = engine, ""
        self._sql: tuple[SQLite, classicmodels.Database] | None = None

    def __enter__(self) -> AnswerCheck:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def judge(self, answers: Sequence[tuple[Prompt, Completion]]) -> list[Judged]:
        """What becomes of each answer, in their order. Answers on one graph are judged together: it is loaded once."""
        order = sorted(range(len(answers)), key=lambda k: answers[k][0].example.graph or "")
        found: dict[int, Judged] = {}
        for place in track(order, "checking answers"):
            prompt, answer = answers[place]
            try:
                found[place] = Judged(prompt, answer.text, self.example(prompt, answer))
            except Refused as problem:
                found[place] = Judged(prompt, answer.text, None, problem.kind, problem.detail)
        return [found[place] for place in range(len(answers))]

    def example(self, prompt: Prompt, answer: Completion) -> Example:
        """The example that question and answer make. Raises Refused."""
        if prompt.fault:
            raise Refused(*prompt.fault.split(": ", 1))
        if answer.outcome != "ok":
            raise Refused(_NOT_ANSWERED.get(answer.outcome, answer.outcome))
        text, task = _THOUGHT.sub("", answer.text).strip(), prompt.example.task
        output = text if task == "text" else one_line(query_of(text))
        if not output:
            raise Refused("says nothing")
        made = replace(prompt.example, output=output)
        made = {"cypher": self._cypher, "sql": self._sql_select, "text": self._text}[task](made, prompt)
        shown = render(conversation(made.input, made.schema, task, output), generation_prompt=False)
        made = replace(made, context_size=context_size(len(shown), output if task == "cypher" else "")).with_id()
        for field, what in faults(vars(made)):
            raise Refused("is no valid example", f"{field} {what}")
        for fault in content_faults(prompt.line, made):
            raise Refused("question and answer do not agree", f"{fault.field} {fault.what}".strip())
        if (made.graph or "", normalise(output)) in held_out():
            raise Refused("is in the benchmark")
        return made

    def _cypher(self, made: Example, prompt: Prompt) -> Example:
        query = made.output
        if any(token.kind == "symbol" and token.text == ";" for token in tokens(query)):
            raise Refused("has more than one statement")
        if loads_files(query):
            raise Refused("reads files or addresses")
        self._refuse_unknown(query, "cypher")
        if writes(query) and not self.with_writes:
            raise Refused("changes the graph", "allow it with --writes")
        used = fact_check.used(query, self.pack)
        special = any(map(_special, used))
        made = replace(made, dialect="nornicdb" if special else "common", check="parsed")
        if special and made.part != "cypher":  # statements of NornicDB's own, which the engine does not know
            return replace(made, check=f"fact:{','.join(used)}")
        refusal = self._engine().parse(query)
        if refusal is not None and refusal.kind != "engine":
            raise Refused("is no Cypher that parses", refusal.message)
        if prompt.names is not None:
            for what in name_faults(query, prompt.names):
                raise Refused("names what the schema does not have", what)
        if special or not made.graph or writes(query) or "$" in query:
            return made
        self._load(made.graph)
        result = self._engine().run(query)
        if isinstance(result, Refusal):
            if result.kind == "engine":  # a gap of the engine's own
                return made
            raise Refused("does not run", result.message)
        if tells_nothing(result):
            raise Refused("finds nothing", f"on the graph {made.graph} of seed {self.seed} with {self.nodes} nodes")
        rows = answer_hash(result, ordered=" ORDER BY " in query)
        return replace(made, check="executed", answer=rows)

    def _sql_select(self, made: Example, _: Prompt) -> Example:
        if self._sql is None:
            database = classicmodels.classicmodels()
            self._sql = self._stack.enter_context(SQLite(database)), database
        engine, database = self._sql
        result = sql_refusal(made.output, database) or engine.run(made.output)
        if isinstance(result, Refusal):
            raise Refused("does not run", result.message)
        if tells_nothing(result):
            raise Refused("finds nothing", f"in the database {made.graph}")
        rows = answer_hash(result, ordered=" ORDER BY " in made.output)
        return replace(made, dialect="mysql", check="executed", answer=rows)

    def _text(self, made: Example, _: Prompt) -> Example:
        self._refuse_unknown(made.output, "text")
        used = fact_check.used(made.output, self.pack)
        if not used:
            raise Refused("names nothing that the facts could confirm")
        return replace(made, dialect="nornicdb", check=f"fact:{','.join(used)}")

    def _refuse_unknown(self, answer: str, task: str) -> None:
        for item in fact_check.unknown(answer, self.pack):
            raise Refused("names what NornicDB does not have", f"{item.name}: {item.what}")
        for what in wrong_teaching(answer, task):
            raise Refused("teaches what does not work", what)

    def _engine(self) -> ArcadeDB:
        if self._graph_engine is None:
            self._graph_engine = self._stack.enter_context(ArcadeDB())
        return self._graph_engine

    def _load(self, graph: str) -> None:
        if graph != self._loaded:
            self._engine().load(instantiate(load_schema(graph), self.seed, self.nodes))
            self._loaded = graph


def one_line(query: str) -> str:
    """A query with single spaces, as the other examples have it; unchanged where that would change what it says."""
    flat = " ".join(query.split())
    return flat if list(_read(flat)) == list(_read(query)) else query


def _read(query: str) -> Iterator[tuple[str, str]]:
    return ((token.kind, token.text) for token in tokens(query))


def _special(fact: str) -> bool:
    """Whether a fact is more than a plain function: a procedure, a function with a dotted name, an index statement."""
    return not fact.startswith("function.") or fact.count(".") > 1
