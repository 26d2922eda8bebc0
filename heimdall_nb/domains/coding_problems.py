"""The problems of domain `coding`: data/coding/*.yaml, functions with slots, each in four languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import yaml

from heimdall_nb.run import DATA

CODING = DATA / "coding"
FAMILIES = ("lists", "strings", "parsing", "dictionaries", "numbers", "sorting", "recursion", "matrices")
LANGUAGES = {"python": "Python", "javascript": "JavaScript", "go": "Go", "java": "Java"}
_SLOT = re.compile(r"\$(?:\{([a-z_.]+)\}|([a-z_]+))")
_JAVA_UTIL = re.compile(
    r"\b(Arrays|ArrayList|Collections|Comparator|HashMap|HashSet|List|Map|Objects|Set|TreeMap|TreeSet)\b"
)
_GO_PACKAGES = ("reflect", "sort", "strconv", "strings", "testing")
_OPERATORS = {
    "python": ((re.compile(r" && "), " and "), (re.compile(r" \|\| "), " or ")),
    "javascript": ((re.compile(r"(?<![=!<>])==(?!=)"), "==="), (re.compile(r"!=(?!=)"), "!==")),
}
Entry = Mapping[str, str]


@dataclass(frozen=True)
class Problem:
    """A function in words and in code, with slots; `slots` has the entries that each can be filled with."""

    name: str
    family: str
    names: tuple[str, ...]
    says: str
    params: Mapping[str, str]
    slots: Mapping[str, tuple[Entry, ...]]
    code: Mapping[str, str]

    def bindings(self) -> list[dict[str, Entry]]:
        """All ways to fill the slots."""
        return [dict(zip(self.slots, entries, strict=True)) for entries in product(*self.slots.values())]


@dataclass(frozen=True)
class Task:
    """A problem with its slots filled and its name chosen (`variant`: which of its names)."""

    problem: Problem
    binding: Mapping[str, Entry]
    variant: int = 0

    @property
    def key(self) -> str:
        """What tells this task from the others, whatever its function is called."""
        return " ".join([self.problem.name, *(entry["id"] for entry in self.binding.values())])

    def name(self, language: str) -> str:
        """The function's name in the language's custom."""
        words = self._fill(self.problem.names[self.variant], "id").split("_")
        if language == "python":
            return "_".join(words)
        return words[0] + "".join(word[:1].upper() + word[1:] for word in words[1:])

    def says(self) -> str:
        """What the function does, as the rest of a sentence that begins with `it`."""
        return self._fill(self.problem.says, "words")

    def kinds(self) -> dict[str, str]:
        """The kind of value of each parameter (coding_values.py)."""
        return {name: self._fill(kind, "all") for name, kind in self.problem.params.items()}

    def code(self, language: str) -> str:
        """The whole file: the function with what the language needs around it."""
        body = self._fill(self.problem.code[language], language).replace("\x00", self.name(language)).rstrip()
        return whole_file(body, language)

    def _fill(self, text: str, field: str) -> str:
        def value(place: re.Match[str]) -> str:
            slot, _, own = (place[1] or place[2]).partition(".")
            if slot == "f":
                return "\x00"
            found = self.binding[slot][own] if own else fragment(self.binding[slot], field)
            return _SLOT.sub(value, found)  # what fills a slot may name another

        return _SLOT.sub(value, text)


def fragment(entry: Entry, field: str) -> str:
    """What an entry puts into text (`words`), a name (`id`), data (`all`) or code (a language)."""
    found = entry.get(field, entry.get("all", ""))
    for sign, written in _OPERATORS.get(field, ()):
        found = sign.sub(written, found)
    return found


def whole_file(body: str, language: str, kind: str = "Solution") -> str:
    """A file of the language around functions that are indented by four spaces a level."""
    if language == "python":
        return body
    if language == "javascript":
        return _indented(body, "  ")
    if language == "go":
        used = [name for name in _GO_PACKAGES if re.search(rf"\b{name}\.", body)]
        names = "".join(f'\t"{name}"\n' for name in used)
        several = f"import (\n{names})\n\n" if len(used) > 1 else f"import {names.strip()}\n\n" if used else ""
        return f"package solution\n\n{several}{_indented(body, chr(9))}"
    imports = ["import java.util.*;"] * bool(_JAVA_UTIL.search(body))
    imports += ["import java.util.stream.*;"] * ("Collectors" in body)
    inside = "\n".join(f"    {line}" if line else "" for line in body.splitlines())
    return "\n".join([*imports, *[""] * bool(imports), f"class {kind} {{", inside, "}"])


def _indented(body: str, unit: str) -> str:
    return re.sub(r"(?m)^(?: {4})+", lambda found: unit * (len(found[0]) // 4), body)


@lru_cache(maxsize=1)
def problems() -> tuple[Problem, ...]:
    """All problems, in the order of the files."""
    shared = _read("slots")
    return tuple(
        Problem(
            name,
            family,
            tuple(record["names"]),
            record["says"],
            record["params"],
            {
                slot: _entries(shared[given] if isinstance(given, str) else given)
                for slot, given in record.get("slots", {}).items()
            },
            {language: record[language] for language in LANGUAGES},
        )
        for family in FAMILIES
        for name, record in _read(family).items()
    )


@lru_cache(maxsize=4)
def tasks() -> dict[str, list[Task]]:
    """All tasks of each problem, those with its first name before those with its second."""
    return {
        problem.name: [Task(problem, binding, n) for n in range(len(problem.names)) for binding in problem.bindings()]
        for problem in problems()
    }


def _read(name: str) -> Any:
    return yaml.safe_load((CODING / f"{name}.yaml").read_text(encoding="utf-8"))


def _entries(given: list[Any]) -> tuple[Entry, ...]:
    """Entries as texts; a plain value stands for itself, an entry with a list `k` for one of each value."""
    found: list[Entry] = []
    for item in given:
        if not isinstance(item, dict):
            found.append({"id": str(item).replace("-", "minus_"), "words": str(item), "all": str(item)})
            continue
        texts = {field: str(value) for field, value in item.items() if field != "k"}
        for k in item.get("k", ["$k"]):
            found.append({field: text.replace("$k", str(k)) for field, text in texts.items()})
    return tuple(found)
