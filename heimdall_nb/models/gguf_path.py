"""Whether a path is a GGUF file; apart from what runs one, which takes half a second to import."""

from __future__ import annotations

from pathlib import Path

from heimdall_nb.errors import BadInput


def check_gguf(path: Path | str) -> Path:
    """The path of a GGUF file. Raises BadInput when there is none or it does not begin as one."""
    path = Path(path)
    try:
        with path.open("rb") as handle:
            magic = handle.read(4)
    except OSError as problem:
        what = f"cannot be read ({problem.strerror})"
        raise BadInput(what, str(path), "Give the path of a GGUF file; notebook 04 writes them.") from None
    if magic != b"GGUF":
        raise BadInput("is not a GGUF file", str(path), "Notebook 04 writes GGUF files from a trained model.")
    return path
