"""Is a dataset true? Everything is run, read and counted again, by code that knows no template and no binding."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from heimdall_nb import fact_check, facts, progress
from heimdall_nb.dataset.agreement import disagreements, schema_of
from heimdall_nb.dataset.benchmark import held_out
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.graphs import instantiate, load_schema, variation
from heimdall_nb.engines.cypher_check import name_faults
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import GraphEngine, Refusal, Rows
from heimdall_nb.evaluation.compare import tells_nothing

# What is often taught about NornicDB and does not hold; an answer may name it only to say so.
WRONG = {
    "algo.* procedures": re.compile(r"(?<![\w.])algo\.\w+\s*\("),
    "GROUP BY": re.compile(r"\bGROUP\s+BY\b"),
    "back-ticked vector options": re.compile(r"`vector\.\w+`"),
    "BEGIN and COMMIT in one query": re.compile(r"\bBEGIN\b[;\s]+(?:MATCH|CREATE|MERGE|UNWIND|CALL)\b[^\n]*\bCOMMIT\b"),
    "DROP INDEX, DROP CONSTRAINT": re.compile(r"\bDROP\s+(?:INDEX|CONSTRAINT)\b"),
    "NODE KEY, NOT NULL constraints": re.compile(r"\bREQUIRE\b[^\n]*\b(?:NODE\s+KEY|NOT\s+NULL)"),
    "apoc.text.toUpperCase": re.compile(r"\bapoc\.text\.toUpperCase\b"),
    "vector.similarity()": re.compile(r"(?<![\w.])vector\.similarity\s*\("),
}
_SAYS_SO = re.compile(
    r"\b(?:not|no|never|nothing|instead|refuse[sd]?|ignore[sd]?|unknown|without|cannot|neither|nor)\b", re.I
)
_STATE = (
    "MATCH (n) RETURN labels(n) AS labels, properties(n) AS properties",
    "MATCH (a)-[r]->(b) RETURN labels(a), properties(a), type(r), properties(r), labels(b), properties(b)",
)
_STATE_ROWS = 100_000


def audit(
    examples: Sequence[Example], engines: tuple[GraphEngine, GraphEngine], seed: int, nodes: int
) -> dict[str, dict[str, int]]:
    """For each claim, how many examples it was checked on (`checked`) and how many break it (`failed`).

    `seed` and `nodes` are those of the generation: they give the same graphs again.
    """
    found: dict[str, Counter[str]] = {}

    def note(claim: str, good: bool) -> None:
        found.setdefault(claim, Counter(checked=0, failed=0)).update(checked=1, failed=int(not good))

    _texts(examples, note)
    by_graph: dict[str, list[Example]] = {}
    for example in examples:
        if example.part == "cypher" and example.graph and example.check.startswith("executed"):
            by_graph.setdefault(example.graph, []).append(example)
    for graph, items in progress.track(sorted(by_graph.items()), "audit"):
        schema = load_schema(graph)
        instance = instantiate(schema, seed, nodes)
        engines[0].load(instance)
        engines[1].load(variation(schema, instance, seed))
        before = [_bag(engines[0].run(read, max_rows=_STATE_ROWS)) for read in _STATE]
        for example in items:
            note("names are in the schema", not name_faults(example.output, schema.names()))
            if writes(example.output):
                note("a write changes the graph", _changes(engines[0], example.output, before))
            else:
                results = [engine.run(example.output) for engine in engines]
                note("a read is accepted", not any(isinstance(result, Refusal) for result in results))
                nothing = [isinstance(result, Rows) and tells_nothing(result) for result in results]
                note("a read finds something, on two graphs", not any(nothing))
    return {claim: dict(counts) for claim, counts in found.items()}


def _texts(examples: Iterable[Example], note: Any) -> None:
    pack = facts.load_pack()
    pairs: set[tuple[str, str, str]] = set()
    questions: dict[tuple[str, str], str] = {}
    for example in examples:
        question, answer, graph = normalise(example.question), normalise(example.output), example.graph or ""
        note("question and answer occur once", (graph, question, answer) not in pairs)
        note("a question has one answer", questions.setdefault((graph, question), answer) == answer)
        note("not in the benchmark", not {(graph, question), (graph, answer)} & held_out())
        pairs.add((graph, question, answer))
        if example.task == "cypher":
            note("literals and names agree", not disagreements(example, schema_of(example)))
        if example.part != "cypher":
            note("the fact pack knows every name", not fact_check.unknown(example.output, pack))
            taught = wrong_teaching(example.output, example.task)
            for what in WRONG:
                note(f"not taught as if it worked: {what}", what not in taught)


def wrong_teaching(answer: str, task: str) -> list[str]:
    """The keys of WRONG whose form stands in `answer` where neither its sentence nor the one before says that it fails.

    In an answer to the task `cypher`, which is nothing but statements, there is no such excuse.
    """
    sentences = re.split(r"(?<=[.:!?])\s|\n", answer)
    pairs = list(zip(["", *sentences], sentences, strict=False))

    def taught(form: re.Pattern[str]) -> bool:
        return any(
            form.search(sentence) and (task == "cypher" or not _SAYS_SO.search(f"{before} {sentence}"))
            for before, sentence in pairs
        )

    return [what for what, form in WRONG.items() if taught(form)]


def _changes(engine: GraphEngine, query: str, before: Sequence[Counter[str]]) -> bool:
    after = (_bag(engine.trial(query, read, max_rows=_STATE_ROWS)) for read in _STATE)
    return any(one != other for one, other in zip(after, before, strict=True))


def _bag(result: Rows | Refusal) -> Counter[str]:
    return Counter(map(repr, result.rows)) if isinstance(result, Rows) else Counter()
