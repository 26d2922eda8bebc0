"""One statement on a connection to a MariaDB or MySQL server: its limits of time, rows and characters."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pymysql
import sqlalchemy
from pymysql.cursors import SSCursor

from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.errors import HeimdallError

MAX_CHARACTERS = 20_000_000  # of all texts of one result, as in the embedded engine
_SLACK = 0.25  # seconds over the limit in which the server may say itself that time is up
_GRACE = 1.0  # seconds that a statement has to end after KILL QUERY
_FETCH = 100  # rows taken from the connection at once


class Statement:
    """One statement on a connection of `pool`, from which the call that stops it comes too."""

    def __init__(self, pool: sqlalchemy.Engine, connection: Any, seconds: float) -> None:
        self.pool, self.connection, self.seconds = pool, connection, seconds
        self.stopped, self.ended = False, threading.Event()

    def run(self, text: str, max_rows: int) -> Rows | Refusal:
        """Its rows. Raises pymysql.MySQLError."""
        self._tell_limits(max_rows)
        cursor = self.connection.cursor(SSCursor)
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        try:
            return self._read(cursor, text, max_rows)
        except pymysql.MySQLError:
            if not self.stopped:
                raise
            return self._late()
        finally:
            # The rest of a result that is not wanted is read and thrown away; the watch ends that too.
            with suppress(pymysql.MySQLError, OSError, AttributeError):
                cursor.close()
            if cursor._result is not None:
                cursor._result.unbuffered_active = False  # else the driver reads on from a connection that was cut
            self.ended.set()
            watch.join()
            if self.stopped:
                self.connection.invalidate()

    def _read(self, cursor: Any, text: str, max_rows: int) -> Rows | Refusal:
        cursor.execute(text)
        names = tuple(column[0] for column in cursor.description or ())
        rows: list[tuple[Any, ...]] = []
        characters = 0
        while len(rows) <= max_rows and characters <= MAX_CHARACTERS and (some := cursor.fetchmany(_FETCH)):
            rows += [tuple(map(plain, row)) for row in some]
            characters += sum(len(value) for row in some for value in row if isinstance(value, (str, bytes)))
        if self.stopped:
            return self._late()
        if characters > MAX_CHARACTERS or len(rows) > max_rows:
            self._stop()
            what = f"{MAX_CHARACTERS} characters" if characters > MAX_CHARACTERS else f"{max_rows} rows"
            return Refusal("limit", f"the result has more than {what}")
        return Rows(names, tuple(rows))

    def _late(self) -> Refusal:
        return Refusal("timeout", f"the statement was stopped after {self.seconds:g} s")

    def _tell_limits(self, max_rows: int) -> None:
        """Tell the server, where this connection has other limits so far."""
        limits = (self.seconds, max_rows)
        if self.connection.info.get("limits") == limits:
            return
        mariadb = "mariadb" in self.connection.dbapi_connection.get_server_info().lower()
        time = f"max_statement_time = {self.seconds:.3f}"
        if not mariadb:
            time = f"max_execution_time = {max(1, round(1000 * self.seconds))}"
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET SESSION {time}, sql_select_limit = {max_rows + 1}")
        self.connection.info["limits"] = limits

    def _stop(self) -> None:
        """End the statement on the server, from a second connection; where it does not end, end the connection."""
        self.stopped = True
        with suppress(pymysql.MySQLError, HeimdallError, OSError, AttributeError):
            other = self.pool.raw_connection()
            with other.cursor() as cursor:
                cursor.execute(f"KILL QUERY {self.connection.dbapi_connection.thread_id()}")
            other.close()

    def _watch(self) -> None:
        """Let the statement have its time; then stop it, and after a grace leave the server alone with it."""
        if self.ended.wait(self.seconds + _SLACK):
            return
        self._stop()
        if not self.ended.wait(_GRACE):
            # A server looks at KILL between two rows, and one call of a function on long texts can take minutes.
            # The driver has no public way to end a wait from another thread.
            with suppress(OSError, AttributeError):
                self.connection.dbapi_connection._sock.shutdown(socket.SHUT_RDWR)


def plain(value: Any) -> Any:
    """A value as results hold it: DECIMAL as int or float, dates and times as text, as the embedded engine gives them.

    Whole decimals without decimals of their own, such as SUM of an integer column, are ints.
    """
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds = round(abs(value).total_seconds())
        sign = "-" if value < timedelta(0) else ""
        return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return value
