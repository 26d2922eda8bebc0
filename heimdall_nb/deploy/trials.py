"""The deployed folder tried with the programs that can run it: the same question, and the answer of the file itself.

Only what is installed on this machine can be tried. What is not says so, here and in the folder's README.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heimdall_nb.deploy.serve import API_KEY
from heimdall_nb.errors import HeimdallError
from heimdall_nb.models.openai_client import OpenAIModel
from heimdall_nb.prompts import Conversation

State = Literal["same answer", "other answer", "failed", "untried"]
PATIENCE = 60.0  # seconds for a program to answer at its address


@dataclass(frozen=True)
class Program:
    """A program that serves the folder: `command` starts it at {port}, in the folder, with `environment`.

    `about` prints which version it is.
    """

    name: str
    executable: str
    about: tuple[str, ...]
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    after: tuple[str, ...] = ()  # once it runs, before it is asked


@dataclass(frozen=True)
class Trial:
    """What became of one program: its version, how it was started, and what it answered."""

    program: str
    version: str
    command: str
    state: State
    note: str


PROGRAMS = (
    Program(
        "heimdall serve",
        sys.executable,
        ("{python}", "-m", "heimdall_nb", "--version"),
        ("{python}", "-m", "heimdall_nb", "serve", "--model", "{model}", "--context", "{context}", "--port", "{port}"),
    ),
    Program(
        "llama.cpp's server",
        "llama-server",
        ("llama-server", "--version"),
        ("sh", "serve.sh"),
        (("PORT", "{port}"),),
    ),
    Program(
        "Ollama",
        "ollama",
        ("ollama", "--version"),
        ("ollama", "serve"),
        (("OLLAMA_HOST", "127.0.0.1:{port}"), ("OLLAMA_MODELS", "{scratch}")),
        ("ollama", "create", "{name}", "-f", "Modelfile"),
    ),
)
# What no script can try: (program, how it is used, why it was not tried).
BY_HAND = (
    ("LM Studio", "see README.md", "a desktop program, which no script starts"),
    ("NornicDB", "nornicdb serve --config nornicdb.yaml", "a server with a database, which this run does not start"),
)


def try_all(
    folder: Path, model: Path, context: int, question: Conversation, expected: str, max_tokens: int
) -> list[Trial]:
    """Each of PROGRAMS that is installed is started on the folder and asked; the rest is named as untried."""
    found = [_try(program, folder, model, context, question, expected, max_tokens) for program in PROGRAMS]
    return found + [Trial(program, "", command, "untried", reason) for program, command, reason in BY_HAND]


def _try(
    program: Program, folder: Path, model: Path, context: int, question: Conversation, expected: str, max_tokens: int
) -> Trial:
    shown = " ".join(program.command).format(
        python="python", model=f"models/{model.name}", context=context, port=8080, name=model.stem
    )
    shown = shown.replace("python -m heimdall_nb", "heimdall")
    shown = " && ".join([shown, *([" ".join(program.after).format(name=model.stem)] if program.after else [])])
    if not shutil.which(program.executable):
        return Trial(program.name, "", shown, "untried", f"{program.executable} is not installed here")
    version = _version(program)
    try:
        with running(program, folder, model, context) as address:
            said = _answer(address, model.stem, question, max_tokens)
    except (HeimdallError, OSError, subprocess.SubprocessError) as problem:
        return Trial(program.name, version, shown, "failed", " ".join(str(problem).split())[:200])
    state: State = "same answer" if said.strip() == expected.strip() else "other answer"
    return Trial(program.name, version, shown, state, said.strip()[:200])


def _version(program: Program) -> str:
    """The line in which a program says its version; empty where it says none."""
    try:
        settings = {"capture_output": True, "text": True, "errors": "replace", "timeout": PATIENCE}
        done = subprocess.run(_filled(program.about, {"python": sys.executable}), **settings)
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if any(map(str.isdigit, line))]
    return next((line for line in lines if "version" in line.lower()), lines[0] if lines else "")[:100]


@contextmanager
def running(program: Program, folder: Path, model: Path, context: int) -> Iterator[str]:
    """The base address of the started program; it is ended afterwards, with all that it started."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="heimdall-trial-") as scratch:
        fill = {"python": sys.executable, "model": str(model), "name": model.stem, "context": context, "port": port}
        fill |= {"scratch": scratch}
        environment = os.environ | {name: value.format(**fill) for name, value in program.environment}
        environment.pop(API_KEY, None)  # a key of the user's own server is not meant for this one
        with (Path(scratch) / "log").open("w+") as log:
            settings = {"cwd": folder, "env": environment, "stdout": log, "stderr": log, "start_new_session": True}
            process = subprocess.Popen(_filled(program.command, fill), **settings)
            try:
                _wait(process, port)
                if program.after:
                    settings = {"cwd": folder, "env": environment, "capture_output": True, "timeout": PATIENCE}
                    subprocess.run(_filled(program.after, fill), check=True, **settings)
                yield f"http://127.0.0.1:{port}/v1"
            finally:
                _end(process)


def _filled(command: Sequence[str], fill: dict[str, object]) -> list[str]:
    return [part.format(**fill) for part in command]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until something listens. Raises HeimdallError where the program ends before, or takes too long."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise HeimdallError(f"it ended with status {process.returncode} before it answered")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise HeimdallError(f"it did not answer within {PATIENCE:.0f} seconds")


def _answer(address: str, name: str, question: Conversation, max_tokens: int) -> str:
    """The program's answer; one that still loads its model is asked again."""
    with closing(OpenAIModel(address, name, key="", workers=1, timeout=PATIENCE, tries=8, first_wait=0.5)) as server:
        return server.ask(question, max_new_tokens=max_tokens).text


def _end(process: subprocess.Popen[bytes]) -> None:
    for what, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(process.pid, what)
            process.wait(patience)
            return
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
