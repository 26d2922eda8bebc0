"""Traps: wrong queries that an ordinary evaluation accepts, and right ones that it refuses, tried on ours and on those.

An answer is right when it is valid, right on the trap's graph, and right on every other graph of the trap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml

from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.engines.cypher_check import SchemaNames, name_faults
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Node, Refusal, Relationship, Rows
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.compare import agrees, expectation
from heimdall_nb.evaluation.constants import ignores_graph
from heimdall_nb.evaluation.ordinary import ORDINARY, Case
from heimdall_nb.models.answers import query_of
from heimdall_nb.run import DATA

if TYPE_CHECKING:
    from pandas import DataFrame

FILE = DATA / "traps.yaml"
STEPS = ("VA", "EX", "TS")


@dataclass(frozen=True)
class Trap:
    """A gold query, an answer, and whether it is right.

    `graphs` are names in the file, the first is the one for EX, the others are for TS; `caught_by` is the step that
    refuses a wrong answer (VA, EX or TS, nothing for a right one); `fools` names evaluations of ORDINARY that get it
    wrong; `why` says what the trap is.
    """

    name: str
    graphs: tuple[str, ...]
    gold: str
    answer: str
    right: bool
    fools: tuple[str, ...]
    why: str
    caught_by: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of an answer: `right`, and the step that refused it where it is not."""

    right: bool
    caught_by: str = ""
    message: str = ""


@lru_cache(maxsize=1)
def load_traps() -> tuple[tuple[Trap, ...], dict[str, GraphInstance]]:
    """The traps and their graphs by name, from data/traps.yaml. Raises BadInput for an entry that is not complete."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    graphs = {name: _graph(name, entry) for name, entry in content["graphs"].items()}
    traps = tuple(_trap(entry, graphs) for entry in content["traps"])
    doubled = {trap.name for trap in traps if [t.name for t in traps].count(trap.name) > 1}
    if doubled:
        raise BadInput(f"{min(doubled)} stands there twice", str(FILE), "Give each trap its own name.")
    return traps, graphs


def _trap(entry: dict[str, Any], graphs: dict[str, GraphInstance]) -> Trap:
    where = f"{FILE}, trap {entry.get('name')}"
    try:
        names = (entry["graph"], *entry.get("also", ()))
        texts = (str(entry[key]).strip("\n") for key in ("gold", "answer"))
        fools, caught = tuple(entry["fools"]), entry.get("caught_by", "")
        trap = Trap(entry["name"], names, *texts, entry["right"], fools, entry["why"], caught)
    except KeyError as problem:
        raise BadInput(f"has no {problem}", where, "Write it.") from None
    unknown = [name for name in names if name not in graphs] + [name for name in fools if name not in ORDINARY]
    if unknown:
        raise BadInput(f"{unknown[0]!r} is neither a graph of the file nor an evaluation", where, "Correct the name.")
    if not fools or trap.right == bool(caught) or caught not in ("", *STEPS):
        raise BadInput("fools nobody, or `caught_by` does not fit", where, "A wrong answer is caught by VA, EX or TS.")
    return trap


def _graph(name: str, entry: dict[str, Any]) -> GraphInstance:
    if "schema" in entry:
        return instantiate(load_schema(entry["schema"]), entry["seed"])
    nodes = tuple(Node(key, label, properties) for key, label, properties in entry["nodes"])
    ends = (edge if len(edge) == 4 else [*edge, {}] for edge in entry["relationships"])
    return GraphInstance(name, nodes, tuple(Relationship(kind, a, b, values) for a, kind, b, values in ends))


def names_of(graphs: Sequence[GraphInstance]) -> SchemaNames:
    """The labels, types, ends and properties that occur in some graph: the schema that an inline graph has."""
    names = SchemaNames({}, {})
    for graph in graphs:
        labels = {node.key: node.label for node in graph.nodes}
        for node in graph.nodes:
            names.labels.setdefault(node.label, set()).update(node.properties)
        for edge in graph.relationships:
            names.relationships.setdefault(edge.type, set()).update(edge.properties)
            names.ends.add((labels[edge.start], edge.type, labels[edge.end]))
    return names


def verdict(trap: Trap, engine: GraphEngine) -> Verdict:
    """Our evaluation of the trap's answer: it must run and name what there is, and agree on all graphs of the trap."""
    graphs = [load_traps()[1][name] for name in trap.graphs]
    query = query_of(trap.answer)
    faults = name_faults(query, names_of(graphs))
    for step, graph in zip(("EX", *["TS"] * len(graphs)), graphs, strict=False):
        engine.load(graph)
        expected, rows = expectation(trap.gold, engine.run), engine.run(query)
        if isinstance(expected, Refusal):
            raise BadInput(f"the gold is refused ({expected.message})", f"trap {trap.name}", "Correct the gold.")
        if isinstance(rows, Refusal) or faults:
            return Verdict(False, "VA", rows.message if isinstance(rows, Refusal) else faults[0])
        if ignores_graph(trap.gold, query):
            return Verdict(False, "EX", "the answer does not read the graph")
        if not agrees(expected, rows):
            return Verdict(False, step, "another result")
    return Verdict(True)


def fooled(trap: Trap, engine: GraphEngine) -> list[str]:
    """The ordinary evaluations that get the trap wrong: a wrong answer called right, or a right one called wrong."""
    engine.load(load_traps()[1][trap.graphs[0]])
    gold, answer = engine.run(trap.gold), engine.run(trap.answer)
    rows = [result if isinstance(result, Rows) else None for result in (gold, answer)]
    case = Case(trap.gold, trap.answer, *rows, engine.run)
    return [name for name, evaluation in ORDINARY.items() if evaluation(case) != trap.right]


def table(engine: GraphEngine) -> DataFrame:
    """For ours and for each ordinary evaluation: wrong answers accepted, right ones refused, of how many traps."""
    from pandas import DataFrame

    traps = load_traps()[0]
    fallen = {name: [0, 0] for name in ("ours", *ORDINARY)}
    for trap in traps:
        names = fooled(trap, engine)
        if verdict(trap, engine).right != trap.right:
            names.append("ours")
        for name in names:
            fallen[name][trap.right] += 1
    records = [
        {"evaluation": name, "wrong accepted": wrong, "right refused": right, "fallen into": wrong + right}
        for name, (wrong, right) in fallen.items()
    ]
    return DataFrame(records).assign(traps=len(traps))
