"""Puts a `Database` into the current database of a MariaDB or MySQL server."""

from __future__ import annotations

from typing import Any

from heimdall_nb.engines.sql import Database, Table
from heimdall_nb.errors import BadInput

STATEMENT = 50_000  # characters of one INSERT of several rows, short of what a private server takes


def quoted(name: str) -> str:
    """A name between back ticks."""
    return "`" + name.replace("`", "``") + "`"


def names_of_tables(cursor: Any) -> list[str]:
    """The tables and views of the current database."""
    cursor.execute("SHOW FULL TABLES")
    return [row[0] for row in cursor.fetchall()]


def refuse_long_rows(database: Database, longest: int) -> None:
    """Raise BadInput for a row that takes more than half of `longest` bytes: quoting can double it."""
    for table, rows in database.rows.items():
        for number, row in enumerate(rows, start=1):
            size = sum(len(str(value).encode()) for value in row if isinstance(value, (str, bytes)))
            if 2 * size > longest:
                what = f"row {number} has {size} bytes, more than a private server takes"
                raise BadInput(what, f"{database.name}.{table}", f"Shorten its texts to {longest // 2} bytes.")


def fill(connection: Any, database: Database, same: bool) -> None:
    """Replace the tables of the current database by those of `database`; with `same` only their rows.

    Foreign keys are checked at the end, because a row may reference one that comes after it. Raises BadInput for a key
    that points nowhere, and what the driver raises for rows that a table does not take.
    """
    cursor = connection.cursor()
    cursor.max_stmt_length = STATEMENT
    cursor.execute("SET SESSION foreign_key_checks = 0")
    if same:
        for table in database.tables:
            cursor.execute(f"DELETE FROM {quoted(table.name)}")
    else:
        drop_tables(cursor)
        for table in database.tables:
            cursor.execute(table.create())
    cursor.execute("START TRANSACTION")
    for table in database.tables:
        cursor.executemany(_insert(table), [tuple(row) for row in database.rows.get(table.name, ())])
    cursor.execute("COMMIT")
    for table in database.tables:
        _check_references(cursor, database, table)


def drop_tables(cursor: Any) -> None:
    """Empty the current database."""
    cursor.execute("SET SESSION foreign_key_checks = 0")
    cursor.execute("SHOW FULL TABLES")
    for name, kind in cursor.fetchall():
        cursor.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} {quoted(name)}")


def _insert(table: Table) -> str:
    """The INSERT statement with a place for each column. A percent sign in a name is not one of the driver's places."""
    columns = ", ".join(quoted(c.name) for c in table.columns).replace("%", "%%")
    places = ", ".join(["%s"] * len(table.columns))
    return f"INSERT INTO {quoted(table.name).replace('%', '%%')} ({columns}) VALUES ({places})"


def _check_references(cursor: Any, database: Database, table: Table) -> None:
    for column, (parent, key) in table.references.items():
        cursor.execute(
            f"SELECT a.{quoted(column)} FROM {quoted(table.name)} a LEFT JOIN {quoted(parent)} b "
            f"ON a.{quoted(column)} = b.{quoted(key)} "
            f"WHERE a.{quoted(column)} IS NOT NULL AND b.{quoted(key)} IS NULL LIMIT 1"
        )
        if row := cursor.fetchone():
            what = f"a row references {parent} {row[0]!r}, which does not exist"
            raise BadInput(what, f"{database.name}.{table.name}", "Mend the rows of the database.")
