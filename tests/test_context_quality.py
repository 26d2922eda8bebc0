"""Schemas made larger and smaller, and EX against the length of the prompt on a real file and a real engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_nb.context import quality, schemas
from heimdall_nb.context.quality import Condition
from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.errors import BadInput

ITEMS = benchmark("graph")
LEGAL = next(item for item in ITEMS if item.graph == "legal").schema
own_schemas = st.sampled_from(sorted({item.schema for item in ITEMS}))


@settings(max_examples=20)
@given(own_schemas, st.integers(0, 40), st.sampled_from(schemas.PLACES), st.text("ab", max_size=3))
def test_a_larger_schema_holds_the_own_lines_in_order_and_so_many_others(
    own: str, number: int, place: str, seed: str
) -> None:
    lines = schemas.with_others(own, number, place, seed).splitlines()
    assert [line for line in lines if line in own.splitlines()] == own.splitlines()
    nodes = [schemas.labels_of(line)[0] for line in lines if len(schemas.labels_of(line)) == 1]
    assert len(nodes) == len({name.lower() for name in nodes}) == own.count("\n(:") + 1 - own.count("]->") + number
    ends = {name for line in lines if len(schemas.labels_of(line)) == 2 for name in schemas.labels_of(line)}
    assert ends <= set(nodes)
    kinds = [len(schemas.labels_of(line)) for line in lines]
    assert kinds == sorted(kinds)


def test_places_and_draws() -> None:
    def at(place: str) -> list[int]:
        lines = schemas.with_others(LEGAL, 12, place, "x").splitlines()[:16]
        return [k for k, line in enumerate(lines) if line in LEGAL]

    assert at("first") == [0, 1, 2, 3] and at("last") == [12, 13, 14, 15] and at("middle") == [6, 7, 8, 9]
    assert at("mixed") not in (at("first"), at("last"), at("middle"))
    eight, twelve = (set(schemas.with_others(LEGAL, n, "first", "x").splitlines()) for n in (8, 12))
    assert eight < twelve
    assert schemas.with_others(LEGAL, 8, seed="x") != schemas.with_others(LEGAL, 8, seed="y")
    assert schemas.with_others(LEGAL, 0) == LEGAL
    with pytest.raises(BadInput, match="no place"):
        schemas.with_others(LEGAL, 2, "above")
    with pytest.raises(BadInput, match="5000 labels are more"):
        schemas.with_others(LEGAL, 5000)


def test_pruning_keeps_what_shares_words_with_the_question() -> None:
    large = schemas.with_others(LEGAL, 24, seed="x")
    small = schemas.pruned(large, "Which lawyers argued cases with a claim above 100? Give bar number and docket.", 2)
    assert [schemas.labels_of(line) for line in small.splitlines()] == [
        ("CourtCase",),
        ("Lawyer",),
        ("Lawyer", "CourtCase"),
        ("CourtCase", "CourtCase"),
    ]
    assert set(small.splitlines()) <= set(large.splitlines())
    assert schemas.pruned(LEGAL, "anything", 4) == LEGAL
    assert schemas.names_in("(:`Court Case`)-[:HEARD_BY {heard: DATE}]->(:Judge)") == {
        "Court Case",
        "HEARD_BY",
        "Judge",
    }


def test_words_are_alike_through_plurals_accents_and_typing_errors() -> None:
    schema = "(:Región {nombre: STRING})\n(:Bottle {size: INTEGER})\n(:StudioAddress {street: STRING})"
    for question, label in {
        "how many regions": "Región",
        "adress of studios": "StudioAddress",
        "botles": "Bottle",
    }.items():
        assert schemas.rank(schema, question)[0] == label


def test_most_golds_survive_pruning() -> None:
    items = [item for item in benchmark("iid") if item.template != ""][::10]
    kept = [quality.kept_names(item, Condition(8, keep=4)) for item in items]
    assert sum(kept) / len(kept) > 0.85
    assert not all(quality.kept_names(item, Condition(8, keep=1)) for item in items)
    assert all(quality.kept_names(item, Condition(8)) for item in items)


def test_conditions_are_the_own_schema_sizes_with_their_remedy_places_and_turns() -> None:
    found = quality.conditions([16, 8, 32], ["first"], [4], 3)
    assert [c.name for c in found] == [
        "own schema",
        "8 other labels",
        "8 other labels, pruned to 3",
        "16 other labels",
        "16 other labels, pruned to 3",
        "32 other labels",
        "32 other labels, pruned to 3",
        "16 other labels, own first",
        "4 earlier turns",
    ]
    assert quality.conditions([], ["first"], [], 0) == [Condition()]


def test_earlier_turns_are_of_the_same_graph_and_another_template() -> None:
    item = ITEMS[0]
    turns = quality.asked(item, Condition(turns=5), ITEMS)
    assert [turn["role"] for turn in turns] == ["system", *["user", "assistant"] * 5, "user"]
    answers = {turn["content"] for turn in turns if turn["role"] == "assistant"}
    assert item.output not in answers
    assert answers <= {other.output for other in ITEMS if other.graph == item.graph}
    with pytest.raises(BadInput, match="500 are more than there are"):
        quality.asked(item, Condition(turns=500), ITEMS)


def test_items_are_spread_over_the_graphs() -> None:
    chosen = quality.spread(ITEMS, 8)
    assert sorted(item.graph or "" for item in chosen) == sorted(["legal", "recipes", "telecom", "winery"] * 2)
    assert quality.spread(ITEMS, 0) == ITEMS and quality.spread(ITEMS, 10**6) == ITEMS


def row(name: str, labels: int, tokens: int, value: float, high: float | None, **more: Any) -> dict[str, Any]:
    given = {"condition": name, "labels": labels, "place": "mixed", "turns": 0, "keep": 0, "tokens": tokens}
    given |= {"longest": tokens + 20, "ex": {"value": value, "low": value - 0.1, "high": value + 0.1}}
    change = None if high is None else {"mean": high - 0.05, "low": high - 0.1, "high": high}
    return given | {"difference": change} | more


def test_the_recommended_context_ends_where_a_loss_is_shown() -> None:
    rows = [row("own schema", 0, 300, 0.5, None), row("8", 8, 700, 0.48, 0.03), row("16", 16, 1200, 0.3, -0.1)]
    rows += [row("32", 32, 2200, 0.45, 0.02), row("pruned", 32, 300, 0.5, 0.1, keep=4)]
    found = quality.recommended(rows, 128)
    assert (found["tokens"], found["context"], found["lower_at"]) == (700, 1024, 1200)
    assert "At 1,200 tokens (16) it is lower: 30.0 % (20.0-40.0), -15.0 (-20.0 to -10.0) points." in found["reason"]
    assert "No larger schema was tried" in quality.recommended(rows[:2], 128)["reason"]
    alone = quality.recommended([rows[0], rows[2]], 128)
    assert alone["context"] == 512 and alone["reason"].startswith(
        "With prompts of 300 tokens (own schema) EX is 50.0 %"
    )


def test_a_real_file_is_asked_scored_and_resumed(tmp_path: Path) -> None:
    from heimdall_nb.export.gguf_file import write_gguf
    from heimdall_nb.models.shipped import MODELS

    file = write_gguf(MODELS / "heimdall-nano-base", tmp_path / "nano.gguf")
    knobs: dict[str, Any] = {"labels": [4], "places": [], "turns": [1], "keep": 2, "items": 2, "max_new_tokens": 24}
    found = quality.run(file, "graph", tmp_path / "out", **knobs)
    assert [r["condition"] for r in found["rows"]] == [
        "own schema",
        "4 other labels",
        "4 other labels, pruned to 2",
        "1 earlier turns",
    ]
    own, more, less, turns = found["rows"]
    assert less["tokens"] < own["tokens"] < turns["tokens"] < more["tokens"] and found["window"] == 1024
    assert all(
        r["items"] == 2 and 0 <= r["ex"]["low"] <= r["ex"]["value"] <= r["ex"]["high"] <= 1 for r in found["rows"]
    )
    assert "remedy" in less and own["difference"] is None
    answers = (tmp_path / "out" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(answers) == 8
    (tmp_path / "out" / "answers.jsonl").write_text(
        "".join(json.dumps(json.loads(line) | {"text": "MATCH (n) RETURN n"}) + "\n" for line in answers)
    )
    fewer = knobs | {"labels": [], "turns": []}
    again = quality.run(file, "graph", tmp_path / "out", **fewer)  # the answers are taken from the file
    assert all(r["ex"]["value"] == 0 for r in again["rows"])
    page = (tmp_path / "out" / "quality.md").read_text(encoding="utf-8")
    assert "| own schema |" in page and "![EX in percent by tokens" in page
    assert (tmp_path / "out" / "quality.png").stat().st_size > 5000


def test_bad_input_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.gguf"):
        quality.run(tmp_path / "none.gguf", "graph")
    with pytest.raises(BadInput, match="'above' is no place"):
        quality.conditions([8], ["above"], [], 0)
    with pytest.raises(BadInput, match="holds no query"):
        quality.measure(tmp_path / "none.gguf", [], tmp_path, [Condition()], 7)
