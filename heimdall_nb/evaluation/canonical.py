"""One form for Cypher statements that differ only in their writing: layout, case of keywords, names of variables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from heimdall_nb.engines.cypher_patterns import CLAUSES, is_node, is_relationship, read_part
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, tree, word
from heimdall_nb.fact_text import CYPHER

_KEYWORDS = frozenset(
    [*CLAUSES]
    + """AND OR XOR NOT AS IN IS NULL BY DESC DISTINCT TRUE FALSE CASE WHEN THEN ELSE END STARTS ENDS CONTAINS YIELD ON
    EXISTS EXPLAIN PROFILE BEGIN COMMIT ROLLBACK SHOW INDEX CONSTRAINT FULLTEXT VECTOR FOR REQUIRE ASSERT UNIQUE IF EACH
    OPTIONS DROP ASC""".split()
)


def canonical(query: str, rename: bool = True) -> tuple[Any, ...]:
    """A Cypher statement as nested tuples that are equal for statements which differ only in their writing.

    Variables get numbers in the order of their binding and the outermost RETURN loses its aliases, unless not `rename`
    (statements in strings, whose columns are used elsewhere).
    """
    items = _without_aliases(tree(query)) if rename else tree(query)
    names = _variables(items) if rename else {}
    return _form(items, names)


def _without_aliases(items: Sequence[Item]) -> tuple[Item, ...]:
    """`items` without the aliases of the last RETURN; where ORDER BY names one, its expression takes its place."""
    keywords = [item.text.upper() for item in items if isinstance(item, Token) and item.kind == "word"]
    places = [
        k for k, item in enumerate(items) if word(item, "RETURN") and not symbol(items[k - 1] if k else None, ".")
    ]
    if not places or "UNION" in keywords:
        return tuple(items)
    start = places[-1] + 1
    end = next((k for k in range(start, len(items)) if word(items[k], "ORDER", "SKIP", "LIMIT")), len(items))
    kept: list[Item] = list(items[:start])
    meaning: dict[str, tuple[Item, ...]] = {}
    entry: list[Item] = []
    for item in [*items[start:end], None]:
        if item is not None and not symbol(item, ","):
            entry.append(item)
            continue
        if len(entry) > 2 and word(entry[-2], "AS") and named(entry[-1]):
            meaning[entry[-1].text] = tuple(e for e in entry[:-2] if not word(e, "DISTINCT"))
            entry = entry[:-2]
        kept += [*entry, *([item] if item is not None else [])]
        entry = []
    for k, item in enumerate(items[end:], start=end):
        replaced = named(item) and item.text in meaning and not symbol(items[k - 1], ".")
        kept += meaning[item.text] if replaced else [item]
    return tuple(kept)


def _variables(items: Sequence[Item]) -> dict[str, str]:
    """The names that patterns, paths, AS and comprehensions bind, numbered in the order in which they are bound."""
    found: dict[str, str] = {}

    def bind(name: str | None) -> None:
        if name:
            found.setdefault(name, f"#{len(found)}")

    def walk(items: Sequence[Item]) -> None:
        for k, item in enumerate(items):
            before, after = items[k - 1] if k else None, items[k + 1] if k + 1 < len(items) else None
            if isinstance(item, Group):
                if is_relationship(item, before, after) or is_node(item, before):
                    bind(read_part(item).variable)
                walk(item.items)
            elif item.name and (
                word(before, "AS")
                or (symbol(after, "=") and word(before, "MATCH"))
                or (word(after, "IN") and (before is None))
            ):
                bind(item.text)

    walk(items)
    return found


def _form(items: Sequence[Item], names: dict[str, str]) -> tuple[Any, ...]:
    found: list[Any] = []
    yielding = False
    for k, item in enumerate(items):
        before, after = items[k - 1] if k else None, items[k + 1] if k + 1 < len(items) else None
        if isinstance(item, Group):
            pairs = _map(item, names) if item.bracket == "{" else None
            found.append((item.bracket, pairs if pairs is not None else _form(item.items, names)))
            continue
        yielding = word(item, "YIELD") or (yielding and (symbol(item, ",") or named(item)) and not _keyword(item))
        if item.kind == "string":
            text = re.sub(r"\\(.)", r"\1", item.text)
            found.append(("string", canonical(text, rename=False) if CYPHER.match(text) and "(" in text else text))
        elif item.kind == "number":
            found.append(("number", _number(item.text)))
        elif not item.name:
            if not symbol(item, ";"):
                found.append(("sign", item.text))
        elif symbol(before, ".", ":", "|", "&") or (yielding and not word(before, "AS")):
            found.append(("name", item.text.upper() if word(item, "YIELD") else item.text))
        elif isinstance(after, Group) and after.bracket == "(" and item.kind == "word" and not _keyword(item):
            found.append(("name", item.text.lower()))
        elif item.text in names:
            found.append(("variable", names[item.text]))
        elif not word(item, "ASC", "ASCENDING"):
            found.append(("name", item.text.upper() if _keyword(item) else item.text))
    return tuple(found)


def _keyword(item: Item) -> bool:
    return isinstance(item, Token) and item.kind == "word" and item.text.upper() in _KEYWORDS


def _number(text: str) -> str:
    """The number's value as text. 1 and 1.0 stay apart, since 1 / 2 is 0 and 1.0 / 2 is not."""
    try:
        return repr(float(text)) if re.search(r"[.eE]", text) else str(int(text))
    except ValueError:
        return text  # hexadecimal, octal


def _map(group: Group, names: dict[str, str]) -> tuple[Any, ...] | None:
    """The entries of a map, sorted by key; None where the braces hold no map."""
    parts: list[list[Item]] = [[]]
    for item in group.items:
        if symbol(item, ","):
            parts.append([])
        else:
            parts[-1].append(item)
    colon = [next((k for k, item in enumerate(part) if symbol(item, ":")), 0) for part in parts]
    if not all(
        place and all(named(x) or symbol(x, ".") for x in part[:place])
        for part, place in zip(parts, colon, strict=True)
    ):
        return None
    keys = ["".join(x.text for x in part[:place]) for part, place in zip(parts, colon, strict=True)]
    values = [_form(part[place + 1 :], names) for part, place in zip(parts, colon, strict=True)]
    return tuple(sorted(zip(keys, values, strict=True), key=lambda pair: (pair[0], repr(pair[1]))))
