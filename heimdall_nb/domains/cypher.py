"""Domain `cypher`: the general Cypher generator (dataset/mix.py), behind the seam that the other domains share."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from heimdall_nb.dataset import mix
from heimdall_nb.dataset.example import Example, load
from heimdall_nb.dataset.generate import ENUMERATED, ENUMERATION
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.dataset.templates import templates
from heimdall_nb.dataset.validate import content_faults
from heimdall_nb.domains.protocol import counts, drawn_seed
from heimdall_nb.errors import BadInput
from heimdall_nb.models.protocol import Completion

PART = "cypher"


@dataclass(frozen=True)
class Cypher:
    """Questions about the graphs of data/graphs, each with an executed query; `graph_seed` and `nodes` make them."""

    nodes: int = 60
    graphs: tuple[str, ...] = ()  # names in data/graphs; none for all
    graph_seed: int = 7  # of the graphs that `faults` and `score` run on: the seed that the examples were made with

    name: ClassVar[str] = "cypher"
    title: ClassVar[str] = "Cypher queries on many graphs, 18 % of them clause by clause and function by function"
    metric: ClassVar[str] = "same rows"
    # Of the enumeration; the other families have the rest between them.
    shares: ClassVar[Mapping[str, float]] = {ENUMERATION: ENUMERATED, "other families": 1 - ENUMERATED}

    def examples(self, number: int, seed: int) -> Iterator[Example]:
        """Exactly `number` examples; see `protocol.Domain`."""
        families = {template.family for template in templates(PART).values()}
        wanted = {ENUMERATION: [ENUMERATION], "other families": sorted(families - {ENUMERATION})}
        made: list[Example] = []
        with TemporaryDirectory(prefix="heimdall-cypher-") as folder:
            for place, (name, quota) in enumerate(counts(number, self.shares).items()):
                plan = replace(
                    mix.plan(quota or 1, seed, self.graphs, f"{PART}=1", nodes=self.nodes),
                    families={PART: wanted[name]},
                )
                output = Path(folder) / f"{place}.jsonl"
                if quota:
                    mix.write(output, plan, extra=made)  # what the first file asks is not asked again
                    made = load(output)
        random.Random(drawn_seed("cypher order", seed)).shuffle(made)
        yield from made

    def faults(self, example: Example) -> list[str]:
        """What is wrong with an example: its names, what its question does not say, a query that the engine refuses."""
        found = [f"{fault.field}: {fault.what}" for fault in content_faults(0, example)]
        if found or not example.graph:
            return found or ["graph: is missing"]
        try:
            score = self._scored(example, example.output)
        except BadInput as problem:  # the engine refuses the example's own query
            return [f"output: {problem.what}"]
        return [] if score.va else [f"output: {score.message}"]

    def score(self, example: Example, answer: str) -> float:
        """1 when the answer returns the rows of the example's query (EX), else 0."""
        return float(bool(self._scored(example, answer).ex))

    def _scored(self, example: Example, answer: str) -> Any:
        from heimdall_nb.evaluation.metrics import score_items

        def instance_of(name: str) -> Any:
            return _instance(name, self.graph_seed, self.nodes)

        completion = Completion(answer, 0, 0, 0.0, "ok" if answer.strip() else "empty")
        names = load_schema(example.graph).names()
        return score_items([example], [completion], instance_of, lambda _: names, mix.engines()[0])[0]


@lru_cache(maxsize=32)
def _instance(name: str, seed: int, nodes: int) -> Any:
    return instantiate(load_schema(name), seed, nodes)
