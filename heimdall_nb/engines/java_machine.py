"""The Java machine of this process, and the databases in it; it starts with the first one."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heimdall_nb.errors import BadInput

HEAP = "HEIMDALL_JAVA_HEAP"  # variable that limits the memory of the Java machine; 512m where it is not set

STATEMENTS = 2000  # parsed statements that are kept: a suite runs each on many graphs, and parsing is half of the time

# -Xrs leaves signals to Python: with Java's own handler, ending this process by SIGTERM crashes it. No crash files.
# The quick compiler and the serial collector: many short statements on few cores gain nothing from the others' threads.
JAVA = (
    "-Xrs",
    "-XX:-CreateCoredumpOnCrash",
    f"-XX:ErrorFile={os.devnull}",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
)

_QUIET = """
handlers=java.util.logging.ConsoleHandler
.level=SEVERE
java.util.logging.ConsoleHandler.level=SEVERE
"""


def open_database(path: Path) -> Any:
    """The database in the folder `path`, made where there is none. Raises BadInput when the engine cannot start."""
    try:
        import arcadedb_embedded
        import jpype
    except ImportError as problem:
        what = f"the graph engine is not installed ({problem.name} is missing)"
        raise BadInput(what, "arcadedb-embedded", "Run: pip install arcadedb-embedded") from None
    try:
        if not jpype.isJVMStarted():
            _start_java()
        if arcadedb_embedded.database_exists(str(path)):
            return arcadedb_embedded.open_database(str(path))
        return arcadedb_embedded.create_database(str(path))
    except arcadedb_embedded.ArcadeDBError as problem:
        first = str(problem).splitlines()[0]
        remedy = "Run: pip install --force-reinstall arcadedb-embedded, and see that the folder can be written."
        raise BadInput(f"the graph engine does not start ({first})", str(path), remedy) from None


@contextmanager
def _standard_error_closed() -> Iterator[None]:
    """Java announces an incubator module on file descriptor 2; errors come as exceptions, so nothing is lost."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _start_java() -> None:
    from arcadedb_embedded import jvm

    with tempfile.TemporaryDirectory(prefix="heimdall-java-") as folder:
        settings = Path(folder) / "logging.properties"
        settings.write_text(_QUIET, encoding="utf-8")
        with _standard_error_closed():
            options = [f"-Djava.util.logging.config.file={settings}", *JAVA]
            jvm.start_jvm(heap_size=os.environ.get(HEAP, "512m"), jvm_args=options)
        import jpype

        configuration = jpype.JClass("com.arcadedb.GlobalConfiguration")
        for name in ("OPENCYPHER_LOAD_CSV_ALLOW_FILE_URLS", "OPENCYPHER_LOAD_CSV_ALLOW_REMOTE_URLS"):
            setting = getattr(configuration, name, None)
            if setting is None:
                logging.getLogger(__name__).warning("This ArcadeDB has no setting %s.", name)
            else:
                setting.setValue(False)
        for name in ("OPENCYPHER_STATEMENT_CACHE", "OPENCYPHER_PLAN_CACHE"):
            getattr(configuration, name).setValue(jpype.JInt(STATEMENTS))
        # The engine reads the settings file when it first asks whether to log.
        jpype.JClass("com.arcadedb.log.LogManager").instance().isLoggable(
            jpype.JClass("java.lang.Object"), jpype.JClass("java.util.logging.Level").INFO
        )
