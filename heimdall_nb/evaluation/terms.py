"""Expressions of a query as terms: what a name stands for instead of the name, and how they are cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from heimdall_nb.engines.cypher_patterns import AGGREGATES
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, symbol, word

Term = tuple[str, str]  # (value | property | node | link | function | aggregate | name | word | symbol, text)
Expression = tuple[Term, ...]

_WORDS = frozenset(
    "AND OR XOR NOT IN IS NULL TRUE FALSE DISTINCT CASE WHEN THEN ELSE END STARTS ENDS WITH CONTAINS WHERE AS ASC DESC "
    "ASCENDING DESCENDING BY EXISTS COUNT ON MATCH CREATE".split()
)
_VALUES = frozenset(("TRUE", "FALSE", "NULL"))
COMPARES = frozenset(("=", "<>", "<", ">", "<=", ">=", "=~"))
CLOSING = {"(": ")", "[": "]", "{": "}"}
MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def comparison(items: Sequence[Item]) -> tuple[int, int, str]:
    """(place, number of tokens, text) of the comparison on the top level; an empty text where there is none."""
    for place, item in enumerate(items):
        following = items[place + 1] if place + 1 < len(items) else None
        if isinstance(item, Token) and item.kind == "symbol" and item.text in COMPARES:
            return place, 1, item.text
        if word(item, "IN", "CONTAINS"):
            return place, 1, item.text.upper()
        if word(item, "STARTS", "ENDS") and word(following, "WITH"):
            return place, 2, f"{item.text.upper()} WITH"
        if word(item, "IS"):
            negated = word(following, "NOT")
            return place, len(items) - place, "IS NOT NULL" if negated else "IS NULL"
    return len(items), 0, ""


def aggregate_calls(expression: Expression) -> Iterator[Expression]:
    """Each outermost call of an aggregate function, with its arguments."""
    done = -1
    for place, (kind, _) in enumerate(expression):
        if kind != "aggregate" or place <= done:
            continue
        depth, done = 0, len(expression)
        for end in range(place + 1, len(expression)):
            depth += {"(": 1, ")": -1}.get(expression[end][1], 0) if expression[end][0] == "symbol" else 0
            if depth == 0:
                done = end
                yield expression[place : end + 1]
                break


def unwrapped(expression: Expression) -> Expression:
    """Without the parentheses around all of it."""
    while len(expression) > 2 and expression[0] == ("symbol", "(") and expression[-1] == ("symbol", ")"):
        depth = 0
        for place, term in enumerate(expression[:-1]):
            depth += {("symbol", "("): 1, ("symbol", ")"): -1}.get(term, 0)
            if depth == 0 and place:
                return expression
        expression = expression[1:-1]
    return expression


def without_asc(expression: Expression) -> Expression:
    if expression and expression[-1] in (("word", "ASC"), ("word", "ASCENDING")):
        return expression[:-1]
    if expression and expression[-1] == ("word", "DESCENDING"):
        return (*expression[:-1], ("word", "DESC"))
    return expression


def token_terms(item: Token, before: Item | None, after: Item | None, scope: Mapping[str, Expression]) -> list[Term]:
    """A token as terms: what a name stands for, in parentheses where it is no single thing."""
    if symbol(item, ".") and isinstance(after, Token) and after.name:
        return []
    if symbol(before, ".") and item.name:
        return [("property", item.text)]
    if item.kind in ("string", "number", "parameter"):
        return [("value", item.text)]
    if not item.name:
        return [("symbol", item.text)]
    calls = isinstance(after, Group) and after.bracket == "("
    if calls and item.kind == "word" and not item.is_word("AND", "OR", "NOT", "IN", "WHEN", "THEN", "ELSE"):
        lower = item.text.lower()
        return [("aggregate" if lower.upper() in AGGREGATES else "function", lower)]
    if item.text in scope and not symbol(after, ":"):
        known = scope[item.text]
        simple = len(known) < 3 or known[0][0] in ("aggregate", "function")
        return list(known) if simple else [("symbol", "("), *known, ("symbol", ")")]
    if item.kind == "word" and item.text.upper() in _VALUES:
        return [("value", item.text.upper())]
    if item.kind == "word" and item.text.upper() in _WORDS:
        return [("word", item.text.upper())]
    return [("property" if symbol(after, ":") else "name", item.text)]
