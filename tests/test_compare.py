"""Comparing results: what must be equal is, what differs is not."""

import copy

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heimdall_nb.engines.graph import Rows
from heimdall_nb.evaluation.compare import ordered, same_result

scalars = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, 1e9, -2.25]) | st.text("ab", max_size=2)
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=2) | st.dictionaries(st.text("xy", max_size=1), v, max_size=2), max_leaves=3
)


@st.composite
def results(draw, min_rows=0):
    width = draw(st.integers(1, 3))
    rows = draw(st.lists(st.tuples(*[values] * width), min_size=min_rows, max_size=5))
    return Rows(tuple(f"c{k}" for k in range(width)), tuple(rows))


def rows(*items, columns=None):
    return Rows(tuple(columns or [f"c{k}" for k in range(len(items[0]) if items else 1)]), tuple(items))


@given(results(), st.booleans(), st.booleans())
def test_reflexive(result, in_order, bag_lists):
    assert same_result(result, copy.deepcopy(result), in_order, bag_lists)


@given(results(), results(), st.booleans())
def test_symmetric(a, b, in_order):
    assert same_result(a, b, in_order) == same_result(b, a, in_order)


@given(results(), st.randoms(use_true_random=False))
def test_row_order_is_free_unless_ordered(result, random):
    shuffled = list(result.rows)
    random.shuffle(shuffled)
    other = Rows(result.columns, tuple(shuffled))
    assert same_result(result, other, ordered=False)
    if same_result(result, other, ordered=True):
        return
    assert [list(r) for r in shuffled] != [list(r) for r in result.rows]


@given(results(min_rows=1), st.randoms(use_true_random=False), st.booleans())
def test_columns_may_be_permuted(result, random, in_order):
    order = list(range(len(result.columns)))
    random.shuffle(order)
    other = Rows(tuple("xyz"[: len(order)]), tuple(tuple(row[k] for k in order) for row in result.rows))
    assert same_result(result, other, in_order)


@given(results(min_rows=1), st.data(), st.booleans())
def test_one_changed_cell_is_detected(result, data, in_order):
    row = data.draw(st.integers(0, len(result.rows) - 1))
    column = data.draw(st.integers(0, len(result.columns) - 1))
    changed = [list(r) for r in result.rows]
    changed[row][column] = "something new"
    assert not same_result(result, Rows(result.columns, tuple(map(tuple, changed))), in_order)


@given(results(min_rows=2), st.booleans())
def test_a_missing_or_doubled_row_is_detected(result, in_order):
    assert not same_result(result, Rows(result.columns, result.rows[1:]), in_order)
    assert not same_result(result, Rows(result.columns, (*result.rows, result.rows[0])), in_order)


@given(results(min_rows=1), st.booleans())
def test_a_missing_column_is_detected(result, in_order):
    assume(len(result.columns) > 1)
    assert not same_result(result, Rows(result.columns[1:], tuple(r[1:] for r in result.rows)), in_order)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, 1.0, True),
        (0.1 + 0.2, 0.3, True),
        (1000000, 1000001, False),
        (1.0, 1.00001, False),
        (1e20, 1e20 * (1 + 1e-9), True),
        (1, True, False),
        (0, None, False),
        ("1", 1, False),
        ("2020-01-01", "2020-01-01", True),
        ([1, 2], [2, 1], False),
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        (float("nan"), float("nan"), True),
        pytest.param(10**400, 1.0, False, id="huge"),
        pytest.param(10**400, 10**400, True, id="huge twice"),
        ("", None, False),
    ],
)
def test_values(a, b, same):
    assert same_result(rows((a,)), rows((b,)), ordered=False) is same
    assert same_result(rows((b,)), rows((a,)), ordered=True) is same


def test_lists_as_bags():
    a, b = rows(([3, 1, 2], 1)), rows(([1, 2, 3], 1))
    assert not same_result(a, b, ordered=False) and same_result(a, b, ordered=False, bag_lists=True)
    assert not same_result(rows(([1, 1, 2],)), rows(([1, 2, 2],)), ordered=False, bag_lists=True)


def test_columns_are_permuted_as_a_whole():
    # Each row is a permutation of its partner, but no single column order does it for both.
    assert not same_result(rows((1, 2), (3, 4)), rows((1, 2), (4, 3)), ordered=False)


def test_empty_equals_only_empty():
    assert same_result(rows(), rows(), ordered=False) and not same_result(rows(), rows((1,)), ordered=False)


def test_nearly_equal_numbers_pair_up_across_rounding():
    a = rows((1.0000005, "x"), (1.0000004, "y"))
    b = rows((1.0000004, "x"), (1.0000005, "y"))
    assert same_result(a, b, ordered=False)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("MATCH (n) RETURN n.a ORDER BY n.a", True),
        ("MATCH (n) RETURN n.a order  by n.a DESC SKIP 1 LIMIT 3", True),
        ("MATCH (n) RETURN n.a", False),
        ("MATCH (n) WITH n ORDER BY n.a LIMIT 3 RETURN n.a", False),
        ("MATCH (n) RETURN n.a /* ORDER BY n.a */", False),
        ("MATCH (n) RETURN 'ORDER BY'", False),
        ("MATCH (n) WHERE EXISTS { MATCH (n)--(m) RETURN m ORDER BY m.x } RETURN n.a", False),
        ("MATCH (n) RETURN COLLECT { MATCH (m) RETURN m.x ORDER BY m.x } AS xs", False),
        ("MATCH (n) RETURN n.a UNION MATCH (m) RETURN m.a ORDER BY m.a", False),
        ("MATCH (n) RETURN n.order AS o, n.`ORDER BY`", False),
        ("", False),
    ],
)
def test_ordered(query, expected):
    assert ordered(query) is expected
