"""The recipe of a base model at its smallest: plan, corpus, training, card, and going on after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heimdall_nb.errors import BadInput
from heimdall_nb.run import sha256
from heimdall_nb.training import recipe
from heimdall_nb.training.base_card import card

TINY = {"hidden": 64, "layers": 1, "heads": 2, "kv_heads": 1, "ffn": 64, "vocabulary": 700, "batch_tokens": 512}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """(model folder, work folder, facts) of a model of three steps."""
    folder = tmp_path_factory.mktemp("base")
    recipe.TRIAL, before = 12, recipe.TRIAL
    facts = recipe.make_base(folder / "tiny", folder / "work", steps=3, **TINY)
    recipe.TRIAL = before
    return folder / "tiny", folder / "work", facts


def test_the_model_loads_in_bf16_with_its_tokenizer(made: tuple[Path, Path, dict[str, Any]]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(made[0], dtype="auto")
    assert model.dtype == torch.bfloat16
    assert sum(p.numel() for p in model.parameters()) == made[2]["parameters"]
    assert len(AutoTokenizer.from_pretrained(made[0])) == made[2]["vocabulary"] <= 700


def test_plan_corpus_and_facts_agree(made: tuple[Path, Path, dict[str, Any]]) -> None:
    plan = json.loads((made[1] / "plan.json").read_text())
    assert plan["steps"] == 3 == made[2]["config"]["steps"]
    lines = (made[1] / "corpus.jsonl").read_text().splitlines()
    assert len(lines) == plan["sequences"] == made[2]["corpus"]["sequences"]
    assert sha256(made[1] / "corpus.jsonl") == plan["corpus"] == made[2]["corpus"]["sha256"]
    assert json.loads((made[0] / "training.json").read_text()) == made[2]


def test_the_same_call_again_trains_nothing(made: tuple[Path, Path, dict[str, Any]], capfd: Any) -> None:
    before = sha256(made[0] / "model.safetensors")
    assert recipe.make_base(made[0], made[1], steps=3, **TINY) == made[2]
    assert sha256(made[0] / "model.safetensors") == before
    assert "step" not in capfd.readouterr().out


def test_other_settings_are_another_plan(made: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    known = json.loads((made[1] / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(known))
    assert recipe._plan(tmp_path, 170.0, 3, 7, TINY) == known
    recipe.TRIAL, before = 12, recipe.TRIAL
    assert recipe._plan(tmp_path, 170.0, 4, 7, TINY)["steps"] == 4
    recipe.TRIAL = before


def test_minutes_become_steps_by_the_measured_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "TRIAL", 12)
    plan = recipe._plan(tmp_path, 1.0, 0, 7, TINY)
    assert plan["steps"] == int(recipe.SPARE * 60 / plan["seconds_a_step"])
    with pytest.raises(BadInput, match="0 steps"):
        recipe._plan(tmp_path, 0.0001, 0, 7, TINY)


def test_the_card_holds_hash_recipe_machine_and_scores(made: tuple[Path, Path, dict[str, Any]]) -> None:
    written = (made[0] / "README.md").read_text()
    assert made[2]["corpus"]["sha256"] in written
    assert made[2]["machine"] in written
    assert "Not measured yet" in written
    share = {"value": 0.5, "low": 0.4, "high": 0.6}
    scored = card(made[2], {"graph, best of 5": {"items": 300, "ex": share, "va": share, "floor": share}})
    assert "| graph, best of 5 | graphs that no training has | 300 | 50.0% (40.0% to 60.0%) | 50.0% | 50.0% |" in scored
    assert "Not measured yet" not in scored
