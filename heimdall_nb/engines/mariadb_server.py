"""A private MariaDB: a server of our own in a temporary folder, reached through a socket only, gone with its parent.

Run as a program, this module is the keeper: it makes the folder, starts `mariadbd`, prints where the socket is, and
waits for the end of its input. That comes when the parent closes it or dies in any way, `kill -9` included. Then the
keeper stops the server and removes the folder. A keeper that is itself killed takes the server along.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path

from heimdall_nb.errors import BadInput
from heimdall_nb.hardware import die_with_parent

PREFIX = "heimdall-mariadb-"  # of the temporary folder
REMEDY = (
    "On Debian or Ubuntu: apt-get install mariadb-server-core mariadb-client-core. "
    "Without it, name a server by HEIMDALL_SQL_URL, or use the embedded engine."
)
START = 120.0  # seconds that a start may take; alone on two cores it takes one or two
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
_SOCKET_LENGTH = 100  # bytes; the system allows 107 on Linux and 103 on macOS

# Bytes of the longest row, statement, and text that a function can make. A function on two texts can take the product
# of their lengths, during which the server does not look at its clock: 64 KiB bound that to a second.
LONGEST = 65_536
# No network, small memory, and no care for what a power failure would leave: nothing here outlives the process.
# Names of tables ignore case, as in the embedded engine; a MySQL server on Linux tells them apart.
OPTIONS = (
    "--skip-networking",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-fast-shutdown=2",
    "--skip-innodb-doublewrite",
    "--lower-case-table-names=1",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
    "--max-connections=20",
    f"--max-allowed-packet={LONGEST}",
    "--tmp-memory-table-size=16M",
    "--max-heap-table-size=16M",
    "--tmp-disk-table-size=64M",
    "--local-infile=0",
    "--sysdate-is-now",
    "--skip-name-resolve",
)


def missing() -> str:
    """What a private server lacks on this machine, in one sentence; "" when nothing is missing."""
    absent = [name for name in ("mariadbd", "mariadb-install-db") if not _program(name)]
    return f"MariaDB is not installed ({absent[0]} is missing)" if absent else ""


def _program(name: str) -> str | None:
    """The path of a program; those of system services are often outside of a user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))


class PrivateServer:
    """A running server. A context manager; its accounts have no password, its folder lets nobody else in.

    `socket` is the path to connect to as `root`, `pid` the server's process. Raises BadInput when there is no MariaDB
    on this machine, or when it does not start.
    """

    def __init__(self) -> None:
        if reason := missing():
            raise BadInput(reason, "MariaDB", REMEDY)
        # A session of its own: Ctrl-C in the terminal is for the parent, which then closes the server in order.
        keeper = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        self._finalizer = weakref.finalize(self, _end, keeper)
        line = keeper.stdout.readline()
        answer = json.loads(line) if line else {"error": "its keeper ended at once"}
        if "error" in answer:
            self.close()
            raise BadInput(f"the private server does not start: {answer['error']}", "MariaDB", REMEDY)
        self.socket, self.pid, self.keeper = str(answer["socket"]), int(answer["pid"]), keeper.pid

    def __repr__(self) -> str:
        return f"PrivateServer({self.socket!r})"

    def __enter__(self) -> PrivateServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and remove its folder; a second call does nothing."""
        self._finalizer()


def _end(keeper: subprocess.Popen[str]) -> None:
    for pipe in (keeper.stdin, keeper.stdout):
        pipe.close()
    keeper.wait()


class _Failed(Exception):
    """The server did not start; the text says why."""


def _start(folder: Path) -> subprocess.Popen[bytes]:
    """A server on the socket `folder`/s that answers. Raises _Failed."""
    data, log, place = folder / "data", folder / "error.log", folder / "s"
    if len(os.fsencode(place)) > _SOCKET_LENGTH:
        raise _Failed(f"the path {place} is too long for a socket (set TMPDIR to a short one)")
    (folder / "files").mkdir()
    # mariadbd does not run as root unless it is told to.
    user = ["--user=root"] if os.geteuid() == 0 else []
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    install = [_program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", *user, "--skip-test-db"]
    install += ["--auth-root-authentication-method=normal", "--innodb-log-file-size=8M", "--lower-case-table-names=1"]
    # A server that starts removes what temporary tables it finds, another installation's too: each has its own folder.
    install += [f"--tmpdir={folder}"]
    with log.open("wb") as output:
        done = subprocess.run(install, **{**quiet, "stdout": output}, preexec_fn=die_with_parent, timeout=START)
    if done.returncode:
        raise _Failed(_last_error(log) or f"mariadb-install-db ended with status {done.returncode}")
    command = [_program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={place}", *user, *OPTIONS]
    command += [f"--pid-file={folder / 'pid'}", f"--log-error={log}", f"--tmpdir={folder}"]
    command += [f"--secure-file-priv={folder / 'files'}"]
    server = subprocess.Popen(command, cwd=folder, preexec_fn=die_with_parent, **quiet)
    until = time.monotonic() + START
    while not _answers(place):
        if server.poll() is not None or time.monotonic() > until:
            server.kill()
            server.wait()
            raise _Failed(_last_error(log) or "it ended, or did not answer in time")
        time.sleep(0.02)
    return server


def _answers(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(str(place))
        except OSError:
            return False
    return True


def _last_error(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    # The reason of an installation has no brackets ("ERROR: 1051  Unknown table"), and "Aborting" is none.
    errors = [
        line.split("ERROR", 1)[1].lstrip("]: ") for line in lines if "[ERROR]" in line or line.startswith("ERROR:")
    ]
    reasons = [error for error in errors if error != "Aborting"]
    return reasons[-1][:200] if reasons else ""


def main() -> None:
    """Keep one server until the standard input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        try:
            server = _start(Path(folder))
        except (_Failed, OSError, subprocess.SubprocessError) as problem:
            print(json.dumps({"error": str(problem)}), flush=True)
            return
        try:
            print(json.dumps({"socket": str(Path(folder) / "s"), "pid": server.pid}), flush=True)
            sys.stdin.read()
        finally:
            server.kill()  # nothing in the folder is worth an orderly stop
            server.wait()


if __name__ == "__main__":
    main()
