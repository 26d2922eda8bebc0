"""Slots drawn from a fact pack: settings, flags, procedures, endpoints, with their names, defaults and other values.

Every slot `x` of a fact brings others with it: `x_name`, `x_id`, `x_words`, and of what the fact holds `x_value`,
`x_default`, `x_env`, `x_type`, `x_leaf`, `x_section`, `x_yields`, `x_yield`, `x_arguments`, `x_note`, `x_instead`,
`x_of`, `x_choices`, `x_source`, `x_yaml`, `x_export`, `x_assign`, `x_flag`, `x_method`, `x_path`. In a question `{x}`
reads as the fact's words, the others as they stand.
"""

from __future__ import annotations

import json
import random
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.dataset.operation_slots import OperationBinder
from heimdall_nb.dataset.slots import Slot, Values
from heimdall_nb.facts import Fact, FactPack
from heimdall_nb.run import DATA

_SETTABLE = ("setting", "variable", "flag")
_WHOLE = ("NORNICDB_AUTH", "NORNICDB_TLS_DIR")  # variables that stand for several settings at once
_PLAIN = re.compile(r"(?![\d.]+$)[A-Za-z0-9./][\w./:-]*(?<!:)")
_WORDS_OF_YAML = ("true", "false", "yes", "no", "on", "off", "null")


class FactBinder(OperationBinder):
    """Draws slots from a fact pack and, where there is one, from a schema. Without a schema only fact kinds work."""

    def __init__(self, schema: GraphSchema | None, values: Values, rng: random.Random, pack: FactPack) -> None:
        super().__init__(schema, values, rng)  # type: ignore[arg-type]  # templates without a schema draw nothing from it
        self.pack = pack
        self.facts: dict[str, Fact] = {}
        self.chosen: dict[str, tuple[Fact, Any]] = {}  # slot of another value -> whose value, the value

    def _fact(self, slot: str, kind: str, of: str, *tests: str) -> None:
        """Any fact of kind `of` that passes the tests; see `passes`."""
        taken = {fact.id for fact in self.facts.values()}
        self.put_fact(slot, self.choose(f for f in fitting(self.pack, of, tests) if f.id not in taken))

    def _setting(self, slot: str, kind: str, section: str, *tests: str) -> None:
        """A setting of a section of the YAML file, or of any section (`*`)."""
        wanted = tests if section == "*" else (f"section:{section}", *tests)
        self._fact(slot, kind, "setting", *wanted)

    def _named(self, slot: str, kind: str, *identifiers: str) -> None:
        """One of the facts with these ids."""
        taken = {fact.id for fact in self.facts.values()}
        self.put_fact(slot, self.choose(self.pack.fact(i) for i in identifiers if i not in taken))

    def _tagged(self, slot: str, kind: str, of: str, fact_kind: str) -> None:
        """The first facts of a kind that have the tag in slot `of`: their `_names` and their ids (`_id`)."""
        facts = fitting(self.pack, fact_kind, (self.slots[of].query,))[:10]
        self.put_text(f"{slot}_names", ", ".join(fact.name for fact in facts))
        self.put_text(f"{slot}_id", ",".join(fact.id for fact in facts))

    def _beside(self, slot: str, kind: str, other: str, *tests: str) -> None:
        """Another fact of the same kind, and of the same section or owner, as the fact in slot `other`."""
        fact = self.facts[other]
        taken = {item.id for item in self.facts.values()}
        near = (f for f in fitting(self.pack, fact.kind, tests) if f.id not in taken and _group(f) == _group(fact))
        self.put_fact(slot, self.choose(near))

    def put_fact(self, slot: str, fact: Fact) -> None:
        """Fill slot `slot` with a fact, and the slots that hang on it."""
        self.facts[slot] = fact
        parts = _parts(fact)
        self.slots[slot] = Slot(parts["name"].query, fact.words or parts["name"].words)
        self.slots |= {f"{slot}_{name}": part for name, part in parts.items()}

    def _other_value(self, slot: str, kind: str, of: str) -> None:
        """A valid value that is not the default; with it the slots `_yaml`, `_export`, `_flag`, `_verb`."""
        fact = self.facts[of]
        value = self.choose(v for v in other_values(fact) if v != fact.value)
        self.chosen[slot] = (fact, value)
        self.slots[slot] = Slot(text_of(value), (text_of(value),), value=value)
        if isinstance(value, bool):
            verbs = ("turn on", "enable", "switch on") if value else ("turn off", "disable", "switch off")
            self.slots[f"{slot}_verb"] = Slot("on" if value else "off", verbs)
        self.slots |= {f"{slot}_{name}": Slot(text, (text,)) for name, text in _assignments(fact, value)}

    def _yaml(self, slot: str, kind: str, *of: str) -> None:
        """One YAML snippet that holds the values of several slots of `other_value`."""
        document: dict[str, Any] = {}
        for fact, value in (self.chosen[name] for name in of):
            _merge(document, fact.id, value)
        text = snippet(document)
        self.slots[slot] = Slot(text, (text,))


def passes(fact: Fact, test: str) -> bool:
    """Whether a fact passes a test of a template: `tag`, `-tag`, `+field` (it has one), `field:value`,
    `plain_path` (a GET without a variable part), `yaml_works` (each value counts in the YAML file),
    `own_variable` (its environment variable stands for it alone), `starting:prefix` (of its name).
    """
    if test.startswith("-"):
        return not passes(fact, test[1:])
    if test == "yaml_works":
        return "false has no effect" not in fact.note
    if test == "own_variable":
        return bool(fact.env) and fact.env not in _WHOLE
    if test == "plain_path":
        return str(fact.value).startswith("GET ") and "{" not in str(fact.value)
    if test.startswith("+"):
        return bool(getattr(fact, test[1:]))
    field, colon, value = test.partition(":")
    if not colon:
        return test in fact.tags
    if field == "starting":
        return fact.name.startswith(value)
    return str(_section(fact) if field == "section" else getattr(fact, field)) == value


def fitting(pack: FactPack, kind: str, tests: tuple[str, ...]) -> tuple[Fact, ...]:
    """The facts of a kind that pass all tests, in the pack's order."""
    return tuple(fact for fact in pack.of_kind(kind) if all(passes(fact, test) for test in tests))


def text_of(value: Any) -> str:
    """A value as YAML, a shell or a sentence writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text_of, value))
    return str(value)


def other_values(fact: Fact) -> tuple[Any, ...]:
    """Plausible values of a setting, variable or flag: its choices, both booleans, or of data/fact_values.yaml."""
    if fact.choices:
        return fact.choices
    if fact.type == "boolean" or isinstance(fact.value, bool):
        return (True, False)
    name = re.sub(r"\W+", "_", fact.name.lower()).strip("_")
    known = _plausible()
    pools = [pool for pattern, pool in known["names"] if re.search(pattern, name)][:1]
    pools = pools or [known["types"].get(fact.type, ())]
    return tuple(value for value in pools[0] if _same_type(fact, value))


@lru_cache(maxsize=1)
def _plausible() -> Mapping[str, Any]:
    return yaml.safe_load((DATA / "fact_values.yaml").read_text(encoding="utf-8"))


def _same_type(fact: Fact, value: Any) -> bool:
    if fact.type == "integer":
        return isinstance(value, int)
    if fact.type == "number":
        return isinstance(value, (int, float))
    if fact.type in ("text", "duration"):
        return isinstance(value, str) and (fact.type == "text" or bool(re.fullmatch(r"\d+(ms|s|m|h)", value)))
    return fact.kind == "flag"  # flags without a type: the name alone decides


def _section(fact: Fact) -> str:
    return fact.id.partition(".")[0] if fact.kind == "setting" else fact.of


def _group(fact: Fact) -> str:
    if fact.kind in ("procedure", "function"):
        return fact.name.rpartition(".")[0]
    return _section(fact) or fact.name.rpartition("_")[0]


def _parts(fact: Fact) -> dict[str, Slot]:
    """The slots that hang on a fact, by the ending of their names."""
    name = fact.name if fact.kind not in ("statement", "refused", "endpoint", "command") else text_of(fact.value)
    name = fact.name.rpartition(".")[2] if fact.kind == "method" else name
    found = {"id": fact.id, "name": name, "source": fact.source, "value": text_of(fact.value), "kind": fact.kind}
    found |= {field: getattr(fact, field) for field in ("env", "type", "note", "instead", "of")}
    found |= {field: ", ".join(map(text_of, getattr(fact, field))) for field in ("yields", "arguments", "choices")}
    if fact.words:
        found["words"] = fact.words[0]
    if fact.kind in _SETTABLE:
        found["default"] = text_of(fact.value) or '""'
        found |= _assignments(fact, fact.value)
    if fact.kind == "setting":
        found["section"], _, found["leaf"] = fact.id.partition(".")
    elif _section(fact):
        found["section"] = _section(fact)
    if fact.kind == "variable":
        found["env"] = fact.id
    if fact.kind == "procedure" and fact.yields:
        found["yield"] = f"YIELD {found['yields']}"
    if fact.kind == "endpoint":
        found["method"], _, found["path"] = name.partition(" ")
    return {ending: Slot(text, (text,)) for ending, text in found.items() if text}


def _assignments(fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    """How a value is given to a setting, variable or flag: as YAML, as an environment variable, on the command line."""
    variable = fact.env or (fact.id if fact.kind == "variable" else "")
    if fact.kind == "setting":
        document: dict[str, Any] = {}
        _merge(document, fact.id, list(value) if isinstance(value, tuple) else value)
        yield "yaml", snippet(document)
    if variable and (variable not in _WHOLE or fact.kind == "variable"):
        given = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else text_of(value)
        yield "export", f"export {variable}={shlex.quote(given) if given else ''}"
        yield "assign", f"{variable}={shlex.quote(given) if given else ''}"
    if fact.kind == "flag":
        given = f" {shlex.quote(text_of(value))}"
        yield "flag", fact.name + ({True: "", False: "=false"}[value] if isinstance(value, bool) else given)


def _merge(document: dict[str, Any], key: str, value: Any) -> None:
    *sections, leaf = key.split(".")
    for section in sections:
        document = document.setdefault(section, {})
    document[leaf] = value


def snippet(document: Mapping[str, Any], indent: str = "") -> str:
    """A mapping as the YAML that a user would write, without a newline at the end."""
    lines = []
    for key, value in document.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", snippet(value, indent + "  ")]
        elif isinstance(value, list):
            lines.append(f"{indent}{key}: [{', '.join(map(_scalar, value))}]")
        else:
            lines.append(f"{indent}{key}: {_scalar(value)}")
    return "\n".join(lines)


def _scalar(value: Any) -> str:
    """A value as YAML, in quotation marks where it would be read as something else."""
    text = text_of(value)
    plain = not isinstance(value, str) or (_PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML)
    return text if plain else json.dumps(text)
