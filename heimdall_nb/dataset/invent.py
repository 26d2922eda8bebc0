"""Schemas that no one has seen, without bound: domains mixed anew, word lists of six languages, and invented words.

A small model copies a name token by token, and can do so only for tokens that it has met inside names. So names come
from many words, in every naming style, and a share of them are no words at all.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heimdall_nb.dataset.domains import Attribute, Domain, Entity, Link, domains
from heimdall_nb.dataset.graphs import GraphSchema, Label, Property, RelationshipType
from heimdall_nb.dataset.invent_values import property_of
from heimdall_nb.dataset.invent_words import Lexicon, drawn_word, lexicons, styled
from heimdall_nb.dataset.words import past, plural, split_identifier, third_person

RENAMED = 0.12  # share of a domain's names that other words replace
_SOURCES = {"domain": 0.33, "mixed": 0.2, "words": 0.29, "foreign": 0.18}  # where the names of a schema come from
_LANGUAGES = {"es": 0.4, "de": 0.2, "fr": 0.2, "it": 0.1, "pt": 0.1}  # of the foreign ones; the longer lists more often
_KINDS = ("STRING", "STRING", "STRING", "INTEGER", "INTEGER", "FLOAT", "DATE", "BOOLEAN")
_KEYS = ("name", "name", "title", "code", "id", "label", "number")
_TENSES = ("present", "past", "passive", "has", "present")
# Words that mean something in Cypher, in an alias of the templates, or to the reader of a question.
_RESERVED = frozenset(
    "all and as asc by call case contains create date delete desc detach distinct else end ends exists false in is "
    "limit match merge n not null on optional or order remove result return set skip starts then true union unwind "
    "value when where with xor yield item items level total average lowest highest a b c r".split()
)


@dataclass(frozen=True)
class Size:
    """How much a schema may hold; each number is drawn from its choices."""

    labels: tuple[int, ...] = (2, 3, 4, 4, 4, 5, 6)
    properties: tuple[int, ...] = (2, 3, 4, 5)  # of a label, beside its key
    relationships: tuple[int, ...] = (3, 4, 5, 5, 6, 7)  # at most


SMALL = Size((1, 2, 2), (1, 2), (1, 2))


def invent_schema(rng: random.Random, size: Size = Size()) -> GraphSchema:
    """A random schema of a few labels and relationship types; its name is always `invented`."""
    source = rng.choices(tuple(_SOURCES), tuple(_SOURCES.values()))[0]
    return Inventor(rng, source, size).schema()


def _language(rng: random.Random) -> Lexicon:
    return lexicons()[rng.choices(tuple(_LANGUAGES), tuple(_LANGUAGES.values()))[0]]


@dataclass(frozen=True)
class _Style:
    """How the identifiers of a schema are written; None keeps them as a domain has them."""

    label: str | None
    property: str | None
    type: str | None


class Inventor:
    """Draws the names of one schema: words that no other name of it consists of, and identifiers in one style."""

    def __init__(self, rng: random.Random, source: str = "words", size: Size = Size()) -> None:
        self.rng, self.source, self.size = rng, source, size
        self.taken: set[str] = set(_RESERVED)
        self.lexicon: Lexicon | None = _language(rng) if source == "foreign" else None
        self.style = self._style()

    def _style(self) -> _Style:
        if self.source == "domain" and self.rng.random() < 0.7:
            return _Style(None, None, None)
        if self.rng.random() < 0.06:  # names that need back-ticks
            return _Style(self.rng.choice(("pascal", "title")), "plain", self.rng.choice(("upper", "plain")))
        label = self.rng.choice(("pascal",) * 7 + ("upper", "snake", "camel"))
        prop = self.rng.choice(("camel",) * 6 + ("snake",) * 3 + ("pascal",))
        return _Style(label, prop, self.rng.choice(("upper",) * 7 + ("camel", "snake")))

    def word(self, kind: str) -> str:
        """A word of the list `kind` (nouns, verbs, adjectives), or one that is none."""
        return drawn_word(self.rng, kind)

    def fresh(self, compound: float, kind: str = "nouns") -> list[str]:
        """One or two words that no other name of this schema consists of."""
        while True:
            words = [self.word(kind)]
            if self.rng.random() < compound:
                words.insert(0, self.word(self.rng.choice(("adjectives", "nouns"))))
            if self.claim(" ".join(words)):
                return words

    def claim(self, text: str) -> bool:
        """Whether `text` was free; it is taken from now on."""
        free = text.lower() not in self.taken
        self.taken.add(text.lower())
        return free

    def named(self, kind: str, compound: float) -> tuple[list[str], str]:
        """(the words of an identifier, what people say): the same words, or a foreign word and the English one."""
        if self.lexicon is None or self.rng.random() < 0.15:
            words = self.fresh(compound, kind)
            return words, " ".join(words)
        pairs = self.lexicon.adjectives if kind == "adjectives" else self.lexicon.nouns
        while True:
            english, foreign = self.rng.choice(pairs)
            if self.claim(english) and self.claim(foreign):
                return foreign.split(), english

    def schema(self) -> GraphSchema:
        """A schema from this inventor's source."""
        domain = self.rng.choice(domains()) if self.source == "domain" else self.domain()
        labels, links = self.part_of(domain)
        made = {entity.name: self.label(entity) for entity in labels}
        relationships = [self.relationship(link, made) for link in links]
        by_type = {(item.type, item.start, item.end): item for item in relationships}
        return GraphSchema("invented", "", {item.name: item for item in made.values()}, tuple(by_type.values()))

    def part_of(self, domain: Domain) -> tuple[list[Entity], list[Link]]:
        """Some labels of a domain, joined where they can be, and some of the relationships between them."""
        number = self.rng.choice(self.size.labels)
        links = self.rng.sample(domain.links, len(domain.links))
        chosen: dict[str, None] = dict.fromkeys([links[0].start])
        for link in links:
            if len({*chosen, link.start, link.end}) <= number and {link.start, link.end} & set(chosen):
                chosen |= dict.fromkeys((link.start, link.end))
        inside = [link for link in links if link.start in chosen and link.end in chosen]
        return [domain.entities[name] for name in chosen], inside[: self.rng.choice(self.size.relationships)]

    def label(self, entity: Entity) -> Label:
        key, *others = entity.attributes
        kept = [key, *self.rng.sample(others, min(len(others), self.rng.choice(self.size.properties)))]
        properties = [self.property(item) for item in kept]
        known = {item.name: item for item in properties}
        name, words = self.identifier(entity.name, entity.words, self.style.label)
        text = properties[0].name if properties[0].type == "STRING" else ""
        return Label(name, properties[0].name, known, words, plural(words), text=text)

    def property(self, item: Attribute) -> Property:
        name, words = self.identifier(item.name, item.words, self.style.property)
        return property_of(name, words, item.kind, item.key, self.rng)

    def identifier(self, name: str, words: str, style: str | None) -> tuple[str, str]:
        """(identifier, words) in this schema's style; a few of a domain's are replaced by others."""
        if self.source == "domain" and self.rng.random() < RENAMED:
            fresh = self.fresh(0.3)
            return styled(fresh, style or ("pascal" if name[0].isupper() else "camel")), " ".join(fresh)
        return (styled(split_identifier(name).split(), style) if style else name), words

    def relationship(self, link: Link, labels: dict[str, Label]) -> RelationshipType:
        properties = [self.property(item) for item in link.attributes]
        name = styled(split_identifier(link.name).split(), self.style.type) if self.style.type else link.name
        ends = labels[link.start].name, labels[link.end].name
        return RelationshipType(name, *ends, link.says, link.back, properties={p.name: p for p in properties})

    # -- where a schema does not come from one domain

    def domain(self) -> Domain:
        """A domain put together for one schema: from parts of the known ones, or from words."""
        make = self.mixed_entity if self.source == "mixed" else self.new_entity
        entities: dict[str, Entity] = {}
        number = self.rng.choice((2, 3, 4, 4, 5, 6))
        while len(entities) < number:
            entity = make()
            entities.setdefault(entity.name, entity)
        links = [self.link(list(entities)) for _ in range(self.rng.randint(2, 8))]
        distinct = {link.name: link for link in links}
        return Domain("invented", entities, tuple(distinct.values()))

    def mixed_entity(self) -> Entity:
        """A label of one domain with properties of others."""
        entity = self.entity_of_any()
        strangers = [self.rng.choice(self.entity_of_any().attributes[1:]) for _ in range(2)]
        found = {item.words: item for item in (*entity.attributes, *strangers)}
        return Entity(entity.name, entity.words, _distinct(found.values()))

    def entity_of_any(self) -> Entity:
        return self.rng.choice(tuple(self.rng.choice(domains()).entities.values()))

    def new_entity(self) -> Entity:
        words, spoken = self.named("nouns", 0.2)
        attributes = [self.key(), *(self.attribute() for _ in range(self.rng.randint(2, 5)))]
        return Entity(styled(words, "pascal"), spoken, _distinct(attributes))

    def key(self) -> Attribute:
        kind = "INTEGER" if self.rng.random() < 0.2 else "STRING"
        if self.lexicon is None and self.rng.random() < 0.6:
            name = self.rng.choice(_KEYS)
            return Attribute(name, "identifier" if name == "id" else name, kind, True)
        words, spoken = self.named("nouns", 0.3)
        return Attribute(styled(words, "camel"), spoken, kind, True)

    def attribute(self, compound: float = 0.3) -> Attribute:
        kind = self.rng.choice(_KINDS)
        words, spoken = self.named("adjectives" if kind == "BOOLEAN" else "nouns", compound)
        if kind != "BOOLEAN" and self.lexicon is None and self.rng.random() < 0.15:  # people say more than the name
            spoken = f"{self.word(self.rng.choice(('nouns', 'adjectives')))} {spoken}"
        return Attribute(styled(words, "camel"), spoken, kind)

    def link(self, labels: Sequence[str]) -> Link:
        attributes = _distinct(self.attribute(0.1) for _ in range(self.rng.choice((0, 0, 1, 1, 2))))
        start, end = self.rng.choice(labels), self.rng.choice(labels)
        if self.source == "mixed":
            other = self.rng.choice(self.rng.choice(domains()).links)
            return Link(other.name, start, end, other.says, other.back, other.attributes)
        if self.lexicon is not None:
            says, back, foreign = self.rng.choice(self.lexicon.verbs)
            return Link(styled(foreign.split(), "upper"), start, end, says, back, attributes)
        words, says, back = self.phrase(self.fresh(0.0, "verbs")[0], self.rng.choice(_TENSES))
        return Link(styled(words, "upper"), start, end, says, back, attributes)

    def phrase(self, verb: str, tense: str) -> tuple[list[str], str, str]:
        """(words of the type, says, back) of a regular verb."""
        done, does = past(verb), third_person(verb)
        if tense == "past":
            return [done], done, f"was {done} by"
        if tense == "passive":
            return [done, "by"], f"was {done} by", done
        if tense == "has":
            return ["has", done], f"has {done}", f"was {done} by"
        return [does if self.rng.random() < 0.6 else verb], does, f"is {done} by"


def _distinct(attributes: Iterable[Attribute]) -> tuple[Attribute, ...]:
    """Attributes without a second one of the same name or words; the first (the key) stays first."""
    names: dict[str, Attribute] = {}
    words: set[str] = set()
    for item in attributes:
        if item.name.lower() not in names and item.words not in words:
            names[item.name.lower()] = item
            words.add(item.words)
    return tuple(names.values())
