"""Notebook 10: its formulas count what PyTorch counts, its proof can fail, and its exercises know right from wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import chain, islice
from typing import Any

import nbformat
import pytest

from heimdall_nb.dataset.corpus import cypher_corpus
from heimdall_nb.dataset.graphs import load_schema
from heimdall_nb.dataset.slots import NoBinding, SampledValues
from heimdall_nb.dataset.templates import bind, templates
from heimdall_nb.exercises import nb10
from heimdall_nb.memory import shape_of
from heimdall_nb.run import notebook_path
from heimdall_nb.training.base import build_model
from heimdall_nb.training.config import BaseConfig
from heimdall_nb.training.tokenizer import train_tokenizer


def cell(slug: str) -> str:
    """The source of one of the notebook's cells."""
    return next(c.source for c in nbformat.read(notebook_path("10"), 4).cells if c.id == f"10-{slug}")


def defined(slug: str) -> dict[str, Any]:
    """What the functions at the start of a cell are called; the statements behind them are left out."""
    scope: dict[str, Any] = {}
    exec("import re\nfrom string import Formatter\n" + cell(slug).split("\n\n\nkeys = ")[0], scope)
    return scope


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    records = [record for _, record in islice(cypher_corpus(60, 3), 60)]
    wordings = chain.from_iterable(chain(*record["turns"]) for record in records)
    return train_tokenizer(chain((f"system\n{record['schema']}" for record in records), wordings), 1200)


def test_the_formula_counts_what_pytorch_counts(tokenizer: Any) -> None:
    parts_of: Callable[..., dict[str, int]] = defined("sizes")["parts_of"]
    config = BaseConfig(hidden=64, layers=3, heads=4, kv_heads=2, ffn=160)
    counted = sum(p.numel() for p in build_model(config, tokenizer).parameters())
    assert sum(parts_of(3, 64, 4, 2, 160, len(tokenizer)).values()) == counted


def test_the_full_size_has_the_published_shape() -> None:
    parts = defined("sizes")["parts_of"](layers=28, hidden=1536, heads=12, kv_heads=2, ffn=8960, vocabulary=151_936)
    published = shape_of("Qwen/Qwen2.5-1.5B-Instruct")
    assert parts["attention"] + parts["feed-forward"] == published.linear_weights
    assert sum(parts.values()) == pytest.approx(published.parameters, rel=1e-4)


def test_durations_in_words() -> None:
    duration = defined("cost-functions")["duration"]
    assert [duration(s) for s in (90, 600, 7 * 3600, 9 * 86400, 730 * 86400)] == [
        "90.0 seconds",
        "10.0 minutes",
        "7.0 hours",
        "9.0 days",
        "2.0 years",
    ]


def test_the_proof_would_find_a_reserved_query() -> None:
    pattern = defined("proof-patterns")["pattern"]
    schema, rng, missed, tried = load_schema("movies"), random.Random("proof"), [], 0
    for template in (t for t in templates().values() if t.benchmark):
        for _ in range(40):
            try:
                query = template.render(bind(template, schema, SampledValues(), rng))
            except NoBinding:
                continue
            tried += 1
            if not pattern(template.query).fullmatch(query):
                missed.append(query)
    assert tried > 300 and not missed


def test_exercise_1() -> None:
    assert nb10.check_1(2) is None
    assert "more" in nb10.check_1(1) and "MB" in nb10.check_1(3) and nb10.check_1(2.0) and nb10.check_1(True)


def test_exercise_2(tokenizer: Any) -> None:
    assert nb10.check_2("MATCH", tokenizer) is None
    assert nb10.check_2("Zebra", tokenizer) and nb10.check_2(" the", tokenizer) and nb10.check_2(5, tokenizer)


def test_exercise_3(tokenizer: Any) -> None:
    schema, record = next(cypher_corpus(1, 5, 2))
    assert nb10.check_3(record, schema, tokenizer, 1024) is None
    (question, query), second = record["turns"][:2]
    for wrong in (
        7,
        {"task": "cypher", "schema": schema.text()},
        record | {"schema": "(:Other)"},
        record | {"turns": [second]},
        record | {"turns": [second, [question, "MATCH (a:Nowhere) RETURN a.none AS none"]]},
        record | {"turns": [second, [question, "I do not know."]]},
    ):
        assert nb10.check_3(wrong, schema, tokenizer, 1024), wrong
    assert "Training cannot read it" in str(nb10.check_3(record, schema, tokenizer, 32))
