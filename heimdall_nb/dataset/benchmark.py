"""The committed benchmark: four test sets and a fifth of operations, and what keeps them out of every training set."""

from __future__ import annotations

from functools import lru_cache
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


@lru_cache(maxsize=1)
def held_texts() -> frozenset[str]:
    """The normalised questions and queries of the benchmark, whatever their graph."""
    return frozenset(text for _, text in held_out())
