"""The committed test set of text to SQL and what is learnt for it: sizes, forms, mix, order, words; golds that run."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from sqlglot import exp

from heimdall_nb.dataset import sql, sql_curated, sql_forms
from heimdall_nb.dataset.classicmodels import classicmodels
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.generate import degenerate
from heimdall_nb.dataset.sql import Option
from heimdall_nb.dataset.sql_forms import CONSTRUCTS, KINDS, LEVELS, constructs, form, kind, level, points, skeleton
from heimdall_nb.engines.graph import Rows
from heimdall_nb.engines.sql import Database, Verbatim, gate
from heimdall_nb.engines.sql_check import refusal
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation.metrics import constant_floor
from heimdall_nb.evaluation.sql_evaluate import SqlScorer
from heimdall_nb.evaluation.sql_scores import orders_rows
from heimdall_nb.models.protocol import Completion

ITEMS, TEMPLATES, MOST_OF_A_TEMPLATE = 200, 120, 5
EMPTY_SHARE, FLOOR = 0.02, 0.03
MIX_OF_TRAINING, MIX_OF_EXEMPLARS = 0.03, 0.05  # the largest difference of a share from the test set's


@pytest.fixture(scope="module")
def database() -> Database:
    return classicmodels(sql_curated.DATABASE_SEED)


@pytest.fixture(scope="module")
def engine(database: Database) -> SQLite:
    return SQLite(database)


@pytest.fixture(scope="module")
def options(engine: SQLite) -> dict[str, list[Option]]:
    return sql_curated.values(engine)


@pytest.fixture(scope="module")
def test_items() -> list[Example]:
    return sql_curated.committed("test")


@pytest.fixture(scope="module")
def exemplars() -> list[Example]:
    return sql_curated.committed("exemplars")


@pytest.fixture(scope="module")
def training(engine: SQLite) -> list[Example]:
    return sql_curated.learning_set("train", 240, 1, engine)


@pytest.fixture(scope="module")
def forms(options: dict[str, list[Option]]) -> dict[str, dict[str, frozenset[str]]]:
    """The forms of each template of each set."""
    return {
        name: {template.id: sql_curated.forms(template, options) for template in sql_curated.curated(name)}
        for name in sql_curated.FILES
    }


def test_the_test_set_has_its_size_and_no_template_fills_it(test_items: list[Example]) -> None:
    assert len(test_items) == ITEMS
    for counted in (Counter(e.template for e in test_items), Counter(form(e.output) for e in test_items)):
        assert len(counted) >= TEMPLATES and max(counted.values()) <= MOST_OF_A_TEMPLATE
    assert len({normalise(e.output) for e in test_items}) == ITEMS
    assert len({normalise(e.input) for e in test_items}) == ITEMS
    assert len({e.id for e in test_items}) == ITEMS


def test_golds_run_tell_something_and_no_constant_answers_them(
    test_items: list[Example],
    exemplars: list[Example],
    training: list[Example],
    engine: SQLite,
    database: Database,
    tmp_path: Path,
) -> None:
    golds = [Completion(e.output, 1, 1, 0.0, "ok") for e in test_items]
    scores = SqlScorer(engine, tmp_path / "verdicts").score(test_items, golds)
    assert all(score.va and score.ex and score.em for score in scores), [s.gold for s in scores if not s.ex]
    nothing = [s for s in scores if degenerate(s.gold_rows) or _only_zeros(s.gold_rows)]
    assert len(nothing) <= EMPTY_SHARE * ITEMS, [s.gold for s in nothing]
    assert constant_floor(scores)["value"] <= FLOOR
    assert max(len(s.gold_rows.rows) for s in scores) <= sql_curated.MAX_ROWS
    for example, score in zip(test_items, scores, strict=True):
        assert example.answer == sql.result_hash(example.output, score.gold_rows), example.output
    for example in (*exemplars, *training):
        assert refusal(example.output, database) is None, example.output
    for example in exemplars:
        result = engine.run(example.output)
        assert isinstance(result, Rows) and not degenerate(result), example.output


def _only_zeros(rows: Rows) -> bool:
    return not any(value for row in rows.rows for value in row)


def test_results_do_not_hang_on_the_order_in_which_rows_were_inserted(
    test_items: list[Example], database: Database
) -> None:
    rng = Random(1)
    rows = {name: rng.sample(list(content), len(content)) for name, content in database.rows.items()}
    with SQLite(Database(database.name, database.tables, rows)) as shuffled:
        for example in test_items:
            assert sql.result_hash(example.output, shuffled.run(example.output)) == example.answer, example.output


def test_an_order_leaves_no_ties_and_the_question_asks_for_it(
    test_items: list[Example], exemplars: list[Example], training: list[Example], engine: SQLite
) -> None:
    own = [e for e in training if e.template in {t.id for t in sql.templates(sql_curated.FILES["train"][0])}]
    ordered = [e for e in (*test_items, *exemplars, *own) if orders_rows(e.output)]
    assert len(ordered) > 40
    for example in ordered:
        keys = _sort_keys(example.output, engine)
        assert len(set(keys)) == len(keys), example.output
        assert re.search(r"\b(order|sort|first|ties|equal|by)\b", example.input.lower()), example.input
    for example in (*test_items, *exemplars, *own):
        cut = gate(example.output).find(exp.Limit)
        assert cut is None or cut.parent.args.get("order"), example.output


def _sort_keys(query: str, engine: SQLite) -> list[tuple[object, ...]]:
    """The sort keys of all rows that a query has before its LIMIT."""
    tree = gate(query).copy()
    keys = [ordered.this for ordered in tree.args["order"].expressions]
    for clause in ("order", "limit", "offset"):
        tree.set(clause, None)
    if isinstance(tree, exp.SetOperation):
        result = engine.run(tree.sql(Verbatim))
        places = [result.columns.index(key.name) for key in keys]
        return [tuple(row[place] for place in places) for row in result.rows]
    named = {item.alias: item.this for item in tree.expressions if item.alias}
    width = len(tree.expressions)
    shown = [named.get(key.name, key) if not getattr(key, "table", "") else key for key in keys]
    tree.set("expressions", [*tree.expressions, *(exp.alias_(key.copy(), f"k{n}") for n, key in enumerate(shown))])
    return [row[width:] for row in engine.run(tree.sql(Verbatim)).rows]


def test_questions_say_every_value_of_their_query(
    test_items: list[Example], exemplars: list[Example], training: list[Example]
) -> None:
    for example in (*test_items, *exemplars, *training):
        assert sql_forms.unsaid(example.input, example.output) == [], (example.input, example.output)
        assert "{" not in example.input + example.output


def test_unsaid_finds_a_value_that_the_question_lacks() -> None:
    query = "SELECT city FROM offices WHERE country = 'UK' AND officeCode > 4 LIMIT 1"
    assert sql_forms.unsaid("One city in the UK with a code above 4?", query) == []
    assert sql_forms.unsaid("One city in the USA with a code above 14?", query) == ["UK", "4"]
    assert sql_forms.unsaid("A city in the UK with a code above 4?", query) == ["1"]


def test_no_form_is_in_two_sets(
    forms: dict[str, dict[str, frozenset[str]]],
    test_items: list[Example],
    exemplars: list[Example],
    training: list[Example],
) -> None:
    every = {name: frozenset().union(*found.values()) for name, found in forms.items()}
    assert not every["test"] & every["train"]
    assert not every["test"] & every["exemplars"]
    assert not every["train"] & every["exemplars"]
    for name, items in (("test", test_items), ("exemplars", exemplars), ("train", training)):
        assert all(form(e.output) in forms[name][e.template] for e in items), name
    ids = [template for found in forms.values() for template in found]
    assert len(set(ids)) == len(ids)


def test_what_is_learnt_has_the_mix_of_the_test(
    test_items: list[Example], exemplars: list[Example], training: list[Example]
) -> None:
    shares = sql_curated.mixes({"test": test_items, "train": training, "exemplars": exemplars})
    assert set(CONSTRUCTS) <= set(shares) and len(shares) == len(CONSTRUCTS) + len(KINDS) + len(LEVELS)
    for feature, share in shares.items():
        assert abs(share["train"] - share["test"]) <= MIX_OF_TRAINING, (feature, share)
        assert abs(share["exemplars"] - share["test"]) <= MIX_OF_EXEMPLARS, (feature, share)
    drawn = sql_curated.mixes({"all": [e for e in training if e.category == "filter"]})
    assert drawn["kind: filter"]["all"] > 0.99 and drawn["join"]["all"] == 0  # a set of another mix is told


def test_the_test_set_is_broad(test_items: list[Example]) -> None:
    found = Counter(name for e in test_items for name in constructs(e.output))
    assert min(found[name] for name in CONSTRUCTS) >= 2
    for name in ("join", "GROUP BY", "HAVING", "date", "window", "WITH", "sub-query", "set operation", "NULL"):
        assert found[name] >= 10, name
    assert min(Counter(level(e.output) for e in test_items)[name] for name in LEVELS) >= 20
    assert min(Counter(e.category for e in test_items)[name] for name in KINDS) >= 8
    assert all(e.category == kind(e.output) and e.dialect == "mysql" for e in test_items)


def test_the_committed_sets_are_what_the_templates_give(test_items: list[Example], engine: SQLite) -> None:
    assert sql_curated.test_set(ITEMS, 2026, engine) == test_items
    few = sql_curated.learning_set("exemplars", 20, 3, engine)
    assert sql_curated.learning_set("exemplars", 20, 3, engine) == few
    assert sql_curated.learning_set("exemplars", 20, 4, engine) != few


def test_sets_that_do_not_exist_or_do_not_suffice_are_errors(engine: SQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (sql_curated.curated, sql_curated.committed):
        with pytest.raises(BadInput, match="Choose one of: test"):
            wrong("validation")
    with pytest.raises(BadInput, match="train or exemplars"):
        sql_curated.learning_set("test", 5, 1, engine)
    small = [next(t for t in sql_curated.curated("exemplars") if bool(t.slots) == filled) for filled in (True, False)]
    monkeypatch.setattr(sql_curated, "curated", lambda name: small)
    with pytest.raises(HeimdallError, match="ask for fewer"):
        sql_curated.learning_set("exemplars", 150, 1, engine)  # there are 110 products
    with pytest.raises(HeimdallError, match="6 items, not 9"):
        sql_curated.test_set(9, 1, engine)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT a FROM t WHERE b = 1", "select x.a from t as x where x.b = 25", True),
        ("SELECT a AS n FROM t ORDER BY n", "SELECT a AS m FROM t ORDER BY m", True),
        ("WITH q AS (SELECT a FROM t) SELECT a FROM q", "WITH r AS (SELECT a FROM t) SELECT r.a FROM r", True),
        ("SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b > 1", False),
        ("SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE c = 1", False),
    ],
)
def test_a_form_forgets_values_and_own_names_only(one: str, other: str, same: bool) -> None:
    assert (form(one) == form(other)) is same


def test_shapes_kinds_and_levels() -> None:
    assert skeleton("SELECT a FROM t WHERE b = 1") == skeleton("SELECT c FROM u WHERE d = 'x'")
    assert skeleton("SELECT a FROM t WHERE b = 1") != skeleton("SELECT a FROM t WHERE b > 1")
    top = "SELECT a FROM (SELECT a, ROW_NUMBER() OVER (ORDER BY b) AS n FROM t) AS r WHERE n = 1"
    assert (kind(top), points(top), level(top)) == ("window", 3, "hard")
    assert (kind("SELECT a FROM t"), level("SELECT a FROM t")) == ("filter", "easy")
    outer = "SELECT t.a FROM t LEFT JOIN u ON u.b = t.b WHERE u.c IS NULL"
    assert kind(outer) == "null and outer join" and {"outer join", "NULL", "join"} <= constructs(outer)
    inner = "SELECT a FROM t WHERE b > (SELECT AVG(u.b) FROM t AS u WHERE u.c = t.c)"
    assert {"sub-query", "correlated", "aggregate"} <= constructs(inner) and "self join" not in constructs(inner)
    assert "self join" in constructs("SELECT x.a FROM t AS x JOIN t AS y ON x.b = y.c")
    with pytest.raises(BadInput, match="refused"):
        constructs("DROP TABLE t")


def test_one_product_is_never_ordered_and_some_orders_are_late(engine: SQLite) -> None:
    never = "SELECT COUNT(*) FROM products WHERE productCode NOT IN (SELECT productCode FROM orderdetails)"
    assert engine.run(never).rows == ((1,),)
    assert 3 <= engine.run("SELECT COUNT(*) FROM orders WHERE shippedDate > requiredDate").rows[0][0] <= 7
