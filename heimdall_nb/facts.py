"""Versioned fact packs: what a version of NornicDB reads and does, each fact with the source file that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA

KINDS = ("setting", "not_read", "folder", "prompt", "limit", "endpoint", "command", "behaviour")
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "text": (str,),
}


@dataclass(frozen=True)
class Fact:
    """One fact. A setting's `id` is its YAML key, `value` its default, `env` the variable that overrides it."""

    id: str
    kind: str
    value: Any
    source: str
    note: str = ""
    env: str = ""
    type: str = ""


@dataclass(frozen=True)
class FactPack:
    """The facts of one version; `repository` and `commit` say where they were read."""

    name: str
    repository: str
    commit: str
    licence: str
    facts: tuple[Fact, ...]

    def fact(self, identifier: str) -> Fact:
        """The fact with this id. Raises BadInput when the pack has none."""
        for item in self.facts:
            if item.id == identifier:
                return item
        raise BadInput(f"has no fact {identifier!r}", f"pack {self.name}", "Choose an id of its YAML file.")

    def of_kind(self, kind: str) -> list[Fact]:
        """All facts of a kind, in the file's order."""
        return [item for item in self.facts if item.kind == kind]

    def setting_fault(self, key: str, value: Any) -> str | None:
        """Why the server would not take `key: value` from its YAML file, or None when it would."""
        ignored = {item.value: item for item in self.of_kind("not_read")}
        if key in ignored:
            return f"is a name that the server does not read. {ignored[key].note}".strip()
        setting = next((item for item in self.of_kind("setting") if item.id == key), None)
        if setting is None:
            return f"is not among the keys that pack {self.name} knows"
        if not _is(setting.type, value):
            return f"must be {setting.type}, not {value!r}"
        return None


def load_pack(name: str = "nornicdb-1.0", folder: Path | None = None) -> FactPack:
    """Read `data/facts/<name>.yaml`. Raises BadInput for a missing file, bad YAML or a fact that is not well formed."""
    path = (folder or DATA / "facts") / f"{name}.yaml"
    remedy = "Restore the file from the repository."
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput("is missing", str(path), remedy) from None
    except yaml.YAMLError as problem:
        raise BadInput(f"is not YAML ({' '.join(str(problem).split())})", str(path), remedy) from None
    try:
        source = document["source"]
        pack = FactPack(document["pack"], source["repository"], str(source["commit"]), source["licence"], ())
        records = list(document["facts"])
    except (KeyError, TypeError):
        raise BadInput("lacks pack, source or facts", str(path), remedy) from None
    found = list(_faults(records))
    if found:
        raise BadInput("; ".join(found), str(path), "Mend these facts.")
    return FactPack(pack.name, pack.repository, pack.commit, pack.licence, tuple(Fact(**r) for r in records))


def _is(type_name: str, value: Any) -> bool:
    return isinstance(value, _PYTHON_TYPES[type_name]) and (type_name == "boolean" or not isinstance(value, bool))


def _faults(records: Iterable[Any]) -> Iterable[str]:
    """What is wrong with the facts of a pack, one text each."""
    known = {field.name for field in fields(Fact)}
    seen: set[str] = set()
    for number, record in enumerate(records, start=1):
        where = f"fact {number}"
        if not isinstance(record, dict) or not all(record.get(name) for name in ("id", "kind", "source")):
            yield f"{where} needs id, kind and source"
            continue
        where = f"fact {record['id']!r}"
        if record["id"] in seen:
            yield f"{where} occurs twice"
        seen.add(record["id"])
        if "value" not in record or set(record) - known:
            yield f"{where} needs value and only {', '.join(sorted(known))}"
        elif record["kind"] not in KINDS:
            yield f"{where} has unknown kind {record['kind']!r}"
        elif record["kind"] == "setting":
            if record.get("type") not in _PYTHON_TYPES or not _is(record["type"], record["value"]):
                yield f"{where} needs a type of {', '.join(_PYTHON_TYPES)} that its value has"
