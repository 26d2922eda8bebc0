"""Functions proven right and mistakes proven wrong: both are run, many at a time, on cases drawn for each task."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heimdall_nb.domains.coding_mutants import mutants
from heimdall_nb.domains.coding_problems import Task
from heimdall_nb.domains.coding_run import Program, Result, can_run, run
from heimdall_nb.domains.coding_tests import Case
from heimdall_nb.domains.coding_values import call, canonical, draw, type_of
from heimdall_nb.domains.protocol import drawn_seed
from heimdall_nb.errors import HeimdallError

CANDIDATES = 14  # calls that are tried for a task
CASES = 6  # of them are kept
SHOWN = 60  # characters of a call that is shown in a question
MISTAKES = 4  # wrong versions of a function that are tried


@dataclass(frozen=True)
class Proven:
    """A function with calls and what they return; the first cases are the ones that questions show."""

    task: Task
    language: str
    code: str
    function: str
    types: tuple[str, ...]
    cases: tuple[Case, ...]
    check: str  # executed in this language, or parsed

    def call(self, place: int) -> str:
        """The call of a case."""
        return call(self.function, self.cases[place][0], self.types, self.language)


@dataclass(frozen=True)
class Wrong:
    """A wrong version of a function: its code, and what it returns for the cases that it fails (place -> value)."""

    code: str
    fails: dict[int, Any]


def prove(chosen: Sequence[Task], language: str, seed: int) -> list[Proven]:
    """The tasks whose results differ between calls, with their cases.

    Raises HeimdallError when a function fails, or returns something else than the Python function of its problem.
    """
    given = [_arguments(task, seed) for task in chosen]
    python = _results(chosen, given, "python")
    executed = can_run(language)
    own = _results(chosen, given, language) if executed and language != "python" else python
    found = []
    for task, arguments, right, results in zip(chosen, given, python, own, strict=True):
        for values, one, other in zip(arguments, right, results, strict=True):
            if one.error or other.error or not same(one.value, other.value):
                raise HeimdallError(f"{task.problem.name} in {language}: {values} gives {other}, in Python {one}.")
        types = tuple(type_of(kind) for kind in task.kinds().values())
        cases = _telling(task, list(zip(arguments, [item.value for item in right], strict=True)), types, language)
        if cases:
            check = "executed" if executed else "parsed"
            code, name = task.code(language), task.name(language)
            found.append(Proven(task, language, code, name, types, cases, check))
    return found


def mistakes(functions: Sequence[Proven], seed: int) -> list[list[Wrong]]:
    """For each function, wrong versions that return something else for a case; none of them blocks or breaks off.

    Where the language cannot be run they are not proven, and `Wrong.fails` is empty.
    """
    drawn = [_drawn_mutants(item, seed) for item in functions]
    if not functions or not can_run(functions[0].language):
        return [[Wrong(code, {}) for code in codes] for codes in drawn]
    calls = [tuple(item.call(place) for place in range(len(item.cases))) for item in functions]
    programs = [Program(code, own) for codes, own in zip(drawn, calls, strict=True) for code in codes]
    results = iter(run(functions[0].language, programs))
    found = []
    for item, codes in zip(functions, drawn, strict=True):
        tried = [(code, _failed(item, next(results))) for code in codes]
        found.append([Wrong(code, fails) for code, fails in tried if fails])
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same value, in whatever languages they were computed."""
    return canonical(one) == canonical([] if other is None else other)


def _arguments(task: Task, seed: int) -> list[list[Any]]:
    rng = random.Random(drawn_seed("coding arguments", task.key, seed))
    found = {}
    for _ in range(3 * CANDIDATES):
        values = [draw(kind, rng) for kind in task.kinds().values()]
        found.setdefault(json.dumps(values), values)
    return list(found.values())[:CANDIDATES]


def _results(chosen: Sequence[Task], given: Sequence[list[list[Any]]], language: str) -> list[list[Result]]:
    programs = []
    for task, arguments in zip(chosen, given, strict=True):
        types = [type_of(kind) for kind in task.kinds().values()]
        calls = tuple(call(task.name(language), values, types, language) for values in arguments)
        programs.append(Program(task.code(language), calls))
    return run(language, programs, seconds=10.0)


def _telling(task: Task, cases: list[Case], types: Sequence[str], language: str) -> tuple[Case, ...]:
    """Up to CASES cases, of different results first; none when all results are the same."""
    by_result: dict[str, list[Case]] = {}
    for case in cases:
        by_result.setdefault(canonical(case[1]), []).append(case)
    if len(by_result) < 2:
        return ()
    kept = [group.pop(0) for group in by_result.values()]
    kept += [case for group in by_result.values() for case in group]
    # Questions show long calls, not those of an empty list, but none that fills the page.
    lengths = [len(call(task.name(language), case[0], types, language)) for case in kept]
    order = sorted(range(min(CASES, len(kept))), key=lambda k: (lengths[k] > SHOWN, -lengths[k]))
    return tuple(kept[k] for k in order)


def _drawn_mutants(item: Proven, seed: int) -> list[str]:
    codes = [code for _, code in mutants(item.code, item.language)]
    rng = random.Random(drawn_seed("coding mistakes", item.task.key, item.language, seed))
    return rng.sample(codes, min(MISTAKES, len(codes)))


def _failed(item: Proven, results: Sequence[Result]) -> dict[int, Any]:
    """The cases that return something else; none where a call has no value at all."""
    if any(result.error for result in results):
        return {}
    places = range(len(item.cases))
    return {k: results[k].value for k in places if not same(item.cases[k][1], results[k].value)}
