"""The base models that the project ships, and the copy of one that a run works with."""

from __future__ import annotations

import shutil
from pathlib import Path

from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA, sha256
from heimdall_nb.training.report import move_into_place, temporary_folder

MODELS = DATA / "models"


def place(base: str, folder: Path) -> Path | str:
    """Copy the local model `base` to `folder` and return that; return any other `base`, a hub id, as it is.

    Local is the name of a folder in `MODELS`, or a path to another folder. A copy that is the same already is left
    alone; for a hub id an older copy is removed, since notebooks take the folder before the id. Raises BadInput for a
    local folder that is missing or has no config.json.
    """
    source = located(base)
    if source is None:
        shutil.rmtree(folder, ignore_errors=True)
        return base
    if not (source / "config.json").is_file():
        what = "is not a model folder (no config.json)" if source.is_dir() else "is missing"
        shipped = ", ".join(sorted(path.name for path in MODELS.iterdir() if path.is_dir()))
        raise BadInput(what, str(source), f"Give {shipped}, a model folder, or a hub id such as Qwen/Qwen2.5-0.5B.")
    if sha256(source) != sha256(folder):
        temporary = temporary_folder(folder)
        shutil.copytree(source, temporary, dirs_exist_ok=True)
        move_into_place(temporary, folder)
    return folder


def located(base: str) -> Path | None:
    """The folder of a local model: in `MODELS`, or elsewhere; None for what can only be a hub id."""
    if base and Path(base).name == base and (MODELS / base).is_dir():
        return MODELS / base
    path = Path(base).expanduser()
    # A hub id is `name` or `owner/name`; what begins otherwise or has more parts is a path, even where nothing is.
    looks_local = not base or base.startswith((".", "/", "~")) or base.count("/") > 1
    return path if path.is_dir() or looks_local else None
