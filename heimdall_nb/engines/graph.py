"""What every graph engine answers to, and what a query can come back with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

RefusalKind = Literal["syntax", "schema", "write", "timeout", "limit", "engine"]


@dataclass(frozen=True)
class Rows:
    """A result: column names, and rows of plain values (None, bool, int, float, str, list, dict; dates as ISO text)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Refusal:
    """A query that gave no result. `engine` marks a gap of the engine itself, which is not the model's error."""

    kind: RefusalKind
    message: str


@dataclass(frozen=True)
class Node:
    """A node of a graph instance; `key` is unique within the instance and is not a property."""

    key: int
    label: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Relationship:
    """A directed relationship between two nodes, named by their keys."""

    type: str
    start: int
    end: int
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphInstance:
    """The contents of one graph: what `GraphEngine.load` puts into an empty database."""

    name: str
    nodes: Sequence[Node]
    relationships: Sequence[Relationship]


def instance_faults(graph: GraphInstance) -> list[str]:
    """What makes `graph` impossible to load: two nodes with one key, relationships without an end."""
    keys = [node.key for node in graph.nodes]
    known = set(keys)
    faults = ["two nodes have one key"] if len(known) < len(keys) else []
    ends = ((r, key) for r in graph.relationships for key in (r.start, r.end))
    return faults + [f"relationship {r.type} has an end {key} that is no node" for r, key in ends if key not in known]


def present(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that are not null: in a graph, a property that is null is one that is not there."""
    return {name: value for name, value in properties.items() if value is not None}


class GraphEngine(Protocol):
    """A database that runs Cypher: read-only unless asked, limited in time and rows."""

    def load(self, graph: GraphInstance) -> None:
        """Replace the contents of the database by `graph`."""
        ...

    def run(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        seconds: float = 2.0,
        max_rows: int = 1000,
        write: bool = False,
    ) -> Rows | Refusal:
        """Run one statement. A write is refused unless `write` is true; past a limit the answer is a Refusal."""
        ...

    def trial(self, write: str, read: str, seconds: float = 2.0, max_rows: int = 1000) -> Rows | Refusal:
        """What `read` gives after `write`, which is then undone: the database is as it was before."""
        ...

    def close(self) -> None:
        """Free the database."""
        ...
