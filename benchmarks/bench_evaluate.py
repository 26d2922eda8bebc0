"""Executed comparisons a second on the benchmark's Cypher, and how far that is from the engine's own rate.

    python benchmarks/bench_evaluate.py [items]

An answer is the gold, or the gold with one edit, so that right and wrong answers are both there. A comparison is one
answer parsed, checked by name, run, and its rows compared with the gold's. The bound is the time that the bare engine
needs for the answers alone, measured in the same run.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import replace

from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.evaluation.neighbours import neighbours
from heimdall_nb.evaluation.parallel import score
from heimdall_nb.hardware import threads
from heimdall_nb.models.protocol import Completion

SEED, ITEMS = 2026, 12_000


def answers(items: int) -> list[tuple[Example, str]]:
    """`items` pairs of a benchmark read and an answer to it, each answer another text."""
    reads = [e for name in ("iid", "template", "graph", "style") for e in benchmark(name) if not writes(e.output)]
    pairs = [(e, query) for e in reads for query in _texts(e)]
    random.Random(SEED).shuffle(pairs)
    return pairs[:items]


def _texts(example: Example) -> list[str]:
    schema = load_schema(str(example.graph))
    return [example.output, *(neighbour.query for neighbour in neighbours(example.output, schema))]


def bare_seconds(pairs: list[tuple[Example, str]]) -> float:
    """Seconds that the engine alone needs for the answers, graph by graph, in one process."""
    with ArcadeDB() as engine:
        start = time.perf_counter()
        for graph in sorted({str(e.graph) for e, _ in pairs}):
            engine.load(instantiate(load_schema(graph), SEED))
            for _, query in (pair for pair in pairs if pair[0].graph == graph):
                engine.run(query)
        return time.perf_counter() - start


def main(items: int) -> None:
    """Print comparisons a second in one process and in all, and the bare engine's rate."""
    pairs = answers(items)
    examples = [replace(example, id=str(k)) for k, (example, _) in enumerate(pairs)]
    completions = [Completion(query, 0, 0, 0.0, "ok") for _, query in pairs]
    bare = len(pairs) / bare_seconds(pairs)
    print(f"{len(pairs):,} answers; the bare engine runs {bare:,.0f} a second in one process")
    for workers in sorted({1, threads()}):
        start = time.perf_counter()
        right = sum(item.ex for item in score(examples, completions, SEED, workers=workers))
        rate = len(pairs) / (time.perf_counter() - start)
        print(
            f"{workers} processes: {rate:,.0f} comparisons a second with the engine's start, {right:,} answers right, "
            f"{rate / (bare * workers):.2f} of the bare engine's rate"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ITEMS)
