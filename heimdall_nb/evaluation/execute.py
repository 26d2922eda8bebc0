"""Running gold queries and answers on the same graph. A read results in rows, a write in the graph that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal, Rows

MAX_STATE = 100_000  # rows of a graph's state

# Both halves have the same columns, so that one statement reads the whole graph while a write can still be undone.
_STATE = """
MATCH (n)
RETURN labels(n) AS labels, properties(n) AS properties, null AS type, null AS start, null AS end
UNION ALL
MATCH (a)-[r]->(b)
RETURN null AS labels, properties(r) AS properties, type(r) AS type,
       [labels(a), properties(a)] AS start, [labels(b), properties(b)] AS end
"""


class Executor:
    """Loads each graph once and runs statements on it; a write is undone after its effect was read."""

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
        """The whole graph after `query`, as rows: two writes are the same when they leave the same graph.

        The write is undone, so the graph stays as it was.
        """
        state = self.engine.trial(query, _STATE, self.seconds, MAX_STATE)
        if isinstance(state, Refusal):
            return state
        return Rows(("graph",), tuple((_record(state.columns, row),) for row in state.rows))

    def result(self, query: str, write: bool) -> Rows | Refusal:
        """The graph that a write leaves, or the rows of a read."""
        return self.write(query) if write else self.read(query)


def _record(columns: Sequence[str], row: Sequence[object]) -> dict[str, object]:
    return {name: _plain(value) for name, value in zip(columns, row, strict=True) if value is not None}


def _plain(value: object) -> object:
    """A property that is null is a property that is not there; labels have no order."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    if isinstance(value, list) and value and isinstance(value[0], list):
        return [_plain(item) for item in value]  # an end of a relationship: [labels, properties]
    return sorted(value) if isinstance(value, list) else value
