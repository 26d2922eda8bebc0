"""The dry run: every preset's training is built from its configuration alone, offline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heimdall_nb import cli, presets, prompts
from heimdall_nb.dataset.example import load, save
from heimdall_nb.errors import BadInput
from heimdall_nb.model_shapes import configuration, empty_model, shapes
from heimdall_nb.models.shipped import MODELS
from heimdall_nb.run import DATA, read_json
from heimdall_nb.training.config import FinetuneConfig
from heimdall_nb.training.plan import plan

EXAMPLES = load(DATA / "benchmark" / "iid.jsonl")[:12]
PUBLISHED = {  # parameters, as the models' pages count them
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-1.5B-Instruct": 1_543_714_304,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "meta-llama/Llama-3.2-1B-Instruct": 1_235_814_400,
    "meta-llama/Meta-Llama-3-8B-Instruct": 8_030_261_248,
}


@pytest.mark.parametrize("name", shapes())
def test_shapes_give_the_published_number_of_parameters(name: str) -> None:
    model = empty_model(name)
    assert model.num_parameters() == PUBLISHED[name]
    assert all(p.is_meta for p in model.parameters())


def test_what_has_no_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"data/models.yaml"):
        configuration("Qwen/Qwen9-900B")
    with pytest.raises(BadInput, match="no config.json"):
        configuration(str(tmp_path))


def lora_parameters(base: str, rank: int) -> int:
    """By hand: rank × (inputs + outputs) of each linear layer, from the file's sizes."""
    s = shapes()[base]
    keys = s["hidden"] // s["heads"] * s["kv_heads"]
    if s["architecture"] == "phi3":  # queries, keys and values in one matrix, gate and up in another
        pairs = [(s["hidden"], s["hidden"] + 2 * keys), (s["hidden"], s["hidden"]), (s["hidden"], 2 * s["ffn"])]
    else:
        pairs = 2 * [(s["hidden"], s["hidden"])] + 2 * [(s["hidden"], keys)] + 2 * [(s["hidden"], s["ffn"])]
    return s["layers"] * rank * sum(map(sum, [*pairs, (s["ffn"], s["hidden"])]))


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_is_planned_offline(name: str) -> None:
    values = presets.preset(name)["03"]
    base, config = values["base"], FinetuneConfig.of(values)
    made = plan(base, EXAMPLES, config, questions=6000)
    outputs = {example.output + prompts.TURN_END for example in EXAMPLES}
    assert made.learnt
    assert {part + prompts.TURN_END for text in made.learnt for part in text.split(prompts.TURN_END)[:-1]} <= outputs
    assert made.first_row.startswith(prompts.TURN_START + "system")
    if base in shapes():
        assert made.facts["trained parameters"].startswith(f"{lora_parameters(base, config.lora_rank):,} ")
        assert made.facts["parameters"] == PUBLISHED[base]
        assert made.facts["rows"] == 6000 and made.facts["epochs"] == "4"
        rows_a_step = config.batch_size * config.accumulation
        assert made.facts["steps"] == pytest.approx(4 * 6000 / rows_a_step, abs=config.evaluations)
        assert "stand-in" in made.facts["tokenizer"]


def test_targets_are_resolved_or_refused() -> None:
    config = FinetuneConfig(lora_targets="q_proj, v_proj", questions_per_row=1)
    made = plan("heimdall-nano-base", EXAMPLES, config)
    assert made.facts["trained matrices"] == "q_proj × 5, v_proj × 5"
    whole = plan("heimdall-nano-base", EXAMPLES, replace(config, lora_targets="q_proj,v_proj,embed_tokens"))
    few, more = (int(p.facts["trained parameters"].split()[0].replace(",", "")) for p in (made, whole))
    shape = read_json(MODELS / "heimdall-nano-base" / "config.json")
    assert more - few == shape["vocab_size"] * shape["hidden_size"]
    assert whole.facts["trained matrices"].endswith("v_proj × 5, embed_tokens × 1")
    with pytest.raises(BadInput, match="lora_targets"):
        FinetuneConfig(lora_targets="embed_tokens")
    with pytest.raises(BadInput, match="lora_targets"):
        plan("microsoft/Phi-3-mini-4k-instruct", EXAMPLES, config)


def test_the_command_plans_own_files_with_replay_and_writes_nothing(tmp_path: Path) -> None:
    examples = load(DATA / "benchmark" / "iid.jsonl")
    mine, old = save(tmp_path / "mine.jsonl", examples[:40]), save(tmp_path / "old.jsonl", examples[200:260])
    command = ["train", "--preset", "llama3_8b", "--dry-run", "--strategy", "memory", "--set", "seed=3"]
    command += ["--dataset", str(mine), "--replay", str(old), "--replay-ratio", "0.25"]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, done.output
    facts = {line[:20].strip(): line[20:].strip() for line in done.output.splitlines() if len(line) > 20}
    assert facts["training questions"] == "48"  # 36 new ones after 4 for validation, and 12 old ones
    assert facts["rows a step"] == "1 × 16 × 1" and facts["seed"] == "3" and facts["epochs"] == "9"
    assert {path.name for path in tmp_path.iterdir()} == {"mine.jsonl", "old.jsonl"}
    with pytest.raises(BadInput, match="dataset"):
        CliRunner().invoke(cli.app, ["train", "--output", str(tmp_path / "a")], catch_exceptions=False)
    assert json.loads((tmp_path / "mine.jsonl").read_text().splitlines()[0])
