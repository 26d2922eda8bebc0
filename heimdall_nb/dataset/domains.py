"""Small graph domains as people know them: data/domains, from which schemas of the base's corpus are put together.

A domain has labels with properties and relationships, each with its identifier and with the words that people say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from heimdall_nb.dataset.words import split_identifier
from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA

DOMAINS = DATA / "domains"
KINDS = {"s": "STRING", "i": "INTEGER", "f": "FLOAT", "d": "DATE", "b": "BOOLEAN"}
_PROPERTY = re.compile(r"(?P<name>\w+)(?P<key>!?)(?:=(?P<words>[^:]+))?:(?P<kind>[sifdb])")
_RELATIONSHIP = re.compile(r"(?P<name>\w+)\s*(?:\{(?P<properties>.*)\})?")


@dataclass(frozen=True)
class Named:
    """An identifier and the words that people say for it."""

    name: str
    words: str


@dataclass(frozen=True)
class Attribute(Named):
    """A property: `kind` is its type, `key` whether it identifies its node."""

    kind: str
    key: bool = False


@dataclass(frozen=True)
class Entity(Named):
    """A label with its properties; the first one is the key."""

    attributes: tuple[Attribute, ...]


@dataclass(frozen=True)
class Link:
    """A relationship type: `start` says `end`, `end` back `start`; the ends are names of labels."""

    name: str
    start: str
    end: str
    says: str
    back: str
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True)
class Domain:
    """Labels by name, and the relationship types between them."""

    name: str
    entities: Mapping[str, Entity]
    links: tuple[Link, ...]


@lru_cache(maxsize=1)
def domains() -> tuple[Domain, ...]:
    """All domains, by file and in the order of each file. Raises BadInput for what has not the form given there."""
    return tuple(domain for path in sorted(DOMAINS.glob("*.yaml")) for domain in read_domains(path))


def read_domains(path: Path) -> list[Domain]:
    """The domains of one file. Raises BadInput with file and domain for a line that has another form."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise BadInput(f"cannot be read ({' '.join(str(problem).split())})", str(path), "Mend the file.") from None
    if not isinstance(document, dict) or not all(isinstance(entry, dict) for entry in document.values()):
        raise BadInput("is no mapping of domains", str(path), "See data/domains/business.yaml for the form.")
    return [_domain(name, entry, f"{path}, {name}") for name, entry in document.items()]


def _domain(name: str, entry: Mapping[str, Any], where: str) -> Domain:
    entities = {}
    for label, text in entry.items():
        if label != "relationships":
            identifier, _, words = label.partition("=")
            attributes = sorted(_attributes(text, where), key=lambda item: not item.key)
            if sum(item.key for item in attributes) != 1:
                raise BadInput(f"the label {identifier} has not one key", where, "Mark one property with `!`.")
            entities[identifier] = Entity(identifier, words or split_identifier(identifier), tuple(attributes))
    return Domain(name, entities, tuple(_link(text, entities, where) for text in entry.get("relationships", ())))


def _link(text: str, entities: Mapping[str, Entity], where: str) -> Link:
    parts = [part.strip() for part in text.split(";")]
    found = _RELATIONSHIP.fullmatch(parts[0])
    if not found or len(parts) != 5 or not {parts[1], parts[2]} <= set(entities):
        raise BadInput(f"`{text}` is no relationship", where, "Write TYPE {properties}; Start; End; says; back.")
    return Link(found["name"], *parts[1:], attributes=tuple(_attributes(found["properties"] or "", where)))


def _attributes(text: str, where: str) -> Sequence[Attribute]:
    attributes = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _PROPERTY.fullmatch(part)
        if not found:
            raise BadInput(f"`{part}` is no property", where, "Write name!=words:type, with s, i, f, d or b.")
        words = found["words"] or split_identifier(found["name"])
        attributes.append(Attribute(found["name"], words, KINDS[found["kind"]], bool(found["key"])))
    return attributes
