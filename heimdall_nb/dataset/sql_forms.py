"""What a SELECT is made of: its form without values and names of its own, its constructs, its kind and its level.

With these, sets of questions are compared: two sets are disjoint by template when they share no form, and have the same
mix when the same share of their queries has each construct.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import Verbatim, function_name, gate
from heimdall_nb.errors import BadInput

DATE_FUNCTIONS = frozenset(
    "YEAR QUARTER MONTH MONTHNAME DAY DAYNAME DAYOFWEEK DATE_FORMAT DATEDIFF TIMESTAMPDIFF DATE_ADD DATE_SUB "
    "LAST_DAY".split()
)
TEXT_FUNCTIONS = frozenset("CONCAT UPPER LEFT CHAR_LENGTH SUBSTRING_INDEX".split())
NULL_FUNCTIONS = frozenset("COALESCE IFNULL".split())
LEVELS = {"easy": 1, "medium": 2, "hard": 4, "extra": 10**6}  # the most points of each


@lru_cache(maxsize=4096)
def _tree(query: str) -> exp.Query:
    """The syntax tree of a query, to be read and not changed."""
    tree = gate(query)
    if isinstance(tree, Refusal):
        raise BadInput(f"the statement is refused ({tree.message})", query)
    return tree


def form(query: str) -> str:
    """A query in lower case without its values, table aliases and qualifiers, names it gives itself numbered.

    Two queries of one form differ in nothing but their literals and the names they chose. Raises BadInput for a
    statement that the gate refuses.
    """
    tree = _tree(query).copy()
    for node in list(tree.find_all(exp.Literal)):
        node.replace(exp.Placeholder())
    own = dict.fromkeys(
        node.alias.lower() for node in tree.find_all(exp.Alias, exp.CTE, exp.Subquery) if node.alias
    )  # in the order of the tree
    for column in tree.find_all(exp.Column):
        column.set("table", None)
    for table in tree.find_all(exp.Table):
        table.set("alias", None)
    numbers = {name: f"own{number}" for number, name in enumerate(own, start=1)}
    for name in tree.find_all(exp.Identifier):
        name.set("this", numbers.get(name.name.lower(), name.name))
    return tree.sql(Verbatim).lower()


def skeleton(query: str) -> str:
    """The form with the names of tables and columns hidden as well: what queries of one shape have in common."""
    tree = _tree(form(query).replace("?", "0")).copy()
    for name in tree.find_all(exp.Identifier):
        name.set("this", "x")
    return tree.sql(Verbatim).lower()


def _joins(tree: exp.Query) -> int:
    return max((len(select.args.get("joins") or ()) for select in tree.find_all(exp.Select)), default=0)


def _calls(tree: exp.Query, names: Iterable[str]) -> bool:
    return any(function_name(node) in names for node in tree.find_all(exp.Func))


def _self_join(tree: exp.Query) -> bool:
    for select in tree.find_all(exp.Select):
        first = select.args.get("from_") or select.args.get("from")
        sources = [first, *(select.args.get("joins") or ())] if first else []
        names = [source.this.name.lower() for source in sources if isinstance(source.this, exp.Table)]
        if len(names) > len(set(names)):
            return True
    return False


def _correlated(tree: exp.Query) -> bool:
    return any(scope.is_correlated_subquery for scope in traverse_scope(tree))


def _nested(tree: exp.Query) -> int:
    """Selects inside the outermost query, without named sub-queries (WITH) and operands of a set operation."""
    found = 0
    for select in tree.find_all(exp.Select):
        parent = select.parent
        found += select is not tree and not isinstance(parent, (exp.CTE, exp.SetOperation))
    return found


_TESTS: dict[str, Callable[[exp.Query], bool]] = {
    "aggregate": lambda t: any(not isinstance(f.parent, exp.Window) for f in t.find_all(exp.AggFunc)),
    "GROUP BY": lambda t: t.find(exp.Group) is not None,
    "HAVING": lambda t: t.find(exp.Having) is not None,
    "ORDER BY": lambda t: t.args.get("order") is not None,
    "LIMIT": lambda t: t.find(exp.Limit) is not None,
    "DISTINCT": lambda t: t.find(exp.Distinct) is not None,
    "join": lambda t: t.find(exp.Join) is not None,
    "join of three or more": lambda t: _joins(t) >= 2,
    "outer join": lambda t: any(join.side for join in t.find_all(exp.Join)),
    "self join": _self_join,
    "sub-query": lambda t: _nested(t) > 0,
    "correlated": _correlated,
    "EXISTS": lambda t: t.find(exp.Exists) is not None,
    "IN": lambda t: t.find(exp.In) is not None,
    "WITH": lambda t: t.find(exp.CTE) is not None,
    "recursive": lambda t: any(w.recursive for w in t.find_all(exp.With)),
    "set operation": lambda t: isinstance(t, exp.SetOperation),
    "window": lambda t: t.find(exp.Window) is not None,
    "date": lambda t: _calls(t, DATE_FUNCTIONS) or t.find(exp.Extract) is not None,
    "NULL": lambda t: t.find(exp.Null) is not None or _calls(t, NULL_FUNCTIONS),
    "CASE": lambda t: t.find(exp.Case, exp.If) is not None or _calls(t, ["IF"]),
    "text": lambda t: t.find(exp.Like) is not None or _calls(t, TEXT_FUNCTIONS),
    "arithmetic": lambda t: t.find(exp.Add, exp.Sub, exp.Mul, exp.Div) is not None,
}
CONSTRUCTS = tuple(_TESTS)

# The kind of a query is the first of these that it has; one that has none of them is a filter.
_KINDS = {
    "window": "window",
    "set operation": "set operation",
    "named sub-query": "WITH",
    "sub-query": "sub-query",
    "outer join": "outer join",
    "join of three or more": "join of three or more",
    "join of two": "join",
    "null": "NULL",
    "having": "HAVING",
    "date": "date",
    "text and case": "text",
    "case": "CASE",
    "group by": "GROUP BY",
    "order and limit": "ORDER BY",
    "aggregate": "aggregate",
}
_SAME = {"case": "text and case", "outer join": "null and outer join", "null": "null and outer join"}
KINDS = (*dict.fromkeys(_SAME.get(kind, kind) for kind in _KINDS), "filter")


@lru_cache(maxsize=4096)
def constructs(query: str) -> frozenset[str]:
    """Which of CONSTRUCTS a query has. Raises BadInput for a statement that the gate refuses."""
    tree = _tree(query)
    return frozenset(name for name, has in _TESTS.items() if has(tree))


def kind(query: str) -> str:
    """The one of KINDS that tells most about a query: by its rarest construct."""
    found = constructs(query)
    named = next((name for name, construct in _KINDS.items() if construct in found), "filter")
    return _SAME.get(named, named)


def points(query: str) -> int:
    """How much goes on in a query: one point for each thing that a writer has to get right.

    One for each join, nested SELECT, named sub-query and operand of a set operation beyond the first; one each for
    GROUP BY, HAVING, ORDER BY, LIMIT, dates, CASE and text functions; one more for a left join, a self join, EXISTS
    and correlation; two each for a window and for recursion.
    """
    tree, found = _tree(query), constructs(query)
    counted = len(list(tree.find_all(exp.Join))) + _nested(tree)
    counted += len(list(tree.find_all(exp.CTE))) + len(list(tree.find_all(exp.SetOperation)))
    single = "GROUP BY,HAVING,ORDER BY,LIMIT,date,CASE,text,outer join,self join,EXISTS,correlated".split(",")
    return counted + len(found.intersection(single)) + 2 * len(found & {"window", "recursive"})


def level(query: str) -> str:
    """How hard a query is, by its `points`: easy to 1, medium at 2, hard to 4, extra above."""
    reached = points(query)
    return next(name for name, most in LEVELS.items() if reached <= most)


def mix(queries: Iterable[str]) -> dict[str, float]:
    """The share of the queries that has each construct, is of each kind and of each level, from 0 to 1."""
    texts = list(queries)
    counted = dict.fromkeys((*CONSTRUCTS, *(f"kind: {k}" for k in KINDS), *(f"level: {k}" for k in LEVELS)), 0.0)
    for query in texts:
        for name in features(query):
            counted[name] += 1 / len(texts)
    return counted


def features(query: str) -> frozenset[str]:
    """The constructs of a query with its kind and level, named as in `mix`."""
    return constructs(query) | {f"kind: {kind(query)}", f"level: {level(query)}"}


# How questions say literals that are not written out. Months are said by name.
_SAID = {
    "0": ("separate",),
    "1": ("one", "once", "first", "single", "second", "january", "sunday", "latest", "behind", "separate"),
    "2": ("twice", "two", "second", "february"),
    "3": ("march",),
    "4": ("april",),
    "5": ("may",),
    "6": ("june",),
    "7": ("july", "saturday"),
    "8": ("august",),
    "9": ("september",),
    "10": ("october",),
    "11": ("november",),
    "12": ("december",),
    "100": ("percent",),
    "%Y-%m": ("yyyy-mm",),
    " ": ("space",),
}


def unsaid(question: str, query: str) -> list[str]:
    """The literals of a query that its question neither writes out nor says in words."""
    asked = question.lower()
    found = [literal.this for literal in _tree(query).find_all(exp.Literal)]
    return [text for text in found if not _written(text, asked) and not any(w in asked for w in _SAID.get(text, ()))]


def _written(text: str, asked: str) -> bool:
    """A value stands in a question, without the wildcards of LIKE, and a number not merely as part of another."""
    shown = re.escape((text.strip("%") or text).lower())
    return re.search(rf"(?<![\d.]){shown}(?!\d)", asked) is not None
