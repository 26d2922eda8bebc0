"""The embedded SQL engine: MySQL SELECTs on SQLite, by way of sqlglot, with MySQL's functions in Python.

What differs from a MySQL server: text compares without case for ASCII letters only, DECIMAL is a binary float, and a
few constructs have no counterpart (WITH ROLLUP, ANY/ALL, REGEXP …): they come back as a Refusal of kind `engine`.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite as SQLiteDialect
from sqlglot.errors import ErrorLevel, SqlglotError

from heimdall_nb.engines import mysql_functions as mysql
from heimdall_nb.engines.graph import Refusal, RefusalKind, Rows
from heimdall_nb.engines.sql import Database, Table, drop_database_name, gate, unknown_functions
from heimdall_nb.errors import BadInput

PREFIX = "mysql_"  # keeps our functions apart from SQLite's own of the same name
HEAP = 256 * 2**20  # bytes that SQLite may use in this process; it has one limit for all connections
MAX_CHARACTERS = 20_000_000  # of all texts of one result
CHECK_EVERY = 5_000  # virtual machine steps between two looks at the clock
_BUILT_IN = frozenset(
    "count sum avg min max coalesce ifnull nullif iif like substr substring trim ltrim rtrim group_concat instr "
    "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value".split()
)
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,  # bytes of a value or row
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
# What SQLite says, in order; the first that matches tells the kind of refusal. A statement that came through the
# gate and yet has a syntax error in SQLite is one that the translation could not bring over: a gap of the engine.
_KINDS: tuple[tuple[str, RefusalKind], ...] = (
    (r"interrupted", "timeout"),
    (r"no such (column|table)|ambiguous column|has \d+ values for \d+ columns", "schema"),
    (r"too big|too many|too large|parser stack overflow|complex|memory|recursion", "limit"),
    (r"near \"|no such (function|collation)|to use function|user-defined|unsupported|DISTINCT aggregates", "engine"),
    (r"not authorized|prohibited|readonly", "write"),
)


_NUMERIC = exp.DataType(this=exp.DataType.Type.USERDEFINED, kind="NUMERIC")


class _Target(SQLiteDialect):
    """SQLite, quoting names with back ticks: in double quotes SQLite takes an unknown name for a text."""

    class Tokenizer(SQLiteDialect.Tokenizer):
        IDENTIFIERS = ["`"]


class SQLite:
    """An in-memory SQLite database that answers as MySQL would. A context manager.

    `today` is what CURDATE() and NOW() return, so that results do not depend on the clock.
    """

    def __init__(self, database: Database | None = None, today: str = "2005-06-01") -> None:
        self.today = today
        self._name = ""
        self._connection: sqlite3.Connection | None = None
        if database is not None:
            self.load(database)

    def __enter__(self) -> SQLite:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def load(self, database: Database) -> None:
        """Replace the contents by `database`. Raises BadInput when a foreign key points nowhere."""
        self.close()
        connection = sqlite3.connect(":memory:", isolation_level=None)
        for table in database.tables:
            connection.execute(create_table(table))
            connection.executemany(_insert(table), database.rows.get(table.name, ()))
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken:
            connection.close()
            what = f"row {broken[1]} references a row of {broken[2]} that does not exist"
            raise BadInput(what, f"{database.name}.{broken[0]}", "Mend the rows of the database.")
        _register(connection)
        connection.execute("PRAGMA temp_store = MEMORY")  # a sort that is too large makes no file
        connection.execute(f"PRAGMA hard_heap_limit = {HEAP}")
        connection.execute("PRAGMA query_only = ON")
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        connection.set_authorizer(_authorize)
        self._connection, self._name = connection, database.name

    def run(self, query: str, seconds: float = 2.0, max_rows: int = 1000) -> Rows | Refusal:
        """Run one SELECT of the MySQL dialect. Past a limit, or for anything but one read, the answer is a Refusal.

        Raises BadInput when no database is loaded.
        """
        if self._connection is None:
            raise BadInput("no database is loaded", "SQLite", "Call load(database) first.")
        tree = gate(query)
        if isinstance(tree, Refusal):
            return tree
        if unknown := unknown_functions(tree):
            return Refusal("schema", f"MySQL has no function {unknown[0]}")
        drop_database_name(tree, self._name)
        try:
            return self._execute(to_sqlite(tree, self.today), seconds, max_rows)
        except (SqlglotError, RecursionError) as problem:
            return Refusal("engine", str(problem).splitlines()[0])

    def _execute(self, sql: str, seconds: float, max_rows: int) -> Rows | Refusal:
        connection = self._connection
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > deadline, CHECK_EVERY)
        cursor = connection.cursor()
        try:
            cursor.execute(sql)
            rows, characters = [], 0
            while len(rows) <= max_rows and characters <= MAX_CHARACTERS and (row := cursor.fetchone()) is not None:
                rows.append(row)
                characters += sum(len(value) for value in row if isinstance(value, (str, bytes)))
            names = tuple(column[0] for column in cursor.description)
        except (sqlite3.Error, sqlite3.Warning, OverflowError, MemoryError) as problem:
            return Refusal(_kind(str(problem)), str(problem))
        finally:
            cursor.close()
            connection.set_progress_handler(None, 0)
        if characters > MAX_CHARACTERS:
            return Refusal("limit", f"the result has more than {MAX_CHARACTERS} characters")
        if len(rows) > max_rows:
            return Refusal("limit", f"the result has more than {max_rows} rows")
        return Rows(names, tuple(rows))

    def close(self) -> None:
        """Free the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def create_table(table: Table) -> str:
    """The SQLite CREATE TABLE statement: MySQL's, with text and dates as TEXT that compares without case."""
    tree = sqlglot.parse_one(table.create(), read="mysql")
    for column in tree.find_all(exp.ColumnDef):
        kind = column.args["kind"]
        if kind.this in exp.DataType.TEXT_TYPES or kind.this in exp.DataType.TEMPORAL_TYPES:
            column.set("kind", exp.DataType.build("text"))
            constraint = exp.CollateColumnConstraint(this=exp.var("NOCASE"))
            column.append("constraints", exp.ColumnConstraint(kind=constraint))
    return tree.sql(_Target)


def to_sqlite(tree: exp.Query, today: str = "2005-06-01") -> str:
    """SQLite's text for a MySQL query that the gate parsed. Raises SqlglotError for what SQLite cannot say."""
    tree = tree.copy()
    for select in tree.find_all(exp.Select):
        _expand_having(select)
    for node in reversed(list(tree.walk())):  # children before parents
        change = next((change for kinds, change in _REWRITES if isinstance(node, kinds)), None)
        if change and (changed := change(node, today)) is not node:
            node.replace(changed)
    return tree.sql(_Target, unsupported_level=ErrorLevel.RAISE)


def _expand_having(select: exp.Select) -> None:
    """In HAVING, MySQL takes a name for the alias of a result column, SQLite for a column of a table."""
    aliases = {item.alias.lower(): item.this for item in select.expressions if isinstance(item, exp.Alias)}
    having, group = select.args.get("having"), select.args.get("group")
    grouped = {item.name.lower() for item in group.expressions} if group else set()
    for column in list(having.find_all(exp.Column)) if having else ():
        name = column.name.lower()
        if not column.table and name in aliases and name not in grouped:
            column.replace(exp.paren(aliases[name].copy()))


def _call(name: str, *arguments: exp.Expression) -> exp.Expression:
    """One of our functions, with the affinity or collation that its result needs when it is compared."""
    call = exp.Anonymous(this=PREFIX + name.lower(), expressions=list(arguments))
    if name in mysql.NUMERIC:
        return exp.Cast(this=call, to=_NUMERIC)
    return exp.Collate(this=call, expression=exp.var("NOCASE")) if name in mysql.TEXT else call


_WITH_CLOCK = {"CURDATE": False, "NOW": True, "SYSDATE": True}


def _function(node: exp.Anonymous, today: str) -> exp.Expression:
    name, arguments = node.name.upper(), list(node.expressions)
    if name in _WITH_CLOCK:
        return _now(today, _WITH_CLOCK[name])
    if name in ("DATE_ADD", "DATE_SUB", "ADDDATE", "SUBDATE") and len(arguments) == 2:
        return _shifted(arguments[0], arguments[1], minus="SUB" in name)
    if name == "TIMESTAMPADD" and len(arguments) == 3:
        return _call("ADD_INTERVAL", arguments[2], arguments[1], exp.Literal.string(arguments[0].name.upper()))
    if name == "TIMESTAMPDIFF" and len(arguments) == 3:
        return _call(name, exp.Literal.string(arguments[0].name.upper()), *arguments[1:])
    if name in mysql.FUNCTIONS:
        return _call(name, *arguments)
    if name in mysql.AGGREGATES:
        return exp.Anonymous(this=PREFIX + name.lower(), expressions=arguments)
    return node


def _now(today: str, with_clock: bool) -> exp.Expression:
    return exp.Literal.string(f"{today} 00:00:00" if with_clock else today)


def _shifted(value: exp.Expression, amount: exp.Expression, minus: bool) -> exp.Expression:
    """`value` plus or minus an INTERVAL, or plus or minus a number of days."""
    unit = amount.args.get("unit") if isinstance(amount, exp.Interval) else None
    count = amount.this if isinstance(amount, exp.Interval) else amount
    count = exp.Neg(this=exp.paren(count.copy())) if minus else count
    return _call("ADD_INTERVAL", value, count, exp.Literal.string(unit.name.upper() if unit else "DAY"))


def _sum(node: exp.Add | exp.Sub, today: str) -> exp.Expression:
    if isinstance(node.expression, exp.Interval):
        return _shifted(node.this, node.expression, minus=isinstance(node, exp.Sub))
    return node


def _cast(node: exp.Cast, today: str) -> exp.Expression:
    kind = node.args["to"]
    if kind.is_type("date"):
        return _call("DATE", node.this)
    if kind.is_type("decimal"):
        scale = kind.expressions[1].this if len(kind.expressions) > 1 else exp.Literal.number(0)
        return _call("ROUND", node.this, scale.copy())
    return node


def _count(node: exp.Count, today: str) -> exp.Expression:
    """COUNT(DISTINCT a, b) counts the pairs without NULL; SQLite takes one argument, so it gets one text a pair."""
    if isinstance(node.this, exp.Distinct) and len(node.this.expressions) > 1:
        parts = [part for value in node.this.expressions for part in (value, exp.Literal.string("\x1f"))]
        node.this.set("expressions", [_call("CONCAT", *parts)])
    return node


def _xor(node: exp.Xor, today: str) -> exp.Expression:
    return exp.NEQ(this=exp.paren(exp.not_(node.this)), expression=exp.paren(exp.not_(node.expression)))


def _group(node: exp.Group, today: str) -> exp.Expression:
    if node.args.get("rollup"):
        raise SqlglotError("WITH ROLLUP is unsupported")
    return node


_REWRITES: tuple[tuple[type | tuple[type, ...], Callable[[Any, str], exp.Expression]], ...] = (
    (exp.Anonymous, _function),
    ((exp.Add, exp.Sub), _sum),
    (exp.Cast, _cast),
    (exp.Count, _count),
    (exp.Group, _group),
    (exp.Extract, lambda node, today: _call(node.name.upper(), node.expression)),
    (exp.Mod, lambda node, today: _call("MOD", node.this, node.expression)),
    (exp.Xor, _xor),
    (exp.CurrentDate, lambda node, today: _now(today, with_clock=False)),
    (exp.CurrentTimestamp, lambda node, today: _now(today, with_clock=True)),
)


def _insert(table: Table) -> str:
    return sqlglot.transpile(table.insert(), read="mysql", write=_Target)[0]


def _register(connection: sqlite3.Connection) -> None:
    for name, function in mysql.FUNCTIONS.items():
        for count in mysql.arities(function):
            connection.create_function(PREFIX + name.lower(), count, function, deterministic=True)
    for name, aggregate in mysql.AGGREGATES.items():
        connection.create_aggregate(PREFIX + name.lower(), 1, aggregate)


def _authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION:
        name = (second or "").lower()
        return sqlite3.SQLITE_OK if name.startswith(PREFIX) or name in _BUILT_IN else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_READ and (first or "").lower().startswith(("sqlite_", "pragma_")):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _kind(message: str) -> RefusalKind:
    return next((kind for pattern, kind in _KINDS if re.search(pattern, message, re.IGNORECASE)), "syntax")
