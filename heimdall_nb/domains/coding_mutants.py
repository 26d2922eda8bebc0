"""Wrong versions of right functions: one mistake each, by the operators of data/coding/mutations.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import yaml

from heimdall_nb.domains.coding_problems import CODING


@dataclass(frozen=True)
class Operator:
    """A mistake: what it finds in a line, and what it puts there; `+1` counts the number that was found up."""

    name: str
    find: re.Pattern[str]
    replace: str
    languages: tuple[str, ...]

    def applied(self, line: str) -> Iterator[str]:
        """The line with the mistake, at each place that it fits."""
        for found in self.find.finditer(line):
            put = str(int(found[0]) + 1) if self.replace == "+1" else found.expand(self.replace)
            yield line[: found.start()] + put + line[found.end() :]


@lru_cache(maxsize=1)
def operators() -> tuple[Operator, ...]:
    """All operators, in the order of the file."""
    records = yaml.safe_load((CODING / "mutations.yaml").read_text(encoding="utf-8"))
    return tuple(
        Operator(item["name"], re.compile(item["find"]), item["replace"], tuple(item.get("languages", ())))
        for item in records
    )


def mutants(code: str, language: str) -> list[tuple[str, str]]:
    """(name of the operator, code with the mistake), each code once; heads and imports stay as they are."""
    found: dict[str, str] = {}
    lines = code.splitlines()
    for place, line in enumerate(lines):
        if re.match(r"\s*(def|function|func|static|import|package|class)\b", line):
            continue
        for operator in operators():
            if operator.languages and language not in operator.languages:
                continue
            for wrong in operator.applied(line):
                text = "\n".join([*lines[:place], wrong, *lines[place + 1 :]])
                if text != code:
                    found.setdefault(text, operator.name)
    return [(name, text) for text, name in found.items()]
