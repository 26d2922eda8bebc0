"""Domain `coding`: every example is run; what is made false is found; programs stay in the sandbox."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from heimdall_nb.dataset.example import Example
from heimdall_nb.domains import domain
from heimdall_nb.domains.coding_ask import signature
from heimdall_nb.domains.coding_check import code_in
from heimdall_nb.domains.coding_facts import facts, function_name, parses
from heimdall_nb.domains.coding_mutants import mutants, operators
from heimdall_nb.domains.coding_problems import LANGUAGES, problems, tasks
from heimdall_nb.domains.coding_prove import prove
from heimdall_nb.domains.coding_run import Program, can_run, run
from heimdall_nb.domains.coding_tests import test_call as call_of
from heimdall_nb.domains.coding_tests import test_file as file_of
from heimdall_nb.domains.coding_values import canonical, literal, result_literal
from heimdall_nb.domains.sandbox import without_network
from heimdall_nb.errors import BadInput

RUN = [
    pytest.param(language, marks=pytest.mark.skipif(not can_run(language), reason="no tools")) for language in LANGUAGES
]
ADD = {
    "python": "def add(a, b):\n    return a + b",
    "javascript": "function add(a, b) {\n  return a + b;\n}",
    "go": "package solution\n\nfunc add(a int, b int) int {\n\treturn a + b\n}",
    "java": "class Solution {\n    static int add(int a, int b) {\n        return a + b;\n    }\n}",
}
ENDLESS = {
    "python": "def add(a, b):\n    while True:\n        a += 1",
    "javascript": "function add(a, b) {\n  for (;;) { a += 1; }\n}",
    "go": "package solution\n\nfunc add(a int, b int) int {\n\tfor {\n\t\ta += 1\n\t}\n}",
    "java": "class Solution { static int add(int a, int b) { while (a != -1) { a += a % 2; } return a; } }",
}


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return list(domain("coding", language="python").examples(60, 7))


def of(examples: list[Example], category: str) -> Example:
    return next(example for example in examples if example.category == category)


def test_shares_are_exact_and_nothing_comes_twice(examples: list[Example]) -> None:
    assert Counter(e.category for e in examples) == {"generation": 24, "bug fixing": 18, "explanation": 12, "tests": 6}
    for view in (lambda e: e.id, lambda e: e.input.lower(), lambda e: (e.category, e.output)):
        assert len(set(map(view, examples))) == 60
    assert {e.check for e in examples} == {"executed"} and {e.dialect for e in examples} == {"python"}


def test_the_same_seed_gives_the_same_bytes(examples: list[Example]) -> None:
    again = domain("coding", language="python").examples(60, 7)
    assert [e.to_json() for e in examples] == [e.to_json() for e in again]


def test_all_are_true_and_golds_score_one(examples: list[Example]) -> None:
    coding = domain("coding")
    assert coding.many_faults(examples) == [[]] * 60
    assert coding.many_scores(examples, [e.output for e in examples]) == [1.0] * 60
    assert sum(coding.many_scores(examples[1:], [examples[0].output] * 59)) <= 1


@pytest.mark.parametrize("language", RUN[1:])
def test_other_languages_too(language: str) -> None:
    coding = domain("coding", language=language)
    made = list(coding.examples(10, 3))
    assert [e.check for e in made] == ["executed"] * 10
    assert coding.many_faults(made) == [[]] * 10 and coding.many_scores(made, [e.output for e in made]) == [1.0] * 10


def test_without_a_toolchain_examples_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("coding_prove", "coding_check"):
        monkeypatch.setattr(f"heimdall_nb.domains.{module}.can_run", lambda language: language == "python")
    coding = domain("coding", language="go")
    made = list(coding.examples(20, 3))
    assert {e.check for e in made} == {"parsed"} and coding.many_faults(made) == [[]] * 20
    assert {e.style for e in made if e.category == "bug fixing"} == {"review"}  # says no result that nobody has seen
    broken = replace(of(made, "generation"), output="package solution\n\nfunc f( {")
    assert coding.faults(broken) == ["output: is no Go"]


def test_what_is_made_false_is_found(examples: list[Example]) -> None:
    coding = domain("coding")
    solution, bug = of(examples, "generation"), of(examples, "bug fixing")
    wrong = replace(solution, output=re.sub(r"(?m)^    .*", "    return None", solution.output))
    assert "results are wrong" in coding.faults(wrong)[0]
    right = bug.input.replace(code_in(bug.input), bug.output)
    assert coding.faults(replace(bug, input=right)) == ["input: the code has no mistake that a case finds"]
    tests = of(examples, "tests")
    weak = re.sub(r"(?m)^    assert .*", "    assert True", tests.output)
    assert coding.faults(replace(tests, output=weak)) == ["output: no mistake fails the tests"]
    assert "the function fails the tests" in coding.faults(replace(tests, output=weak.replace("True", "False")))[0]
    told = of(examples, "explanation")
    line = told.output.split("\n")[-1]
    assert repr(line) in coding.faults(replace(told, output=told.output.replace(line, "")))[0]
    assert coding.faults(replace(told, answer="{}")) != [] and coding.faults(replace(told, dialect="cobol")) != []


def test_answers_are_scored_by_what_they_do(examples: list[Example]) -> None:
    coding = domain("coding")
    solution, bug = of(examples, "generation"), of(examples, "bug fixing")
    assert coding.score(solution, f"Here it is:\n```python\n{solution.output}\n```\nGood luck!") == 1
    assert coding.score(bug, code_in(bug.input)) == 0  # the code with the mistake
    assert coding.score(solution, "while True: pass") == coding.score(solution, "") == 0
    told = next(e for e in examples if e.category == "explanation" and e.style == "structure")
    assert coding.score(told, told.output.rpartition("\n")[0]) == pytest.approx(4 / 5)


def test_an_unknown_language_and_too_many_are_refused() -> None:
    with pytest.raises(BadInput, match="python, javascript, go, java"):
        domain("coding", language="ruby")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_problem_parses_in_every_language(language: str) -> None:
    for group in tasks().values():
        for task in (group[0], group[-1]):
            code = task.code(language)
            assert parses(code, language) and function_name(code, language) == task.name(language), code
            assert task.name(language) in signature(code, language)


@pytest.mark.parametrize("language", RUN)
def test_one_task_of_every_problem_agrees_with_python(language: str) -> None:
    chosen = [group[0] for group in tasks().values()]
    assert len(prove(chosen, language, 5)) > 0.9 * len(chosen)  # `prove` raises where a result differs


@pytest.mark.parametrize("language", RUN)
def test_tests_pass_and_find_mistakes(language: str) -> None:
    cases = [([2, 3], 5), ([-1, 0], -1)]
    file = file_of(ADD[language], "add", ["int", "int"], cases, language)
    call = (call_of("add", language),)
    good, bad = run(
        language, [Program(ADD[language], call, file), Program(ADD[language].replace("+", "-"), call, file)]
    )
    assert not good[0].error and bad[0].error not in ("", "compile", "timeout", "died")


@pytest.mark.parametrize("language", RUN)
def test_a_program_that_never_ends_costs_the_others_nothing(language: str) -> None:
    programs = [
        Program(code, ("add(1, 2)",)) for code in (ADD[language], ENDLESS[language], "no code {", ADD[language])
    ]
    found = run(language, programs)
    assert [result[0].value for result in found] == [3, None, None, 3]
    assert found[1][0].error == "timeout" and found[2][0].error


def test_programs_stay_in_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_TEACHER_KEY", "secret")
    attempts = {
        "import os\ndef f():\n    return sorted(os.environ)": None,
        "def f():\n    with open('x', 'w') as file:\n        file.write('more')": "OSError",
        "def f():\n    return len(' ' * (4 << 30))": "MemoryError",
        "import os\ndef f():\n    os._exit(0)": "died",
        "import socket\ndef f():\n    socket.create_connection(('192.0.2.1', 9), 5)": "OSError"
        * bool(without_network()),
    }
    found = [result[0] for result in run("python", [Program(code, ("f()",)) for code in attempts])]
    assert set(found[0].value) <= {"PATH", "HOME", "LANG", "LC_CTYPE"}
    assert [result.error for result in found[1:4]] == list(attempts.values())[1:4]
    assert found[4].error == "OSError" or not without_network()


FACTS = {
    "python": "def f(a, b=1):\n    for x in a:\n        if x:\n            return f(a[1:])\n    return 0",
    "javascript": "function f(a, b = 1) { for (const x of a) { if (x) { return f(a); } } return 0; }",
    "go": "package p\n\nfunc f(a []int, b int) int { for _, x := range a { if x > 0 { return f(a, b) } }; return 0 }",
    "java": "class S { static int f(int[] a, int b) { for (int x : a) { if (x > 0) { return f(a, b); } } return 0; } }",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_facts_are_counted_from_the_code(language: str) -> None:
    counted = {"Loop statements": "1", "Branches": "1", "Return statements": "2", "Recursion": "yes"}
    assert facts(FACTS[language], language) == {"Parameters": "a, b"} | counted
    assert facts(ADD[language], language)["Recursion"] == "no"


def test_mutants_differ_in_one_line_and_every_operator_is_used() -> None:
    used = set()
    for language in LANGUAGES:
        for task in (task for group in tasks().values() for task in [*group[:16:5], *group[1:2]]):
            code = task.code(language)
            for name, wrong in mutants(code, language):
                used.add(name)
                pairs = zip(code.splitlines(), wrong.splitlines(), strict=True)
                assert sum(a != b for a, b in pairs) == 1
    assert {operator.name for operator in operators()} - used == set()


def test_values_are_written_as_each_language_writes_them() -> None:
    assert literal([[1, 2], [3]], "matrix", "go") == "[][]int{{1, 2}, {3}}"
    assert (
        literal({"a": 1}, "counts", "java") == 'new TreeMap<>(Map.of("a", 1))'
        and literal(["a"], "texts", "java") == 'new String[] {"a"}'
    )
    assert result_literal([True, 'say "x"'], "python") == '[True, "say \\"x\\""]'
    assert result_literal({"0": [2]}, "python") == "{0: [2]}"
    assert canonical({"a": 2.0}) == canonical({"a": 2}) != canonical({"a": True})


def test_there_are_enough_problems_for_more_than_a_thousand_examples() -> None:
    assert len(problems()) >= 80 and sum(len(problem.bindings()) for problem in problems()) > 1000
