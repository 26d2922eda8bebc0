"""Recommendations: names of machines and uses, the choice, the bounds of speed, and what counts as measured."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from heimdall_nb.cli import app
from heimdall_nb.errors import BadInput
from heimdall_nb.memory import estimate_inference, recommend, shape_of
from heimdall_nb.memory.machine import card, card_name, figures, named, usable
from heimdall_nb.memory.speed import speed

QWEN = "Qwen/Qwen2.5-0.5B-Instruct"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("RTX 3060 12GB", "RTX 3060"),
        ("nvidia geforce rtx 3060", "RTX 3060"),
        ("2080 ti", "RTX 2080 Ti"),
        ("A100 80 GB", "A100 40GB"),
        ("M2", "M1/M2/M3 Mac"),
        ("cpu", "CPU only"),
    ],
)
def test_machines_are_known_by_usual_names(said: str, meant: str) -> None:
    assert card_name(said) == meant


def test_a_size_in_the_name_is_the_memory() -> None:
    assert card("A100 80GB")["memory"] == 80 and card("A100 40GB")["memory"] == 40
    assert card("RTX 3080 12GB") == figures()["cards"]["RTX 3080"] | {"memory": 12}


@pytest.mark.parametrize(
    ("said", "words"), [("RTX 3060 Ti", "not in"), ("M1", "may be"), ("", "not in"), ("rtx", "or")]
)
def test_other_machines_are_refused_with_what_is_known(said: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as problem:
        card_name(said)
    assert "Raspberry Pi 4" in str(problem.value)


def test_uses_are_known_by_some_of_their_words() -> None:
    uses = figures()["uses"]
    assert named("query generation", uses, "--use-case") == "Cypher query generation"
    assert named("conversation", uses, "--use-case") == "Conversational assistant"
    with pytest.raises(BadInput, match="--use-case: 'poetry' is not"):
        named("poetry", uses, "--use-case")


def test_what_is_chosen_fits_and_is_fast_enough_or_the_reason_says_so() -> None:
    for spec in figures()["cards"].values():
        for use in figures()["uses"].values():
            best, reason = recommend.choose(spec, use)
            assert best and best.estimate.bytes <= 0.9 * usable(spec)
            assert best.context == use["context"] <= best.shape.context
            assert (best.seconds <= use["seconds"]) == ("this comes nearest" not in reason)
            if best.preset != use["preset"]:
                assert use["preset"] in reason


def test_a_machine_without_room_gets_nothing() -> None:
    use = figures()["uses"]["Simple MATCH/CREATE"]
    best, reason = recommend.choose(card("Raspberry Pi 4") | {"memory": 0.3}, use)
    assert best is None and "Nothing of qwen_0_5b fits into 0.3 GiB" in reason


def test_the_bounds_follow_from_bandwidth_and_arithmetic() -> None:
    shape = shape_of(QWEN)
    estimate = estimate_inference(shape, "Q4_K_M", 2048)
    machine = card("RTX 3060")
    found = speed(shape, estimate, machine, 2048, 2048)
    read = estimate.part("weights") + estimate.part("key-value cache")
    assert found.writing == pytest.approx(360e9 / read)
    assert found.reading == pytest.approx(25.5e12 / (2 * shape.linear_weights + 4 * 24 * 14 * 64 * 1024))
    assert found.seconds(100, 10) == pytest.approx(100 / found.reading + 10 / found.writing)
    assert speed(shape, estimate, machine, 16, 2048).writing > found.writing
    slow = speed(shape, estimate, machine | {"teraflops": 0.001}, 16, 2048)
    assert slow.writing < 2, "arithmetic bounds writing where it is the slower of the two"


def test_measured_points_are_marked_and_no_others() -> None:
    shape = shape_of(QWEN)

    def told(kind: str, context: int, where: str) -> str:
        return recommend.basis(shape, kind, context, where, estimate_inference(shape, kind, context, where=where))

    point = next(p for p in recommend.measured() if p["model"] == "Qwen2.5-0.5B")
    assert told("Q4_K_M", point["settings"]["context"], "cpu").startswith("measured: ")
    assert "x86 CPU at context" in told("Q4_K_M", 700, "cpu")
    assert told("Q8_0", 2048, "cpu") == told("Q4_K_M", 2048, "cuda") == "computed"


def test_the_verb_fills_the_three_matrices() -> None:
    done = CliRunner().invoke(app, ["recommend", "--hardware", "RTX 3060 12GB", "--json"])
    found = json.loads(done.stdout)
    assert found["hardware"] == "RTX 3060" and found["use case"] == "Cypher query generation"
    assert found["recommended"]["preset"] == "heimdall"
    assert len(found["by hardware"]) == len(figures()["cards"])
    assert [row["use"] for row in found["by use case"]] == list(figures()["uses"])
    assert [row["target"] for row in found["by deployment target"]] == list(figures()["targets"])
    shown = CliRunner().invoke(app, ["recommend", "--use-case", "autocomplete"]).stdout
    assert "CPU only (16 GB), Real-time autocomplete" in shown and "not forecasts" in shown
