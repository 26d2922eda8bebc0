"""ReAct: a model that thinks, uses a tool, reads what came back, and thinks again (Yao et al. 2023).

Three tools: the graph's schema, a read-only query, and `finish` with the query that is the answer. All items advance
together, one step at a time, so that the model gets batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heimdall_nb.baselines.fewshot import check_disjoint, exemplars
from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import GraphEngine, GraphInstance
from heimdall_nb.models.answers import append, prompt_key, query_of, rewrite, stored
from heimdall_nb.models.protocol import Completion, LanguageModel, Outcome
from heimdall_nb.progress import track
from heimdall_nb.prompts import STOPS, Conversation, conversation
from heimdall_nb.react_protocol import NO_ACTION, asked, demonstration, read_action, shown, without_labels

BATCH = 64


@dataclass(frozen=True)
class Step:
    """One turn: what the model wrote, the action read from it (empty when malformed), and what came back."""

    reply: str
    action: str
    argument: str
    observation: str


@dataclass
class Trace:
    """All steps on one item. `answer` is the query that counts; `outcome` as in Completion."""

    id: str
    key: str
    steps: list[Step] = field(default_factory=list)
    answer: str = ""
    finished: bool = False
    prompt_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0
    outcome: Outcome = "ok"

    @property
    def malformed(self) -> int:
        """How many replies held no action that could be read."""
        return sum(not step.action for step in self.steps)

    @property
    def tokens(self) -> int:
        """Tokens read and written in all steps."""
        return self.prompt_tokens + self.new_tokens

    @property
    def completion(self) -> Completion:
        """The trace as one answer, with the tokens and seconds of all its steps."""
        return Completion(self.answer, self.prompt_tokens, self.new_tokens, self.seconds, self.outcome)

    def text(self) -> str:
        """The trace as a person reads it."""
        lines = [
            part for s in self.steps for part in (s.reply.strip(), s.observation and f"Observation: {s.observation}")
        ]
        return "\n".join(line for line in lines if line)


def solve(
    model: LanguageModel,
    examples: Sequence[Example],
    engine: GraphEngine,
    instance_of: Callable[[str], GraphInstance],
    path: Path,
    pool: Sequence[Example] = (),
    max_steps: int = 4,
    max_new_tokens: int = 192,
    version: str = "",
    max_tokens: int = 8000,
) -> list[Trace]:
    """Let `model` solve each example in at most `max_steps` steps; the traces in order, kept in the JSONL file `path`.

    A step is no longer than `max_new_tokens`, and none begins after `max_tokens` have been read and written.
    With a `pool`, one solved question on the same graph shows the form of a step. An item that ends without `finish`
    is answered by the last query that ran, or, when none did, by the query in the last reply. Finished items found in
    the file are not solved again. Raises BadInput when an example is in the pool.
    """
    settings = (version, max_steps, max_new_tokens, max_tokens, "react")
    check_disjoint(pool, examples)
    started: dict[str, tuple[Example, Trace]] = {}
    keys = []
    demonstrations = _demonstrations(examples, pool, engine, instance_of)
    for example in examples:
        key = prompt_key(_conversation(example, (), demonstrations[example.id]), *settings)
        keys.append(key)
        started.setdefault(key, (example, Trace(example.id, key)))
    traces = {record["key"]: _trace(record) for record in stored(path, set(Trace.__dataclass_fields__))}
    waiting = [item for key, item in started.items() if key not in traces]
    batches = [waiting[start : start + BATCH] for start in range(0, len(waiting), BATCH)]
    for batch in track(batches, f"ReAct with {model.name}"):
        _advance(model, batch, engine, instance_of, demonstrations, max_steps, max_new_tokens, max_tokens)
        append(path, [asdict(trace) for _, trace in batch])
        traces.update((trace.key, trace) for _, trace in batch)
    rewrite(path, [asdict(traces[key]) for key in dict.fromkeys(keys)])
    return [traces[key] for key in keys]


def _trace(record: dict[str, Any]) -> Trace:
    return Trace(**record | {"steps": [Step(**step) for step in record["steps"]]})


def _advance(
    model: LanguageModel,
    items: Sequence[tuple[Example, Trace]],
    engine: GraphEngine,
    instance_of: Callable[[str], GraphInstance],
    demonstrations: dict[str, list[tuple[str, str]]],
    max_steps: int,
    max_new_tokens: int,
    max_tokens: int,
) -> None:
    """Take all items through their steps, in lockstep."""
    # Each graph is loaded once a step, and a model with a prefix cache reads each schema once.
    active = sorted(items, key=lambda item: (str(item[0].graph), item[0].schema, item[0].id))
    settings = {"max_new_tokens": max_new_tokens, "stop": (*STOPS, "\nObservation:")}
    for _ in range(max_steps):
        prompts = [_conversation(e, trace.steps, demonstrations[e.id]) for e, trace in active]
        replies = model.complete(prompts, **settings) if prompts else []
        loaded = None
        for (example, trace), reply in zip(active, replies, strict=True):
            if example.graph != loaded:
                engine.load(instance_of(str(example.graph)))
                loaded = example.graph
            _step(example, trace, reply, engine)
        active = [(e, trace) for e, trace in active if not trace.finished and trace.tokens < max_tokens]
    for _, trace in (item for item in items if not item[1].finished):
        ran = [s.argument for s in trace.steps if s.action == "run_query" and not s.observation.startswith("Error")]
        last = trace.steps[-1].reply if trace.steps else ""
        trace.answer = ran[-1] if ran else query_of(without_labels(last))
        trace.outcome = "ok" if trace.answer else "empty"


def _step(example: Example, trace: Trace, reply: Completion, engine: GraphEngine) -> None:
    trace.prompt_tokens += reply.prompt_tokens
    trace.new_tokens += reply.new_tokens
    trace.seconds += reply.seconds
    action, argument = read_action(reply.text)
    observation = ""
    if action == "finish":
        trace.answer, trace.finished, trace.outcome = argument, True, "ok" if argument else "empty"
    elif action == "schema":
        observation = example.schema
    elif action == "run_query":
        observation = shown(engine.run(argument))
    else:
        observation = NO_ACTION
    trace.steps.append(Step(reply.text, action, argument, observation))


def _conversation(example: Example, steps: Sequence[Step], solved: Sequence[tuple[str, str]]) -> Conversation:
    """Earlier steps become turns: the model's replies, answered by observations."""
    *earlier, last = asked(example.question, [step.observation for step in steps], example.task)
    turns = [*solved, *zip(earlier, [step.reply for step in steps], strict=True)]
    return conversation(last, example.schema, example.task, exemplars=turns)


def _demonstrations(
    examples: Sequence[Example],
    pool: Sequence[Example],
    engine: GraphEngine,
    instance_of: Callable[[str], GraphInstance],
) -> dict[str, list[tuple[str, str]]]:
    """For each example the turns of one solved question of the pool on its graph, with its observation."""
    turns: dict[str, list[tuple[str, str]]] = {}
    by_graph: dict[str, list[tuple[str, str]]] = {}
    reads = [e for e in pool if not writes(e.output)]  # run_query refuses writes
    for example in sorted(examples, key=lambda e: (str(e.graph), e.id)):
        graph = str(example.graph)
        if graph not in by_graph:
            by_graph[graph] = []
            for solved in exemplars(reads, example, 1, "fixed"):
                engine.load(instance_of(graph))
                seen = shown(engine.run(solved.output))
                by_graph[graph] = demonstration(solved.question, solved.output, seen, solved.task)
        turns[example.id] = by_graph[graph]
    return turns
