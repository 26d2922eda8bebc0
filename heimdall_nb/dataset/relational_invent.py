"""Relational schemas that no one has seen: two to eight tables that point to one another, in the styles of databases.

The words come from the domains of data/domains, from word lists, or are invented, as in the corpus's graphs.
"""

from __future__ import annotations

import datetime
import random
from dataclasses import replace
from functools import cache

from heimdall_nb.dataset import classicmodels, domains
from heimdall_nb.dataset.invent_values import value
from heimdall_nb.dataset.invent_words import drawn_word, styled, word_lists
from heimdall_nb.dataset.relational import ROWS, Attribute, Entity, RelationalSchema, document, invented_rows
from heimdall_nb.dataset.words import past, plural, split_identifier

DOMAIN = 0.4  # share of schemas whose tables come from a domain
MAX_COLUMNS = 9
_TABLES = (2, 3, 3, 4, 4, 5, 6, 8)  # of a schema
NULLABLE = 0.15  # share of columns that may hold NULL
# (style of tables, style of columns, whether a table's name is a plural); `joined` is lower case run together.
_STYLES = (
    *[("joined", "camel", True)] * 4,
    *[("snake", "snake", True)] * 3,
    *[("camel", "camel", True)] * 2,
    ("snake", "snake", False),
    ("pascal", "pascal", False),
    ("pascal", "camel", True),
    ("joined", "joined", True),
    ("upper", "upper", True),
)
_KEY_ENDINGS = ("id", "id", "number", "number", "no", "code", "code")
_TITLES = ("name", "title", "label")  # a column with such a last word names the rows
_KINDS = (*("text",) * 4, *("number",) * 4, *("date",) * 3, "flag")
_SIZES = (3, 4, 5, 5, 6, 6, 7, 8, 9)  # columns of a table
_DOMAIN_KINDS = {"STRING": "text", "INTEGER": "number", "FLOAT": "number", "DATE": "date", "BOOLEAN": "flag"}
_ROLES = "parent manager head leader mentor previous main chief".split()
_TYPES = {"text": "varchar(60)", "title": "varchar(80)", "date": "date", "flag": "tinyint"}


def invent_relational(rng: random.Random) -> RelationalSchema:
    """A random schema of two to eight tables with three to nine columns each, and about 40 rows a table."""
    entities = tuple(_Inventor(rng).entities())
    return RelationalSchema(entities, invented_rows(entities, rng))


@cache
def _reserved() -> frozenset[str]:
    """Names that no table or column has: words of MySQL and SQLite, and the tables that are kept for fine-tuning."""
    return frozenset(document()["reserved"].split()) | {table.name for table in classicmodels.tables()}


def _names_rows(model: domains.Attribute) -> bool:
    return model.kind == "STRING" and split_identifier(model.name).split()[-1] in _TITLES


class _Inventor:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.table_style, self.column_style, self.plural_tables = rng.choice(_STYLES)
        self.plain_keys = rng.random() < 0.3  # `id` in every table
        self.key_ending = rng.choice(_KEY_ENDINGS)
        self.taken: set[str] = {"total", "average", "lowest", "highest", "item", "items"}  # words of the questions
        self.made: list[Entity] = []
        self.models: list[domains.Entity] = []  # what the next tables are made after
        if rng.random() < DOMAIN:
            models = list(rng.choice(domains.domains()).entities.values())
            self.models = rng.sample(models, len(models))

    def entities(self) -> list[Entity]:
        number, link = self.rng.choice(_TABLES), self.rng.random() < 0.45
        for index in range(number - 1 if link and number > 2 else number):
            self.made.append(self.entity(index))
        if len(self.made) < number:
            self.made.append(self.link_table())
        return self.made

    def word(self, kind: str) -> str:
        return drawn_word(self.rng, kind)

    def fresh(self, compound: float, kind: str = "nouns") -> list[str]:
        """One or two words that no other name of this schema consists of."""
        while True:
            words = [self.word(kind)]
            if self.rng.random() < compound:
                words.insert(0, self.word(self.rng.choice(("adjectives", "nouns"))))
            if " ".join(words) not in self.taken and words[-1] not in _TITLES:
                self.taken.add(" ".join(words))
                return words

    def entity(self, index: int) -> Entity:
        model = self.models.pop() if self.models else None
        words, one, name = self.table_name(0.25, model)
        given = [a for a in model.attributes if not (a.key or _names_rows(a))] if model else []
        columns = self.head(words, model)
        parents = self.rng.sample(self.made, min(index, self.rng.choice((1, 1, 1, 1, 2))))
        targets = {}
        for parent in parents:
            column = self.reference(parent, columns)
            targets[column.name] = (parent.name, parent.key[0])
            columns.append(column)
        room = MAX_COLUMNS - len(columns)
        if room > 1 and self.rng.random() < 0.25:
            column = self.own_reference(columns)
            targets[column.name] = (name, columns[0].name)
            columns.append(column)
        self.fill(columns, words, given, max(len(columns) + 1, self.rng.choice(_SIZES)))
        head = 2 if columns[1].kind == "title" else 1
        columns[head:] = self.rng.sample(columns[head:], len(columns) - head)
        return Entity(name, one, plural(one), tuple(columns), (columns[0].name,), targets)

    def link_table(self) -> Entity:
        """A table between two others, whose key is the pair of its references."""
        parents = self.rng.sample(self.made, 2)
        pair = [parent.one.split()[-1] for parent in parents] if self.rng.random() < 0.4 else None
        words, one, name = self.table_name(0.5, first=pair)
        columns: list[Attribute] = []
        for parent in parents:
            columns.append(replace(self.reference(parent, columns, role=0.0), nullable=False))
        targets = {c.name: (parent.name, parent.key[0]) for c, parent in zip(columns, parents, strict=True)}
        self.fill(columns, words, [], self.rng.randint(3, 5))
        return Entity(name, one, plural(one), tuple(columns), tuple(targets), targets)

    def table_name(
        self, compound: float, model: domains.Entity | None = None, first: list[str] | None = None
    ) -> tuple[list[str], str, str]:
        """The words of the name, what one row is called, and the name itself, which no other table has."""
        taken = {entity.name.lower() for entity in self.made} | {entity.many for entity in self.made} | _reserved()
        words = split_identifier(model.name).split() if model else first or self.fresh(compound)
        one = model.words if model else " ".join(words)
        while True:
            several = plural(" ".join(words))
            name = self.styled(several.split() if self.plural_tables else words, self.table_style)
            if not {name.lower(), several.replace(" ", ""), plural(one).replace(" ", "")} & taken:
                return words, one, name
            words = self.fresh(compound)
            one = " ".join(words)

    def styled(self, words: list[str], style: str) -> str:
        return styled(words, "snake").replace("_", "") if style == "joined" else styled(words, style)

    def column_name(self, words: list[str]) -> str:
        return self.styled(words, self.column_style)

    def head(self, words: list[str], model: domains.Entity | None) -> list[Attribute]:
        """The key, and mostly a title after it."""
        titled = self.rng.random() < 0.75
        found = next((a for a in model.attributes if a.key), None) if model else None
        title = next((a for a in model.attributes if _names_rows(a)), None) if model else None
        key = self.key(words)
        if found and found is not title and not self.plain_keys:
            own = split_identifier(found.name).split()
            taken = {entity.key[0].lower() for entity in self.made} | _reserved()
            if not own[-1].endswith(_TITLES) and self.column_name(own).lower() not in taken:
                key = self.key(own, found.words, coded=found.kind == "STRING")
        if title:
            return [key, self.title(words, split_identifier(title.name).split(), title.words)]
        return [key, self.title(words)] if titled else [key]

    def key(self, words: list[str], spoken: str = "", coded: bool | None = None) -> Attribute:
        named = ["id"] if self.plain_keys else words if spoken else [*words, self.key_ending]
        prefix = ""
        if coded or named[-1] == "code":
            prefix = "".join(self.rng.choice("ABCDEFGHKLMNPRSTVW") for _ in range(self.rng.randint(1, 3)))
        start, step = self.rng.choice((1, 1, 100, 1000, 10_000)), self.rng.choice((1, 1, 3, 7))
        kind = "varchar(20)" if prefix else "int"
        return Attribute(self.column_name(named), spoken or " ".join(named), "key", kind, (prefix, start, step))

    def title(self, words: list[str], own: list[str] | None = None, spoken: str = "") -> Attribute:
        last = self.rng.choice(("name", *_TITLES))
        full = own or ([*words, last] if self.rng.random() < 0.5 else [last])
        spoken = spoken or (last if self.rng.random() < 0.6 else " ".join(full))
        values = self.titles()
        return Attribute(self.column_name(full), spoken, "title", _TYPES["title"], values)

    def titles(self) -> tuple[str, ...]:
        """Texts enough for a table's rows, no two alike."""
        join = self.rng.choice((" ", " ", " ", " ", "-", "_"))
        parts = [[value(self.rng).replace(" ", join) for _ in range(16)] for _ in range(2)]
        single, found = self.rng.random() < 0.3, {}
        while len(found) < 2 * ROWS:
            text = value(self.rng) if single else join.join(self.rng.choice(part) for part in parts)
            found[text.lower()] = text
        return tuple(found.values())

    def reference(self, parent: Entity, known: list[Attribute], role: float = 0.2) -> Attribute:
        """A column that points to `parent`, for a table that has the columns `known`."""
        key = parent.column(parent.key[0])
        # Run together, a name does not show its words; a key of one word says little without its table.
        named = [key.name] if self.column_style == "joined" else split_identifier(key.name).split()
        spoken = key.words.split()
        if len(spoken) == 1:
            named, spoken = [*parent.one.split(), *named], [*parent.one.split(), *spoken]
        taken = {column.name.lower() for column in known} | _reserved()
        while self.rng.random() < role or self.column_name(named).lower() in taken:
            adjective, role = self.word("adjectives"), 0.0
            named, spoken = [adjective, *named], [adjective, *spoken]
        nullable = self.rng.random() < 0.3
        return Attribute(self.column_name(named), " ".join(spoken), "reference", key.type, (), nullable)

    def own_reference(self, known: list[Attribute]) -> Attribute:
        """A column that points to another row of the same table."""
        if self.rng.random() < 0.25:
            spoken = [f"{self.rng.choice(('report', 'belong', 'answer', 'link'))}s", "to"]
        else:
            role = self.word("nouns") if self.rng.random() < 0.3 else self.rng.choice(_ROLES)
            spoken = [role, known[0].words.split()[-1]] if self.rng.random() < 0.7 else [role]
        while self.column_name(spoken).lower() in {column.name.lower() for column in known} | _reserved():
            spoken = [self.word("adjectives"), *spoken]
        return Attribute(self.column_name(spoken), " ".join(spoken), "reference", known[0].type, (), nullable=True)

    def fill(self, columns: list[Attribute], owner: list[str], given: list[domains.Attribute], size: int) -> None:
        """Append further columns, first those of a domain, until there are `size`."""
        others = [c for e in self.made for c in e.columns if c.kind in ("text", "number", "date")]
        models = self.rng.sample(given, len(given))
        while len(columns) < size:
            if models:
                column = self.modelled(models.pop())
            else:
                column = self.rng.choice(others) if others and self.rng.random() < 0.12 else self.attribute(owner)
            taken = {c.name.lower() for c in columns} | {c.words for c in columns} | _reserved()
            if not {column.name.lower(), column.words} & taken:
                columns.append(column)

    def modelled(self, model: domains.Attribute) -> Attribute:
        """A column of a domain."""
        name, kind = self.column_name(split_identifier(model.name).split()), _DOMAIN_KINDS[model.kind]
        return self.attribute_of(name, model.words, kind)

    def attribute(self, owner: list[str]) -> Attribute:
        kind = self.rng.choice(_KINDS)
        ending, chance = document()["endings"].get(kind), self.rng.random()
        if kind == "flag":
            spoken = self.fresh(0.0, "adjectives")
            return self.attribute_of(self.column_name(["is", *spoken] if chance < 0.4 else spoken), spoken[0], kind)
        if kind == "date" and chance < 0.35:
            spoken = [past(self.rng.choice(word_lists()["verbs"])), "date"]
        else:
            spoken = self.fresh(0.2)
            if ending and chance < (0.75 if kind == "date" else 0.35):
                spoken = [*spoken[-1:], self.rng.choice(ending.split())]
        name = self.column_name([*owner, *spoken] if self.rng.random() < 0.12 else spoken)
        return self.attribute_of(name, " ".join(spoken), kind)

    def attribute_of(self, name: str, words: str, kind: str) -> Attribute:
        nullable = kind != "flag" and self.rng.random() < NULLABLE
        if kind == "text":
            pool = tuple(value(self.rng) for _ in range(self.rng.randint(3, 8)))
            return Attribute(name, words, kind, _TYPES[kind], pool, nullable)
        if kind != "number":
            return Attribute(name, words, kind, _TYPES[kind], self.days() if kind == "date" else (0, 1, 1), nullable)
        high = self.rng.choice((9, 30, 100, 500, 2000, 90_000))
        if "year" in words.split():
            return Attribute(name, words, kind, "int", (self.rng.randint(1850, 1990), 2024, 0), nullable)
        if self.rng.random() < 0.6:
            return Attribute(name, words, kind, "int", (0, high, 0), nullable)
        return Attribute(name, words, kind, "decimal(10,2)", (0.0, float(high), self.rng.randint(1, 2)), nullable)

    def days(self) -> tuple[datetime.date, datetime.date]:
        first = datetime.date(self.rng.randint(1990, 2020), self.rng.randint(1, 12), self.rng.randint(1, 28))
        return first, first + datetime.timedelta(days=self.rng.randint(200, 2500))
