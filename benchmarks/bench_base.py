"""Speed of the base's training loop beside plain TRL on the same corpus, and how far it is from the arithmetic.

    python benchmarks/bench_base.py [--steps 12] [--sequences 400] [--rounds 1]

All ways train the same model shape from the same random weights, in turn, in one process. What is compared is tokens a
second, and answers a second: a schema is long and an answer short, so reading a schema once for several questions
teaches more in the same time. The limit is 6 FLOP a parameter and token at the rate of a plain matrix product.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.dataset.corpus import cypher_corpus
from heimdall_nb.progress import track
from heimdall_nb.prompts import TURN_START, Conversation
from heimdall_nb.training import base
from heimdall_nb.training.base import Training, build_model
from heimdall_nb.training.config import BaseConfig, device
from heimdall_nb.training.report import quiet
from heimdall_nb.training.sequences import encode, pad, read_corpus, texts, write_corpus
from heimdall_nb.training.tokenizer import train_tokenizer

SEED = 7
REFERENCE = "TRL, one question a sequence"
MATRIX = 4096, 256, 768  # tokens of half a step, width of the model, width of its feed-forward layer


@dataclass
class Measured:
    """What one way of training did in `seconds`, the first steps aside."""

    tokens: int = 0
    answers: int = 0
    seconds: float = 0.0

    def add(self, other: Measured) -> None:
        self.tokens += other.tokens
        self.answers += other.answers
        self.seconds += other.seconds


class Counter:
    """Tokens without padding, and answers, in a batch of token ids."""

    def __init__(self, tokenizer: Any) -> None:
        self.padding = tokenizer.pad_token_id
        self.opening = tokenizer(f"{TURN_START}assistant")["input_ids"][:2]

    def __call__(self, ids: Any) -> Measured:
        opened = (ids[:, :-1] == self.opening[0]) & (ids[:, 1:] == self.opening[1])
        return Measured(int((ids != self.padding).sum()), int(opened.sum()))


class AllLogits(Training):
    """The output layer on every token, as a model of transformers computes its loss."""

    def loss(self, ids: Any, labels: Any, prompt_weight: float = 0.0) -> tuple[Any, Any, list[bool], list[int]]:
        ids, labels = ids.to(self.model.device), labels.to(self.model.device)
        with base.autocast():
            loss = self.model(input_ids=ids, labels=labels, use_cache=False).loss
        return loss, loss, [], []


def ours(conversations: Sequence[Conversation], tokenizer: Any, config: BaseConfig, kind: type = Training) -> Measured:
    """`config.steps` steps of our loop, after `config.warmup` that do not count."""
    sequences = encode(tokenizer, conversations, config.max_length)
    training = kind(replace(config, steps=10**6), tokenizer, sequences, sequences[:1])
    count, found, drawn = Counter(tokenizer), Measured(), training.batches()
    for step in range(config.warmup + config.steps):
        batch = next(drawn)
        started = time.perf_counter()
        training.learn(batch)
        if step >= config.warmup:
            found.add(count(pad([sequences[n] for n in batch], tokenizer.pad_token_id)[0]))
            found.seconds += time.perf_counter() - started
        training.step += 1
    return found


def trl(conversations: Sequence[Conversation], tokenizer: Any, config: BaseConfig, **settings: Any) -> Measured:
    """The same number of steps of SFTTrainer, with its own settings but for `settings`."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    count, found = Counter(tokenizer), Measured()

    class Watched(SFTTrainer):
        """Counts what a step was given."""

        def compute_loss(self, model: Any, inputs: dict[str, Any], *arguments: Any, **named: Any) -> Any:
            if self.state.global_step >= config.warmup:
                found.add(count(inputs["input_ids"]))
            return super().compute_loss(model, inputs, *arguments, **named)

    class Clock(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step > config.warmup:  # this step is counted already
                found.seconds += time.perf_counter() - self.started

    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            max_steps=config.warmup + config.steps,
            use_cpu=device() == "cpu",
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            seed=SEED,
            **settings,
        )
        trainer = Watched(
            model=build_model(config, tokenizer),
            args=arguments,
            train_dataset=Dataset.from_list([{"messages": messages} for messages in conversations]),
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return found


def apart(conversations: Sequence[Conversation]) -> list[Conversation]:
    """One conversation for each question, each with its schema."""
    return [
        [system, *turns[place : place + 2]] for system, *turns in conversations for place in range(0, len(turns), 2)
    ]


def matmul_rate(seconds: float = 1.0) -> float:
    """FLOP a second of one matrix product of MATRIX, in the number format of the training."""
    import torch

    kind = torch.bfloat16 if hardware.fast_bf16() else torch.float32
    rows, inner, columns = MATRIX
    a, b = torch.randn(rows, inner).to(device(), kind), torch.randn(inner, columns).to(device(), kind)
    wait = torch.cuda.synchronize if device() == "cuda" else lambda: None
    for _ in range(3):
        a @ b
    wait()
    started, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < seconds:
        for _ in range(10):
            a @ b
        wait()
        done += 10
    return 2 * rows * inner * columns * done / passed


def ways(
    several: list[Conversation], tokenizer: Any, config: BaseConfig
) -> Iterator[tuple[str, Callable[[], Measured]]]:
    """Each way of training with its name: TRL's, ours, and ours with one choice switched off."""
    single = apart(several)
    longer: dict[str, Any] = {"max_length": config.max_length}
    yield REFERENCE, lambda: trl(single, tokenizer, config)
    if not hardware.fast_bf16():  # TRL takes bf16 on every processor; one that is not made for it is slow in it
        yield "TRL, in fp32", lambda: trl(single, tokenizer, config, bf16=False)
        longer["bf16"] = False
    yield "TRL, several questions a sequence", lambda: trl(several, tokenizer, config, **longer)
    # Packing makes one long row of a batch: so many that a step has about as many tokens as ours.
    rows = {"per_device_train_batch_size": config.batch_tokens // config.max_length}
    yield "TRL, several, packed", lambda: trl(several, tokenizer, config, packing=True, **longer, **rows)
    yield "ours", lambda: ours(several, tokenizer, config)
    yield "ours, one question a sequence", lambda: ours(single, tokenizer, config)
    yield "ours, logits of all tokens", lambda: ours(several, tokenizer, config, AllLogits)
    yield "ours, the prompt learnt as well", lambda: ours(several, tokenizer, replace(config, prompt_weight=0.2))
    if hardware.fast_bf16():
        yield "ours, fp32", lambda: in_fp32(several, tokenizer, config)


def in_fp32(conversations: Sequence[Conversation], tokenizer: Any, config: BaseConfig) -> Measured:
    """Our loop without bf16 autocast."""
    usual, base.autocast = base.autocast, nullcontext
    try:
        return ours(conversations, tokenizer, config)
    finally:
        base.autocast = usual


def main(steps: int, sequences: int, rounds: int) -> None:
    """Print the table, the limit, and what share of it each way reaches."""
    import torch

    torch.set_num_threads(hardware.threads())
    quiet()
    config = BaseConfig(steps=steps, warmup=1 + (steps > 4), prompt_weight=0.0, seed=SEED)
    drawn = cypher_corpus(sequences, SEED, easy=0)  # a few steps read only the beginning: nothing small there
    with tempfile.TemporaryDirectory() as folder:
        path = write_corpus(Path(folder) / "corpus.jsonl", (record for _, record in drawn))
        several = list(read_corpus(path))
    tokenizer = train_tokenizer(texts(several), config.vocabulary)
    parameters = build_model(config, tokenizer).num_parameters()
    known = dict(ways(several, tokenizer, config))
    found = {name: Measured() for name in known}
    rates = []
    for _ in range(rounds):  # in turn, so that a busy hour of the machine hits all of them
        for name, way in track(known.items(), "ways of training", total=len(known)):
            rates.append(matmul_rate(0.3))
            found[name].add(way())
    rate = max(rates)
    limit = rate / (6 * parameters)
    threads, load = torch.get_num_threads(), os.getloadavg()[0]
    print(f"{hardware.cpu_model()}, GPU {hardware.gpu()[0]}, {threads} threads, load {load:.1f}")
    questions = len(apart(several))
    print(f"{parameters:,} parameters; {sequences:,} schemas, {questions:,} questions; {rounds} x {steps} steps\n")
    print(f"{'':<36}{'tokens/s':>10}{'ratio':>7}{'answers/s':>11}{'ratio':>7}{'of limit':>10}")
    first = found[REFERENCE]
    for name, one in found.items():
        tokens, answers = one.tokens / one.seconds, one.answers / one.seconds
        ratios = tokens * first.seconds / first.tokens, answers * first.seconds / first.answers
        print(f"{name:<36}{tokens:>10,.0f}{ratios[0]:>7.2f}{answers:>11.1f}{ratios[1]:>7.2f}{tokens / limit:>10.1%}")
    kind = "bf16" if hardware.fast_bf16() else "fp32"
    print(f"\nlimit: {limit:,.0f} tokens/s, from {rate / 1e9:,.1f} GFLOP/s in {kind} at {' x '.join(map(str, MATRIX))}")
    print("(attention is not in it; the output layer is, though our loss needs it for the answers alone)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12, help="steps of each way and round that count")
    parser.add_argument("--sequences", type=int, default=400, help="schemas of the corpus, eight questions each")
    parser.add_argument("--rounds", type=int, default=1, help="all ways in turn, so often")
    given = parser.parse_args()
    main(given.steps, given.sequences, given.rounds)
