"""Runs functions of four languages in the sandbox, many in one child process; Go programs are built together."""

from __future__ import annotations

import atexit
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from heimdall_nb.domains.coding_problems import CODING
from heimdall_nb.domains.sandbox import Sandbox

# Time of one program: the processor's where that can be had, so that a busy machine changes nothing; else the clock's.
SECONDS = {"python": 0.3, "javascript": 1.0, "java": 1.0, "go": 1.0}
BATCH = 200  # programs that a child gets at a time
START = 20.0  # seconds that a child may take besides its programs: to start, to compile
_RUNNERS = CODING / "runners"
_DIED = "died"


@dataclass(frozen=True)
class Program:
    """The text of its files, and the calls whose values are asked for; `test` for a file of tests beside it."""

    source: str
    calls: tuple[str, ...]
    test: str = ""


@dataclass(frozen=True)
class Result:
    """What a call returned, or the name of what went wrong: timeout, died, compile, or an exception's."""

    value: Any = None
    error: str = ""


def can_run(language: str) -> bool:
    """Whether programs of the language can be run on this machine."""
    needed = {"python": (), "javascript": ("node",), "java": ("java", "javac"), "go": ("go",)}[language]
    return all(shutil.which(tool) for tool in needed)


def run(language: str, programs: Sequence[Program], seconds: float = 0.0) -> list[list[Result]]:
    """The results of each program's calls. A program that ends or blocks the child costs none of the others theirs.

    `seconds` is the time of one program; 0 for that of SECONDS.
    """
    found: list[list[Result]] = []
    seconds = seconds or SECONDS[language]
    for first in range(0, len(programs), BATCH):
        found += _batch(language, programs[first : first + BATCH], seconds)
    return found


def _batch(language: str, programs: Sequence[Program], seconds: float) -> list[list[Result]]:
    answer = _runner(language)(programs, seconds)
    if answer is not None:
        return [[Result(call.get("value"), call.get("error", "")) for call in calls] for calls in answer]
    if len(programs) == 1:
        return [[Result(error=_DIED)] * len(programs[0].calls)]
    middle = len(programs) // 2
    return _batch(language, programs[:middle], seconds) + _batch(language, programs[middle:], seconds)


def _runner(language: str) -> Any:
    return {"python": _python, "javascript": _javascript, "java": _java, "go": _go}[language]


@lru_cache(maxsize=4)
def _child(language: str) -> Sandbox:
    """The child process of a language, kept for the next batch."""
    command = {
        "python": [sys.executable, "-I", "-S", str(_RUNNERS / "runner.py")],
        "javascript": ["node", "--max-old-space-size=256", str(_RUNNERS / "runner.js")],
        "java": ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:-UsePerfData", str(_RUNNERS / "Runner.java")],
    }[language]
    child = Sandbox(command, address_space=language == "python")
    atexit.register(child.close)
    return child


def _asked(language: str, request: str, programs: Sequence[Program], seconds: float) -> list[Any] | None:
    answer = _child(language).ask(request.encode() + b"\n", START + 12 * seconds * len(programs))
    try:
        return json.loads(answer) if answer is not None else None
    except ValueError:
        return None


def _scripts(language: str, programs: Sequence[Program], seconds: float) -> list[Any] | None:
    items = [
        {"source": f"{program.source}\n\n{program.test}", "calls": program.calls, "test": bool(program.test)}
        for program in programs
    ]
    return _asked(language, json.dumps({"seconds": seconds, "items": items}), programs, seconds)


_python, _javascript = partial(_scripts, "python"), partial(_scripts, "javascript")


def _java(programs: Sequence[Program], seconds: float) -> list[Any] | None:
    lines = [f"{seconds} {len(programs)}"]
    for program in programs:
        calls = [
            f"static Object call{k}() throws Exception {{ {_java_call(call)} }}" for k, call in enumerate(program.calls)
        ]
        files = [program.source, *[program.test] * bool(program.test)]
        files.append("import java.util.*; class Calls { " + " ".join(calls) + " }")
        encoded = [base64.b64encode(text.encode()).decode() for text in files]
        lines.append(" ".join([str(len(program.calls)), *encoded]))
    return _asked("java", "\n".join(lines), programs, seconds)


def _java_call(call: str) -> str:
    """A test is a method without a value; all other calls have one."""
    return f"{call}; return null;" if call.startswith("SolutionTest.") else f"return Solution.{call};"


_GO_MAIN = """package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"time"
{imports})

func one(call func() any, found chan<- map[string]any) {{
	defer func() {{
		if problem := recover(); problem != nil {{
			found <- map[string]any{{"error": fmt.Sprintf("%T", problem)}}
		}}
	}}()
	found <- map[string]any{{"value": call()}}
}}

func all(calls []func() any, limit time.Duration) []map[string]any {{
	results := []map[string]any{{}}
	for _, call := range calls {{
		found := make(chan map[string]any, 1)
		go one(call, found)
		select {{
		case result := <-found:
			results = append(results, result)
		case <-time.After(limit):
			results = append(results, map[string]any{{"error": "timeout"}})
		}}
	}}
	return results
}}

func main() {{
	debug.SetMaxStack(64 << 20)
	out := os.Stdout
	os.Stdout, _ = os.Open(os.DevNull)
	fmt.Scanln()
	answers := map[string]any{{}}
{answers}	text, _ := json.Marshal(answers)
	fmt.Fprintln(out, string(text))
}}
"""
_GO_TESTS = """
func passes(test func(*testing.T)) bool {
	failed := make(chan bool, 1)
	go func() {
		t := &testing.T{}
		defer func() {
			problem := recover()
			failed <- t.Failed() || problem != nil
		}()
		test(t)
	}()
	if <-failed {
		panic("test failed")
	}
	return true
}
"""


def _go(programs: Sequence[Program], seconds: float) -> list[Any] | None:
    """Build all programs as packages of one binary, without those that do not compile, and run it in the sandbox."""
    with tempfile.TemporaryDirectory(prefix="heimdall-go-") as name:
        folder = Path(name)
        (folder / "go.mod").write_text("module batch\n\ngo 1.18\n")
        for number, program in enumerate(programs):
            _go_package(folder / f"p{number}", program)
        compiled = _go_build(folder, range(len(programs)), seconds)
        if compiled is None:
            return None
        with Sandbox([str(folder / "batch")], address_space=False) as child:
            answer = child.ask(b"\n", START + seconds * sum(len(program.calls) for program in programs))
    if answer is None:
        return None
    answers = json.loads(answer)
    return [answers.get(f"p{n}") or [{"error": "compile"}] * len(p.calls) for n, p in enumerate(programs)]


def _go_package(folder: Path, program: Program) -> None:
    folder.mkdir()
    (folder / "solution.go").write_text(_go_file(program.source))
    if program.test:
        (folder / "tests.go").write_text(_go_file(program.test))
    calls = "".join(f"\tfunc() any {{ return {_go_call(call)} }},\n" for call in program.calls)
    head, tail = ('import "testing"\n\n', _GO_TESTS) if program.test else ("", "")
    text = f"package solution\n\n{head}var Calls = []func() any{{\n{calls}}}\n{tail}"
    (folder / "calls.go").write_text(text)


def _go_file(source: str) -> str:
    """The file in package `solution`, whatever package it names or does not."""
    text, found = re.subn(r"(?m)^package \w+", "package solution", source, count=1)
    return text if found else f"package solution\n\n{source}"


def _go_call(call: str) -> str:
    return f"passes({call.removesuffix('(t)')})" if call.endswith("(t)") else call


def _go_build(folder: Path, numbers: Iterable[int], seconds: float) -> set[int] | None:
    """The numbers of the programs that are in the binary; None when nothing can be built."""
    left = set(numbers)
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "GOROOT", "GOCACHE") if key in os.environ}
    environment |= {"GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    while True:
        imports = "".join(f'\tp{n} "batch/p{n}"\n' for n in sorted(left))
        limit = f"time.Duration({int(seconds * 1e9)})"
        answers = "".join(f'\tanswers["p{n}"] = all(p{n}.Calls, {limit})\n' for n in sorted(left))
        unused = "" if left else "\t_ = all\n"
        (folder / "main.go").write_text(_GO_MAIN.format(imports=imports, answers=answers + unused))
        built = subprocess.run(
            ["go", "build", "-gcflags=-e", "-o", "batch", "."],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if built.returncode == 0:
            return left
        wrong = {int(n) for n in re.findall(r"(?m)^(?:# batch/)?p(\d+)/?", built.stdout + built.stderr)} & left
        if not wrong:
            return None
        left -= wrong
