"""The corpus of the small base model: a schema, then several questions with their queries, by the same templates.

Nothing is executed: a query and its question come from one binding, so they agree by construction.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.generate import ENUMERATED, apart
from heimdall_nb.dataset.graphs import GraphSchema, load_schema
from heimdall_nb.dataset.invent import invent_schema
from heimdall_nb.dataset.questions import STYLES, ask
from heimdall_nb.dataset.slots import NoBinding, SampledValues
from heimdall_nb.dataset.templates import Template, bind, templates
from heimdall_nb.errors import BadInput

Pair = tuple[str, str]  # a graph's name, and a normalised question or query
Exclude = Collection[Pair] | Callable[[str, str], bool]
_TRIES = 200  # draws for one turn before the schema is said to have no room


def base_corpus(
    sequences: int,
    seed: int,
    graphs: Sequence[str],
    exclude: Exclude = frozenset(),
    own_share: float = 0.5,
    turns: int = 6,
    only: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Records `{"schema": text, "turns": [[question, query], …]}`, each with `turns` questions on one schema.

    A share `own_share` of the schemas are the course's `graphs`, the others are invented, each for one record.
    `exclude` keeps held-out items out: pairs (graph, normalised question) and (graph, normalised query), or a function
    of such a pair. `only` restricts the templates; those kept for the benchmark are left out. Raises BadInput when a
    graph has no turn left that is not excluded.
    """
    if not 0 <= own_share <= 1 or (own_share and not graphs):
        raise BadInput(f"{own_share} of {len(graphs)} graphs is no share", "own_share", "Use 0 to 1, and name graphs.")
    known = {name: template for name, template in templates().items() if not template.benchmark}
    if unknown := sorted(set(only or ()) - set(known)):
        raise BadInput(f"there is no template {unknown[0]!r}", "only", "See data/templates/cypher.")
    chosen = [template for name, template in known.items() if only is None or name in only]
    own = [load_schema(name) for name in graphs]
    excluded = exclude if callable(exclude) else lambda graph, text: (graph, text) in exclude
    for number in range(sequences):
        rng = random.Random(f"corpus {seed} {number}")  # one each, so that a record does not depend on those before
        schema = rng.choice(own) if rng.random() < own_share else invent_schema(rng)
        yield {"schema": schema.text(), "turns": _turns(schema, chosen, turns, rng, excluded)}


def held_out(examples: Iterable[Example]) -> set[Pair]:
    """What `base_corpus` must not contain when `examples` are to stay unseen: their questions and their queries."""
    return {(item.graph or "", normalise(text)) for item in examples for text in (item.input, item.output)}


def _turns(
    schema: GraphSchema,
    chosen: list[Template],
    number: int,
    rng: random.Random,
    excluded: Callable[[str, str], bool],
) -> list[list[str]]:
    found: dict[str, str] = {}
    groups = apart(chosen)  # in the shares that a dataset has
    for _ in range(_TRIES * number):
        if len(found) == number:
            return [[question, query] for question, query in found.items()]
        drawn = groups[rng.random() < ENUMERATED] if len(groups) > 1 else groups[0]
        template = drawn[int(rng.random() * len(drawn))]
        try:
            binding = bind(template, schema, SampledValues(), rng)
        except NoBinding:
            continue
        question = ask(template, binding, STYLES[int(rng.random() * len(STYLES))], rng)
        query = template.render(binding)
        if question not in found and not any(excluded(schema.name, normalise(text)) for text in (question, query)):
            found[question] = query
    raise BadInput(f"has no {number} questions that are not held out", f"graph {schema.name}", "Ask for fewer turns.")
