"""Running gold queries and answers on the same graph. A read results in rows, a write in the graph that it leaves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal, Rows
from heimdall_nb.evaluation.compare import Expectation, agrees, expectation

MAX_STATE = 100_000  # rows of a graph's state

_PROBE = "RETURN apoc.convert.toJson([1]) AS text"
# A graph read as JSON texts takes a tenth of the time of one read value by value.
_AS_JSON = """
MATCH (n) RETURN apoc.convert.toJson([labels(n), properties(n)]) AS state
UNION ALL
MATCH (a)-[r]->(b)
RETURN apoc.convert.toJson([type(r), properties(r), labels(a), properties(a), labels(b), properties(b)]) AS state
"""
_AS_VALUES = """
MATCH (n) RETURN [labels(n), properties(n)] AS state
UNION ALL
MATCH (a)-[r]->(b)
RETURN [type(r), properties(r), labels(a), properties(a), labels(b), properties(b)] AS state
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
        """The whole graph after `query`: a JSON text for each node and relationship, sorted. The write is undone.

        Two writes are the same when `same_state` says so of what they leave.
        """
        state = self.engine.trial(query, _AS_JSON if self._has_json else _AS_VALUES, self.seconds, MAX_STATE)
        if isinstance(state, Refusal):
            return state
        texts = (row[0] if self._has_json else json.dumps(row[0]) for row in state.rows)
        return Rows(("graph",), tuple((text,) for text in sorted(map(_canonical, texts))))

    def result(self, query: str, write: bool) -> Rows | Refusal:
        """The graph that a write leaves, or the rows of a read."""
        return self.write(query) if write else self.read(query)

    def expected(self, gold: str) -> Expectation | Refusal:
        """What a right answer to `gold` must give on the loaded graph: rows, or the graph that a write leaves."""
        if not writes(gold):
            return expectation(gold, self.read)
        state = self.write(gold)
        return state if isinstance(state, Refusal) else Expectation(state)

    @cached_property
    def _has_json(self) -> bool:
        return isinstance(self.engine.run(_PROBE), Rows)


def right(gold: str, expected: Expectation, result: Rows) -> bool:
    """Whether `result` is what `gold` expects: the same rows, or the same graph where `gold` writes."""
    return same_state(expected.rows, result) if writes(gold) else agrees(expected, result)


def same_state(gold: Rows, answer: Rows) -> bool:
    """Whether two writes left the same graph, floats within the tolerance of `agrees`.

    What both have is taken away first; only the rest is compared value by value.
    """
    if gold.rows == answer.rows:
        return True
    if len(gold.rows) != len(answer.rows):
        return False
    left, right = Counter(gold.rows), Counter(answer.rows)
    return agrees(Expectation(_values(left - right)), _values(right - left))


def _values(states: Counter[tuple[Any, ...]]) -> Rows:
    return Rows(("graph",), tuple((json.loads(text),) for (text,) in states.elements()))


@lru_cache(maxsize=20_000)
def _canonical(text: str) -> str:
    """The JSON text with sorted keys and labels; a property that is null is a property that is not there."""
    return json.dumps([_plain(value) for value in json.loads(text)], sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return sorted(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
