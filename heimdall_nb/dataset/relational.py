"""Relational schemas for the base model's corpus: tables whose columns know their words and their values, and rows."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from heimdall_nb.engines.sql import Column, Database, Table
from heimdall_nb.run import DATA

TEMPLATES = DATA / "sql" / "relational.yaml"
ROWS = 40  # of a table, about
MISSING = 0.2  # share of NULL in a column that may hold it
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Attribute:
    """A column with the words that people say for it.

    `kind` is key, title, text, number, date, flag or reference. `pool` is what its values are drawn from: the texts;
    or lowest, highest and decimals of a number; or the first and last day; or prefix, start and step of a key.
    """

    name: str
    words: str
    kind: str
    type: str
    pool: tuple[Any, ...]
    nullable: bool = False


@dataclass(frozen=True)
class Entity:
    """A table: what one row and several are called, its columns and its key.

    `references` maps a column to the (table, column) that it points to.
    """

    name: str
    one: str
    many: str
    columns: tuple[Attribute, ...]
    key: tuple[str, ...]
    references: dict[str, tuple[str, str]]

    def column(self, name: str) -> Attribute:
        """The column of this name. Raises KeyError."""
        return {column.name: column for column in self.columns}[name]

    @property
    def title(self) -> Attribute:
        """The column that names a row: the title, or the first column of the key."""
        return next((column for column in self.columns if column.kind == "title"), self.column(self.key[0]))

    def table(self) -> Table:
        """The table as an engine loads it."""
        columns = tuple(Column(c.name, c.type, c.nullable) for c in self.columns)
        return Table(self.name, columns, self.key, self.references)


@dataclass(frozen=True)
class RelationalSchema:
    """Tables, each after those that it references, and some rows of each."""

    entities: tuple[Entity, ...]
    rows: dict[str, list[Row]]

    def entity(self, name: str) -> Entity:
        """The table of this name. Raises KeyError."""
        return {entity.name: entity for entity in self.entities}[name]

    def database(self) -> Database:
        """The schema and its rows as an engine loads them."""
        return Database("invented", tuple(entity.table() for entity in self.entities), self.rows)


@cache
def document() -> dict[str, Any]:
    """data/sql/relational.yaml."""
    return yaml.safe_load(TEMPLATES.read_text(encoding="utf-8"))


def invented_rows(entities: Sequence[Entity], rng: random.Random) -> dict[str, list[Row]]:
    """About 40 rows for each table; the tables come after those that they reference."""
    rows: dict[str, list[Row]] = {}
    for entity in entities:
        keys = {name: [row[0] for row in known] for name, known in rows.items()}
        rows[entity.name] = _rows(entity, keys, rng)
    return rows


def _rows(entity: Entity, keys: dict[str, list[Any]], rng: random.Random) -> list[Row]:
    number = rng.randint(ROWS - 4, ROWS + 16) if entity.references else rng.randint(ROWS - 8, ROWS + 8)
    if len(entity.key) > 1:
        first, second = (keys[entity.references[column][0]] for column in entity.key)
        pairs = [(a, b) for a in first for b in second]
        heads: list[Row] = rng.sample(pairs, min(number, len(pairs)))
    else:
        prefix, start, step = entity.columns[0].pool
        heads = [(f"{prefix}{key}" if prefix else key,) for key in range(start, start + number * step, step)]
    # A share of the rows of other tables is never pointed to, and the others more than once.
    targets = {name: rng.sample(values, max(2, len(values) // 2)) for name, values in keys.items()}
    targets[entity.name] = [head[0] for head in heads[: max(2, number // 6)]]
    rest = [_values(column, entity, len(heads), targets, rng) for column in entity.columns[len(entity.key) :]]
    return [head + further for head, further in zip(heads, zip(*rest, strict=True), strict=True)]


def _values(
    column: Attribute, entity: Entity, number: int, targets: dict[str, list[Any]], rng: random.Random
) -> list[Any]:
    if column.kind == "title":  # no two rows have the same
        return rng.sample(column.pool, number)
    return [_value(column, entity, targets, rng) for _ in range(number)]


def _value(column: Attribute, entity: Entity, targets: dict[str, list[Any]], rng: random.Random) -> Any:
    if column.nullable and rng.random() < MISSING:
        return None
    if column.kind == "reference":
        return rng.choice(targets[entity.references[column.name][0]])
    if column.kind == "number":
        low, high, decimals = column.pool
        return rng.randint(low, high) if not decimals else round(rng.uniform(low, high), decimals)
    if column.kind == "date":
        first, last = column.pool
        return (first + datetime.timedelta(days=rng.randint(0, (last - first).days))).isoformat()
    return rng.choice(column.pool)
