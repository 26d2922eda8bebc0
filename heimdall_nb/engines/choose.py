"""Which engine an address means."""

from __future__ import annotations

import os

from heimdall_nb.engines.graph import GraphEngine
from heimdall_nb.engines.sql import Database, SqlEngine
from heimdall_nb.errors import BadInput

URI = "HEIMDALL_BOLT_URI"


def graph_engine(uri: str = "") -> GraphEngine:
    """The embedded ArcadeDB for "", a BoltEngine for bolt://… or neo4j://….

    Without `uri`, HEIMDALL_BOLT_URI names the server where it is set. Raises BadInput when there is no server.
    """
    uri = uri or os.environ.get(URI, "")
    if not uri:
        from heimdall_nb.engines.arcadedb import ArcadeDB

        return ArcadeDB()
    try:
        from heimdall_nb.engines.bolt import BoltEngine
    except ModuleNotFoundError as problem:
        if problem.name != "neo4j":
            raise
        raise BadInput("the Bolt driver is not installed", "neo4j", "Run: pip install 'neo4j>=6,<7'") from None
    return BoltEngine(uri)


def sql_engine(address: str = "", database: Database | None = None) -> SqlEngine:
    """The embedded SQLite for "", a private MariaDB for "private", a server for mysql://…; with `database` loaded.

    Without `address` the environment may name a server (`sql_connect.target`). A server is read as it is where
    `database` is None. Raises BadInput when there is no server.
    """
    from heimdall_nb.engines.mariadb import MariaDB
    from heimdall_nb.engines.sql_connect import target
    from heimdall_nb.engines.sqlite import SQLite

    return MariaDB(database, address) if address or target() else SQLite(database)
