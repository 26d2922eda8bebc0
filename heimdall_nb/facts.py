"""Versioned fact packs: what a version of NornicDB reads and does, each fact with the source file that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA

KINDS = (
    "setting",
    "variable",
    "not_read",
    "command",
    "flag",
    "endpoint",
    "procedure",
    "function",
    "statement",
    "refused",
    "action",
    "method",
    "hook",
    "folder",
    "prompt",
    "limit",
    "behaviour",
)
TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "text": (str,),
    "duration": (str,),  # Go's form: 500ms, 30s, 15m, 24h
    "list": (list,),
}
_LISTS = ("words", "tags", "arguments", "yields", "choices")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same YAML, read about ten times faster


@dataclass(frozen=True)
class Fact:
    """One fact. A setting's `id` is its YAML key, `value` its default, `env` the variable that overrides it."""

    id: str
    kind: str
    value: Any
    source: str  # path in the source of NornicDB
    note: str = ""
    env: str = ""
    type: str = ""
    instead: str = ""  # what works in the place of a name that is not read, or of a form that is refused
    of: str = ""  # what it belongs to: the command of a flag, the section of a setting, the interface of a method
    words: tuple[str, ...] = ()  # noun phrases by which a user would ask for it
    tags: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()  # in their order; one that ends in ? may be left out
    yields: tuple[str, ...] = ()  # the columns that YIELD of a procedure can name
    choices: tuple[Any, ...] = ()  # the values that are taken, where there is a fixed set

    @property
    def name(self) -> str:
        """The name as a user writes it: the id without the kind, or the value of a name that is not read."""
        if self.kind == "not_read":
            return str(self.value)
        if self.kind == "flag":
            return self.id.rpartition(".")[2]
        return self.id.partition(".")[2] if self.kind in ("function", "statement", "refused", "hook") else self.id


@dataclass(frozen=True, eq=False)  # compared by identity, so that what is computed from a pack can be kept for it
class FactPack:
    """The facts of one version; `repository` and `commit` say where they were read."""

    name: str
    repository: str
    commit: str
    licence: str
    facts: tuple[Fact, ...]

    @cached_property
    def by_id(self) -> MappingProxyType[str, Fact]:
        """All facts by their id."""
        return MappingProxyType({item.id: item for item in self.facts})

    @cached_property
    def _kinds(self) -> dict[str, tuple[Fact, ...]]:
        found: dict[str, list[Fact]] = {kind: [] for kind in KINDS}
        for item in self.facts:
            found[item.kind].append(item)
        return {kind: tuple(items) for kind, items in found.items()}

    @cached_property
    def _names(self) -> dict[str, MappingProxyType[str, Fact]]:
        return {kind: MappingProxyType({item.name: item for item in items}) for kind, items in self._kinds.items()}

    def fact(self, identifier: str) -> Fact:
        """The fact with this id. Raises BadInput when the pack has none."""
        try:
            return self.by_id[identifier]
        except KeyError:
            raise BadInput(
                f"has no fact {identifier!r}", f"pack {self.name}", "Choose an id of its YAML file."
            ) from None

    def of_kind(self, kind: str) -> list[Fact]:
        """All facts of a kind, in the file's order; none for a kind that does not exist."""
        return list(self._kinds.get(kind, ()))

    def names(self, kind: str) -> MappingProxyType[str, Fact]:
        """The facts of a kind by the name that a user writes (`toUpper` for `function.toUpper`)."""
        return self._names.get(kind, MappingProxyType({}))

    @cached_property
    def variables(self) -> MappingProxyType[str, Fact]:
        """Every environment variable that is read: those of settings and those without a YAML key."""
        found: dict[str, Fact] = {}
        for item in self._kinds["variable"] + self._kinds["setting"]:
            found.setdefault(item.env or item.id, item)  # server.port is another name of server.bolt_port
        return MappingProxyType(found)

    def extended(self, facts: Iterable[Fact]) -> FactPack:
        """This pack and the facts of a user's own checkout. A fact whose id the pack has is left as it is."""
        new = {item.id: item for item in facts if item.id not in self.by_id}
        return replace(self, facts=self.facts + tuple(new.values()))

    def setting_fault(self, key: str, value: Any) -> str | None:
        """Why the server would not take `key: value` from its YAML file, or None when it would."""
        if (ignored := self.names("not_read").get(key)) is not None:
            return f"is a name that the server does not read. {ignored.note}".strip()
        setting = self.names("setting").get(key)
        if setting is None:
            return f"is not among the keys that pack {self.name} knows"
        if not _is(setting.type, value):
            return f"must be {setting.type}, not {value!r}"
        return None


def pack_names(folder: Path | None = None) -> list[str]:
    """The packs that can be loaded, by name; other files of the folder hold no pack and are left out."""
    paths = sorted((folder or DATA / "facts").glob("*.yaml"))
    return [path.stem for path in paths if any(line.startswith("pack:") for line in _lines(path))]


def load_pack(name: str = "nornicdb-1.0", folder: Path | None = None) -> FactPack:
    """Read `data/facts/<name>.yaml`. Raises BadInput for a missing file, bad YAML or a fact that is not well formed."""
    path = (folder or DATA / "facts") / f"{name}.yaml"
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        raise BadInput("is missing", str(path), "Restore the file from the repository.") from None
    return _load(path, changed)


@lru_cache(maxsize=8)
def _load(path: Path, changed: int) -> FactPack:  # `changed` is part of the key: a file that was edited is read again
    remedy = "Restore the file from the repository."
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe loader
    except yaml.YAMLError as problem:
        raise BadInput(f"is not YAML ({' '.join(str(problem).split())})", str(path), remedy) from None
    try:
        source = document["source"]
        head = (document["pack"], source["repository"], str(source["commit"]), source["licence"])
        records = list(document["facts"])
    except (KeyError, TypeError):
        raise BadInput("lacks pack, source or facts", str(path), remedy) from None
    found = list(_faults(records))
    if found:
        raise BadInput("; ".join(found), str(path), "Mend these facts.")
    return FactPack(*head, tuple(_fact(record) for record in records))


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from file


def _fact(record: dict[str, Any]) -> Fact:
    return Fact(**{name: tuple(value) if name in _LISTS else value for name, value in record.items()})


def _is(type_name: str, value: Any) -> bool:
    return isinstance(value, TYPES[type_name]) and (type_name == "boolean" or not isinstance(value, bool))


_KNOWN = {field.name for field in fields(Fact)}


def _faults(records: Iterable[Any]) -> Iterator[str]:
    """What is wrong with the facts of a pack, one text each."""
    seen: set[str] = set()
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict) or not all(record.get(name) for name in ("id", "kind", "source")):
            yield f"fact {number} needs id, kind and source"
            continue
        where = f"fact {record['id']!r}"
        if record["id"] in seen:
            yield f"{where} occurs twice"
        seen.add(record["id"])
        if "value" not in record or set(record) - _KNOWN:
            yield f"{where} needs value and only {', '.join(sorted(_KNOWN))}"
        elif record["kind"] not in KINDS:
            yield f"{where} has unknown kind {record['kind']!r}"
        elif any(not isinstance(record.get(name, []), list) for name in _LISTS):
            yield f"{where} needs lists for {', '.join(_LISTS)}"
        elif fault := _kind_fault(record):
            yield f"{where} {fault}"


def _kind_fault(record: dict[str, Any]) -> str:
    """What a fact of its kind lacks; empty when nothing."""
    kind, identifier = record["kind"], str(record["id"])
    if kind in ("setting", "variable") and (
        record.get("type") not in TYPES or not _is(record["type"], record["value"])
    ):
        return f"needs a type of {', '.join(TYPES)} that its value has"
    if kind == "procedure" and not record.get("yields"):
        return "needs yields, the columns of its result"
    if kind in ("function", "statement", "refused", "method", "hook") and not identifier.startswith(f"{kind}."):
        return f"needs an id that starts with {kind}."
    if kind == "flag" and not (
        record.get("of") and identifier == f"flag.{record['of']}.--{identifier.partition('--')[2]}"
    ):
        return "needs `of`, its command, and the id flag.<command>.--<name>"
    if kind == "refused" and not (record.get("note") and record.get("instead")):
        return "needs note (what happens) and instead (what works)"
    if kind == "endpoint" and " /" not in str(record["value"]):
        return "needs a value such as GET /path"
    return ""
