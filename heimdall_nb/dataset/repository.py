"""What a user's own NornicDB checkout knows: procedures and variables as facts, Cypher statements with their files.

Only files are read: nothing of the checkout is run, and git is not needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from heimdall_nb.engines.cypher_tokens import tokens
from heimdall_nb.errors import BadInput
from heimdall_nb.facts import Fact

MAX_FILE = 1_000_000  # bytes; a larger file is generated or data
MAX_STATEMENT = 2_000  # characters; a longer one is a script
MAX_STATEMENTS = 20_000
LEFT_OUT = frozenset("vendor node_modules third_party testdata dist build bin venv __pycache__ antlr generated".split())
_GENERATED = re.compile(r"(?:\.pb|_gen|_generated|\.gen|zz_\w+)\.go$")
_DISPATCH = re.compile(r'strings\.Contains\(\s*\w+\s*,\s*"([A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)+)"\s*\)')
_SPELLED = re.compile(r"(?<![\w.])((?:db|dbms|apoc|gds|tx|nornicdb)(?:\.[A-Za-z]\w*)+)")
_READ = re.compile(
    r'(?:os\.(?:Getenv|LookupEnv)|\b(?:get|lookup|Get|Lookup)\w*[Ee]nv\w*|\benvutil\.\w+)\(\s*"(NORNICDB_[A-Z0-9_]*[A-Z0-9])"'
)
_FENCE = re.compile(r"^[ \t]*```[ \t]*(?:cypher|cql)[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL | re.IGNORECASE)
_GO_TEXT = re.compile(r'`([^`]*)`|"((?:\\[^\n]|[^"\\\n])*)"')
_COMMENT = re.compile(r"[ \t]*//[^\n]*")
_CLAUSES = (
    "MATCH|OPTIONAL MATCH|CREATE|MERGE|UNWIND|CALL|RETURN|WITH|SHOW|DROP|ALTER|EXPLAIN|PROFILE|FOREACH|LOAD CSV|USE"
)
_STATEMENT = re.compile(rf"(?:{_CLAUSES})[\s(\[{{]", re.IGNORECASE)
_FORM = re.compile(r".*[(\[{$]|[A-Z]{3,}\b", re.DOTALL)  # brackets, or a keyword in capitals: "return value" is prose
_SECRET = re.compile(
    r"(?i)\b(?:password|passwd|secret|token|api_?key|authorization|bearer|private_?key)\b|AKIA|ghp_|sk-"
)
_FORMAT = re.compile(r"%[-+#0]?\d*[sdvqfxT]|\{\{")  # filled in by Go at run time, so not the statement itself


def repository_facts(path: Path) -> list[Fact]:
    """The procedures that the checkout at `path` dispatches and the NORNICDB_ variables that its Go code reads.

    Each has the file, relative to `path`, as its source; values and columns are not known. Sorted by kind and id.
    Raises BadInput when `path` is no folder or holds no Go code of NornicDB.
    """
    procedures: dict[str, str] = {}
    spelled: dict[str, str] = {}
    variables: dict[str, str] = {}
    for file, text in _texts(path, (".go",)):
        if file.endswith("_test.go"):
            continue
        for name in _DISPATCH.findall(text):
            procedures.setdefault(name, file)
        for name in _SPELLED.findall(text):
            spelled.setdefault(name.upper(), name)
        for name in _READ.findall(text):
            variables.setdefault(name, file)
    if not procedures and not variables:
        raise _nothing(path, "no Go code of NornicDB")
    named = {spelled.get(name, name.lower()): file for name, file in procedures.items()}
    facts = [Fact(n, "procedure", f"{n}(...)", file, tags=("repository",)) for n, file in sorted(named.items())]
    facts += [Fact(n, "variable", "", file, type="text", tags=("repository",)) for n, file in sorted(variables.items())]
    return facts


def repository_statements(path: Path, limit: int = MAX_STATEMENTS) -> Iterator[tuple[str, str]]:
    """Cypher statements of the checkout at `path`, each with the file that holds it, at most `limit`.

    They come from Go tests, fenced blocks of Markdown files and `.cypher` files, in the order of the file names, each
    once: white space, comments, a closing semicolon and the case of keywords make no difference. Left out are
    statements that Go fills in at run time, that hold what looks like a secret, or that are over 2,000 characters.
    Raises BadInput when `path` is no folder or holds no such statement.
    """
    seen: set[tuple[str, ...]] = set()
    for file, text in _texts(path, ("_test.go", ".md", ".cypher", ".cql")):
        for statement in _statements(file, text):
            key = _normal(statement)
            if key in seen:
                continue
            seen.add(key)
            yield statement, file
            if len(seen) >= limit:
                return
    if not seen:
        raise _nothing(path, "no Cypher statement")


def _nothing(path: Path, what: str) -> BadInput:
    return BadInput(f"holds {what}", str(path), "Give --repo the folder of a NornicDB checkout.")


def _texts(path: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The files below `path` that end in one of `endings`, as (relative name, text), in a fixed order."""
    if not path.is_dir():
        raise BadInput("is no folder", str(path), "Give --repo the folder of a NornicDB checkout.")
    for folder, folders, files in os.walk(path):  # links to folders are not followed, so there are no circles
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("."))
        for name in sorted(files):
            if not name.endswith(endings) or _GENERATED.search(name):
                continue
            file = Path(folder) / name
            try:
                if file.is_symlink() or file.stat().st_size > MAX_FILE:
                    continue
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue  # a file that cannot be read as text teaches nothing
            if "Code generated" not in text[:500]:
                yield file.relative_to(path).as_posix(), text


def _statements(file: str, text: str) -> Iterator[str]:
    if file.endswith(".go"):
        pieces = [match[1] or _unescaped(match[2] or "") for match in _GO_TEXT.finditer(_without_comments(text))]
    elif file.endswith(".md"):
        pieces = [part for block in _FENCE.findall(text) for part in _split(block)]
    else:
        pieces = _split(text)
    for piece in pieces:
        statement = piece.strip().rstrip(";").strip()
        if _plausible(statement):
            yield statement


def _plausible(statement: str) -> bool:
    first = re.sub(r"^(?:\s*//[^\n]*\n)+\s*", "", statement)
    return (
        8 <= len(statement) <= MAX_STATEMENT
        and _STATEMENT.match(first) is not None
        and _FORM.match(first) is not None
        and _SECRET.search(statement) is None
        and _FORMAT.search(statement) is None
        and _balanced(statement)
    )


def _balanced(statement: str) -> bool:
    """Every bracket is closed: a Go string that is put together from parts is no whole statement."""
    open_brackets: list[str] = []
    for token in tokens(statement):
        if token.kind == "other":
            return False  # a quote that does not end, or a sign that is no Cypher
        if token.kind == "symbol" and token.text in "([{":
            open_brackets.append({"(": ")", "[": "]", "{": "}"}[token.text])
        elif (
            token.kind == "symbol" and token.text in ")]}" and (not open_brackets or open_brackets.pop() != token.text)
        ):
            return False
    return not open_brackets


def _normal(statement: str) -> tuple[str, ...]:
    """What two spellings of one statement share."""
    return tuple(f"{item.kind} {item.text.upper() if item.kind == 'word' else item.text}" for item in tokens(statement))


def _split(block: str) -> Iterator[str]:
    """The statements of a script: parts between semicolons or empty lines, where these stand outside strings."""
    start = 0
    for token in tokens(block):
        if token.kind == "symbol" and token.text == ";":
            yield from re.split(r"\n\s*\n", block[start : token.start])
            start = token.start + 1
    yield from re.split(r"\n\s*\n", block[start:])


def _without_comments(text: str) -> str:
    return "\n".join("" if _COMMENT.match(line) and _COMMENT.match(line).end() else line for line in text.split("\n"))


def _unescaped(text: str) -> str:
    return text.replace('\\"', '"').replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\")
