"""Questions to a model from the terminal: what it answers and, where it is run, what the query gives on a graph."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heimdall_nb import actions
from heimdall_nb.dataset.graphs import GraphSchema, instantiate, load_schema
from heimdall_nb.dataset.runtime import context
from heimdall_nb.engines.graph import GraphEngine, Refusal, Rows
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.models.answers import query_of
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.prompts import Conversation, conversation

SEED, NODES = 7, 60  # the graph is the one that `heimdall evaluate` makes for a file of examples
SHOWN = 20  # rows of a result in a terminal
ENDS = ("quit", "exit")


@dataclass(frozen=True)
class Answer:
    """A question, what was answered (a query, or text), how the model came to it, and the result where it was run."""

    question: str
    text: str
    completion: Completion
    result: Rows | Refusal | None = None

    def record(self) -> dict[str, Any]:
        """The answer as JSON: `rows` and `columns`, or `refused`, only where the query was run."""
        found = {"question": self.question, "answer": self.text}
        found |= {name: value for name, value in asdict(self.completion).items() if name != "text"}
        if isinstance(self.result, Rows):
            return found | {"columns": list(self.result.columns), "rows": [list(row) for row in self.result.rows]}
        return found | ({"refused": asdict(self.result)} if self.result else {})


class Asker:
    """Asks `model` about the graph of `schema`; without one, about NornicDB in general, and gets text.

    With an `engine`, each query is run on the schema's generated graph, read-only and within the limits of the
    evaluation. `grammar` is GBNF that answers keep to. With `as_actions`, the model is asked for one of the server's
    JSON actions, and what is run is the query in it.
    """

    def __init__(
        self,
        model: LanguageModel,
        schema: GraphSchema | None = None,
        engine: GraphEngine | None = None,
        grammar: str | None = None,
        max_new_tokens: int = 192,
        as_actions: bool = False,
    ) -> None:
        self.model, self.schema, self.engine, self.grammar = model, schema, engine, grammar
        self.max_new_tokens, self.as_actions = max_new_tokens, as_actions
        if engine and schema:
            engine.load(instantiate(schema, SEED, NODES))

    def __call__(self, question: str) -> Answer:
        """The model's answer. Raises BadInput for an empty question, or one that the context has no room for."""
        # What the terminal could not decode comes as lone surrogates, which no tokenizer takes.
        question = question.encode("utf-8", "replace").decode().strip()
        if not question:
            raise BadInput("is empty", "question", "Ask something, in quotes.")
        done = self.model.complete([self.prompt(question)], max_new_tokens=self.max_new_tokens, grammar=self.grammar)[0]
        if done.outcome == "truncated" and not done.new_tokens:
            what = f"has {done.prompt_tokens} tokens with its schema, more than the context holds"
            raise BadInput(what, "question", "Raise --context, or ask about a smaller graph.")
        text = query_of(done.text) if self.schema and not self.as_actions else done.text.strip()
        action = actions.read(text) if self.as_actions else ""
        query = action.cypher if isinstance(action, actions.Action) else "" if self.as_actions else text
        result = self.engine.run(query) if self.engine and query else None
        return Answer(question, text, done, result)

    def prompt(self, question: str) -> Conversation:
        """The conversation that asks: for a query of the schema, for text, or for an action."""
        schema = self.schema.text() if self.schema else ""
        if self.as_actions:
            return conversation(question, context(schema, self.schema.name if self.schema else ""), actions.TASK)
        return conversation(question, schema, "cypher" if self.schema else "text")


def chosen_schema(graph: str, file: Path | None) -> GraphSchema | None:
    """The schema of a graph of data/graphs, or of a YAML file; None for neither.

    Raises BadInput for both, for an unknown graph, and for a file that is no schema.
    """
    if graph and file:
        raise BadInput("cannot both be given", "--graph, --schema", "Give one of them.")
    if file and (file.suffix != ".yaml" or not file.is_file()):
        raise BadInput("is no YAML file", str(file), "Give the path of a schema, as in data/graphs.")
    return load_schema(file or graph) if file or graph else None


def text(answer: Answer) -> str:
    """An answer for a terminal: the query, and its first rows as a table or why there are none."""
    lines = [answer.text or "(no answer)"]
    if answer.completion.outcome == "truncated":
        lines.append(f"(cut off after {answer.completion.new_tokens} tokens)")
    if isinstance(answer.result, Rows):
        lines += ["", _table(answer.result)]
    elif answer.result:
        lines += ["", f"refused ({answer.result.kind}): {answer.result.message}"]
    return "\n".join(lines)


def _table(result: Rows) -> str:
    from heimdall_nb.dataset.validation_report import table

    shown, total = [[_cell(value) for value in row] for row in result.rows[:SHOWN]], len(result.rows)
    more = f" (the first {SHOWN} shown; --json prints all)" if total > SHOWN else ""
    count = f"{total} row{'' if total == 1 else 's'}{more}"
    return f"{table(result.columns, shown)}\n{count}" if shown else count


def _cell(value: Any) -> str:
    """A value on one line: text as it is, the rest as JSON."""
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def fault(answer: Answer) -> str:
    """Why an answer is of no use, in one sentence; empty where nothing went wrong."""
    if not answer.text:
        return "The model gave no answer."
    if isinstance(answer.result, Refusal):
        return f"The query did not run ({answer.result.kind})."
    return ""


def once(asker: Asker, question: str, as_json: bool = False) -> None:
    """Print the answer to one question. Raises HeimdallError where there is none, or its query did not run."""
    answer = asker(question)
    print(json.dumps(answer.record(), ensure_ascii=False) if as_json else text(answer))
    if problem := fault(answer):
        raise HeimdallError(problem)


def talk(asker: Asker, as_json: bool = False, questions: Callable[[], Iterator[str]] | None = None) -> None:
    """Answer question after question until `quit`; a fault ends one answer, not the talk."""
    about = f"graph {asker.schema.name}" if asker.schema else "no graph: questions about NornicDB"
    print(f"{asker.model.name}, {about}; one question a line, `quit` ends", file=sys.stderr)
    for question in (questions or typed)():
        try:
            answer = asker(question)
        except HeimdallError as problem:
            print(f"heimdall: {problem}", file=sys.stderr)
            continue
        print(json.dumps(answer.record(), ensure_ascii=False) if as_json else f"{text(answer)}\n", flush=True)


def typed() -> Iterator[str]:
    """The lines of a person at a terminal, who is prompted, or of a pipe; until `quit` or the end of the input."""
    if isatty := sys.stdin.isatty():
        with suppress(ImportError):
            import readline  # noqa: F401  arrow keys and a history for input()
    else:
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    while True:
        try:
            line = input("question> " if isatty else "").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if line.lower() in ENDS:
            return
        if line:
            yield line
