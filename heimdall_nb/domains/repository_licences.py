"""Under which licence a source file is: its own header decides, else the nearest licence file above it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from heimdall_nb.domains.repository_rules import left_out, pattern

NONE, UNKNOWN, CLOSED = "none", "unknown", "closed"  # no licence, a text that is not recognised, all rights reserved
_LARGEST = 200_000  # bytes of a licence file that are read
_HEADER = 5_000  # characters of a source file in which its header ends
_PART = re.compile(r"\(([^()]*)\)")
_OR = re.compile(r"\s+(?:OR|or)\s+")
_AND = re.compile(r"\s+(?:AND|and)\s+")
_LATER = re.compile(r"(-only|-or-later|\+)?(\s+WITH\s+.*)?$", re.IGNORECASE)


def folder_licence(folder: Path, names: Collection[str]) -> str:
    """The licence that the files of a folder declare, as an SPDX-like expression; empty text where they declare none.

    `names` are the folder's files. A licence file goes before metadata such as pyproject.toml; of several alternatives
    (LICENSE-MIT, LICENSE-APACHE) each may be chosen.
    """
    table = left_out()["licences"]
    if found := sorted(name for name in names if pattern(table["files"]).match(name)):
        return " AND ".join(f"({_of_text(_read(folder / name))})" for name in found)
    if found := sorted(name for name in names if pattern(table["alternatives"]).match(name)):
        return " OR ".join(f"({_of_text(_read(folder / name))})" for name in found)
    for name, wanted in table["metadata"].items():
        match = pattern(wanted).search(_read(folder / name)) if name in names else None
        if match:
            return _expression(match[1])
    return ""


def header_licence(text: str) -> str:
    """The licence that the first lines of a source file state; empty text where they state none."""
    table = left_out()["licences"]
    head = pattern(table["header"]).match(text[:_HEADER])[0]
    for line in head.split("\n"):
        if match := pattern(table["spdx"]).search(line):
            return match[1].strip()
    found = _of_text(re.sub(r"(?m)^\s*(//|#|\*)", " ", head))
    return "" if found == UNKNOWN else found


def allowed(expression: str, licences: Collection[str]) -> bool:
    """Whether an expression of names with AND, OR, WITH and brackets can be satisfied with `licences` alone.

    >>> allowed("GPL-2.0-only OR (MIT AND ISC)", ["MIT", "ISC"])
    True
    """
    known = {name.lower() for name in licences}
    while match := _PART.search(expression):
        inner = "true" if _flat(match[1], known) else "false"
        expression = f"{expression[: match.start()]}{inner}{expression[match.end() :]}"
    return _flat(expression, known)


def _flat(expression: str, known: set[str]) -> bool:
    return any(all(_name(part) in known | {"true"} for part in _AND.split(either)) for either in _OR.split(expression))


def _name(part: str) -> str:
    return _LATER.sub("", part.strip()).lower()


def _expression(text: str) -> str:
    """What metadata say, where it is a name of a licence: `MIT License` and `MIT` are the same."""
    text = re.sub(r"(?i)\s+licen[cs]e$", "", text.strip())
    named = re.sub(r"(?i)^apache(?:[ -](?:software )?(?:license,? )?(?:version )?2(?:\.0)?)?$", "Apache-2.0", text)
    return named if re.fullmatch(r"[\w.+() -]+", named) else UNKNOWN


def _of_text(text: str) -> str:
    """The licence whose words a text holds; CLOSED where it reserves all rights, UNKNOWN where it says neither."""
    table = left_out()["licences"]
    for line in text.split("\n", 5)[:5]:
        if match := pattern(table["spdx"]).search(line):
            return match[1].strip()
    flat = " ".join(text.split())
    for name, words in table["words"]:
        if pattern(words).search(flat):
            return name
    return CLOSED if pattern(table["closed"]).search(flat) else UNKNOWN


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as handle:
            return handle.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""
