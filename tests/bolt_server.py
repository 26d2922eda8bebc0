"""The Bolt server of the ArcadeDB wheel, in a process of its own: `python tests/bolt_server.py FOLDER`.

Prints its port once it listens. It ends when its input does, and dies with its parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from heimdall_nb.hardware import die_with_parent

USER, PASSWORD, DATABASE = "root", "only-for-tests-7", "scratch"
COMMAND_TIMEOUT = 700  # milliseconds
WARM_UP = (
    "UNWIND [{a: 1}] AS row CREATE (n:Warm {k: 1}) SET n = row",
    "UNWIND [{a: 1}] AS row MATCH (a:Warm {a: row.a}) MATCH (b:Warm {a: row.a}) CREATE (a)-[r:UP]->(b) SET r = row",
    "MATCH (n) REMOVE n.a",
    "MATCH ()-[r]->() RETURN count(r)",
    "MATCH (n) DETACH DELETE n",
)
_QUIET = "handlers=\n.level=OFF\n"


@dataclass(frozen=True)
class Server:
    """Where a started server listens; `pid` is its process."""

    uri: str
    pid: int
    user: str = USER
    password: str = PASSWORD
    database: str = DATABASE


@contextlib.contextmanager
def started() -> Iterator[Server]:
    """A server in a temporary folder, killed at the end."""
    with tempfile.TemporaryDirectory(prefix="heimdall-bolt-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [sys.executable, __file__, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield Server(f"bolt://127.0.0.1:{int(process.stdout.readline())}", process.pid)
        finally:
            process.kill()
            process.wait()


def stop(server: Server) -> None:
    """Kill the server's process, as a crash would."""
    os.kill(server.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def main(folder: str) -> None:
    """Serve until the standard input ends."""
    die_with_parent()
    os.chdir(folder)  # the server writes its log below the working folder
    import arcadedb_embedded
    from arcadedb_embedded import jvm

    with open("logging.properties", "w", encoding="utf-8") as settings:
        settings.write(_QUIET)
    logging = f"-Djava.util.logging.config.file={settings.name}"
    jvm.start_jvm(heap_size="512m", jvm_args=[logging, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
    import jpype

    port = _free_port()
    server = arcadedb_embedded.create_server(
        root_path=folder,
        root_password=PASSWORD,
        config={
            "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
            "bolt_port": port,
            "http_port": _free_port(),
        },
    )
    server.start()
    try:
        database = server.create_database(DATABASE)
        with database.transaction():  # loads classes, which takes longer than a statement may
            for query in WARM_UP:
                database.command("opencypher", query)
        # The server's own setting is not asked on the way through Bolt: the process-wide one is.
        jpype.JClass("com.arcadedb.GlobalConfiguration").COMMAND_TIMEOUT.setValue(COMMAND_TIMEOUT)
        print(port, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()
    finally:
        server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
