"""The whole graph that a write leaves, read as JSON texts: ten times as fast as value by value, and then undone."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from typing import Any

from heimdall_nb.engines.graph import GraphEngine, Refusal, Rows
from heimdall_nb.evaluation.compare import Expectation, agrees
from heimdall_nb.evaluation.execute import MAX_STATE, Executor

_PROBE = "RETURN apoc.convert.toJson([1]) AS text"
_STATE = """
MATCH (n) RETURN apoc.convert.toJson([labels(n), properties(n)]) AS text
UNION ALL
MATCH (a)-[r]->(b)
RETURN apoc.convert.toJson([type(r), properties(r), labels(a), properties(a), labels(b), properties(b)]) AS text
"""


class StateReader:
    """Runs writes on an engine and tells what they leave; an engine without the JSON function is read by `executor`."""

    def __init__(self, engine: GraphEngine, executor: Executor) -> None:
        self.engine, self.executor = engine, executor
        self._has_json = isinstance(engine.run(_PROBE), Rows)

    def after(self, write: str) -> Rows | Refusal:
        """The graph after `write` as rows, one a node or relationship, in an order of their own; the write is undone.

        Two writes are the same when they leave the same rows. A date shows as a number here.
        """
        if not self._has_json:
            return self.executor.write(write)
        state = self.engine.trial(write, _STATE, self.executor.seconds, MAX_STATE)
        if isinstance(state, Refusal):
            return state
        return Rows(("graph",), tuple((text,) for text in sorted(_canonical(row[0]) for row in state.rows)))


def same_state(gold: Rows, answer: Rows) -> bool:
    """Whether two writes left the same graph, floats within the tolerance of `agrees`.

    What both have is taken away first; only the rest is compared value by value.
    """
    if gold.rows == answer.rows:
        return True
    if len(gold.rows) != len(answer.rows) or not isinstance(gold.rows[0][0], str):
        return agrees(Expectation(gold), answer)
    left, right = Counter(gold.rows), Counter(answer.rows)
    rest = (
        Rows(("graph",), tuple((json.loads(text),) for (text,) in (a - b).elements()))
        for a, b in ((left, right), (right, left))
    )
    return agrees(Expectation(next(rest)), next(rest))


@lru_cache(maxsize=20_000)
def _canonical(text: str) -> str:
    """The JSON text with sorted keys and labels; a property that is null is a property that is not there."""
    return json.dumps([_plain(value) for value in json.loads(text)], sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return sorted(value) if isinstance(value, list) else value
