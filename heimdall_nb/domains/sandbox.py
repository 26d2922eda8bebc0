"""Programs that nobody has read run here: in a child process without network, environment or files to write.

The child has an empty folder, no variables but PATH, a limit on its memory, may write no file, and is ended with all
that it started when it takes too long. Network name spaces need a kernel that allows them: `without_network` says so.
What the child can do is read files that this user can read; it has no way to send them anywhere but back as its answer.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from time import monotonic
from typing import Any

from heimdall_nb.errors import HeimdallError

MEMORY = 1 << 30  # bytes of address space; for runtimes that reserve more than they use, `address_space=False`
LONGEST_ANSWER = 64 << 20  # bytes; a child that writes more is ended


@lru_cache(maxsize=1)
def without_network() -> tuple[str, ...]:
    """The beginning of a command that runs it without network, and ends with it all that it started.

    Empty where the kernel does not allow that.
    """
    command = ("unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--")
    if shutil.which("unshare") is None:
        return ()
    return command if subprocess.run([*command, "true"], capture_output=True).returncode == 0 else ()


class Sandbox:
    """A child that answers each line with a line, and is started anew after it died or was too slow."""

    def __init__(self, command: Sequence[str], address_space: bool = True) -> None:
        self.command, self.address_space = list(command), address_space
        self.child: subprocess.Popen[bytes] | None = None
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    def ask(self, request: bytes, seconds: float) -> bytes | None:
        """The child's line for a request (bytes that end in a newline); None when it died or took longer."""
        child = self._started()
        try:
            child.stdin.write(request)
            child.stdin.flush()
            answer = _line(child, monotonic() + seconds)
        except OSError:  # it died while it was written to
            answer = None
        if answer is None:
            self.close()
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self.child is not None and self.child.poll() is None:
            return self.child
        self.close()
        self.folder = tempfile.TemporaryDirectory(prefix="heimdall-sandbox-")
        try:
            self.child = subprocess.Popen(
                [*without_network(), *self.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self.folder.name,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": self.folder.name, "LANG": "C.UTF-8"},
                start_new_session=True,
                preexec_fn=self._limits,
            )
        except OSError as problem:
            raise HeimdallError(f"{self.command[0]} cannot be started ({problem.strerror}).") from None
        os.set_blocking(self.child.stdout.fileno(), False)
        return self.child

    def _limits(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.address_space:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    def close(self) -> None:
        """End the child and all that it started; a later `ask` starts another."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.communicate()
        if self.folder is not None:
            self.folder.cleanup()
        self.child = self.folder = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _line(child: subprocess.Popen[bytes], until: float) -> bytes | None:
    """The next line of a child's output; None when it ends, writes too much, or the time is over."""
    found = bytearray()
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            if not ready.select(max(0.0, until - monotonic())):
                return None
            block = os.read(child.stdout.fileno(), 1 << 20)
            found += block
            if not block or len(found) > LONGEST_ANSWER:
                return None
    return bytes(found)
