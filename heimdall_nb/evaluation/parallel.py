"""Scoring in several processes: each has an engine of its own and takes whole graphs, so each graph is loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context

from heimdall_nb.dataset import graphs
from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.errors import HeimdallError
from heimdall_nb.evaluation.metrics import ItemScore, score_items
from heimdall_nb.evaluation.suite import Suite
from heimdall_nb.hardware import die_with_parent, threads
from heimdall_nb.models.protocol import Completion

ALONE = 2_000  # items up to which a second process costs more than it brings


def score(
    examples: Sequence[Example],
    completions: Sequence[Completion],
    seed: int,
    nodes: int = 60,
    suite: Suite | None = None,
    workers: int = 0,
) -> list[ItemScore]:
    """The scores of `score_items` on graphs of `data/graphs`, made from `seed` with `nodes` nodes each.

    They are the same in any number of processes (`workers`; 0 for as many as pay off).

    Raises what `score_items` raises, and HeimdallError when a process was ended from outside.
    """
    workers = workers or (1 if len(examples) <= ALONE else threads())
    shares = _shares([str(example.graph) for example in examples], workers)
    jobs = [([examples[k] for k in s], [completions[k] for k in s], seed, nodes, suite) for s in shares]
    if len(jobs) == 1:
        parts = [_score(jobs[0])]
    else:
        try:
            with ProcessPoolExecutor(len(jobs), get_context("spawn"), initializer=die_with_parent) as pool:
                parts = list(pool.map(_score, jobs))
        except BrokenProcessPool:
            raise HeimdallError("A process that scored answers was ended from outside. Try again.") from None
    found = {k: item for share, part in zip(shares, parts, strict=True) for k, item in zip(share, part, strict=True)}
    return [found[k] for k in range(len(examples))]


def _shares(graph_of: Sequence[str], workers: int) -> list[list[int]]:
    """The places of the items for each process: whole graphs, the largest first to the process with the least."""
    places: dict[str, list[int]] = {}
    for k, graph in enumerate(graph_of):
        places.setdefault(graph, []).append(k)
    shares: list[list[int]] = [[] for _ in range(workers)]
    for group in sorted(places.values(), key=lambda group: (-len(group), group[0])):
        min(shares, key=len).extend(group)
    return [sorted(share) for share in shares if share] or [[]]


def _score(job: tuple[Sequence[Example], Sequence[Completion], int, int, Suite | None]) -> list[ItemScore]:
    examples, completions, seed, nodes, suite = job
    schema = cache(graphs.load_schema)
    with ArcadeDB() as engine:
        return score_items(
            examples,
            completions,
            lambda name: graphs.instantiate(schema(name), seed, nodes),
            lambda name: schema(name).names(),
            engine,
            suite,
        )
