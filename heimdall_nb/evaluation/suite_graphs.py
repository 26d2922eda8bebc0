"""The graphs of a test suite: random contents of one schema that hold what tells a gold query from its neighbours.

A graph is made from a `Frame` (the keys of the first instance, and each gold's constants) and a `Recipe` (a seed and a
few shares), so that a suite is a small file and every graph of it is made again byte for byte. Beside random values
and relationships a graph has the constants of the golds together on one node, their neighbours, missing values, few
distinct values, nodes without relationships, self loops, parallel and mirrored relationships.
"""

from __future__ import annotations

import datetime
import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heimdall_nb.dataset.graphs import GraphSchema, Property, RelationshipType
from heimdall_nb.engines.graph import GraphInstance, Node, Relationship
from heimdall_nb.evaluation.edits_names import named_properties
from heimdall_nb.evaluation.query_layout import Layout

ADDED = 0.4  # share of the keys that golds name to which a node with a key like it is added
EXACT = 0.5  # share of constants that are put in as they are, the others as a near neighbour
_LETTERS = "abcde fghij klmno pqrst"  # texts of a given length
FEW = 3  # most distinct values of a property that has few


@dataclass(frozen=True)
class Constant:
    """A value that a gold compares with: of a property of a label or relationship type (`owner`); dates as ISO text."""

    owner: str
    property: str
    value: str | int | float | bool


Profile = tuple[Constant, ...]  # the constants of one gold


@dataclass(frozen=True)
class Frame:
    """What all suite graphs of a schema share: the keys of each label's nodes, and the profiles of the golds."""

    keys: Mapping[str, tuple[Any, ...]]
    profiles: tuple[Profile, ...]


@dataclass(frozen=True)
class Recipe:
    """How one graph is made. All but `seed` and `degree` (a factor) are shares between 0 and 1."""

    seed: str
    missing: float = 0.1  # of the values of a property
    profiled: float = 0.5  # of the nodes that have the constants of a gold
    few: float = 0.2  # of the properties that have up to three distinct values
    degree: float = 1.0
    isolated: float = 0.1  # of the nodes that no relationship starts from
    parallel: float = 0.1  # of the relationships that are there twice
    loops: float = 0.0  # of the nodes that lead to themselves, where the schema lets them
    mirrored: float = 0.0  # of the relationships that are there in both directions, where the schema lets them
    linked: float = 0.5  # of the pairs of nodes with one gold's constants that are joined
    dropped: float = 0.0  # of the nodes that are left out
    absent: float = 0.0  # of the nodes whose key a gold names, and that are left out
    emptied: float = 0.0  # of the labels that have no node
    digest: str = ""  # of the graph as it was when the suite was made; empty where it is not known


_DRAWN: Mapping[str, Sequence[float]] = {
    "missing": (0.0, 0.08, 0.08, 0.25),
    "profiled": (0.3, 0.5, 0.7),
    "few": (0.0, 0.2, 0.5),
    "degree": (0.5, 1.0, 1.0, 1.8),
    "isolated": (0.1, 0.1, 0.35),
    "parallel": (0.05, 0.2, 0.4),
    "loops": (0.0, 0.05, 0.15),
    "mirrored": (0.0, 0.1, 0.3),
    "linked": (0.2, 0.5, 0.8),
    "dropped": (0.0, 0.0, 0.3),
    "absent": (0.0, 0.0, 0.3),
    "emptied": (0.0, 0.0, 0.2),
}


def draw_recipe(seed: str) -> Recipe:
    """A recipe with random shares; the same seed gives the same recipe."""
    rng = random.Random(f"recipe {seed}")
    return Recipe(seed, **{name: rng.choice(shares) for name, shares in _DRAWN.items()})


def frame(schema: GraphSchema, instance: GraphInstance, golds: Sequence[str]) -> Frame:
    """The keys of `instance`, and what `golds` compare with."""
    keys = {
        name: tuple(_plain(node.properties[label.key]) for node in instance.nodes if node.label == name)
        for name, label in schema.labels.items()
    }
    profiles = dict.fromkeys(profile(gold, schema) for gold in golds)
    profiles.update(dict.fromkeys([namesakes(item, schema) for item in profiles]))
    return Frame(keys, tuple(item for item in profiles if item))


def namesakes(constants: Profile, schema: GraphSchema) -> Profile:
    """The constants for other labels that have the property too: on them a gold without its label finds more."""
    return tuple(
        Constant(label.name, constant.property, constant.value)
        for constant in constants
        for label in schema.labels.values()
        if constant.owner in schema.labels
        and label.name != constant.owner
        and constant.property in label.properties
        and label.properties[constant.property].type == schema.labels[constant.owner].properties[constant.property].type
    )


def profile(query: str, schema: GraphSchema) -> Profile:
    """The constants of a query, each with the property that it is compared with; with all that fit if none is near."""
    layout = Layout(query)
    named = [(place, owner, prop) for place, owner, prop, _ in named_properties(layout, schema)]
    found: dict[Constant, None] = {}
    for place, token in enumerate(layout.tokens):
        literal = _literal(token.kind, token.text)
        if literal is None:
            continue
        clause = layout.clause_of(place)
        near = [item for item in named if clause.at <= item[0] < place]
        chosen = [max(near)[1:]] if near else [(owner, prop) for _, owner, prop in named]
        for owner, prop in chosen:
            found.update(dict.fromkeys(Constant(owner, prop.name, value) for value in _fitting(prop, literal)))
    return tuple(found)


def _literal(kind: str, text: str) -> Any:
    if kind == "string":
        return text.replace("\\'", "'").replace('\\"', '"').replace("\\\\", "\\")
    if kind == "number" and text.replace(".", "", 1).isdigit():
        return float(text) if "." in text else int(text)
    return {"TRUE": True, "FALSE": False}.get(text.upper()) if kind == "word" else None


def _fitting(prop: Property, literal: Any) -> list[Any]:
    """The literal as a value of the property; a number beside a date is a year. Empty where it fits not at all."""
    if prop.type == "DATE":
        if isinstance(literal, str):
            try:
                return [datetime.date.fromisoformat(literal).isoformat()]
            except ValueError:
                return []
        year = literal if isinstance(literal, int) and 1000 <= literal < 9999 else None
        return [f"{year:04}-01-01", f"{year:04}-12-31"] if year else []
    if isinstance(literal, bool) or prop.type == "BOOLEAN":
        return [literal] if isinstance(literal, bool) and prop.type == "BOOLEAN" else []
    if prop.type == "STRING":
        if isinstance(literal, int):  # a length, as of size() or substring()
            return [_LETTERS[:n] for n in (literal - 1, literal, literal + 1) if 0 < n <= len(_LETTERS)]
        return [literal] if isinstance(literal, str) and literal else []
    if isinstance(literal, str):
        return []
    return [literal] if prop.numeric and (prop.type == "FLOAT" or isinstance(literal, int)) else []


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.date) else value


def build(schema: GraphSchema, base: Frame, recipe: Recipe) -> GraphInstance:
    """The graph of a recipe: nodes and relationships in an order, and with numbers, that say nothing about them."""
    return _Builder(schema, base, recipe).graph()


def digest(graph: GraphInstance) -> str:
    """A short hash of everything in a graph, in its order."""
    parts = [f"{n.key} {n.label} {list(n.properties.items())}" for n in graph.nodes]
    parts += [f"{r.type} {r.start} {r.end} {list(r.properties.items())}" for r in graph.relationships]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@dataclass
class _Builder:
    schema: GraphSchema
    base: Frame
    recipe: Recipe
    rng: random.Random = field(init=False)
    pools: dict[tuple[str, str], list[Any]] = field(default_factory=dict)  # properties with few values
    known: dict[tuple[str, str], list[Any]] = field(default_factory=dict)  # what golds compare a property with
    members: dict[int, list[Node]] = field(default_factory=dict)  # profile -> nodes that have its constants

    def __post_init__(self) -> None:
        self.rng = random.Random(f"suite graph {self.schema.name} {self.recipe.seed}")
        for constant in (constant for profile in self.base.profiles for constant in profile):
            self.known.setdefault((constant.owner, constant.property), []).append(constant.value)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def graph(self) -> GraphInstance:
        keys = {name: self.keys_of(name) for name in self.schema.labels}
        numbers = list(range(1, 1 + sum(map(len, keys.values()))))
        self.rng.shuffle(numbers)
        nodes = {name: [self.node(numbers.pop(), name, key) for key in found] for name, found in keys.items()}
        relationships = [edge for kind in self.schema.relationships for edge in self.edges(kind, nodes)]
        everything = [node for group in nodes.values() for node in group]
        self.rng.shuffle(everything)
        self.rng.shuffle(relationships)
        return GraphInstance(self.schema.name, tuple(everything), tuple(relationships))

    def keys_of(self, name: str) -> list[Any]:
        """The first instance's keys, some left out; keys that golds name, and others like them, are added."""
        prop = self.schema.labels[name].properties[self.schema.labels[name].key]
        named = [c.value for p in self.base.profiles for c in p if (c.owner, c.property) == (name, prop.name)]
        if self.chance(self.recipe.emptied):
            return []
        kept = [
            key
            for key in self.base.keys[name]
            if not self.chance(self.recipe.absent if key in named else self.recipe.dropped)
        ]
        for value in dict.fromkeys(named):
            other = _plain(self.near(prop, value))
            if self.chance(ADDED) and other not in kept and (other != value or value not in self.base.keys[name]):
                kept.append(other)
        return kept

    def node(self, number: int, label: str, key: Any) -> Node:
        entry = self.schema.labels[label]
        values = {name: self.value(label, prop) for name, prop in entry.properties.items() if name != entry.key}
        own = [k for k, p in enumerate(self.base.profiles) if any(c == Constant(label, entry.key, key) for c in p)]
        fits = [k for k, p in enumerate(self.base.profiles) if any(c.owner == label for c in p)]
        chosen = self.rng.choice(own) if own else self.rng.choice(fits) if fits else None
        takes = chosen is not None and self.chance(self.recipe.profiled)
        if takes:
            values |= self.constants(chosen, label, entry.properties, skip=entry.key)
        values = {name: value for name, value in values.items() if value is not None}
        node = Node(number, label, values | {entry.key: _value(entry.properties[entry.key], key)})
        for k in dict.fromkeys([*own, *([chosen] if takes else [])]):
            self.members.setdefault(k, []).append(node)
        return node

    def constants(self, number: int, owner: str, properties: Mapping[str, Property], skip: str = "") -> dict[str, Any]:
        """A profile's constants for this owner, some exactly and some nearly."""
        found: dict[str, list[Any]] = {}
        for constant in self.base.profiles[number]:
            if constant.owner == owner and constant.property != skip and constant.property in properties:
                found.setdefault(constant.property, []).append(constant.value)
        return {name: self.near(properties[name], self.rng.choice(values)) for name, values in found.items()}

    def value(self, owner: str, prop: Property) -> Any:
        if self.chance(self.recipe.missing):
            return None
        if (known := self.known.get((owner, prop.name))) and self.chance(self.recipe.profiled / 2):
            return self.near(prop, self.rng.choice(known))
        if (owner, prop.name) not in self.pools:
            few = self.chance(self.recipe.few)
            size = self.rng.randint(1, FEW)
            self.pools[owner, prop.name] = [prop.sample(self.rng) for _ in range(size)] if few else []
        pool = self.pools[owner, prop.name]
        return self.rng.choice(pool) if pool else prop.sample(self.rng)

    def near(self, prop: Property, constant: Any) -> Any:
        """The constant as it is, or a value next to it: one more or less, a day beside, a text around or before it."""
        value = _value(prop, constant)
        if self.chance(EXACT):
            return value
        if prop.type == "BOOLEAN":
            return not value
        if prop.type == "DATE":
            return value + datetime.timedelta(days=self.rng.choice((-1, 1)))
        if prop.type == "INTEGER":
            return value + self.rng.choice((-1, 1))
        if prop.type == "FLOAT":
            return round(value + self.rng.choice((-0.1, 0.1, -0.05, 0.05)), max(2, prop.decimals))
        word = str(prop.sample(self.rng)).split(" ")[0]
        return self.rng.choice((f"{value} {word}", f"{word} {value}", f"{word}{value}{word}", f"{value}{word}"))

    def edges(self, kind: RelationshipType, nodes: Mapping[str, list[Node]]) -> list[Relationship]:
        starts, ends = nodes[kind.start], nodes[kind.end]
        if not starts or not ends:
            return []
        weights = [0.0 if self.chance(self.recipe.isolated) else self.rng.expovariate(1) + 0.1 for _ in ends]
        if not any(weights):
            weights = [1.0] * len(ends)
        linked = self.linked(kind)
        found: list[Relationship] = []
        for start in starts:
            chosen = list(linked.get(start.key, []))
            if not self.chance(self.recipe.isolated):
                number = round(self.rng.randint(*kind.each) * self.recipe.degree)
                chosen += self.rng.choices(ends, weights, k=min(number, len(ends)))
            if kind.start == kind.end:
                chosen = [end for end in chosen if end is not start]
                chosen += [start] if self.chance(self.recipe.loops) else []
            for end in list({end.key: end for end in chosen}.values())[: 1 if kind.each[1] == 1 else None]:
                found += self.edge(kind, start, end)
        return found

    def edge(self, kind: RelationshipType, start: Node, end: Node) -> list[Relationship]:
        """One relationship, or two where it is there twice or in both directions. A type with one a start stays so."""
        pairs = [(start.key, end.key)]
        if kind.each[1] > 1:
            pairs += pairs if self.chance(self.recipe.parallel) else []
            mirrored = kind.start == kind.end and start is not end and self.chance(self.recipe.mirrored)
            pairs += [(end.key, start.key)] if mirrored else []
        return [Relationship(kind.type, a, b, self.edge_values(kind)) for a, b in pairs]

    def edge_values(self, kind: RelationshipType) -> dict[str, Any]:
        values = {name: self.value(kind.type, prop) for name, prop in kind.properties.items()}
        fits = [k for k, p in enumerate(self.base.profiles) if any(c.owner == kind.type for c in p)]
        if fits and self.chance(self.recipe.profiled):
            values |= self.constants(self.rng.choice(fits), kind.type, kind.properties)
        return {name: value for name, value in values.items() if value is not None}

    def linked(self, kind: RelationshipType) -> dict[int, list[Node]]:
        """Start -> ends among the nodes that have one gold's constants: its pattern then finds something."""
        found: dict[int, list[Node]] = {}
        for _, members in sorted(self.members.items()):
            starts = [node for node in members if node.label == kind.start]
            ends = [node for node in members if node.label == kind.end]
            for start in starts[:FEW]:
                for end in ends[:FEW]:
                    if start is not end and self.chance(self.recipe.linked):
                        found.setdefault(start.key, []).append(end)
        return found


def _value(prop: Property, plain: Any) -> Any:
    return datetime.date.fromisoformat(plain) if prop.type == "DATE" else plain
