"""What a right answer to a gold SELECT must give: its rows as a bag, or in its order but for rows that are tied."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.sql import Verbatim, gate
from heimdall_nb.evaluation.compare import Expectation, with_ties
from heimdall_nb.evaluation.gold_order import KEY, Variant
from heimdall_nb.evaluation.sql_scores import orders_rows


def expectation(query: str, run: Callable[[str], Rows | Refusal]) -> Expectation | Refusal:
    """What a right answer to the gold `query` gives; `run` runs it, and a variant of it where it orders or cuts.

    The variant gives the sort keys as well, and the rows beyond LIMIT: rows with equal keys may change places, and any
    of the tied rows may be the one that LIMIT keeps. Where the variant cannot be made, the gold's own order counts.
    """
    rows = run(query)
    if isinstance(rows, Refusal):
        return rows
    exact = Expectation(rows, orders_rows(query))
    shown = variant(query) if rows.rows else None
    more = run(shown.query) if shown else None
    if shown is None or not isinstance(more, Rows):
        return exact
    return with_ties(exact, shown, more) or exact


def variant(query: str) -> Variant | None:
    """The query that shows what the order of `query` leaves open; None where there is nothing to show, or no way."""
    tree = gate(query)
    if isinstance(tree, Refusal) or not any(tree.args.get(name) for name in ("order", "limit")):
        return None
    tree = tree.copy()
    offset = tree.args.get("offset")
    numbers = [clause.expression for clause in (tree.args.get("limit"), offset) if clause]
    if not all(isinstance(number, exp.Literal) and number.this.isdigit() for number in numbers):
        return None
    skip = int(offset.expression.this) if offset else 0
    keys = _keys(tree)
    if keys is None:
        return None
    for clause in ("limit", "offset"):
        tree.set(clause, None)
    return Variant(tree.sql(Verbatim), tuple(keys), skip)


def _keys(tree: exp.Query) -> list[int | str] | None:
    """The result columns that hold the sort keys, some of them added; None where one cannot be shown."""
    order = tree.args.get("order")
    items = list(tree.selects)
    names = [item.alias_or_name.lower() for item in items]
    texts = [item.unalias().sql(Verbatim).lower() for item in items]
    may_add = isinstance(tree, exp.Select) and not tree.args.get("distinct")
    keys: list[int | str] = []
    for key in [ordered.this for ordered in order.expressions] if order else []:
        text = key.sql(Verbatim).lower()
        if isinstance(key, exp.Literal) and not key.is_string:
            keys.append(int(key.this) - 1)
        elif isinstance(key, exp.Column) and not key.table and key.name.lower() in names:
            keys.append(names.index(key.name.lower()))
        elif text in texts:
            keys.append(texts.index(text))
        elif may_add and not tree.is_star:
            keys.append(f"{KEY}{len(keys)}")
            tree.append("expressions", exp.alias_(_spelled(key, tree), keys[-1]))
        else:
            return None
    return keys


def _spelled(key: exp.Expression, tree: exp.Query) -> exp.Expression:
    """A sort key with the aliases of the result written out, as a SELECT list needs them."""
    aliases = {item.alias.lower(): item.this for item in tree.selects if isinstance(item, exp.Alias)}

    def out(node: exp.Expression) -> exp.Expression:
        known = isinstance(node, exp.Column) and not node.table and node.name.lower() in aliases
        return exp.paren(aliases[node.name.lower()].copy()) if known else node

    return key.copy().transform(out)


def states_its_result(gold: str, answer: str) -> bool:
    """True when `answer` states its rows where `gold` reads them: `SELECT 3` for a count. That is never right."""
    return not _reads(gate(answer)) and _reads(gate(gold))


def _reads(tree: exp.Query | Refusal) -> bool:
    """Whether a result hangs on a table: there is one, and the outermost level gives more than literals."""
    if isinstance(tree, Refusal) or tree.find(exp.Table) is None:
        return False
    if not isinstance(tree, exp.Select):
        return True
    reading = (exp.Column, exp.Star, exp.AggFunc, exp.Anonymous, exp.Window, exp.Query)
    return any(item.find(*reading) is not None for item in tree.selects)
