"""Files of tests for functions of four languages, written from cases: calls with what they must return."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from heimdall_nb.domains.coding_problems import whole_file
from heimdall_nb.domains.coding_values import call, result_literal

Case = tuple[Sequence[Any], Any]  # arguments, result
_GO_RESULT = re.compile(r"^func \w+\(.*\) (\S+) \{$", re.MULTILINE)
_JAVA_RESULT = re.compile(r"^ *static (.+?) \w+\(", re.MULTILINE)


def test_name(function: str, language: str) -> str:
    """The name of the function that tests another: test_f, testF, or TestF in Go."""
    if language == "python":
        return f"test_{function}"
    return ("Test" if language == "go" else "test") + function[:1].upper() + function[1:]


def test_call(function: str, language: str) -> str:
    """The call that runs the tests of a function (coding_run.py knows what it needs)."""
    name = test_name(function, language)
    return {"go": f"{name}(t)", "java": f"SolutionTest.{name}()"}.get(language, f"{name}()")


def test_file(code: str, function: str, types: Sequence[str], cases: Sequence[Case], language: str) -> str:
    """A file that tests the function of `code` on all `cases`."""
    name = test_name(function, language)
    lines = [_check(code, call(function, given, types, language), result, language) for given, result in cases]
    body = "\n".join(f"    {line}" for text in lines for line in text.split("\n"))
    if language == "python":
        return f"def {name}():\n{body}"
    if language == "javascript":
        return whole_file(f'const assert = require("assert");\n\nfunction {name}() {{\n{body}\n}}', language)
    if language == "go":
        return whole_file(f"func {name}(t *testing.T) {{\n{body}\n}}", language)
    return whole_file(f"static void {name}() {{\n{body}\n}}", language, "SolutionTest")


def _check(code: str, called: str, result: Any, language: str) -> str:
    if language == "python":
        given = result_literal(result, language)
        return f"assert {called} is {given}" if isinstance(result, bool) else f"assert {called} == {given}"
    if language == "javascript":
        how = "deepStrictEqual" if isinstance(result, list | dict) else "strictEqual"
        return f"assert.{how}({called}, {result_literal(result, language)});"
    if language == "go":
        wanted = _go(result, _GO_RESULT.search(code)[1])
        differs = f"!reflect.DeepEqual(got, {wanted})" if isinstance(result, list | dict) else f"got != {wanted}"
        return f'if got := {called}; {differs} {{\n    t.Errorf("got %v", got)\n}}'
    wanted = _java(result, _JAVA_RESULT.search(code)[1])
    return f"if (!Objects.deepEquals(Solution.{called}, {wanted})) {{\n    throw new AssertionError();\n}}"


def _go(value: Any, kind: str) -> str:
    if not isinstance(value, list | dict):
        return result_literal(value, "go")
    return kind + _braces(value, kind)


def _braces(value: Any, kind: str) -> str:
    """A value of a type without the type's name, as Go and Java want it inside a larger literal."""
    if isinstance(value, dict):
        text, _, inner = kind.removeprefix("map[").partition("]")
        keys = (result_literal(key, "go") if text == "string" else key for key in value)
        return "{" + ", ".join(f"{k}: {_braces(v, inner)}" for k, v in zip(keys, value.values(), strict=True)) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(_braces(item, kind.removeprefix("[]")) for item in value) + "}"
    return result_literal(value, "go")


def _java(value: Any, kind: str) -> str:
    if kind.endswith("[]"):
        return f"new {kind} {_braces(value, kind)}"
    if isinstance(value, list):
        return f"List.of({', '.join(_java(item, '') for item in value)})"
    if isinstance(value, dict):
        numbers = kind.startswith("Map<Integer")
        flat = [f"{key if numbers else result_literal(key, 'java')}, {_java(v, '')}" for key, v in value.items()]
        return f"Map.of({', '.join(flat)})"
    return result_literal(value, "java")
