"""The parts of an answer: code blocks and paragraphs with their language, sentences, inline code."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_LANGUAGES = {"yml": "yaml", "sh": "shell", "bash": "shell", "console": "shell", "golang": "go", "cql": "cypher"}
_STARTS = "MATCH OPTIONAL CALL CREATE MERGE RETURN WITH UNWIND SHOW DROP ALTER EXPLAIN PROFILE BEGIN FOREACH LOAD USE"
CYPHER = re.compile(rf"(?://[^\n]*\n\s*)*(?:(?:{_STARTS.replace(' ', '|')})\b|(?i:match|merge|create)\s*\()")
_YAML = re.compile(r"(?:[ \t]*(?:#[^\n]*|-[ \t][^\n]*|[a-z_][\w.-]*:(?:[ \t][^\n]*)?)?(?:\n|\Z))+")
_REMARK = re.compile(r"[\w.]+: +[^\s#]+ +[^\s#]+ +[^\s#]+")  # `name: a sentence about it`
_SHELL = re.compile(r"(?:\$ +)?(?:export +)?(?:NORNICDB_\w+=|(?:[./]\S*/)?nornicdb +[a-z-]|docker |curl |go +build)")
_GO = re.compile(r"(?:package|func|import|type|var) +[\w(\"*]")
INLINE = re.compile(r"`([^`\n]+)`")


def segments(answer: str) -> Iterator[tuple[str, str]]:
    """The parts of an answer as (language, text). The language of an unfenced paragraph is read from its first line."""
    end = 0
    if "```" in answer:
        for match in _FENCE.finditer(answer):
            yield from _paragraphs(answer[end : match.start()])
            language, text = match.group(1).lower(), match.group(2)
            yield _LANGUAGES.get(language, language) or _language(text, "text"), text
            end = match.end()
    yield from _paragraphs(answer[end:])


def _paragraphs(text: str) -> Iterator[tuple[str, str]]:
    if not text.strip():
        return
    language = _language(text, "prose")
    if language in ("yaml", "go", "json") or (language == "cypher" and "\n\n" not in text):
        yield language, text
        return
    for paragraph in re.split(r"\n\s*\n", text):
        start, lines = 0, paragraph.split("\n")
        for number, line in enumerate(lines):
            if number and (found := _language(line, "prose")) in ("cypher", "shell"):
                yield _language("\n".join(lines[start:number]), "prose"), "\n".join(lines[start:number])
                start = number
                if found == "cypher":
                    break
        rest = "\n".join(lines[start:])
        yield _language(rest, "prose"), rest


def _language(text: str, otherwise: str) -> str:
    text = text.strip()
    first = text.partition("\n")[0].rstrip()
    if CYPHER.match(text) and not first.endswith((".", ":", "!", "?")):
        return "cypher"
    if _SHELL.match(first) and not first.endswith("."):
        return "shell"
    if text[:1] in "{[" and text[-1:] in "}]":
        return "json"
    if ":" in first and _YAML.fullmatch(text) and not _REMARK.match(first):
        return "yaml"
    return "go" if _GO.match(text) else otherwise


def sentences(text: str) -> Iterator[str]:
    """The sentences of a prose text; a line break ends one too."""
    start = 0
    for match in re.finditer(r"[.;!?](?=\s)|\n", text):
        if text[start : match.end()].strip():
            yield text[start : match.end()]
        start = match.end()
    if text[start:].strip():
        yield text[start:]
