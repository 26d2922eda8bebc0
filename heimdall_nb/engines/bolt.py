"""Any database that speaks Bolt (Neo4j, NornicDB, Memgraph) as a graph engine, through the official `neo4j` driver.

The server is not trusted to refuse what must not happen. NornicDB runs writes in a transaction that was opened for
reading and calls every failure a syntax error; so statements pass our own gate, run in a transaction that is rolled
back, and are cut off by closing the connection where the server does not keep the time limit that it was told.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import textwrap
import threading
import weakref
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from typing import Any
from urllib.parse import urlsplit

import neo4j
from neo4j.exceptions import (
    AuthError,
    BrokenRecordError,
    ConfigurationError,
    DriverError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
)

from heimdall_nb.engines.bolt_values import plain
from heimdall_nb.engines.cypher_cost import exhausting
from heimdall_nb.engines.cypher_gate import refused
from heimdall_nb.engines.cypher_tokens import quoted, tokens
from heimdall_nb.engines.graph import GraphInstance, Refusal, RefusalKind, Rows, instance_faults, present
from heimdall_nb.errors import BadInput, HeimdallError

URI, USER, PASSWORD = "HEIMDALL_BOLT_URI", "HEIMDALL_BOLT_USER", "HEIMDALL_BOLT_PASSWORD"
DATABASE, SCRATCH = "HEIMDALL_BOLT_DATABASE", "HEIMDALL_BOLT_SCRATCH"
SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")

_SLACK = 0.25  # seconds over the limit in which the server may say itself that time is up
_PATIENCE = 60.0  # seconds for what is not a model's statement: load, count
_CONNECT = 5.0  # seconds to reach the server
_AT_ONCE = 50  # relationships that one statement makes: a server may have a time limit of its own
_FETCH = 100  # rows that the server sends at once: between two lots the clock is looked at
_KEY = "heimdall_key"  # property that names a node while a graph is loaded; removed before anyone looks

# Pattern over "code: message", in order. The words come first, because some servers use one code for every failure.
_KINDS: tuple[tuple[str, RefusalKind], ...] = (
    (r"timed? ?out|exceeded the \S*timeout|deadline exceeded|TransactionTerminated|Terminated\b", "timeout"),
    (
        r"out ?of ?memory|memory limit|stack ?overflow|heap space|exceed(s|ing) the maximum|too (large|many|deep)",
        "limit",
    ),
    (r"not idempotent|read[- ]only|AccessMode|Security\.Forbidden|writing in read access", "write"),
    (r"ProcedureNotFound|no procedure|unknown procedure|procedure \S+ not|not supported|unsupported", "engine"),
    (r"Statement\.\w+|Memgraph\.ClientError|Neo\.ClientError\.General", "syntax"),
)
_MISSING_PARAMETER = re.compile(r"ParameterMissing|expected parameter|parameter\S* (is |was )?(missing|not )", re.I)

# The driver reports lost connections here as well; they reach the caller as exceptions.
logging.getLogger("neo4j").setLevel(logging.CRITICAL)


class BoltEngine:
    """A graph engine behind a Bolt address. A context manager.

    HEIMDALL_BOLT_USER and HEIMDALL_BOLT_PASSWORD, where they are set, are used instead of `user` and `password`, and
    HEIMDALL_BOLT_DATABASE names the database where `database` does not. `load` deletes what the database holds, so it
    refuses a database with nodes that this object did not make, unless `scratch` is true (or HEIMDALL_BOLT_SCRATCH is
    "yes"). Raises BadInput when the server is not there or refuses the password.
    """

    def __init__(
        self, uri: str, user: str = "", password: str = "", database: str | None = None, scratch: bool = False
    ) -> None:
        parts = urlsplit(uri)
        self.address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # without what may be a password
        if parts.scheme not in SCHEMES or not parts.hostname or "@" in parts.netloc:
            remedy = f"Write for example bolt://localhost:7687, and set {USER} and {PASSWORD}."
            raise BadInput("this is no address of a Bolt server", self.address, remedy)
        self._database = database or os.environ.get(DATABASE) or None
        self._scratch = scratch or os.environ.get(SCRATCH, "").lower() in ("yes", "true", "1")
        self._made: int | None = None  # nodes that the database holds by our doing
        self._loop = asyncio.new_event_loop()
        # A loop of its own: in a notebook the caller's thread already runs one.
        threading.Thread(target=self._loop.run_forever, name="heimdall-bolt", daemon=True).start()
        user, password = os.environ.get(USER) or user, os.environ.get(PASSWORD) or password
        auth = neo4j.basic_auth(user, password) if user else None
        try:
            self._driver = self._wait(_driver(self.address, auth), 4 * _CONNECT)
        except BaseException:
            _stop(self._loop, None)
            raise
        self._finalizer = weakref.finalize(self, _stop, self._loop, self._driver)

    def __repr__(self) -> str:
        return f"BoltEngine({self.address!r}, database={self._database!r})"

    def __enter__(self) -> BoltEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete what `load` put into the database, and close the connection; a second call does nothing."""
        if not self._finalizer.alive:
            return
        try:
            if self._made and self._count() == self._made:
                self._do([("MATCH (n) DETACH DELETE n", {})])
        except HeimdallError:
            pass  # a server that is gone holds nothing of ours that we could delete
        finally:
            self._finalizer()

    def load(self, graph: GraphInstance) -> None:
        """Replace the contents of the database by `graph`.

        Raises BadInput for a database that holds other nodes (see the class), and for a graph with relationships
        without an end or two nodes with one key; HeimdallError when the server did not store the graph.
        """
        if faults := instance_faults(graph):
            raise BadInput(faults[0], f"graph {graph.name}", "Give each node its own key, and ends that exist.")
        held = self._count()
        if held and held != self._made and not self._scratch:
            remedy = f"Name an empty database by {DATABASE}, or set {SCRATCH}=yes if they may be deleted."
            raise BadInput(f"the database holds {held} nodes that are not ours", self.address, remedy)
        self._do(_loading(graph))
        self._made = self._count()
        ends = self._number("MATCH ()-[r]->() RETURN count(r)")
        if (self._made, ends) != (len(graph.nodes), len(graph.relationships)):
            wanted = f"{len(graph.nodes)} nodes and {len(graph.relationships)} relationships"
            raise HeimdallError(f"{self.address}: of {wanted} the server stored {self._made} and {ends}.")

    def run(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        seconds: float = 2.0,
        max_rows: int = 1000,
        write: bool = False,
    ) -> Rows | Refusal:
        """Run one statement in a transaction that is rolled back, or committed with `write`.

        Raises HeimdallError when the connection is lost, BadInput when the server refuses the password.
        """
        if refusal := refused(query, write) or exhausting(query):
            return refusal
        result = self._limited([(query, parameters or {})], seconds, max_rows, commit=write)
        if write and isinstance(result, Rows) and self._made is not None:
            self._made = self._count()
        return result

    def trial(self, write: str, read: str, seconds: float = 2.0, max_rows: int = 1000) -> Rows | Refusal:
        """What `read` gives after `write`, which is then rolled back; the refusal of either where there is one."""
        if refusal := refused(write, write=True) or refused(read) or exhausting(write) or exhausting(read):
            return refusal
        return self._limited([(write, {}), (read, {})], seconds, max_rows)

    def parse(self, query: str) -> Refusal | None:
        """Check syntax and meaning by EXPLAIN, without running; None for a statement that can run, a write included."""
        if refusal := refused(query, write=True):
            return refusal
        first = tokens(query)[0]
        rest = query[first.start + len(first.text) :] if first.is_word("EXPLAIN", "PROFILE") else query
        result = self._limited([("EXPLAIN " + rest, {})], 5.0, 1)
        if isinstance(result, Rows) or result.kind in ("write", "limit") or _MISSING_PARAMETER.search(result.message):
            return None
        return result

    def _limited(
        self, steps: list[tuple[str, Mapping[str, Any]]], seconds: float, max_rows: int, commit: bool = False
    ) -> Rows | Refusal:
        try:
            return self._wait(self._steps(steps, seconds, max_rows, commit), seconds + _SLACK)
        except TimeoutError:
            return Refusal("timeout", f"The connection was cut after {seconds:g} s.")
        except BrokenRecordError:
            return Refusal("engine", "The result holds a value that the driver cannot represent.")
        except Neo4jError as problem:
            if "DatabaseNotFound" in str(problem.code):
                raise self._no_database() from None
            return _refusal(problem)

    async def _steps(
        self,
        steps: list[tuple[str, Mapping[str, Any]]],
        seconds: float = _PATIENCE,
        max_rows: int = 1000,
        commit: bool = True,
    ) -> Rows | Refusal:
        """The rows of the last of these statements, which share one transaction."""
        mode = neo4j.WRITE_ACCESS if commit or len(steps) > 1 else neo4j.READ_ACCESS
        async with self._driver.session(
            database=self._database, default_access_mode=mode, fetch_size=_FETCH
        ) as session:
            transaction = await session.begin_transaction(timeout=seconds)
            try:
                result: Rows | Refusal = Rows((), ())
                for query, parameters in steps:
                    result = await _rows(await transaction.run(query, dict(parameters)), max_rows)
                    if isinstance(result, Refusal):
                        return result
                if commit:
                    await transaction.commit()
                return result
            finally:
                await transaction.close()  # rolls back what was not committed

    def _count(self) -> int:
        return self._number("MATCH (n) RETURN count(n)")

    def _number(self, query: str) -> int:
        return int(self._do([(query, {})], commit=False).rows[0][0])

    def _do(self, steps: list[tuple[str, Mapping[str, Any]]], commit: bool = True) -> Any:
        """The rows of statements of our own. Raises BadInput for a database that is not there, else HeimdallError."""
        try:
            return self._wait(self._steps(steps, commit=commit), _PATIENCE)
        except TimeoutError:
            raise HeimdallError(f"{self.address}: the server did not answer within {_PATIENCE:g} s.") from None
        except Neo4jError as problem:
            if "DatabaseNotFound" in str(problem.code):
                raise self._no_database() from None
            what = textwrap.shorten(str(problem.message), 160, placeholder=" …")
            raise HeimdallError(f"{self.address}: the server refuses to load or count: {what}") from None

    def _no_database(self) -> BadInput:
        return BadInput(
            f"there is no database {self._database or 'of the default name'}", self.address, f"Set {DATABASE}."
        )

    def _wait(self, work: Coroutine[Any, Any, Any], seconds: float) -> Any:
        """What `work` returns. Cancelled at its limit, which closes its connection. Raises TimeoutError, Neo4jError."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop)
        try:
            return future.result()
        except AuthError:
            remedy = f"Set {USER} and {PASSWORD} to an account of this server."
            raise BadInput("the server refuses the user name or the password", self.address, remedy) from None
        except (ServiceUnavailable, SessionExpired, ConfigurationError, OSError) as problem:
            if isinstance(problem, TimeoutError):
                raise
            if not hasattr(self, "_driver"):
                remedy = "Start the server, or name another address."
                raise BadInput("no Bolt server answers here", self.address, remedy) from None
            raise HeimdallError(f"{self.address}: the connection to the server was lost.") from None
        except BrokenRecordError:
            raise
        except DriverError as problem:
            raise HeimdallError(f"{self.address}: the driver gave up ({type(problem).__name__}).") from None


async def _driver(address: str, auth: neo4j.Auth | None) -> neo4j.AsyncDriver:
    driver = neo4j.AsyncGraphDatabase.driver(
        address,
        auth=auth,
        max_connection_pool_size=4,
        connection_timeout=_CONNECT,
        connection_acquisition_timeout=2 * _CONNECT,
        max_transaction_retry_time=0,
    )
    try:
        await driver.verify_connectivity()
    except BaseException:
        await driver.close()
        raise
    return driver


async def _rows(result: neo4j.AsyncResult, max_rows: int) -> Rows | Refusal:
    rows = []
    async for record in result:
        if len(rows) >= max_rows:
            return Refusal("limit", f"The result has more than {max_rows} rows.")
        rows.append(tuple(plain(value) for value in record.values()))
    return Rows(tuple(result.keys()) if rows else (), tuple(rows))


def _stop(loop: asyncio.AbstractEventLoop, driver: neo4j.AsyncDriver | None) -> None:
    async def end() -> None:
        if driver is not None:
            await driver.close()
        loop.call_soon(loop.stop)

    if loop.is_running():
        asyncio.run_coroutine_threadsafe(end(), loop)


def _loading(graph: GraphInstance) -> list[tuple[str, dict[str, Any]]]:
    """The statements that replace what the database holds by `graph`."""
    nodes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    ends: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    labels = {node.key: node.label for node in graph.nodes}
    for node in graph.nodes:
        nodes[node.label].append({"properties": {**present(node.properties), _KEY: node.key}})
    for item in graph.relationships:
        row = {"start": item.start, "end": item.end, "properties": present(item.properties)}
        ends[(item.type, labels[item.start], labels[item.end])].append(row)
    steps: list[tuple[str, dict[str, Any]]] = [("MATCH (n) DETACH DELETE n", {})]
    for label, rows in nodes.items():
        steps.append((f"UNWIND $rows AS row CREATE (n:{quoted(label)}) SET n = row.properties", {"rows": rows}))
    for (kind, start, end), rows in ends.items():
        query = (
            f"UNWIND $rows AS row MATCH (a:{quoted(start)} {{{_KEY}: row.start}}) "
            f"MATCH (b:{quoted(end)} {{{_KEY}: row.end}}) "
            f"CREATE (a)-[r:{quoted(kind)}]->(b) SET r = row.properties"
        )
        steps += [(query, {"rows": rows[k : k + _AT_ONCE]}) for k in range(0, len(rows), _AT_ONCE)]
    return [*steps, (f"MATCH (n) REMOVE n.{_KEY}", {})]


def _refusal(problem: Neo4jError) -> Refusal:
    text = f"{problem.code}: {problem.message}"
    kind = next((kind for pattern, kind in _KINDS if re.search(pattern, text, re.IGNORECASE)), "engine")
    return Refusal(kind, textwrap.shorten(str(problem.message), 200, placeholder=" …"))
