"""The committed benchmark: four test sets and a fifth of operations, and what keeps them out of every training set."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from pathlib import Path

from heimdall_nb.dataset.example import Example, load, normalise
from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA

BENCHMARK = DATA / "benchmark"
SETS = {
    "iid": "graphs, templates and styles as in training",
    "template": "templates that training never has",
    "graph": "graphs that training never has",
    "style": "a style of question that training never has",
    "operations": "NornicDB's operations, plugins and troubleshooting, as in training",
}
ITEMS = 300
SEED = 2026
NODES = 60


def path(name: str) -> Path:
    """The file of a set. Raises BadInput for an unknown one."""
    if name not in SETS:
        raise BadInput(f"there is no benchmark {name!r}", "benchmark", f"Choose one of: {', '.join(SETS)}.")
    return BENCHMARK / f"{name}.jsonl"


def benchmark(name: str) -> list[Example]:
    """The items of a set. Raises BadInput for an unknown one."""
    return load(path(name))


@lru_cache(maxsize=1)
def held_out() -> frozenset[tuple[str, str]]:
    """(graph, normalised question or answer) of every benchmark item: what must not be generated into training."""
    there = [example for name in SETS if path(name).exists() for example in benchmark(name)]
    return frozenset((item.graph or "", normalise(text)) for item in there for text in (item.input, item.output))


def build(name: str) -> list[Example]:
    """Make a set anew: ITEMS examples, spread over graphs, templates and parts. Needs the graph engine."""
    from heimdall_nb.dataset.generate import Choice, Maker, chosen
    from heimdall_nb.dataset.graphs import schema_names
    from heimdall_nb.dataset.mix import divided, engines
    from heimdall_nb.dataset.questions import BENCHMARK_STYLES, STYLES
    from heimdall_nb.dataset.templates import templates

    reserved = tuple(template for template in templates("cypher").values() if template.benchmark)
    usable = {
        "template": Choice(reserved),
        "style": Choice(tuple(chosen("cypher")), BENCHMARK_STYLES),
    }.get(name, Choice(tuple(chosen("cypher")), STYLES))
    graphs = schema_names(benchmark=name == "graph")
    parts = {"nornicdb": 4, "plugins": 2, "troubleshooting": 1} if name == "operations" else {"cypher": 1}
    made: list[list[Example]] = []
    for graph, number in zip(graphs, divided(ITEMS, [1] * len(graphs)), strict=True):
        maker = Maker(graph, SEED, NODES, engines())
        found: list[Example] = []
        for part, share in zip(parts, divided(number, list(parts.values())), strict=True):
            choice = usable if part == "cypher" else Choice(tuple(t for t in chosen(part) if t.needs_schema))
            found += islice(maker.examples(part, choice), share)
        made.append(found)
    return [item for turn in range(ITEMS) for items in made if turn < len(items) for item in [items[turn]]]
