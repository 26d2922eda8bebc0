"""A dump of a MySQL database (`mysqldump`, or the well-known mysqlsampledatabase.sql) read into a `Database`.

Nothing in the file is executed: CREATE TABLE and INSERT are read, other statements are passed over. So a dump goes into
any engine, and what it could do to a server does not matter.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from heimdall_nb.engines.sql import Column, Database, Table
from heimdall_nb.errors import BadInput

MAX_BYTES = 256 * 2**20
_REMEDY = "Take the dump again, or download the file again."
_TOKEN = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    |(?P<name>`(?:[^`]|``)*`)
    |(?P<comment>--(?=\s)[^\n]*|\#[^\n]*|/\*(?!!).*?\*/)
    |(?P<open>['"`]|/\*(?!!))
    |(?P<end>;)
    |(?P<other>--|/\*!|[^'"`;/\#-]+|.)""",
    re.DOTALL | re.VERBOSE,
)
_ROUTINES = re.compile(r"^DELIMITER (?!;$)\S+.*?^DELIMITER ;$", re.DOTALL | re.MULTILINE)  # triggers, procedures
_CONDITIONAL = re.compile(r"/\*!\d*\s?(.*?)\*/", re.DOTALL)  # what MySQL runs and others skip
_INSERT = re.compile(
    r"INSERT\s+(?:IGNORE\s+)?INTO\s+(?P<table>`(?:[^`]|``)+`|\w+)\s*(?:\((?P<columns>[^)]*)\))?\s*VALUES?\s*", re.I
)
_VALUE = re.compile(
    r"""\s*(?:(?P<null>NULL)\b|(?P<boolean>TRUE|FALSE)\b|(?P<bytes>0x[0-9a-f]+|x'[0-9a-f]*')
    |(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)
    |(?:_\w+\s*)?(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"))\s*""",
    re.DOTALL | re.VERBOSE | re.I,
)
_BETWEEN = re.compile(r"\s*,?\s*")  # what stands between two rows
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
_WITH_TABLES = re.compile(r"(CREATE\s+TABLE|ALTER\s+TABLE)\b", re.I)


def read_dump(path: str | Path, name: str = "classicmodels") -> Database:
    """The tables and rows of a dump, parents before the tables that reference them.

    Raises BadInput, naming the line, for a file that is cut off, is no dump, or has rows that do not fit their tables.
    """
    path = Path(path)
    tables: dict[str, Table] = {}
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for line, statement in _statements(_text(path), path):
        where = f"{path}, line {line}"
        if _WITH_TABLES.match(statement):
            _define(statement, tables, where)
        elif found := _INSERT.match(statement):
            table = _unquoted(found["table"]).lower()
            if table not in tables:
                raise BadInput(f"rows for a table {table!r} that was not created", where, _REMEDY)
            rows.setdefault(table, []).extend(_rows(statement, found, tables[table], where))
        elif re.match(r"(INSERT|REPLACE)\b", statement, re.I):
            raise BadInput("this INSERT has no plain VALUES", where, _REMEDY)
    if not tables:
        raise BadInput("there is no CREATE TABLE in the file", str(path), "Give a dump with tables and rows.")
    contents = {table.name: rows.get(key, []) for key, table in tables.items()}
    database = Database(name, tuple(_in_order(tables, path)), contents)
    _check_references(database, path)
    return database


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"the file has more than {MAX_BYTES // 2**20} MiB", str(path), "Give a smaller dump.")
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as problem:
        raise BadInput(f"cannot be read ({problem.strerror})", str(path), "Give the path of a .sql file.") from None
    except UnicodeDecodeError as problem:
        what = f"byte {problem.start} is no UTF-8 text: the file is damaged, or in another encoding"
        raise BadInput(what, str(path), "Convert it: iconv -f latin1 -t utf-8") from None


def _statements(text: str, path: Path) -> Iterator[tuple[int, str]]:
    """(line, statement) of each statement, without comments. Raises BadInput for an end in the middle of one."""
    parts: list[str] = []
    line, start, begun = 1, 1, False
    for token in _TOKEN.finditer(_ROUTINES.sub(lambda match: "\n" * match[0].count("\n"), text)):
        kind, piece = token.lastgroup, token.group()
        if kind == "open":
            what = f"the file ends inside a {'comment' if piece == '/*' else 'text'} that begins here"
            raise BadInput(what, f"{path}, line {line}", _REMEDY)
        if kind == "end":
            if statement := _plain("".join(parts)):
                yield start, statement
            parts, begun = [], False
        elif kind != "comment" and (begun or piece.strip()):
            if not begun:
                begun, start = True, line + piece[: len(piece) - len(piece.lstrip())].count("\n")
            parts.append(piece)
        line += piece.count("\n")
    if begun:
        what = "the file ends in the middle of the statement that begins here"
        raise BadInput(what, f"{path}, line {start}", _REMEDY)


def _plain(statement: str) -> str:
    """A statement with MySQL's conditional comments opened, outside of INSERT, whose texts may look like them."""
    statement = statement.strip()
    if statement[:6].upper() == "INSERT":
        return statement
    return _CONDITIONAL.sub(r"\1", statement).strip()


def _define(statement: str, tables: dict[str, Table], where: str) -> None:
    """Add the table of a CREATE TABLE, or the keys of an ALTER TABLE."""
    try:
        logging.disable(logging.WARNING)  # sqlglot says so when it keeps an ALTER as text; those change no key
        tree = sqlglot.parse_one(statement, read="mysql")
    except SqlglotError as problem:
        first = re.sub(r"\x1b\[\d+m", "", str(problem)).splitlines()[0]
        raise BadInput(f"this is no statement of MySQL ({first})", where, _REMEDY) from None
    finally:
        logging.disable(logging.NOTSET)
    name = tree.find(exp.Table).name if tree.find(exp.Table) else ""
    if isinstance(tree, exp.Create):
        if not isinstance(tree.this, exp.Schema):
            raise BadInput("this CREATE TABLE has no columns", where, _REMEDY)
        columns = tuple(_column(part) for part in tree.this.expressions if isinstance(part, exp.ColumnDef))
        tables[name.lower()] = Table(name, columns, *_keys(tree))
    elif name.lower() in tables:
        table = tables[name.lower()]
        key, references = _keys(tree)
        tables[name.lower()] = replace(
            table, primary_key=table.primary_key or key, references={**table.references, **references}
        )


def _column(part: exp.ColumnDef) -> Column:
    kinds = [constraint.kind for constraint in part.constraints]
    required = any(isinstance(k, exp.NotNullColumnConstraint) and not k.args.get("allow_null") for k in kinds)
    key = any(isinstance(k, exp.PrimaryKeyColumnConstraint) for k in kinds)
    return Column(part.name, part.args["kind"].sql("mysql").lower(), not (required or key))


def _keys(tree: exp.Expression) -> tuple[tuple[str, ...], Mapping[str, tuple[str, str]]]:
    """The primary key, and for each foreign key of one column the (table, column) that it points to."""
    primary = next((tuple(c.name for c in k.expressions) for k in tree.find_all(exp.PrimaryKey)), ())
    for column in tree.find_all(exp.ColumnDef):
        if any(isinstance(c.kind, exp.PrimaryKeyColumnConstraint) for c in column.constraints):
            primary = primary or (column.name,)
    references = {}
    for key in tree.find_all(exp.ForeignKey):
        target = key.args["reference"].this
        if len(key.expressions) == 1 and isinstance(target, exp.Schema):
            references[key.expressions[0].name] = (target.this.name, target.expressions[0].name)
    return primary, references


def _rows(statement: str, found: re.Match[str], table: Table, where: str) -> Iterator[tuple[Any, ...]]:
    """The rows of an INSERT, in the order of the table's columns; columns that it leaves out are NULL."""
    names = [c.name.lower() for c in table.columns]
    listed = [_unquoted(n.strip()).lower() for n in found["columns"].split(",")] if found["columns"] else names
    if unknown := sorted(set(listed) - set(names)):
        raise BadInput(f"the table {table.name} has no column {unknown[0]!r}", where, _REMEDY)
    places = [listed.index(name) if name in listed else None for name in names]
    at = found.end()
    while at < len(statement):
        values, at = _row(statement, at, where)
        if len(values) != len(listed):
            what = f"a row of {table.name} has {len(values)} values, not {len(listed)}"
            raise BadInput(what, _further(where, statement, at), _REMEDY)
        yield tuple(None if place is None else values[place] for place in places)
        at = _BETWEEN.match(statement, at).end()


def _row(statement: str, at: int, where: str) -> tuple[list[Any], int]:
    """The values of `(…)` at a place of the statement, and the place behind it."""
    values: list[Any] = []
    if statement[at : at + 1] != "(":
        raise BadInput("a row does not begin with a parenthesis", _further(where, statement, at), _REMEDY)
    while statement[at : at + 1] in ("(", ","):
        match = _VALUE.match(statement, at + 1)
        if not match:
            raise BadInput("a value is neither number, text nor NULL", _further(where, statement, at), _REMEDY)
        values.append(_value(match))
        at = match.end()
    if statement[at : at + 1] != ")":
        raise BadInput("a row does not end with a parenthesis", _further(where, statement, at), _REMEDY)
    return values, at + 1


def _further(where: str, statement: str, at: int) -> str:
    """The place of a fault within a statement that begins at `where`."""
    head, _, line = where.rpartition(" ")
    return f"{head} {int(line) + statement.count(chr(10), 0, at)}"


def _value(match: re.Match[str]) -> Any:
    kind, text = match.lastgroup, match[match.lastgroup]
    if kind == "null":
        return None
    if kind == "boolean":
        return int(text.upper() == "TRUE")
    if kind == "bytes":
        digits = text[2:].rstrip("'")
        return bytes.fromhex(digits if len(digits) % 2 == 0 else f"0{digits}")
    if kind == "number":
        return float(text) if re.search(r"[.eE]", text) else int(text)
    quote, inner = text[0], text[1:-1]
    return re.sub(
        rf"\\(.)|{quote}{quote}", lambda m: quote if m[1] is None else _ESCAPES.get(m[1], m[1]), inner, flags=re.DOTALL
    )


def _unquoted(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _in_order(tables: Mapping[str, Table], path: Path) -> Iterator[Table]:
    """Parents before the tables that reference them. Raises BadInput for tables without a key or that are missing."""
    waiting, done = dict(tables), set()
    for table in tables.values():
        if not table.primary_key:
            raise BadInput(f"the table {table.name} has no primary key", str(path), "Give it one.")
        for parent, _ in table.references.values():
            if parent.lower() not in tables:
                what = f"the table {table.name} references {parent}, which is not in the file"
                raise BadInput(what, str(path), _REMEDY)
    while waiting:
        ready = [n for n, t in waiting.items() if {p.lower() for p, _ in t.references.values()} - {n} <= done]
        if not ready:
            raise BadInput(f"the tables {', '.join(waiting)} reference each other", str(path), "Leave one key out.")
        for table in ready:
            done.add(table)
            yield waiting.pop(table)


def _check_references(database: Database, path: Path) -> None:
    """A dump that was cut off between two statements lacks rows that others reference: raises BadInput."""
    for table in database.tables:
        places = {c.name.lower(): k for k, c in enumerate(table.columns)}
        for column, (parent, key) in table.references.items():
            target = next(t for t in database.tables if t.name.lower() == parent.lower())
            place = [c.name.lower() for c in target.columns].index(key.lower())
            known = {_folded(row[place]) for row in database.rows[target.name]}
            for row in database.rows[table.name]:
                value = row[places[column.lower()]]
                if value is not None and _folded(value) not in known:
                    what = f"a row of {table.name} references {parent} {value!r}, which is not in the file"
                    raise BadInput(what, str(path), _REMEDY)


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
