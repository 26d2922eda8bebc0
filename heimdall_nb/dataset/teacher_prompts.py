"""What a teacher is asked: a file of questions, each with the graph or the database that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from heimdall_nb.dataset import classicmodels
from heimdall_nb.dataset.benchmark import held_out
from heimdall_nb.dataset.example import Example, faults, normalise
from heimdall_nb.dataset.graphs import GraphSchema, load_schema, schema_names
from heimdall_nb.dataset.jsonl import Fault, opened, records
from heimdall_nb.engines.cypher_check import SchemaNames
from heimdall_nb.engines.cypher_patterns import hops, is_node, read_part
from heimdall_nb.engines.cypher_tokens import Group, tree
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS, Conversation, conversation

CATEGORY = STYLE = "distilled"
SQL_GRAPH = "classicmodels"
PARTS = {"cypher": "cypher", "sql": "sql", "text": "nornicdb"}  # by task

# What a teacher is told after the task and the schema, since it has not been trained to our form.
HINTS = {
    "cypher": "Answer with the query alone, without an explanation. Use only names of the graph above, and the values "
    "of the question as they are written. Give each returned expression a name with AS.",
    "sql": "Answer with the statement alone, without an explanation. Use only tables and columns named above.",
    "text": "Answer in a few sentences. Name only procedures, settings and paths that NornicDB has.",
}


@dataclass(frozen=True)
class Prompt:
    """A question to ask: where it stands, the example that its answer will make, and the names it may use."""

    line: int
    example: Example  # without output
    names: SchemaNames | None = None
    fault: str = ""  # why it is not asked

    def conversation(self, system: str | None = None) -> Conversation:
        """The messages for the teacher; `system` stands in the place of the hint for the task."""
        messages = conversation(self.example.input, self.example.schema, self.example.task)
        hint = HINTS[self.example.task] if system is None else system.strip()
        if hint:
            messages[0] = messages[0] | {"content": f"{messages[0]['content']}\n{hint}"}
        return messages


def read_prompts(path: Path, graph: str = "") -> list[Prompt]:
    """The questions of a file: JSONL with `input` and perhaps other fields of an example, or one question a line.

    `graph` (a name in data/graphs, `classicmodels`, or the YAML file of another schema) is for questions that name
    none; without any graph a question is about NornicDB itself. An output that a record has is not used. In files of
    plain questions, lines that begin with # are comments. A question that comes again, or is in the benchmark, is kept
    with its fault. Raises BadInput, with file and line, for a record that is none, or a graph that there is not.
    """
    prompts: list[Prompt] = []
    asked: dict[tuple[str, str, str], int] = {}
    own = set(schema_names(None))  # reads all graphs, and raises for a faulty one
    for line, record in _records(path):
        try:
            prompt = _prompt(line, record, graph, own)
        except BadInput as problem:
            where = f"{path}, line {line}" + (f", {problem.where}" if problem.where else "")
            raise BadInput(problem.what, where, problem.remedy) from None
        item = prompt.example
        first = asked.setdefault((item.instruction, item.graph or "", normalise(item.input)), line)
        if (item.graph or "", normalise(item.input)) in held_out():
            prompt = replace(prompt, fault="is in the benchmark")
        elif first != line:
            prompt = replace(prompt, fault=f"is asked twice: line {first} asks it, too")
        prompts.append(prompt)
    if not prompts:
        raise BadInput("holds no question", str(path), "Give a question a line, or JSONL with the field input.")
    return prompts


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with opened(path) as handle:
        start = handle.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        handle.seek(0)
        if not start.startswith(b"{"):
            for number, raw in enumerate(handle, start=1):
                try:
                    text = raw.decode("utf-8").strip("\ufeff \t\r\n")
                except UnicodeDecodeError as problem:
                    raise BadInput(f"is not UTF-8 (byte {problem.start + 1})", f"{path}, line {number}") from None
                if text and not text.startswith("#"):
                    yield number, {"input": text}
            return
    for number, item in records(path):
        if isinstance(item, Fault):
            raise BadInput(item.what, item.located(path), "A prompt is a JSON object with the field input.")
        yield number, item


def _prompt(line: int, record: dict[str, Any], graph: str, own: set[str]) -> Prompt:
    given = {"graph": graph} | {name: value for name, value in record.items() if value not in (None, "")}
    # What only an answer has is made anew; the rest must be well formed.
    given |= {"output": "?", "context_size": "small"}
    for name in ("answer", "check", "dialect", "id", "template"):
        given.pop(name, None)
    task = _task(given)
    given = {"instruction": TASKS[task], "category": CATEGORY} | given
    if found := faults({"input": ""} | given):
        raise BadInput(found[0][1], f"field {found[0][0]!r}", "See `heimdall distil --help`.")
    question = str(given.get("input", "")).strip()
    if not question:
        raise BadInput("holds no question", "field 'input'", "Give a question.")
    name, schema, names = _schema(str(given["graph"]), str(given.get("schema", "")), task, own)
    example = Example(
        instruction=given["instruction"],
        input=question,
        output="",
        category=given["category"],
        context_size="small",
        part=given.get("part") or PARTS[task],
        graph=name,
        schema=schema,
        style=STYLE,
    )
    return Prompt(line, example, names)


def _task(given: dict[str, Any]) -> str:
    """The task that the instruction names; else sql, cypher or text by what the question is about."""
    for task, text in TASKS.items():
        if given.get("instruction") == text:
            return task
    if given["graph"] == SQL_GRAPH or given.get("part") == "sql":
        return "sql"
    return "cypher" if given["graph"] or given.get("schema") else "text"


def _schema(graph: str, shown: str, task: str, own: set[str]) -> tuple[str | None, str, SchemaNames | None]:
    """The graph's name where it is one of ours, the schema as the model sees it, and the names in it."""
    if task == "text":
        return None, "", None
    if task == "sql":
        if graph not in ("", SQL_GRAPH):
            raise BadInput(f"{graph!r} is no database", "field 'graph'", f"SQL is checked on {SQL_GRAPH} alone.")
        return SQL_GRAPH, shown or classicmodels.schema_text(), None
    if graph:
        schema = _load(graph)
        if schema.benchmark:
            raise BadInput(f"the graph {schema.name!r} is reserved for the benchmark", "field 'graph'")
        return (schema.name, schema.text(), schema.names()) if graph in own else (None, schema.text(), schema.names())
    return None, shown, names_of(shown) if shown else None


@lru_cache(maxsize=256)
def _load(graph: str) -> GraphSchema:
    return load_schema(graph)


@lru_cache(maxsize=4096)
def names_of(schema: str) -> SchemaNames:
    """The names of a schema that is written as models see it. Raises BadInput where it cannot be read so."""
    found = SchemaNames({}, {}, set())
    for line in schema.strip().splitlines():
        items = tree(line)
        steps = list(hops(items))
        for step in steps:
            for kind in step.relationship.names:
                found.relationships.setdefault(kind, set()).update(step.relationship.keys)
                found.ends.update((a, kind, b) for a in step.left.names for b in step.right.names)
        nodes = [item for item in items if isinstance(item, Group) and not steps and is_node(item, None)]
        parts = [read_part(item) for item in nodes]
        if not steps and not any(part.names for part in parts):
            raise BadInput("has a line that is no label and no relationship type", "field 'schema'", _FORM)
        for part in parts:
            for label in part.names:
                found.labels.setdefault(label, set()).update(part.keys)
    return found


_FORM = "Write (:Label {name: STRING}) and (:Label)-[:TYPE]->(:Label), one a line, or leave it out and name a graph."
