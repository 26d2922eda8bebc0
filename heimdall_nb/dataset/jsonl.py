"""JSONL files read strictly: each line is a JSON object in UTF-8, or a fault that says where and why it is not."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from heimdall_nb.errors import BadInput

LONGEST_LINE = 1 << 20  # bytes; the longest example of a large graph has about 20,000
_SHOWN = 80  # characters of a foreign text that a message repeats

_OTHER_FORMATS = {  # first bytes of files that are taken for JSONL by mistake
    b"\x1f\x8b": "is compressed (gzip)",
    b"BZh": "is compressed (bzip2)",
    b"\xfd7zXZ": "is compressed (xz)",
    b"\x28\xb5\x2f\xfd": "is compressed (zstd)",
    b"PK\x03\x04": "is a zip archive",
    b"PAR1": "is a Parquet file",
    b"GGUF": "is a GGUF model",
    b"SQLite format 3": "is an SQLite database",
    b"\xff\xfe\x00\x00": "is UTF-32 text",
    b"\xff\xfe": "is UTF-16 text",
    b"\xfe\xff": "is UTF-16 text",
}


@dataclass(frozen=True)
class Fault:
    """Something wrong in a JSONL file: where (1-based line, field) and what."""

    line: int
    field: str
    what: str

    def located(self, path: Path | str) -> str:
        """`path, line 3, field 'input'`: the place as messages write it."""
        return f"{printable(Path(path))}, line {self.line}" + (f", field {self.field!r}" if self.field else "")


class _Refused(ValueError):
    """JSON that Python would take, and that says two things or nothing."""


def printable(text: object) -> str:
    """A text of unknown origin for a message: cut, and without what a terminal or a JSON file cannot hold."""
    safe = str(text).encode("utf-8", "backslashreplace").decode()
    return safe if len(safe) <= _SHOWN or isinstance(text, Path) else f"{safe[:_SHOWN]}…"


def records(path: Path | str) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    """Each line that is not blank, with its number: a JSON object, or the Fault that keeps it from being one.

    A byte order mark, CRLF and blank lines are no faults. Raises BadInput when the file cannot be read, or holds
    another format than JSONL in UTF-8.
    """
    with opened(Path(path)) as handle:
        for number, raw in _lines(handle):
            if raw is None:
                yield number, Fault(number, "", f"is longer than {LONGEST_LINE:,} bytes")
            elif (item := _decoded(number, raw)) is not None:
                yield number, item


def opened(path: Path) -> BinaryIO:
    """Open a file that may be JSONL. Raises BadInput when it cannot be read, or is plainly something else."""
    remedy = "Give the path of a JSONL file."
    try:
        if path.is_dir():
            raise BadInput("is a folder", printable(path), remedy)
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for its writer
            raise BadInput("is not a regular file", printable(path), remedy)
        handle = path.open("rb")
        head = handle.read(4096)
        handle.seek(0)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise BadInput(f"cannot be read ({reason})", printable(path), remedy) from None
    what = next((name for start, name in _OTHER_FORMATS.items() if head.startswith(start)), None)
    if what is None and head.count(0) > len(head) // 8:
        what = "is UTF-16 text or a binary file"
    if what is not None:
        handle.close()
        raise BadInput(what, printable(path), "A dataset is JSONL in UTF-8: unpack or convert the file first.")
    return handle


def _lines(handle: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines with their numbers; None for one that is too long, which is passed over in pieces."""
    number = 0
    while raw := handle.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) <= LONGEST_LINE or raw.endswith(b"\n"):
            yield number, raw
            continue
        while raw and not raw.endswith(b"\n"):
            raw = handle.readline(LONGEST_LINE)
        yield number, None


def _decoded(number: int, raw: bytes) -> dict[str, Any] | Fault | None:
    try:
        text = raw.decode("utf-8").strip("\ufeff \t\r\n")
    except UnicodeDecodeError as problem:
        return Fault(number, "", f"is not UTF-8 (byte {problem.start + 1})")
    if not text:
        return None
    if "\0" in text:
        return Fault(number, "", "holds a NUL byte")
    try:
        record = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        return Fault(number, "", "is JSON that is nested too deeply")
    except _Refused as problem:
        return Fault(number, "", str(problem))
    except ValueError as problem:  # a JSONDecodeError, or a number with thousands of digits
        return Fault(number, "", f"is not JSON ({printable(problem)})")
    if not isinstance(record, dict):
        return Fault(number, "", f"the line holds {type(record).__name__}, not an object")
    return record


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"has the key {printable(twice)!r} twice")
    return found


def _constant(name: str) -> Any:
    raise _Refused(f"holds {name}, which is no JSON")
