"""The tables of the domain `repository`: languages as tree-sitter queries, categories, limits, and what is left out."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from tree_sitter import Language, Parser, Query

from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA


@lru_cache(maxsize=1)
def tables() -> dict[str, Any]:
    """data/repository.yaml: categories, limits and languages."""
    return yaml.safe_load((DATA / "repository.yaml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def left_out() -> dict[str, Any]:
    """data/repository_left_out.yaml: folders, generated files, secrets and licences."""
    return yaml.safe_load((DATA / "repository_left_out.yaml").read_text(encoding="utf-8"))


@lru_cache(maxsize=512)
def pattern(text: str) -> re.Pattern[str]:
    """A regular expression of the tables, compiled once."""
    return re.compile(text)


@dataclass(frozen=True)
class Rules:
    """A language: its table, and the parser and query that the table names."""

    name: str
    table: dict[str, Any]
    grammar: Language
    query: Query

    def parser(self) -> Parser:
        """A parser of its own, for one file."""
        return Parser(self.grammar)

    def is_test_file(self, file: str) -> bool:
        return pattern(self.table["test_file"]).search(file) is not None


@lru_cache(maxsize=8)
def rules(language: str) -> Rules:
    """The rules of a language. Raises BadInput for a language without a table."""
    languages = tables()["languages"]
    if language not in languages:
        raise BadInput(f"{language!r} is no known language", "--language", f"Known are {', '.join(languages)}.")
    table = languages[language]
    grammar = Language(importlib.import_module(table["grammar"]).language())
    return Rules(language, table, grammar, Query(grammar, table["query"]))
