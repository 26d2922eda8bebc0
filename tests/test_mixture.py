"""Datasets merged: their proportions, no question twice, the same list for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from heimdall_nb.dataset.example import Example, load, save
from heimdall_nb.dataset.mixture import mixture
from heimdall_nb.dataset.validate import validate
from heimdall_nb.errors import BadInput


def source(path: Path, name: str, numbers: range) -> Path:
    made = [
        Example("Answer a question about NornicDB.", f"What is {n}?", f"The number {n} of {name}.", name, "small")
        for n in numbers
    ]
    return save(path / f"{name}.jsonl", [example.with_id() for example in made])


@pytest.fixture()
def sources(tmp_path: Path) -> list[Path]:
    """100, 60 and 10 examples; the second asks 20 questions of the first."""
    return [
        source(tmp_path, "one", range(100)),
        source(tmp_path, "two", range(80, 140)),
        source(tmp_path, "three", range(200, 210)),
    ]


def test_weights_are_shares_and_no_question_comes_twice(sources: list[Path], tmp_path: Path) -> None:
    found = mixture(list(zip(sources, (6, 3, 1), strict=True)), 100, 7)
    assert Counter(example.category for example in found) == {"one": 60, "two": 30, "three": 10}
    assert len({example.input for example in found}) == 100
    assert not [e for e in found if e.category == "two" and int(e.input[8:-1]) < 100]  # the first source has these
    assert [e.category for e in found[:50]] != sorted(e.category for e in found[:50])  # not one after the other
    assert validate(save(tmp_path / "mixed.jsonl", found)).ok
    assert mixture([(sources[0], 1.0)], 0, 7) != load(sources[0])
    assert {e.id for e in mixture([(sources[0], 1.0)], 0, 7)} == {e.id for e in load(sources[0])}


def test_the_seed_alone_decides(sources: list[Path]) -> None:
    parts = [(sources[0], 2.0), (sources[1], 1.0)]
    first = mixture(parts, 50, 7)
    assert mixture(parts, 50, 7) == first
    other = mixture(parts, 50, 8)
    assert other != first and {e.id for e in other} != {e.id for e in first}


def test_a_small_source_is_repeated_only_when_asked(sources: list[Path], tmp_path: Path) -> None:
    parts = [(sources[0], 1.0), (sources[2], 1.0)]
    with pytest.raises(BadInput, match=r"three.jsonl.*has 10 different.*at most 21"):
        mixture(parts, 60, 7)
    assert len(mixture(parts, 0, 7)) == 21 and len(mixture(parts, 21, 7)) == 21
    found = mixture(parts, 60, 7, repeat=True)
    assert Counter(example.category for example in found) == {"one": 30, "three": 30}
    assert set(Counter(e.input for e in found if e.category == "three").values()) == {3}
    report = validate(save(tmp_path / "mixed.jsonl", found))
    assert report.ok and report.copies == 20 and len({example.id for example in found}) == 60


def test_what_cannot_be_mixed_is_refused(sources: list[Path], tmp_path: Path) -> None:
    for weights in ((1.0, 0.0), (1.0, -1.0), (1.0, float("nan"))):
        with pytest.raises(BadInput, match="positive"):
            mixture(list(zip(sources[:2], weights, strict=True)), 10, 7)
    with pytest.raises(BadInput, match="no example that the sources before"):
        mixture([(sources[0], 1.0), (source(tmp_path, "same", range(5)), 1.0)], 10, 7)
    with pytest.raises(BadInput, match="positive"):
        mixture([], 10, 7)
