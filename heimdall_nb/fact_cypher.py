"""Procedures with their columns, functions, SHOW and schema statements of Cypher, held against a fact pack."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from heimdall_nb.engines.cypher_tokens import Token, tokens
from heimdall_nb.fact_forms import ACCEPTED, NEXT, REFUSED, SCHEMA, SUSPECT
from heimdall_nb.fact_index import Index, Unknown
from heimdall_nb.facts import Fact

_KEYWORDS = frozenset(
    """MATCH CREATE MERGE WHERE AND OR XOR NOT IN WITH RETURN ON FOR DELETE THEN ELSE WHEN CASE UNWIND DISTINCT BY SET
    REMOVE ASSERT REQUIRE AS EXISTS COUNT COLLECT ALL ANY NONE SINGLE REDUCE FOREACH CALL YIELD OPTIONAL EACH CONTAINS
    STARTS ENDS UNION LIMIT SKIP ASC DESC IS EXPLAIN PROFILE FROM SHORTESTPATH ALLSHORTESTPATHS FILTER USING LET
    EXTRACT""".split()
)


class CypherNames:
    """Collects what Cypher statements name: ids of facts in `used`, and what the pack does not know in `unknown`."""

    def __init__(self, index: Index, apart: bool = False) -> None:
        self.index = index
        self.apart = apart  # the answer says that its statements are sent one by one
        self.unknown: list[Unknown] = []
        self.used: list[str] = []

    def known(self, fact: Fact | None, kind: str, name: str, what: str) -> None:
        if fact is None:
            self.unknown.append(Unknown(kind, name, what))
        else:
            self.used.append(fact.id)

    def cypher(self, text: str) -> None:
        """Procedures with their columns, functions, SHOW and DDL of Cypher statements."""
        items = tokens(text)
        self.forms(text if not re.search(r"['\"`/]", text) else _masked(items))
        place, size = 0, len(items)
        while place < size:
            token = items[place]
            if token.kind != "word":
                place += 1
                continue
            upper = token.text.upper()
            if upper == "CALL" and place + 1 < size and items[place + 1].name:
                name, place = _dotted_name(items, place + 1)
                fact = self.index.procedures.get(name)
                self.known(fact, "procedure", name, "is no procedure of the server")
                if fact is not None:
                    self.columns(items, place, fact)
                continue
            if upper == "SHOW" and (place == 0 or items[place - 1].text == ";") and place + 1 < size:
                words = " ".join(item.text.upper() for item in items[place + 1 : place + 3])
                self.show(words if words == "COMPOSITE DATABASES" else words.partition(" ")[0])
                place += 2
                continue
            start = place
            name, place = _dotted_name(items, place)
            if place < size and items[place].text == "(" and items[place].kind == "symbol":
                before = items[start - 1] if start else None
                if before is None or before.kind != "symbol" or before.text not in (":", "|", "&", "!", "."):
                    self.function(name)

    def function(self, name: str) -> None:
        if "." in name:
            fact = self.index.functions.get(name)
        else:
            fact = self.index.plain.get(name.lower())
            if fact is None and name.upper() in _KEYWORDS:
                return
        self.known(fact, "function", name, "is no function of the server")

    def columns(self, items: tuple[Token, ...], place: int, fact: Fact) -> None:
        """The names of YIELD after the call that ends before `place` or has its arguments there."""
        depth = 0
        while place < len(items) and (depth or items[place].text == "(" or items[place].text == ")"):
            depth += {"(": 1, ")": -1}.get(items[place].text, 0) if items[place].kind == "symbol" else 0
            place += 1
        if place >= len(items) or not items[place].is_word("YIELD"):
            return
        expected = True
        for item in items[place + 1 :]:
            if item.kind == "symbol" and item.text == ",":
                expected = True
            elif item.kind == "symbol" or item.is_word("RETURN", "WHERE", "WITH", "MATCH", "ORDER", "CALL", "UNWIND"):
                return
            elif expected:
                expected = False
                if fact.yields and item.text not in fact.yields:
                    columns = ", ".join(fact.yields)
                    self.known(None, "column", item.text, f"is no column of {fact.id}, which gives {columns}")

    def show(self, words: str) -> None:
        self.known(self.index.shows.get(words), "statement", f"SHOW {words}", "is no SHOW statement of the server")

    def forms(self, text: str, patterns: Mapping[str, re.Pattern[str]] = REFUSED) -> None:
        """Statements that this version refuses or ignores, and schema statements of an unknown form."""
        if not SUSPECT.search(text):
            return
        found = False
        for name, pattern in patterns.items():
            fact = self.index.refused.get(name)
            if fact is None or not pattern.search(text) or (self.apart and name == "transaction_in_one_query"):
                continue
            found = True
            self.unknown.append(Unknown("statement", str(fact.value), f"{fact.note}; instead: {fact.instead}"))
        if not found and patterns is REFUSED:
            for statement in NEXT.split(text):
                self.schema_statement(statement.strip())

    def schema_statement(self, text: str) -> None:
        if not SCHEMA.match(text) or "(" not in text:
            return
        for name, pattern in ACCEPTED.items():
            if pattern.fullmatch(text):
                self.used.append(f"statement.{name}")
                return
        self.unknown.append(
            Unknown("statement", " ".join(text.split())[:60], "is no form of the statement that is accepted")
        )


def _dotted_name(items: tuple[Token, ...], place: int) -> tuple[str, int]:
    """The name a.b.c that starts at `place`, and the place after it."""
    parts = [items[place].text]
    place += 1
    while place + 1 < len(items) and items[place].text == "." and items[place + 1].name:
        parts.append(items[place + 1].text)
        place += 2
    return ".".join(parts), place


def _masked(items: Iterable[Token]) -> str:
    """The query with its strings emptied and its comments gone, so that words inside them are not read as keywords."""
    parts = []
    for item in items:
        if item.kind == "string":
            parts.append("''")
        elif item.kind == "quoted":
            parts.append("`" + (item.text if item.text.startswith("vector.") else re.sub(r"\W", "_", item.text)) + "`")
        else:
            parts.append(item.text)
    return re.sub(r" ?\. ?", ".", " ".join(parts))
