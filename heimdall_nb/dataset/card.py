"""The data card: what a dataset holds, how it was made, and what was measured on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from heimdall_nb import __version__
from heimdall_nb.dataset.coverage import Row, coverage_table
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.mix import Plan
from heimdall_nb.dataset.sizes import CONTEXT_SIZES, TOKENS
from heimdall_nb.dataset.templates import PARTS
from heimdall_nb.run import sha256

_WHAT = {
    "cypher": "Cypher fundamentals: reads and writes on a graph",
    "nornicdb": "NornicDB operations: indexes, vector search, transactions, configuration …",
    "plugins": "plugin system: APOC, graph algorithms, Heimdall and function plugins",
    "troubleshooting": "troubleshooting: errors, speed, connections, memory",
}


_LIMITS = """\
Questions are composed from templates: their English is correct and plain, and less varied than what people write.
Graphs are small and generated.

What it says of NornicDB holds for version 1.0 (commit e27b278); it was read in the source, not tried on a running
server. Reads are executed on ArcadeDB, in the subset of Cypher that Neo4j 5 and NornicDB's strict grammar share.
"""


def card(
    path: Path, examples: Sequence[Example], plan: Plan, audits: Mapping[str, Mapping[str, int]], command: str
) -> str:
    """The card of a dataset file as Markdown. `audits` is what `audit.audit` found; `command` makes the file again."""
    quotas = plan.quotas()
    counts = Counter(example.part for example in examples)
    sections = [
        "# Data card\n",
        f"{len(examples):,} questions with answers for NornicDB, made by `heimdall_nb` {__version__}. "
        "All text is generated from this project's own templates and schemas; no data of persons is in it. "
        "Licence: MIT.\n",
        f"    {command}\n\nmakes the same bytes again (SHA-256 `{sha256(path)}`).\n",
        "## The mix\n",
        _table(
            ("part", "asked for", "there", "share", "what"),
            ((p, quotas[p], counts[p], _share(counts[p], len(examples)), _WHAT[p]) for p in PARTS),
        ),
        _counted("category", (f"{e.part}: {e.category}" for e in examples), len(examples)),
        _counted("style of the question", (e.style for e in examples), len(examples)),
        _sizes(examples),
        _counted("graph", (e.graph or "(none)" for e in examples), len(examples)),
        "## How it is known to be true\n",
        "Each claim was checked again on the finished file, by code that knows no template and no binding.\n",
        _table(
            ("claim", "checked on", "broken by"),
            ((claim, counts["checked"], counts["failed"]) for claim, counts in sorted(audits.items())),
        ),
        "## What the Cypher part covers\n",
        _table(
            ("kind", "name", "examples", "share"),
            ((r.kind, r.name, r.examples, f"{r.share:.1%}") for r in _covered(examples)),
        ),
        "## What it does not hold\n",
        _LIMITS,
    ]
    return "\n".join(sections)


def _covered(examples: Sequence[Example]) -> list[Row]:
    return coverage_table([example for example in examples if example.part == "cypher"])


def _sizes(examples: Sequence[Example]) -> str:
    counts = Counter(example.context_size for example in examples)
    rows = ((name, TOKENS[name], counts[name], _share(counts[name], len(examples))) for name in CONTEXT_SIZES)
    return _table(("context size", "tokens", "examples", "share"), rows)


def _counted(title: str, values: Iterable[str], total: int) -> str:
    counts = Counter(values)
    return _table((title, "examples", "share"), ((k, n, _share(n, total)) for k, n in sorted(counts.items())))


def _share(number: int, total: int) -> str:
    return f"{number / max(1, total):.1%}"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    shown = ([f"{cell:,}" if isinstance(cell, int) else str(cell).replace("|", "\\|") for cell in row] for row in lines)
    return "\n".join("| " + " | ".join(row) + " |" for row in shown) + "\n"
