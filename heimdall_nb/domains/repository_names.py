"""Which definition a name in a source file means: by its scope, the file's imports, and the types of its variables.

A name is resolved to a path (module, types, name) or, where anything else could be meant, to nothing.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tree_sitter import Node

from heimdall_nb.domains.repository_rules import pattern

Path = tuple[str, ...]
Target = tuple[Path, bool]  # path, and whether it is a whole one (else the end of one)
_CHAIN = re.compile(r"[\w$#]+(?:\.[\w$#]+)*")
_RELATIVE = re.compile(r"^[./]+")


@dataclass
class Scope:
    """A part of a file in which names have a meaning: the file, a type, a function, or a condition in one."""

    kind: str  # file, type, function, test, closure, condition
    start: int
    end: int
    parent: Scope | None = None
    node: Node | None = None
    name: str = ""  # of a condition: its text
    owner: str = ""
    body: Node | None = None
    fallible: bool = False
    typed: dict[str, set[str]] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)
    fields: dict[str, str] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    errors: dict[tuple[int, int], Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.owner}.{self.name}" if self.owner else self.name

    def chain(self) -> Iterable[Scope]:
        """This scope and those around it, from the inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def nearest(self, *kinds: str) -> Scope | None:
        return next((scope for scope in self.chain() if scope.kind in kinds), None)

    def function(self) -> Scope | None:
        return self.nearest("function", "test", "closure")

    def type_name(self) -> str:
        """The names of the types around, joined by dots; empty inside a function."""
        names = []
        for scope in self.chain():
            if scope.kind in ("function", "test", "closure"):
                return ""
            if scope.kind == "type":
                names.insert(0, scope.name)
        return ".".join(names)

    def is_unit(self) -> bool:
        """A test, or a function or type outside of functions."""
        around = (scope.kind for scope in self.chain() if scope is not self)
        return self.kind == "test" or (self.kind != "closure" and not {"function", "test", "closure"} & set(around))

    def nearest_unit(self) -> Scope | None:
        return next((s for s in self.chain() if s.kind in ("function", "test") and s.is_unit()), None)

    def holder(self, name: str = "") -> Scope:
        """The scope that a variable belongs to: for `self.x` the type, else the function, type or file."""
        if "." in name and (owner := self.nearest("type")) is not None:
            return owner
        return next(scope for scope in self.chain() if scope.kind != "condition")


def module_path(table: dict[str, Any], file: str) -> Path:
    """The path of what a file defines: its folders, and its name where the language's modules are files.

    >>> module_path({"roots": "^src/", "module": "file", "package_files": ["__init__"]}, "src/app/run.py")
    ('app', 'run')
    """
    place = pattern(table["roots"]).sub("", file, count=1) if table["roots"] else file
    folder, _, name = place.rpartition("/")
    parts = tuple(part for part in folder.split("/") if part)
    stem = posixpath.splitext(name)[0]
    return parts if table["module"] == "folder" or stem in table["package_files"] else (*parts, stem)


class Names:
    """The names of one file."""

    def __init__(self, table: dict[str, Any], file: str) -> None:
        self.table, self.file = table, file
        self.module = module_path(table, file)
        self.imports: dict[str, Target] = {}

    def add_import(self, module: str, name: str, alias: str) -> None:
        """Note an import: of a module (`name` empty) or of a name in it, known here as `alias` or by its own name."""
        path, exact = self._module(module)
        if name:
            self.imports[alias or name] = (*path, *name.split(".")), exact
        elif alias:
            self.imports[alias] = path, exact
        elif path:
            bound = path[:1] if self.table["binds"] == "first" else path
            self.imports[bound[-1]] = bound, exact

    def _module(self, text: str) -> Target:
        """What an import names, as a path: a whole one where it is relative to the file."""
        separator = self.table["separator"]
        for ending in self.table["endings"]:
            text = text.removesuffix(ending) if separator == "/" else text
        relative = _RELATIVE.match(text)
        if relative is None:
            return tuple(part for part in text.split(separator) if part), False
        dots = relative[0]
        ups = dots.count("..") if "/" in dots else len(dots) - 1
        folder = module_path(self.table | {"module": "folder"}, self.file)
        rest = [part for part in text[len(dots) :].split(separator) if part]
        if rest and rest[-1] in self.table["package_files"]:
            rest.pop()
        return (*folder[: len(folder) - ups if ups else len(folder)], *rest), True

    def exports(self) -> dict[Path, Path]:
        """For a package file: the path of a name in the package -> the path that the name was imported from."""
        stem = posixpath.splitext(posixpath.basename(self.file))[0]
        if not self.table["package_exports"] or stem not in self.table["package_files"]:
            return {}
        return {(*self.module, alias): path for alias, (path, _) in self.imports.items()}

    def path_of(self, scope: Scope) -> Path:
        """The full path of a function, type or test."""
        return (*self.module, *(part for part in scope.owner.split(".") if part), scope.name)

    def resolve(self, parts: list[str], scope: Scope, depth: int = 0) -> Target | None:
        """What the joined `parts` of a call or type mean in `scope`."""
        text = ".".join(parts)
        if not _CHAIN.fullmatch(text) or depth > 3:
            return None
        head, *rest = text.split(".")
        if head in self.table["self"]:
            return self._of_self(rest, scope, depth)
        for holder in scope.chain():
            if head in holder.typed:
                return self._typed(holder.typed[head], rest, holder, depth)
            if head in holder.bound and holder.kind != "file":
                return None
        if head in self.imports:
            path, exact = self.imports[head]
            return (*path, *rest), exact
        owner = scope.type_name() or next((s.owner for s in scope.chain() if s.owner), "")
        if not rest and self.table["bare_methods"] and owner and head[:1].islower():
            return (*self.module, *owner.split("."), head), True
        return (*self.module, head, *rest), True

    def _of_self(self, rest: list[str], scope: Scope, depth: int) -> Target | None:
        """`self.method` is of the type around; `self.part.method` of the type that `self.part` was given."""
        unit = scope.nearest_unit()
        if unit is None or not unit.owner or not rest:
            return None
        if len(rest) == 1:
            return (*self.module, *unit.owner.split("."), *rest), True
        owner = unit.nearest("type")
        for name in self.table["self"]:
            kinds = owner.typed.get(f"{name}.{rest[0]}") if owner else None
            if kinds:
                return self._typed(kinds, rest[1:], owner, depth)
        return None

    def _typed(self, kinds: set[str], rest: list[str], holder: Scope, depth: int) -> Target | None:
        if len(kinds) != 1 or not rest:
            return None
        outside = holder.parent if holder.parent is not None and holder.kind != "file" else holder
        target = self.resolve([next(iter(kinds))], outside, depth + 1)
        return None if target is None else ((*target[0], *rest), target[1])
