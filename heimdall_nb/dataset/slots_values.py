"""Where the literals of a template come from: a graph instance, or a property's own pool; and how they are written."""

from __future__ import annotations

import datetime
import random
from collections.abc import Mapping
from typing import Any, Protocol

from heimdall_nb.dataset.graphs import Property
from heimdall_nb.engines.graph import GraphInstance

Ends = tuple[Mapping[str, Any], Mapping[str, Any]]  # the properties of a relationship's start and end node


def plain(value: Any) -> Any:
    """A property value as an engine returns it: dates as ISO text."""
    return value.isoformat() if isinstance(value, datetime.date) else value


def literal(value: Any) -> str:
    """A value as a Cypher literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date):
        return f"date('{value.isoformat()}')"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)


class Values(Protocol):
    """Where literals come from."""

    def pool(self, owner: str, prop: Property, rng: random.Random) -> list[Any]:
        """Some values of a property, sorted and distinct."""
        ...

    def ends(self, kind: str) -> list[Ends]:
        """The properties of both ends of each relationship of a type; empty where there is no graph."""
        ...


class InstanceValues:
    """The values that a graph instance holds, so that a query about them finds something."""

    def __init__(self, graph: GraphInstance) -> None:
        found: dict[tuple[str, str], set[Any]] = {}
        items = [(n.label, n.properties) for n in graph.nodes] + [(r.type, r.properties) for r in graph.relationships]
        for owner, properties in items:
            for name, value in properties.items():
                found.setdefault((owner, name), set()).add(value)
        self._values = {key: sorted(values) for key, values in found.items()}
        nodes = {node.key: node.properties for node in graph.nodes}
        self._ends: dict[str, list[Ends]] = {}
        for item in graph.relationships:
            self._ends.setdefault(item.type, []).append((nodes[item.start], nodes[item.end]))

    def pool(self, owner: str, prop: Property, rng: random.Random) -> list[Any]:
        return self._values.get((owner, prop.name), [])

    def ends(self, kind: str) -> list[Ends]:
        return self._ends.get(kind, [])


class SampledValues:
    """Values drawn from a property's own pool or range, with no graph behind them."""

    def pool(self, owner: str, prop: Property, rng: random.Random) -> list[Any]:
        return sorted({prop.sample(rng) for _ in range(4)})

    def ends(self, kind: str) -> list[Ends]:
        return []
