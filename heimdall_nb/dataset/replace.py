"""Replaces a file that someone may read, edit or correct at the same moment: whole or not at all, with a backup."""

from __future__ import annotations

import fcntl
import filecmp
import glob
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from heimdall_nb.dataset.jsonl import opened, printable
from heimdall_nb.errors import BadInput

_SUFFIX = ".correct.tmp"  # of files in the making; what a killed process left is removed by the next


class Replacement:
    """The right to replace one file, for as long as the `with` block lasts.

    Raises BadInput when the file cannot be read, or when another process holds the right.
    """

    def __init__(self, path: Path) -> None:
        self.given = path

    def __enter__(self) -> Replacement:
        self.handle = opened(self.given)
        self.path = Path(os.path.realpath(self.given))  # a link stays, what it points to is replaced
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.handle.close()
            raise BadInput("is being corrected by another process", printable(self.given), "Wait for it.") from None
        except OSError:
            pass  # a file system without locks: `_unchanged` still guards the file
        self.stamp = _stamp(os.fstat(self.handle.fileno()))
        self._unchanged()
        for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*{_SUFFIX}"):
            left.unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.handle.close()

    def replace(self, lines: Iterable[str]) -> Path | None:
        """Write `lines` in the place of the file and return its backup; None when they are what it holds already.

        Raises BadInput when the folder cannot be written, or the file was changed meanwhile.
        """
        temporary = self._temporary(self.path.name)
        try:
            with temporary.open("wb") as handle:
                handle.writelines(line.encode() for line in lines)
                _sync(handle.fileno())
            if filecmp.cmp(temporary, self.path, shallow=False):
                return None
            shutil.copymode(self.path, temporary)
            backup = self._back_up()
            self._unchanged()
            os.replace(temporary, self.path)
            self._sync_folder()
            return backup
        except OSError as problem:
            raise BadInput(
                f"cannot be replaced ({problem.strerror})", printable(self.given), "Nothing was changed."
            ) from None
        finally:
            temporary.unlink(missing_ok=True)

    def _back_up(self) -> Path:
        """Copy the file to a timestamped name; a backup that already holds the same bytes is used again."""
        for existing in sorted(self.path.parent.glob(f"{glob.escape(self.path.name)}.*.bak")):
            if filecmp.cmp(existing, self.path, shallow=False):
                return existing
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        backup = self.path.with_name(f"{self.path.name}.{stamp}.bak")
        temporary = self._temporary(backup.name)
        try:
            shutil.copy2(self.path, temporary)
            with temporary.open("rb") as handle:
                _sync(handle.fileno())
            os.replace(temporary, backup)
            self._sync_folder()
        finally:
            temporary.unlink(missing_ok=True)
        return backup

    def _unchanged(self) -> None:
        if _stamp(self.path.stat()) != self.stamp:
            what = "was changed by another process during the correction"
            raise BadInput(what, printable(self.given), "Nothing was written; correct it again.")

    def _temporary(self, name: str) -> Path:
        return self.path.with_name(f".{name}.{os.getpid()}{_SUFFIX}")

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            _sync(folder)
        finally:
            os.close(folder)


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError:  # a file system that cannot; the rename is atomic all the same
        pass
