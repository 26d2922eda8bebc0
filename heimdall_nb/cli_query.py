"""The verb `query`: one SELECT through the gate, on the course's database, a dump, or a server of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heimdall_nb.errors import BadInput, HeimdallError


def query(
    statement: Annotated[str, typer.Argument(help="one SELECT of the MySQL dialect")],
    engine: Annotated[
        str,
        typer.Option(help="empty: SQLite, or the server that the environment names; private; mysql://host/database"),
    ] = "",
    dump: Annotated[Path | None, typer.Option(help="a dump to load, e.g. mysqlsampledatabase.sql")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="time limit")] = 5.0,
    rows: Annotated[int, typer.Option(min=1, help="limit of rows")] = 100,
) -> None:
    """Run one SELECT as a model's answer is run: after the gate, read-only, limited in time and rows."""
    from heimdall_nb.dataset.classicmodels import classicmodels
    from heimdall_nb.dataset.validation_report import table
    from heimdall_nb.engines.choose import sql_engine
    from heimdall_nb.engines.graph import Refusal
    from heimdall_nb.engines.mariadb import PRIVATE
    from heimdall_nb.engines.sql_connect import target
    from heimdall_nb.engines.sql_dump import read_dump

    of_the_user = engine != PRIVATE and target(engine) is not None
    if dump is not None:
        database = read_dump(dump)
    else:
        database = None if of_the_user else classicmodels()
    opened = sql_engine(engine, database)
    try:
        result = opened.run(statement, seconds, rows)
    finally:
        opened.close()
    if isinstance(result, Refusal):
        kind = HeimdallError if result.kind in ("timeout", "engine") else BadInput
        raise kind(f"refused ({result.kind}): {result.message}")
    print(table(list(result.columns), [["NULL" if value is None else value for value in row] for row in result.rows]))
    print(f"{len(result.rows)} rows")
