"""The names by which notebook 04 calls the gate. Goes when the notebook calls `gate.export`."""

from __future__ import annotations

from pathlib import Path

from heimdall_nb.errors import HeimdallError
from heimdall_nb.export.gate import Record
from heimdall_nb.export.gate import examine as parity

__all__ = ["parity", "require"]


def require(record: Record) -> None:
    """Remove the file and raise HeimdallError when `parity` found a difference."""
    if not record["ok"]:
        Path(record["path"]).unlink(missing_ok=True)
        raise HeimdallError(f"{record['path']}: is not the model it was made from: {'; '.join(record['reasons'])}.")
