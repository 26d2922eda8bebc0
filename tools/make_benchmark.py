"""Make the sets of data/benchmark anew: for maintainers, after templates, graphs or styles have changed.

    python tools/make_benchmark.py [set ...]

Scores on another benchmark cannot be compared with earlier ones: say so in LOGBOOK.md.
"""

from __future__ import annotations

import sys
from itertools import islice

from heimdall_nb.dataset.benchmark import SETS, path
from heimdall_nb.dataset.example import Example, save
from heimdall_nb.dataset.generate import Choice, Maker, chosen
from heimdall_nb.dataset.graphs import schema_names
from heimdall_nb.dataset.mix import divided, engines
from heimdall_nb.dataset.questions import BENCHMARK_STYLES
from heimdall_nb.dataset.templates import templates

ITEMS, SEED, NODES = 300, 2026, 60
PARTS = {"operations": {"nornicdb": 4, "plugins": 2, "troubleshooting": 1}}  # shares; the other sets are all Cypher


def build(name: str) -> list[Example]:
    """The items of a set, spread over graphs, templates and parts."""
    graphs = schema_names(benchmark=name == "graph")
    parts = PARTS.get(name, {"cypher": 1})
    made: list[list[Example]] = []
    for graph, number in zip(graphs, divided(ITEMS, [1] * len(graphs)), strict=True):
        maker = Maker(graph, SEED, NODES, engines())
        found: list[Example] = []
        for part, share in zip(parts, divided(number, list(parts.values())), strict=True):
            found += islice(maker.examples(part, choice(name, part)), share)
        made.append(found)
    return [items[turn] for turn in range(ITEMS) for items in made if turn < len(items)]


def choice(name: str, part: str) -> Choice:
    """The templates and styles that a set is made of."""
    if name == "template":
        return Choice(tuple(template for template in templates(part).values() if template.benchmark))
    usable = tuple(template for template in chosen(part) if template.needs_schema)
    return Choice(usable, BENCHMARK_STYLES) if name == "style" else Choice(usable)


def main(names: list[str]) -> None:
    """Write each set to its file."""
    for name in names or list(SETS):
        items = build(name)
        print(f"{save(path(name), items)}: {len(items)} items")


if __name__ == "__main__":
    main(sys.argv[1:])
