"""Executed comparisons a second on the benchmark's Cypher, and how far that is from the engine's own rate.

    python benchmarks/bench_evaluate.py [models]

An answer is the gold query, or the gold with one edit. Two workloads: a leader board, where several models answer every
question, 60 % of them with the gold; and the worst case, where no two answers are the same statement. A comparison is
one answer parsed, checked by name, run, and its rows compared with the gold's; what the same statement gave on the same
graph is not run again. The bound is the time that the bare engine needs for the answers alone, in the same run.
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

SEED, MODELS, RIGHT = 2026, 12, 0.6
Pairs = list[tuple[Example, str]]


def workloads(models: int) -> dict[str, Pairs]:
    """Pairs of a benchmark read and an answer to it: a leader board of `models`, and as many different answers."""
    reads = [e for name in ("iid", "template", "graph", "style") for e in benchmark(name) if not writes(e.output)]
    edited = {e.id: [n.query for n in neighbours(e.output, load_schema(str(e.graph)))] for e in reads}
    rng = random.Random(SEED)

    def answered(example: Example) -> str:
        others = edited[example.id]
        return example.output if rng.random() < RIGHT or not others else rng.choice(others)

    board = [(example, answered(example)) for _ in range(models) for example in reads]
    different = [(example, query) for example in reads for query in (example.output, *edited[example.id])]
    rng.shuffle(different)
    return {f"leader board of {models} models": board, "every answer another": different[: len(board)]}


def bare_seconds(pairs: Pairs) -> float:
    """Seconds that the engine alone needs for the answers, graph by graph, in one process."""
    with ArcadeDB() as engine:
        start = time.perf_counter()
        for graph in sorted({str(e.graph) for e, _ in pairs}):
            engine.load(instantiate(load_schema(graph), SEED))
            for _, query in (pair for pair in pairs if pair[0].graph == graph):
                engine.run(query)
        return time.perf_counter() - start


def main(models: int) -> None:
    """Print comparisons a second in one process and in all, and the bare engine's rate, for each workload."""
    for name, pairs in workloads(models).items():
        examples = [replace(example, id=str(k)) for k, (example, _) in enumerate(pairs)]
        completions = [Completion(query, 0, 0, 0.0, "ok") for _, query in pairs]
        bare = len(pairs) / bare_seconds(pairs)
        distinct = len({(e.graph, query) for e, query in pairs})
        print(
            f"{name}: {len(pairs):,} answers, {distinct:,} statements; bare engine {bare:,.0f} a second in one process"
        )
        for workers in sorted({1, threads()}):
            start = time.perf_counter()
            right = sum(item.ex for item in score(examples, completions, SEED, workers=workers))
            rate = len(pairs) / (time.perf_counter() - start)
            print(
                f"  {workers} processes, with their start: {rate:,.0f} comparisons a second, {right:,} answers right, "
                f"{rate / (bare * workers):.2f} of the bare engine's rate"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MODELS)
