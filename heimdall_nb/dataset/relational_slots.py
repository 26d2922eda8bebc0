"""What the slots of a question about tables are bound to: tables, references, columns, and values of their rows.

data/sql/relational.yaml says which kinds of slots there are.
"""

from __future__ import annotations

import calendar
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from heimdall_nb.dataset.relational import TEMPLATES, Attribute, Entity, RelationalSchema, Row, document
from heimdall_nb.dataset.sql import Option
from heimdall_nb.dataset.words import plural
from heimdall_nb.errors import BadInput


class NoRoom(Exception):
    """The schema or its rows have nothing that a slot could be bound to."""


def literal(value: Any) -> str:
    """A value in SQL: a text in single quotes, with those inside doubled."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


@dataclass(frozen=True)
class _ColumnOf:
    entity: Entity
    column: Attribute


@dataclass(frozen=True)
class _Link:
    child: Entity
    column: Attribute
    parent: Entity
    key: str


class Binder:
    """Binds the slots of one question. Values come from one row of each table, rows that are joined to each other."""

    def __init__(self, schema: RelationalSchema, rng: random.Random) -> None:
        self.schema, self.rng = schema, rng
        self.bound: dict[str, Any] = {}
        self.row: dict[str, Row] = {}
        self.quote = rng.choices(("", "'", '"'), (80, 14, 6))[0]  # around texts in the question

    def bind(self, slot: str, spec: str) -> None:
        """Bind a slot, and for a reference its two tables. Raises NoRoom."""
        words = spec.split()
        if ">" in words:
            self.bound[slot] = self.link(words[-3], words[-1], words[:-3])
        elif words[0] == "itself":
            self.bound[slot] = self.itself(words[1])
        elif words[0] in _TABLES:
            self.bound[slot] = self.one([e for e in self.schema.entities if _TABLES[words[0]](e)])
        elif words[0] in document()["options"]:
            self.bound[slot] = _option(document()["options"][words[0]], self.rng)
        elif words[0] in document()["columns"]:
            self.bound[slot] = self.column(self.bound[words[2]], document()["columns"][words[0]])
        elif words[0] in _VALUES:
            self.bound[slot] = _VALUES[words[0]](self, self.bound[words[2]])
        else:
            raise BadInput(f"{spec!r} is nothing that a slot is bound to", str(TEMPLATES), "See the file's head.")

    def one(self, choices: list[Any]) -> Any:
        if not choices:
            raise NoRoom
        return self.rng.choice(choices)

    def link(self, child: str, parent: str, adjectives: list[str]) -> _Link:
        fixed, taken = self.bound.get(child), [e.name for e in self.bound.values() if isinstance(e, Entity)]
        choices = [
            link
            for link in _links(self.schema)
            if link.parent.name not in taken
            and link.child is not link.parent
            and (link.child is fixed if fixed else True)
            and all(_ADJECTIVES[adjective](link) for adjective in adjectives)
        ]
        chosen = self.one(choices)
        self.bound |= {child: chosen.child, parent: chosen.parent}
        self.follow(chosen)
        return chosen

    def itself(self, slot: str) -> _Link:
        chosen = self.one([link for link in _links(self.schema) if link.child is link.parent and _titled(link.child)])
        self.bound[slot] = chosen.child
        return chosen

    def follow(self, link: _Link) -> None:
        """Choose the parent's row: the one that the child's row points to."""
        at = link.child.columns.index(link.column)
        rows = [row for row in self.schema.rows[link.child.name] if row[at] is not None]
        child = self.row.setdefault(link.child.name, self.one(rows))
        self.row[link.parent.name] = self.one([r for r in self.schema.rows[link.parent.name] if r[0] == child[at]])

    def column(self, entity: Entity, kind: dict[str, Any]) -> _ColumnOf:
        taken = [c.column.name for c in self.bound.values() if isinstance(c, _ColumnOf)]
        choices = [
            column
            for column in entity.columns
            if column.kind in kind["kinds"]
            and column.name not in taken
            and (kind.get("nullable") or not column.nullable)
            and (column.nullable or not kind.get("only"))
        ]
        return _ColumnOf(entity, self.one(choices))

    def values(self, of: _ColumnOf) -> list[Any]:
        """What the column holds, without NULL, in ascending order."""
        at = of.entity.columns.index(of.column)
        return sorted(row[at] for row in self.schema.rows[of.entity.name] if row[at] is not None)

    def value(self, of: _ColumnOf) -> Any:
        """The value of the row that was chosen for the table; of any row when that has none."""
        row = self.row.setdefault(of.entity.name, self.rng.choice(self.schema.rows[of.entity.name]))
        found = row[of.entity.columns.index(of.column)]
        return self.one(self.values(of)) if found is None else found

    def options(self, qualify: bool) -> dict[str, Option]:
        """Every slot as its wording and its SQL, with columns qualified where `qualify` and their names are shared."""
        entities = [e for e in self.bound.values() if isinstance(e, Entity)] if qualify else []
        return {slot: _as_option(value, entities) for slot, value in self.bound.items()}

    def said(self, value: Any, shown: str = "") -> Option:
        """A literal as an option; a text may stand in quotes in the question."""
        say = shown or str(value)
        if isinstance(value, str) and self.quote not in say:
            say = self.quote + say + self.quote
        return Option(say, literal(value), {"raw": str(value)})


def _links(schema: RelationalSchema) -> list[_Link]:
    return [
        _Link(entity, entity.column(column), schema.entity(table), key)
        for entity in schema.entities
        for column, (table, key) in entity.references.items()
    ]


def _option(spec: Any, rng: random.Random) -> Option:
    """One of the options of the file: a number of a range, or a text with one of its wordings."""
    if isinstance(spec, dict):
        number = str(rng.randint(*spec["range"]))
        return Option(number, number, {})
    chosen = rng.choice(spec)
    return Option(
        rng.choice(chosen["say"]), chosen["sql"], {k: v for k, v in chosen.items() if k not in ("say", "sql")}
    )


def _as_option(value: Any, scope: list[Entity]) -> Option:
    if isinstance(value, Entity):
        names = {"title": _name(value, value.title.name, scope), "key": _name(value, value.key[0], scope)}
        words = {"one": value.one, "titled": value.title.words, "keyed": value.column(value.key[0]).words}
        return Option(value.many, value.name, names | words)
    if isinstance(value, _ColumnOf):
        column = value.column
        return Option(column.words, _name(value.entity, column.name, scope), {"many": plural(column.words)})
    if isinstance(value, _Link):
        return Option(
            value.column.words,
            _join(value, scope),
            {"column": value.column.name, "key": value.key, "many": plural(value.column.words)},
        )
    return value


def _sharing(name: str, scope: list[Entity]) -> int:
    return sum(name.lower() in (column.name.lower() for column in entity.columns) for entity in scope)


def _name(entity: Entity, column: str, scope: list[Entity]) -> str:
    return f"{entity.name}.{column}" if _sharing(column, scope) > 1 else column


def _join(link: _Link, scope: list[Entity]) -> str:
    """The condition of a join: USING where both columns have one name that no third table has."""
    if link.column.name == link.key and _sharing(link.key, scope) == 2:
        return f"USING ({link.key})"
    return f"ON {_name(link.child, link.column.name, scope)} = {_name(link.parent, link.key, scope)}"


def _single(entity: Entity) -> bool:
    return len(entity.key) == 1


def _titled(entity: Entity) -> bool:
    return entity.title.kind == "title"


_TABLES: dict[str, Callable[[Entity], bool]] = {
    "table": lambda entity: True,
    "thing": _single,
    "named": _titled,
}
_ADJECTIVES: dict[str, Callable[[_Link], bool]] = {
    "plain": lambda link: _single(link.child),
    "titled": lambda link: _titled(link.parent),
    "firm": lambda link: not link.column.nullable,
    "loose": lambda link: link.column.nullable,
}


def _of(value: _ColumnOf | Entity) -> _ColumnOf:
    return _ColumnOf(value, value.title) if isinstance(value, Entity) else value


def _value(binder: Binder, of: _ColumnOf | Entity) -> Option:
    return binder.said(binder.value(_of(of)))


def _key(binder: Binder, entity: Entity) -> Option:
    return binder.said(binder.value(_ColumnOf(entity, entity.column(entity.key[0]))))


def _target(binder: Binder, link: _Link) -> Option:
    """The title of a row that another row of the same table points to."""
    binder.follow(link)
    return _value(binder, link.parent)


def _pointer(binder: Binder, link: _Link) -> Option:
    """The key that a row points to."""
    return binder.said(binder.value(_ColumnOf(link.child, link.column)))


def _threshold(binder: Binder, of: _ColumnOf) -> Option:
    values = binder.values(of)
    return binder.said(_round(values[int(len(values) * binder.rng.uniform(0.12, 0.88))], binder.rng))


def _middle(binder: Binder, of: _ColumnOf) -> Option:
    """A number near the average."""
    values = binder.values(of)
    number = sum(values) / len(values) * binder.rng.uniform(0.85, 1.15)
    return binder.said(round(number) if values[-1] > 9 else round(number, 1))


def _span(binder: Binder, of: _ColumnOf) -> Option:
    values = binder.values(of)
    at = int(len(values) * binder.rng.uniform(0.05, 0.6))
    low, high = _round(values[at], binder.rng), values[min(len(values) - 1, at + binder.rng.randint(6, 16))]
    if low >= high:
        raise NoRoom
    return Option("", "", {"low": str(low), "high": str(high)})


def _round(number: Any, rng: random.Random) -> Any:
    """A number, mostly with fewer digits; years and small numbers stay."""
    if rng.random() < 0.4 or number <= 9 or 1900 <= number <= 2024:
        return number
    digits = len(str(int(number)))
    return round(int(number), min(0, 2 - digits))


def _list(binder: Binder, of: _ColumnOf) -> Option:
    values = list(dict.fromkeys(binder.values(of)))
    if len(values) < 3:
        raise NoRoom
    chosen = [
        binder.said(value) for value in binder.rng.sample(values, 3 if len(values) > 4 and len(values) % 2 else 2)
    ]
    says = [option.say for option in chosen]
    return Option(", ".join(says[:-1]) + " or " + says[-1], ", ".join(option.sql for option in chosen), {})


def _letters(binder: Binder, of: _ColumnOf) -> str:
    """A word of the column, of letters and digits alone: a LIKE pattern has no other meaning for it."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", str(binder.value(of))) if len(word) > 2]
    return binder.one(words)


def _prefix(binder: Binder, of: _ColumnOf) -> Option:
    text = re.match(r"[A-Za-z0-9]*", str(binder.value(of)))[0][: binder.rng.randint(1, 3)]
    return binder.said(binder.one([text] if text else []))


def _part(binder: Binder, of: _ColumnOf) -> Option:
    word = _letters(binder, of)
    size = binder.rng.randint(2, min(5, len(word)))
    start = binder.rng.randint(0, len(word) - size)
    return binder.said(word[start : start + size])


def _day(binder: Binder, of: _ColumnOf) -> Option:
    values = binder.values(of)
    day = values[int(len(values) * binder.rng.uniform(0.1, 0.9))]
    return Option(day, literal(day), {})


def _days(binder: Binder, of: _ColumnOf) -> Option:
    low, high = sorted((_day(binder, of).say, _day(binder, of).say))
    if low == high:
        raise NoRoom
    return Option("", "", {"low": low, "high": high})


def _year(binder: Binder, of: _ColumnOf) -> Option:
    year = binder.value(of)[:4]
    return Option(year, year, {})


def _month(binder: Binder, of: _ColumnOf) -> Option:
    month = int(binder.value(of)[5:7])
    return Option(str(month), str(month), {"name": calendar.month_name[month]})


_VALUES: dict[str, Callable[[Binder, Any], Option]] = {
    "value": _value,
    "key": _key,
    "target": _target,
    "pointer": _pointer,
    "threshold": _threshold,
    "middle": _middle,
    "span": _span,
    "list": _list,
    "prefix": _prefix,
    "part": _part,
    "day": _day,
    "days": _days,
    "year": _year,
    "month": _month,
}
