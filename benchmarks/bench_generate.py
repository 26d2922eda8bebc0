"""Rate and memory of dataset generation at 5,000 and 100,000 examples, and how far it is from the engine's own rate.

    python benchmarks/bench_generate.py [examples ...]

Every example is verified: a read is run on two graphs, a write by the state it leaves, the rest against the facts. The
bound is the time that the bare engine needs for the same reads and writes, measured in the same run.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import psutil

from heimdall_nb.dataset import mix
from heimdall_nb.dataset.example import Example, scan
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.hardware import threads

SIZES, SEED, SAMPLE = (5_000, 100_000), 7, 600
# generate_heimdall_dataset.py of orneryd/NornicDB at commit e27b278, asked for 5,000: counted on its output.
SEED_ROWS, SEED_MIX = 682, "531 / 75 / 65 / 11 of 1,500 / 2,000 / 1,000 / 500"


class Memory:
    """The largest resident memory of this process and its children while it is watched, in MB."""

    def __init__(self) -> None:
        self.peak, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.25):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total / 2**20)


def bare_rate(path: Path) -> float:
    """Statements a second that the engine alone runs, of the kinds and in the numbers that the file holds."""
    by_graph: dict[str, list[Example]] = {}
    for example in scan(path):
        if isinstance(example, Example) and example.part == "cypher" and example.graph:
            by_graph.setdefault(example.graph, []).append(example)
    graph = max(by_graph, key=lambda name: len(by_graph[name]))
    items = by_graph[graph][:SAMPLE]
    with ArcadeDB() as engine:
        engine.load(instantiate(load_schema(graph), SEED))
        for _ in range(2):  # the first round warms the Java machine; the second counts
            start = time.perf_counter()
            for example in items:
                if writes(example.output):
                    engine.trial(example.output, "RETURN 1 AS one")
                else:
                    engine.run(example.output)
            seconds = time.perf_counter() - start
    return len(items) / seconds


def _apart(function: Callable[[Path], float], path: Path) -> float:
    """The function's value from a process of its own: a Java machine here would count in the next size's memory."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, path).result()


def main(sizes: list[int]) -> None:
    """Print rate, seconds and peak memory for each size, the engine's bound, and the ratio."""
    workers = threads()
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = Path(folder) / f"{size}.jsonl"
            with Memory() as memory:
                start = time.perf_counter()
                counts = mix.write(path, mix.plan(size, SEED), workers)
                seconds = time.perf_counter() - start
            bound = 2 * counts["cypher"] / _apart(bare_rate, path) / workers
            print(
                f"{size:>7,} examples, {workers} processes: {seconds:7.1f} s, {size / seconds:6.0f} /s, "
                f"peak {memory.peak:6.0f} MB, bare statements {bound:6.1f} s, ratio {bound / seconds:.2f}"
            )
    print(f"NornicDB's own script, asked for 5,000: {SEED_ROWS} rows ({SEED_MIX}), none of them run")


if __name__ == "__main__":
    main([int(item) for item in sys.argv[1:]] or list(SIZES))
