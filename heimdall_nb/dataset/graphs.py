"""Property graph schemas: read from data/graphs, written as the model sees them, and filled with seeded data."""

from __future__ import annotations

import datetime
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate, count
from pathlib import Path
from typing import Any

import yaml

from heimdall_nb.dataset.words import plural, split_identifier
from heimdall_nb.engines.cypher_check import SchemaNames
from heimdall_nb.engines.cypher_tokens import quoted
from heimdall_nb.engines.graph import GraphInstance, Node, Relationship
from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA

GRAPHS = DATA / "graphs"
TYPES = ("STRING", "INTEGER", "FLOAT", "BOOLEAN", "DATE")
PARALLEL = 0.04  # share of relationships that are there twice
ISOLATED = 0.12  # share of nodes that no relationship starts from
PATIENCE = 4000  # values drawn for the keys of a label before its pool counts as used up


@dataclass(frozen=True)
class Property:
    """A property: its type, and where its values come from (a pool, parts to combine, or a range)."""

    name: str
    type: str
    words: str = ""
    values: tuple[Any, ...] = ()
    parts: tuple[tuple[str, ...], ...] = ()
    join: str = " "
    range: tuple[Any, ...] = ()
    decimals: int = 1
    step: int = 1
    missing: float = 0.0  # share of nodes without a value
    additive: bool = True  # false where a sum means nothing: years, grades, identifiers

    @property
    def numeric(self) -> bool:
        return self.type in ("INTEGER", "FLOAT")

    def sample(self, rng: random.Random) -> Any:
        """One value, missing ones aside."""
        if self.type == "BOOLEAN":
            return rng.random() < 0.5
        if self.parts:
            return self.join.join(rng.choice(pool) for pool in self.parts)
        if self.values:
            return rng.choice(self.values)
        low, high = self.range
        if self.type == "DATE":
            return datetime.date.fromordinal(rng.randint(low.toordinal(), high.toordinal()))
        if self.type == "FLOAT":
            return round(rng.uniform(low, high), self.decimals)
        return rng.randrange(low, high + 1, self.step)


@dataclass(frozen=True)
class Label:
    """A kind of node. `key` names the property that identifies it, `text` the one for full-text and vector indexes."""

    name: str
    key: str
    properties: Mapping[str, Property]
    words: str = ""
    plural: str = ""
    share: float = 1.0  # of the nodes, beside the other labels
    text: str = ""  # a STRING property; the key where the file names none (empty when that is no STRING)


@dataclass(frozen=True)
class RelationshipType:
    """A kind of relationship from `start` to `end`, with a verb phrase for each direction (third person singular)."""

    type: str
    start: str
    end: str
    says: str = ""  # start <says> end
    back: str = ""  # end <back> start
    each: tuple[int, int] = (0, 3)  # how many leave a start node
    properties: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphSchema:
    """Labels and relationships of a graph."""

    name: str
    title: str
    labels: Mapping[str, Label]
    relationships: tuple[RelationshipType, ...]
    benchmark: bool = False  # kept for data/benchmark: never generated into training

    def text(self) -> str:
        """The schema as the model sees it: one line a label, then one line a relationship type."""
        return self._text

    @cached_property
    def _text(self) -> str:
        lines = [
            f"(:{quoted(name)}{_property_list(label.properties, label.key)})" for name, label in self.labels.items()
        ]
        for item in self.relationships:
            ends = quoted(item.start), quoted(item.end)
            lines.append(f"(:{ends[0]})-[:{quoted(item.type)}{_property_list(item.properties)}]->(:{ends[1]})")
        return "\n".join(lines)

    def names(self) -> SchemaNames:
        """The names alone, as the check of queries needs them."""
        return SchemaNames(
            labels={name: set(label.properties) for name, label in self.labels.items()},
            relationships={item.type: set(item.properties) for item in self.relationships},
            ends={(item.start, item.type, item.end) for item in self.relationships},
        )


def _property_list(properties: Mapping[str, Property], key: str = "") -> str:
    if not properties:
        return ""
    items = [f"{quoted(name)}: {item.type}{' KEY' if name == key else ''}" for name, item in properties.items()]
    return " {" + ", ".join(items) + "}"


def schema_names(benchmark: bool | None = False) -> list[str]:
    """The names of the graphs in data/graphs, sorted: those for training, the reserved ones, or (None) all.

    Raises BadInput when one of the files is faulty.
    """
    return [name for name, reserved in _reserved().items() if benchmark in (None, reserved)]


@lru_cache(maxsize=1)
def _reserved() -> dict[str, bool]:
    """Each graph of data/graphs, and whether it is kept for the benchmark."""
    return {path.stem: load_schema(path).benchmark for path in sorted(GRAPHS.glob("*.yaml"))}


def load_schema(name_or_path: str | Path) -> GraphSchema:
    """Read a schema by name (data/graphs) or path. Raises BadInput that names the file and the entry at fault."""
    path = Path(name_or_path)
    if path.suffix != ".yaml":
        path = GRAPHS / f"{name_or_path}.yaml"
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except OSError:
        remedy = f"Choose one of: {', '.join(sorted(item.stem for item in GRAPHS.glob('*.yaml')))}."
        raise BadInput(f"there is no graph {str(name_or_path)!r}", str(path), remedy) from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        first = " ".join(str(problem).split())
        raise BadInput(f"is not YAML ({first})", str(path), "Mend the file.") from None
    return _Reader(path).schema(document)


class _Reader:
    """Turns a decoded YAML document into a schema; each fault is a BadInput with file and key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, what: str, *keys: str) -> BadInput:
        where = f"{self.path}, {'.'.join(keys) or 'top level'}"
        return BadInput(what, where, "See data/graphs/movies.yaml for the form.")

    def get(self, entry: Any, name: str, kind: Any, keys: tuple[str, ...], default: Any = None) -> Any:
        if not isinstance(entry, dict):
            raise self.fail("must be a mapping", *keys)
        value = entry.get(name, default)
        if value is None:
            raise self.fail("is missing", *keys, name)
        if not isinstance(value, kind):
            raise self.fail(f"must not be {type(value).__name__}", *keys, name)
        return value

    def known(self, entry: Any, names: set[str], keys: tuple[str, ...]) -> None:
        for name in sorted(set(map(str, entry)) - names) if isinstance(entry, dict) else []:
            raise self.fail(f"is not a known key (known are {', '.join(sorted(names))})", *keys, name)

    def schema(self, document: Any) -> GraphSchema:
        self.known(document, {"title", "benchmark", "labels", "relationships"}, ())
        labels = {
            name: self.label(name, entry, ("labels", name))
            for name, entry in self.get(document, "labels", dict, ()).items()
        }
        entries = self.get(document, "relationships", list, (), default=[])
        relationships = tuple(self.relationship(e, labels, ("relationships", str(i))) for i, e in enumerate(entries))
        if not labels:
            raise self.fail("has no label", "labels")
        benchmark = self.get(document, "benchmark", bool, (), default=False)
        return GraphSchema(self.path.stem, self.get(document, "title", str, ()), labels, relationships, benchmark)

    def label(self, name: str, entry: Any, keys: tuple[str, ...]) -> Label:
        self.known(entry, {"words", "plural", "key", "share", "text", "properties"}, keys)
        properties = self.properties(self.get(entry, "properties", dict, keys), keys)
        key = self.get(entry, "key", str, keys)
        if key not in properties:
            raise self.fail(f"{key!r} is not a property of {name}", *keys, "key")
        if properties[key].missing:
            raise self.fail("the key property must not be missing anywhere", *keys, "properties", key, "missing")
        words = self.get(entry, "words", str, keys, split_identifier(name))
        many = self.get(entry, "plural", str, keys, plural(words))
        share = float(self.get(entry, "share", (int, float), keys, 1.0))
        if share <= 0:
            raise self.fail("must be above 0", *keys, "share")
        text = self.get(entry, "text", str, keys, key if properties[key].type == "STRING" else "")
        if text and (text not in properties or properties[text].type != "STRING"):
            raise self.fail(f"{text!r} is not a STRING property of {name}", *keys, "text")
        return Label(name, key, properties, words, many, share, text)

    def relationship(self, entry: Any, labels: Mapping[str, Label], keys: tuple[str, ...]) -> RelationshipType:
        self.known(entry, {"type", "start", "end", "each", "says", "back", "properties"}, keys)
        ends = {end: self.get(entry, end, str, keys) for end in ("start", "end")}
        for end, label in ends.items():
            if label not in labels:
                raise self.fail(f"{label!r} is not a label", *keys, end)
        each = self.get(entry, "each", list, keys, [0, 3])
        if len(each) != 2 or not all(isinstance(n, int) for n in each) or not 0 <= each[0] <= each[1]:
            raise self.fail("must be [least, most]", *keys, "each")
        kind, says, back = (self.get(entry, name, str, keys) for name in ("type", "says", "back"))
        properties = self.properties(self.get(entry, "properties", dict, keys, {}), keys)
        return RelationshipType(kind, ends["start"], ends["end"], says, back, (each[0], each[1]), properties)

    def properties(self, entries: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Property]:
        return {name: self.property(name, entry, (*keys, "properties", name)) for name, entry in entries.items()}

    def property(self, name: str, entry: Any, keys: tuple[str, ...]) -> Property:
        simple = {"words": str, "join": str, "decimals": int, "step": int, "missing": (int, float), "additive": bool}
        self.known(entry, {*simple, "type", "values", "parts", "range"}, keys)
        kind = self.get(entry, "type", str, keys)
        if kind not in TYPES:
            raise self.fail(f"{kind!r} is not one of {', '.join(TYPES)}", *keys, "type")
        given = {option: self.get(entry, option, of, keys) for option, of in simple.items() if option in entry}
        given.setdefault("words", split_identifier(name))
        sources = {
            "values": tuple(self.get(entry, "values", list, keys, [])),
            "parts": tuple(tuple(map(str, pool)) for pool in self.get(entry, "parts", list, keys, [])),
            "range": self.range(kind, self.get(entry, "range", list, keys, []), keys),
        }
        if kind != "BOOLEAN" and not any(sources.values()):
            raise self.fail("needs values, parts or range", *keys)
        return Property(name, kind, **given, **sources)

    def range(self, kind: str, ends: list[Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
        if not ends:
            return ()
        try:
            low, high = (datetime.date.fromisoformat(str(end)) if kind == "DATE" else end for end in ends)
            if low <= high and (kind == "DATE" or not isinstance(low, str)):
                return low, high
        except (ValueError, TypeError):
            pass
        raise self.fail("must be [lowest, highest]", *keys, "range")


def instantiate(schema: GraphSchema, seed: int, nodes: int = 60) -> GraphInstance:
    """A graph of about `nodes` nodes: unique keys, missing values, nodes without relationships, parallel edges.

    The same schema, seed and size give the same graph. Raises BadInput for fewer nodes than labels.
    """
    if nodes < len(schema.labels):
        raise BadInput(f"{nodes} nodes are fewer than the {len(schema.labels)} labels", "nodes", "Ask for more.")
    rng = random.Random(f"instance {schema.name} {seed}")
    total = sum(label.share for label in schema.labels.values())
    made: dict[str, list[Node]] = {}
    numbers = count(1)
    for label in schema.labels.values():
        size = max(1, round(nodes * label.share / total))
        keys = _unique_values(label.properties[label.key], size, rng)
        made[label.name] = [Node(next(numbers), label.name, _values(label.properties, rng, label.key, k)) for k in keys]
    everything = [node for group in made.values() for node in group]
    relationships = [edge for kind in schema.relationships for edge in _relationships(kind, made, rng)]
    # Neither nodes nor relationships are stored in the order of their keys, so that a missing ORDER BY shows.
    rng.shuffle(everything)
    rng.shuffle(relationships)
    return GraphInstance(schema.name, tuple(everything), tuple(relationships))


def variation(schema: GraphSchema, graph: GraphInstance, seed: int) -> GraphInstance:
    """Another graph with the same nodes by label and key: the other properties and all relationships are drawn anew.

    A query that names a key finds its node in both; one that is right by luck on the first is often wrong here.
    """
    rng = random.Random(f"variation {schema.name} {seed}")
    made: dict[str, list[Node]] = {}
    for node in graph.nodes:
        label = schema.labels[node.label]
        values = _values(label.properties, rng, label.key, node.properties[label.key])
        made.setdefault(node.label, []).append(Node(node.key, node.label, values))
    everything = [node for group in made.values() for node in group]
    relationships = [edge for kind in schema.relationships for edge in _relationships(kind, made, rng)]
    rng.shuffle(everything)
    rng.shuffle(relationships)
    return GraphInstance(graph.name, tuple(everything), tuple(relationships))


def _unique_values(prop: Property, size: int, rng: random.Random) -> list[Any]:
    found: dict[Any, None] = {}
    for attempt in count():
        if len(found) == size:
            return list(found)
        value = prop.sample(rng)
        if attempt > min(20 * size, PATIENCE):  # the pool is used up: number the names, or look beyond the range
            value = f"{value} {attempt}" if isinstance(value, str) else _beyond(prop, attempt)
        found.setdefault(value)


def _beyond(prop: Property, attempt: int) -> Any:
    high = prop.range[1] if prop.range else max(prop.values)
    return high + datetime.timedelta(days=attempt) if prop.type == "DATE" else high + attempt


def _values(properties: Mapping[str, Property], rng: random.Random, key: str = "", value: Any = None) -> dict[str, Any]:
    drawn = {name: item.sample(rng) for name, item in properties.items() if rng.random() >= item.missing}
    return drawn | {key: value} if key else drawn


def _relationships(kind: RelationshipType, made: Mapping[str, list[Node]], rng: random.Random) -> list[Relationship]:
    ends = made[kind.end]
    # A few end nodes are chosen more often than the others, and some never, as in grown data.
    weights = [0.0 if rng.random() < ISOLATED else rng.expovariate(1) + 0.1 for _ in ends]
    if not any(weights):
        weights = [1.0] * len(ends)
    sums, places = list(accumulate(weights)), range(len(ends))
    edges = []
    for start in made[kind.start]:
        if kind.each[0] == 0 and rng.random() < ISOLATED:
            continue
        chosen = {rng.choices(places, cum_weights=sums)[0] for _ in range(rng.randint(*kind.each))}
        for place in sorted(chosen):
            if ends[place] is start:
                continue
            for _ in range(2 if rng.random() < PARALLEL and kind.each[1] > 1 else 1):
                edges.append(Relationship(kind.type, start.key, ends[place].key, _values(kind.properties, rng)))
    return edges
