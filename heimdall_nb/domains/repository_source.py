"""A source file read with tree-sitter: its functions, types and tests, each with what the examples need of it."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field

from tree_sitter import Node, QueryCursor, Tree

from heimdall_nb.domains.repository_files import LeftOut
from heimdall_nb.domains.repository_names import Names, Path, Scope
from heimdall_nb.domains.repository_rules import Rules, pattern, tables
from heimdall_nb.domains.repository_secrets import secret_lines
from heimdall_nb.domains.repository_text import Layout, span

_SCOPES = ("function", "type", "test", "closure", "condition")  # of one span, the first opens
_SLICE = 4096  # bytes that the parser is handed at a time


@dataclass(frozen=True)
class Call:
    """A call in a unit: the path that it leads to, whether that is a whole one, and the statement around it."""

    path: Path
    exact: bool
    statement: str
    own: bool  # in the unit itself, not in a function within it


@dataclass(frozen=True)
class ErrorSite:
    """Where a function raises, returns or catches an error: line of its code (from 1), verb, what, condition."""

    line: int
    verb: str
    what: str
    condition: str


@dataclass(frozen=True)
class Unit:
    """A function, type or test outside of functions, on lines of its own."""

    kind: str  # function, type, test
    name: str
    path: Path  # module, types around it, name
    owner: str  # the type that it belongs to, or empty
    file: str
    first: int  # lines in the file, from 1
    last: int
    signature: str
    code: str  # its lines, moved to the left margin
    doc: str  # its doc comment without the signs of a comment
    bare: str  # its code without a docstring inside; empty where that cannot be cut out
    head: int  # lines of the code before the first statement
    in_test_file: bool
    secret: bool  # a line of it seems to hold one
    calls: tuple[Call, ...]
    errors: tuple[ErrorSite, ...]
    fields: tuple[str, ...]
    methods: tuple[str, ...]
    result: Path  # the type that it returns, where that is one name

    @property
    def title(self) -> str:
        """Its name with the type that it belongs to: `Run.need`."""
        return f"{self.owner}.{self.name}" if self.owner else self.name


@dataclass
class Source:
    """What a file holds: its units, the lines with secrets, and what a package file exports under other names."""

    file: str
    lines: int
    units: list[Unit] = field(default_factory=list)
    secrets: dict[int, str] = field(default_factory=dict)
    exports: dict[Path, Path] = field(default_factory=dict)


def parse(rules: Rules, text: str) -> Tree:
    """The syntax tree of a text. Raises LeftOut where it is no correct source of the language.

    The parser stops at the first error: to mend the rest of a file of random bytes can take minutes.
    """
    raw = text.encode()
    parser, start = rules.parser(), time.process_time()
    seconds = tables()["limits"]["parse_seconds"]
    asked = itertools.count()

    def stop(_: int, has_error: bool) -> bool:  # asked after every few hundred bytes
        return has_error or (next(asked) % 100 == 99 and time.process_time() - start > seconds)

    try:
        tree = parser.parse(lambda offset, _: raw[offset : offset + _SLICE], progress_callback=stop)
    except ValueError:  # it was stopped
        tree = None
    if tree is None or tree.root_node.has_error:
        raise LeftOut("malformed source")
    return tree


def read_source(rules: Rules, file: str, text: str) -> Source:
    """The units of a source file. Raises LeftOut where the text is malformed."""
    tree = parse(rules, text)
    reader = _Reader(rules, file, text)
    reader.sweep(tree.root_node)
    return reader.source()


class _Reader:
    """One pass over the matches of the language's query, in the order of the text, with the scopes that are open."""

    def __init__(self, rules: Rules, file: str, text: str) -> None:
        self.rules, self.file, self.layout = rules, file, Layout(rules.table, text)
        self.secrets = secret_lines(text)
        self.names = Names(rules.table, file)
        self.top = Scope("file", 0, len(self.layout.raw))
        self.units: list[Scope] = []
        self.calls: list[tuple[list[str], Scope, Node]] = []
        self.about: dict[str, dict[tuple[int, int], str]] = {"owner": {}, "result": {}, "fallible": {}}

    def sweep(self, root: Node) -> None:
        """Collect what the query finds. Matches are sorted by place, so that a scope opens before what it holds."""
        found = []
        for _, captures in QueryCursor(self.rules.query).matches(root):
            role = next(name for name in captures if _is_role(name))
            node = captures[role][0]
            if role in ("comment", "text", "doc"):
                self.layout.add(role, node, captures.get("doc.text", [None])[0])
            elif role in self.about:
                types = captures.get(f"{role}.type")
                self.about[role][span(node)] = self.layout.text(types[0]) if types else ""
            else:
                place = captures["condition.scope"][0] if role == "condition" else node
                rank = _SCOPES.index(role) if role in _SCOPES else len(_SCOPES)
                found.append((place.start_byte, -place.end_byte, rank, len(found), role, place, captures))
        stack = [self.top]
        for start, _, _, _, role, node, captures in sorted(found, key=lambda item: item[:4]):
            while len(stack) > 1 and start >= stack[-1].end:
                stack.pop()
            if role in _SCOPES:
                if not _is_value_of(node, role, stack[-1]):
                    stack.append(self._open(role, node, captures, stack[-1]))
            else:
                self._note(role, node, captures, stack[-1])

    def _open(self, role: str, node: Node, captures: dict[str, list[Node]], parent: Scope) -> Scope:
        scope = Scope(role, node.start_byte, node.end_byte, parent=parent, node=node)
        if role == "condition":
            scope.name = self.layout.squeezed(captures["condition.text"][0])
        elif role != "closure":
            scope.name = self.layout.text(captures[f"{role}.name"][0])
            scope.body = captures[f"{role}.body"][0]
            scope.owner = self.about["owner"].get(span(node)) or parent.type_name()
            scope.fallible = span(node) in self.about["fallible"]
            if scope.is_unit():
                self.units.append(scope)
            else:  # the name means this function there, and no other of the file
                parent.holder().bound.add(scope.name)
        return scope

    def _note(self, role: str, node: Node, captures: dict[str, list[Node]], scope: Scope) -> None:
        """Put one match into the scope that it belongs to."""
        texts = {name: [self.layout.text(part) for part in parts] for name, parts in captures.items() if "." in name}
        if role == "call":
            self.calls.append((texts["call.path"], scope, node))
        elif role == "variable":
            for name in texts["variable.name"]:
                scope.holder(name).typed.setdefault(name, set()).add(texts["variable.type"][0])
        elif role == "bound":
            scope.holder().bound.add(self.layout.text(node))
        elif role == "import":
            self.names.add_import(*(texts.get(f"import.{part}", [""])[0] for part in ("module", "name", "alias")))
        elif role.startswith("error."):
            self._note_error(role.removeprefix("error."), node, captures, scope)
        elif (owner := scope.nearest("type", "closure")) is not None and owner.kind == "type":
            self._note_part(role, node, captures[f"{role}.name"], owner)

    def _note_part(self, role: str, node: Node, names: list[Node], owner: Scope) -> None:
        """A field with its type, or a method without a body."""
        kind = node.child_by_field_name("type")
        for name in map(self.layout.text, names):
            if role == "member":
                owner.methods.setdefault(name, self.layout.squeezed(node).rstrip("; "))
            else:
                typed = f"{name}: {self.layout.squeezed(kind)}" if kind is not None and kind not in names else name
                owner.fields.setdefault(name, typed)

    def _note_error(self, verb: str, node: Node, captures: dict[str, list[Node]], scope: Scope) -> None:
        function, condition = scope, ""
        while function.kind == "condition":
            condition = condition or function.name
            function = function.parent
        what = self.layout.squeezed(captures["error.what"][0]) if "error.what" in captures else ""
        if what or span(node) not in function.errors:
            function.errors[span(node)] = ErrorSite(node.start_point.row + 1, verb, what, condition)

    def source(self) -> Source:
        """The units of the file, in its order."""
        found = Source(self.file, len(self.layout.lines), secrets=self.secrets, exports=self.names.exports())
        types = {scope.title: scope for scope in self.units if scope.kind == "type"}
        calls: dict[int, list[Call]] = {}
        for parts, scope, node in self.calls:
            unit = scope.nearest_unit()
            target = self.names.resolve(parts, scope) if unit is not None else None
            if target is not None and target[0]:
                call = Call(*target, self.layout.statement(node), scope.function() is unit)
                calls.setdefault(id(unit), []).append(call)
        for scope in self.units:
            if scope.kind == "function" and scope.owner in types:
                signature = " ".join(self.layout.signature(scope.node, scope.body).rstrip(":").split())
                types[scope.owner].methods.setdefault(scope.name, signature)
        for scope in self.units:
            if self.layout.alone(self.layout.outer(scope.node)):
                found.units.append(self._unit(scope, tuple(calls.get(id(scope), ()))))
        return found

    def _unit(self, scope: Scope, calls: tuple[Call, ...]) -> Unit:
        layout, outer = self.layout, self.layout.outer(scope.node)
        first = outer.start_point.row
        last = max(first, outer.end_point.row - (outer.end_point.column == 0))
        doc, doc_rows, top = layout.doc(scope.node, first)
        code = layout.moved(first, last)
        cut = [line for row, line in enumerate(code, start=first) if row not in doc_rows]
        signature = layout.signature(outer, scope.body)
        result = self.about["result"].get(span(scope.node))
        target = self.names.resolve([result], scope.parent) if result else None
        return Unit(
            kind=self._kind(scope, signature),
            name=scope.name,
            path=self.names.path_of(scope),
            owner=scope.owner if scope.kind != "test" else "",
            file=self.file,
            first=first + 1,
            last=last + 1,
            signature=signature,
            code="\n".join(code),
            doc=doc,
            bare="\n".join(cut) if doc_rows or span(scope.node) not in layout.docs else "",
            head=layout.first_statement(scope.body, doc_rows) - first,
            in_test_file=self.rules.is_test_file(self.file),
            secret=any(top < line <= last + 1 for line in self.secrets),
            calls=calls,
            errors=_errors(scope, first, self.rules),
            fields=tuple(scope.fields.values()),
            methods=tuple(scope.methods.values()),
            result=target[0] if target else (),
        )

    def _kind(self, scope: Scope, signature: str) -> str:
        wanted = self.rules.table["test"]
        if scope.kind != "function" or not self.rules.is_test_file(self.file):
            return scope.kind
        named = pattern(wanted["name"]).search(scope.name) and pattern(wanted["signature"]).search(signature)
        return "test" if named else "function"


def _is_role(capture: str) -> bool:
    """The capture that says what a match is; the others are its parts (`call.path`) or only compared (`_name`)."""
    return not capture.startswith("_") and (
        "." not in capture or capture.startswith("error.") and capture != "error.what"
    )


def _is_value_of(node: Node, role: str, scope: Scope) -> bool:
    """Whether the node is the scope itself, or the function that a name is set to: no scope of its own."""
    if role == "condition" or scope.node is None:
        return False
    holds_body = (
        scope.body is not None and node.start_byte <= scope.body.start_byte and scope.body.end_byte <= node.end_byte
    )
    return span(node) == span(scope.node) or (role == "closure" and holds_body)


def _errors(scope: Scope, first: int, rules: Rules) -> tuple[ErrorSite, ...]:
    """The errors of a function in the order of its lines, these counted from its own first one.

    Empty where it returns without naming its results: what it returns then stands elsewhere.
    """
    found = []
    for _, site in sorted(scope.errors.items()):
        if site.verb == "returns":
            if not scope.fallible or pattern(rules.table["no_error"]).match(site.what) and site.what:
                continue
            if not site.what:
                return ()
        found.append(ErrorSite(site.line - first, site.verb, site.what, site.condition))
    return tuple(found)
