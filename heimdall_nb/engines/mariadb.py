"""MySQL SELECTs on a MariaDB or MySQL server, through PyMySQL and SQLAlchemy: a private server, or one of the user's.

What a model writes passes the gate first. Then it runs in a session that may only read, on a private server as an
account with SELECT alone. Time is limited twice: the server is told the limit, and a watch on this side ends the
statement by KILL QUERY where the server does not keep it (`SET STATEMENT max_statement_time=… FOR …` raises the
server's limit from within a statement; the gate refuses it, and the watch does not depend on that).
"""

from __future__ import annotations

import logging
import os
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any

import pymysql
import sqlalchemy
from sqlglot import exp

from heimdall_nb.engines import sql_connect
from heimdall_nb.engines.graph import Refusal, RefusalKind, Rows
from heimdall_nb.engines.mariadb_load import drop_tables, fill, names_of_tables, quoted, refuse_long_rows
from heimdall_nb.engines.mariadb_server import LONGEST, PrivateServer
from heimdall_nb.engines.mariadb_statement import Statement
from heimdall_nb.engines.mysql_functions import KNOWN
from heimdall_nb.engines.sql import Database
from heimdall_nb.engines.sql_connect import Target
from heimdall_nb.engines.sql_gate import server_gate
from heimdall_nb.errors import BadInput, HeimdallError

PRIVATE = "private"  # the address that always means a server of our own
SCRATCH = "HEIMDALL_SQL_SCRATCH"
READER = "reader"  # the account of a private server that may only SELECT

# The same settings on every server, so that a result does not depend on its configuration. Quotients and averages get
# ten more decimals than their operands (four by default): two servers then agree within the tolerance of comparison.
_SESSION = (
    "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', div_precision_increment = 10, "
    "group_concat_max_len = 1000000, time_zone = '+00:00'"
)
# Error numbers of MariaDB and MySQL; the others are faults of the statement.
_KINDS: dict[RefusalKind, set[int]] = {
    "schema": {1046, 1049, 1051, 1052, 1054, 1060, 1066, 1109, 1146, 1305, 1370, 1630},
    "write": {1044, 1142, 1143, 1227, 1290, 1792, 1568, 1836},
    "timeout": {1028, 1205, 1317, 1969, 3024},
    "limit": {1038, 1041, 1104, 1114, 1116, 1118, 1135, 1153, 1301, 1436, 1456, 3, 28},
    "engine": {1235, 4078},
}
_LOST = {0, 2003, 2006, 2013, 2014, 2055, 1053, 1080, 1158, 1159, 1160, 1161, 1927}
_SYSTEM = ("mysql", "sys", "information_schema", "performance_schema")
_MAY_WRITE = re.compile(r"\b(ALL PRIVILEGES|INSERT|UPDATE|DELETE|DROP|CREATE|ALTER|FILE|SUPER)\b", re.IGNORECASE)


class MariaDB:
    """A SQL engine behind a MariaDB or MySQL server. A context manager.

    The server is the one of `address` (a URL), of HEIMDALL_SQL_URL, or of Cloud SQL's variables (`sql_connect.target`);
    where none is named, and for the address "private", a server of our own is started. `today` is what CURDATE() and
    NOW() return; "" leaves the server's clock.

    On a server of the user's, statements read what is there, and `load` replaces the tables of the database that the
    address names. So `load` refuses a database with tables that this object did not make, unless `scratch` is true (or
    HEIMDALL_SQL_SCRATCH is "yes"). Raises BadInput when the server is not there, refuses us, or does not start.
    """

    def __init__(
        self,
        database: Database | None = None,
        address: str = "",
        today: str = "2005-06-01",
        scratch: bool = False,
    ) -> None:
        self.today = today and date.fromisoformat(today).isoformat()
        self._scratch = scratch or os.environ.get(SCRATCH, "").lower() in ("yes", "true", "1")
        self._loaded: Database | None = None
        self._ours = False  # whether the tables of the database are our doing
        to = None if address == PRIVATE else sql_connect.target(address)
        self.server = PrivateServer() if to is None else None
        self._writer = to or Target(socket=self.server.socket, user="root")
        self._reader: sqlalchemy.Engine | None = None
        self._finalizer = weakref.finalize(self, lambda: None)
        try:
            if to is not None:
                self._open(to)
                self._warn_of_rights()
            if database is not None:
                self.load(database)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The database that statements read; "" before `load` on a private server."""
        return self._loaded.name if self.server and self._loaded else self._writer.database

    def __repr__(self) -> str:
        return f"MariaDB({'private' if self.server else self._writer.shown!r})"

    def __enter__(self) -> MariaDB:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, database: Database) -> None:
        """Replace the contents by `database`.

        Raises BadInput for rows that the tables do not take, for a foreign key that points nowhere, and for a database
        with tables that are not ours (see the class); HeimdallError when the connection is lost.
        """
        before, self._loaded = self._loaded, None  # what it holds after a failure is not known
        same = before is not None and (before.name, before.tables) == (database.name, database.tables)
        with self._writing(database.name) as connection:
            if self.server:
                refuse_long_rows(database, LONGEST)
                if not same:
                    self._make(connection.cursor(), database.name)
                connection.dbapi_connection.select_db(database.name)
            elif not self._ours:
                self._refuse_foreign(connection.cursor())
            self._ours = True
            fill(connection, database, same)
        self._loaded = database
        if self.server and not same:
            self._open(Target(socket=self.server.socket, user=READER, database=database.name))

    def run(self, query: str, seconds: float = 2.0, max_rows: int = 1000) -> Rows | Refusal:
        """Run one SELECT. Past a limit, or for anything but one read, the answer is a Refusal.

        A lost connection is opened again, once. Raises HeimdallError when it is lost again, BadInput when no database
        is loaded or the server can no longer be reached.
        """
        return self._gated(query, "", seconds, max_rows)

    def parse(self, query: str, seconds: float = 5.0) -> Refusal | None:
        """Check syntax and names by EXPLAIN, without running; None for a SELECT that can run. Raises as `run` does."""
        result = self._gated(query, "EXPLAIN ", seconds, 10_000)
        return result if isinstance(result, Refusal) else None

    def close(self) -> None:
        """Delete the tables that `load` made, or the private server; a second call does nothing."""
        if self._ours and self.server is None:
            self._ours = False
            with suppress(HeimdallError), self._writing(self.name) as connection:
                drop_tables(connection.cursor())
        if self._reader is not None:
            self._reader.dispose()
            self._reader = None
        if self.server is not None:
            self.server.close()

    def _gated(self, query: str, before: str, seconds: float, max_rows: int) -> Rows | Refusal:
        if self._reader is None or (self._ours and self._loaded is None):
            raise BadInput("no database is loaded", repr(self), "Call load(database) first.")
        tree = server_gate(query, self.name)
        if isinstance(tree, Refusal):
            return tree
        result = self._limited(before + query, seconds, max_rows)
        if isinstance(result, Refusal) and result.kind == "syntax" and tree.find(exp.Lateral, exp.JSONExtract):
            return Refusal("engine", f"this server may lack LATERAL or the operator -> ({result.message})")
        return result

    def _limited(self, text: str, seconds: float, max_rows: int) -> Rows | Refusal:
        """Run a text that passed the gate; with a connection that was lost, a second time on a new one."""
        for attempt in (1, 2):
            connection = self._reader.raw_connection()
            try:
                return Statement(self._reader, connection, seconds).run(text, max_rows)
            except pymysql.MySQLError as problem:
                if _code(problem) not in _LOST:
                    return self._refusal(problem)
                connection.invalidate()
                self._reader.dispose()
                if attempt == 2:
                    raise self._lost() from None
            finally:
                connection.close()
        raise AssertionError("not reached")

    def _refusal(self, problem: pymysql.MySQLError) -> Refusal:
        code, text = _code(problem), _text(problem)
        kind = next((kind for kind, codes in _KINDS.items() if code in codes), "syntax")
        if code == 1142 and text.upper().startswith("SELECT "):
            kind = "schema"  # a table of another database: to this account it does not exist
        if code in (1305, 1370) and KNOWN.intersection(re.findall(r"\w+", text.upper())):
            kind = "engine"  # a function of MySQL that this server does not have
        return Refusal(kind, text)

    @contextmanager
    def _writing(self, name: str) -> Iterator[Any]:
        """A connection that may write. Raises BadInput for what the server refuses, HeimdallError when it is lost."""
        connection = sql_connect.open_engine(self._writer, self._settings_to_write).raw_connection()
        try:
            yield connection
        except pymysql.MySQLError as problem:
            if _code(problem) in _LOST:
                raise HeimdallError(f"{self._writer.shown}: the connection to the SQL server was lost.") from None
            raise BadInput(f"the server refuses this database ({_text(problem)})", name) from None
        finally:
            connection.invalidate()

    def _open(self, to: Target) -> None:
        """Read as this account from now on. Raises BadInput when it cannot connect."""
        if self._reader is not None:
            self._reader.dispose()
        self._reader = sql_connect.open_engine(to, self._settings_to_read)
        self._reader.raw_connection().close()
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, self._reader.dispose)

    def _settings_to_read(self, connection: Any) -> None:
        self._settings_to_write(connection)
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")

    def _settings_to_write(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            if self.today:
                with suppress(pymysql.OperationalError):  # MySQL lets only some accounts set the clock of a session
                    cursor.execute("SET SESSION timestamp = UNIX_TIMESTAMP(%s)", (self.today,))

    def _make(self, cursor: Any, name: str) -> None:
        """An empty database on the private server, in the place of what it held, and an account that may read it."""
        if name.lower() in _SYSTEM:
            raise BadInput(f"a database cannot have the name {name!r}", "MariaDB", "Give it another name.")
        cursor.execute("SHOW DATABASES")
        for (found,) in cursor.fetchall():
            if found not in _SYSTEM:
                cursor.execute(f"DROP DATABASE {quoted(found)}")
        cursor.execute(f"CREATE DATABASE {quoted(name)}")
        cursor.execute(f"CREATE OR REPLACE USER {READER}@localhost")
        pattern = re.sub(r"([_%\\])", r"\\\1", name)  # in GRANT, _ and % stand for other characters
        cursor.execute(f"GRANT SELECT ON {quoted(pattern)}.* TO {READER}@localhost")

    def _refuse_foreign(self, cursor: Any) -> None:
        if not self._writer.database:
            raise BadInput("the address names no database", self._writer.shown, f"Set {sql_connect.DATABASE}.")
        found = names_of_tables(cursor)
        if found and not self._scratch:
            remedy = f"Name an empty database, or set {SCRATCH}=yes if its tables may be deleted."
            raise BadInput(f"the database holds {len(found)} tables that are not ours", self._writer.shown, remedy)

    def _warn_of_rights(self) -> None:
        with self._reader.raw_connection().cursor() as cursor:
            cursor.execute("SHOW GRANTS")
            rights = " ".join(row[0].split(" ON ")[0] for row in cursor.fetchall())
        if _MAY_WRITE.search(rights):
            logging.getLogger(__name__).warning(
                "%s: this account may write. The gate and a read-only session stand before it; better is one with"
                " SELECT alone.",
                self._writer.shown,
            )

    def _lost(self) -> HeimdallError:
        return HeimdallError(f"{self._writer.shown}: the connection to the SQL server was lost, twice in a row.")


def _code(problem: Exception) -> int:
    return problem.args[0] if problem.args and isinstance(problem.args[0], int) else 0


def _text(problem: Exception) -> str:
    message = str(problem.args[1]) if len(problem.args) > 1 else str(problem)
    return re.sub(r"\s+", " ", message)[:200]
