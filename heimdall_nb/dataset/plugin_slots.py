"""Slots of the plugin and troubleshooting parts: invented plugins, functions from tables, right and broken queries."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.dataset.broken import break_query
from heimdall_nb.dataset.fact_slots import FactBinder
from heimdall_nb.dataset.invent_words import styled, word_lists
from heimdall_nb.dataset.slots import Binding, NoBinding, Slot, plain
from heimdall_nb.dataset.templates import Template, slot_rule, templates
from heimdall_nb.dataset.words import plural, third_person
from heimdall_nb.run import DATA

TABLES = DATA / "plugin_tables.yaml"
READ_FAMILIES = ("filter", "aggregation", "grouping", "order", "path", "expression")


@lru_cache(maxsize=1)
def tables() -> dict[str, Any]:
    """The tables of data/plugin_tables.yaml."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load(TABLES.read_text(encoding="utf-8"), Loader=loader)
    return found


@lru_cache(maxsize=64)
def reads(pattern: str) -> tuple[Template, ...]:
    """The Cypher templates whose answer is a read that the pattern (a regular expression) is found in."""
    found = templates("cypher").values()
    return tuple(
        template
        for template in found
        if template.family in READ_FAMILIES
        and not template.writes
        and not template.benchmark
        and template.dialect == "common"
        and re.search(pattern, template.query)
    )


class PluginBinder(FactBinder):
    """Draws, beside the slots of FactBinder, what plugins and wrong queries need."""

    def word(self, kind: str) -> str:
        """A word of data/words.yaml: nouns or adjectives."""
        return str(self.choose(word_lists()[kind]))

    def say(self, slot: str, text: str, words: str = "") -> None:
        """A slot that reads the same in the answer and in the question, unless `words` says it otherwise."""
        self.slots[slot] = Slot(text, (words or text,))

    def _plugin(self, slot: str, kind: str) -> None:
        """A plugin: {x} its name, {x_type} its Go type."""
        words = [self.word("nouns")] if self.rng.random() < 0.3 else [self.word("adjectives"), self.word("nouns")]
        self.say(slot, styled(words, "snake"))
        self.say(f"{slot}_type", styled(words, "pascal") + "Plugin")

    def _task(self, slot: str, kind: str) -> None:
        """What an action does: {x} its name, {x_func} its Go method, {x_does} the description."""
        verb, adjective, noun = self.choose(tables()["verbs"]), self.word("adjectives"), self.word("nouns")
        short = self.rng.random() < 0.4
        words = [verb, plural(noun)] if short else [verb, adjective, plural(noun)]
        if slot.endswith("2") and self.slots[slot[:-1]].query == styled(words, "snake"):
            raise NoBinding
        self.say(slot, styled(words, "snake"))
        self.say(f"{slot}_func", styled(words, "pascal"))
        does = f"{third_person(verb)} the {'' if short else adjective + ' '}{plural(noun)}"
        self.say(f"{slot}_does", does[0].upper() + does[1:], f"'{does[0].upper() + does[1:]}'")

    def _starting(self, slot: str, kind: str, of: str, lead: str) -> None:
        """A fact of kind `of` whose name starts with `lead`."""
        self.put_fact(slot, self.choose(fact for fact in self.pack.of_kind(of) if fact.name.startswith(lead)))

    def _overridden(self, slot: str, kind: str) -> None:
        """A setting of a section that one environment variable of its own overrides."""
        settings = [fact for fact in self.pack.of_kind("setting") if fact.env and fact.id.count(".") == 1]
        variables = Counter(fact.env for fact in settings)
        self.put_fact(slot, self.choose(f for f in settings if variables[f.env] == 1 and "AUTH" not in f.env))

    def _semver(self, slot: str, kind: str) -> None:
        self.say(slot, f"{self.rng.randint(0, 4)}.{self.rng.randint(0, 12)}.{self.rng.randint(0, 9)}")

    def _one_of(self, slot: str, kind: str, *options: str) -> None:
        """One of some plain words, without quotation marks."""
        self.say(slot, self.choose(options))

    def _noun(self, slot: str, kind: str) -> None:
        self.say(slot, self.word("nouns"))

    def _sentence(self, slot: str, kind: str) -> None:
        """A short message, as a person writes one."""
        text = self.choose(tables()["messages"]).format(noun=self.word("nouns"), adjective=self.word("adjectives"))
        self.slots[slot] = Slot(text, (f"'{text}'",), bare=text)

    def _folder(self, slot: str, kind: str, *last: str) -> None:
        root = self.choose(tables()["roots"])
        self.say(slot, "/".join([root, self.word("nouns"), *last]))

    def _file(self, slot: str, kind: str, ending: str) -> None:
        name = styled([self.word("adjectives"), plural(self.word("nouns"))], "snake")
        self.say(slot, f"{self.word('nouns')}/{name}.{ending}")

    def _url(self, slot: str, kind: str, ending: str) -> None:
        host = f"{self.word('nouns')}.example.{self.choose(('com', 'org', 'net'))}"
        self.say(slot, f"https://{host}/{plural(self.word('nouns'))}.{ending}")

    def _node_id(self, slot: str, kind: str, owner: str = "") -> None:
        """The id of a node, as text."""
        lead = styled(self.labels[owner].words.split(), "snake") if owner else self.word("nouns")
        taken = {item.query for item in self.slots.values()}
        name = f"{lead}-{self.rng.randint(1, 999)}"
        if f"'{name}'" in taken:
            raise NoBinding
        self.slots[slot] = Slot(f"'{name}'", (f"'{name}'",), bare=name)

    def _unquoted(self, slot: str, kind: str, *others: str) -> None:
        """Nothing but a test: the names in the other slots must need no back-ticks, since they go into a string."""
        if any("`" in self.slots[other].query for other in others):
            raise NoBinding

    def _differ(self, slot: str, kind: str, one: str, other: str) -> None:
        """Nothing but a test: two slots must not read the same."""
        if self.slots[one].query == self.slots[other].query:
            raise NoBinding

    def _made_name(self, slot: str, kind: str, last: str) -> None:
        """A name that ends in the given word, such as `harbour_graph`."""
        self.say(slot, styled([self.word("nouns"), last], self.choose(("snake", "camel"))))

    def _numbers(self, slot: str, kind: str, low: str, high: str) -> None:
        """A list of three to six whole numbers."""
        numbers = [self.rng.randint(int(low), int(high)) for _ in range(self.rng.randint(3, 6))]
        self.say(slot, json.dumps(numbers))

    def _nouns(self, slot: str, kind: str) -> None:
        """A list of three or four words, one of which may stand there twice."""
        words = [self.word("nouns") for _ in range(self.rng.randint(3, 4))]
        words += words[:1] if self.rng.random() < 0.4 else []
        self.say(slot, "[" + ", ".join(f"'{word}'" for word in words) + "]")

    def _two_words(self, slot: str, kind: str) -> None:
        text = f"{self.word('adjectives')} {self.word('nouns')}"
        self.slots[slot] = Slot(f"'{text}'", (f"'{text}'",), bare=text)
        self.say(f"{slot}_bare", text)

    def _as_json(self, slot: str, kind: str, of: str) -> None:
        """The literal in slot `of`, as JSON writes it."""
        self.say(slot, json.dumps(plain(self.slots[of].value), ensure_ascii=False))

    def _entry(self, slot: str, kind: str, table: str) -> None:
        """An entry of a table: {x} is said by its `says`, {x_key} is its text under `key`; both may name slots."""
        entry = dict(self.choose(tables()[table]))
        self.bind([slot_rule(rule) for rule in entry.pop("bind").split(", ")] if "bind" in entry else [])
        says = tuple(filled(words, self.slots, self.rng) for words in entry.pop("says"))
        queries = {name: item.query for name, item in self.slots.items()}
        for key, text in entry.items():
            self.slots[f"{slot}_{key}"] = Slot(
                str(text).format_map(queries), (filled(str(text), self.slots, self.rng),)
            )
        self.say(f"{slot}_name", entry.get("call", "").partition("(")[0])
        self.slots[slot] = Slot(self.slots.get(f"{slot}_call", Slot("")).query, says)

    def _reading(self, slot: str, kind: str, pattern: str = "") -> None:
        """A read on the schema: {x} the query, said as it stands; {x_asks} the thing that it gives."""
        template = self.choose(reads(pattern))
        self.bind(template.bind)
        self.say(slot, template.render(self.slots))
        wording = filled(template.phrases[int(self.rng.random() * len(template.phrases))], self.slots, self.rng)
        self.say(f"{slot}_asks", wording)
        self.say(f"{slot}_json", json.dumps(self.slots[slot].query, ensure_ascii=False)[1:-1])

    def _broken(self, slot: str, kind: str, of: str, mistake: str) -> None:
        """The query in slot `of` with a mistake: {x} the wrong query, {x_wrong} and {x_right} what it is about."""
        made = break_query(self.slots[of].query, mistake, self.schema, self.rng)
        if made is None:
            raise NoBinding
        self.say(slot, made.query)
        self.say(f"{slot}_wrong", made.wrong)
        self.say(f"{slot}_right", made.right)


def filled(wording: str, slots: Binding, rng: random.Random) -> str:
    """A wording with the words of its slots; a slot without words stands as in the answer."""
    said = {
        name: item.words[int(rng.random() * len(item.words))] if item.words else item.query
        for name, item in slots.items()
    }
    return wording.format_map(said)
