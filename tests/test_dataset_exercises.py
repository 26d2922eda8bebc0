"""The exercises of notebooks 01 and 02 accept a right answer and refuse wrong ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.exercises import check


def example(number: int, category: str = "filter", **changes: Any) -> Example:
    values = {"graph": "movies", "output": f"MATCH (a:Movie) RETURN a.title AS title LIMIT {number}"}
    return Example("i", f"the first {number}", category=category, context_size="small", **(values | changes)).with_id()


def test_notebook_01(arcadedb: Any) -> None:
    arcadedb.load(instantiate(load_schema("movies"), 7))
    hop = "MATCH (p:Person)-[:ACTED_IN]->(m:Movie)"
    right = f"{hop} WITH p, count(DISTINCT m) AS films WHERE films > 1 RETURN p.name AS who"
    assert check("01.1", right, arcadedb) is True
    assert check("01.1", f"{hop} RETURN DISTINCT p.name AS who", arcadedb) is False
    assert check("01.1", right + ", 1 AS one", arcadedb) is False
    assert check("01.1", "MATCH", arcadedb) is False
    examples = [example(n, "write" if n % 4 == 0 else "path") for n in range(12)]
    assert check("01.2", 0.25, examples) is True and check("01.2", 0.3, examples) is False
    assert check("01.2", "a quarter", examples) is False and check("01.2", None, examples) is None
    query = "MATCH (a:Movie) WHERE a.genre = 'Drama' AND a.minutes > 90 RETURN a.title AS title"
    assert check("01.3", "Which Drama runs longer than 90 minutes?", query) is True
    assert check("01.3", "Which Drama runs longer than 900 minutes?", query) is False
    assert check("01.3", 90, query) is False


def test_notebook_02() -> None:
    examples = [example(n, category) for n, category in enumerate("aaaaaaabbbcc")]
    assert sorted(Counter(e.category for e in examples).values()) == [2, 3, 7]
    assert check("02.1", 9, examples) is True
    assert check("02.1", 12, examples) is False and check("02.1", 9.0, examples) is False
    train = [*examples, example(1, output="MATCH (a:Movie) RETURN count(*) AS n")]
    assert check("02.2", (train[0].id, train[1].id), train) is True
    assert check("02.2", (train[0].id, train[-1].id), train) is False
    assert check("02.2", (train[0].id, train[0].id), train) is False
    assert check("02.2", "none", train) is False
    again = Example(**(vars(train[0]) | {"input": "other words", "id": ""})).with_id()
    assert check("02.3", {"train": [train[0]], "test": [again]}) is True
    assert check("02.3", {"train": [train[0]], "test": [train[0]]}) is False
    assert check("02.3", {"train": [train[0]], "test": [train[1]]}) is False
    assert check("02.3", []) is False
