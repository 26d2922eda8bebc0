"""Databases that tell wrong SQL from right: rows of a base mutated and shuffled, made again byte for byte by recipe.

A recipe holds a seed, how much is mutated, and the profiles that it aims at: the constants of a gold query with the
columns that it compares them with. Rows then lie on the bounds of that query and just beside them. Tables are filled
parents first, so that every foreign key points to a row.
"""

from __future__ import annotations

import hashlib
import json
import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from random import Random
from typing import Any

from sqlglot import exp

from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import Column, Database, Table, function_name, gate
from heimdall_nb.evaluation.sql_neighbours import names_of

EXACT = 0.7  # how often a mutated cell is on the bound, and not beside it
FEW = 3  # values that are left of a column where many rows share them
AT_LEAST = 4  # rows of a table, where the base has as many
_DATE, _MONTH = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"(\d{4})-(\d\d)")
_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.Like)


@dataclass(frozen=True)
class Constant:
    """Values of a column that a query asks for, and values just beside them."""

    table: str
    column: str
    exact: tuple[Any, ...]
    near: tuple[Any, ...]


Profile = tuple[Constant, ...]


@dataclass(frozen=True)
class Recipe:
    """How a database is made: shares from 0 to 1, and the numbers of the profiles that it aims at.

    `rows` of the base are kept; then cells take the value of another row (`swap`), one of a few values (`ties`), NULL
    (`nulls`), another number (`jitter`), and whole rows take the constants of a profile (`aim`).
    """

    seed: str
    rows: float
    swap: float
    ties: float
    nulls: float
    jitter: float
    aim: float
    focus: tuple[int, ...] = ()
    digest: str = ""


def draw_recipe(seed: str, focus: Sequence[int] = ()) -> Recipe:
    """A recipe with random shares. The same seed gives the same recipe."""
    rng = Random(f"recipe {seed}")
    shares = {
        "rows": rng.choice((0.1, 0.2, 0.35, 0.6)),
        "swap": rng.choice((0.1, 0.4, 0.8)),
        "ties": rng.choice((0.0, 0.2, 0.5)),
        "nulls": rng.choice((0.0, 0.1, 0.3)),
        "jitter": rng.choice((0.0, 0.3)),
        "aim": rng.choice((0.3, 0.6, 0.9)),
    }
    return Recipe(seed, focus=tuple(focus), **shares)


def digest(database: Database) -> str:
    """A hash of all tables and rows: that of a snapshot."""
    content = [[table.create(), [list(row) for row in database.rows.get(table.name, ())]] for table in database.tables]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def profile(query: str, database: Database) -> Profile:
    """The constants of a query with their columns; none for a query that the gate refuses."""
    tree = gate(query)
    if isinstance(tree, Refusal):
        return ()
    aliases = names_of(tree, database)
    return tuple(found for node in tree.find_all(*_COMPARED) for found in _constants(node, aliases, database))


def _constants(node: exp.Expression, aliases: dict[str, str], database: Database) -> Iterator[Constant]:
    inner = node.this
    columns = list(inner.find_all(exp.Column))
    others = [value for name, value in node.args.items() if name != "this"]
    beside = [part for value in others for part in (value if isinstance(value, list) else [value])]
    beside = [part for part in beside if isinstance(part, exp.Expression)]
    unusable = (exp.Column, exp.Query)
    if len(columns) != 1 or inner.find(exp.AggFunc, exp.Query) or any(part.find(*unusable) for part in beside):
        return
    column, wrapper = columns[0], _wrapper(inner)
    for table in _tables(column, aliases, database):
        kind = next(c.type for c in table.columns if c.name == column.name)
        exact, near = _values(kind, wrapper, beside, isinstance(node, exp.Like))
        if exact:
            yield Constant(table.name, column.name, tuple(exact), tuple(near))


def _wrapper(inner: exp.Expression) -> str:
    """The function around a compared column; "" for the column alone."""
    if isinstance(inner, exp.Column):
        return ""
    return inner.name.upper() if isinstance(inner, exp.Extract) else _named(inner)


def _named(inner: exp.Expression) -> str:
    return function_name(inner) if isinstance(inner, exp.Func) else "expression"


def _tables(column: exp.Column, aliases: dict[str, str], database: Database) -> list[Table]:
    names = [aliases.get(column.table.lower())] if column.table else list(dict.fromkeys(aliases.values()))
    tables = [table for table in database.tables if table.name in names]
    return [table for table in tables if column.name in [c.name for c in table.columns]]


def _values(kind: str, wrapper: str, beside: list[exp.Expression], like: bool) -> tuple[list[Any], list[Any]]:
    """(values that a column of this type must have to meet a condition's bounds, values beside them)."""
    literals = [found for part in beside for found in part.find_all(exp.Literal)]
    if kind.startswith("date"):
        shifts = [int(literal.this) for literal in literals if literal.this.isdigit() and len(literal.this) < 4]
        return _dates(wrapper, [literal.this for literal in literals], shifts)
    if any(literal.is_string for literal in literals) or wrapper:
        return _texts(wrapper, [literal.this for literal in literals], like)
    steps = (-1, 1) if "int" in kind else (-0.01, 0.01, -1, 1)
    exact = [int(literal.this) if "int" in kind else float(literal.this) for literal in literals]
    exact = [
        -value if isinstance(literal.parent, exp.Neg) else value for value, literal in zip(exact, literals, strict=True)
    ]
    return exact, [round(value + step, 2) for value in exact for step in steps if value + step >= 0]


def _dates(wrapper: str, literals: list[str], shifts: list[int]) -> tuple[list[Any], list[Any]]:
    exact: list[date] = []
    near: list[date] = []
    for text in literals:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            moved = [day + timedelta(days=sign * days) for days in shifts for sign in (-1, 1)]
            exact += [day, *moved]
            near += [end + timedelta(days=step) for end in (day, *moved) for step in (-1, 1)]
        elif (month := _MONTH.fullmatch(text)) or wrapper == "YEAR":
            year = int(month[1]) if month else int(text)
            first = date(year, int(month[2]) if month else 1, 1)
            last = date(year, first.month if month else 12, monthrange(year, first.month if month else 12)[1])
            exact += [first, last, *(first + timedelta(days=(last - first).days * k // 7) for k in range(1, 7))]
            near += [first - timedelta(days=1), last + timedelta(days=1), first.replace(year=year - 1)]
        elif wrapper in ("MONTH", "QUARTER", "DAY", "DAYOFWEEK") and text.isdigit():
            number = int(text) * (3 if wrapper == "QUARTER" else 1)
            exact += [date(year, min(12, max(1, number)), min(28, max(1, number))) for year in (2003, 2004, 2005)]
            near += [day + timedelta(days=step) for day in exact for step in (1, 31)]
    return [day.isoformat() for day in exact], [day.isoformat() for day in near]


def _texts(wrapper: str, literals: list[str], like: bool) -> tuple[list[Any], list[Any]]:
    if like:
        cores = [text.strip("%") for text in literals]
        open_ahead = [text.startswith("%") and not text.endswith("%") for text in literals]
        filled = [f"Ab {core}" if ahead else core for core, ahead in zip(cores, open_ahead, strict=True)]
        return filled + cores, [
            f"{a}{core}{b}" for core in cores for a, b in (("Xy ", ""), ("", " xy"), ("Xy ", " xy"))
        ]
    if wrapper:
        numbers = [int(text) for text in literals if text.isdigit()]
        return [f"{n} Model" for n in numbers], [f"{n + step} Model" for n in numbers for step in (-1, 1)]
    return list(literals), []


class Base:
    """A database to be mutated, with what is drawn from: the values of each column, and of all columns of a name."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @cached_property
    def digest(self) -> str:
        """The hash of the snapshot."""
        return digest(self.database)

    @cached_property
    def named(self) -> dict[str, list[Any]]:
        """The different values of all columns of a name, sorted: a city may be a customer's or an office's."""
        found: dict[str, set[Any]] = {}
        for table in self.database.tables:
            for place, column in enumerate(table.columns):
                values = {row[place] for row in self.database.rows[table.name]} - {None}
                found.setdefault(_plain_name(column.name), set()).update(values)
        return {name: sorted(values, key=lambda value: (str(type(value)), value)) for name, values in found.items()}


def _plain_name(column: str) -> str:
    return column.removeprefix("contact").lower()


def build(base: Base, profiles: Sequence[Profile], recipe: Recipe) -> Database:
    """The database of a recipe: the same bytes each time."""
    work = _Builder(base, [profiles[k] for k in recipe.focus], recipe)
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for table in base.database.tables:
        rows[table.name] = work.fill(table, rows)
    return Database(base.database.name, base.database.tables, rows)


class _Builder:
    """Fills one database."""

    def __init__(self, base: Base, profiles: Sequence[Profile], recipe: Recipe) -> None:
        self.base, self.profiles, self.recipe = base, profiles, recipe
        few = Random(f"few {recipe.seed}")
        self.few = {name: few.sample(v, min(FEW, len(v))) for name, v in base.named.items()}

    def fill(self, table: Table, made: dict[str, list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        """The rows of a table whose parents are in `made`."""
        rng = Random(f"{table.name} {self.recipe.seed}")
        places = {column.name: place for place, column in enumerate(table.columns)}
        parents = {column: self._parents(target, made) for column, target in table.references.items()}
        itself = [parents[column] for column, (parent, _) in table.references.items() if parent == table.name]
        found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for row in self._chosen(table, rng):
            cells = dict(zip(places, row, strict=True))
            self._mutate(table, cells, rng)
            self._aim(table, cells, rng)
            if not all(self._refer(cells, column, parents.get(column.name), rng) for column in table.columns):
                continue
            key = tuple(str(cells[name]).lower() for name in table.primary_key)
            if key in found:
                continue
            found[key] = tuple(cells.values())
            for own in itself:
                own.known.append(cells[own.key])
        rows = list(found.values())
        if not itself:  # a row that points into its own table stays behind the one that it points to
            rng.shuffle(rows)
        return rows

    def _chosen(self, table: Table, rng: Random) -> list[tuple[Any, ...]]:
        """Some rows of the base in its order, with those whose keys a profile names."""
        rows = self.base.database.rows[table.name]
        number = min(len(rows), max(AT_LEAST, round(self.recipe.rows * len(rows))))
        chosen = set(rng.sample(range(len(rows)), number))
        places = {column.name: place for place, column in enumerate(table.columns)}
        for key in table.primary_key:
            wanted = self._wanted(table.name, key)
            chosen |= {k for k, row in enumerate(rows) if row[places[key]] in wanted}
        return [rows[k] for k in sorted(chosen)]

    def _wanted(self, table: str, key: str) -> set[Any]:
        """The values of a key that the profiles name, of the key itself or of a column that points to it."""
        pointing = {(table, key)} | {
            (other.name, column)
            for other in self.base.database.tables
            for column, target in other.references.items()
            if target == (table, key)
        }
        constants = [c for profile in self.profiles for c in profile if (c.table, c.column) in pointing]
        return {value for constant in constants for value in constant.exact}

    def _mutate(self, table: Table, cells: dict[str, Any], rng: Random) -> None:
        recipe, rows = self.recipe, self.base.database.rows[table.name]
        for place, column in enumerate(table.columns):
            name = column.name
            if name in table.primary_key or name in table.references:
                continue
            if rng.random() < recipe.swap:
                cells[name] = rng.choice(rows)[place]
            if rng.random() < recipe.ties and (few := self.few[_plain_name(name)]):
                cells[name] = rng.choice(few)
            if rng.random() < recipe.jitter and isinstance(cells[name], (int, float)):
                cells[name] = _moved(cells[name], rng)
            if column.nullable and rng.random() < recipe.nulls:
                cells[name] = None

    def _aim(self, table: Table, cells: dict[str, Any], rng: Random) -> None:
        """Give the row the constants of one profile."""
        if not self.profiles or rng.random() >= self.recipe.aim:
            return
        for constant in rng.choice(self.profiles):
            free = constant.column not in table.primary_key and constant.column not in table.references
            if constant.table == table.name and free and rng.random() < 0.9:
                exact = not constant.near or rng.random() < EXACT
                cells[constant.column] = rng.choice(constant.exact if exact else constant.near)

    def _parents(self, target: tuple[str, str], made: dict[str, list[tuple[Any, ...]]]) -> _Parents:
        table, key = target
        place = [column.name for column in self.base.database.table(table).columns].index(key)
        return _Parents(key, [row[place] for row in made.get(table, ())], sorted(self._wanted(table, key), key=str))

    def _refer(self, cells: dict[str, Any], column: Column, parents: _Parents | None, rng: Random) -> bool:
        """Point to a row that is there: to some of them often, to others never. False where there is none."""
        if parents is None:
            return True
        name, known = column.name, parents.known
        wanted = [key for key in parents.wanted if key in known]
        if column.nullable and (not known or cells[name] is None or rng.random() < self.recipe.nulls / 2):
            cells[name] = None
        elif not known:
            return False
        elif wanted and rng.random() < 0.4:
            cells[name] = rng.choice(wanted)
        elif cells[name] not in known or rng.random() < self.recipe.swap:
            cells[name] = known[int(len(known) * rng.random() ** 2)]
        return True


@dataclass
class _Parents:
    """What a column may point to: the keys that are there, and those that profiles name."""

    key: str
    known: list[Any]
    wanted: list[Any]


def _moved(value: float, rng: Random) -> float:
    """Another number of the same kind: whole, or with two decimals as money has."""
    if isinstance(value, int):
        return max(0, value + rng.choice((-2, -1, 1, 2)))
    return round(value * rng.uniform(0.5, 1.5), 2)
