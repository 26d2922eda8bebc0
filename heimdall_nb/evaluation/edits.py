"""Edits of conditions, values and results: each maker yields spans of a query, and what could stand there instead."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Iterator

from heimdall_nb.dataset.graphs import GraphSchema, Property
from heimdall_nb.evaluation.edits_names import Edit, property_at
from heimdall_nb.evaluation.query_layout import Layout, Span

Maker = Callable[[Layout, GraphSchema], Iterator[Edit]]

COMPARISONS = {"=": ("<>",), "<>": ("=",), "<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<=")}
LOGIC = {"AND": "OR", "OR": "AND", "XOR": "OR"}
TEXT_TESTS = {"STARTS": ("ENDS WITH", "CONTAINS"), "ENDS": ("STARTS WITH", "CONTAINS"), "CONTAINS": ("STARTS WITH",)}
AGGREGATES = {
    "min": ("max",),
    "max": ("min", "avg"),
    "sum": ("avg", "count"),
    "avg": ("sum", "max"),
    "count": ("collect",),
    "collect": ("count",),
    "stdev": ("stDevP",),
    "stdevp": ("stDev",),
    "percentilecont": ("percentileDisc",),
    "percentiledisc": ("percentileCont",),
}
_TAKES_DISTINCT = ("count", "sum", "avg", "collect", "min", "max")
_PATTERNS = ("MATCH", "CREATE", "MERGE")
_CONDITIONED = ("WHERE",)


# ---- conditions


def comparison_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.kind == "symbol" and token.text in COMPARISONS and _compares(layout, k):
            yield from (((k, k + 1), other) for other in COMPARISONS[token.text])


def _compares(layout: Layout, place: int) -> bool:
    """Not an arrow, not the `=` of SET or of a path variable."""
    if layout.is_symbol(place, "<") and layout.is_symbol(place + 1, "-"):
        return not layout.is_symbol(place - 1, ")")
    if layout.is_symbol(place, ">") and layout.is_symbol(place - 1, "-"):
        return False
    clause = layout.clause_of(place)
    if not layout.is_symbol(place, "=") or clause.keyword not in (*_PATTERNS, "SET"):
        return True
    depth = [o for o, c in layout.partner.items() if clause.first <= o < place < c]
    return bool(depth)


def logic_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.is_word(*LOGIC):
            yield (k, k + 1), LOGIC[token.text.upper()]


def _operands(layout: Layout) -> Iterator[tuple[list[Span], Span, Span]]:
    """The operands of each condition, one of them, and the span of the clause or bracket around them."""
    for clause in layout.clauses:
        if clause.keyword in _CONDITIONED:
            for operands in layout.conditions((clause.first, clause.end)):
                whole = (clause.at, clause.end) if operands[0][0] == clause.first else (operands[0][0], operands[-1][1])
                yield from ((operands, one, whole) for one in operands)


def negation_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.is_word("NOT") and not layout.is_word(k - 1, "IS"):
            yield (k, k + 1), ""
    for _, one, _ in _operands(layout):
        if not layout.is_word(one[0], "NOT"):
            yield one, f"NOT ({layout.text(one)})"


def condition_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for operands, one, whole in _operands(layout):
        if len(operands) == 1:
            yield whole, ""
        elif one == operands[0]:
            yield (one[0], operands[1][0]), ""
        else:
            yield (one[0] - 1, one[1]), ""


def null_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.is_word("IS") and layout.is_word(k + 1, "NULL"):
            yield (k + 1, k + 2), "NOT NULL"
        elif token.is_word("IS") and layout.is_word(k + 1, "NOT") and layout.is_word(k + 2, "NULL"):
            yield (k + 1, k + 3), "NULL"


def text_test_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.is_word(*TEXT_TESTS) and not layout.is_symbol(k - 1, ".", ":"):
            width = 1 if token.is_word("CONTAINS") else 2
            if width == 1 or layout.is_word(k + 1, "WITH"):
                yield from (((k, k + width), other) for other in TEXT_TESTS[token.text.upper()])


# ---- values


def integer_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.kind == "number" and token.text.isdigit() and not _counts(layout, k):
            yield from (((k, k + 1), str(int(token.text) + step)) for step in (1, -1) if int(token.text) + step >= 0)


def _counts(layout: Layout, place: int) -> bool:
    """True for the number of SKIP and LIMIT, and for a bound of hops: their edits have kinds of their own."""
    bound = any(placed.opening < place < placed.closing and placed.part.many for placed in layout.relationships)
    return bound or layout.clause_of(place).keyword in ("SKIP", "OFFSET", "LIMIT")


def float_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.kind == "number" and "." in token.text:
            digits = max(1, len(token.text.split(".")[1]))
            yield from (((k, k + 1), f"{float(token.text) + step:.{digits}f}") for step in (0.1, -0.1))


def string_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.kind == "string":
            day = _day(token.text)
            if day:
                steps = (day + datetime.timedelta(days=step) for step in (1, -1))
                yield from (((k, k + 1), f"'{other.isoformat()}'") for other in steps)
            else:
                other = _other_text(token.text, property_at(layout, k, schema), layout.query)
                yield (k, k + 1), "'" + other.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def _other_text(text: str, prop: Property | None, seed: str) -> str:
    rng = random.Random(f"neighbour {seed} {text}")
    if prop is not None and prop.type == "STRING":
        drawn = (prop.sample(rng) for _ in range(20))
        other = next((value for value in drawn if value != text), None)
        if other is not None:
            return other
    return text[:-1] if len(text) > 2 else text + "x"


def boolean_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.is_word("TRUE", "FALSE") and not layout.is_symbol(k - 1, "."):
            yield (k, k + 1), "false" if token.is_word("TRUE") else "true"


# ---- results


def aggregate_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        if token.kind == "word" and token.text.lower() in AGGREGATES and layout.is_symbol(k + 1, "("):
            if not layout.is_symbol(k + 2, "*"):
                yield from (((k, k + 1), other) for other in AGGREGATES[token.text.lower()])
                if token.is_word("COUNT"):
                    yield (k + 2, layout.partner[k + 1]), "*"


def distinct_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for k, token in enumerate(layout.tokens):
        call = token.kind == "word" and token.text.lower() in _TAKES_DISTINCT and layout.is_symbol(k + 1, "(")
        if token.is_word("DISTINCT"):
            yield (k, k + 1), ""
        elif call and not layout.is_word(k + 2, "DISTINCT") and not layout.is_symbol(k + 2, "*"):
            yield (k + 2, k + 2), "DISTINCT "
        elif token.is_word("ALL") and layout.is_word(k - 1, "UNION"):
            yield (k, k + 1), ""
        elif token.is_word("UNION") and not layout.is_word(k + 1, "ALL"):
            yield (k, k + 1), "UNION ALL"
    for clause in layout.clauses:
        if clause.keyword in ("RETURN", "WITH") and not layout.is_word(clause.first, "DISTINCT"):
            yield (clause.first, clause.first), "DISTINCT "


def sort_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for clause in layout.clauses:
        if clause.keyword == "ORDER":
            for first, end in layout.split((clause.first + 1, clause.end), by_symbol=(",",)):
                if layout.is_word(end - 1, "DESC", "DESCENDING"):
                    yield (end - 1, end), ""
                elif layout.is_word(end - 1, "ASC", "ASCENDING"):
                    yield (end - 1, end), "DESC"
                else:
                    yield (first, end), f"{layout.text((first, end))} DESC"


def dropped_clause(*keywords: str) -> Maker:
    def edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
        return (((c.at, c.end), "") for c in layout.clauses if c.keyword in keywords)

    return edits


def window_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for clause in layout.clauses:
        token = layout.token(clause.first)
        if clause.keyword in ("SKIP", "OFFSET", "LIMIT") and token and token.text.isdigit():
            others = (int(token.text) + step for step in (1, -1))
            yield from (((clause.first, clause.first + 1), str(other)) for other in others if other >= 0)


def column_edits(layout: Layout, schema: GraphSchema) -> Iterator[Edit]:
    for clause in layout.clauses:
        if clause.keyword == "RETURN":
            first = clause.first + layout.is_word(clause.first, "DISTINCT")
            columns = layout.split((first, clause.end), by_symbol=(",",))
            for number, (start, end) in enumerate(columns if len(columns) > 1 else []):
                yield ((start, end + 1) if number == 0 else (start - 1, end)), ""
