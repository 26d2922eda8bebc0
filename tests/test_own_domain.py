"""Notebook 11: its domain keeps the protocol, its check trusts nobody, its exercises know right from wrong."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import nbformat
import pytest

from heimdall_nb import domains
from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput
from heimdall_nb.exercises import check
from heimdall_nb.run import notebook_path

CELLS = (
    "imports kinds words names-function check-functions drawn-function disagreements-function class mistakes".split()
)


@pytest.fixture(scope="module")
def notebook() -> Iterator[ModuleType]:
    """The notebook's definitions as a module, with its domain made known as the notebook does it."""
    sources = {cell.id: cell.source for cell in nbformat.read(notebook_path("11"), 4).cells}
    made = ModuleType("own_domain")
    sys.modules["own_domain"] = made
    vars(made)["names"] = 80  # a parameter
    for slug in [*CELLS, "register"]:
        exec(sources[f"11-{slug}"], vars(made))
    yield made
    del domains.DOMAINS["patterns"], sys.modules["own_domain"]


@pytest.fixture(scope="module")
def examples(notebook: ModuleType) -> list[Example]:
    return list(notebook.mine.examples(103, 7))


def test_the_shares_are_exact_and_the_bytes_the_same(notebook: ModuleType, examples: list[Example]) -> None:
    assert sorted(Counter(e.category for e in examples).values()) == [20, 20, 21, 21, 21]
    assert len({e.input for e in examples}) == 103 and {e.part for e in examples} == {"patterns"}
    assert [e.to_json() for e in notebook.mine.examples(103, 7)] == [e.to_json() for e in examples]
    assert [e.to_json() for e in notebook.mine.examples(103, 8)] != [e.to_json() for e in examples]


def test_all_names_together_catch_every_mistake(notebook: ModuleType, examples: list[Example]) -> None:
    assert domains.faults_of(examples) == [[]] * 103
    for what, mistake in notebook.MISTAKES.items():
        changed = [replace(e, output=mistake(e.output)) for e in examples if mistake(e.output) != e.output]
        assert len(changed) > 10 and all(domains.faults_of(changed)), what


def test_few_names_let_mistakes_pass(notebook: ModuleType) -> None:
    few = list(notebook.Patterns(names=2).examples(60, 7))
    changed = [replace(e, output=notebook.MISTAKES["a star added"](e.output)) for e in few if e.output[-1] != "*"]
    assert 0 < sum(map(bool, domains.faults_of(changed))) < len(changed) / 2


def test_the_check_does_not_believe_the_generator(notebook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(notebook.KINDS, "begin", ("begin with {head}", "*{head}*"))
    drafts = [notebook.mine.draft("begin", random.Random(number)) for number in range(20)]
    assert all(domains.faults_of(drafts))
    with pytest.raises(BadInput, match="only 0 examples"):
        list(notebook.mine.examples(1, 7))


def test_it_refuses_what_the_question_leaves_open(notebook: ModuleType) -> None:
    names = json.dumps(["mastor.csv", "mast_tor.csv", "mast.csv"])
    asked = "Give me all files whose names begin with mast and end with tor.csv."
    example = Example(notebook.TASK, asked, "mast*tor.csv", "begin and end", "small", part="patterns", answer=names)
    assert "nothing like mastor.csv" in domains.faults_of([example])[0][0]
    assert domains.faults_of([replace(example, output="*tor.csv", answer='["mast_tor.csv", "mastor.csv"]')]) == [[]]
    for unreadable in (replace(example, input="Give me all files."), replace(example, answer=None)):
        assert domains.faults_of([unreadable]) == [["input: asks for none of the file names"]]


def test_the_metric_compares_files_not_texts(examples: list[Example]) -> None:
    example = next(e for e in examples if e.category == "begin")
    head = example.output[:-1]
    answers = [example.output, f" {head}**\n", f"[{head[0]}]{head[1:]}*", head, "", "*", "MATCH (a) RETURN a", "[" * 96]
    assert domains.scores_of([example] * len(answers), answers) == [1, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("answer", ["seal?csv", "*l.csv", "seal.csv", "s*al.csv", "seal.*"])
def test_exercise_1_takes_wrong_patterns_that_pass(answer: str) -> None:
    assert check("11.1", answer, ["seal.csv", "sea.txt", "log_seal.md"]) is True


@pytest.mark.parametrize("answer", ["seal*", "[s]eal*", "*seal*", "s*", "*", "", 5])
def test_exercise_1_refuses(answer: Any) -> None:
    assert check("11.1", answer, ["seal.csv", "sea.txt", "log_seal.md"]) is False


def test_exercise_2() -> None:
    assert check("11.2", 600) is True
    assert [check("11.2", wrong) for wrong in (420, 0, -1400, 600.0, True, "600")] == [False] * 6


def test_exercise_3() -> None:
    def right(name: str, letter: str) -> bool:
        return not name.startswith(letter)

    assert check("11.3", ("[!{letter}]*", right)) is True
    for pattern in ("[!{letter}]", "[{letter}]*", "*", "{other}*", "![{letter}]*"):
        assert check("11.3", (pattern, right)) is False
    for test in (
        lambda name, letter: letter not in name,
        lambda name: True,
        lambda name, letter: name.startswith(letter),
    ):
        assert check("11.3", ("[!{letter}]*", test)) is False
    assert check("11.3", "[!{letter}]*") is False and check("11.3", None) is None
