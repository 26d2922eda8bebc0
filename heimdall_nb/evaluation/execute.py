"""Running gold queries and answers on the same graph. A read results in rows, a write in the graph that it leaves."""

from __future__ import annotations

from collections.abc import Callable

from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal, Rows

MAX_STATE = 100_000  # rows of a graph's state

_NODES = "MATCH (n) RETURN labels(n) AS labels, properties(n) AS properties"
_RELATIONSHIPS = """
MATCH (a)-[r]->(b)
RETURN labels(a) AS start_labels, properties(a) AS start, type(r) AS type, properties(r) AS properties,
       labels(b) AS end_labels, properties(b) AS end
"""


class Executor:
    """Loads each graph once and runs statements on it; after a write that changed it, the graph is loaded again."""

    def __init__(
        self,
        engine: GraphEngine,
        instance_of: Callable[[str], GraphInstance],
        seconds: float = 2.0,
        max_rows: int = 1000,
    ) -> None:
        self.engine, self.instance_of, self.seconds, self.max_rows = engine, instance_of, seconds, max_rows
        self.graph = ""

    def use(self, graph: str) -> bool:
        """Load `graph` unless it is loaded; true when it was not."""
        if graph == self.graph:
            return False
        self.engine.load(self.instance_of(graph))
        self.graph = graph
        return True

    def read(self, query: str) -> Rows | Refusal:
        """The rows of a read; a write is refused."""
        return self.engine.run(query, seconds=self.seconds, max_rows=self.max_rows)

    def write(self, query: str) -> Rows | Refusal:
        """The whole graph after `query`, as rows: two writes are the same when they leave the same graph."""
        result = self.engine.run(query, seconds=self.seconds, max_rows=self.max_rows, write=True)
        if isinstance(result, Refusal):
            return result
        try:
            return self._state()
        finally:
            self.engine.load(self.instance_of(self.graph))

    def _state(self) -> Rows | Refusal:
        records: list[tuple[dict[str, object]]] = []
        for query in (_NODES, _RELATIONSHIPS):
            part = self.engine.run(query, seconds=60, max_rows=MAX_STATE)
            if isinstance(part, Refusal):
                return part
            records += [(dict(zip(part.columns, map(_plain, row), strict=True)),) for row in part.rows]
        return Rows(("graph",), tuple(records))


def _plain(value: object) -> object:
    """A property that is null is a property that is not there; labels have no order."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return sorted(value) if isinstance(value, list) else value
