"""Cypher as tokens: what a word is, once strings, comments, back-ticks, numbers and parameters are told apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

TokenKind = Literal["word", "quoted", "string", "number", "parameter", "symbol", "other"]

_PATTERN = re.compile(
    r"""
    (?P<skip>\s+|//[^\r\n]*|/\*.*?\*/)
  | (?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
  | (?P<quoted>`(?:``|[^`])*`)
  | (?P<parameter>\$(?:\w+|`(?:``|[^`])*`))
  | (?P<number>0[xX][0-9a-fA-F]+|0[oO][0-7]+|(?:\d+(?:\.(?!\.)\d+)?|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<word>[^\W\d]\w*)
  | (?P<symbol><>|<=|>=|=~|\+=|\.\.|\|\||[()\[\]{}<>=+\-*/%^|&!:;,.?])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_PLAIN = re.compile(r"[^\W\d]\w*")
WRITING = frozenset("CREATE MERGE SET DELETE DETACH REMOVE DROP FOREACH LOAD ALTER GRANT DENY REVOKE INSERT".split())


@dataclass(frozen=True)
class Token:
    """One token. `text` is its value: back-ticks and the quotes of strings are taken off, escapes are kept."""

    kind: TokenKind
    text: str
    start: int  # offset in the query
    keyword: str = field(default="", compare=False)  # a word in upper case, kept because it is asked for all the time

    @property
    def name(self) -> bool:
        """True for a word or a back-ticked name: what can name a label, a property or a variable."""
        return self.kind in ("word", "quoted")

    def is_word(self, *words: str) -> bool:
        """True when this is one of the keywords `words` (given in upper case), whatever its case."""
        return bool(self.keyword) and self.keyword in words


@lru_cache(maxsize=20_000)
def quoted(name: str) -> str:
    """A name as Cypher writes it: as it stands, or in back-ticks where it is no plain word."""
    return name if _PLAIN.fullmatch(name) else "`" + name.replace("`", "``") + "`"


@lru_cache(maxsize=4096)
def tokens(query: str) -> tuple[Token, ...]:
    """The tokens of `query` without white space and comments. Never fails: what is no Cypher becomes `other`."""
    found = []
    for match in _PATTERN.finditer(query):
        kind, text = match.lastgroup, match.group()
        if kind == "skip":
            continue
        if kind == "quoted":
            text = text[1:-1].replace("``", "`")
        elif kind == "string":
            text = text[1:-1]
        found.append(Token(kind, text, match.start(), text.upper() if kind == "word" else ""))
    return tuple(found)


@dataclass(frozen=True)
class Group:
    """What stands between two brackets: `bracket` is the opening one, `items` are tokens and inner groups."""

    bracket: str
    items: tuple[Token | Group, ...]

    def starts_with(self, *words: str) -> bool:
        """True when the first item is one of the keywords `words`."""
        return bool(self.items) and isinstance(self.items[0], Token) and self.items[0].is_word(*words)


Item = Token | Group
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def tree(query: str) -> tuple[Item, ...]:
    """The tokens of `query` grouped by brackets. A bracket that has no partner ends where its surroundings end."""
    stack: list[tuple[str, list[Item]]] = [("", [])]
    for token in tokens(query):
        if token.kind == "symbol" and token.text in _CLOSING:
            stack.append((token.text, []))
        elif token.kind == "symbol" and token.text in _CLOSING.values():
            if _CLOSING.get(stack[-1][0]) == token.text:
                bracket, items = stack.pop()
                stack[-1][1].append(Group(bracket, tuple(items)))
        else:
            stack[-1][1].append(token)
    while len(stack) > 1:
        bracket, items = stack.pop()
        stack[-1][1].append(Group(bracket, tuple(items)))
    return tuple(stack[0][1])


def symbol(item: Item | None, *texts: str) -> bool:
    """True when `item` is one of these symbols."""
    return isinstance(item, Token) and item.kind == "symbol" and item.text in texts


def word(item: Item | None, *words: str) -> bool:
    """True when `item` is one of these keywords (upper case)."""
    return isinstance(item, Token) and item.keyword in words and bool(item.keyword)


def named(item: Item | None) -> bool:
    """True when `item` is a word or a back-ticked name."""
    return isinstance(item, Token) and item.name


def writes(query: str) -> bool:
    """True when a writing keyword stands where a clause can start: not as a property, label, map key or alias."""
    items = tokens(query)
    return any(token.keyword in WRITING and not _only_a_name(items, place) for place, token in enumerate(items))


def _only_a_name(items: tuple[Token, ...], place: int) -> bool:
    """True when the word at `place` stands where no clause can start: a property, label, map key, alias …"""
    before = items[place - 1] if place else None
    after = items[place + 1] if place + 1 < len(items) else None
    if symbol(before, ".", ":", "|", "&") or symbol(after, ":", ".", ","):
        return True
    if not word(before, "AS"):
        return False
    # `AS set` names a column; but `as` may itself be a variable (`WITH as SET as.x = 1`): what follows tells.
    following = items[place + 2] if place + 2 < len(items) else None
    ends = after is None or symbol(after, ")", "}", ";") or word(after, "RETURN", "WHERE", "UNION")
    counts = isinstance(following, Token) and following.kind == "number"
    return ends or (word(after, "ORDER") and word(following, "BY")) or (word(after, "LIMIT", "SKIP") and counts)


def loads_files(query: str) -> bool:
    """True when the query holds `LOAD CSV` or its like (Memgraph), which read files and addresses."""
    items = tokens(query)
    formats = ("CSV", "PARQUET", "JSONL")
    return any(a.is_word("LOAD") and b.is_word(*formats) for a, b in zip(items, items[1:], strict=False))
