"""What every SQL engine answers to, the database that it loads, and the gate that lets one read through and no more."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlglot
from sqlglot import exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import SqlglotError

from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.mysql_functions import KNOWN

MAX_QUERY_LENGTH = 5_000  # characters; a longer text is no answer to a question
FORBIDDEN_FUNCTIONS = frozenset(
    "SLEEP BENCHMARK LOAD_FILE GET_LOCK RELEASE_LOCK RELEASE_ALL_LOCKS IS_FREE_LOCK IS_USED_LOCK "
    "MASTER_POS_WAIT SOURCE_POS_WAIT WAIT_FOR_EXECUTED_GTID_SET LOAD_EXTENSION READFILE WRITEFILE".split()
)

_PARSED_FUNCTIONS = {"COUNT", "SUM", "AVG", "MIN", "MAX"}
_FUNCTIONS_WITH_SYNTAX = set("CAST CHAR CONVERT EXTRACT GROUP_CONCAT POSITION SUBSTR SUBSTRING TRIM VALUES".split())

# sqlglot warns when it keeps a statement as raw text; the gate refuses those, so the warning tells nothing new.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class Verbatim(MySQL):
    """MySQL, with function calls kept as they are written instead of sqlglot's common form for all dialects."""

    class Parser(MySQL.Parser):
        FUNCTIONS = {k: build for k, build in MySQL.Parser.FUNCTIONS.items() if k in _PARSED_FUNCTIONS}
        FUNCTION_PARSERS = {k: p for k, p in MySQL.Parser.FUNCTION_PARSERS.items() if k in _FUNCTIONS_WITH_SYNTAX}


@dataclass(frozen=True)
class Column:
    """A column with its MySQL type, e.g. `varchar(50)` or `decimal(10,2)`."""

    name: str
    type: str
    nullable: bool = True


@dataclass(frozen=True)
class Table:
    """A table; `references` maps a column to the (table, column) that it points to."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    references: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def create(self) -> str:
        """The MySQL CREATE TABLE statement."""
        lines = [f"`{c.name}` {c.type}{'' if c.nullable else ' NOT NULL'}" for c in self.columns]
        lines.append(f"PRIMARY KEY ({_quoted(self.primary_key)})")
        for column, (table, key) in self.references.items():
            lines.append(f"FOREIGN KEY (`{column}`) REFERENCES `{table}` (`{key}`)")
        return f"CREATE TABLE `{self.name}` (\n  " + ",\n  ".join(lines) + "\n)"

    def insert(self) -> str:
        """The INSERT statement with one `?` for each column."""
        names = [c.name for c in self.columns]
        return f"INSERT INTO `{self.name}` ({_quoted(names)}) VALUES ({', '.join('?' * len(names))})"


@dataclass(frozen=True)
class Database:
    """Tables (a table comes after those that it references) and the rows of each."""

    name: str
    tables: tuple[Table, ...]
    rows: Mapping[str, Sequence[tuple[Any, ...]]]

    def table(self, name: str) -> Table:
        """The table of this name. Raises KeyError."""
        return {t.name: t for t in self.tables}[name]


class SqlEngine(Protocol):
    """A database that runs MySQL SELECT statements: read-only, limited in time and rows."""

    def load(self, database: Database) -> None:
        """Replace the contents of the engine by `database`."""
        ...

    def run(self, query: str, seconds: float = 2.0, max_rows: int = 1000) -> Rows | Refusal:
        """Run one SELECT of the MySQL dialect. Past a limit, or for anything but one read, the answer is a Refusal."""
        ...

    def close(self) -> None:
        """Free the database."""
        ...


def gate(query: str) -> exp.Query | Refusal:
    """The syntax tree (dialect `Verbatim`) of the one read in `query`, or why it is refused.

    Refused: no statement or several, any root that is not a query, INTO, locks, session variables, placeholders,
    functions that wait or touch files, and MySQL's executable comments, which a parser skips and a server runs.
    """
    if len(query) > MAX_QUERY_LENGTH:
        return Refusal("limit", f"the statement has {len(query)} characters, more than {MAX_QUERY_LENGTH}")
    if "/*!" in query or "/*M!" in query.upper():
        return Refusal("write", "executable comments (/*! … */, /*M! … */) are not allowed")
    try:
        statements = [s for s in sqlglot.parse(query, read=Verbatim) if s and not isinstance(s, exp.Semicolon)]
        return _refuse_tree(statements) or _with_units(statements[0])
    except SqlglotError as problem:
        return Refusal("syntax", str(problem).splitlines()[0])
    except RecursionError:
        return Refusal("limit", "the statement is nested too deeply")


def _refuse_tree(statements: Sequence[exp.Expression]) -> Refusal | None:
    if not statements:
        return Refusal("syntax", "there is no statement")
    for statement in statements:
        if isinstance(statement, (exp.Condition, exp.Alias)) or statement == exp.Select():
            return Refusal("syntax", "the text is no SELECT statement")
        if not isinstance(statement, exp.Query):
            return Refusal("write", f"{statement.key.upper()} is not a SELECT statement")
    if len(statements) > 1:
        return Refusal("syntax", f"there are {len(statements)} statements, not one")
    for node in statements[0].walk():
        if isinstance(node, (exp.DML, exp.DDL, exp.Command, exp.Into, exp.Lock)) and not isinstance(node, exp.Query):
            return Refusal("write", f"{node.key.upper()} is not allowed in a read")
        if isinstance(node, (exp.Parameter, exp.SessionParameter, exp.PropertyEQ)):
            return Refusal("write", "variables (@name, @@name) are not allowed")
        if isinstance(node, exp.Placeholder):
            return Refusal("syntax", "placeholders are not allowed: write the value")
        if isinstance(node, exp.Func) and function_name(node) in FORBIDDEN_FUNCTIONS:
            return Refusal("write", f"{function_name(node)} is not allowed")
    return None


def _with_units(tree: exp.Query) -> exp.Query:
    """The tree, with the unit in TIMESTAMPDIFF(MONTH, …) as a word: it parses like a column."""
    for call in tree.find_all(exp.Anonymous):
        if call.name.upper() in ("TIMESTAMPDIFF", "TIMESTAMPADD") and call.expressions:
            call.expressions[0].replace(exp.var(call.expressions[0].name.upper()))
    return tree


def function_name(node: exp.Func) -> str:
    """The name of a function call, in capitals."""
    return (node.name if isinstance(node, exp.Anonymous) else node.sql_name()).upper()


def drop_database_name(tree: exp.Query, name: str) -> None:
    """Turn `name.table` into `table`: the loaded database is the one that its own name means."""
    for table in tree.find_all(exp.Table):
        if table.db.lower() == name.lower():
            table.set("db", None)


def unknown_functions(tree: exp.Expression) -> list[str]:
    """The names of called functions that MySQL does not have, in capitals and in alphabetical order."""
    return sorted({node.name.upper() for node in tree.find_all(exp.Anonymous)} - KNOWN)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
