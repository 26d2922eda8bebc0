"""Settings of a training: checked, read and written as YAML, changed by strategies and by the size of the dataset."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from heimdall_nb import presets
from heimdall_nb.errors import BadInput
from heimdall_nb.model_shapes import shapes
from heimdall_nb.models.shipped import located
from heimdall_nb.training.config import FinetuneConfig
from heimdall_nb.training.trainer import steps
from heimdall_nb.training.trouble import smaller

ISSUE = "nano smoke qwen_0_5b heimdall heimdall_mit phi3_mini tinyllama_1b qwen_1_5b llama3_1b llama3_8b custom".split()


def test_every_setting_is_a_knob_of_notebook_03_and_of_the_command() -> None:
    assert {field.name for field in fields(FinetuneConfig)} <= set(presets.knobs("03"))
    changed = presets.override(presets.preset("nano"), ["03.lora_rank=8", "scheduler=linear", "patience=2"])
    made = FinetuneConfig.of(changed["03"], max_length=99)
    assert (made.lora_rank, made.scheduler, made.patience, made.max_length) == (8, "linear", 2, 99)


@pytest.mark.parametrize("name", ISSUE)
def test_each_preset_is_a_valid_training_of_a_known_base(name: str) -> None:
    values = presets.preset(name)["03"]
    assert FinetuneConfig.of(values)
    assert located(values["base"]) or values["base"] in shapes()
    for strategy in presets.strategies():
        assert FinetuneConfig.of(presets.with_strategy(presets.preset(name), strategy)["03"])
    if values["base"] in shapes():
        assert presets.document()["presets"][name]["licence"] == shapes()[values["base"]]["licence"]
        assert presets.preset(name)["04"]["licence"] == shapes()[values["base"]]["licence"]
        assert values["max_length"] <= shapes()[values["base"]]["context"]


def test_strategies_change_what_they_say_and_keep_the_rows_of_a_step() -> None:
    before = presets.preset("heimdall")["03"]
    memory, speed, quality = (presets.with_strategy(presets.preset("heimdall"), s)["03"] for s in presets.strategies())
    assert (memory["batch_size"], memory["accumulation"]) == (1, before["batch_size"] * before["accumulation"])
    assert memory["load_in_4bit"] and memory["checkpointing"]
    assert (speed["batch_size"], speed["accumulation"], speed["load_in_4bit"]) == (16, 1, False)
    assert quality["lora_rank"] == 2 * before["lora_rank"] and quality["learning_rate"] == before["learning_rate"] / 2
    assert presets.with_strategy(presets.preset("nano"), "") == presets.preset("nano")
    with pytest.raises(BadInput, match="is not a strategy"):
        presets.with_strategy(presets.preset("nano"), "money")


@pytest.mark.parametrize(("questions", "epochs"), [(1, 9), (499, 9), (500, 6), (2000, 6), (2001, 4), (10**6, 4)])
def test_epochs_by_size(questions: int, epochs: float) -> None:
    assert FinetuneConfig(epochs=0.0).with_epochs(questions).epochs == epochs
    assert FinetuneConfig(epochs=2.5).with_epochs(questions).epochs == 2.5


def test_steps_end_with_an_evaluation_and_count_all_rows_of_a_step() -> None:
    assert steps(1000, FinetuneConfig(epochs=2, batch_size=5, evaluations=8)) == (400, 50)
    assert steps(1000, FinetuneConfig(epochs=2, batch_size=5, accumulation=2, evaluations=8), 2) == (96, 12)
    assert steps(3, FinetuneConfig(epochs=1, evaluations=6)) == (6, 1)


def test_yaml_out_and_in(tmp_path: Path) -> None:
    config = FinetuneConfig(lora_rank=4, precision="fp32", track="trackio", warmup=0, lora_targets="q_proj,v_proj")
    (tmp_path / "all.yaml").write_text(config.yaml())
    assert FinetuneConfig.read(tmp_path / "all.yaml") == config
    (tmp_path / "some.yaml").write_text("lora_rank: 16\n")
    assert FinetuneConfig.read(tmp_path / "some.yaml", config) == replace(config, lora_rank=16)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("lora_rnk: 4", "lora_rnk"),
        ("lora_rank: four", "lora_rank"),
        ("lora_rank: 1.5", "lora_rank"),
        ("load_in_4bit: 4", "load_in_4bit"),
        ("epochs: -1", "epochs"),
        ("scheduler: sine", "scheduler"),
        ("track: paper", "track"),
        ("lora_targets: 'a,,b'", "lora_targets"),
        ("- 3", "not a mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_wrong_yaml_names_file_and_field(text: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=word) as raised:
        FinetuneConfig.read(path)
    assert "settings.yaml" in str(raised.value)


def test_precision_follows_the_device_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for fast, where, chosen in ((True, "cuda", "bf16"), (False, "cuda", "fp16"), (False, "cpu", "fp32")):
        monkeypatch.setattr("heimdall_nb.hardware.fast_bf16", lambda fast=fast: fast)
        assert FinetuneConfig().arithmetic(where) == chosen
    assert FinetuneConfig().arithmetic("mps") == "fp32"
    assert FinetuneConfig(precision="bf16").arithmetic("cpu") == "bf16"
    with pytest.raises(BadInput, match="fp16"):
        FinetuneConfig(precision="fp16").arithmetic("cpu")


def test_advice_is_smaller_and_can_be_given_as_it_stands() -> None:
    config = FinetuneConfig(load_in_4bit=False, batch_size=4, max_length=2048)
    for text in smaller(config):
        sets = [f"03.{word}" for word in text.split(" (")[0].split() if word != "--set"]
        values = presets.preset("nano")
        values["03"] |= asdict(config)
        changed = FinetuneConfig.of(presets.override(values, sets)["03"])
        assert changed != config and changed.batch_size * changed.accumulation == 4
    assert len(smaller(config)) == 5
    least = replace(config, load_in_4bit=True, batch_size=1, max_length=512, lora_rank=8, checkpointing=True)
    assert smaller(least) == []
