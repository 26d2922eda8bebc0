"""Does an answer read the graph, or does it state a result? A constant may be right by luck, and is never an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from heimdall_nb.engines.cypher_patterns import AGGREGATES, clauses, hops, split
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, tokens, tree, word
from heimdall_nb.evaluation.gold_lists import aliased

_LITERALS = ("TRUE", "FALSE", "NULL", "INF", "NAN")
_WORDS = (  # words of expressions that are no variable
    *_LITERALS,
    *"IN AND OR NOT XOR CASE WHEN THEN ELSE END IS AS DISTINCT STARTS ENDS WITH CONTAINS".split(),
)


def ignores_graph(gold: str, answer: str) -> bool:
    """True when `answer` states its rows where `gold` reads them: `RETURN 3` for a count. Such an answer is wrong.

    An answer that matches a pattern may repeat what the question names: all literals that it returns stand in the gold.
    """
    if not reads_nothing(answer) or reads_nothing(gold):
        return False
    return not any(_reads(tree(answer))) or not _returned_literals(answer) <= _literals(gold)


def reads_nothing(query: str) -> bool:
    """True when the rows of `query` hang on nothing that it reads: a constant such as `RETURN 3`.

    Either it has no MATCH, CALL or pattern, or all that its outermost RETURN gives are literals and names for them.
    """
    items = tree(query)
    if not any(_reads(items)):
        return True
    constants: set[str] = set()
    returned: list[bool] = [False]
    for clause in clauses(items):
        if clause.keyword in ("WITH", "RETURN", "UNWIND"):
            parts = [aliased(part) for part in split(clause.items)]
            returned = [_constant(expression, constants) for expression, _ in parts]
            named_here = {alias for (_, alias), same in zip(parts, returned, strict=True) if alias and same}
            constants = named_here | (constants if clause.keyword == "UNWIND" or _star(clause.items) else set())
        elif clause.keyword == "UNION":
            return False
    return all(returned)


def _reads(items: Sequence[Item]) -> Iterator[bool]:
    for item in items:
        if isinstance(item, Group):
            yield from _reads(item.items)
        elif item.is_word("MATCH", "CALL", "SHOW"):
            yield True
    if any(hops(items)):
        yield True


def _constant(expression: Sequence[Item], constants: set[str]) -> bool:
    """True when no variable, parameter or aggregate stands in an expression."""
    for place, item in enumerate(expression):
        after = expression[place + 1] if place + 1 < len(expression) else None
        before = expression[place - 1] if place else None
        if isinstance(item, Group):
            keys_off = [i for k, i in enumerate(item.items) if not _map_key(item, k)]
            if not _constant(keys_off, constants):
                return False
        elif item.kind == "parameter" or (symbol(item, "*") and len(expression) == 1):
            return False
        elif item.name and not symbol(before, "."):
            called = isinstance(after, Group) and after.bracket in "({"
            if word(item, *AGGREGATES) and called:
                return False
            if not called and not word(item, *_WORDS) and item.text not in constants:
                return False
    return True


def _map_key(group: Group, place: int) -> bool:
    following = group.items[place + 1] if place + 1 < len(group.items) else None
    return group.bracket == "{" and named(group.items[place]) and symbol(following, ":")


def _star(items: Sequence[Item]) -> bool:
    return bool(items) and symbol(items[0], "*")


def _returned_literals(query: str) -> set[str]:
    made = [clause for clause in clauses(tree(query)) if clause.keyword in ("WITH", "RETURN", "UNWIND")]
    return {_form(token) for clause in made for token in _flat(clause.items) if _literal(token)}


def _literals(query: str) -> set[str]:
    return {_form(token) for token in tokens(query) if _literal(token)}


def _literal(token: Token) -> bool:
    return token.kind in ("string", "number") or token.is_word(*_LITERALS)


def _form(token: Token) -> str:
    return token.text.upper() if token.kind == "word" else token.text


def _flat(items: Sequence[Item]) -> Iterator[Token]:
    for item in items:
        if isinstance(item, Group):
            yield from _flat(item.items)
        else:
            yield item
