"""What a client refuses before a server sees it, because not every server refuses it: writes in a read, and more.

NornicDB runs a write in a transaction that was opened for reading; no server can know that a procedure which touches
files, other databases or accounts was not meant. The gate reads tokens, not text: a string that looks like a write
passes. What it does not know, it does not let pass.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import takewhile

from heimdall_nb.engines.cypher_tokens import Token, loads_files, symbol, tokens, writes
from heimdall_nb.engines.graph import Refusal

MAX_LENGTH = 20_000  # characters of one statement
MAX_TOKENS = 2_000  # of one statement: clauses and operators cost a server's parser time and stack
MAX_DEPTH = 100  # brackets inside brackets: parsers descend once for each

# A server may read \uXXXX anywhere as the character, before it looks for keywords.
_ESCAPE = re.compile(r"\\+u+([0-9a-fA-F]{4})")

# Procedures that read, by full name in lower case. Everything else that is called is refused.
_READING = re.compile(
    r"""db\.(labels|relationshiptypes|propertykeys|indexes|index\.stats|constraints|info|ping)
      | db\.schema\.(visualization|nodeproperties|relproperties|nodetypeproperties|reltypeproperties)
      | db\.index\.(vector|fulltext)\.(querynodes|queryrelationships|listavailableanalyzers)
      | db\.stats\.(retrieve|retrieveallanthestats|status)
      | dbms\.(components|info|procedures|functions)
      | nornicdb\.(version|stats|decay\.info)
      | gds\.version | gds\.graph\.list | gds\.[\w.]+\.stream
      | apoc\.(path|algo|neighbors|meta)\.\w+ | apoc\.help
      | algo\.[\w.]+ | meta\.\w+ | path\.\w+""",
    re.VERBOSE,
)
# Procedures and functions that are known to write, to read files or addresses, to run text as a statement, or to wait.
_HARMFUL = re.compile(
    r"""apoc\.(load|import|export|cypher|periodic|trigger|custom|refactor|create|merge|do|when|case|lock|nodes|schema
              |util\.sleep|systemdb|uuid|ttl|atomic|config|warmup|monitor|log|redis|mongo|es|static|dv|generate|graph
              |bolt|nlp|ml|get\.env|xml)\b.*
      | db\.(create|clearquerycaches|awaitindex|awaitindexes|resampleindex|migrate)\b.*
      | db\.(createlabel|createproperty|createrelationshiptype|checkpoint|prepareforreplanning)\b.*
      | db\.index\.(vector|fulltext)\.(create|drop|set|await).*
      | db\.stats\.(collect|stop|clear)
      | dbms\.(?!components|info|procedures|functions).*
      | tx\..* | gds\..*\.(write|mutate|train|drop|project|export|delete).* | do\..* | refactor\..* | merge\..*
      | create\..*""",
    re.VERBOSE,
)
_ADMINISTRATION = frozenset(
    "USE GRANT DENY REVOKE RENAME START STOP TERMINATE ENABLE DEALLOCATE REALLOCATE DRYRUN KILL BEGIN COMMIT ROLLBACK "
    "IMPORT EXPORT BACKUP DUMP FREE LOCK UNLOCK STORAGE RECOVER SNAPSHOT REPLICA REGISTER ANALYZE".split()
)
_ADMINISTERED = frozenset(
    "DATABASE DATABASES USER ROLE ALIAS COMPOSITE SERVER PRIVILEGE PRIVILEGES TRIGGER STREAM SETTING".split()
)
_HEADS = ("EXPLAIN", "PROFILE")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


@lru_cache(maxsize=4096)  # a suite runs each statement on many graphs
def refused(query: str, write: bool = False) -> Refusal | None:
    """Why `query` must not be sent, or None where it may. With `write`, plain writes to the graph may be sent."""
    if len(query) > MAX_LENGTH:
        return Refusal("limit", f"The statement has {len(query)} characters, more than {MAX_LENGTH}.")
    texts = {query, _ESCAPE.sub(_character, query)}
    return next((refusal for text in sorted(texts) if (refusal := _refused(text, write))), None)


def _character(match: re.Match[str]) -> str:
    return chr(int(match.group(1), 16))


def _refused(query: str, write: bool) -> Refusal | None:
    items = list(tokens(query))
    while items and symbol(items[-1], ";"):
        items.pop()
    if not items:
        return Refusal("syntax", "The query is empty.")
    if any(symbol(item, ";") for item in items):
        return Refusal("syntax", "There is more than one statement.")
    if symbol(items[0], ":"):
        return Refusal("syntax", "This is a command to a client, not Cypher.")
    if len(items) > MAX_TOKENS:
        return Refusal("limit", f"The statement has {len(items)} words and symbols, more than {MAX_TOKENS}.")
    if _depth(items) > MAX_DEPTH:
        return Refusal("limit", f"Brackets are nested more than {MAX_DEPTH} deep.")
    if loads_files(query):
        return Refusal("write", "LOAD reads files and addresses, and is not allowed.")
    if _administers(items):
        return Refusal("write", "Statements about databases, users or transactions are not allowed.")
    if not write and writes(query):
        return Refusal("write", "The statement writes; only reads are allowed.")
    return _refused_call(items)


def _depth(items: list[Token]) -> int:
    depth = deepest = 0
    for item in items:
        if item.kind == "symbol":
            depth += (item.text in _OPENING) - (item.text in _CLOSING)
            deepest = max(deepest, depth)
    return deepest


def _administers(items: list[Token]) -> bool:
    start = next((k for k, item in enumerate(items) if not item.is_word(*_HEADS)), len(items))
    head = items[start : start + 4]
    if not head:
        return False
    if head[0].kind == "word" and head[0].text.upper() in _ADMINISTRATION:
        return True
    for before, item, after in zip((None, *items), items, items[1:], strict=False):
        if item.is_word("USE") and after.name and not symbol(before, ".", ":", "|"):
            return True  # inside a sub-query: another graph
    words = list(takewhile(lambda item: item.kind == "word", head[1:]))
    changes = head[0].is_word("CREATE", "DROP", "ALTER", "SET")
    return changes and any(item.text.upper() in _ADMINISTERED for item in words)


def _refused_call(items: list[Token]) -> Refusal | None:
    """CALL of a procedure that is not known to read only; a harmful function anywhere."""
    for place, name in _dotted_names(items):
        called = place > 0 and items[place - 1].is_word("CALL")
        if _HARMFUL.fullmatch(name):
            return Refusal("write", f"{name} writes, waits, reads files or runs other statements: not allowed.")
        if called and not _READING.fullmatch(name):
            return Refusal("engine", f"{name} is not known to be a procedure that only reads.")
    return None


def _dotted_names(items: list[Token]) -> list[tuple[int, str]]:
    """Each name before `(` or after CALL, with its dots, in lower case, and the place of its first part."""
    found, place = [], 0
    while place < len(items):
        if not items[place].name:
            place += 1
            continue
        end, parts = place, [items[place].text]
        while end + 2 < len(items) and symbol(items[end + 1], ".") and items[end + 2].name:
            end += 2
            parts.append(items[end].text)
        after = items[end + 1] if end + 1 < len(items) else None
        opens = symbol(after, "(")
        after_call = place > 0 and items[place - 1].is_word("CALL")
        if after_call or (opens and len(parts) > 1):
            found.append((place, ".".join(parts).lower()))
        place = end + 1
    return found
