"""What a set of queries exercises of Cypher, construct by construct."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import yaml

from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.cypher_tokens import tokens
from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA

CONSTRUCTS = DATA / "coverage.yaml"
KINDS = ("clause", "function", "operator", "pattern")


@dataclass(frozen=True)
class Row:
    """One construct: its kind (of KINDS), its name, how many Cypher examples use it, and their share (0 to 1)."""

    kind: str
    name: str
    examples: int
    share: float


@lru_cache(maxsize=1)
def constructs() -> dict[tuple[str, str], re.Pattern[str]]:
    """The constructs of the common subset by (kind, name), as expressions. Raises BadInput for a faulty file."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = {}
    for kind, entries in yaml.load(CONSTRUCTS.read_text(encoding="utf-8"), Loader=loader).items():
        for name, expression in entries.items():
            try:
                # Whole words: `SET` is not in `OFFSET`. Symbols need no such bound.
                start = r"\b" if expression[0].isalpha() else ""
                end = r"\b" if expression[-1].isalpha() else ""
                found[kind, name] = re.compile(f"{start}(?:{expression}){end}", re.IGNORECASE)
            except (re.error, TypeError) as problem:
                raise BadInput(f"is no expression ({problem})", f"{CONSTRUCTS}, {kind}, {name}", "Mend it.") from None
    return found


def canonical(query: str) -> str:
    """A query with one space between tokens, `name` for names of a schema, `str` for texts, `num` for numbers."""
    items = tokens(query)
    words = []
    for place, token in enumerate(items):
        before = items[place - 1].text if place else ""
        after = items[place + 1].text if place + 1 < len(items) else ""
        call = after == "(" and before == "."  # duration.inDays(…)
        chain = before == "." and place > 2 and (items[place - 3].text == "." or items[place - 2].text == ")")
        if token.kind in ("string", "number"):
            words.append("str" if token.kind == "string" else "num")
        elif token.kind == "quoted" or (token.name and before in (".", ":", "|") and not call and not chain):
            words.append("name")
        elif token.name and (after == ":" or before.upper() == "AS"):  # a key, a variable or an alias
            words.append("name" if token.is_word(*_KEYWORDS) else token.text)
        else:
            words.append(token.text)
    return " ".join(words)


_KEYWORDS = frozenset(
    "ALL ANY CASE COUNT CREATE DATE DELETE LAST LIMIT MATCH MERGE NONE RETURN SET SINGLE WHERE".split()
)


@lru_cache(maxsize=20_000)
def used(query: str) -> frozenset[tuple[str, str]]:
    """The constructs that a query uses, as (kind, name)."""
    text = canonical(query)
    return frozenset(key for key, expression in constructs().items() if expression.search(text))


def coverage_table(examples: Iterable[Example]) -> list[Row]:
    """A row for every construct of the common subset, in the order of data/coverage.yaml, those at zero included.

    Only examples whose answer is Cypher count, and shares are shares of these.
    """
    counts: Counter[tuple[str, str]] = Counter()
    total = 0
    for example in examples:
        if example.task == "cypher":
            counts.update(used(example.output))
            total += 1
    return [Row(kind, name, counts[kind, name], counts[kind, name] / max(1, total)) for kind, name in constructs()]


def coverage(examples: Iterable[Example], kind: str = "clause") -> dict[str, int]:
    """How many Cypher examples use each construct of a kind (of KINDS), for a figure."""
    return {row.name: row.examples for row in coverage_table(examples) if row.kind == kind}
