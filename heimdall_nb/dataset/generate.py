"""Examples by templates: every read is executed and must find something, every write is checked by what it leaves."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.graphs import GraphSchema, instantiate, load_schema
from heimdall_nb.dataset.questions import STYLES, ask
from heimdall_nb.dataset.slots import Binding, InstanceValues, NoBinding
from heimdall_nb.dataset.templates import Template, bind, templates
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Rows
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.progress import track
from heimdall_nb.prompts import TASKS, conversation, render

ATTEMPTS = 12  # bindings tried for one example before its template is left alone for this round
PATIENCE = 3  # rounds without an example after which a template is given up for a graph
_SIZES = ((1_000, "small"), (4_000, "medium"), (16_000, "large"))  # characters of the rendered prompt and answer


def generate(
    examples: int,
    seed: int,
    graphs: Sequence[str],
    engine: GraphEngine,
    nodes: int = 60,
    only: Sequence[str] | None = None,
) -> list[Example]:
    """Exactly `examples` examples, in turn from each graph and each template (`only` names some templates).

    The same arguments give the same examples. Raises BadInput when fewer can be made, or for an unknown name.
    """
    if examples < 1 or not graphs:
        raise BadInput("asks for nothing", "examples and graphs", "Ask for at least one example of one graph.")
    made = _make([_Maker(load_schema(name), _chosen(only), seed, nodes) for name in graphs], examples, engine)
    if len(made) < examples:
        remedy = "Ask for fewer, or for more graphs or nodes."
        raise BadInput(f"only {len(made)} different examples can be made of {examples}", "examples", remedy)
    return made


def category_generator(
    seed: int, graphs: Sequence[str], engine: GraphEngine, nodes: int = 60
) -> Callable[[str, int, list[Example]], list[Example]]:
    """A function (category, number, examples there are) -> up to `number` new examples of that category.

    They are made on the same graph instances as `generate` makes them with this seed and size.
    """

    def more(category: str, number: int, have: list[Example]) -> list[Example]:
        chosen = [template for template in templates().values() if template.family == category]
        if not chosen:
            return []
        known = {(item.graph, normalise(item.input)) for item in have}
        makers = [_Maker(load_schema(name), chosen, seed, nodes) for name in graphs]
        made = _make(makers, number + len(have), engine)
        return [item for item in made if (item.graph, normalise(item.input)) not in known][:number]

    return more


def _make(makers: list[_Maker], examples: int, engine: GraphEngine) -> list[Example]:
    """Up to `examples` examples, in turn from each maker; makers with more variety stand in for those with less."""
    share = -(-examples // len(makers))
    made = [maker.make(share, engine) for maker in makers]
    have, before = sum(map(len, made)), -1
    while before < have < examples:
        before = have
        for place, maker in enumerate(makers):
            made[place] += maker.make(min(examples - have, share), engine)
            have = sum(map(len, made))
    turns = range(max(map(len, made)))
    return [items[turn] for turn in turns for items in made if turn < len(items)][:examples]


def _chosen(only: Sequence[str] | None) -> list[Template]:
    known = templates()
    for name in only or ():
        if name not in known:
            raise BadInput(f"there is no template {name!r}", "only", f"Known are: {', '.join(known)}.")
    return [template for name, template in known.items() if only is None or name in only]


@dataclass
class _Maker:
    """Makes the examples of one graph; what it has made so far it does not make again."""

    schema: GraphSchema
    chosen: list[Template]
    seed: int
    nodes: int
    questions: set[str] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"generate {self.schema.name} {self.seed}")
        self.graph: GraphInstance = instantiate(self.schema, self.seed, self.nodes)
        self.values = InstanceValues(self.graph)
        self.chosen = self.rng.sample(self.chosen, len(self.chosen))  # so that a last, partial round is fair
        self.turns = self._turns()

    def make(self, number: int, engine: GraphEngine) -> list[Example]:
        """Up to `number` further examples."""
        if number < 1:
            return []
        engine.load(self.graph)
        return list(track(islice(self._found(engine), number), f"examples of {self.schema.name}", number))

    def _turns(self) -> Iterator[Template]:
        alive = list(self.chosen)
        while alive:
            yield from alive
            alive = [template for template in alive if self.failures.get(template.name, 0) < PATIENCE]

    def _found(self, engine: GraphEngine) -> Iterator[Example]:
        for template in self.turns:
            example = next(filter(None, (self._one(template, engine) for _ in range(ATTEMPTS))), None)
            failed = self.failures.get(template.name, 0)
            self.failures[template.name] = failed + 1 if example is None else 0
            if example is not None:
                yield example

    def _one(self, template: Template, engine: GraphEngine) -> Example | None:
        try:
            binding = bind(template, self.schema, self.values, self.rng)
        except NoBinding:
            return None
        style = STYLES[int(self.rng.random() * len(STYLES))]
        question, query = ask(template, binding, style, self.rng), template.render(binding)
        if normalise(question) in self.questions:
            return None
        if template.writes:
            answer = None
            if not self._write_holds(template, binding, query, engine):
                return None
        elif not (answer := self._read(query, engine)):
            return None
        self.questions.add(normalise(question))
        return make_example(self.schema, template, style, question, query, answer)

    def _read(self, query: str, engine: GraphEngine) -> str | None:
        result = _run(engine, query)
        return None if degenerate(result) else answer_hash(result, ordered=" ORDER BY " in query)

    def _write_holds(self, template: Template, binding: Binding, query: str, engine: GraphEngine) -> bool:
        """Execute a write: what it promises must not hold before, and must hold afterwards. Then undo it."""
        verify, expected = template.render_verify(binding)
        if _run(engine, verify).rows == (expected,):
            return False
        try:
            _run(engine, query, write=True)
            return _run(engine, verify).rows == (expected,)
        finally:
            engine.load(self.graph)


def _run(engine: GraphEngine, query: str, write: bool = False) -> Rows:
    result = engine.run(query, write=write)
    if not isinstance(result, Rows):
        raise HeimdallError(f"The engine refused a generated query ({result.kind}: {result.message}): {query}")
    return result


def make_example(
    schema: GraphSchema, template: Template, style: str, question: str, query: str, answer: str | None
) -> Example:
    """The example record for a question and its query on a graph."""
    text = render(conversation(question, schema.text(), "cypher", query), generation_prompt=False)
    return Example(
        instruction=TASKS["cypher"],
        input=question,
        output=query,
        category=template.family,
        context_size=next((name for limit, name in _SIZES if len(text) <= limit), "xl"),
        part="cypher",
        graph=schema.name,
        schema=schema.text(),
        template=template.name,
        style=style,
        check="executed",
        answer=answer,
    ).with_id()


def degenerate(result: Rows) -> bool:
    """True for a result that proves little: no row, nothing but nulls, or a single zero, false or empty value."""
    if all(value is None for row in result.rows for value in row):
        return True
    return len(result.rows) == 1 and not any(result.rows[0])


def answer_hash(result: Rows, ordered: bool) -> str:
    """A hash of the rows: as a list when `ordered`, else as a bag; lists within a row are bags, 1 equals 1.0."""
    rows = [json.dumps([_canonical(value) for value in row], ensure_ascii=False, sort_keys=True) for row in result.rows]
    return hashlib.sha256("\n".join(rows if ordered else sorted(rows)).encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    if isinstance(value, float):
        value = round(value, 9)
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return sorted((_canonical(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value
