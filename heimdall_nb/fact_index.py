"""What a fact pack knows, in the form that the checks of answers need, and what they find."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from heimdall_nb.facts import FactPack


@dataclass(frozen=True)
class Unknown:
    """One thing that an answer names and the pack does not know as working."""

    kind: str  # procedure, column, function, statement, setting, variable, flag, command, endpoint or action
    name: str
    what: str


class Index:
    """A pack's names by what they are looked up for."""

    def __init__(self, pack: FactPack) -> None:
        self.pack = pack
        self.procedures, self.functions = pack.names("procedure"), pack.names("function")
        self.plain = {name.lower(): fact for name, fact in self.functions.items() if "." not in name}
        names = [*self.procedures, *self.functions]
        names += [str(choice) for fact in pack.of_kind("statement") for choice in fact.choices]
        self.prefixes = {name[:place] for name in names for place in _dots(name)}
        self.options = {str(choice) for fact in pack.of_kind("statement") for choice in fact.choices}
        self.not_read, self.settings = pack.names("not_read"), pack.names("setting")
        self.sections = {key[:place] for key in self.settings for place in _dots(key)}
        self.parents = self.sections | {key[:place] for key in self.not_read for place in _dots(key)}
        sections = {key.partition(".")[0] for key in [*self.settings, *self.not_read] if "." in key}
        self.key = re.compile(rf"(?<![\w./$-])(?:{'|'.join(sorted(sections))})(?:\.[a-z][a-z0-9_]*)+(?![\w(])")
        self.endpoints = [
            (re.compile(re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(path)) + "/?"), fact)
            for fact in pack.of_kind("endpoint")
            for path in [str(fact.value).partition(" ")[2]]
        ]
        roots = {str(fact.value).partition(" /")[2].partition("/")[0] for fact in pack.of_kind("endpoint")}
        self.roots = roots - {"", "health", "status", "metrics"}
        self.shows = {
            words[1] if words[1] != "COMPOSITE" else "COMPOSITE DATABASES": fact
            for fact in pack.of_kind("statement")
            for form in (str(fact.value), *map(str, fact.choices))
            if (words := form.split())[0] == "SHOW"
        }
        self.commands = {str(fact.value).split(" <")[0].split(" --")[0]: fact for fact in pack.of_kind("command")}
        self.flags = {(fact.of, fact.name): fact for fact in pack.of_kind("flag")}
        self.refused = {name: fact for name, fact in pack.names("refused").items()}


def _dots(name: str) -> list[int]:
    return [place for place, letter in enumerate(name) if letter == "."]


@lru_cache(maxsize=8)
def index_of(pack: FactPack) -> Index:
    """The index of a pack, made once."""
    return Index(pack)
