"""Evaluations as they are often done, each with its fault: what a trap is tried on beside ours.

The texts of gold and answer are judged as they stand; results are those of one graph, `None` where there is none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from heimdall_nb.engines.cypher_tokens import tokens
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.evaluation.compare import agrees, expectation

LIKENESS = 0.9  # of two texts, from which on a measure of likeness is read as "right"


@dataclass(frozen=True)
class Case:
    """A gold query and an answer, what they give on one graph, and a way to run another query there."""

    gold: str
    answer: str
    gold_rows: Rows | None
    rows: Rows | None
    run: Callable[[str], Rows | Refusal]


def exact_string(case: Case) -> bool:
    """The texts are equal. "Exact match" of Text2Cypher (arXiv 2412.10064)."""
    return case.gold.strip() == case.answer.strip()


def lower_case_string(case: Case) -> bool:
    """The texts are equal in lower case and single spaces, as string normalisers do; Cypher's names have a case."""

    def form(text: str) -> str:
        return re.sub(r"\s+", " ", text).strip().rstrip(";").strip().lower()

    return form(case.gold) == form(case.answer)


def token_overlap(case: Case) -> bool:
    """F1 of the tokens at least 0.9, a usual measure of generated text (as SQuAD's, arXiv 1606.05250)."""
    a, b = (Counter(t.text for t in tokens(text)) for text in (case.gold, case.answer))
    common, total = sum((a & b).values()), sum(a.values()) + sum(b.values())
    return total > 0 and 2 * common / total >= LIKENESS


def jaro_winkler(case: Case) -> bool:
    """Jaro-Winkler likeness at least 0.9, as in the notebooks of neo4j-labs/text2cypher (evaluations)."""
    return _jaro_winkler(case.gold, case.answer) >= LIKENESS


def valid(case: Case) -> bool:
    """It runs. Executability reported as quality, e.g. CypherBench's "executable" (arXiv 2412.18702)."""
    return case.rows is not None


def set_of_rows(case: Case) -> bool:
    """The rows are equal as sets: how often a row comes does not count. BIRD's evaluation (arXiv 2305.03111)."""
    return _both(case, lambda rows: {_row(row) for row in rows.rows})


def order_ignored(case: Case) -> bool:
    """The rows are equal as bags, ORDER BY or not, columns in place. MacKenzieOBrian/NLtoSQL at e3d53b3."""
    return _both(case, lambda rows: Counter(map(_row, rows.rows)))


def order_required(case: Case) -> bool:
    """The lists of rows are equal, also where nothing orders them: `gold == predicted` on what the driver gives."""
    return _both(case, lambda rows: [_row(row) for row in rows.rows])


def order_by_anywhere(case: Case) -> bool:
    """In order when "order by" stands anywhere in the gold's text (taoyds/test-suite-sql-eval, exec_eval.py)."""
    return (order_required if "order by" in case.gold.lower() else order_ignored)(case)


def distinct_removed(case: Case) -> bool:
    """As bags after DISTINCT is taken out of both texts (taoyds/test-suite-sql-eval without keep_distinct)."""
    results = [case.run(re.sub(r"(?i)\bdistinct\b", "", text)) for text in (case.gold, case.answer)]
    if case.rows is None or any(isinstance(rows, Refusal) for rows in results):
        return False
    return order_ignored(Case(case.gold, case.answer, *results, case.run))  # type: ignore[arg-type]


def refusal_is_empty(case: Case) -> bool:
    """As bags, a query that fails counting as one that finds nothing: `except: rows = []`; empty equals empty."""
    empty = Rows((), ())
    return order_ignored(Case(case.gold, case.answer, case.gold_rows or empty, case.rows or empty, case.run))


def result_strings(case: Case) -> bool:
    """Sorted rows as text, compared as text. Execution-based exact match of Text2Cypher (arXiv 2412.10064)."""
    return _both(case, lambda rows: sorted(", ".join(map(str, row)) for row in rows.rows))


def names_required(case: Case) -> bool:
    """Records with their column names, as bags: what `[record.data() for record in result]` of a driver gives."""
    return _both(case, lambda rows: Counter(_row(dict(zip(rows.columns, row, strict=True))) for row in rows.rows))


def first_column(case: Case) -> bool:
    """Only the first column, as a bag: `[record[0] for record in result]`."""
    return _both(case, lambda rows: Counter(_row(row[:1]) for row in rows.rows))


def rows_sorted_inside(case: Case) -> bool:
    """As bags, the values of each row sorted: columns in any order, in each row another (a quick check in taoyds)."""
    return _both(case, lambda rows: Counter(str(sorted(map(str, map(_row, row)))) for row in rows.rows))


def lists_as_bags(case: Case) -> bool:
    """As bags, with every list a bag, also one in order (`to_hashable(unorder_list=True)` of CypherBench)."""
    return _both(case, lambda rows: Counter(_row(row, bags=True) for row in rows.rows))


def python_equal(case: Case) -> bool:
    """`==` of Python on the sorted rows: floats to the last bit, and true equals 1."""
    return _both(case, lambda rows: sorted(rows.rows, key=repr))


def one_graph(case: Case) -> bool:
    """Our own comparison, on the first graph only: EX without TS."""
    expected = expectation(case.gold, case.run)
    return case.rows is not None and not isinstance(expected, Refusal) and agrees(expected, case.rows)


ORDINARY: dict[str, Callable[[Case], bool]] = {
    function.__name__: function
    for function in (
        exact_string,
        lower_case_string,
        token_overlap,
        jaro_winkler,
        valid,
        set_of_rows,
        order_ignored,
        order_required,
        order_by_anywhere,
        distinct_removed,
        refusal_is_empty,
        result_strings,
        names_required,
        first_column,
        rows_sorted_inside,
        lists_as_bags,
        python_equal,
        one_graph,
    )
}


def _both(case: Case, form: Callable[[Rows], Any]) -> bool:
    if case.gold_rows is None or case.rows is None:
        return False
    return bool(form(case.gold_rows) == form(case.rows))


def _row(value: Any, bags: bool = False) -> Any:
    """A value that can be hashed, equal as Python takes it."""
    if isinstance(value, list):
        items = [_row(item, bags) for item in value]
        return tuple(sorted(items, key=repr) if bags else items)
    if isinstance(value, tuple):
        return tuple(_row(item, bags) for item in value)
    if isinstance(value, dict):
        return tuple(sorted((key, _row(item, bags)) for key, item in value.items()))
    return value


def _jaro_winkler(a: str, b: str) -> float:
    """Likeness of two texts from 0 to 1 (Winkler 1990): Jaro's, raised by a common beginning of up to 4 characters."""
    if not a or not b:
        return float(a == b)
    reach = max(0, max(len(a), len(b)) // 2 - 1)
    used = [False] * len(b)
    matched = []
    for k, letter in enumerate(a):
        for j in range(max(0, k - reach), min(len(b), k + reach + 1)):
            if not used[j] and b[j] == letter:
                used[j] = True
                matched.append(letter)
                break
    if not matched:
        return 0.0
    other = [letter for letter, taken in zip(b, used, strict=True) if taken]
    moved = sum(x != y for x, y in zip(matched, other, strict=True)) / 2
    count = len(matched)
    jaro = (count / len(a) + count / len(b) + (count - moved) / count) / 3
    prefix = next((k for k in range(4) if a[k : k + 1] != b[k : k + 1]), 4)
    return jaro + prefix * 0.1 * (1 - jaro)
