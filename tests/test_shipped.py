"""The models that the project ships: whole, within their size, and copied into a run once."""

from __future__ import annotations

from pathlib import Path

import pytest

from heimdall_nb.errors import BadInput
from heimdall_nb.models import shipped
from heimdall_nb.models.shipped import located, place
from heimdall_nb.presets import preset
from heimdall_nb.run import read_json, sha256

NANO = preset("nano")["03"]["base"]


def model(folder: Path, text: str = "weights") -> Path:
    """A folder that has what a model folder has; `place` looks at nothing else."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text(text)
    return folder


def test_the_shipped_base_is_complete_and_small() -> None:
    folder = shipped.MODELS / NANO
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "training.json"} <= names
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 20 * 2**20
    assert {"parameters", "vocabulary", "tokens"} <= set(read_json(folder / "training.json"))
    assert read_json(folder / "config.json")["tie_word_embeddings"] is True


def test_the_shipped_base_is_placed_by_name_and_answers(tmp_path: Path) -> None:
    from heimdall_nb.models.transformers_model import TransformersModel
    from heimdall_nb.prompts import conversation

    folder = place(NANO, tmp_path / "base")
    assert folder == tmp_path / "base" and sha256(folder) == sha256(shipped.MODELS / NANO)
    (answer,) = TransformersModel(folder).complete([conversation("How many?", "(:Person)")], max_new_tokens=3)
    assert answer.new_tokens and answer.prompt_tokens > 10


def test_an_unchanged_copy_is_left_alone_and_a_changed_one_replaced(tmp_path: Path) -> None:
    source, folder = model(tmp_path / "mine"), tmp_path / "run" / "base"
    place(str(source), folder)
    before = (folder / "config.json").stat().st_ino
    assert place(str(source), folder) == folder and (folder / "config.json").stat().st_ino == before
    (folder / "left_over").write_text("")
    (source / "model.safetensors").write_text("other weights")
    place(str(source), folder)
    assert sha256(folder) == sha256(source)
    assert [path.name for path in folder.parent.iterdir()] == ["base"], "a temporary folder is left"


def test_a_hub_id_is_returned_and_an_older_copy_removed(tmp_path: Path) -> None:
    folder = place(NANO, tmp_path / "base")
    assert place("Qwen/Qwen2.5-0.5B-Instruct", folder) == "Qwen/Qwen2.5-0.5B-Instruct"
    assert not folder.exists() and located("gpt2") is None


@pytest.mark.parametrize("name", ["empty", "missing", "file"])
def test_a_folder_that_is_no_model_is_bad_input(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    folder = model(tmp_path / "base")
    with pytest.raises(BadInput, match=name):
        place(str(tmp_path / name), folder)
    assert (folder / "config.json").is_file(), "the copy of before is lost"


@pytest.mark.parametrize("name", ["", ".", "..", "./none"])
def test_what_is_neither_model_nor_hub_id_is_bad_input(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        place(name, tmp_path / "base")
