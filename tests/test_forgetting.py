"""Continual learning: what a model learnt before is forgotten less when some of it is read again."""

from __future__ import annotations

from pathlib import Path

import tiny_model

from heimdall_nb.dataset.example import Example, save
from heimdall_nb.export.merge import merge
from heimdall_nb.training.config import FinetuneConfig
from heimdall_nb.training.finetune import evaluate_adapter, finetune
from heimdall_nb.training.material import prepare

CONFIG = FinetuneConfig(
    lora_rank=8, lora_alpha=16, load_in_4bit=False, precision="fp32", learning_rate=0.01, epochs=6, batch_size=4,
    questions_per_row=1, evaluations=1, max_length=256, lora_targets="all-linear,embed_tokens",
)  # fmt: skip
OLD, NEW = ("How old is {}?", "age"), ("Where does {} live?", "city")


def examples(kind: tuple[str, str], start: int, count: int) -> list[Example]:
    """Questions of one kind about persons, all different for different numbers."""
    asked, name = kind
    return [
        Example("Write", asked.format(n), f"MATCH (p:Person) RETURN p.{name}", "r", "small", schema="(:Person)")
        for n in range(start, start + count)
    ]


def test_replay_keeps_what_was_learnt_before(tmp_path: Path) -> None:
    """A model learns OLD, then NEW alone, or NEW with three in ten of OLD: as the options of `heimdall train` do it."""
    old, held = (save(tmp_path / f"old {n}.jsonl", examples(OLD, n, count)) for n, count in ((0, 40), (60, 8)))
    new, fresh = (save(tmp_path / f"new {n}.jsonl", examples(NEW, n, count)) for n, count in ((0, 40), (60, 8)))
    base = tiny_model.make_base(tmp_path / "base", hidden=64)
    finetune(base, old, held, tmp_path / "first", CONFIG)
    learnt = merge(base, tmp_path / "first", tmp_path / "learnt", through_4bit=False)
    forgotten, known = {}, {}
    for ratio in (0.0, 0.3):
        mixed, _ = prepare([str(new)], tmp_path / f"data {ratio}", 7, fresh, old if ratio else None, ratio)
        adapter = tmp_path / f"adapter {ratio}"
        known[ratio] = finetune(learnt, mixed, fresh, adapter, CONFIG)["evaluations"][-1]["loss"]
        forgotten[ratio] = evaluate_adapter(learnt, adapter, held)["loss"]
    assert max(known.values()) < 0.2, "both learnt the new kind"
    assert forgotten[0.3] < 0.5 < 1.0 < forgotten[0.0]
