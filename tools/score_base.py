"""Score a base model on the benchmark, zero-shot and with solved examples, and write both into its model card.

    python tools/score_base.py data/models/heimdall-nano-base

What the model has answered is kept in --work and not asked again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from heimdall_nb.baselines import fewshot, grammar, react, vote
from heimdall_nb.dataset.benchmark import benchmark, held_out
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.generate import Choice, Maker, chosen
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.dataset.mix import engines
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.engines.graph import GraphEngine, GraphInstance
from heimdall_nb.evaluation.evaluate import BENCHMARK_SEED, answer_examples, score
from heimdall_nb.evaluation.metrics import ItemScore, summary
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.export.quantise import quantise
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.run import read_json, sha256, write_json
from heimdall_nb.training.base_card import card

ZERO_SHOT = ("graph", "iid", "template", "style")
OTHER_WAYS = "graph"  # the set that is also asked with solved examples, a grammar, several tries, and ReAct
DRAWN, TOKENS, VERSION = 5, 192, "Q8_0"
POOL = 60  # solved examples of each graph; none is in the benchmark


def main() -> None:
    """Score, and write scores.json and README.md into the model's folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the base model")
    parser.add_argument("--work", type=Path, default=Path("/tmp/heimdall-base-scores"), help="GGUF file and answers")
    parser.add_argument("--shots", type=int, default=3, help="solved examples in a few-shot prompt")
    parser.add_argument("--items", type=int, default=0, help="ask only the first so many of each set; 0 for all")
    options = parser.parse_args()
    work = options.work / sha256(options.folder / "model.safetensors")[:12]
    write_gguf(options.folder, work / "F16.gguf", "F16", name=options.folder.name)
    quantise(work / "F16.gguf", work / "Q8_0.gguf", "Q8_0")
    found: dict[str, Any] = {}
    with closing(LlamaCppModel(work / "Q8_0.gguf", context=2048)) as model, ArcadeDB() as engine:
        for name, examples, answers in _ways(model, engine, work, options):
            found[name] = _kept(score(examples, answers, BENCHMARK_SEED))
            ex, va = found[name]["ex"], found[name]["va"]
            print(
                f"{name}: EX {ex['value']:.1%} ({ex['low']:.1%} to {ex['high']:.1%}), VA {va['value']:.1%}", flush=True
            )
    write_json(options.folder / "scores.json", found)
    facts = read_json(options.folder / "training.json")
    (options.folder / "README.md").write_text(card(facts, found), encoding="utf-8")


def _ways(
    model: LanguageModel, engine: GraphEngine, work: Path, options: argparse.Namespace
) -> Iterator[tuple[str, list[Example], list[Completion]]]:
    """(name of the row, examples, answers): each set zero-shot, and then one set in the other ways of asking."""
    asked = {name: benchmark(name)[: options.items or None] for name in ZERO_SHOT}
    plain = {}
    for name, examples in asked.items():
        plain[name] = answer_examples(model, examples, work / f"{name}.jsonl", TOKENS, VERSION)
        yield name, examples, plain[name]
    examples = asked[OTHER_WAYS]
    shots = fewshot.answer(model, examples, _pool(), options.shots, work / "fewshot.jsonl", version=VERSION)
    yield f"{OTHER_WAYS}, {options.shots} solved examples", examples, shots
    bound = grammar.answer(model, examples, work / "grammar.jsonl", TOKENS, VERSION)
    yield f"{OTHER_WAYS}, grammar of the schema", examples, bound
    drawn = vote.sample(model, examples, work / "drawn.jsonl", DRAWN, 1, version=VERSION)
    best = vote.best_of(examples, plain[OTHER_WAYS], drawn, engine, _instance, lambda name: load_schema(name).names())
    yield f"{OTHER_WAYS}, best of {DRAWN} by execution", examples, best
    traces = react.solve(model, examples, engine, _instance, work / "react.jsonl", version=VERSION)
    yield f"{OTHER_WAYS}, ReAct", examples, [trace.completion for trace in traces]


@cache
def _instance(graph: str) -> GraphInstance:
    return instantiate(load_schema(graph), BENCHMARK_SEED, 60)


def _pool() -> list[Example]:
    """Solved examples on the benchmark's graphs, by the templates of training, that the benchmark does not hold."""
    choice = Choice(tuple(chosen("cypher")), held_out=held_out())
    graphs = sorted({str(item.graph) for item in benchmark(OTHER_WAYS)})
    two = engines()
    return [
        item
        for graph in graphs
        for item in islice(Maker(graph, BENCHMARK_SEED, 60, two).examples("cypher", choice), POOL)
        if "executed" in item.check
    ]


def _kept(scores: list[ItemScore]) -> dict[str, Any]:
    every = summary(scores)
    return {name: every[name] for name in ("items", "va", "ex", "em", "floor", "causes")}


if __name__ == "__main__":
    main()
