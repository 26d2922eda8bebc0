"""The slots of a template, drawn from a schema: one binding gives both the query and its question's words."""

from __future__ import annotations

import datetime
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heimdall_nb.dataset.graphs import GraphSchema, Label, Property, RelationshipType
from heimdall_nb.dataset.slots_values import Ends, InstanceValues, SampledValues, Values, literal, plain
from heimdall_nb.dataset.words import plural, plural_verb
from heimdall_nb.engines.cypher_tokens import quoted

# Who binds a template also chooses where its values come from, so both are imported from here.
__all__ = [
    "Binder",
    "Binding",
    "InstanceValues",
    "NoBinding",
    "Rule",
    "SampledValues",
    "Slot",
    "Values",
    "literal",
    "plain",
]

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
        """Draw every slot of a template's `bind`. Raises NoBinding when schema or values have nothing that fits."""
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
        self.put_relationship(slot, start, end, self.choose(fits))

    def _cross(self, slot: str, kind: str, start: str, end: str) -> None:
        """A relationship type whose new ends have labels that no other slot has, so that words tell them apart."""
        taken = {label.name for label in self.labels.values()}
        fits = []
        for item in self.schema.relationships:
            ends = ((start, item.start), (end, item.end))
            apart = all(
                self.labels[place].name == name if place in self.labels else name not in taken for place, name in ends
            )
            if apart and item.start != item.end and not any(item is other for other in self.relationships.values()):
                fits.append(item)
        self.put_relationship(slot, start, end, self.choose(fits))

    def put_relationship(self, slot: str, start: str, end: str, chosen: RelationshipType) -> None:
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

    def _starting(self, slot: str, kind: str, rel: str, of: str) -> None:
        """A value of a node that a relationship `rel` starts from; any value where there is no graph."""
        self._at_end(slot, of, [start for start, _ in self._ends(rel)])

    def _ending(self, slot: str, kind: str, rel: str, of: str) -> None:
        """A value of a node that a relationship `rel` leads to."""
        self._at_end(slot, of, [end for _, end in self._ends(rel)])

    def _linked(self, slot: str, kind: str, rel: str, of: str, start: str) -> None:
        """A value of a node that `rel` leads to from the node with the literal drawn last for property `start`."""
        name, value = self.properties[start][1].name, self.used[start][-1]
        self._at_end(slot, of, [b for a, b in self._ends(rel) if a.get(name) == value])

    def _forked(self, slot: str, kind: str, rel: str, of: str, other: str, end: str) -> None:
        """A value of a node that `rel` leads to from a node that `other` joins to the literal drawn last for `end`."""
        name, value = self.properties[end][1].name, self.used[end][-1]
        starts = [a for a, b in self._ends(other) if b.get(name) == value]
        self._at_end(slot, of, [b for a, b in self._ends(rel) if any(a is start for start in starts)])

    def _reachable(self, slot: str, kind: str, rel: str, of: str) -> None:
        """A value of a node that one to three steps along `rel` lead to from the literal drawn last for `of`."""
        name, found = self.properties[of][1].name, set(self.used[of][-1:])
        for _ in range(3):
            found |= {b[name] for a, b in self._ends(rel) if a.get(name) in found and name in b}
        self._at_end(slot, of, [{name: value} for value in found])

    def _ends(self, rel: str) -> list[Ends]:
        return self.values.ends(self.relationships[rel].type)

    def _at_end(self, slot: str, of: str, nodes: list[Mapping[str, Any]]) -> None:
        """A literal for property `of` from these nodes; from its pool where the values know no relationship."""
        if not any(self._ends(rel) for rel in self.relationships):
            return self._value(slot, "value", of)
        name, used = self.properties[of][1].name, self.used.get(of, ())
        self.put_literal(slot, of, self.choose(sorted({n[name] for n in nodes if name in n} - set(used))))

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

    def _high_end(self, slot: str, kind: str, of: str) -> None:
        pool = self.pool(of)
        self.put_literal(slot, of, self.choose(pool[-max(2, len(pool) // 4) : -1]))

    def _lowered(self, slot: str, kind: str, of: str) -> None:
        self.put_literal(slot, of, self.choose(self.pool(of)).lower())

    def _year(self, slot: str, kind: str, of: str) -> None:
        year = self.choose(sorted({value.year for value in self.pool(of)}))
        self.slots[slot] = Slot(str(year), (str(year),), value=year)

    def _separator(self, slot: str, kind: str, of: str) -> None:
        """A character that parts the texts of a property: most of them hold it."""
        pool = self.pool(of)
        mark = self.choose(mark for mark in " -_." if 2 * sum(mark in text for text in pool) > len(pool))
        self.slots[slot] = Slot(literal(mark), ("a space" if mark == " " else f"'{mark}'",), value=mark)

    def _pattern(self, slot: str, kind: str, of: str) -> None:
        """A regular expression for texts that start or end with some letters."""
        letters = [text for text in self.pool(of) if text[:2].isalpha() and text[-2:].isalpha()]
        text = self.choose(letters)
        self.put_literal(slot, of, f"{text[:2]}.*" if self.rng.random() < 0.5 else f".*{text[-2:]}")

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
        prop, taken = self.properties[of][1], [*self.pool(of), *self.used.get(of, ())]
        value = prop.sample(self.rng)
        if value in taken:
            extra = self.rng.randint(2, 99)
            largest = max((v for v in taken if v is not None and not isinstance(v, str)), default=value)
            more = datetime.timedelta(days=extra) if isinstance(value, datetime.date) else extra
            value = f"{value} {extra}" if isinstance(value, str) else largest + more
        self.put_literal(slot, of, value)

    def _length(self, slot: str, kind: str, of: str) -> None:
        size = max(1, len(self.choose(self.pool(of))) - self.rng.randint(1, 3))
        self.slots[slot] = Slot(str(size), (str(size),), value=size)

    def _count(self, slot: str, kind: str, low: str, high: str) -> None:
        number = self.rng.randint(int(low), int(high))
        self.slots[slot] = Slot(str(number), (str(number),), value=number)

    def _numeral(self, slot: str, kind: str, *options: str) -> None:
        number = self.choose(options)
        self.slots[slot] = Slot(number, (number,))

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
    "text_key": lambda p, key: key and p.type == "STRING",
    "any": lambda p, key: not key and p.type != "BOOLEAN",
    "string": lambda p, key: p.type == "STRING",
    "group": lambda p, key: not key and p.type == "STRING" and bool(p.values),
    "other_text": lambda p, key: not key and p.type == "STRING",
    "trait": lambda p, key: not key and (p.type == "BOOLEAN" or (p.type == "STRING" and bool(p.values))),
    "number": lambda p, key: not key and p.numeric,
    "integer": lambda p, key: not key and p.type == "INTEGER",
    "float": lambda p, key: not key and p.type == "FLOAT",
    "positive": lambda p, key: not key and p.numeric and bool(p.range) and p.range[0] >= 0,
    "date": lambda p, key: p.type == "DATE",
    "additive": lambda p, key: not key and p.numeric and p.additive,
    "ordered": lambda p, key: not key and (p.numeric or p.type == "DATE"),
    "optional": lambda p, key: not key and p.missing > 0,
    "optional_number": lambda p, key: not key and p.missing > 0 and p.numeric,
    "optional_text": lambda p, key: not key and p.missing > 0 and p.type == "STRING",
    "flag": lambda p, key: p.type == "BOOLEAN",
}
