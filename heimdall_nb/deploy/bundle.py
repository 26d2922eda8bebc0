"""What makes a folder of files a bundle: its licence, its checklist, and sums that `sha256sum -c` checks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from heimdall_nb.errors import BadInput
from heimdall_nb.run import ROOT, atomic_text, sha256

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def licence_text(name: str) -> str:
    """The text of the licence of the weights: the project's own for MIT, else where the text is to be found."""
    if name.strip().upper() == "MIT":
        return (ROOT / "LICENSE").read_text(encoding="utf-8")
    stated = name.strip() or "not stated in the model file"
    return (
        f"Licence of the weights: {stated}.\n\n"
        "They were trained from a base model and stay under its licence. Its text comes with the base model: read it\n"
        "there before you pass this folder on. The code that trained them is under the MIT licence.\n"
    )


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same keys as a Markdown table; empty text for none."""
    if not rows:
        return ""
    cells = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(" ".join(c.split()).replace("|", "\\|") for c in row) + " |" for row in cells)


def seal(folder: Path) -> Path:
    """Write SHA256SUMS with the sum of every file of the folder; `sha256sum -c SHA256SUMS` there checks them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = (f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files if path.name[0] != ".")
    return atomic_text(folder / SUMS, "".join(lines))


def unsealed(folder: Path) -> list[str]:
    """Files that SHA256SUMS does not have, or whose contents are not those that it has; empty when all is well.

    Raises BadInput where there are no sums, or a line is none.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        raise BadInput("is missing", str(folder / SUMS), "Run stage 09 again.") from None
    matches = [_LINE.fullmatch(line) for line in lines]
    if None in matches:
        raise BadInput("is no line of sums", f"{folder / SUMS}, line {matches.index(None) + 1}", "Run stage 09 again.")
    sums = {match[2]: match[1] for match in matches if match}
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name[0] != "."} - {SUMS}
    return sorted(name for name in there | set(sums) if sums.get(name) != sha256(folder / name))
