"""Continued training: a base goes on from its own weights, resumes exactly, and refuses what it cannot train."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from heimdall_nb.dataset.classicmodels import classicmodels
from heimdall_nb.dataset.example import save
from heimdall_nb.dataset.sql import generate_sql
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput
from heimdall_nb.run import sha256
from heimdall_nb.training import base as base_training
from heimdall_nb.training.base import train_base
from heimdall_nb.training.config import BaseConfig
from heimdall_nb.training.continued import ContinueConfig, continue_base

SMALL = BaseConfig(
    hidden=32, layers=1, heads=2, kv_heads=1, ffn=64, vocabulary=320, steps=2, batch_size=2, warmup=1, held_out=2,
    max_length=512, evaluate_every=2, checkpoint_every=2,
)  # fmt: skip
CONFIG = ContinueConfig(epochs=1.0, batch_size=2, questions_per_row=2, evaluations=4, max_length=2000, warmup=2)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A tiny base that has read Cypher, and SQL training and validation data."""
    folder = tmp_path_factory.mktemp("continued")
    turns = [[f"How old is Anna {n}?", f"MATCH (p:Person {{name: 'Anna {n}'}}) RETURN p.age"] for n in range(20)]
    lines = [json.dumps({"schema": "(:Person)", "turns": [turn]}) for turn in turns]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    train_base(folder / "corpus.jsonl", folder / "base", SMALL)
    examples = generate_sql(36, 7, SQLite(classicmodels(7)))
    return folder / "base", save(folder / "train.jsonl", examples[:30]), save(folder / "val.jsonl", examples[30:])


@pytest.fixture(scope="module")
def undisturbed(inputs: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "base"
    continue_base(*inputs, folder, CONFIG)
    return folder


def test_it_starts_from_the_base_and_learns(inputs: tuple[Path, Path, Path], undisturbed: Path) -> None:
    report = json.loads((undisturbed / "training.json").read_text())
    losses = [entry["loss"] for entry in report["history"]]
    assert len(losses) >= 8 and losses[-1] < losses[0]
    assert report["evaluations"][-1]["answers"] == 6
    from transformers import AutoModelForCausalLM

    before, after = (AutoModelForCausalLM.from_pretrained(f).state_dict() for f in (inputs[0], undisturbed))
    moved = {name: float((after[name] - before[name]).abs().mean() / before[name].abs().mean()) for name in before}
    assert all(0 < share < 1 for share in moved.values()), moved  # other weights, but not new random ones


def test_what_is_done_is_not_done_again(
    inputs: tuple[Path, Path, Path], undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = json.loads((undisturbed / "training.json").read_text())
    monkeypatch.setattr(base_training.Training, "learn", None)  # a step would fail
    assert continue_base(*inputs, undisturbed, CONFIG) == report


def test_a_training_that_was_stopped_ends_the_same(
    inputs: tuple[Path, Path, Path], undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, steps = base_training.Training.learn, []

    def failing(self, batch):
        steps.append(batch)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return learn(self, batch)

    monkeypatch.setattr(base_training.Training, "learn", failing)
    with pytest.raises(KeyboardInterrupt):
        continue_base(*inputs, tmp_path / "base", CONFIG)
    assert not (tmp_path / "base").exists() and list((tmp_path / "checkpoints").glob("*.pt"))
    continue_base(*inputs, tmp_path / "base", CONFIG)
    assert sha256(tmp_path / "base" / "model.safetensors") == sha256(undisturbed / "model.safetensors")


def test_other_models_and_settings_are_bad_input(inputs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    base, train, validation = inputs
    shutil.copytree(base, tmp_path / "foreign")
    (tmp_path / "foreign" / "training.json").unlink()
    with pytest.raises(BadInput, match="not a base that this course has trained"):
        continue_base(tmp_path / "foreign", train, validation, tmp_path / "out", CONFIG)
    with pytest.raises(BadInput):
        continue_base(base, tmp_path / "none.jsonl", validation, tmp_path / "out", CONFIG)
    with pytest.raises(BadInput, match="positive"):
        replace(CONFIG, epochs=0.0)
