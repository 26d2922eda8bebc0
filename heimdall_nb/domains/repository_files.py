"""The source files of a checkout: which are read, in which order, and why the others are left out.

Nothing that a checkout may hold stops the walk: links that leave it or turn in circles, pipes, names and folders that
cannot be read, binary files and other encodings are counted with their first examples.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from heimdall_nb.domains.repository_licences import NONE, folder_licence
from heimdall_nb.domains.repository_rules import left_out, pattern, tables

SHOWN = 3  # examples of each reason
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COOKIE = re.compile(rb"^[ \t\f]*(?:#|//|/\*).*?coding[:=][ \t]*([-\w.]+)")  # PEP 263, in one of the first two lines
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")  # no character of a source text, in any 8-bit encoding
_SURROGATES = re.compile(r"[\ud800-\udfff]")  # which some encodings give, and no file can hold


class LeftOut(Exception):
    """A file that is not used: why, and what more is known of it."""

    def __init__(self, reason: str, about: str = "") -> None:
        super().__init__(reason)
        self.reason, self.about = reason, about


@dataclass
class Counts:
    """How often something occurred, by its name, and where at first."""

    counts: Counter[str] = field(default_factory=Counter)
    where: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, where: str, number: int = 1) -> None:
        self.counts[what] += number
        if len(shown := self.where.setdefault(what, [])) < SHOWN:
            shown.append(where)

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Name -> its number and first examples, by name."""
        return {name: {"number": self.counts[name], "first": self.where[name]} for name in sorted(self.counts)}


@dataclass(frozen=True)
class Found:
    """A source file: its path relative to the checkout, and the licence that its folder declares (or `none`)."""

    file: str
    licence: str


def walk(root: Path, endings: tuple[str, ...]) -> tuple[list[Found], Counts]:
    """The files below `root` with one of `endings`, sorted by path, and what was left out unread.

    Links to folders are not followed: what they lead to inside `root` is read at its own place.
    """
    found: list[Found] = []
    left = Counts()
    waiting = [("", _licence_above(root))]
    while waiting:
        folder, licence = waiting.pop()
        entries = _entries(root, folder, left)
        licence = folder_licence(root / folder, [entry.name for entry in entries]) or licence
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not path.isprintable():
                left.add("odd file name", ascii(path))
            elif entry.is_symlink():
                _link(root, path, endings, left)
            elif entry.is_dir():
                if reason := _folder_reason(root / path, entry.name):
                    left.add(f"{reason} folder", path)
                else:
                    waiting.append((path, licence))
            elif any(pattern(name).search(path) for name in left_out()["generated"]["names"]):
                left.add("generated (name)", path)
            elif entry.name.endswith(endings):
                if entry.is_file():
                    found.append(Found(path, licence))
                else:
                    left.add("no regular file", path)
    return sorted(found, key=lambda item: item.file), left


def _licence_above(root: Path) -> str:
    """The licence of the checkout that `root` is a folder of; `none` where it is no part of one, or a foreign one."""
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    between = [folder for folder in (root, *root.parents) if folder != top and folder.is_relative_to(top)]
    if any(_folder_reason(folder, folder.name) for folder in between):
        return NONE
    for folder in (*between[1:], top) if top != root else ():
        try:
            licence = folder_licence(folder, [path.name for path in folder.iterdir()])
        except OSError:
            return NONE
        if licence:
            return licence
    return NONE


def _entries(root: Path, folder: str, left: Counts) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root / folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as problem:
        left.add(f"unreadable ({problem.strerror})", folder or ".")
        return []


def _folder_reason(path: Path, name: str) -> str:
    if name.startswith("."):
        return "hidden"
    table = left_out()
    for reason, marks in table["folder_marks"].items():
        if any((path / mark).exists() for mark in marks):
            return reason
    return next((reason for reason, names in table["folders"].items() if name in names), "")


def _link(root: Path, path: str, endings: tuple[str, ...], left: Counts) -> None:
    """Count a link, where it leads to a folder or could have been a source file."""
    try:
        target = (root / path).resolve(strict=True)
    except (OSError, RuntimeError):  # a circle, or nothing at its end
        left.add("link in a circle or to nothing", path)
        return
    if not target.is_relative_to(root):
        left.add("link out of the repository", path)
    elif target.is_dir() or path.endswith(endings):
        left.add("link within the repository", path)


def read(root: Path, file: str) -> tuple[str, str]:
    """The text of a file, with `\\n` between lines and no byte order mark, and its encoding.

    Raises LeftOut for one that is too large, is binary, is in no encoding that can be told, or cannot be read.
    """
    limit = tables()["limits"]["file_bytes"]
    try:
        with open(root / file, "rb", opener=_no_link) as handle:
            if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
                raise LeftOut("no regular file")
            raw = handle.read(limit + 1)
    except OSError as problem:
        raise LeftOut(f"unreadable ({problem.strerror})") from None
    except ValueError:
        raise LeftOut("odd file name") from None
    if len(raw) > limit:
        raise LeftOut(f"larger than {limit:,} bytes")
    text, encoding = _decoded(raw)
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def _no_link(path: str, flags: int) -> int:
    """Open without following a link, and without waiting for the writer of a pipe, put there since the walk."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _decoded(raw: bytes) -> tuple[str, str]:
    marked = next((encoding for mark, encoding in _BOMS if raw.startswith(mark)), None)
    for encoding in filter(None, (marked, _wide(raw), "utf-8", _cookie(raw), "cp1252", "latin-1")):
        try:
            text = raw.decode(encoding)
        except (UnicodeError, LookupError):
            continue
        if _SURROGATES.search(text):
            continue
        if encoding.startswith("utf") and "\0" not in text:
            return text.removeprefix("\ufeff"), encoding.removesuffix("-sig")
        if not _CONTROLS.search(text):
            return text, "latin-1" if encoding == "cp1252" and _same_in_latin_1(raw) else encoding
    raise LeftOut("binary" if b"\0" in raw else "in an unknown encoding, or binary")


def _wide(raw: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of Latin text is zero."""
    head = raw[:4096]
    half = len(head) // 2
    if half < 8 or len(raw) % 2:
        return None
    odd, even = head[1::2].count(0), head[0::2].count(0)
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * half and odd < 0.1 * half else None


def _cookie(raw: bytes) -> str | None:
    """The 8-bit encoding that a file names itself. One that is no text encoding (`base64`) does not count."""
    for line in raw.split(b"\n", 2)[:2]:
        if match := _COOKIE.match(line):
            try:
                name = match[1].decode("ascii")
                "".encode(name)
                return codecs.lookup(name).name
            except (LookupError, ValueError):
                return None
    return None


def _same_in_latin_1(raw: bytes) -> bool:
    return not any(0x80 <= byte <= 0x9F for byte in raw)


def generated_reason(text: str) -> str:
    """Why a text is generated rather than written; empty text where nothing says so."""
    table, limits = left_out()["generated"], tables()["limits"]
    lines = text.split("\n")
    if max(map(len, lines)) > limits["line_characters"] or len(text) / len(lines) > limits["average_characters"]:
        return "generated (minified or data)"
    for line in lines[: table["lines"]]:
        if pattern(table["comment"]).match(line) and any(pattern(mark).search(line) for mark in table["marks"]):
            return "generated (mark)"
    return ""
