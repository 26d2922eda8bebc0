"""Generation: executed, not degenerate, deterministic, exactly as many as asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from heimdall_nb.dataset.example import faults, normalise
from heimdall_nb.dataset.generate import answer_hash, category_generator, degenerate, generate
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.dataset.validate import content_faults
from heimdall_nb.engines.graph import Rows
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.prompts import TASKS

GRAPHS = ["memory", "movies", "shop"]


@pytest.fixture(scope="module")
def made(two_engines: Any) -> list[Any]:
    return generate(240, 5, GRAPHS, two_engines)


def test_the_same_arguments_give_the_same_bytes(made: list[Any], two_engines: Any) -> None:
    again = generate(240, 5, GRAPHS, two_engines)
    assert [e.to_json() for e in again] == [e.to_json() for e in made]
    other = generate(24, 6, GRAPHS, two_engines)
    assert [e.input for e in other] != [e.input for e in made[:24]]


def test_examples_are_valid_records_in_even_shares(made: list[Any]) -> None:
    assert len(made) == 240
    assert set(Counter(e.graph for e in made).values()) == {80}
    assert len({e.style for e in made}) >= 4 and len({e.template for e in made}) > 60
    assert len({(e.graph, normalise(e.input)) for e in made}) == 240
    for example in made:
        assert not faults(vars(example)) and not list(content_faults(1, example))
        assert example.instruction == TASKS["cypher"] and example.id == example.with_id().id


def test_reads_give_the_recorded_answer_again(made: list[Any], arcadedb: Any) -> None:
    for name in GRAPHS:
        arcadedb.load(instantiate(load_schema(name), 5))
        reads = [e for e in made if e.graph == name and e.answer is not None]
        assert len(reads) > 50
        for example in reads:
            result = arcadedb.run(example.output)
            assert not degenerate(result)
            assert answer_hash(result, " ORDER BY " in example.output) == example.answer


def test_writes_are_refused_by_the_read_path_and_change_the_graph(made: list[Any], arcadedb: Any) -> None:
    counts = "MATCH (a) OPTIONAL MATCH (a)-[r]->() RETURN count(DISTINCT a) AS n, count(r) AS m"
    writes = [e for e in made if e.category == "write" and e.template in ("create_node", "delete_node", "merge_node")]
    assert writes
    for example in writes:
        arcadedb.load(instantiate(load_schema(example.graph), 5))
        before = arcadedb.run(counts)
        assert arcadedb.run(example.output).kind == "write"
        assert isinstance(arcadedb.run(example.output, write=True), Rows)
        assert arcadedb.run(counts) != before


def test_too_many_says_how_many_there_are(two_engines: Any) -> None:
    with pytest.raises(BadInput, match=r"only \d+ different examples of 500"):
        generate(500, 1, ["movies"], two_engines, only=["count"])
    for arguments in ((0, 1, ["movies"]), (5, 1, []), (5, 1, ["nothing"])):
        with pytest.raises(BadInput):
            generate(*arguments, two_engines)
    with pytest.raises(BadInput, match="no template"):
        generate(5, 1, ["movies"], two_engines, only=["nothing"])


def test_a_category_can_be_filled_up(made: list[Any], two_engines: Any) -> None:
    have = [e for e in made if e.category == "order"]
    more = category_generator(5, GRAPHS, lambda: two_engines)("order", 12, have)
    assert len(more) == 12 and {e.category for e in more} == {"order"}
    assert not {(e.graph, normalise(e.input)) for e in more} & {(e.graph, normalise(e.input)) for e in have}
    assert category_generator(5, GRAPHS, lambda: two_engines)("unheard of", 12, have) == []


def test_a_refused_query_stops_the_generation(two_engines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from heimdall_nb.dataset.templates import Template, templates

    wrong = vars(templates()["count"]) | {"query": "MATCH (a:{A}) RETRUN count(*) AS n"}
    monkeypatch.setattr("heimdall_nb.dataset.generate.templates", lambda part: {"count": Template(**wrong)})
    with pytest.raises(HeimdallError, match="RETRUN"):
        generate(1, 1, ["movies"], two_engines)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((), True),
        (((0,),), True),
        (((None,),), True),
        (((None, None), (None, None)), True),
        ((([],),), True),
        (((3,),), False),
        (((0,), (0,)), False),
        ((("a", None),), False),
    ],
)
def test_degenerate_results(rows: tuple[Any, ...], expected: bool) -> None:
    assert degenerate(Rows(("x",), rows)) is expected


def test_answer_hash_is_of_a_bag_unless_ordered() -> None:
    one, two = Rows(("x",), ((1,), (2,))), Rows(("y",), ((2.0,), (1,)))
    assert answer_hash(one, False) == answer_hash(two, False)
    assert answer_hash(one, True) != answer_hash(two, True)
    assert answer_hash(one, False) != answer_hash(Rows(("x",), ((1,), (2,), (2,))), False)
    lists = [Rows(("x",), ((items,),)) for items in (["a", "b"], ["b", "a"])]
    assert answer_hash(lists[0], False) == answer_hash(lists[1], False)
    assert answer_hash(Rows(("x",), (("1",),)), False) != answer_hash(Rows(("x",), ((1,),)), False)
