"""ArcadeDB in this process: the default graph engine. Its wheel holds a Java runtime; nothing else is installed.

The Java machine starts with the first instance and lives as long as the process: it can neither be started twice nor
survive a fork, so parallel work uses spawned processes.
"""

from __future__ import annotations

import shutil
import tempfile
import textwrap
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from heimdall_nb.engines.cypher_gate import MAX_LENGTH, refused
from heimdall_nb.engines.cypher_tokens import loads_files, tokens, writes
from heimdall_nb.engines.graph import GraphInstance, Refusal, RefusalKind, Rows, instance_faults, present
from heimdall_nb.engines.java_machine import open_database
from heimdall_nb.engines.java_values import Converter, TooLarge
from heimdall_nb.engines.java_worker import Failed, Stopped, Worker
from heimdall_nb.errors import BadInput

# Java's own exception name -> what the refusal is called. What is not listed is a gap of the engine.
_KINDS: dict[str, RefusalKind] = {
    "CommandParsingException": "syntax",
    "CommandSemanticException": "syntax",
    "CommandParameterMissingException": "syntax",
    "ArithmeticErrorException": "syntax",
    "TimeoutException": "timeout",
    "OutOfMemoryError": "limit",
    "StackOverflowError": "limit",
    "RegexTimeoutException": "timeout",
}
_LIMITS = {"OutOfMemoryError", "StackOverflowError", "RegexTimeoutException", "TimeoutException"}
_SLACK = 0.15  # seconds over the limit in which the engine may say itself that time is up
_PARSE = 5.0  # seconds for a check without running
_START = 60.0  # seconds for what a statement's limit does not count: the first one, begin, rollback


class ArcadeDB:
    """A graph database in a folder: `path`, or a temporary one that is removed at close. Usable as a context manager.

    Raises BadInput when the package or its Java runtime is missing.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        folder = Path(tempfile.mkdtemp(prefix="heimdall-arcadedb-")) if path is None else None
        try:
            self._database = open_database(Path(path) if path is not None else folder / "graph")
        except BaseException:
            _dispose(None, folder)
            raise
        import jpype

        self._worker = Worker(jpype)
        # Runs at close, when the object is forgotten, or when the process ends: whatever comes first.
        self._finalizer = weakref.finalize(self, _dispose, self._database, folder, self._worker)
        self._java = self._database.get_java_database()
        self._timeout = jpype.JClass("com.arcadedb.GlobalConfiguration").COMMAND_TIMEOUT
        self._hash_map = jpype.JClass("java.util.HashMap")
        self._none = jpype.JArray(jpype.JObject)([])
        self._jpype = jpype
        self._to_python = Converter(jpype)
        self._make_calls()
        self._fetch(self._query, "RETURN 1", self._hash_map(), _START, 1)  # loads classes, which takes a while

    def __enter__(self) -> ArcadeDB:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and remove its temporary folder; a second call does nothing."""
        self._finalizer()

    def _make_calls(self) -> None:
        database = self._jpype.JClass("com.arcadedb.database.Database")
        results = self._jpype.JClass("com.arcadedb.query.sql.executor.ResultSet")
        stream = self._jpype.JClass("java.util.stream.Stream")
        rows = [(results, "stream", ()), (stream, "limit", ("long",)), (stream, "toList", ())]
        method, arguments = self._worker.method, ("String", "String", "Map")
        steps = [method(*row) for row in rows]
        self._query = self._worker.chain(method(database, "query", arguments), *steps)
        self._command = self._worker.chain(method(database, "command", arguments), *steps)
        self._begin, self._commit, self._rollback = (method(database, n, ()) for n in ("begin", "commit", "rollback"))
        self._long = self._jpype.JClass("java.lang.Long").valueOf

    def load(self, graph: GraphInstance) -> None:
        """Replace the contents of the database by `graph`. `datetime.date` values become Cypher dates.

        Raises BadInput for a relationship to a node that the graph does not have, or two nodes with one key.
        """
        faults = instance_faults(graph)
        if faults:
            raise BadInput(faults[0], f"graph {graph.name}", "Give each node its own key, and ends that exist.")
        self._clear()
        self._make_types(graph)
        self._java.begin()
        try:
            vertices = {}
            for node in graph.nodes:
                vertex = self._java.newVertex(node.label)
                vertex.set(self._properties(present(node.properties)))
                vertex.save()
                vertices[node.key] = vertex
            for relationship in graph.relationships:
                start, end = vertices[relationship.start], vertices[relationship.end]
                edge = start.newEdge(relationship.type, end, self._none)
                if relationship.properties:
                    edge.set(self._properties(present(relationship.properties)))
                    edge.save()
            self._java.commit()
        except BaseException:
            self._java.rollback()
            raise

    def _clear(self) -> None:
        # Dropping a type deletes its files, which takes 100 ms and more; deleting its records takes one or two.
        self._java.begin()
        try:
            for item in self._java.getSchema().getTypes():
                name = str(item.getName())
                if self._is_vertex(item) and self._java.countType(name, False):
                    self._database.command("sql", f"DELETE FROM `{_sql_name(name)}`")
            self._java.commit()
        except BaseException:
            self._java.rollback()
            raise

    def _is_vertex(self, item: Any) -> bool:
        return isinstance(item, self._jpype.JClass("com.arcadedb.schema.VertexType"))

    def _make_types(self, graph: GraphInstance) -> None:
        schema = self._java.getSchema()
        for label in sorted({node.label for node in graph.nodes}):
            if not schema.existsType(label):
                schema.createVertexType(label, 1)
        for name in sorted({relationship.type for relationship in graph.relationships}):
            if not schema.existsType(name):
                schema.createEdgeType(name, 1)

    def _properties(self, values: Mapping[str, Any]) -> Any:
        from arcadedb_embedded import convert_python_to_java

        converted = self._hash_map()
        for name, value in values.items():
            plain = value is None or isinstance(value, (bool, int, float, str))
            converted.put(name, value if plain else convert_python_to_java(value))
        return converted

    def run(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        seconds: float = 2.0,
        max_rows: int = 1000,
        write: bool = False,
    ) -> Rows | Refusal:
        """Run one statement: through the read-only path, or with `write` in a transaction of its own.

        A statement that fails while it is evaluated (division by zero, text that is no date) is refused as `syntax`,
        like one that does not parse.
        """
        if refusal := refused(query, write):
            return refusal
        self._limit(seconds)
        arguments = self._properties(parameters or {})
        if not write:
            return self._read(self._query, query, arguments, seconds, max_rows)
        self._worker.call(self._begin, (self._java,), _START)
        result = self._read(self._command, query, arguments, seconds, max_rows)
        if isinstance(result, Refusal):
            self._undo()
            return result
        try:
            self._worker.call(self._commit, (self._java,), _START)
        except Failed as problem:
            return _refusal(problem.cause, query)
        return result

    def trial(self, write: str, read: str, seconds: float = 2.0, max_rows: int = 1000) -> Rows | Refusal:
        """What `read` gives after `write`, which is then rolled back; the refusal of either where there is one."""
        if refusal := refused(write, write=True) or refused(read):
            return refusal
        self._limit(seconds)
        self._worker.call(self._begin, (self._java,), _START)
        try:
            written = self._read(self._command, write, self._hash_map(), seconds, max_rows)
            if isinstance(written, Refusal):
                return written
            return self._read(self._query, read, self._hash_map(), seconds, max_rows)
        finally:
            self._undo()

    def _undo(self) -> None:
        if self._java.isOpen():
            with suppress(Failed):  # a thread that was left behind takes its transaction with it
                self._worker.call(self._rollback, (self._java,), _START)

    def _limit(self, seconds: float) -> None:
        self._java.getConfiguration().setValue(self._timeout, self._jpype.JLong(max(1, round(1000 * seconds))))

    def _fetch(self, call: Any, query: str, arguments: Any, seconds: float, max_rows: int) -> Any:
        """At most one row more than `max_rows`, as a Java list. Raises Stopped, Failed."""
        return self._worker.call(call, (self._java, "opencypher", query, arguments, self._long(max_rows + 1)), seconds)

    def _read(self, call: Any, query: str, arguments: Any, seconds: float, max_rows: int) -> Rows | Refusal:
        columns: tuple[str, ...] = ()
        rows: list[tuple[Any, ...]] = []
        try:
            records = self._fetch(call, query, arguments, seconds + _SLACK, max_rows)
            if len(records) > max_rows:
                return Refusal("limit", f"The result has more than {max_rows} rows.")
            self._to_python.start(seconds)
            for record in records:
                columns = columns or tuple(str(name) for name in record.getPropertyNames())
                rows.append(tuple(self._to_python(record.getProperty(name)) for name in columns))
        except Stopped:
            return Refusal("timeout", f"The statement was stopped after {seconds:g} s.")
        except TooLarge as problem:
            return Refusal("limit", str(problem))
        except Failed as problem:
            return _refusal(problem.cause, query)
        except self._jpype.JException as problem:  # a value that could not be read
            return _refusal(problem, query)
        return Rows(columns, tuple(rows))

    def parse(self, query: str) -> Refusal | None:
        """Check syntax and meaning without running: undefined variables and unknown functions are found, names are not.

        Returns None for a statement that can run; a write is no fault here.
        """
        if refusal := _gate(query):
            return refusal
        first = tokens(query)[0]
        rest = query[first.start + len(first.text) :] if first.is_word("EXPLAIN", "PROFILE") else query
        try:
            self._fetch(self._query, "EXPLAIN " + rest, self._hash_map(), _PARSE, 1)
        except Stopped:
            return Refusal("timeout", f"The statement was not understood within {_PARSE:g} s.")
        except Failed as problem:
            refusal = _refusal(problem.cause, query)
            missing = "CommandParameterMissingException" in str(type(problem.cause))  # EXPLAIN has no values to give
            return None if missing or (refusal.kind == "write") else refusal
        return None


def _dispose(database: Any, folder: Path | None, worker: Worker | None = None) -> None:
    if database is not None:
        import jpype

        if jpype.isJVMStarted() and database.is_open():  # at the end of the process the Java machine stops first
            if worker is not None:
                worker.close()
            database.close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _gate(query: str) -> Refusal | None:
    if not tokens(query):
        return Refusal("syntax", "The query is empty.")
    if len(query) > MAX_LENGTH:
        return Refusal("limit", f"The statement has {len(query)} characters, more than {MAX_LENGTH}.")
    if loads_files(query):
        return Refusal("write", "LOAD CSV reads files and addresses, and is not allowed.")
    return None


def _sql_name(name: str) -> str:
    return name.replace("\\", "\\\\").replace("`", "\\`")


def _refusal(problem: Any, query: str) -> Refusal:
    name = str(problem.getClass().getSimpleName())
    text = textwrap.shorten(str(problem.getMessage() or name), 200, placeholder=" …")
    if name == "QueryNotIdempotentException":
        if writes(query):
            return Refusal("write", "The statement writes; only reads are allowed.")
        return Refusal("engine", "A procedure or function of this statement is not known to the engine, or it writes.")
    if "exceeding the maximum" in text or "exceeds the maximum" in text:
        return Refusal("limit", text)
    return Refusal(
        next((_KINDS[cause] for cause in _causes(problem) if cause in _LIMITS), _KINDS.get(name, "engine")), text
    )


def _causes(problem: Any) -> list[str]:
    """Simple class names of an exception and of what caused it."""
    names: list[str] = []
    while problem is not None and len(names) < 20:
        names.append(str(problem.getClass().getSimpleName()))
        problem = problem.getCause()
    return names
