"""Examples of one graph by templates: reads must find something on two instances, writes must leave what they promise.

What the engine does not know (NornicDB's own statements, procedures, settings) is held against the fact pack instead.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from heimdall_nb import fact_check, facts
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.graphs import GraphSchema, instantiate, load_schema, variation
from heimdall_nb.dataset.plugin_slots import PluginBinder
from heimdall_nb.dataset.questions import STYLES, ask
from heimdall_nb.dataset.sizes import context_size
from heimdall_nb.dataset.slots import Binder, Binding, InstanceValues, NoBinding, SampledValues
from heimdall_nb.dataset.templates import PARTS, Template, templates
from heimdall_nb.engines.graph import GraphEngine, Rows
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation.compare import tells_nothing as degenerate  # a gold must tell something
from heimdall_nb.prompts import TASKS, conversation, render

ATTEMPTS = 12  # bindings tried for one example before its template is left alone for this round
PATIENCE = 4  # rounds without an example after which a template is given up for a graph
SAME_ANSWER = 8  # questions of one graph that may share an answer, so that no answer is learnt by heart
ENUMERATION = "enumeration"  # the family that goes through clauses, functions and operators one by one
ENUMERATED = 0.18  # its share of the Cypher part

Engines = tuple[GraphEngine, GraphEngine]
Held = Collection[tuple[str, str]]  # (graph, normalised question or answer) that must not be made


@dataclass(frozen=True)
class Choice:
    """Which templates, styles and texts a maker may use."""

    templates: tuple[Template, ...]
    styles: tuple[str, ...] = STYLES
    held_out: Held = frozenset()


class Maker:
    """Makes the examples of one graph, or those that need none (`graph` empty); no question is asked twice.

    The order of the calls of `examples` and their numbers decide what is made, so that the same calls give the same
    examples. Raises HeimdallError when an engine refuses a query or the fact pack does not know a name: then a
    template is at fault.
    """

    def __init__(self, graph: str, seed: int, nodes: int, engines: Engines | None) -> None:
        self.graph, self.seed = graph, seed
        self.schema: GraphSchema | None = load_schema(graph) if graph else None
        self.questions: set[int] = set()
        self.answers: Counter[int] = Counter()
        self.values: Any = SampledValues()
        self.engines = engines
        if self.schema is not None and engines is not None:
            instance = instantiate(self.schema, seed, nodes)
            engines[0].load(instance)
            engines[1].load(variation(self.schema, instance, seed))
            self.values = InstanceValues(instance)

    def examples(self, part: str, choice: Choice) -> Iterator[Example]:
        """Examples of a part of the mix, until no template has anything new."""
        rng = random.Random(f"generate {part} {self.graph} {self.seed}")
        failures: dict[str, int] = {}
        for template in turns(choice.templates, failures, rng):
            example = next(filter(None, (self._one(template, choice, rng) for _ in range(ATTEMPTS))), None)
            failures[template.name] = failures.get(template.name, 0) + 1 if example is None else 0
            if example is not None:
                yield example

    def _one(self, template: Template, choice: Choice, rng: random.Random) -> Example | None:
        try:
            binding = self._binder(template, rng).bind(template.bind)
        except NoBinding:
            return None
        style = choice.styles[int(rng.random() * len(choice.styles))]
        question, answer = ask(template, binding, style, rng), template.render(binding)
        texts = normalise(question), normalise(answer)
        asked, answered = map(_key, texts)
        if asked in self.questions or self.answers[answered] >= SAME_ANSWER:
            return None
        if any((self.graph, text) in choice.held_out for text in texts):
            return None
        held, result = self._holds(template, binding, answer)
        if not held:
            return None
        self.questions.add(asked)
        self.answers[answered] += 1
        return make_example(self.schema, template, binding, style, question, answer, result)

    def _binder(self, template: Template, rng: random.Random) -> Binder:
        if template.part == "cypher":
            assert self.schema is not None
            return Binder(self.schema, self.values, rng)
        return PluginBinder(self.schema, self.values, rng, pack())

    def _holds(self, template: Template, binding: Binding, answer: str) -> tuple[bool, str | None]:
        """Whether the answer is true, and the hash of the rows where it was read."""
        if template.part != "cypher":
            for item in fact_check.unknown(answer, pack()):
                raise HeimdallError(f"template {template.name} of {template.part} names {item.name!r}: {item.what}")
        runs = template.render_runs(binding) or (answer if template.part == "cypher" else "")
        if not runs or self.engines is None:
            return True, None
        if template.writes:
            return self._write_holds(template, binding, runs), None
        first = _run(self.engines[0], runs)
        if degenerate(first) or degenerate(_run(self.engines[1], runs)):
            return False, None
        return True, answer_hash(first, ordered=" ORDER BY " in runs)

    def _write_holds(self, template: Template, binding: Binding, query: str) -> bool:
        """What a write promises must not hold before it, and must hold after it; then it is undone."""
        assert self.engines is not None
        verify, expected = template.render_verify(binding)
        if _run(self.engines[0], verify).rows == (expected,):
            return False
        return all(_rows(engine.trial(query, verify), query).rows == (expected,) for engine in self.engines)


def turns(chosen: Sequence[Template], failures: dict[str, int], rng: random.Random) -> Iterator[Template]:
    """The templates in turn, in rounds, without those that failed PATIENCE times; the enumeration at its own share."""
    waiting = [_rounds(group, failures, rng) for group in apart(chosen)]
    if len(waiting) == 1:
        yield from waiting[0]
        return
    rest, enumerated = waiting
    for number in range(1_000_000_000):
        own = int((number + 1) * ENUMERATED) > int(number * ENUMERATED)
        template = next(enumerated if own else rest, None) or next(rest, None) or next(enumerated, None)
        if template is None:
            return
        yield template


def apart(chosen: Sequence[Template]) -> list[list[Template]]:
    """The templates without and with those of the enumeration; one list where either is empty."""
    rest = [template for template in chosen if template.family != ENUMERATION]
    enumeration = [template for template in chosen if template.family == ENUMERATION]
    return [rest, enumeration] if rest and enumeration else [rest or enumeration]


def _rounds(group: list[Template], failures: dict[str, int], rng: random.Random) -> Iterator[Template]:
    alive = rng.sample(group, len(group))  # so that a last, partial round is fair
    while alive:
        yield from alive
        alive = [template for template in alive if failures.get(template.name, 0) < PATIENCE]


def generate(
    examples: int,
    seed: int,
    graphs: Sequence[str],
    engines: Engines,
    nodes: int = 60,
    only: Sequence[str] | None = None,
) -> list[Example]:
    """Exactly `examples` Cypher examples, the same number of each graph (`only` names some templates).

    For small numbers in one process; `mix.write` makes whole datasets. The same arguments give the same examples.
    Raises BadInput when fewer can be made, or for an unknown name.
    """
    if examples < 1 or not graphs:
        raise BadInput("asks for nothing", "examples and graphs", "Ask for at least one example of one graph.")
    choice = Choice(tuple(chosen("cypher", only)))
    made = []
    for place, graph in enumerate(graphs):
        share = examples // len(graphs) + (place < examples % len(graphs))
        found = list(islice(Maker(graph, seed, nodes, engines).examples("cypher", choice), share))
        if len(found) < share:
            remedy = "Ask for fewer, or for more graphs or nodes."
            raise BadInput(f"only {len(found)} different examples of {share} can be made", f"graph {graph}", remedy)
        made.append(found)
    return [items[turn] for turn in range(len(made[0])) for items in made if turn < len(items)]


def category_generator(
    seed: int, graphs: Sequence[str], engines: Callable[[], Engines], nodes: int = 60, held_out: Held = frozenset()
) -> Callable[[str, int, list[Example]], list[Example]]:
    """A function (category, number, examples there are) -> up to `number` new examples of that category.

    `engines` is called when the first category that needs them is filled up.
    """

    def more(category: str, number: int, have: list[Example]) -> list[Example]:
        known = {(item.graph or "", normalise(item.input)) for item in have} | set(held_out)
        parts = {item.part for item in have} or set(PARTS)
        made: list[Example] = []
        for part in (part for part in PARTS if part in parts):
            wanted = tuple(item for item in chosen(part) if item.family == category)
            for graph in graphs if wanted else ():
                share = number - len(made) if graph == graphs[-1] else -(-number // len(graphs))
                maker = Maker(graph, seed, nodes, engines())
                made += islice(maker.examples(part, Choice(wanted, held_out=known)), max(0, share))
        return made[:number]

    return more


def chosen(part: str, only: Sequence[str] | None = None, families: Collection[str] | None = None) -> list[Template]:
    """The templates of a part that are not reserved for the benchmark. Raises BadInput for an unknown name."""
    known = templates(part)
    for name in only or ():
        if name not in known:
            raise BadInput(f"there is no template {name!r}", "only", f"See data/templates/{part}.")
    return [
        template
        for name, template in known.items()
        if (name in only if only is not None else not template.benchmark)
        and (families is None or template.family in families)
    ]


@lru_cache(maxsize=1)
def pack() -> facts.FactPack:
    """The fact pack that answers are held against."""
    return facts.load_pack()


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _run(engine: GraphEngine, query: str) -> Rows:
    return _rows(engine.run(query), query)


def _rows(result: Any, query: str) -> Rows:
    if not isinstance(result, Rows):
        raise HeimdallError(f"The engine refused a generated query ({result.kind}: {result.message}): {query}")
    return result


def make_example(
    schema: GraphSchema | None,
    template: Template,
    binding: Binding,
    style: str,
    question: str,
    answer: str,
    result: str | None,
) -> Example:
    """The example record for a question and its answer. `result` is the hash of the rows of an executed read."""
    shown = schema.text() if schema is not None else ""
    text = render(conversation(question, shown, template.task, answer), generation_prompt=False)
    named = [item.format_map({name: slot.query for name, slot in binding.items()}) for item in template.facts]
    executed = template.part == "cypher" or bool(template.runs)
    return Example(
        instruction=TASKS[template.task],
        input=question,
        output=answer,
        category=template.family,
        context_size=context_size(len(text), answer if template.task == "cypher" else ""),
        part=template.part,
        graph=schema.name if schema is not None else None,
        schema=shown,
        template=template.name,
        style=style,
        dialect=template.dialect,
        check=",".join(filter(None, ["executed" if executed else "", f"fact:{','.join(named)}" if named else ""])),
        answer=result if template.part == "cypher" else None,
    ).with_id()


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
