"""Templates as data: an answer with slots, how the slots are drawn, and the wordings of its question."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.dataset.slots import Binder, Binding, Rule, Values, plain
from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA

TEMPLATES = DATA / "templates"  # one folder a part of the mix, one file a family
# Slots that others hang on, and that a schema gives.
SCHEMA_KINDS = frozenset({"label", "rel", "cross", "read", "reading"})
PARTS = ("cypher", "nornicdb", "plugins", "troubleshooting")


@dataclass(frozen=True)
class Template:
    """An answer with slots (`query`), how they are bound, and its wordings by mood."""

    name: str
    part: str  # folder in data/templates
    family: str  # file in that folder, and the category of the examples
    bind: tuple[Rule, ...]
    query: str
    phrases: tuple[str, ...]
    questions: tuple[str, ...]
    keywords: tuple[str, ...]
    verify: str = ""  # a read that shows a write's effect
    expect: tuple[Any, ...] = ()  # the one row it gives afterwards: slots or values
    runs: str = ""  # the runnable statement within the answer, where the answer is not itself one
    facts: tuple[str, ...] = ()  # ids of the fact pack that the answer stands on; may name slots
    task: str = "cypher"  # key of prompts.TASKS
    frame: str = "show"  # how phrases become requests: show (a thing), do (an order as it stands), explain
    dialect: str = "common"  # where the answer is valid: common, or nornicdb
    benchmark: bool = False  # kept for data/benchmark: never generated into training

    @property
    def needs_schema(self) -> bool:
        """Whether a slot is drawn from a schema; a template that needs none is used without a graph."""
        return self.part == "cypher" or any(kind in SCHEMA_KINDS for _, kind, _ in self.bind)

    @property
    def writes(self) -> bool:
        return bool(self.verify)

    def render(self, binding: Binding) -> str:
        """The answer of a binding."""
        return filled(self.query, binding)

    def render_runs(self, binding: Binding) -> str:
        """The runnable statement within the answer of a binding; empty where there is none."""
        return filled(self.runs, binding)

    def render_verify(self, binding: Binding) -> tuple[str, tuple[Any, ...]]:
        """The read that checks a write, and the row that it must give."""
        return filled(self.verify, binding), tuple(
            plain(binding[item].value) if item in binding else item for item in self.expect
        )


_TEXT = re.compile(r"(?<![\w'])'[^'(\n]*`[^'(\n]*'(?!\w)")


def filled(text: str, binding: Binding) -> str:
    """A text with its slots filled. In a quoted text a name has no back-ticks, unless the text holds a whole query."""
    done = text.format_map({name: slot.query for name, slot in binding.items()})
    return _TEXT.sub(lambda found: found[0].replace("`", ""), done) if "`" in done else done


@lru_cache(maxsize=8)
def templates(part: str = "cypher") -> dict[str, Template]:
    """All templates of a part of the mix by name. Raises BadInput that names a faulty template, or an unknown part."""
    files = sorted((TEMPLATES / part).glob("*.yaml"))
    if not files:
        raise BadInput(f"there is no part {part!r}", str(TEMPLATES), f"Choose one of: {', '.join(PARTS)}.")
    found: dict[str, Template] = {}
    for path in files:
        for template in _read(path, part):
            if template.name in found:
                raise BadInput(f"template {template.name!r} occurs twice", str(path), "Rename one.")
            found[template.name] = template
    return found


def families(part: str = "cypher") -> tuple[str, ...]:
    """The families of a part: the names of its files."""
    return tuple(sorted({template.family for template in templates(part).values()}))


def bind(template: Template, schema: GraphSchema, values: Values, rng: random.Random) -> Binding:
    """Draw every slot of `template`. Raises NoBinding when the schema or the values have nothing that fits."""
    return Binder(schema, values, rng).bind(template.bind)


def _read(path: Path, part: str) -> Iterator[Template]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), Loader=loader) or {}
    except yaml.YAMLError as problem:
        raise BadInput(f"is not YAML ({' '.join(str(problem).split())})", str(path), "Mend the file.") from None
    for name, entry in entries.items():
        try:
            given = dict(entry)
            for mood in ("phrases", "questions", "keywords"):
                given[mood] = tuple(map(_articles, given.get(mood, ())))
            given["bind"] = tuple(slot_rule(rule) for rule in given["bind"].split(", ")) if given.get("bind") else ()
            for listed in ("expect", "facts"):
                given[listed] = tuple(given.get(listed, ()))
            yield Template(name, part, path.stem, **given)
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise BadInput(f"template {name!r} is faulty ({problem!r})", str(path), "Mend the entry.") from None


def slot_rule(rule: str) -> Rule:
    """How a slot is drawn, from `slot=kind argument …`. Raises ValueError where there is no kind."""
    slot, _, how = rule.partition("=")
    kind, *arguments = how.split()
    return slot, kind, tuple(arguments)


def _articles(wording: str) -> str:
    """Turn `a {X}` into the slot `{a_X}`, which knows whether the word takes `an`."""
    for letter in "ABC":
        wording = wording.replace(f" a {{{letter}}}", f" {{a_{letter}}}")
    for letter in "pqg":
        wording = wording.replace(f" a {{{letter}}}", f" {{a_{letter}}}")
    return wording
