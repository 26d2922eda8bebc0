"""Training: the tokenizer is lossless, only answers are learnt, and a killed training ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb import prompts
from heimdall_nb.dataset.example import Example, save
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.run import ROOT, sha256
from heimdall_nb.training import sequences
from heimdall_nb.training import trainer as training_trainer
from heimdall_nb.training.base import Training, answers_right, apart, rate, train_base
from heimdall_nb.training.config import BaseConfig, FinetuneConfig
from heimdall_nb.training.finetune import finetune
from heimdall_nb.training.rows import fitting, rows, supervised_text
from heimdall_nb.training.tokenizer import train_tokenizer

SCHEMA = "(:Person {name: STRING KEY, age: INTEGER})\n(:City {name: STRING KEY})\n(:Person)-[:LIVES_IN]->(:City)"
NAMES = ("Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hugo")
TINY = BaseConfig(
    hidden=64, layers=2, heads=2, kv_heads=1, ffn=64, vocabulary=600, steps=6, batch_tokens=512, warmup=2, held_out=4,
    prompt_weight=0.5, prompt_until=0.5, max_length=256, evaluate_every=3, checkpoint_every=1,
)  # fmt: skip
TINY_LORA = FinetuneConfig(
    lora_rank=2, lora_alpha=4, lora_dropout=0.1, epochs=1, batch_size=2, questions_per_row=2, evaluations=4,
    max_length=256,
)  # fmt: skip


def turns(start: int, count: int) -> list[tuple[str, str]]:
    """Questions with their queries; all different for different numbers."""
    return [
        (f"How old is {NAMES[n % 8]} {n}?", f"MATCH (p:Person {{name: '{NAMES[n % 8]} {n}'}}) RETURN p.age")
        for n in range(start, start + count)
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "base_corpus.jsonl"
    lines = [{"task": "cypher", "schema": SCHEMA, "turns": turns(3 * n, 1 + n % 3)} for n in range(40)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def base(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "base"
    train_base(corpus, folder, TINY)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("data")
    made = [Example("Write Cypher.", q, a, "read", "small", graph="people", schema=SCHEMA) for q, a in turns(500, 40)]
    return save(folder / "train.jsonl", made[:32]), save(folder / "validation.jsonl", made[32:])


@pytest.fixture(scope="module")
def tokenizer(corpus: Path):
    return train_tokenizer(sequences.texts(sequences.read_corpus(corpus)), 600)


def test_round_trip(tokenizer) -> None:
    """Any text comes back, and the special tokens of a text's words never do."""

    @given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=60))
    def lossless(text: str) -> None:
        text = prompts.conversation(text)[-1]["content"]  # NFC
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text

    lossless()


def test_tokenizer_reloads_with_the_same_ids_and_template(tokenizer, base: Path) -> None:
    from transformers import AutoTokenizer

    again = AutoTokenizer.from_pretrained(base)
    text = prompts.render(
        prompts.conversation("Zoë's 東京 42?", SCHEMA, answer="MATCH (n) RETURN n", exemplars=turns(0, 2))
    )
    assert type(again).__name__.startswith("Qwen2Tokenizer")
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.chat_template == prompts.chat_template()
    assert again.eos_token == prompts.TURN_END and again.pad_token == prompts.END_OF_TEXT
    assert all(len(tokenizer(token)["input_ids"]) == 1 for token in prompts.SPECIAL_TOKENS)


def learnt_text(tokenizer, encoded: sequences.Tokens) -> str:
    return tokenizer.decode([token for token in encoded.labels if token >= 0])


def test_only_answers_are_learnt(tokenizer) -> None:
    """Decoded labels are the answers with their ends; and they are the ones that TRL learns by the chat template."""
    asked = turns(0, 3)
    messages = prompts.conversation(asked[2][0], SCHEMA, answer=asked[2][1], exemplars=asked[:2])
    (encoded,) = sequences.encode(tokenizer, [messages], 1000)
    learnt = learnt_text(tokenizer, encoded)
    assert learnt == "".join(answer + prompts.TURN_END for _, answer in asked)
    assert learnt == supervised_text(tokenizer, messages)
    assert [*encoded.ids, *tokenizer("\n")["input_ids"]] == tokenizer.apply_chat_template(messages)["input_ids"]


def test_slips_are_read_and_not_learnt(tokenizer, tmp_path: Path) -> None:
    """A wrong answer stands in the sequence, no label is on it, and another wrong answer there has the same labels."""
    wrong, right, learnt = turns(7, 1), turns(8, 2), []
    for slip in (wrong[0], (wrong[0][0], "MATCH (c:City) RETURN c.name")):
        record = {"task": "cypher", "schema": SCHEMA, "turns": [right[0], slip, right[1]], "slips": [1]}
        path = sequences.write_corpus(tmp_path / "slips.jsonl", [record])
        (encoded,) = sequences.encode(tokenizer, sequences.read_corpus(path), 1000)
        assert slip[1] in tokenizer.decode(encoded.ids)
        learnt.append(learnt_text(tokenizer, encoded))
    assert learnt == ["".join(answer + prompts.TURN_END for _, answer in right)] * 2
    path = sequences.write_corpus(tmp_path / "none.jsonl", [record | {"slips": []}])
    (encoded,) = sequences.encode(tokenizer, sequences.read_corpus(path), 1000)
    assert slip[1] in learnt_text(tokenizer, encoded)
    sequences.write_corpus(tmp_path / "far.jsonl", [record | {"slips": [3]}])
    with pytest.raises(BadInput, match="far.jsonl, line 1"):
        list(sequences.read_corpus(tmp_path / "far.jsonl"))


def test_a_long_sequence_keeps_whole_turns(tokenizer) -> None:
    asked = turns(0, 6)
    messages = prompts.conversation(asked[5][0], SCHEMA, answer=asked[5][1], exemplars=asked[:5])
    (whole,) = sequences.encode(tokenizer, [messages], 1000)
    (cut,) = sequences.encode(tokenizer, [messages], len(whole.ids) - 10)
    assert cut.ids[-1] == tokenizer.eos_token_id and list(cut.ids) == list(whole.ids[: len(cut.ids)])
    assert tokenizer.decode(cut.ids).count(prompts.TURN_START + "assistant") == 5
    short = prompts.conversation("How old?", "", answer="RETURN 1")
    room = len(tokenizer(prompts.render(short, generation_prompt=False))["input_ids"])
    assert len(sequences.encode(tokenizer, [messages, short], room)) == 1  # what has no whole answer is left out
    with pytest.raises(BadInput, match="max_length"):
        sequences.encode(tokenizer, [messages], room)


def of_lengths(lengths: Sequence[int]) -> list[sequences.Tokens]:
    return [sequences.Tokens(np.zeros(n, np.int32), np.zeros(n, np.int32)) for n in lengths]


@given(st.integers(1, 700), st.integers(0, 5), st.sampled_from((64, 512, 4000)))
def test_batches_hold_each_sequence_once_an_epoch_in_the_order_of_the_corpus(number: int, seed: int, most: int) -> None:
    rng = random.Random(number)
    made = of_lengths([rng.randint(10, 900) for _ in range(number)])
    drawn, seen = sequences.batches(made, most, seed), 0
    for _ in range(2):
        epoch = []
        while len(epoch) < number:
            batch = next(drawn)
            epoch += batch
            longest = max(len(made[n].ids) for n in batch)
            assert len(batch) == 1 or len(batch) * sequences.width(longest) <= most
        assert sorted(epoch) == list(range(number))
        pools = [n // sequences.POOL for n in epoch]
        assert pools == sorted(pools)  # what comes first in the corpus is learnt first, in every epoch
        seen += len(epoch)


def test_batches_are_fixed_by_the_seed_and_differ_by_epoch() -> None:
    made = of_lengths([20 + n % 300 for n in range(600)])
    first = list(islice(sequences.batches(made, 2000, 1), 200))
    assert first == list(islice(sequences.batches(made, 2000, 1), 200))
    assert first != list(islice(sequences.batches(made, 2000, 2), 200))
    epoch = next(n for n in range(200) if sum(map(len, first[:n])) == 600)
    assert first[:epoch] != first[epoch : 2 * epoch] and sorted(first[:epoch]) == sorted(first[epoch : 2 * epoch])
    widths = [sequences.width(len(made[n].ids)) for batch in first[:epoch] for n in batch]
    padded = sum(max(sequences.width(len(made[n].ids)) for n in batch) * len(batch) for batch in first[:epoch])
    assert padded < 1.1 * sum(widths)  # those of similar length are together


def test_held_out_sequences_come_from_all_over_the_corpus() -> None:
    learnt, held = apart([*range(1000)], 10)  # whatever a sequence is
    assert held == [50 + 100 * n for n in range(10)]
    assert sorted(learnt + held) == list(range(1000))
    learnt, held = apart([*range(12)], 96)
    assert len(held) == 3 and not set(learnt) & set(held)


@pytest.fixture(scope="module")
def in_progress(tokenizer, corpus: Path) -> Training:
    encoded = sequences.encode(tokenizer, sequences.read_corpus(corpus), 256)
    return Training(TINY, tokenizer, encoded[4:], encoded[:4])


def test_the_prompts_weight_changes_the_loss_and_not_that_of_the_answers(in_progress: Training) -> None:
    """Checked against the plain computation: all logits, and a weight for each token."""
    import torch

    F = torch.nn.functional
    ids, labels = sequences.pad(in_progress.sequences[:3], in_progress.tokenizer.pad_token_id)
    plain = in_progress.loss(ids, labels)
    weighted = in_progress.loss(ids, labels, 0.5)
    assert plain[0].item() == pytest.approx(plain[1].item(), rel=1e-5)
    assert weighted[1].item() == pytest.approx(plain[1].item(), rel=1e-3) and weighted[2:] == plain[2:]
    with torch.no_grad():
        logits = in_progress.model(ids).logits.float()[:, :-1].flatten(0, 1)
    losses = F.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none")
    answer = (labels[:, 1:] >= 0).flatten()
    prompt = (ids[:, 1:] != in_progress.tokenizer.pad_token_id).flatten() & ~answer
    expected = [(losses[answer].sum() + w * losses[prompt].sum()).item() / answer.sum().item() for w in (0, 0.5)]
    assert [plain[0].item(), weighted[0].item()] == pytest.approx(expected, rel=0.01)
    assert weighted[0] > 1.5 * plain[0]


def test_slips_have_no_weight_while_the_prompt_has_one(in_progress: Training) -> None:
    ids, labels = sequences.pad(in_progress.sequences[:1], in_progress.tokenizer.pad_token_id)
    first = int((labels[0] >= 0).nonzero()[0])
    as_prompt, as_slip = labels.clone(), labels.clone()
    as_prompt[0, first], as_slip[0, first] = sequences.IGNORED, sequences.SLIP
    assert in_progress.loss(ids, as_prompt)[0].item() == in_progress.loss(ids, as_slip)[0].item()
    assert in_progress.loss(ids, as_prompt, 0.5)[0].item() > in_progress.loss(ids, as_slip, 0.5)[0].item()


def test_the_prompt_counts_in_the_first_steps_only(tokenizer, corpus: Path, tmp_path: Path) -> None:
    weights = []

    class Watched(Training):
        def loss(self, ids, labels, prompt_weight=0.0):
            weights.append(prompt_weight)
            return super().loss(ids, labels, prompt_weight)

    encoded = sequences.encode(tokenizer, sequences.read_corpus(corpus), 256)
    training = Watched(replace(TINY, evaluate_every=100), tokenizer, encoded[4:], encoded[:4])
    training.run(tmp_path / "base.pt", "")
    assert weights == [0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]  # the last is the evaluation


def test_answers_right_counts_whole_answers() -> None:
    right = [True, True, False, True, True]
    assert answers_right(right, [3, 4, 8, 9, 10], width=10) == [[True, False], [True]]


def test_learning_rate_rises_stays_and_falls() -> None:
    config = BaseConfig(steps=100, warmup=10, decay=0.5)
    assert [round(rate(step, config), 3) for step in (0, 9, 50, 75, 99)] == [0.1, 1, 1, 0.5, 0.02]


def test_base_learns_and_is_not_trained_twice(corpus: Path, base: Path, tmp_path: Path) -> None:
    report = json.loads((base / "training.json").read_text())
    losses = [entry["loss"] for entry in report["history"]]
    assert len(losses) == 6 and losses[-1] < 0.98 * losses[0]
    assert [entry["step"] for entry in report["evaluations"]] == [3, 6]
    assert report["evaluations"][0]["answers"] == 4 and report["evaluations"][1]["loss"] < losses[0]
    before = (base / "model.safetensors").stat().st_mtime_ns
    assert train_base(corpus, base, TINY) == report
    assert (base / "model.safetensors").stat().st_mtime_ns == before


def killed(code: str, when: Path, arguments: list[str]) -> None:
    """Run `code` in another process, and kill it as soon as `when` matches a file."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    try:
        while not list(when.parent.glob(when.name)):
            assert process.poll() is None, "the training ended before it could be killed"
            assert time.monotonic() < deadline, "no checkpoint came"
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


KILL_BASE = """
import dataclasses, sys, time
from pathlib import Path
from heimdall_nb.training import base, config
step = base.Training.learn
def slow(self, batch):
    if self.step >= 3:
        time.sleep(60)  # stand still after the third step until the kill
    return step(self, batch)
base.Training.learn = slow
base.train_base(Path(sys.argv[1]), Path(sys.argv[2]), config.BaseConfig(**eval(sys.argv[3])))
"""


def test_base_killed_and_resumed_is_bit_for_bit_the_same(corpus: Path, base: Path, tmp_path: Path) -> None:
    import torch

    again, checkpoint = tmp_path / "base", tmp_path / "checkpoints" / "base.pt"
    killed(KILL_BASE, checkpoint, [str(corpus), str(again), str(asdict(TINY))])
    assert not again.exists()
    step = torch.load(checkpoint, weights_only=True)["progress"][0]
    assert 0 < step <= 3
    report = train_base(corpus, again, TINY)
    assert sha256(again / "model.safetensors") == sha256(base / "model.safetensors")
    assert report["history"] == json.loads((base / "training.json").read_text())["history"]
    assert not checkpoint.exists()


def test_adapter_killed_at_random_moments_and_resumed_is_the_same(base: Path) -> None:
    """Two of the kills of the script that does ten."""
    command = [sys.executable, ROOT / "benchmarks" / "kill_training.py", "--base", base, "--kills", "2", "--rows", "16"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()[-3:-1]] == ["True", "True"], done.stdout


def test_adapter_is_not_trained_twice(base: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    done = finetune(base, *data, tmp_path / "adapter", TINY_LORA)
    assert done["steps"] == 8 and len(done["evaluations"]) == 4 and done["trainable"] < done["total"]
    before = (tmp_path / "adapter" / "training.json").stat().st_mtime_ns
    assert finetune(base, *data, tmp_path / "adapter", TINY_LORA) == done
    assert (tmp_path / "adapter" / "training.json").stat().st_mtime_ns == before


def test_adapter_learns_the_answers_alone(base: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    report = finetune(base, *data, tmp_path / "adapter", TINY_LORA)
    assert report["supervised"].startswith("MATCH") and report["supervised"].endswith("RETURN p.age" + prompts.TURN_END)
    assert "How old" not in report["supervised"] and "assistant" not in report["supervised"]


def test_nothing_to_learn_is_an_error(
    base: Path, data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="max_length"):
        finetune(base, *data, tmp_path / "adapter", replace(TINY_LORA, max_length=32))
    save(tmp_path / "empty.jsonl", [])
    with pytest.raises(BadInput):
        finetune(base, tmp_path / "empty.jsonl", data[1], tmp_path / "adapter", TINY_LORA)
    unmarked = prompts.chat_template().replace("{% generation %}", "{% generation %}{% endgeneration %}", 1)
    unmarked = unmarked[: unmarked.rindex("{% endgeneration %}")] + unmarked.rpartition("{% endgeneration %}")[2]
    monkeypatch.setattr(training_trainer, "chat_template", lambda: unmarked)
    with pytest.raises(HeimdallError, match="no token to learn"):
        finetune(base, *data, tmp_path / "adapter", TINY_LORA)


def test_answers_that_do_not_fit_are_left_out_and_counted(tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are cut after a whole answer, just as the base's own sequences are."""
    asked = turns(0, 4)
    row = {"messages": prompts.conversation(asked[3][0], SCHEMA, answer=asked[3][1], exemplars=asked[:3])}
    long = {"messages": prompts.conversation("How " + "very " * 200 + "old?", SCHEMA, answer="RETURN 1")}
    length = len(sequences.encode(tokenizer, [row["messages"]], 1000)[0].ids)
    assert fitting(tokenizer, [row], length, "training data") == [row] and not capsys.readouterr().out
    for most in range(length - 90, length):
        (cut,) = fitting(tokenizer, [row, long], most, "training data")
        (whole,) = sequences.encode(tokenizer, [row["messages"]], most)
        assert list(sequences.encode(tokenizer, [cut["messages"]], 1000)[0].ids) == list(whole.ids)
        lost = 5 - sum(message["role"] == "assistant" for message in cut["messages"])
        assert f"training data: {lost} of 5 answers do not fit into {most} tokens" in capsys.readouterr().out
    with pytest.raises(BadInput, match="max_length"):
        fitting(tokenizer, [long], length, "training data")
    with pytest.raises(BadInput, match="validation data"):
        fitting(tokenizer, [], length, "validation data")


def test_missing_inputs_are_bad_input(base: Path, data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no_such_base"):
        finetune(tmp_path / "no_such_base", *data, tmp_path / "adapter", TINY_LORA)
    with pytest.raises(BadInput, match="no_train"):
        finetune(base, tmp_path / "no_train.jsonl", data[1], tmp_path / "adapter", TINY_LORA)
    with pytest.raises(BadInput, match="no_corpus"):
        train_base(tmp_path / "no_corpus.jsonl", tmp_path / "base", TINY)
    fine = '{"task": "cypher", "schema": "x", "turns": [["q", "a"]]}\n'
    (tmp_path / "broken.jsonl").write_text(fine + '{"task": "cypher", "schema": "x", "turns": []}\n')
    with pytest.raises(BadInput, match="broken.jsonl, line 2"):
        train_base(tmp_path / "broken.jsonl", tmp_path / "base", TINY)
    (tmp_path / "task.jsonl").write_text(fine + fine.replace('"cypher"', "7"))
    with pytest.raises(BadInput, match="task.jsonl, line 2"):
        train_base(tmp_path / "task.jsonl", tmp_path / "base", TINY)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"learning_rate": 9.0}, {"heads": 3}, {"vocabulary": 10}, {"batch_tokens": 1}]
)
def test_settings_out_of_range_are_bad_input(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        BaseConfig(**wrong)


def test_rows_share_a_schema_and_lose_no_question() -> None:
    made = [
        Example("Write Cypher.", q, a, "r", "small", graph="g", schema=f"schema {n % 2}")
        for n, (q, a) in enumerate(turns(0, 9))
    ]
    grouped = rows(made, 3, seed=1)
    asked = [m["content"] for row in grouped for m in row["messages"] if m["role"] == "user"]
    assert sorted(asked) == sorted(example.input for example in made)
    for row in grouped:
        schema = row["messages"][0]["content"].splitlines()[-1]
        mine = {example.input for example in made if example.schema == schema}
        assert {m["content"] for m in row["messages"] if m["role"] == "user"} <= mine
    assert grouped == rows(made, 3, seed=1) != rows(made, 3, seed=2)


def test_muon_in_fp32_takes_the_same_steps_as_pytorchs() -> None:
    import torch

    from heimdall_nb.training.muon import Float32Muon, orthogonal

    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(shape, generator=generator) for shape in ((32, 48), (48, 32))]
    results = []
    for kind in (torch.optim.Muon, Float32Muon):
        parameters = [torch.nn.Parameter(weight.clone()) for weight in weights]
        optimiser = kind(parameters, lr=0.01, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
        for _ in range(3):
            optimiser.zero_grad()
            sum((p**2).sum() + p.sum() for p in parameters).backward()
            optimiser.step()
        results.append(torch.cat([p.detach().flatten() for p in parameters]))
    moved = (results[1] - torch.cat([w.flatten() for w in weights])).norm()
    assert moved > 0.1 and (results[0] - results[1]).norm() < 0.02 * moved  # bf16 keeps three digits
    found = orthogonal(weights[0], (3.4445, -4.775, 2.0315), 5, 1e-7)
    assert torch.linalg.svdvals(found).min() > 0.5 and torch.linalg.svdvals(found).max() < 1.5
