"""What the extractor found and left out, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_PARTS = (("left out", "Left out"), ("secrets", "Lines with a secret"), ("not used", "Examples not used"))


def markdown(report: Mapping[str, Any], short: Mapping[str, tuple[int, int]] | None = None) -> str:
    """What `Repository.found` gives as Markdown; `short` is what `Repository.short` says of the size asked for."""
    units = ", ".join(f"{number:,} {kind}s" for kind, number in report["units"].items()) or "nothing of use"
    text = [
        f"**{_cell(report['repository'])}**, {report['language']}: {report['files']:,} files with {report['lines']:,} "
        f"lines were read; they hold {units}.",
        _table(("category", "different examples"), [(name, f"{n:,}") for name, n in report["examples"].items()]),
    ]
    if short:
        rows = [(name, f"{asked:,}", f"{there:,}") for name, (asked, there) in short.items()]
        text += ["Fewer than their share, so that other categories make up for it:"]
        text += [_table(("category", "asked", "there are"), rows)]
    others = {name: found for name, found in report["encodings"].items() if name != "utf-8"}
    for title, found in [("Other encodings", others), *((title, report[name]) for name, title in _PARTS)]:
        rows = [(what, f"{item['number']:,}", ", ".join(map(_cell, item["first"]))) for what, item in found.items()]
        text += [_table((title, "number", "the first"), rows)] if rows else []
    return "\n\n".join(text) + "\n"


def flat(found: Mapping[str, Any], short: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """What was found as one line a figure, for a terminal; the same parts as the tables have."""
    lines = {"files read": f"{found['files']:,} ({found['lines']:,} lines)"}
    lines |= {f"fewer {name} than asked": f"{there:,} of {asked:,}" for name, (asked, there) in short.items()}
    for part in ("encodings", *(name for name, _ in _PARTS)):
        for what, item in found[part].items():
            if (part, what) != ("encodings", "utf-8"):
                lines[f"{part}, {what}"] = f"{item['number']:,} ({', '.join(item['first'])})"
    return lines


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A name from a checkout, as a table can hold it."""
    return "".join(f"\\{sign}" if sign in "|`*_[]<>\\" else sign for sign in text)
