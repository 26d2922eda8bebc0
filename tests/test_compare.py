"""Comparing results: what must be equal is, what differs is not."""

import copy
import datetime
import decimal
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heimdall_nb.engines.graph import GraphInstance, Node, Refusal, Relationship, Rows
from heimdall_nb.evaluation.compare import (
    Expectation,
    agrees,
    expectation,
    ordered,
    same_result,
    tells_nothing,
)
from heimdall_nb.evaluation.constants import ignores_graph, reads_nothing
from heimdall_nb.evaluation.gold_lists import collects_unordered, list_marks
from heimdall_nb.evaluation.gold_order import variant

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
        (decimal.Decimal("1.50"), 1.5, True),
        (decimal.Decimal("3"), 3, True),
        (datetime.date(2020, 1, 31), "2020-01-31", True),
        (float("inf"), float("-inf"), False),
        (float("nan"), None, False),
        (2**63, 2.0**63, True),
        (9007199254740993, 9007199254740992, False),
        ([1, [2, 3]], [1, [3, 2]], False),
        ([True], [1], False),
        (["ab"], ["a", "b"], False),
        ({"a": None}, {}, False),
        ("true", True, False),
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


def test_mean_of_whole_numbers_agrees_with_a_whole_gold():
    assert same_result(rows((3, "x"), (4, "y")), rows((3.0000000001, "x"), (4.0, "y")), ordered=False)
    assert not same_result(rows((3,), (4,)), rows((3.1,), (4,)), ordered=False)
    assert not same_result(rows((10**7, 0.5)), rows((10**7 + 1, 0.5)), ordered=False)  # whole numbers agree exactly
    assert same_result(rows((1e7, 0.5)), rows((10**7 + 1, 0.5)), ordered=False)


@st.composite
def tied_results(draw):
    """(expectation with tie groups, rows by group): every row has a number of its own in its second column."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=2, max_size=4))
    number = iter(range(100, 200))
    groups = [[(draw(values), next(number)) for _ in range(size)] for size in sizes]
    spare = tuple((draw(values), next(number)) for _ in range(draw(st.integers(0, 2))))
    ties = tuple(k for k, group in enumerate(groups) for _ in group) + (len(groups) - 1,) * len(spare)
    gold = Rows(("value", "number"), tuple(row for group in groups for row in group))
    return Expectation(gold, ordered=True, ties=ties, spare=spare), groups


@given(tied_results(), st.data())
def test_rows_move_within_their_tie_group_only(case, data):
    expected, groups = case
    shuffled = [row for group in groups for row in data.draw(st.permutations(group))]
    assert agrees(expected, Rows(("n", "v"), tuple((number, value) for value, number in shuffled)))
    place = data.draw(st.integers(0, len(groups) - 2))
    edge = sum(map(len, groups[: place + 1]))
    shuffled[edge - 1], shuffled[edge] = shuffled[edge], shuffled[edge - 1]
    assert not agrees(expected, Rows(expected.rows.columns, tuple(shuffled)))


@given(tied_results(), st.data())
def test_spare_rows_stand_in_for_the_last_group_once(case, data):
    expected, groups = case
    head = expected.rows.rows[: len(expected.rows.rows) - len(groups[-1])]
    chosen = data.draw(st.permutations([*groups[-1], *expected.spare]))[: len(groups[-1])]
    assert agrees(expected, Rows(expected.rows.columns, (*head, *chosen)))
    if expected.spare:
        beyond = (*head[:-1], expected.spare[0], *groups[-1])
        assert not agrees(expected, Rows(expected.rows.columns, beyond))
        assert len(chosen) == 1 or not agrees(
            expected, Rows(expected.rows.columns, (*head, *[expected.spare[0]] * len(chosen)))
        )


CREW = GraphInstance(
    "crew",
    tuple(
        Node(key, "Person", {"name": name, "age": age, "city": city, "serial no": key})
        for key, name, age, city in [
            (3, "Cleo", 20, "Oslo"),
            (1, "Ada", 10, "Oslo"),
            (5, "Eve", 30, "Rome"),
            (2, "Ben", 20, "Rome"),
            (4, "Dan", 20, "Oslo"),
        ]
    ),
    (Relationship("KNOWS", 1, 2), Relationship("KNOWS", 1, 3), Relationship("KNOWS", 4, 5)),
)


@pytest.fixture(scope="module")
def run(arcadedb):
    arcadedb.load(CREW)
    return arcadedb.run


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("ORDER BY p.age", "Ada Dan Cleo Ben Eve", "Dan Ada Cleo Ben Eve"),  # the key is not returned
        ("ORDER BY p.age DESC LIMIT 2", "Eve Cleo", "Cleo Eve"),
        ("ORDER BY p.age DESC LIMIT 2", "Eve Dan", "Eve Ada"),
        ("ORDER BY p.age DESC LIMIT 3", "Eve Dan Ben", "Eve Dan Dan"),
        ("ORDER BY p.age SKIP 1 LIMIT 1", "Dan", "Eve"),
        ("ORDER BY p.age SKIP 2", "Cleo Ben Eve", "Ada Cleo Eve"),
        ("ORDER BY p.age, p.name LIMIT 3;", "Ada Ben Cleo", "Ada Cleo Ben"),
        ("ORDER BY name", "Ada Ben Cleo Dan Eve", "Ada Cleo Ben Dan Eve"),
        ("ORDER BY p.city // the towns\nLIMIT 2", "Dan Ada", "Dan Eve"),
        ("ORDER BY size(p.city + name), p.age LIMIT 1", "Ada", "Ben"),  # an alias inside of a key
        ("ORDER BY CASE WHEN p.age > 10 THEN [1, 2] ELSE [] END LIMIT 2", "Ada Eve", "Eve Ada"),
        ("LIMIT 2", "Eve Ada", "Eve Eve"),
        ("SKIP 3", "Eve Ada", "Eve Eve"),
        ("LIMIT 9", "Eve Dan Cleo Ben Ada", "Eve Dan Cleo Ben Zoe"),
        ("ORDER BY p.age LIMIT 1 + 1", "Ada Cleo", "Cleo Ada"),  # no plain number: the gold's own choice
    ],
)
def test_ties(run, gold, right, wrong):
    expected = expectation("MATCH (p:Person) RETURN p.name AS name " + gold, run)
    assert agrees(expected, expected.rows)
    assert agrees(expected, rows(*[(name,) for name in right.split()]))
    assert not agrees(expected, rows(*[(name,) for name in wrong.split()]))


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        (
            "MATCH (p:Person) RETURN p.city AS city, count(*) AS n ORDER BY n / 4 LIMIT 1",  # both counts are tied
            "MATCH (p:Person) RETURN count(*) AS n, p.city AS city ORDER BY city DESC LIMIT 1",
            "MATCH (p:Person) WHERE p.city = 'Rome' RETURN p.city AS city, count(*) + 1 AS n",
        ),
        (
            "MATCH (p:Person) RETURN DISTINCT p.age AS age ORDER BY age DESC LIMIT 2",
            "MATCH (p:Person) WITH max(p.age) AS top UNWIND [top, 20] AS age RETURN age",
            "MATCH (p:Person) RETURN p.age AS age ORDER BY age DESC SKIP 1 LIMIT 2",
        ),
        (
            "MATCH (p:Person {age: 20}) UNWIND [1, 2] AS k RETURN p.city ORDER BY p.age LIMIT 3",  # Oslo 4x, Rome 2x
            "MATCH (p:Person {age: 20}) UNWIND [1, 2] AS k RETURN p.city ORDER BY p.city DESC LIMIT 3",
            "MATCH (p:Person {name: 'Ben'}) UNWIND [1, 2, 3] AS k RETURN p.city",
        ),
        (
            "MATCH (p:Person) WITH p.name AS name, p.age AS age RETURN * ORDER BY age LIMIT 2",
            "MATCH (p:Person) RETURN p.name, p.age ORDER BY p.age, p.name DESC LIMIT 2",
            "MATCH (p:Person) RETURN p.name, p.age ORDER BY p.age DESC LIMIT 2",
        ),
        (
            "MATCH (p:Person) RETURN p.`serial no` AS `the number` ORDER BY `the number` DESC LIMIT 2",
            "MATCH (p:Person) RETURN p.`serial no` ORDER BY p.`serial no` DESC LIMIT 2",
            "MATCH (p:Person) RETURN p.`serial no` ORDER BY p.`serial no` LIMIT 2",
        ),
        (
            "MATCH (p:Person) RETURN p.age AS a UNION MATCH (p:Person) RETURN p.age + 1 AS a",
            "MATCH (p:Person) UNWIND [1, 0] AS more WITH DISTINCT p.age + more AS a RETURN a",
            "MATCH (p:Person) RETURN p.age AS a UNION ALL MATCH (p:Person) RETURN p.age + 1 AS a",
        ),
        (
            "MATCH (a:Person)-[:KNOWS]->(b:Person) WITH a, b ORDER BY b.name DESC RETURN a.name, collect(b.name)",
            "MATCH (c)<-[:KNOWS]-(p:Person) WITH p, c ORDER BY c.age, c.name DESC RETURN collect(c.name), p.name",
            "MATCH (a:Person)-[:KNOWS]->(b:Person) WITH a, b ORDER BY b.name RETURN a.name, collect(b.name)",
        ),
        (
            "MATCH (a:Person)-[:KNOWS]->(b:Person) RETURN a.name, collect(b.name)",
            "MATCH (a:Person)-[:KNOWS]->(b:Person) WITH a, b ORDER BY b.name RETURN a.name, collect(b.name)",
            "MATCH (a:Person)-[:KNOWS]->(b:Person) WITH a, b UNWIND [b, b] AS c RETURN a.name, collect(c.name)",
        ),
        (
            "MATCH (a:Person) WITH a ORDER BY a.name LIMIT 4 MATCH (a)-[:KNOWS]->(b) RETURN a.name, collect(b.name)",
            "MATCH (a:Person)-[:KNOWS]->(b:Person) WITH a, b ORDER BY b.name RETURN a.name, collect(b.name)",
            "MATCH (a:Person)-[:KNOWS]->(b:Person) RETURN a.name, collect(a.name)",
        ),
    ],
)
def test_queries_against_queries(run, gold, right, wrong):
    expected = expectation(gold, run)
    assert agrees(expected, run(right)) and not agrees(expected, run(wrong))


def test_the_gold_as_it_stands_is_what_the_others_are_compared_with(run):
    refused = expectation("MATCH (p:Person RETURN p", run)
    assert isinstance(refused, Refusal) and refused.kind == "syntax"
    cut = expectation("MATCH (p:Person) RETURN p.name LIMIT 2", lambda query: run(query, max_rows=3))
    assert cut.ties is None  # the rows beyond the limit are too many: the gold's own choice
    gold = "MATCH (p:Person) RETURN p.name ORDER BY p.age LIMIT 2"
    moody = expectation(gold, lambda query: run(query.replace("p.name\n", "p.city\n")))
    assert moody.ties is None  # the variant does not show the gold's rows, so that it says nothing about their ties
    empty = expectation("MATCH (p:Person) WHERE p.age > 99 RETURN p.name ORDER BY p.age LIMIT 2", run)
    assert tells_nothing(empty.rows) and agrees(empty, rows()) and not agrees(empty, rows(("Ada",)))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("MATCH (p) RETURN p.name", None),
        ("MATCH (p) RETURN p.name UNION MATCH (q) RETURN q.name AS name LIMIT 1", None),
        ("MATCH (p) RETURN p.name LIMIT $n", None),
        ("MATCH (p) RETURN p.name SKIP 4 LIMIT 2", ("MATCH (p) RETURN p.name", (), 4)),
        ("MATCH (p) RETURN p.a, p.b AS b ORDER BY b DESC, `p`.a", ("MATCH (p) RETURN p.a, p.b AS b", (1, 0), 0)),
        ("MATCH (p) RETURN DISTINCT p.a ORDER BY p.a ASC", ("MATCH (p) RETURN DISTINCT p.a", (0,), 0)),
    ],
)
def test_variants(query, found):
    shown = variant(query, ())
    assert (shown and (shown.query.split("\nORDER BY")[0].strip(), shown.keys, shown.skip)) == found


@pytest.mark.parametrize(
    ("query", "marks"),
    [
        ("MATCH (a)-->(b) RETURN a.name, collect(b.name)", (0, 1)),
        ("MATCH (a)-->(b) RETURN a.tags, collect(b.tags) AS x", (0, 1)),
        ("MATCH (a)-->(b) WITH a, collect(b.x) AS xs RETURN a.name, xs, size(xs) AS n ORDER BY n", (0, 1, 2)),
        ("MATCH (a)-->(b) WITH a, collect(b.x) AS xs RETURN collect(xs) AS nested", (2,)),
        ("MATCH (a) RETURN {names: collect(a.name)} AS m, [a.x, a.y] AS l", (2, 0)),
        ("MATCH (a) WITH a ORDER BY a.name RETURN collect(a.name)", (0,)),
        (
            "MATCH (a) WITH a ORDER BY a.name WITH a.city AS city, collect(a.name) AS xs RETURN city, xs[..2] AS f",
            (0, 0),
        ),
        ("MATCH (a) WITH a ORDER BY a.name MATCH (a)-->(b) RETURN collect(b.name)", (1,)),
        ("MATCH (a) WITH a.city AS c, count(*) AS n ORDER BY n WITH n, count(*) AS m RETURN collect(m)", (1,)),
        ("MATCH (a) RETURN collect(a.name) AS xs ORDER BY xs", (1,)),
        ("MATCH (a) RETURN [(a)-->(b) | b.name] AS xs, labels(a), keys(a)", (2, 1, 1)),
        ("MATCH (a) RETURN COLLECT { MATCH (a)-->(b) RETURN b.name } AS xs", (1,)),
        ("MATCH (a) RETURN COLLECT { MATCH (a)-->(b) RETURN b.name ORDER BY b.name } AS xs", (0,)),
        ("MATCH (a) RETURN apoc.coll.sort(collect(a.name)) AS xs", (0,)),
        ("MATCH (a) RETURN collect(a.x) AS xs UNION ALL MATCH (a) RETURN [1, 2] AS xs", (1,)),
        ("MATCH (a) RETURN a.collect, 'collect(x)' AS t", (0, 0)),
        ("MATCH (a) WITH collect(a.x) AS xs, 1 AS k RETURN *", (0, 1)),
        ("", ()),
    ],
)
def test_which_lists_are_bags(query, marks):
    assert list_marks(query) == marks and collects_unordered(query) is any(marks)


@pytest.mark.parametrize(
    ("query", "constant"),
    [
        ("RETURN 3", True),
        ("UNWIND ['a', 'b'] AS x RETURN x", True),
        ("UNWIND range(1, 9) AS n WITH n * n AS m RETURN m", True),
        ("WITH {a: 1, b: [2]} AS m RETURN m.a, m", True),
        ("MATCH (n) RETURN 3 LIMIT 1", True),
        ("MATCH (n:Person) RETURN DISTINCT 'Ada' AS name, toUpper('x') AS y", True),
        ("MATCH (n) WITH 3 AS x, n RETURN x", True),
        ("MATCH (n) WITH 1 + 2 AS x WITH x AS y RETURN {total: y} AS z", True),
        ("MATCH (n) UNWIND ['a', 'b'] AS x RETURN x LIMIT 2", True),
        ("MATCH (n) RETURN count(*)", False),
        ("MATCH (n) RETURN count(1) AS n", False),
        ("MATCH (n) RETURN n.name", False),
        ("MATCH (n) WITH count(n) AS c RETURN c > 3 AS many", False),
        ("MATCH (n) RETURN *", False),
        ("MATCH (n) WITH *, 3 AS x RETURN x + n.age", False),
        ("RETURN EXISTS { MATCH (n:Person) } AS there", False),
        ("RETURN COUNT { (:Person)-[:KNOWS]->() } AS n", False),
        ("RETURN size([(a:Person)-->(b) | b.name]) AS n", False),
        ("CALL db.labels() YIELD label RETURN label", False),
        ("MATCH (n) RETURN true AS found UNION MATCH (m) RETURN m.x AS found", False),
        ("MATCH (n) RETURN CASE WHEN n.age > 3 THEN 1 ELSE 2 END AS k", False),
    ],
)
def test_what_reads_nothing(query, constant):
    assert reads_nothing(query) is constant


@pytest.mark.parametrize(
    ("gold", "answer", "ignored"),
    [
        ("MATCH (n) RETURN count(n)", "RETURN 3", True),
        ("MATCH (n) RETURN count(n)", "MATCH (n) RETURN 3 LIMIT 1", True),
        ("MATCH (n) RETURN count(n) > 0", "MATCH (n) RETURN true LIMIT 1", True),
        ("MATCH (n {name: 'Ada'}) RETURN n.name", "RETURN 'Ada'", True),
        ("MATCH (n {name: 'Ada'}) RETURN n.name", "MATCH (n {name: 'Ada'}) RETURN 'Ada'", False),
        ("MATCH (n {name: 'Ada'}) RETURN n.age", "MATCH (n {name: 'Ada'}) RETURN 36", True),
        ("MATCH (n) RETURN n.age > 3 OR true AS x", "MATCH (n) RETURN TRUE AS x", False),
        ("RETURN range(1, 3)", "RETURN [1, 2, 3]", False),
        ("MATCH (n) RETURN n.age", "MATCH (n) RETURN n.age + 3", False),
    ],
)
def test_who_states_instead_of_reading(gold, answer, ignored):
    assert ignores_graph(gold, answer) is ignored


@pytest.mark.parametrize(
    ("result", "nothing"),
    [
        (rows(), True),
        (rows((None,), (None,)), True),
        (rows((0,)), True),
        (rows((False, 0.0)), True),
        (rows(([],)), True),
        (rows((0,), (0,)), False),
        (rows((0, "x")), False),
        (rows((None,), (1,)), False),
    ],
)
def test_results_that_tell_nothing(result, nothing):
    assert tells_nothing(result) is nothing


def test_equal_columns_do_not_hide_the_right_order():
    # The first two columns have the same values; only the last one tells which is which, behind ten equal columns.
    gold = rows(*[(k, 9 - k, *[7] * 10, f"row {k}") for k in range(10)])
    swapped = rows(*[(9 - k, k, *[7] * 10, f"row {k}") for k in range(10)])
    assert same_result(gold, swapped, ordered=False)
    other = rows(*[(9 - k, 9 - k, *[7] * 10, f"row {k}") for k in range(10)])
    assert not same_result(gold, other, ordered=False)


def test_a_comparison_takes_microseconds():
    gold = rows(*[(f"name {k}", k % 4) for k in range(10)])
    expected = Expectation(gold, ordered=False, bag_lists=(0, 0))
    swapped = rows(*[(k % 4, f"name {k}") for k in range(9, -1, -1)])
    times = []
    for _ in range(200):
        start = time.perf_counter()
        assert agrees(expected, swapped)
        times.append(time.perf_counter() - start)
    assert min(times) < 300e-6  # about 50 microseconds on an idle core
