"""Continued training: a base goes on from its own weights, resumes exactly, and refuses what it cannot train."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from heimdall_nb.dataset.classicmodels import classicmodels
from heimdall_nb.dataset.example import Example, load, save
from heimdall_nb.dataset.sql import generate_sql
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TURN_END
from heimdall_nb.run import sha256
from heimdall_nb.training import base as base_training
from heimdall_nb.training.base import build_model, train_base
from heimdall_nb.training.config import BaseConfig
from heimdall_nb.training.continued import ContinueConfig, _Continued, _load, continue_base
from heimdall_nb.training.rows import rows
from heimdall_nb.training.sequences import Tokens, encode

SMALL = BaseConfig(
    hidden=64, layers=1, heads=2, kv_heads=1, ffn=64, vocabulary=600, steps=2, batch_tokens=256, warmup=1, held_out=2,
    max_length=512, evaluate_every=2, checkpoint_every=2,
)  # fmt: skip
CONFIG = ContinueConfig(epochs=1.0, batch_size=2, questions_per_row=2, evaluations=4, max_length=2000, warmup=2)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A tiny base that has read Cypher, and SQL training and validation data."""
    folder = tmp_path_factory.mktemp("continued")
    turns = [[f"How old is Anna {n}?", f"MATCH (p:Person {{name: 'Anna {n}'}}) RETURN p.age"] for n in range(20)]
    lines = [json.dumps({"task": "cypher", "schema": "(:Person)", "turns": [turn]}) for turn in turns]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    train_base(folder / "corpus.jsonl", folder / "base", SMALL)
    examples = generate_sql(36, 7, SQLite(classicmodels(7)))
    return folder / "base", save(folder / "train.jsonl", examples[:30]), save(folder / "val.jsonl", examples[30:])


@pytest.fixture(scope="module")
def tokens(inputs: tuple[Path, Path, Path]) -> list[Tokens]:
    made = rows(load(inputs[1]), CONFIG.questions_per_row, CONFIG.seed)
    return encode(_load(inputs[0])[0], [row["messages"] for row in made], CONFIG.max_length)


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
    assert all(not after[name].equal(before[name]) for name in before)  # every weight goes on learning


def test_it_begins_with_the_bases_weights(inputs: tuple[Path, Path, Path], tokens: list[Tokens]) -> None:
    tokenizer, model = _load(inputs[0])
    training = _Continued(model, tokenizer, tokens, tokens[:1], CONFIG)
    begun = training.model.state_dict()
    assert all(begun[name].equal(weights) for name, weights in model.state_dict().items())
    assert not begun["lm_head.weight"].equal(build_model(training.config, tokenizer).state_dict()["lm_head.weight"])
    assert training.model.config.max_position_embeddings == model.config.max_position_embeddings == 2048


@pytest.mark.parametrize(("epochs", "size"), [(1.0, 2), (2.0, 2), (1.0, 5), (0.5, 3)])
def test_epochs_and_batch_size_keep_their_meaning(
    inputs: tuple[Path, Path, Path], tokens: list[Tokens], epochs: float, size: int
) -> None:
    """`size` rows a step on average, and each row `epochs` times."""
    config = replace(CONFIG, epochs=epochs, batch_size=size)
    training = _Continued(_load(inputs[0])[1], _load(inputs[0])[0], tokens, tokens[:1], config)
    read = Counter(n for batch in training.batches() for n in batch)
    assert sum(read.values()) == pytest.approx(epochs * len(tokens), abs=1.5 * size)
    assert max(read.values()) <= max(1, epochs) and (epochs < 1 or set(read.values()) == {int(epochs)})
    assert sum(read.values()) / training.config.steps == pytest.approx(size, rel=0.3)
    assert training.config.prompt_weight == 0


def test_rows_of_one_schema_are_spread_over_the_epoch(inputs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Batches keep the order of the rows, so the rows must not come schema by schema."""
    made = [
        Example("Write Cypher.", f"How old is Anna {n}?", f"RETURN {n}", "r", "small", graph="g", schema=f"s {n % 3}")
        for n in range(60)
    ]
    seen: list[str] = []

    class Stop(Exception):
        pass

    def first_look(self, batch):
        seen.extend(self.tokenizer.decode(s.ids).split("\n")[2].removesuffix(TURN_END) for s in self.sequences)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_training.Training, "learn", first_look)
        with pytest.raises(Stop):
            train = save(tmp_path / "train.jsonl", made)
            continue_base(inputs[0], train, inputs[2], tmp_path / "base", replace(CONFIG, questions_per_row=1))
    assert Counter(seen) == {"s 0": 20, "s 1": 20, "s 2": 20}
    assert len(list(groupby(seen))) > 20


def test_answers_that_do_not_fit_are_named(
    inputs: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadInput, match="max_length"):
        continue_base(*inputs, tmp_path / "base", replace(CONFIG, max_length=100))
    base, _, validation = inputs
    made = [Example("w", f"How old is {n}?" * 40 ** (n % 2), f"RETURN {n}", "r", "small", schema="s") for n in range(8)]
    settings = replace(CONFIG, questions_per_row=1, batch_size=4, evaluations=1)
    continue_base(
        base,
        save(tmp_path / "t.jsonl", made),
        save(tmp_path / "v.jsonl", made[:1]),
        tmp_path / "b",
        replace(settings, max_length=100),
    )
    assert "training data: 4 of 8 answers do not fit into 100 tokens" in capsys.readouterr().out


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
