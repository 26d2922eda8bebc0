"""Which lists in the result of a gold have no order, read from its token tree; nothing is run here."""

from __future__ import annotations

from collections.abc import Sequence

from heimdall_nb.engines.cypher_patterns import Clause, aggregates, clauses, hops, split
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, tree, word

_LISTS = ("COLLECT", "LABELS", "KEYS")  # functions whose lists have no order of their own
_SORTS = ("SORT", "SORTNODES", "SORTMAPS", "SORTMULTI")  # functions that put a list into order


def list_marks(query: str) -> tuple[int, ...]:
    """For each column of the outermost RETURN, which of its lists are bags: 0 none, 1 the outermost, 2 at every depth.

    Bags are what `collect` makes of rows in no order (an ORDER BY counts until the next MATCH, CALL or aggregation),
    pattern comprehensions, `labels` and `keys`. Lists inside of a collected literal keep their order. Columns of a
    `RETURN *` come in the order of the names. Of a UNION a column's list is a bag when it is one in any part.
    """
    columns: list[int] = []
    part: list[Clause] = []
    for clause in (*clauses(tree(query)), Clause("UNION", ())):
        if clause.keyword == "UNION":
            marks = _part_marks(part)
            columns = [max(a, b) for a, b in zip(columns, marks, strict=True)] if len(columns) == len(marks) else marks
            part = []
        else:
            part.append(clause)
    return tuple(columns)


def collects_unordered(query: str) -> bool:
    """True when some list in the rows of `query` has no order: see `list_marks`."""
    return any(list_marks(query))


def _part_marks(part: Sequence[Clause]) -> list[int]:
    bags: dict[str, int] = {}
    in_order = False
    columns: list[int] = []
    for clause in part:
        if clause.keyword in ("WITH", "RETURN"):
            known = bags
            bags, columns = {}, []
            for items in split(clause.items):
                items = items[1:] if items and word(items[0], "DISTINCT") else items
                expression, alias = aliased(items)
                if len(items) == 1 and symbol(items[0], "*"):
                    bags |= known
                    columns += [known[name] for name in sorted(known)]
                    continue
                mark = _mark(expression, known, in_order)
                columns.append(mark)
                if alias:
                    bags[alias] = mark
            if aggregates(clause.items) or (clause.items and word(clause.items[0], "DISTINCT")):
                in_order = False
        elif clause.keyword == "ORDER":
            in_order = True
        elif clause.keyword in ("MATCH", "CALL"):
            in_order = False
        elif clause.keyword == "UNWIND":
            expression, alias = aliased(clause.items)
            in_order = in_order and not _mark(expression, bags, in_order)
    return columns


def _mark(expression: Sequence[Item], bags: dict[str, int], in_order: bool) -> int:
    """Which lists of an expression's value are bags (see `list_marks`)."""
    alone = len(expression) == 2 and isinstance(expression[1], Group)
    if len(expression) == 1 and named(expression[0]):
        return bags.get(expression[0].text, 0)  # type: ignore[union-attr]
    if alone and word(expression[0], "COLLECT"):
        inner = expression[1]
        assert isinstance(inner, Group)
        if inner.bracket == "{":  # a sub-query: its own ORDER BY counts
            return int(not any(clause.keyword == "ORDER" for clause in clauses(inner.items)))
        own = 2 if _bag_inside(inner.items, bags, in_order) else 1
        return (own if own == 2 else 0) if in_order else own
    if alone and word(expression[0], *_LISTS):
        return 1
    return 2 if _bag_inside(expression, bags, in_order) else 0


def _bag_inside(items: Sequence[Item], bags: dict[str, int], in_order: bool) -> bool:
    """True when a list without order is made or used somewhere in an expression, and not sorted."""
    for place, item in enumerate(items):
        before, after = (items[place - 1] if place else None), (items[place + 1] if place + 1 < len(items) else None)
        if isinstance(item, Group):
            if word(before, *_SORTS):
                continue
            comprehension = item.bracket == "[" and any(symbol(i, "|") for i in item.items) and any(hops(item.items))
            sub_query = item.bracket == "{" and word(before, "COLLECT")
            if comprehension or (not sub_query and _bag_inside(item.items, bags, in_order)):
                return True
        elif symbol(before, ".") or not named(item):
            continue
        elif isinstance(after, Group) and after.bracket in "({":
            if word(item, "COLLECT") and (not in_order or after.bracket == "{"):
                if after.bracket == "(" or not any(c.keyword == "ORDER" for c in clauses(after.items)):
                    return True
            if word(item, "LABELS", "KEYS"):
                return True
        elif bags.get(item.text, 0):
            return True
    return False


def aliased(items: Sequence[Item]) -> tuple[tuple[Item, ...], str]:
    """(expression, the name that it gets): after AS, or the variable itself; no name for any other expression."""
    last = items[-1] if items else None
    if len(items) > 2 and word(items[-2], "AS") and isinstance(last, Token):
        return tuple(items[:-2]), last.text
    return tuple(items), last.text if len(items) == 1 and isinstance(last, Token) and last.name else ""
