"""The statements in an answer, and when two of them say the same: Cypher, JSON, shell, YAML, Go."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from heimdall_nb.engines.cypher_patterns import clauses
from heimdall_nb.engines.cypher_tokens import tokens, tree, writes
from heimdall_nb.evaluation.canonical import canonical
from heimdall_nb.fact_cypher import CypherNames
from heimdall_nb.fact_index import index_of
from heimdall_nb.fact_text import CYPHER, INLINE, segments
from heimdall_nb.facts import FactPack

SameResult = Callable[[str, str], bool]

_ALONE = re.compile(r"(?:BEGIN|COMMIT|ROLLBACK|EXPLAIN|PROFILE|SHOW|DROP)\b", re.IGNORECASE)
_TRANSACTION = re.compile(r"\s*(?:BEGIN|COMMIT|ROLLBACK)\s*;?\s*\Z", re.IGNORECASE)
_SCHEMA = re.compile(r"\s*CREATE\s+(?:\w+\s+)?(?:INDEX|CONSTRAINT)\b", re.IGNORECASE)
_COMMENT = re.compile(r"(?m)(?:^|\s)#[^\n]*|//[^\n]*$")
_AFTER_COLON = re.compile(r":[ \t]+(?=[A-Z])")


@dataclass(frozen=True)
class Statement:
    """One statement of an answer; `language` is cypher, json, shell, yaml, go or text."""

    language: str
    text: str


def read_answer(answer: str) -> tuple[list[Statement], str]:
    """The statements of an answer (in fences, on lines of their own, as inline code, behind a colon) and its prose."""
    found: list[Statement] = []
    prose: list[str] = []
    for language, text in segments(answer):
        if not text.strip():
            continue
        if language == "cypher":
            found += [Statement("cypher", one) for one in split_cypher(text)]
        elif language != "prose":
            found.append(Statement(language, text.strip()))
        else:
            prose += [_line(line, found) for line in text.splitlines()]
    return found, "\n".join(prose)


def _line(line: str, found: list[Statement]) -> str:
    """A line of prose without its Cypher statements, which are added to `found`."""
    for match in INLINE.finditer(line):
        if CYPHER.match(match[1]) and re.search(r"[({]", match[1]):
            found.append(Statement("cypher", match[1]))
            line = line.replace(match[0], " ")
    for match in _AFTER_COLON.finditer(line):
        rest = line[match.end() :]
        if CYPHER.match(rest) and "(" in rest:
            found += [Statement("cypher", one) for one in split_cypher(rest)]
            return line[: match.start()] + "."
    return line


def split_cypher(text: str) -> list[str]:
    """The statements of a block: they end at a semicolon, or where the next line can only begin another one."""
    ends = [token.start for token in tokens(text) if token.kind == "symbol" and token.text == ";"]
    found = []
    for start, end in zip([0, *(end + 1 for end in ends)], [*ends, len(text)], strict=True):
        current: list[str] = []
        for line in text[start:end].splitlines():
            if current and _closed("\n".join(current), line.strip()):
                found.append("\n".join(current))
                current = []
            current.append(line)
        found.append("\n".join(current))
    return [one.strip() for one in found if tokens(one)]


def _closed(before: str, line: str) -> bool:
    """True when the statement `before` has ended and `line` begins the next one."""
    if not line or not tokens(before):
        return False
    if _ALONE.match(line) or _SCHEMA.match(line) or _TRANSACTION.match(before) or _SCHEMA.match(before):
        return True
    if not CYPHER.match(line):
        return False
    keywords = [clause.keyword for clause in clauses(tree(before))]
    if "RETURN" in keywords:
        return keywords[-1] != "UNION" and not re.match(r"UNION\b", line)
    bare_call = keywords[-1:] == ["CALL"] and not any(token.is_word("YIELD") for token in tokens(before))
    return bare_call or (writes(before) and re.match(r"(?:MATCH|OPTIONAL|UNWIND|CALL)\b", line) is not None)


def invented(query: str, pack: FactPack) -> list[str]:
    """What a Cypher `query` names and `pack` does not know: procedures, their columns, functions, schema statements.

    Each is a sentence, like those of `name_faults`; empty when there is none. Never raises.
    """
    names = CypherNames(index_of(pack))
    names.cypher(query)
    return list(dict.fromkeys(f"{item.kind} {item.name} {item.what}" for item in names.unknown))


def unbalanced(query: str) -> str:
    """Which bracket or quotation mark of a Cypher statement has no partner; empty when all have."""
    closing, open_ones = {")": "(", "]": "[", "}": "{"}, []
    for token in tokens(query):
        if token.kind == "other" and token.text in "'\"`":
            return f"the quotation mark {token.text} is not closed"
        if token.kind == "symbol" and token.text in closing.values():
            open_ones.append(token.text)
        elif token.kind == "symbol" and token.text in closing:
            if not open_ones or open_ones.pop() != closing[token.text]:
                return f"the bracket {token.text} was not opened"
    return f"the bracket {open_ones[-1]} is not closed" if open_ones else ""


def same_statements(gold: Sequence[Statement], answer: Sequence[Statement], same_result: SameResult | None) -> bool:
    """True when both lists hold the same statements, in the same order where their order matters.

    It does where a transaction is opened, or where more than one of them changes the database.
    """
    if len(gold) != len(answer):
        return False
    left = list(answer)
    changes = sum(_changes(one) for one in gold)
    ordered = changes > 1 or any(_TRANSACTION.match(one.text) for one in gold)
    for one in gold:
        place = next((k for k, other in enumerate(left) if same_statement(one, other, same_result)), None)
        if place is None or (ordered and place):
            return False
        del left[place]
    return True


def _changes(one: Statement) -> bool:
    if one.language != "cypher":
        return False
    return writes(one.text) or any(clause.keyword == "CALL" for clause in clauses(tree(one.text)))


def same_statement(gold: Statement, answer: Statement, same_result: SameResult | None = None) -> bool:
    """True when two statements of one language say the same.

    Cypher: equal but for white space, comments, the case of keywords, the names of variables, the names of returned
    columns and the order of map entries; or `same_result` says that both give the same. JSON and YAML: equal values.
    Shell: equal words, options in any order. Other languages: equal tokens.
    """
    if gold.language != answer.language:
        return False
    if gold.language == "cypher":
        return _same_cypher(gold.text, answer.text, same_result)
    if gold.language == "json":
        return _same_value(_json(gold.text), _json(answer.text), same_result)
    if gold.language == "yaml":
        return _yaml(gold.text) == _yaml(answer.text)
    if gold.language == "shell":
        return _same_shell(gold.text, answer.text, same_result)
    return _words(gold.text) == _words(answer.text)


def _same_cypher(gold: str, answer: str, same_result: SameResult | None) -> bool:
    try:
        if canonical(gold) == canonical(answer):
            return True
    except RecursionError:
        return False
    return same_result is not None and same_result(gold, answer)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _words(text)


def _same_value(gold: Any, answer: Any, same_result: SameResult | None, key: str = "") -> bool:
    if isinstance(gold, dict) and isinstance(answer, dict):
        same_keys = gold.keys() == answer.keys()
        return same_keys and all(_same_value(gold[k], answer[k], same_result, k) for k in gold)
    if isinstance(gold, list) and isinstance(answer, list):
        pairs = zip(gold, answer, strict=False)
        return len(gold) == len(answer) and all(_same_value(a, b, same_result, key) for a, b in pairs)
    if key in ("cypher", "statement") and isinstance(gold, str) and isinstance(answer, str):
        return _same_cypher(gold, answer, same_result)
    return type(gold) is type(answer) and gold == answer


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return _words(text)


def _same_shell(gold: str, answer: str, same_result: SameResult | None) -> bool:
    left, right = _shell(gold), _shell(answer)
    pairs = zip(left, right, strict=False)
    return len(left) == len(right) and all(
        len(a) == len(b) and all(_same_value(x, y, same_result) for x, y in zip(a, b, strict=True)) for a, b in pairs
    )


def _shell(text: str) -> list[list[Any]]:
    """Each command's plain words, then its options with their values, sorted; JSON values are read."""
    commands = []
    for line in _COMMENT.sub("", text.replace("\\\n", " ")).splitlines() if "//" not in text else text.splitlines():
        try:
            parts = shlex.split(line, comments=True)
        except ValueError:
            parts = line.split()
        parts = [part for part in parts if part not in ("$", "export", "sudo")]
        plain, options, place = [], [], 0
        while place < len(parts):
            part = parts[place]
            if part.startswith("-") and "=" in part:
                options.append(part.partition("=")[::2])
            elif part.startswith("-") and place + 1 < len(parts) and not parts[place + 1].startswith("-"):
                options.append((part, parts[place + 1]))
                place += 1
            else:
                plain.append(part)
            place += 1
        if parts:
            commands.append([*plain, *(_json(v) if v[:1] in "{[" else [k, v] for k, v in sorted(options))])
    return commands


def _words(text: str) -> list[str]:
    """The text cut into words, strings and signs, comments left out: what is equal where only the layout differs."""
    plain = re.sub(r"(?m)^\s*(?://|#)[^\n]*$|/\*.*?\*/", "", text)
    return re.findall(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|`[^`]*`|\w+|[^\w\s]", plain)
