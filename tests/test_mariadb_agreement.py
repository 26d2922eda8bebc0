"""The gold queries give the same on MariaDB and on the embedded engine; tools/sql_agreement.py runs all of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heimdall_nb.dataset.classicmodels import classicmodels
from heimdall_nb.dataset.relational_corpus import relational_corpus
from heimdall_nb.dataset.sql_curated import committed
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.mariadb import PRIVATE, MariaDB
from heimdall_nb.engines.mariadb_server import missing
from heimdall_nb.engines.sqlite import SQLite

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
tool = importlib.import_module("sql_agreement")
needs_server = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture(scope="module")
def both() -> Iterator:
    with MariaDB(address=PRIVATE) as server, SQLite() as embedded:
        yield tool.Both(embedded, server)


@needs_server
@pytest.mark.parametrize("name", ["test", "exemplars"])
def test_committed_queries_give_the_same(both, name: str) -> None:
    both.load(classicmodels(7))
    told, differing = tool.compare(both, name, [example.output for example in committed(name)])
    assert differing == {}
    assert told.startswith(f"{name}: {200 if name == 'test' else 100} queries")


@needs_server
def test_queries_of_the_bases_corpus_give_the_same(both) -> None:
    both.forget()
    assert len(list(relational_corpus(2, 11, engine=both))) == 2
    assert len(both.queries) >= 16 and both.differing == {}


@needs_server
def test_what_the_engines_do_differently_is_found_and_has_its_reason(both) -> None:
    both.load(classicmodels(7))
    known = {
        "SELECT city FROM customers WHERE 'É' = 'e' LIMIT 1": "compare without case or accents|unknown",
        "SELECT country FROM customers GROUP BY country WITH ROLLUP": "a gap of one engine",
    }
    _, differing = tool.compare(both, "known", known)
    assert set(differing) == set(known)
    assert all(any(word in differing[query] for word in words.split("|")) for query, words in known.items())


ROWS = Rows(("a", "b"), (("x", 1.0), ("y", 2.5)))


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        (ROWS, ""),
        (Rows(("c", "d"), (("x", 1), ("y", 2.5))), ""),
        (Rows(("a", "b"), (("y", 2.5), ("x", 1.0))), "tied"),
        (Rows(("a", "b"), (("X", 1.0), ("y", 2.5))), "case or accents"),
        (Rows(("a", "b"), (("x", 1.01), ("y", 2.5))), "rounded"),
        (Rows(("a", "b"), (("x", 1.0), ("y", 3.5))), "unknown"),
        (Rows(("a", "b"), (("x", 1.0),)), "unknown"),
        (Refusal("engine", "no LATERAL"), "a gap of one engine"),
        (Refusal("syntax", "near x"), "unknown"),
    ],
)
def test_reasons(theirs: Rows | Refusal, why: str) -> None:
    found = tool.reason("SELECT a, b FROM t ORDER BY b", ROWS, theirs)
    assert (why in found) if why else found == ""
    assert tool.reason("SELECT", Refusal("schema", "x"), Refusal("schema", "y")) == ""
