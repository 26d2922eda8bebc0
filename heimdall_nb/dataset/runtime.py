"""Examples in the form that NornicDB's server asks for at run time: a question, and one JSON action as the answer.

A question for a query keeps its words, and its Cypher goes into the parameters of the query action. Where an example's
answer is text, which no action carries, a question for one of the server's other actions takes its place. The system
message names the actions, in another order for each graph, since the server's order changes from start to start.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from heimdall_nb import actions
from heimdall_nb.actions import QUERY, TASK, Action
from heimdall_nb.dataset.example import Example, has_own_id, load, normalise, save
from heimdall_nb.dataset.graphs import load_schema
from heimdall_nb.dataset.sizes import context_size
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS, conversation, render, runtime_context
from heimdall_nb.run import Run, write_json

FORMATS = ("cypher", "nornicdb")
QUERIES = 4  # to so many questions for a query, there is one at least for another action
WORDINGS = ("train", "test")
DRAWS = 200  # after which a graph's questions for actions are taken to be used up

_PLAIN = {"text", "list"}


def check_format(name: str) -> bool:
    """Whether the format is the server's; false for plain answers. Raises BadInput for another name."""
    if name not in FORMATS:
        raise BadInput(f"{name!r} is no format", "--format", f"Choose one of: {', '.join(FORMATS)}.")
    return name == "nornicdb"


def to_runtime(examples: Sequence[Example], seed: int = 7, wordings: str = "train") -> list[Example]:
    """The examples in the server's form, in their order; those that are in it already stay as they are.

    `wordings` are those of the questions for other actions: `train`, or `test`, which no training sees. Where few
    examples are text, questions for other actions stand between, one to QUERIES queries. Raises BadInput for SQL.
    """
    drawn = _Drawn(seed, wordings)
    made: list[Example] = []
    queries = others = 0
    for example in examples:
        if example.task == TASK:
            made.append(example)
            continue
        if example.part == "sql" or example.task == "sql":
            raise BadInput("is SQL, which NornicDB does not run", f"example {example.id}", "Leave it out.")
        action = _action(example)
        made.append(_mapped(example, action, seed) if action else drawn(example))
        queries, others = queries + bool(action), others + (not action)
        if others * QUERIES < queries - QUERIES + 1:
            made.append(drawn(example))
            others += 1
    return made


def _action(example: Example) -> Action | None:
    """The action that an example's answer is, or that carries its query; None for text and for what takes parameters
    that we do not teach."""
    if example.task == "cypher":
        return Action(QUERY, {"cypher": example.output.strip()})
    found = actions.read(example.output)
    if isinstance(found, str) or not example.output.strip().startswith("{") or actions.faults(found):
        return None
    return found if set(found.params) <= set(actions.parameters(found.name)) else None


def _mapped(example: Example, action: Action, seed: int) -> Example:
    schema = example.schema or (load_schema(example.graph).text() if example.graph else "")
    changed = replace(
        example,
        instruction=TASKS[TASK],
        input=example.question,
        output=action.text(),
        schema=context(schema, example.graph or "", seed),
    )
    text = render(conversation(changed.input, changed.schema, TASK, changed.output), generation_prompt=False)
    changed = replace(changed, context_size=context_size(len(text), action.cypher))
    return changed.with_id() if has_own_id(example) else changed  # copies keep their marks


def context(schema: str, graph: str = "", seed: int = 7) -> str:
    """What the system message holds beside the task: the actions in the order of this graph, and its schema."""
    names = actions.names()
    random.Random(f"{seed}:{graph}").shuffle(names)
    return runtime_context([actions.signature(name) for name in names], schema)


def inner(example: Example) -> tuple[Example, Action]:
    """An example with its query as the answer, as plain examples have it, and its action.

    Raises BadInput where the example's answer is no action that the server takes.
    """
    action = actions.read(example.output)
    wrong = [action] if isinstance(action, str) else actions.faults(action)
    if isinstance(action, str) or wrong:
        raise BadInput(f"has no action as its answer: {wrong[0]}", f"example {example.id}", "Mend it.")
    return replace(example, instruction=TASKS["cypher"], output=action.cypher), action


class _Drawn:
    """Questions for the server's own actions, no two alike for the same graph."""

    def __init__(self, seed: int, wordings: str) -> None:
        self.seed, self.wordings = seed, wordings
        self.random = random.Random(f"actions:{seed}:{wordings}")
        self.asked: set[tuple[str, str]] = set()
        self.labels: dict[str, list[str]] = {"": []}

    def __call__(self, example: Example) -> Example:
        """A question in the place of, or beside, `example`, on its graph."""
        graph = example.graph or ""
        for question, action in self._questions(graph):
            if (graph, normalise(question)) not in self.asked:
                self.asked.add((graph, normalise(question)))
                known = {"category": "runtime", "part": "plugins", "template": action.name.replace(".", "_")}
                known |= {"style": "order", "dialect": "nornicdb", "check": f"fact:{action.name}", "answer": None}
                return _mapped(replace(example, id="", input=question, **known), action, self.seed).with_id()
        what = f"questions for actions run out on graph {graph!r}"
        raise BadInput(what, "data/actions.yaml", "Ask for fewer examples, or add wordings there.")

    def _questions(self, graph: str) -> Iterator[tuple[str, Action]]:
        document, pick = actions.document(), self.random.choice
        names = [name for name, spec in document["actions"].items() if "forms" in spec]
        if graph not in self.labels:
            self.labels[graph] = sorted(load_schema(graph).labels)
        labels = self.labels[graph]
        for _ in range(DRAWS):
            name = pick(names)
            form = pick([form for form in document["actions"][name]["forms"] if labels or "{label}" not in str(form)])
            slots = {key: str(self.random.randint(*form[key])) for key in ("n", "d") if key in form}
            if "t" in form:
                slots["t"] = f"{self.random.uniform(*form['t']):.1f}"
            slots |= {key: pick(values) for key, values in document["values"].items()}
            slots |= {"label": pick(labels)} if labels else {}
            question = pick(document["openings"]) + pick(form[self.wordings]).format(**slots)
            yield question, Action(name, {key: _filled(key, value, slots) for key, value in form["params"].items()})


def _filled(key: str, value: Any, slots: dict[str, str]) -> Any:
    """A parameter's value with its slots filled, of the type that it has."""
    if isinstance(value, list):
        return [item.format(**slots) for item in value]
    text, kind = value.format(**slots), actions.document()["parameters"][key]["type"]
    return text if kind in _PLAIN else int(text) if kind == "integer" else float(text)


def rewrite(path: Path, seed: int) -> dict[str, int]:
    """Put a file of examples into the server's form; returns how many questions there are for each action."""
    made = to_runtime(load(path), seed)
    save(path, made)
    return counts(made)


def counts(examples: Sequence[Example]) -> dict[str, int]:
    """How many examples each action has, in the order of data/actions.yaml."""
    found = dict.fromkeys(actions.names(), 0)
    for example in examples:
        found[inner(example)[1].name] += 1
    return {name: number for name, number in found.items() if number}


def prepare(run: Run) -> Run:
    """The run `<name>-nornicdb`: what `run` has generated and split, with training and validation in the server's form.

    It is written anew each time, so that it follows its source; the source is left as it is. Raises BadInput where
    stage 02 has not run.
    """
    made = Run(f"{run.name}-nornicdb", root=run.path.parent)
    parts = {part: load(run.need(f"dataset/{part}.jsonl", "02")) for part in ("train", "validation", "test", "fewshot")}
    seed = run.manifest()["stages"]["02"]["parameters"]["seed"]
    for part, examples in parts.items():
        mapped = to_runtime(examples, seed) if part in ("train", "validation") else examples
        save(made.artifact(f"dataset/{part}.jsonl"), mapped)
    for number in ("01", "02"):
        write_json(made.path / "metrics" / f"{number}.json", run.metrics(number))
    stages = run.manifest()["stages"]
    kept = made.manifest()["stages"] | {number: stages[number] for number in ("01", "02")}
    write_json(made.manifest_path, {"run": made.name, "stages": kept})
    return made
