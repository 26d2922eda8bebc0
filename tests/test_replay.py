"""Replay: the base's own questions, on schemas that nothing else has, ready to be trained on or asked."""

from __future__ import annotations

from collections import Counter

import pytest

from heimdall_nb.dataset import split
from heimdall_nb.dataset.agreement import missing_literals
from heimdall_nb.dataset.example import Example, load, save
from heimdall_nb.dataset.replay import beside, fundamentals, replay
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS
from heimdall_nb.training.rows import rows


@pytest.fixture(scope="module")
def drawn() -> list[Example]:
    return replay(41, 7)


def test_exactly_so_many_and_the_same_for_the_same_seed(drawn: list[Example]) -> None:
    assert len(drawn) == 41 and len({example.id for example in drawn}) == 41
    assert replay(6, 7) == replay(6, 7) != replay(6, 8)
    assert replay(0, 7) == [] and fundamentals(0, 7) == []


def test_they_are_valid_examples_of_the_cypher_part(drawn: list[Example], tmp_path) -> None:
    assert load(save(tmp_path / "replay.jsonl", drawn)) == drawn
    for example in drawn:
        assert (example.part, example.category, example.check) == ("cypher", "replay", "parsed")
        assert example.instruction == TASKS["cypher"] and example.task == "cypher" and example.schema
        assert not missing_literals(example.input, example.output)


def test_a_row_reads_one_schema_for_its_questions(drawn: list[Example]) -> None:
    made = rows(drawn, 4, 7)
    questions = Counter(len(row["messages"]) // 2 for row in made)
    assert questions[4] >= 8 and len(made) <= 12
    by_question = {(example.schema, example.input) for example in drawn}
    for row in made:
        schema = row["messages"][0]["content"].partition("\n")[2]
        assert all((schema, m["content"]) in by_question for m in row["messages"] if m["role"] == "user")


def test_the_fundamentals_are_alone_on_schemas_that_no_replay_has(drawn: list[Example]) -> None:
    asked = fundamentals(30, 7)
    schemas = {example.schema for example in asked}
    assert len(schemas) == 30 and not schemas & {example.schema for example in drawn}
    kinds = ("WHERE", "ORDER BY", "count(", "]->(")
    assert all(any(kind in example.output for example in asked) for kind in kinds), "few kinds of query"


def test_old_questions_make_up_their_share() -> None:
    assert beside(850, 0.15) == 150 and beside(100, 0) == 0
    for share in (-0.1, 1.0):
        with pytest.raises(BadInput, match="replay"):
            beside(100, share)


@pytest.mark.parametrize(("number", "turns"), [(-1, 4), (4, 1)])
def test_impossible_numbers_are_bad_input(number: int, turns: int) -> None:
    with pytest.raises(BadInput):
        replay(number, 7, turns)
    with pytest.raises(BadInput):
        fundamentals(-1, 7)


def test_of_each_part_at_most_so_many_drawn_by_the_seed() -> None:
    made = [Example("i", f"q {n}", "a", "c", "small", part=("cypher", "plugins")[n % 3 == 0]) for n in range(30)]
    some = split.of_each_part(made, 12, 7)
    assert Counter(example.part for example in some) == {"cypher": 12, "plugins": 10}
    assert [e.part for e in some] == sorted(e.part for e in some)
    assert some == split.of_each_part(made, 12, 7) != split.of_each_part(made, 12, 8)
    places = [made.index(example) for example in some if example.part == "cypher"]
    assert places == sorted(places)


def test_validation_holds_each_part_of_the_mix_in_its_share() -> None:
    parts = {"cypher": 300, "nornicdb": 200, "plugins": 90, "troubleshooting": 10}
    made = [
        # An answer of the other parts has several wordings, which stay together.
        Example(
            "i", f"{part} {n}", f"{part} answer {n if part == 'cypher' else n // 5}", f"c{n % 4}", "small", part=part
        )
        for part, number in parts.items()
        for n in range(number)
    ]
    for seed in range(5):
        found = Counter(e.part for e in split.split(made, seed, 60, 0, 0, reads_only=False)["validation"])
        assert found.total() == 60
        assert all(abs(found[part] - number / 10) <= 5 for part, number in parts.items()), found
