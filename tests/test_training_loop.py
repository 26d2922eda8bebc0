"""The training loop under real conditions: too little memory or disk, no hub, two processes, an early end."""

from __future__ import annotations

import http.server
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny_architectures
import tiny_model
import torch
from safetensors.torch import load_file

from heimdall_nb.dataset.example import Example, load, save
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.export.merge import merge
from heimdall_nb.models.transformers_model import add_adapter, load_weights
from heimdall_nb.run import ROOT, read_json, sha256
from heimdall_nb.training import material
from heimdall_nb.training.config import FinetuneConfig
from heimdall_nb.training.finetune import evaluate_adapter, finetune

CONFIG = FinetuneConfig(
    lora_rank=4, lora_alpha=8, epochs=1, batch_size=4, questions_per_row=1, evaluations=2, max_length=256
)
WEIGHTS = "adapter_model.safetensors"


def questions(start: int, count: int) -> list[Example]:
    """Questions with their queries; all different for different numbers."""
    return [
        Example(
            "Write",
            f"How old is {n}?",
            f"MATCH (p:Person {{name: '{n}'}}) RETURN p.age",
            "r",
            "small",
            schema="(:Person)",
        )
        for n in range(start, start + count)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make_base(tmp_path_factory.mktemp("tiny") / "base", hidden=64)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("data")
    return save(folder / "train.jsonl", questions(0, 32)), save(folder / "validation.jsonl", questions(50, 6))


@pytest.fixture(scope="module")
def whole(base: Path, data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter whose training nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "adapter"
    finetune(base, *data, folder, CONFIG)
    return folder


def test_watched_answers_change_nothing_and_are_reported(
    base: Path, data: tuple[Path, Path], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = finetune(base, *data, tmp_path / "adapter", replace(CONFIG, watched=3))
    assert sha256(tmp_path / "adapter" / WEIGHTS) == sha256(whole / WEIGHTS)
    assert [row["right"] for row in done["evaluations"]] == [0, 0]
    said = capsys.readouterr().out
    assert "0 of 3 watched answers are exact" in said and "How old is 5" in said and "gold     MATCH" in said
    events = list((tmp_path / "tensorboard" / "adapter").glob("events*"))
    assert events and b"eval/right" in events[0].read_bytes() and b"train/loss" in events[0].read_bytes()
    assert FinetuneConfig.read(tmp_path / "adapter" / "settings.yaml") == replace(CONFIG, watched=3)


def test_an_adapter_alone_is_evaluated_to_the_loss_of_its_training(
    base: Path, data: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    found = evaluate_adapter(base, whole, data[1])
    best = min(row["loss"] for row in read_json(whole / "training.json")["evaluations"])
    assert found["loss"] == pytest.approx(best, abs=2e-5)
    assert found["asked"] == 6 and found["right"] == 0 and found["answers"][0]["gold"].startswith("MATCH")
    with pytest.raises(BadInput, match="is not an adapter"):
        evaluate_adapter(base, tmp_path, data[1])


def test_all_settings_reach_the_training(base: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    """LoRA in full numbers on some layers, with all that is off by default; it ends when nothing improves."""
    config = replace(
        CONFIG, load_in_4bit=False, precision="fp32", lora_targets="q_proj,v_proj", accumulation=2, packing=True,
        checkpointing=True, scheduler="constant_with_warmup", weight_decay=0.1, clipping=0.5, learning_rate=0.02,
        epochs=8, evaluations=4, patience=1, max_length=512,
    )  # fmt: skip
    other = [replace(example, output="zzz qqq jjj xxx www") for example in questions(70, 3)]  # worse with each step
    validation = save(tmp_path / "other.jsonl", other)
    done = finetune(base, data[0], validation, tmp_path / "adapter", config)
    assert done["best_step"] < done["steps"] < done["planned_steps"], done["evaluations"]
    names = {name.split(".")[-3] for name in load_file(tmp_path / "adapter" / WEIGHTS)}
    assert names == {"q_proj", "v_proj"} and done["precision"] == "fp32"
    with pytest.raises(BadInput, match="lora_targets"):
        finetune(base, *data, tmp_path / "other", replace(CONFIG, lora_targets="qkv_proj"))
    with pytest.raises(BadInput, match="wandb is not installed"):
        finetune(base, *data, tmp_path / "other", replace(CONFIG, track="wandb"))


def test_a_base_without_our_tokens_gets_them_and_trains_them(data: tuple[Path, Path], tmp_path: Path) -> None:
    bare = tiny_architectures.make(tmp_path / "llama3", "llama3", chatml=False, hidden=64)
    finetune(bare, *data, tmp_path / "run" / "adapter", CONFIG)
    assert (tmp_path / "run" / "base" / "chat_tokens.json").is_file()
    assert any("trainable_tokens" in name for name in load_file(tmp_path / "run" / "adapter" / WEIGHTS))


def test_embeddings_are_trained_whole_and_stay_the_output_layer(
    base: Path, data: tuple[Path, Path], tmp_path: Path
) -> None:
    """Their change arrives in the merged model, whose answers are those of the adapter."""
    from transformers import AutoModelForCausalLM

    config = replace(CONFIG, lora_targets="all-linear,embed_tokens", load_in_4bit=False, precision="fp32")
    done = finetune(base, *data, tmp_path / "adapter", config)
    assert done["trainable"] == finetune(base, *data, tmp_path / "few", replace(config, lora_targets="all-linear"))[
        "trainable"
    ] + embeddings(base).numel()  # fmt: skip
    merge(base, tmp_path / "adapter", tmp_path / "merged", through_4bit=False)
    moved = (embeddings(tmp_path / "merged") - embeddings(base)).abs().max()
    assert moved > 1e-4
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert merged.get_input_embeddings().weight is merged.get_output_embeddings().weight
    beside = add_adapter(load_weights(base, torch.float32, "cpu"), tmp_path / "adapter").eval()
    ids = torch.arange(3, 40)[None]
    torch.testing.assert_close(merged(ids).logits, beside(ids).logits, atol=2e-4, rtol=1e-4)


def embeddings(folder: Path) -> torch.Tensor:
    """The embeddings of the model in `folder`."""
    return load_weights(folder, torch.float32, "cpu").get_input_embeddings().weight.detach()


def test_lack_of_memory_names_the_next_smaller_settings(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is the kernel's, set once the model is there; a batch of 400 rows does not fit under it."""
    from trl import SFTTrainer

    def limited(self: Any, *arguments: Any, **named: Any) -> Any:
        most = psutil.Process().memory_info().vms + 300 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        try:
            return step(self, *arguments, **named)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    step = SFTTrainer.training_step
    monkeypatch.setattr(SFTTrainer, "training_step", limited)
    train, validation = save(tmp_path / "t.jsonl", questions(0, 400)), save(tmp_path / "v.jsonl", questions(500, 2))
    with pytest.raises(HeimdallError, match=r"memory is too small.*batch_size=200 --set accumulation=2.*checkpointing"):
        finetune(base, train, validation, tmp_path / "adapter", replace(CONFIG, batch_size=400))


@pytest.fixture()
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_told_and_costs_nothing(
    base: Path, data: tuple[Path, Path], whole: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    save_checkpoint, junk = SFTTrainer._save_checkpoint, small_disk / "junk"

    def fill_then_save(self: Any, *arguments: Any) -> None:
        if self.state.global_step > 4:  # the second checkpoint
            with junk.open("wb", buffering=0) as file, pytest.raises(OSError):
                while True:
                    file.write(bytes(4096))
        save_checkpoint(self, *arguments)

    monkeypatch.setattr(SFTTrainer, "_save_checkpoint", fill_then_save)
    with pytest.raises(HeimdallError, match="is full.*goes on from its last checkpoint"):
        finetune(base, *data, small_disk / "adapter", CONFIG)
    monkeypatch.undo()
    junk.unlink()
    finetune(base, *data, small_disk / "adapter", CONFIG)
    assert sha256(small_disk / "adapter" / WEIGHTS) == sha256(whole / WEIGHTS)


def train_command(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(options if options[0] == "-m" else ("-m", "heimdall_nb", "train", *options))]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | environment)


class Gate(http.server.BaseHTTPRequestHandler):
    """Answers as a hub does whose model has a licence to accept first."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("X-Error-Message", "Access to model is restricted")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        pass


def test_no_network_and_a_gated_model_are_one_sentence_each(data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"Qwen.*cannot be had from the model hub.*network"):
        finetune("Qwen/Qwen2.5-0.5B-Instruct", *data, tmp_path / "adapter", CONFIG)  # tests are offline
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    files = ["--dataset", str(data[0]), "--output", str(tmp_path / "out" / "adapter")]
    done = train_command(
        "--preset", "llama3_1b", *files, HF_ENDPOINT=address, HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path)
    )
    server.shutdown()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "licence" in done.stderr.splitlines()[-1] and "HF_TOKEN" in done.stderr.splitlines()[-1]


def test_two_processes_reach_the_loss_of_one(base: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    config = replace(CONFIG, learning_rate=0.01, lora_targets="all-linear,embed_tokens")
    one = finetune(base, *data, tmp_path / "one" / "adapter", config)
    launch = "-m torch.distributed.run --standalone --nproc_per_node 2 -m heimdall_nb train".split()
    sets = {"base": base, "batch_size": 2, "learning_rate": 0.01, "evaluations": 2, "lora_rank": 4, "lora_alpha": 8}
    sets |= {"max_length": 256, "watched": 1, "questions_per_row": 1, "lora_targets": config.lora_targets}
    options = [word for name, value in sets.items() for word in ("--set", f"03.{name}={value}")]
    options += ["--dataset", str(data[0]), "--validation", str(data[1]), "--output", str(tmp_path / "two" / "adapter")]
    done = train_command(*launch, *options, HEIMDALL_THREADS="1")
    assert done.returncode == 0, done.stderr[-3000:]
    two = read_json(tmp_path / "two" / "adapter" / "training.json")
    assert two["processes"] == 2 and two["steps"] == one["steps"] == 8
    losses = [[row["loss"] for row in made["evaluations"]] for made in (one, two)]
    first = one["history"][0]["loss"]
    assert losses[0][-1] < 0.95 * first and losses[1] == pytest.approx(losses[0], rel=0.05)


def test_material_mixes_replays_and_holds_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = save(tmp_path / "one.jsonl", questions(0, 40)), save(tmp_path / "two.jsonl", questions(100, 90))
    old = save(tmp_path / "old.jsonl", questions(30, 30))
    train, held = map(load, material.prepare([f"{one}=1", f"{two}=3"], tmp_path / "a", 7, None, old, 0.2, 80))
    asked = [{e.input for e in part} for part in (train, held, load(one), load(two), load(old))]
    assert len(held) == 8 and not asked[0] & asked[1] and len(asked[0]) == len(train)
    assert len((asked[0] | asked[1]) & asked[3]) == 60
    assert len(train) - 72 == 18  # a fifth of all
    assert len(asked[0] - asked[2] - asked[3]) > 12  # most of the old questions are in no other file
    again = material.prepare([f"{one}=1", f"{two}=3"], tmp_path / "b", 7, None, old, 0.2, 80)
    assert [sha256(path) for path in again] == [sha256(tmp_path / "a" / path.name) for path in again]
    material.prepare([str(two)], tmp_path / "c", 7, one, old, 0.9)
    assert "has 20 other questions" in capsys.readouterr().out
    for given, word in (([f"{one}=much"], "weight"), ([str(tmp_path / "none.jsonl")], "none.jsonl")):
        with pytest.raises(BadInput, match=word):
            material.prepare(given, tmp_path / "d", 7)
    with pytest.raises(BadInput, match="replay"):
        material.prepare([str(one)], tmp_path / "d", 7, None, old, 1.0)
    broken = tmp_path / "broken.jsonl"
    broken.write_text(json.dumps({"instruction": "x"}) + "\n")
    with pytest.raises(BadInput, match="broken.jsonl, line 1"):
        material.prepare([str(broken)], tmp_path / "d", 7)
