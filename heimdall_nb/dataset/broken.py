"""Wrong queries made from right ones: one named mistake each, as people make them.

A mistake is a function from a query, its schema and a source of random numbers to the wrong query, or to None where
the query has nothing that the mistake could be made on.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from heimdall_nb.dataset.graphs import GraphSchema


@dataclass(frozen=True)
class Broken:
    """A wrong query, what is wrong in it, and what should stand there."""

    query: str
    wrong: str
    right: str


Mistake = Callable[[str, GraphSchema, random.Random], Broken | None]

_NODE = re.compile(r"\((\w*):(\w+)")
_TYPE = re.compile(r"\[\w*:(\w+)")
_PROPERTY = re.compile(r"(?<=[abc]\.)(\w+)")
_HOP = re.compile(r"\)-(\[[^\]]*\])->\(")
_TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'")
_AGGREGATE = r"((?:count|sum|avg|min|max)\((?:DISTINCT )?[\w.*`]+\)) AS (\w+)"
_BETWEEN = re.compile(r"^(MATCH .+?) WITH (.+?) WHERE (\w+) (\S+ \S+) RETURN (.+?)( ORDER BY .+)?$")
_SIMPLE = re.compile(r"^MATCH \(a:(\w+)\) WHERE a\.(\w+) (=|<>|<|>|<=|>=) ('[^'\\]*'|[\d.]+) RETURN a\.(\w+) AS \w+$")


def break_query(query: str, mistake: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    """`query` with the named mistake of MISTAKES, or None where it cannot be made. Raises KeyError for another name."""
    made = MISTAKES[mistake](query, schema, rng)
    return made if made is not None and made.query != query else None


def _misspelt(word: str, rng: random.Random) -> str:
    """A word with two letters swapped, one missing or one doubled; not at its first letter."""
    place = rng.randrange(1, len(word) - 1)
    swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    without, doubled = word[:place] + word[place + 1 :], word[: place + 1] + word[place:]
    return rng.choice([form for form in (swapped, without, doubled) if form != word])


def _other_case(word: str) -> str:
    return word.lower() if word != word.lower() else word.upper()


def _rename(found: re.Pattern[str], group: int, change: Callable[[str, random.Random], str]) -> Mistake:
    """A mistake in a name: the first that `found` finds, everywhere in the query where it stands in that place."""

    def make(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
        match = found.search(query)
        if match is None or len(match.group(group)) < 4:
            return None
        right = match.group(group)
        wrong = change(right, rng)
        if wrong in _names(schema):
            return None
        lead = re.escape(query[match.start() : match.start(group)][-1:] or ".")
        text = re.sub(rf"(?<={lead}){re.escape(right)}\b", lambda _: wrong, query) if found is not _PROPERTY else ""
        text = text or re.sub(rf"(?<=\b[abcr]\.){re.escape(right)}\b", lambda _: wrong, query)
        return Broken(text, wrong, right)

    return make


def _names(schema: GraphSchema) -> set[str]:
    names = {item.type for item in schema.relationships} | set(schema.labels)
    return names | {name for label in schema.labels.values() for name in label.properties}


def _swap(old: str, new: str, after: str = "") -> Mistake:
    """A mistake of one sign or word: the first `old` outside literals (behind the word `after`) becomes `new`."""

    def make(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
        plain = _without_texts(query)
        start = plain.find(after) if after else 0
        place = plain.find(old, start) if start >= 0 else -1
        if place < 0:
            return None
        return Broken(query[:place] + new + query[place + len(old) :], new.strip(), old.strip())

    return make


def _without_texts(query: str) -> str:
    """The query with literals blanked out, so that places stay the same."""
    return _TEXT.sub(lambda match: " " * len(match.group()), query)


def _sub(pattern: str, put: str, wrong: str = "", right: str = "") -> Mistake:
    """A mistake by a regular expression, made once."""
    compiled = re.compile(pattern)

    def make(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
        match = compiled.search(query)
        if match is None:
            return None
        text = query[: match.start()] + match.expand(put) + query[match.end() :]
        return Broken(text, match.expand(wrong), match.expand(right))

    return make


def _wrong_direction(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    match = _HOP.search(query)
    named = _TYPE.search(match.group(1)) if match else None
    if match is None or named is None:
        return None
    kinds = [item for item in schema.relationships if item.type == named.group(1)]
    if len(kinds) != 1 or kinds[0].start == kinds[0].end:
        return None
    text = query[: match.start()] + f")<-{match.group(1)}-(" + query[match.end() :]
    return Broken(text, kinds[0].end, kinds[0].start)


def _wrong_variable(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    """The property of one node asked of the other, whose label has none of that name."""
    labels = dict(_NODE.findall(query))
    match = re.search(r"RETURN (?:DISTINCT )?(([ab])\.(\w+))", query)
    if match is None or set(labels) != {"a", "b"}:
        return None
    other = "b" if match.group(2) == "a" else "a"
    owner = schema.labels.get(labels[other])
    if owner is None or match.group(3) in owner.properties:
        return None
    text = query[: match.start(2)] + other + query[match.end(2) :]
    return Broken(text, f"{other}.{match.group(3)}", match.group(1))


def _unknown_variable(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    match = re.search(r"RETURN (?:DISTINCT )?(a)\.\w+", query)
    name = rng.choice("pxn")
    if match is None or re.search(rf"\b{name}\b", _without_texts(query)):
        return None
    return Broken(query[: match.start(1)] + name + query[match.end(1) :], name, "a")


def _unquoted(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    match = _TEXT.search(query)
    if match is None or "date(" in query or not re.fullmatch(r"[A-Za-z][A-Za-z ]*", match.group(1)):
        return None
    return Broken(query[: match.start()] + match.group(1) + query[match.end() :], match.group(1), match.group())


def _missing_quote(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    match = _TEXT.search(query)
    if match is None or "date(" in query:
        return None
    return Broken(query[: match.end() - 1] + query[match.end() :], match.group()[:-1], match.group())


def _value_case(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    match = re.search(r" = ('(?:[^'\\]|\\.)*')", query)
    if match is None or match.group(1) == match.group(1).lower():
        return None
    wrong = match.group(1).lower()
    return Broken(query[: match.start(1)] + wrong + query[match.end(1) :], wrong, match.group(1))


def _number_as_text(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    match = re.search(r"WHERE a\.\w+ (?:=|<|>|<=|>=) (\d[\d.]*)(?= )", query)
    if match is None:
        return None
    wrong = f"'{match.group(1)}'"
    return Broken(query[: match.start(1)] + wrong + query[match.end(1) :], wrong, match.group(1))


def _group_by(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    match = re.search(rf"RETURN (\w\.\w+) AS \w+, {_AGGREGATE}", query)
    if match is None or " WITH " in query:
        return None
    head, order, tail = query.partition(" ORDER BY ")
    return Broken(f"{head} GROUP BY {match.group(1)}{order}{tail}", f"GROUP BY {match.group(1)}", "")


def _between(query: str) -> tuple[str, str, str, str, str] | None:
    """Pattern, items, tested name, test and order of a query that filters what it has aggregated and returns it all."""
    match = _BETWEEN.match(query)
    if match is None or re.findall(r" AS (\w+)", match.group(2)) != match.group(5).split(", "):
        return None
    return match.group(1), match.group(2), match.group(3), match.group(4), match.group(6) or ""


def _having(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    parts = _between(query)
    if parts is None:
        return None
    start, given, name, test, order = parts
    return Broken(
        f"{start} RETURN {given} HAVING {name} {test}{order}", f"HAVING {name} {test}", f"WHERE {name} {test}"
    )


def _aggregate_in_where(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    parts = _between(query)
    if parts is None:
        return None
    start, given, name, test, order = parts
    counted = re.search(_AGGREGATE, given)
    if counted is None or counted.group(2) != name or " WHERE " in start:
        return None
    return Broken(
        f"{start} WHERE {counted.group(1)} {test} RETURN {given}{order}", f"{counted.group(1)} {test}", f"{name} {test}"
    )


def _sql(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    match = _SIMPLE.match(query)
    if match is None:
        return None
    label, tested, sign, value, wanted = match.groups()
    return Broken(f"SELECT {wanted} FROM {label} WHERE {tested} {sign} {value}", "SELECT", "MATCH")


def _like(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    match = re.search(r"(STARTS WITH|ENDS WITH|CONTAINS) '((?:[^'\\]|\\.)*)'", query)
    if match is None:
        return None
    before, after = {"STARTS WITH": ("", "%"), "ENDS WITH": ("%", ""), "CONTAINS": ("%", "%")}[match.group(1)]
    wrong = f"LIKE '{before}{match.group(2)}{after}'"
    return Broken(query[: match.start()] + wrong + query[match.end() :], "LIKE", match.group(1))


def _keyword(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    word = rng.choice([word for word in ("MATCH", "WHERE", "RETURN", "ORDER BY", "DISTINCT") if word in query])
    wrong = _misspelt(word.split()[0], rng) + word[len(word.split()[0]) :]
    place = _without_texts(query).find(word)
    return Broken(query[:place] + wrong + query[place + len(word) :], wrong, word)


def _no_where(query: str, schema: GraphSchema, rng: random.Random) -> Broken | None:
    """Relationship lost: both ends are matched on their own, so that every pair comes out."""
    match = re.search(r"\(a:(\w+)\)-\[\w*:(\w+)\]->\(b:(\w+)\)", query)
    if match is None or re.search(r"\br\b", query):
        return None
    text = f"(a:{match.group(1)}), (b:{match.group(3)})"
    return Broken(query[: match.start()] + text + query[match.end() :], text, match.group())


MISTAKES: dict[str, Mistake] = {
    "label_spelling": _rename(_NODE, 2, _misspelt),
    "label_case": _rename(_NODE, 2, lambda word, rng: _other_case(word)),
    "type_spelling": _rename(_TYPE, 1, _misspelt),
    "type_case": _rename(_TYPE, 1, lambda word, rng: _other_case(word)),
    "property_spelling": _rename(_PROPERTY, 1, _misspelt),
    "property_case": _rename(_PROPERTY, 1, lambda word, rng: _other_case(word)),
    "wrong_direction": _wrong_direction,
    "wrong_variable": _wrong_variable,
    "unknown_variable": _unknown_variable,
    "no_variable": _sub(r"^(MATCH \(a:\w+\)[^)]*) RETURN a\.(\w+) AS \2$", r"\1 RETURN \2", r"\2", r"a.\2"),
    "not_equal": _swap(" <> ", " != "),
    "double_equals": _swap(" = ", " == ", "WHERE"),
    "null_equals": _swap(" IS NULL", " = NULL"),
    "null_not_equal": _swap(" IS NOT NULL", " <> NULL"),
    "and_sign": _swap(" AND ", " && ", "WHERE"),
    "or_sign": _swap(" OR ", " || ", "WHERE"),
    "second_where": _swap(" AND ", " WHERE ", "WHERE"),
    "round_list": _sub(r"IN \[([^\]]*)\]", r"IN (\1)", r"IN (\1)", r"IN [\1]"),
    "like": _like,
    "unquoted": _unquoted,
    "missing_quote": _missing_quote,
    "missing_parenthesis": _sub(r"(\(a:\w+)\)(?= |-)", r"\1", r"\1", r"\1)"),
    "missing_bracket": _sub(r"(\[\w*:\w+)\](?=->|-\()", r"\1", r"\1", r"\1]"),
    "missing_colon": _sub(r"\(a:(\w+)\)", r"(a \1)", r"(a \1)", r"(a:\1)"),
    "type_without_colon": _sub(r"\[:(\w+)\]", r"[\1]", r"[\1]", r"[:\1]"),
    "broken_arrow": _sub(r"(\[\w*:\w+\])->", r"\1>", r"\1>", r"\1->"),
    "missing_comma": _sub(r"RETURN ([\w.]+ AS \w+), ([\w.]+ AS \w+)$", r"RETURN \1 \2", r"\1 \2", r"\1, \2"),
    "return_and": _sub(r"RETURN ([\w.]+) AS \w+, ([\w.]+) AS \w+$", r"RETURN \1 AND \2", r"\1 AND \2", r"\1, \2"),
    "keyword": _keyword,
    "group_by": _group_by,
    "having": _having,
    "aggregate_in_where": _aggregate_in_where,
    "limit_before_order": _sub(
        r" ORDER BY ([^)]+) LIMIT (\d+)$", r" LIMIT \2 ORDER BY \1", r"LIMIT \2", r"ORDER BY \1"
    ),
    "order_before_return": _sub(r" RETURN (.+) ORDER BY ([^)]+)$", r" ORDER BY \2 RETURN \1", r"ORDER BY \2", ""),
    "sql": _sql,
    "date_as_text": _sub(r"(?<=[=<>] )(?<!<> )date\(('[\d-]+')\)", r"\1", r"\1", r"date(\1)"),
    "number_as_text": _number_as_text,
    "value_case": _value_case,
    "lost_distinct": _sub(r"RETURN DISTINCT ", "RETURN ", "RETURN", "RETURN DISTINCT"),
    "lost_distinct_count": _sub(r"count\(DISTINCT (\w+)\)", r"count(\1)", r"count(\1)", r"count(DISTINCT \1)"),
    "lost_optional": _swap("OPTIONAL MATCH", "MATCH"),
    "all_pairs": _no_where,
}
