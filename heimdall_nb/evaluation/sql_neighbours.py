"""The neighbours of a SQL query: what one edit of its syntax tree makes of it, for test suites to tell from the gold.

The edits are those of Zhong, Yu and Klein (2020, arXiv 2010.02840), and those that MySQL has besides: outer joins, set
operations, windows, and parts of dates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from sqlglot import exp

from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import Database, Table, Verbatim, gate
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.neighbours import NOTHING, Neighbour

OTHER_COLUMNS = 2  # that a column is replaced by
_SHOWN = 60  # characters of a change
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_COMPARISONS: dict[type[exp.Expression], tuple[type[exp.Expression], ...]] = {
    exp.GT: (exp.GTE, exp.LT),
    exp.GTE: (exp.GT, exp.LTE),
    exp.LT: (exp.LTE, exp.GT),
    exp.LTE: (exp.LT, exp.GTE),
    exp.EQ: (exp.NEQ, exp.GTE),
    exp.NEQ: (exp.EQ,),
}
_OTHER_AGGREGATES: dict[type[exp.Expression], tuple[type[exp.Expression], ...]] = {
    exp.Sum: (exp.Avg, exp.Max),
    exp.Avg: (exp.Sum, exp.Min),
    exp.Min: (exp.Max,),
    exp.Max: (exp.Min, exp.Avg),
}
_OTHER_OPERATORS: dict[type[exp.Expression], type[exp.Expression]] = {
    exp.Add: exp.Sub,
    exp.Sub: exp.Add,
    exp.Mul: exp.Add,
    exp.Div: exp.Mul,
}
_OTHER_FUNCTIONS = {
    **{"YEAR": "MONTH", "MONTH": "DAY", "QUARTER": "MONTH", "DAY": "MONTH", "DAYOFWEEK": "DAY", "DAYNAME": "MONTHNAME"},
    **{"DATE_ADD": "DATE_SUB", "DATE_SUB": "DATE_ADD", "UPPER": "LOWER", "LEFT": "RIGHT", "ROUND": "TRUNCATE"},
    **{"RANK": "DENSE_RANK", "DENSE_RANK": "RANK", "ROW_NUMBER": "RANK", "LAG": "LEAD", "LEAD": "LAG"},
}
_SET_OPERATIONS: dict[type[exp.Expression], tuple[type[exp.Expression], ...]] = {
    exp.Intersect: (exp.Union, exp.Except),
    exp.Except: (exp.Intersect, exp.Union),
    exp.Union: (exp.Intersect,),
}


@dataclass(frozen=True)
class Names:
    """What an edit may ask about the database and the query: columns of a table, values of a column."""

    database: Database
    aliases: dict[str, str]  # alias or name, lower case -> table
    rng: Random = field(compare=False)

    def table(self, column: exp.Column) -> Table | None:
        """The table of a column, where the query's names tell it."""
        tables = {table.name: table for table in self.database.tables}
        if column.table:
            return tables.get(self.aliases.get(column.table.lower(), ""))
        known = [tables[name] for name in dict.fromkeys(self.aliases.values())]
        return next((table for table in known if column.name in [c.name for c in table.columns]), None)

    def others(self, column: exp.Column) -> list[str]:
        """A few columns of the same table that hold the same kind of values."""
        table = self.table(column)
        kinds = {c.name: _kind(c.type) for c in table.columns} if table else {}
        found = [name for name, kind in kinds.items() if kind == kinds.get(column.name) and name != column.name]
        return self.rng.sample(found, min(OTHER_COLUMNS, len(found)))

    def another_value(self, column: exp.Column, value: str) -> str | None:
        """A text that stands in the same column."""
        table = self.table(column)
        names = [c.name for c in table.columns] if table else []
        if column.name not in names:
            return None
        place = names.index(column.name)
        found = sorted({str(row[place]) for row in self.database.rows[table.name] if row[place] is not None} - {value})
        return self.rng.choice(found) if found else None


def _kind(column_type: str) -> str:
    base = column_type.split("(")[0]
    return {"smallint": "number", "int": "number", "decimal": "number", "date": "date"}.get(base, "text")


def names_of(tree: exp.Query, database: Database) -> dict[str, str]:
    """The tables of a query by their aliases and names, in lower case."""
    known = {table.name.lower(): table.name for table in database.tables}
    found = [(t.alias_or_name.lower(), known.get(t.name.lower())) for t in tree.find_all(exp.Table)]
    return {alias: name for alias, name in found if name}


Maker = Callable[[exp.Expression, Names], Iterable[exp.Expression]]


def _changed(node: exp.Expression, **arguments: object) -> exp.Expression:
    """A copy of a node with other arguments; None takes one away."""
    copy = node.copy()
    for name, value in arguments.items():
        copy.set(name, value)
    return copy


def _same_operands(node: exp.Expression, kinds: Iterable[type[exp.Expression]]) -> list[exp.Expression]:
    return [kind(**{name: _copied(value) for name, value in node.args.items()}) for kind in kinds]


def _copied(value: object) -> object:
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value.copy() if isinstance(value, exp.Expression) else value


def _comparison(node: exp.Expression, names: Names) -> list[exp.Expression]:
    if isinstance(node, exp.Between):
        low, high = node.args["low"], node.args["high"]
        return [
            exp.GTE(this=node.this.copy(), expression=low.copy()),
            exp.LTE(this=node.this.copy(), expression=high.copy()),
            exp.paren(
                exp.and_(exp.GT(this=node.this.copy(), expression=low.copy()), exp.LTE(this=node.this, expression=high))
            ),
        ]
    return _same_operands(node, _COMPARISONS.get(type(node), ()))


def _logic(node: exp.Expression, names: Names) -> list[exp.Expression]:
    if not isinstance(node, (exp.And, exp.Or)):
        return []
    return _same_operands(node, [exp.Or if isinstance(node, exp.And) else exp.And])


def _negation(node: exp.Expression, names: Names) -> list[exp.Expression]:
    if isinstance(node, exp.Not):
        return [node.this.copy()]
    negatable = isinstance(node, (exp.In, exp.Exists, exp.Is, exp.Like, exp.Between))
    return [exp.Not(this=node.copy())] if negatable and not isinstance(node.parent, exp.Not) else []


def _condition(node: exp.Expression, names: Names) -> list[exp.Expression]:
    """One side of AND or OR alone; a SELECT without its whole WHERE or HAVING."""
    if isinstance(node, (exp.And, exp.Or)):
        return [node.this.copy(), node.expression.copy()]
    if isinstance(node, exp.Select):
        return [_changed(node, **{clause: None}) for clause in ("where", "having") if node.args.get(clause)]
    return []


def _number(node: exp.Expression, names: Names) -> list[exp.Expression]:
    if not isinstance(node, exp.Literal) or node.is_string or isinstance(node.parent, (exp.Limit, exp.Offset)):
        return []
    if "." in node.this:
        return [exp.Literal.number(round(float(node.this) + step, 2)) for step in (-0.1, 0.1)]
    return [exp.Literal.number(int(node.this) + step) for step in (-1, 1) if int(node.this) + step >= 0]


def _text(node: exp.Expression, names: Names) -> list[exp.Expression]:
    if not isinstance(node, exp.Literal) or not node.is_string:
        return []
    value = node.this
    if _DATE.fullmatch(value):
        day = date.fromisoformat(value)
        return [exp.Literal.string((day + timedelta(days=step)).isoformat()) for step in (-1, 1)]
    if isinstance(node.parent, exp.Like):
        looser = f"%{value}" if not value.startswith("%") else value[1:]
        tighter = f"{value}%" if not value.endswith("%") else value[:-1]
        return [exp.Literal.string(looser), exp.Literal.string(tighter)]
    beside = node.parent.this if isinstance(node.parent, (exp.Binary, exp.In)) else None
    other = names.another_value(beside, value) if isinstance(beside, exp.Column) else None
    return [exp.Literal.string(other)] if other else []


def _list(node: exp.Expression, names: Names) -> list[exp.Expression]:
    items = node.expressions if isinstance(node, exp.In) else []
    if len(items) < 2:
        return []
    return [_changed(node, expressions=[i.copy() for i in items if i is not gone]) for gone in items]


def _column(node: exp.Expression, names: Names) -> list[exp.Expression]:
    if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
        return []
    return [exp.column(other, node.table or None) for other in names.others(node)]


def _join(node: exp.Expression, names: Names) -> list[exp.Expression]:
    """An inner join instead of an outer one, and the other way round."""
    if not isinstance(node, exp.Join) or not (node.args.get("on") or node.args.get("using")):
        return []
    return [_changed(node, side=None if node.side else "LEFT")]


def _aggregate(node: exp.Expression, names: Names) -> list[exp.Expression]:
    if isinstance(node, exp.Count):
        inner = node.this
        if isinstance(inner, exp.Distinct) and len(inner.expressions) == 1:
            return [exp.Count(this=inner.expressions[0].copy()), exp.Count(this=exp.Star())]
        if isinstance(inner, exp.Column):
            counted = exp.Distinct(expressions=[inner.copy()])
            return [exp.Count(this=exp.Star()), exp.Count(this=counted), exp.Sum(this=inner.copy())]
        return []
    return [kind(this=node.this.copy()) for kind in _OTHER_AGGREGATES.get(type(node), ())]


def _distinct(node: exp.Expression, names: Names) -> list[exp.Expression]:
    if isinstance(node, exp.SetOperation):
        return [_changed(node, distinct=not node.args.get("distinct"))] if isinstance(node, exp.Union) else []
    if not isinstance(node, exp.Select) or isinstance(node.parent, (exp.Exists, exp.In)):
        return []
    return [_changed(node, distinct=None if node.args.get("distinct") else exp.Distinct())]


def _set_operation(node: exp.Expression, names: Names) -> list[exp.Expression]:
    kinds = _SET_OPERATIONS.get(type(node), ())
    if isinstance(node.parent, exp.CTE) and names.aliases and node.find_ancestor(exp.With).recursive:
        return []
    sides = [node.this.copy(), node.expression.copy()] if kinds and not node.args.get("with_") else []
    return [*_same_operands(node, kinds), *sides]


def _sort(node: exp.Expression, names: Names) -> list[exp.Expression]:
    return [_changed(node, desc=not node.args.get("desc"))] if isinstance(node, exp.Ordered) else []


def _order(node: exp.Expression, names: Names) -> list[exp.Expression]:
    """Without ORDER BY, or without its first or last key; also that of a window."""
    order = node.args.get("order") if isinstance(node, (exp.Query, exp.Window)) else None
    if not order:
        return []
    keys = order.expressions
    shorter = [keys[:-1], keys[1:]] if len(keys) > 1 else []
    return [
        _changed(node, order=None),
        *(_changed(node, order=exp.Order(expressions=[k.copy() for k in some])) for some in shorter),
    ]


def _window(node: exp.Expression, names: Names) -> list[exp.Expression]:
    if not isinstance(node, exp.Window):
        return []
    parts = [part for part in ("partition_by", "spec") if node.args.get(part)]
    return [_changed(node, **{part: None}) for part in parts]


def _limit(node: exp.Expression, names: Names) -> list[exp.Expression]:
    found = []
    for name in ("limit", "offset"):
        clause = node.args.get(name) if isinstance(node, exp.Query) else None
        if clause is None:
            continue
        found.append(_changed(node, **{name: None}))
        if isinstance(clause.expression, exp.Literal):
            number = int(clause.expression.this)
            steps = [number + step for step in (-1, 1) if number + step > 0]
            found += [_changed(node, **{name: type(clause)(expression=exp.Literal.number(n))}) for n in steps]
    return found


def _group(node: exp.Expression, names: Names) -> list[exp.Expression]:
    keys = node.expressions if isinstance(node, exp.Group) else []
    return [_changed(node, expressions=[k.copy() for k in keys if k is not gone]) for gone in keys if len(keys) > 1]


def _null(node: exp.Expression, names: Names) -> list[exp.Expression]:
    """The value itself where NULL has a substitute."""
    named = isinstance(node, exp.Anonymous) and node.name.upper() in ("COALESCE", "IFNULL")
    inner = node.expressions if named else []
    return [item.copy() for item in inner[:1]]


def _arithmetic(node: exp.Expression, names: Names) -> list[exp.Expression]:
    kind = _OTHER_OPERATORS.get(type(node))
    if kind is None:
        return []
    turned = [node.expression.copy(), node.this.copy()] if isinstance(node, (exp.Sub, exp.Div)) else []
    swapped = [type(node)(this=turned[0], expression=turned[1])] if turned else []
    return [*_same_operands(node, [kind]), *swapped, node.this.copy()]


def _function(node: exp.Expression, names: Names) -> list[exp.Expression]:
    other = _OTHER_FUNCTIONS.get(node.name.upper()) if isinstance(node, exp.Anonymous) else None
    return [_changed(node, this=other)] if other else []


def _result(node: exp.Expression, names: Names) -> list[exp.Expression]:
    """The outermost SELECT without one of its columns."""
    items = node.expressions if isinstance(node, exp.Select) and node.parent is None else []
    return [_changed(node, expressions=[i.copy() for i in items if i is not gone]) for gone in items if len(items) > 1]


EDITS: dict[str, Maker] = {
    "comparison": _comparison,
    "AND/OR": _logic,
    "NOT": _negation,
    "condition dropped": _condition,
    "number": _number,
    "text or date": _text,
    "IN list": _list,
    "column": _column,
    "join": _join,
    "aggregate": _aggregate,
    "DISTINCT": _distinct,
    "set operation": _set_operation,
    "sort direction": _sort,
    "ORDER BY": _order,
    "window": _window,
    "LIMIT or OFFSET": _limit,
    "GROUP BY": _group,
    "NULL": _null,
    "arithmetic": _arithmetic,
    "function": _function,
    "result column dropped": _result,
}
EVERYWHERE = "column everywhere"  # the same column replaced in all its places; beside EDITS
KINDS = (*EDITS, EVERYWHERE)


def neighbours(query: str, database: Database) -> list[Neighbour]:
    """Every neighbour of `query`, each once, in the order of KINDS; some do not run.

    The same query and database give the same neighbours. Raises BadInput for a query that the gate refuses.
    """
    tree = gate(query)
    if isinstance(tree, Refusal):
        raise BadInput(f"the statement is refused ({tree.message})", query)
    names = Names(database, names_of(tree, database), Random(f"neighbours {query}"))
    nodes = list(tree.walk())
    found: dict[str, Neighbour] = {}
    itself = tree.sql(Verbatim)
    for kind, changed, what in [*_single(nodes, names), *_everywhere(tree, nodes, names)]:
        text = changed.sql(Verbatim)
        if text != itself and text not in found:
            found[text] = Neighbour(kind, what, text)
    return list(found.values())


def _single(nodes: list[exp.Expression], names: Names) -> Iterator[tuple[str, exp.Expression, str]]:
    for kind, maker in EDITS.items():
        for place, node in enumerate(nodes):
            for replacement in maker(node, names):
                shown = f"{_short(node)} -> {_short(replacement)}"
                if place == 0:
                    yield kind, replacement, shown
                    continue
                copy = nodes[0].copy()
                next(other for k, other in enumerate(copy.walk()) if k == place).replace(replacement)
                yield kind, copy, shown


def _everywhere(
    tree: exp.Query, nodes: list[exp.Expression], names: Names
) -> Iterator[tuple[str, exp.Expression, str]]:
    columns = [node for node in nodes if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star)]
    for column in {node.sql(): node for node in columns if columns.count(node) > 1}.values():
        for other in names.others(column)[:1]:
            copy = tree.copy()
            for same in [node for node in copy.find_all(exp.Column) if node == column]:
                same.replace(exp.column(other, column.table or None))
            yield EVERYWHERE, copy, f"{column.name} -> {other}"


def _short(node: exp.Expression) -> str:
    text = node.sql(Verbatim)
    return (text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…") or NOTHING
