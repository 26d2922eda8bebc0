"""What is wrong with an example of domain `coding`, and how right a model's answer is: found by running the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from heimdall_nb.dataset.example import Example
from heimdall_nb.domains.coding_ask import asks, explanation
from heimdall_nb.domains.coding_facts import parses
from heimdall_nb.domains.coding_mutants import mutants
from heimdall_nb.domains.coding_problems import LANGUAGES
from heimdall_nb.domains.coding_prove import same
from heimdall_nb.domains.coding_run import Program, Result, can_run, run
from heimdall_nb.domains.coding_tests import test_call
from heimdall_nb.domains.coding_values import call

KILLED = 6  # mistakes that a file of tests is tried on
_FENCE = re.compile(r"```[a-z]*\n(.*?)\n?```", re.DOTALL)
T = TypeVar("T")


@dataclass
class Check(Generic[T]):
    """Programs to run, and what follows from their results."""

    judge: Callable[[list[list[Result]]], T]
    programs: list[Program] = field(default_factory=list)


@dataclass(frozen=True)
class Expected:
    """What the record's `answer` holds: the function's name, the types of its parameters, calls with their results."""

    function: str
    types: tuple[str, ...]
    cases: tuple[tuple[list[Any], Any], ...]
    language: str

    def program(self, code: str) -> Program:
        """The calls of all cases."""
        return Program(code, tuple(call(self.function, case[0], self.types, self.language) for case in self.cases))

    def tested(self, code: str, tests: str) -> Program:
        """The run of a file of tests."""
        return Program(code, (test_call(self.function, self.language),), tests)

    def passed(self, results: Sequence[Result]) -> int:
        """How many cases have the right result."""
        pairs = zip(self.cases, results, strict=True)
        return sum(not result.error and same(case[1], result.value) for case, result in pairs)


def verdicts(examples: Sequence[Example], checks: Sequence[Check[T]]) -> list[T]:
    """The verdict of each example's check; the programs of a language run together."""
    found: dict[int, T] = {}
    for language in sorted({example.dialect for example in examples}):
        places = [k for k, example in enumerate(examples) if example.dialect == language]
        programs = [program for k in places for program in checks[k].programs]
        results = iter(run(language, programs) if programs else [])
        found |= {k: checks[k].judge([next(results) for _ in checks[k].programs]) for k in places}
    return [found[k] for k in range(len(examples))]


def expected(example: Example) -> Expected | None:
    """What `answer` says; None where it does not have the form."""
    try:
        record = json.loads(example.answer or "")
        cases = tuple((list(given), result) for given, result in record["cases"])
        made = Expected(str(record["function"]), tuple(record["types"]), cases, example.dialect)
        made.program("")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return made if cases and example.dialect in LANGUAGES else None


def code_in(text: str) -> str:
    """The code of an answer or a question: its first block, or all of it where there is none."""
    found = _FENCE.search(text)
    return found[1] if found else text


def fault_check(example: Example) -> Check[list[str]]:
    """The check of an example: whether its code parses, and does what it is said to do."""
    wanted = expected(example)
    if wanted is None:
        return Check(lambda _: ["answer: holds no function with its calls and results in a known language"])
    if example.category == "explanation":
        return _explanation_check(example, wanted)
    known = {"generation": _solution_check, "bug fixing": _solution_check, "tests": _tests_check}
    if example.category not in known:
        return Check(lambda _: [f"category: {example.category!r} is not one of this domain"])
    if not parses(example.output, example.dialect):
        return Check(lambda _: [f"output: is no {LANGUAGES[example.dialect]}"])
    if not can_run(example.dialect):
        return Check(lambda _: [])
    return known[example.category](example, wanted)


def _solution_check(example: Example, wanted: Expected) -> Check[list[str]]:
    """The solution passes all cases; the code that is to be corrected does not."""

    def judge(results: list[list[Result]]) -> list[str]:
        passed, number = wanted.passed(results[0]), len(wanted.cases)
        found = [f"output: {number - passed} of {number} results are wrong"] * (passed < number)
        if len(results) > 1 and wanted.passed(results[1]) == number:
            found.append("input: the code has no mistake that a case finds")
        return found

    codes = [example.output, *[code_in(example.input)] * (example.category == "bug fixing")]
    return Check(judge, [wanted.program(code) for code in codes])


def _tests_check(example: Example, wanted: Expected) -> Check[list[str]]:
    """The function passes the tests, and a mistake in it does not."""

    def judge(results: list[list[Result]]) -> list[str]:
        first, *others = (calls[0].error for calls in results)
        found = [f"output: the function fails the tests ({first})"] if first else []
        return found + ["output: no mistake fails the tests"] * (not any(map(_failed, others)))

    code = code_in(example.input)
    codes = [code, *(wrong for _, wrong in mutants(code, example.dialect))]
    return Check(judge, [wanted.tested(text, example.output) for text in codes])


def _failed(error: str) -> bool:
    """Whether tests found a mistake; a program that blocks or does not compile shows nothing about them."""
    return error not in ("", "timeout", "compile", "died")


def _explanation_check(example: Example, wanted: Expected) -> Check[list[str]]:
    code = code_in(example.input)
    if example.style not in asks()["answers"] or not parses(code, example.dialect):
        return Check(lambda _: ["input: holds no function that can be explained"])

    def judge(results: list[list[Result]]) -> list[str]:
        if results and (number := len(wanted.cases) - wanted.passed(results[0])):
            return [f"answer: {number} of {len(wanted.cases)} results are wrong"]
        told = set(example.output.split("\n"))
        return [f"output: does not say {line!r}" for line in fact_lines(example, wanted) if line not in told]

    return Check(judge, [wanted.program(code)] if can_run(example.dialect) else [])


def fact_lines(example: Example, wanted: Expected) -> list[str]:
    """The lines of an explanation that can be computed from the code of its question."""
    parts = asks()["answers"][example.style]
    text = explanation(
        code_in(example.input), "", wanted.function, wanted.types, wanted.cases, example.dialect, example.style
    )
    return text.split("\n")["says" in parts :]


def score_check(example: Example, answer: str) -> Check[float]:
    """How right an answer is: 1 when all cases pass (code); the share of the facts that it states (explanations);
    the share of mistakes that its tests find, when the function passes them (tests). Code that cannot be run is 0.
    """
    wanted, code = expected(example), code_in(answer)
    if wanted is None:
        return Check(lambda _: 0.0)
    if example.category == "explanation":
        facts = fact_lines(example, wanted)
        told = {" ".join(line.split()) for line in answer.split("\n")}
        return Check(lambda _: sum(line in told for line in facts) / len(facts))
    if not can_run(example.dialect):
        return Check(lambda _: float(" ".join(code.split()) == " ".join(example.output.split())))
    if example.category == "tests":
        return _tests_score(example, wanted, code)
    return Check(lambda results: float(wanted.passed(results[0]) == len(wanted.cases)), [wanted.program(code)])


def _tests_score(example: Example, wanted: Expected, tests: str) -> Check[float]:
    """Of the first mistakes that the gold tests find, the share that these find."""
    code = code_in(example.input)
    codes = [code, *(wrong for _, wrong in mutants(code, example.dialect)[:KILLED])]

    def judge(results: list[list[Result]]) -> float:
        own, gold = results[: len(codes)], results[len(codes) :]
        killed = [k for k in range(1, len(codes)) if _failed(gold[k][0].error)]
        if own[0][0].error or not killed:
            return 0.0
        return sum(_failed(own[k][0].error) for k in killed) / len(killed)

    return Check(judge, [wanted.tested(text, file) for file in (tests, example.output) for text in codes])
