"""The slots of a template, drawn from a schema: one binding gives both the query and its question's words."""

from __future__ import annotations

import datetime
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from heimdall_nb.dataset.graphs import GraphSchema, Label, Property, RelationshipType
from heimdall_nb.dataset.words import plural, plural_verb
from heimdall_nb.engines.cypher_tokens import quoted
from heimdall_nb.engines.graph import GraphInstance

_NUMBER_WORDS = {">": ("greater than", "above", "over"), "<": ("less than", "below", "under")}
_COMPARISONS = {**_NUMBER_WORDS, ">=": ("at least",), "<=": ("at most",)}
_DATE_COMPARISONS = {">": ("after",), "<": ("before",), ">=": ("on or after",), "<=": ("on or before",)}
_AGGREGATES = {  # function: alias, words
    "sum": ("total", ("total",)),
    "avg": ("average", ("average",)),
    "min": ("lowest", ("lowest", "smallest")),
    "max": ("highest", ("highest", "largest")),
}
_VOWELS = ("a", "e", "i", "o")  # most words with u (user, university) take `a`


class NoBinding(Exception):
    """The schema or the data has nothing that fits a slot of the template."""


@dataclass(frozen=True)
class Slot:
    """What stands in a slot: its text in the query, its words in a question (alternatives), its value."""

    query: str
    words: tuple[str, ...] = ()
    symbol: str = ""  # in keyword style, where it differs
    bare: str = ""  # a literal without quotation marks
    value: Any = None


Binding = Mapping[str, Slot]
Rule = tuple[str, str, tuple[str, ...]]  # slot, kind, arguments


def plain(value: Any) -> Any:
    """A property value as an engine returns it: dates as ISO text."""
    return value.isoformat() if isinstance(value, datetime.date) else value


def literal(value: Any) -> str:
    """A value as a Cypher literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date):
        return f"date('{value.isoformat()}')"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)


class Values(Protocol):
    """Where literals come from."""

    def pool(self, owner: str, prop: Property, rng: random.Random) -> list[Any]:
        """Some values of a property, sorted and distinct."""
        ...


class InstanceValues:
    """The values that a graph instance holds, so that a query about them finds something."""

    def __init__(self, graph: GraphInstance) -> None:
        found: dict[tuple[str, str], set[Any]] = {}
        items = [(n.label, n.properties) for n in graph.nodes] + [(r.type, r.properties) for r in graph.relationships]
        for owner, properties in items:
            for name, value in properties.items():
                found.setdefault((owner, name), set()).add(value)
        self._values = {key: sorted(values) for key, values in found.items()}

    def pool(self, owner: str, prop: Property, rng: random.Random) -> list[Any]:
        return self._values.get((owner, prop.name), [])


class SampledValues:
    """Values drawn from a property's own pool or range, with no graph behind them."""

    def pool(self, owner: str, prop: Property, rng: random.Random) -> list[Any]:
        return sorted({prop.sample(rng) for _ in range(4)})


class Binder:
    """Draws slots one after the other. A method `_kind` draws the slots of that kind; subclasses add kinds."""

    def __init__(self, schema: GraphSchema, values: Values, rng: random.Random) -> None:
        self.schema, self.values, self.rng = schema, values, rng
        self.slots: dict[str, Slot] = {}
        self.labels: dict[str, Label] = {}
        self.relationships: dict[str, RelationshipType] = {}
        self.properties: dict[str, tuple[str, Property]] = {}  # slot -> slot of the owner, property
        self.used: dict[str, list[Any]] = {}  # slot of a property -> literals already drawn for it

    def bind(self, rules: Sequence[Rule]) -> Binding:
        """Draw every slot of a template's `bind`. Raises NoBinding when the schema or the values have nothing that fits."""
        for slot, kind, arguments in rules:
            getattr(self, f"_{kind}" if hasattr(self, f"_{kind}") else "_property")(slot, kind, *arguments)
        return self.slots

    def choose(self, options: Any) -> Any:
        options = list(options)
        if not options:
            raise NoBinding
        return options[int(self.rng.random() * len(options))]

    def _label(self, slot: str, kind: str) -> None:
        taken = {label.name for label in self.labels.values()}
        self.put_label(slot, self.choose(item for item in self.schema.labels.values() if item.name not in taken))

    def put_label(self, slot: str, label: Label) -> None:
        self.labels[slot] = label
        self.slots[slot] = Slot(quoted(label.name), (label.words,))
        self.slots[f"{slot}s"] = Slot(quoted(label.name), (label.plural,))
        self.slots[f"a_{slot}"] = Slot(quoted(label.name), (_with_article(label.words),))

    def _rel(self, slot: str, kind: str, start: str, end: str) -> None:
        fits = []
        for item in self.schema.relationships:
            ends = ((start, item.start), (end, item.end))
            known = all(place not in self.labels or self.labels[place].name == name for place, name in ends)
            again = any(item is other for other in self.relationships.values())
            if known and not again and (start != end or item.start == item.end):
                fits.append(item)
        chosen = self.choose(fits)
        self.relationships[slot] = chosen
        for place, name in ((start, chosen.start), (end, chosen.end)):
            self.put_label(place, self.schema.labels[name])
        self.slots[slot] = Slot(quoted(chosen.type), (chosen.says,))
        self.slots[f"{slot}s"] = Slot(quoted(chosen.type), (plural_verb(chosen.says),))
        self.slots[f"{slot}_back"] = Slot(quoted(chosen.type), (chosen.back,))
        self.slots[f"{slot}s_back"] = Slot(quoted(chosen.type), (plural_verb(chosen.back),))

    def _property(self, slot: str, kind: str, owner: str) -> None:
        """A property of the label or relationship in slot `owner`; `kind` names a test of `_FITS`."""
        holder = self.labels.get(owner) or self.relationships[owner]
        key = holder.key if isinstance(holder, Label) else ""
        taken = {prop.name for place, prop in self.properties.values() if place == owner}
        test = _FITS[kind]
        fits = [p for p in holder.properties.values() if p.name not in taken and test(p, p.name == key)]
        self.put_property(slot, owner, self.choose(fits))

    def put_property(self, slot: str, owner: str, prop: Property) -> None:
        self.properties[slot] = (owner, prop)
        self.slots[slot] = Slot(quoted(prop.name), (prop.words,))
        self.slots[f"{slot}s"] = Slot(quoted(prop.name), (plural(prop.words),))
        self.slots[f"a_{slot}"] = Slot(quoted(prop.name), (_with_article(prop.words),))

    def pool(self, slot: str) -> list[Any]:
        owner, prop = self.properties[slot]
        holder = self.labels[owner].name if owner in self.labels else self.relationships[owner].type
        return self.values.pool(holder, prop, self.rng)

    def put_literal(self, slot: str, of: str, value: Any) -> None:
        self.used.setdefault(of, []).append(value)
        bare = str(plain(value))
        words = f"'{bare}'" if isinstance(value, str) else bare
        self.slots[slot] = Slot(literal(value), (words,), bare=bare, value=value)

    def _value(self, slot: str, kind: str, of: str) -> None:
        used = self.used.get(of, ())
        self.put_literal(slot, of, self.choose(v for v in self.pool(of) if v not in used))

    def _inner(self, slot: str, kind: str, of: str) -> None:
        pool = self.pool(of)
        edge = len(pool) // 8  # neither end, where a comparison keeps everything or nothing
        self.put_literal(slot, of, self.choose(pool[edge : len(pool) - edge]))

    def _low(self, slot: str, kind: str, of: str) -> None:
        pool = self.pool(of)
        self.put_literal(slot, of, self.choose(pool[: max(1, len(pool) // 2)]))

    def _high(self, slot: str, kind: str, of: str) -> None:
        low = self.used[of][-1]
        self.put_literal(slot, of, self.choose(v for v in self.pool(of) if v > low))

    def _prefix(self, slot: str, kind: str, of: str) -> None:
        text = self.choose(self.pool(of))
        self.put_literal(slot, of, text[: self.rng.randint(1, min(4, len(text)))].rstrip() or text)

    def _suffix(self, slot: str, kind: str, of: str) -> None:
        text = self.choose(self.pool(of))
        self.put_literal(slot, of, text[-self.rng.randint(1, min(4, len(text))) :].lstrip() or text)

    def _part(self, slot: str, kind: str, of: str) -> None:
        text = self.choose(self.pool(of))
        size = self.rng.randint(2, 4)
        start = self.rng.randint(0, max(0, len(text) - size))
        self.put_literal(slot, of, text[start : start + size].strip() or text)

    def _new(self, slot: str, kind: str, of: str) -> None:
        prop, taken = self.properties[of][1], self.pool(of)
        value = prop.sample(self.rng)
        if value in taken:
            extra = self.rng.randint(2, 99)
            value = f"{value} {extra}" if isinstance(value, str) else value + extra
        self.put_literal(slot, of, value)

    def _length(self, slot: str, kind: str, of: str) -> None:
        size = max(1, len(self.choose(self.pool(of))) - self.rng.randint(1, 3))
        self.slots[slot] = Slot(str(size), (str(size),), value=size)

    def _count(self, slot: str, kind: str, low: str, high: str) -> None:
        number = self.rng.randint(int(low), int(high))
        self.slots[slot] = Slot(str(number), (str(number),), value=number)

    def _choose(self, slot: str, kind: str, *options: str) -> None:
        self.put_literal(slot, slot, self.choose(options))

    def _comparison(self, slot: str, kind: str, of: str) -> None:
        words = _DATE_COMPARISONS if self.properties[of][1].type == "DATE" else _COMPARISONS
        operator = self.choose(words)
        self.slots[slot] = Slot(operator, words[operator], symbol=operator)

    def _aggregate(self, slot: str, kind: str, of: str) -> None:
        functions = [f for f in _AGGREGATES if f != "sum" or self.properties[of][1].additive]
        function = self.choose(functions)
        alias, words = _AGGREGATES[function]
        self.slots[slot] = Slot(function, words)
        self.slots[f"{slot}_as"] = Slot(alias)

    def _direction(self, slot: str, kind: str) -> None:
        descending = self.rng.random() < 0.5
        self.slots[slot] = Slot(" DESC", ("descending",)) if descending else Slot("", ("ascending",))

    def _superlative(self, slot: str, kind: str, of: str) -> None:
        date = self.properties[of][1].type == "DATE"
        highest, lowest = ("latest", "earliest") if date else ("highest", "lowest")
        descending = self.rng.random() < 0.6
        self.slots[slot] = Slot(" DESC", (highest,)) if descending else Slot("", (lowest,))

    def _alias(self, slot: str, kind: str, of: str, other: str) -> None:
        name, same = self.properties[of][1].name, self.properties[of][1].name == self.properties[other][1].name
        self.slots[slot] = Slot(quoted(f"{name}2" if same else name))


def _with_article(words: str) -> str:
    if words.endswith("s") and not words.endswith(("ss", "us", "is")):
        return words  # a plural: `awards above 3`
    return f"{'an' if words.startswith(_VOWELS) else 'a'} {words}"


_FITS = {  # kind of slot -> does a property (that is the key, or is not) fit?
    "key": lambda p, key: key,
    "any": lambda p, key: not key and p.type != "BOOLEAN",
    "string": lambda p, key: p.type == "STRING",
    "group": lambda p, key: not key and p.type == "STRING" and bool(p.values),
    "number": lambda p, key: not key and p.numeric,
    "additive": lambda p, key: not key and p.numeric and p.additive,
    "ordered": lambda p, key: not key and (p.numeric or p.type == "DATE"),
    "optional": lambda p, key: not key and p.missing > 0,
    "optional_text": lambda p, key: not key and p.missing > 0 and p.type == "STRING",
    "flag": lambda p, key: p.type == "BOOLEAN",
}
