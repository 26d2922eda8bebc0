"""The model in a process of its own: a crash or a hang of llama.cpp ends that process, and not the sequence."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from heimdall_nb.errors import BadInput
from heimdall_nb.hardware import die_with_parent
from heimdall_nb.sequence.settings import Settings
from heimdall_nb.sequence.written import CorruptState, Crashed, Hung, Written

GRACE = 10.0  # seconds after its time limit in which a process has to answer, before it is ended
LOADING = 600.0  # seconds in which a model has to be loaded

Serve = Callable[[Connection, str, Settings], None]


@dataclass(frozen=True)
class Failure:
    """What a process answers in place of a result."""

    kind: str  # corrupt or bad
    message: str
    where: str = ""
    remedy: str = ""


def serve(pipe: Connection, path: str, settings: Settings) -> None:
    """The process's work: load the model, then answer (method, arguments) from the pipe until it is closed."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    from heimdall_nb.sequence.engine import GoingOn

    try:
        model = GoingOn(path, settings)
    except BadInput as problem:
        pipe.send(Failure("bad", problem.what, problem.where, problem.remedy))
        return
    pipe.send(None)
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            break
        try:
            pipe.send(getattr(model, method)(*arguments))
        except CorruptState as problem:
            pipe.send(Failure("corrupt", str(problem)))
    model.close()


class ModelProcess:
    """A `GoingOn` in another process, with its methods; a context manager.

    Every call may raise Crashed or Hung, after which the next call starts another process, or CorruptState. BadInput is
    raised for what is no model. `serve` is what the process runs.
    """

    def __init__(self, path: Path, settings: Settings, serve: Serve = serve, grace: float = GRACE) -> None:
        self.path, self.settings, self.grace = path, settings, grace
        self._serve = serve
        self._process: Any = None
        self._pipe: Any = None
        self.started = 0  # processes so far

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of texts, by the model's own tokenizer."""
        return [self._call("tokens", (text,), 60.0) for text in texts]

    def answer(self, ids: Sequence[int], max_new: int, temperature: float, seed: int) -> Written:
        """See `GoingOn.answer`."""
        seconds = self.settings.timeout
        return self._call("answer", (ids, max_new, temperature, seed, seconds), seconds)

    def reset(self) -> None:
        """Empty the cache; where that fails, another process loads the model anew."""
        try:
            self._call("reset", (), 60.0)
        except (CorruptState, Crashed, Hung):
            self.reload()

    def reload(self) -> None:
        """End the process; the next call starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._pipe.close()
        self._process = self._pipe = None

    def __enter__(self) -> ModelProcess:
        return self

    def __exit__(self, *_: Any) -> None:
        self.reload()

    def _start(self) -> None:
        spawn = get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        arguments = (theirs, str(self.path), self.settings)
        self._process = spawn.Process(target=self._serve, args=arguments, name="heimdall-sequence", daemon=True)
        self._process.start()
        theirs.close()
        self.started += 1
        self._received(LOADING, "load the model")

    def _call(self, method: str, arguments: tuple[Any, ...], seconds: float) -> Any:
        if self._process is None:
            self._start()
        try:
            self._pipe.send((method, arguments))
        except OSError:
            self._crashed()
        return self._received(seconds + self.grace, method)

    def _received(self, seconds: float, what: str) -> Any:
        try:
            if not self._pipe.poll(seconds):
                self.reload()
                raise Hung(f"the process of the model did not {what} within {seconds:g} s, and was ended")
            found = self._pipe.recv()
        except (EOFError, OSError):
            self._crashed()
        if not isinstance(found, Failure):
            return found
        if found.kind == "bad":
            self.reload()
            raise BadInput(found.message, found.where, found.remedy)
        raise CorruptState(found.message)

    def _crashed(self) -> None:
        self._process.join(self.grace)
        code = self._process.exitcode
        self.reload()
        how = f"by signal {-code}" if code is not None and code < 0 else f"with status {code}"
        raise Crashed(f"the process of the model ended {how}")
