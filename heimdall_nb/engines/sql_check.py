"""Whether MySQL would take a SELECT, told without running it: syntax, names, and what grouping allows.

SQLite is more forgiving than MySQL 8, so a query that the embedded engine runs may still be invalid. Checked here:
functions and tables and columns that do not exist, constructs of other dialects, aliases used in WHERE, derived
tables without an alias, and result columns that are neither grouped nor aggregated (ONLY_FULL_GROUP_BY).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.mysql_functions import AGGREGATE_NAMES
from heimdall_nb.engines.sql import Database, Verbatim, drop_database_name, gate, unknown_functions

_FOREIGN = {
    exp.ILike: "ILIKE",
    exp.Qualify: "QUALIFY",
    exp.Fetch: "FETCH FIRST",
    exp.SimilarTo: "SIMILAR TO",
    exp.Pivot: "PIVOT",
    exp.TableSample: "TABLESAMPLE",
}
ColumnKey = tuple[str, str]  # alias of the table, column; lower case


def refusal(query: str, database: Database) -> Refusal | None:
    """Why MySQL would not take `query` on the schema of `database`; None when nothing speaks against it.

    Only the tables' definitions are used, not their rows.
    """
    tree = gate(query)
    if isinstance(tree, Refusal):
        return tree
    drop_database_name(tree, database.name)
    try:
        return _dialect_fault(tree) or _name_fault(tree, database)
    except RecursionError:
        return Refusal("limit", "the statement is nested too deeply")


def _dialect_fault(tree: exp.Query) -> Refusal | None:
    if unknown := unknown_functions(tree):
        return Refusal("schema", f"MySQL has no function {unknown[0]}")
    for node in tree.walk():
        if type(node) in _FOREIGN:
            return Refusal("syntax", f"MySQL has no {_FOREIGN[type(node)]}")
        if isinstance(node, exp.Join) and node.side.upper() == "FULL":
            return Refusal("syntax", "MySQL has no FULL JOIN")
        if isinstance(node, exp.Subquery) and isinstance(node.parent, (exp.From, exp.Join)) and not node.alias:
            return Refusal("syntax", "a sub-query in FROM needs an alias")
        if isinstance(node, (exp.Limit, exp.Offset)) and not isinstance(node.expression, exp.Literal):
            return Refusal("syntax", "LIMIT takes whole numbers")
        if isinstance(node, exp.In) and (inner := node.args.get("query")) and inner.this.args.get("limit"):
            return Refusal("syntax", "MySQL does not take LIMIT in a sub-query of IN")
    return None


def _name_fault(tree: exp.Query, database: Database) -> Refusal | None:
    schema = {t.name.lower(): {c.name.lower(): c.type for c in t.columns} for t in database.tables}
    tree = tree.copy()
    for name in tree.find_all(exp.Identifier):
        name.set("this", name.name.lower())  # names of columns and aliases ignore case
    created = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.db or table.name not in schema.keys() | created:
            return Refusal("schema", f"there is no table {table.sql()}")
    try:
        for scope in traverse_scope(tree):
            if alias := _alias_in_where(scope, schema):
                return Refusal("schema", f"WHERE cannot use the alias {alias}")
        qualified = qualify(
            tree, schema=schema, dialect=Verbatim, expand_stars=False, quote_identifiers=False, identify=False
        )
        for scope in traverse_scope(qualified):
            if column := _ungrouped(scope, database):
                return Refusal("syntax", f"{column} is neither grouped nor aggregated")
    except SqlglotError as problem:
        return Refusal("schema", str(problem).splitlines()[0])
    return None


def _alias_in_where(scope: Scope, schema: dict[str, dict[str, str]]) -> str | None:
    where = scope.expression.args.get("where")
    if where is None:
        return None
    aliases = {item.alias for item in scope.expression.expressions if isinstance(item, exp.Alias)}
    known = {name for source in scope.sources.values() for name in _columns_of(source, schema)}
    names = {c.name for c in _own(where, exp.Column) if not c.table}
    return min((names & aliases) - known, default=None)


def _columns_of(source: exp.Expression | Scope, schema: dict[str, dict[str, str]]) -> Iterable[str]:
    return source.expression.named_selects if isinstance(source, Scope) else schema.get(source.name, ())


def _own(node: exp.Expression, kind: type) -> Iterator[exp.Expression]:
    """Nodes of a kind below `node`, without those of sub-queries."""
    for found in node.walk(prune=lambda n: isinstance(n, exp.Query)):
        if isinstance(found, kind):
            yield found


def _ungrouped(scope: Scope, database: Database) -> str | None:
    """The first column of the result, HAVING or ORDER BY that a group does not determine."""
    select = scope.expression
    if not isinstance(select, exp.Select):
        return None
    group = select.args.get("group")
    clauses = [*select.expressions, *(select.args[k] for k in ("having", "order") if select.args.get(k))]
    if not group and not any(_is_aggregate(f) for clause in clauses for f in _own(clause, exp.Func)):
        return None
    keys = list(group.expressions) if group else []
    fixed = _determined(scope, [k for k in keys if isinstance(k, exp.Column)], database)
    texts = {key.sql() for key in keys}
    return next((found for clause in clauses if (found := _naked(clause, texts, fixed))), None)


def _is_aggregate(node: exp.Expression) -> bool:
    named = isinstance(node, exp.Anonymous) and node.name.upper() in AGGREGATE_NAMES
    return (named or isinstance(node, exp.AggFunc)) and not isinstance(node.parent, exp.Window)


def _naked(node: exp.Expression, texts: set[str], fixed: set[ColumnKey]) -> str | None:
    if isinstance(node, exp.Alias):
        return _naked(node.this, texts, fixed)
    if node.sql() in texts or _is_aggregate(node) or isinstance(node, (exp.Window, exp.Query)):
        return None
    if isinstance(node, exp.Column):
        return None if not node.table or (node.table, node.name) in fixed else node.sql()
    return next((found for child in node.iter_expressions() if (found := _naked(child, texts, fixed))), None)


def _determined(scope: Scope, keys: list[exp.Column], database: Database) -> set[ColumnKey]:
    """The columns that have one value in each group: the keys, what equals them, and all of a row known by its key."""
    tables = {t.name.lower(): t for t in database.tables}
    sources = {alias: tables[s.name] for alias, s in scope.sources.items() if isinstance(s, exp.Table)}
    pairs = list(_equalities(scope.expression))
    fixed = {(c.table, c.name) for c in keys}
    before = -1
    while len(fixed) != before:
        before = len(fixed)
        for left, right in pairs:
            fixed |= {left} if right is None or right in fixed else set()
            fixed |= {right} if right and left in fixed else set()
        for alias, table in sources.items():
            if all((alias, key.lower()) in fixed for key in table.primary_key):
                fixed |= {(alias, c.name.lower()) for c in table.columns}
    return fixed


def _equalities(select: exp.Select) -> Iterator[tuple[ColumnKey, ColumnKey | None]]:
    """Columns that a join or WHERE makes equal; None stands for a constant."""
    conditions = [join.args.get("on") for join in select.args.get("joins") or ()]
    where = select.args.get("where")
    for condition in [*conditions, where.this if where else None]:
        for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
            if not isinstance(part, exp.EQ) or not isinstance(part.this, exp.Column):
                continue
            left, other = (part.this.table, part.this.name), part.expression
            if isinstance(other, exp.Column):
                yield left, (other.table, other.name)
            elif isinstance(other, exp.Literal):
                yield left, None
