"""How heimdall-nano-base is made: corpus, tokenizer, training and model card, in the time that is given."""

from __future__ import annotations

import time
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.dataset.corpus import EASY, EASY_SHARE, base_corpus, cypher_corpus, other_texts
from heimdall_nb.errors import BadInput
from heimdall_nb.progress import track
from heimdall_nb.run import read_json, sha256, write_json
from heimdall_nb.training.base import Training, train_base
from heimdall_nb.training.base_card import card
from heimdall_nb.training.config import BaseConfig
from heimdall_nb.training.report import move_into_place, temporary_folder
from heimdall_nb.training.sequences import encode, one_epoch, read_corpus, texts, write_corpus
from heimdall_nb.training.tokenizer import train_tokenizer

TRIAL = 400  # sequences from which speed and length are measured
TRIAL_STEPS = 6  # the first two, which build the code for new shapes, do not count
THINNED = 10  # steps of the loss curve that are kept as one point
SPARE = 0.94  # share of the time for training; the rest is for measuring and for checkpoints


def make_base(
    output: Path, work: Path, minutes: float = 170.0, steps: int = 0, seed: int = 7, **settings: Any
) -> dict[str, Any]:
    """Make a base model in the folder `output`, with its model card; returns what its `training.json` holds.

    `work` keeps plan, corpus and checkpoints: after a kill, the same call goes on where it was. The plan is made once,
    from the speed of this machine: as many `steps` as fit in `minutes`, and a corpus that they read once. With `steps`
    given nothing is measured, and the result can be repeated. `settings` are those of BaseConfig.
    Raises BadInput for a time in which not even a few steps fit.
    """
    plan = _plan(work, minutes, steps, seed, settings)
    config = BaseConfig(steps=plan["steps"], seed=seed, **settings)
    corpus = work / "corpus.jsonl"
    if not corpus.exists() or plan.get("corpus") != sha256(corpus):
        _write(corpus, plan["sequences"], seed)
        plan = read_json(write_json(work / "plan.json", plan | {"corpus": sha256(corpus)}))
    training = train_base(corpus, work / "model", config, other_texts())
    facts = _facts(training, config, plan)
    publish(work / "model", output, facts)
    return facts


def publish(model: Path, output: Path, facts: dict[str, Any]) -> None:
    """Write the model of folder `model` in bf16 to `output`, with tokenizer, training.json and model card."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = temporary_folder(output)
    AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    write_json(folder / "training.json", facts)
    (folder / "README.md").write_text(card(facts, {}), encoding="utf-8")
    move_into_place(folder, output)


def _plan(work: Path, minutes: float, steps: int, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    asked = {"minutes": minutes, "steps_asked": steps, "seed": seed, "settings": settings}
    known = work / "plan.json"
    if known.exists() and asked.items() <= (plan := read_json(known)).items():
        return plan
    trial = _trial(work / "trial.jsonl", BaseConfig(seed=seed, **settings), seed, measure=not steps)
    chosen = steps or int(SPARE * 60 * minutes / trial["seconds_a_step"])
    if not steps and chosen < TRIAL_STEPS:
        raise BadInput(f"is time for {chosen} steps", f"{minutes:g} minutes", "Give more time.")
    sequences = _sequences(chosen, trial["easy_a_step"], trial["sequences_a_step"])
    return read_json(write_json(known, asked | trial | {"steps": chosen, "sequences": sequences}))


def _sequences(steps: int, easy: float, full: float) -> int:
    """How many sequences so many steps read once, if a step reads `easy` or `full` of them."""
    after = steps - EASY / easy  # steps that are left for full ones
    total = EASY + max(0.0, after) * full
    if EASY > EASY_SHARE * total:
        total = steps / (EASY_SHARE / easy + (1 - EASY_SHARE) / full)
    return round(total) + 1


def _trial(path: Path, config: BaseConfig, seed: int, measure: bool) -> dict[str, float]:
    """How many easy and how many full sequences a step reads, and how many seconds it takes on this machine."""
    small, full = cypher_corpus(TRIAL, seed, easy=TRIAL), cypher_corpus(TRIAL, seed)
    write_corpus(path, (record for _, record in chain(small, full)))
    tokenizer = train_tokenizer(texts(read_corpus(path)), config.vocabulary)
    sequences = encode(tokenizer, read_corpus(path), config.max_length)
    parts = {"easy_a_step": sequences[:TRIAL], "sequences_a_step": sequences[TRIAL:]}
    steps = {name: one_epoch(part, config.batch_tokens, seed) for name, part in parts.items()}
    found = {name: len(part) / len(steps[name]) for name, part in parts.items()}
    if measure:
        training = Training(config, tokenizer, parts["sequences_a_step"], sequences[:1])
        some = steps["sequences_a_step"][-TRIAL_STEPS:]
        for batch in some[:2]:
            training.learn(batch)
        started = time.monotonic()
        for batch in some[2:]:
            training.learn(batch)
        found["seconds_a_step"] = (time.monotonic() - started) / len(some[2:])
    return found


def _write(path: Path, sequences: int, seed: int) -> None:
    from heimdall_nb.dataset.verified import FreshArcadeDB
    from heimdall_nb.engines.sqlite import SQLite

    with FreshArcadeDB() as graph:
        records = base_corpus(sequences, seed, graph, SQLite())
        write_corpus(path, track(records, "corpus of the base", total=sequences))


def _facts(training: dict[str, Any], config: BaseConfig, plan: dict[str, Any]) -> dict[str, Any]:
    """What training.json of a finished base holds: result, recipe and machine; the loss curve thinned out."""
    here, steps = hardware.machine(), training["history"]
    points = [steps[n : n + THINNED] for n in range(0, len(steps), THINNED)]
    history = [{"step": p[-1]["step"], "loss": round(sum(s["loss"] for s in p) / len(p), 4)} for p in points]
    return training | {
        "history": history,
        "config": asdict(config),
        "corpus": {"sequences": plan["sequences"], "seed": plan["seed"], "sha256": plan["corpus"]},
        "machine": f"{here['cpu']}, {here['cores']} cores" + (f", {here['gpu']}" if here["vram_gb"] else ""),
    }
