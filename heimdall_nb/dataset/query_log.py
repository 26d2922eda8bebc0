"""Queries out of a log, one at a time: NornicDB's and Neo4j's query logs, JSON lines, key=value lines, plain text.

The file is read as a stream: no more than one entry is held. No message of an error shows what a line holds.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.describe_words import NotUnderstood, pairs, text_of
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, symbol, tokens, tree
from heimdall_nb.errors import BadInput

FORMATS = ("auto", "nornicdb", "neo4j", "text")
LONGEST_LINE = 1 << 20  # bytes
SAMPLE = 200  # lines that decide what a log is

STARTS = frozenset(
    "MATCH OPTIONAL WITH RETURN UNWIND CREATE MERGE CALL FOREACH SHOW DROP EXPLAIN PROFILE CYPHER USE LOAD".split()
)
_READS = ("MATCH", "OPTIONAL", "UNWIND", "CALL", "SHOW")
_STAMP = r"(?:\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d\S*\s+)?"
_BOLT = re.compile(_STAMP + r"\[BOLT\]\s+\S*@\S+:\s(?P<query>.*)", re.DOTALL)
_TAGGED = re.compile(_STAMP + r"\[(?i:query|slow[ _-]?query|cypher)\]\s*(?P<rest>.*)", re.DOTALL)
_TIMING = re.compile(r"^(?:[\d.]+\s?(?:ns|µs|us|ms|s|m)\b|\([\d.]+\s?(?:ns|µs|us|ms|s)\))[:\s-]*")
_FIELD = re.compile(
    r'(?:^|\s)(?P<key>query|cypher|statement|params|parameters|status|error)=(?P<value>"(?:\\.|[^"\\])*"|\S+)'
)
_NEO4J = re.compile(
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S*\s+(?P<level>INFO|WARN|ERROR|DEBUG)\s+(?P<message>.*)", re.DOTALL
)
_OTHER_LINE = re.compile(_STAMP + r"(?:\[[A-Z][\w -]*\]|(?:time|level|ts)=|\d{4}[-/]\d\d[-/]\d\d)")
_SETTINGS = re.compile(r"^\s*:(param|params|use|begin|commit|rollback|help|clear|auto)\b", re.IGNORECASE)
_NAMES = {"query": ("query", "cypher", "statement"), "parameters": ("queryParameters", "parameters", "params")}


@dataclass(frozen=True)
class Entry:
    """One entry of a log. `query` is empty where nothing is recognised; `fault` says why it cannot be used."""

    line: int  # where it starts, 1-based
    query: str = ""
    parameters: Mapping[str, Any] | None = None
    fault: str = ""  # "cut off in the log" or "failed in the log"


def read_log(path: Path | str, form: str = "auto") -> Iterator[Entry]:
    """The entries of a log, plain or gzip, in order.

    Raises BadInput (file and line) for a file that cannot be read, is binary or not UTF-8, has a line over 1 MiB, or
    is a JSON log with a line that is no JSON object.
    """
    if form not in FORMATS:
        raise BadInput(f"{form!r} is no format", "--format", f"Choose one of: {', '.join(FORMATS)}.")
    path = Path(path)
    lines = _lines(path)
    sample = list(islice(lines, SAMPLE))
    texts = [text for _, text in sample if text.strip()]
    every = chain(sample, lines)
    if texts and form != "text" and texts[0].lstrip().startswith("{"):
        return _json_entries(path, every)
    if form == "nornicdb" or (form == "auto" and any(map(_nornicdb_starts, texts))):
        return _joined(every, _nornicdb_starts, _nornicdb_entry)
    if form == "neo4j" or (form == "auto" and any(map(_NEO4J.match, texts))):
        return _joined(every, lambda text: _NEO4J.match(text) is not None, _neo4j_entry)
    alone = (
        len(texts) > 1
        and all(_starts(text) for text in texts)
        and not any(text.rstrip().endswith(";") for text in texts)
    )
    return _text_entries(every, alone and len(texts) == len(sample))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends."""
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            handle = gzip.GzipFile(fileobj=raw) if packed else raw
            while line := handle.readline(LONGEST_LINE + 1):
                number += 1
                yield number, _decoded(path, number, line)
    except (OSError, EOFError, zlib.error) as problem:
        what = getattr(problem, "strerror", None) or "its compression is broken"
        where = f"{path}, line {number + 1}" if number else str(path)
        raise BadInput(f"cannot be read ({what})", where, "Give the path of a log, plain or .gz.") from None


def _decoded(path: Path, number: int, line: bytes) -> str:
    where = f"{path}, line {number}"
    if len(line) > LONGEST_LINE:
        raise BadInput("is longer than 1 MiB", where, "Is this a query log?")
    if b"\0" in line:
        raise BadInput("is binary, or not in UTF-8", where, "Give a text file in UTF-8.")
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as problem:
        raise BadInput(f"is not UTF-8 (byte {problem.start + 1})", where, "Convert the log to UTF-8.") from None


def _joined(lines: Iterable[tuple[int, str]], starts: Any, entry: Any) -> Iterator[Entry]:
    """Entries of a log whose lines start with a head; lines without one go on with the entry before."""
    first, texts, size = 0, [], 0
    for number, text in lines:
        if starts(text) or _OTHER_LINE.match(text) or not texts or size > LONGEST_LINE:
            if texts:
                yield entry(first, "\n".join(texts))
            first, texts, size = number, [], 0
            if not text.strip():
                continue
        texts.append(text)
        size += len(text)
    if texts:
        yield entry(first, "\n".join(texts))


def _nornicdb_starts(text: str) -> bool:
    if _BOLT.match(text) or _TAGGED.match(text):
        return True
    return any(match["key"] in _NAMES["query"] for match in _FIELD.finditer(text))


def _nornicdb_entry(line: int, text: str) -> Entry:
    if match := _BOLT.match(text):
        return _bolt_entry(line, match["query"])
    fields = {match["key"]: _unquoted(match["value"]) for match in _FIELD.finditer(text)}
    query = next((fields[name] for name in _NAMES["query"] if name in fields), "")
    if not query and (match := _TAGGED.match(text)):
        query = _TIMING.sub("", match["rest"])
    failed = "error" in fields or fields.get("status", "OK").upper().startswith("ERROR")
    return _entry(line, query, _parameters(fields.get("params") or fields.get("parameters") or ""), failed)


def _bolt_entry(line: int, query: str) -> Entry:
    parameters = None
    if query.rstrip().endswith(")") and " (params: map[" in query:
        query, _, rest = query.rstrip()[:-1].rpartition(" (params: ")
        parameters = _go_map(rest, {t.text[1:] for t in tokens(query) if t.kind == "parameter"})
    return _entry(line, query, parameters, False)


def _neo4j_entry(line: int, text: str) -> Entry:
    """`… - MATCH … - {parameters} - runtime=… - {annotation}` behind the session's fields."""
    match = _NEO4J.match(text)
    if match is None:
        return Entry(line)
    message = match["message"]
    begins = (gap.end() for gap in re.finditer(r"\s-\s+|\t", message))
    start = next((place for place in begins if _starts(message[place : place + 40])), None)
    if start is None:
        return Entry(line)
    query = message[start:]
    query, separator, rest = query.partition(" - {")
    parameters = _parameters("{" + rest) if separator else None
    return _entry(line, query, parameters, match["level"] == "ERROR")


def _json_entries(path: Path, lines: Iterable[tuple[int, str]]) -> Iterator[Entry]:
    for number, text in lines:
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            raise BadInput("is not JSON", f"{path}, line {number}", "Mend or remove the line.") from None
        if not isinstance(record, dict):
            what = f"holds {type(record).__name__}, not an object"
            raise BadInput(what, f"{path}, line {number}", "Mend or remove the line.")
        query = next((record[n] for n in _NAMES["query"] if isinstance(record.get(n), str)), "")
        given = next((record[n] for n in _NAMES["parameters"] if record.get(n)), None)
        parameters = given if isinstance(given, dict) else _parameters(given) if isinstance(given, str) else None
        failed = record.get("event") == "fail" or record.get("level") == "ERROR" or bool(record.get("error"))
        yield _entry(number, query, parameters, failed)


def _text_entries(lines: Iterable[tuple[int, str]], alone: bool) -> Iterator[Entry]:
    """Statements that end at `;`, at an empty line, or (`alone`) at each line's end."""
    first, texts = 0, []
    for number, text in lines:
        bare = text.strip()
        if bare.startswith("//") or _SETTINGS.match(text):
            continue
        done = "\n".join(texts)
        if texts and (not bare or (_starts(text) and (alone or _complete(done, text)))):
            yield _entry(first, done, None, False)
            texts = []
        if not bare:
            continue
        *ended, rest = _statements(f"{chr(10).join(texts)}\n{text}" if texts else text)
        first = first if texts else number
        for statement in ended:
            if statement.strip():
                yield _entry(first, statement, None, False)
            first = number
        texts = [rest] if rest.strip() else []
        if texts and len(rest) > LONGEST_LINE:
            yield Entry(first)
            texts = []
    if texts:
        yield _entry(first, "\n".join(texts), None, False)


def _statements(text: str) -> list[str]:
    """The text cut at each `;` that is no part of a string or comment."""
    if ";" not in text:
        return [text]
    cuts = [t.start for t in tokens(text) if t.kind == "symbol" and t.text == ";"]
    return [text[a:b] for a, b in zip([0, *(c + 1 for c in cuts)], [*cuts, len(text)], strict=True)]


def _complete(text: str, following: str) -> bool:
    """Whether the query can end before the line `following`, and cannot go on with it."""
    last = re.split(r"\bUNION(?:\s+ALL)?\b", text, flags=re.IGNORECASE)[-1]
    words = {t.text.upper() for t in tokens(last) if t.kind == "word"}
    starts = following.split(None, 1)[0].upper()
    if "RETURN" in words:
        return True
    return starts in _READS and bool(words & {"SET", "DELETE", "REMOVE", "CREATE", "MERGE"}) and "WITH" not in words


def _starts(text: str) -> bool:
    first = re.match(r"\s*([A-Za-z]+)\b", text)
    return first is not None and first.group(1).upper() in STARTS


def _entry(line: int, query: str, parameters: Mapping[str, Any] | None, failed: bool) -> Entry:
    query = query.strip().rstrip(";").rstrip()
    if not _starts(re.sub(r"^(?:\s+|//[^\n]*\n|/\*.*?\*/)*", "", query, flags=re.DOTALL)):
        return Entry(line)
    if query.endswith(("...", "…")):
        return Entry(line, query, fault="cut off in the log")
    return Entry(line, query, parameters, "failed in the log" if failed else "")


def _unquoted(value: str) -> str:
    """A value of a key=value line without its quotation marks and escapes."""
    if not value.startswith('"'):
        return value
    return text_of(Token("string", value[1:-1], 0))


def _parameters(text: str) -> dict[str, Any] | None:
    """A JSON or Cypher map at the start of `text`; None where there is none that can be read."""
    try:
        item = next(iter(tree(_keys_bare(text))), None)
        return _value(item) if isinstance(item, Group) and item.bracket == "{" else None
    except (NotUnderstood, RecursionError, ValueError):  # ValueError: a number that Python does not read
        return None


def _keys_bare(text: str) -> str:
    return re.sub(r'([{,]\s*)"(\w+)"\s*:', r"\1\2:", text)


def _value(item: Item | None, negative: bool = False) -> Any:
    if isinstance(item, Group):
        if item.bracket == "{":
            return {key: _single(value) for key, value in pairs(item)}
        if item.bracket == "[":
            parts: list[list[Item]] = [[]]
            for inner in item.items:
                parts.append([]) if symbol(inner, ",") else parts[-1].append(inner)
            return [_single(part) for part in parts] if item.items else []
    elif item is not None:
        if item.kind == "string":
            return text_of(item)
        if item.kind == "number":
            number = float(item.text) if re.search(r"[.eE]", item.text) else int(item.text, 0)
            return -number if negative else number
        if item.is_word("TRUE", "FALSE", "NULL"):
            return {"TRUE": True, "FALSE": False}.get(item.text.upper())
    raise NotUnderstood("a value")


def _single(items: Any) -> Any:
    negative = len(items) == 2 and symbol(items[0], "-")
    if len(items) != 1 + negative:
        raise NotUnderstood("a value")
    return _value(items[-1], negative)


def _go_map(text: str, names: set[str]) -> dict[str, Any] | None:
    """`map[age:30 name:Ada Novak]` as Go prints it, split at the parameters that the query names."""
    text = text.removeprefix("map[").removesuffix("]")
    marks = list(re.finditer(r"(?:^|(?<= ))(\w+):", text))
    marks = [mark for mark in marks if mark[1] in names]
    found: dict[str, Any] = {}
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        value = text[mark.end() : after.start() - 1] if after else text[mark.end() :]
        if value.startswith(("[", "map[")):
            continue  # a list or map without quotation marks cannot be read safely
        if re.fullmatch(r"-?\d+", value):
            found[mark[1]] = int(value)
        elif re.fullmatch(r"-?\d+\.\d+", value):
            found[mark[1]] = float(value)
        else:
            found[mark[1]] = {"true": True, "false": False, "<nil>": None}.get(value, value)
    return found or None
