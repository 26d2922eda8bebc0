"""Do the queries of invented schemas run? Each schema gets a small graph, and each query is run on it.

A database that held one graph after the other would keep the types of all: a label that is a relationship type
elsewhere could not be made, rows would come in an order that depends on what was there before, and each load would
take longer. So each graph gets a new database, in memory where the machine has a folder there: a third of the time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.graphs import GraphSchema, instantiate
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal, Rows
from heimdall_nb.errors import BadInput

SECONDS = 10.0  # for one query: long, so that a busy machine refuses none
_MEMORY = Path("/dev/shm")  # Linux keeps what is here in memory
_ROOM = 64 * 2**20  # bytes that must be free there; a database of 60 nodes takes one MiB


class FreshArcadeDB:
    """An engine whose `load` begins a new, empty ArcadeDB. Usable as a context manager; close removes everything.

    Raises BadInput when the package or its Java runtime is missing, or when a query comes before the first `load`.
    """

    def __init__(self) -> None:
        roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
        self._folder = tempfile.TemporaryDirectory(prefix="heimdall-fresh-", dir=_MEMORY if roomy else None)
        self._loaded: ArcadeDB | None = None
        self._count = 0

    def __enter__(self) -> FreshArcadeDB:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _engine(self) -> ArcadeDB:
        if self._loaded is None:
            raise BadInput("no graph is loaded", "FreshArcadeDB", "Call load first.")
        return self._loaded

    def load(self, graph: GraphInstance) -> None:
        """Forget the database there was, and load `graph` into a new one. Raises BadInput as ArcadeDB does."""
        self._forget()
        self._count += 1
        self._loaded = ArcadeDB(self._place)
        self._loaded.load(graph)

    def run(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        seconds: float = 2.0,
        max_rows: int = 1000,
        write: bool = False,
    ) -> Rows | Refusal:
        """Run one statement, as ArcadeDB does."""
        return self._engine.run(query, parameters, seconds, max_rows, write)

    def trial(self, write: str, read: str, seconds: float = 2.0, max_rows: int = 1000) -> Rows | Refusal:
        """What `read` gives after `write`, which is then undone."""
        return self._engine.trial(write, read, seconds, max_rows)

    def close(self) -> None:
        """Close the database and remove its folder; a second call does nothing."""
        self._forget()
        self._folder.cleanup()

    @property
    def _place(self) -> Path:
        return Path(self._folder.name) / str(self._count)

    def _forget(self) -> None:
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None
            shutil.rmtree(self._place, ignore_errors=True)


def runs(
    schema: GraphSchema, queries: Sequence[str], engine: GraphEngine, seed: int, nodes: int = 40
) -> list[Rows | Refusal]:
    """What each of `queries` gives on a graph of about `nodes` nodes; a write is undone, and gives the row (1).

    A Refusal means that the query does not run. Raises BadInput for fewer nodes than labels.
    """
    engine.load(instantiate(schema, seed, nodes))
    return [
        engine.trial(query, "RETURN 1 AS one", SECONDS) if writes(query) else engine.run(query, seconds=SECONDS)
        for query in queries
    ]
