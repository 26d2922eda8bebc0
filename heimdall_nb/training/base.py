"""A small base model of the Qwen3 architecture, trained from scratch on questions about many graphs.

The loop is plain PyTorch, so that nothing of it is hidden: batches, loss on the answers, two optimisers, checkpoints.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.run import read_json, sha256, write_json
from heimdall_nb.training.config import BaseConfig, autocast, device, key
from heimdall_nb.training.muon import Float32Muon
from heimdall_nb.training.report import Report, move_into_place, quiet, temporary_folder
from heimdall_nb.training.sequences import IGNORED, Tokens, batches, encode, pad, read_corpus, texts
from heimdall_nb.training.tokenizer import train_tokenizer


def train_base(corpus: Path, output: Path, config: BaseConfig, more_texts: Iterable[str] = ()) -> dict[str, Any]:
    """Train tokenizer and model on `corpus`, and write them with `training.json` to the folder `output`.

    The tokenizer learns from `more_texts` as well: words of later trainings, which it should not cut into letters.

    Returns what `training.json` holds: `history` (step, loss, learning rate), `evaluations` (on held-out sequences),
    `parameters`, `vocabulary`, `tokens`, `timing`. An `output` that was made from the same corpus with the same
    settings is returned as it is; a training that was killed goes on from its last checkpoint, to the same result.
    Raises BadInput for a corpus that is missing, empty or malformed.
    """
    import torch

    corpus, output = Path(corpus), Path(output)
    identity = key(config, sha256(corpus))
    if (output / "training.json").exists() and read_json(output / "training.json").get("key") == identity:
        return read_json(output / "training.json")
    torch.set_num_threads(hardware.threads())
    quiet()
    tokenizer = train_tokenizer(chain(more_texts, texts(read_corpus(corpus))), config.vocabulary)
    learnt, held = apart(encode(tokenizer, read_corpus(corpus), config.max_length), config.held_out)
    training = Training(config, tokenizer, learnt, held)
    checkpoint = output.parent / "checkpoints" / f"{output.name}.pt"
    training.resume(checkpoint, identity)
    training.run(checkpoint, identity)

    result = {"key": identity} | training.summary()
    folder = temporary_folder(output)
    training.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "training.json", result)
    move_into_place(folder, output)
    checkpoint.unlink(missing_ok=True)
    return result


def build_model(config: BaseConfig, tokenizer: Any) -> Any:
    """A Qwen3 model with random weights; input and output embedding are one matrix."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(config.seed)
    shape = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        intermediate_size=config.ffn,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.hidden // config.heads,
        max_position_embeddings=config.positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(shape).to(device())


def optimisers(model: Any, config: BaseConfig) -> list[Any]:
    """Muon for the matrices of the layers, AdamW for the embedding and the norms.

    Muon makes each update nearly orthogonal, so that all directions of a matrix learn at the same speed
    (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/).
    """
    import torch

    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named.items() if p.ndim != 2 or "embed" in name]
    kind = torch.optim.Muon if hardware.fast_bf16() else Float32Muon
    muon = kind(matrices, lr=config.learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    return [muon, adam]


def rate(step: int, config: BaseConfig) -> float:
    """The share of the learning rate at `step`: a linear rise, a plateau, a linear fall to zero at the last step."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    return min(rise, (config.steps - step) / max(1.0, config.decay * config.steps))


def apart(sequences: Sequence[Tokens], number: int) -> tuple[list[Tokens], list[Tokens]]:
    """(learnt, held out): at most `number` sequences, one in six at most, from all over the corpus, are held out."""
    number = min(number, len(sequences) // 6 + 1)
    places = {len(sequences) * (2 * n + 1) // (2 * number) for n in range(number)}
    learnt = [item for place, item in enumerate(sequences) if place not in places]
    return learnt or list(sequences), [sequences[place] for place in sorted(places)]


class Training:
    """A training in progress: model, optimisers, data, step and history."""

    def __init__(self, config: BaseConfig, tokenizer: Any, sequences: Sequence[Tokens], held: Sequence[Tokens]) -> None:
        import torch

        self.config, self.tokenizer, self.sequences, self.held = config, tokenizer, sequences, held
        self.model = build_model(config, tokenizer)
        self.optimisers = optimisers(self.model, config)
        self.schedules = [
            torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, config))
            for optimiser in self.optimisers
        ]
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.history: list[dict[str, float]] = []
        self.evaluations: list[dict[str, float]] = []

    def run(self, checkpoint: Path, identity: str) -> None:
        """Train to the last step, with a checkpoint and an evaluation now and then."""
        report = Report("base model", self.config.steps, self.step)
        started, before = time.monotonic(), self.seconds
        for batch in self.batches():
            loss, tokens = self.learn(batch)
            self.step += 1
            self.tokens += tokens
            self.history.append({"step": self.step, "loss": round(loss, 5)})
            last = self.step == self.config.steps
            if last or self.step % self.config.evaluate_every == 0:
                self.evaluations.append({"step": self.step, "tokens": self.tokens} | self.evaluate())
            self.seconds = before + time.monotonic() - started
            if not last and self.step % self.config.checkpoint_every == 0:
                self.save(checkpoint, identity)
            report.update(self.step, loss, tokens)
        report.close()

    def batches(self) -> Iterator[list[int]]:
        """The batches of the steps that are left."""
        every = batches(self.sequences, self.config.batch_tokens, self.config.seed)
        return islice(every, self.step, self.config.steps)

    def learn(self, batch: Sequence[int]) -> tuple[float, int]:
        """One step; returns the loss of the answers and the number of tokens read."""
        import torch

        self.model.train()
        ids, labels = pad([self.sequences[n] for n in batch], self.tokenizer.pad_token_id)
        early = self.step < self.config.prompt_until * self.config.steps
        total, answers = self.loss(ids, labels, self.config.prompt_weight if early else 0.0)[:2]
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser, schedule in zip(self.optimisers, self.schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
        return answers.item(), sum(len(self.sequences[n].ids) for n in batch)

    def loss(self, ids: Any, labels: Any, prompt_weight: float = 0.0) -> tuple[Any, Any, list[bool], list[int]]:
        """(loss to learn from, mean loss of the answer tokens, whether each is the likeliest, its place in the batch).

        The output layer is applied only where the loss needs it, which saves a good part of a small model's work. The
        tokens of the prompt count with `prompt_weight`: predicting a name's second mention teaches to copy.
        """
        import torch

        F = torch.nn.functional
        target = F.pad(ids[:, 1:], (0, 1), value=self.tokenizer.pad_token_id).flatten()
        label = F.pad(labels[:, 1:], (0, 1), value=IGNORED).flatten()
        answer = label >= 0
        prompt = (label == IGNORED) & (target != self.tokenizer.pad_token_id)
        places = (answer | prompt if prompt_weight else answer).nonzero().squeeze(1)
        number = len(places)
        # A multiple of 256 for the same reason as in `width`; what is added has weight 0.
        places = F.pad(places, (0, -number % 256))
        weight = torch.where(answer[places], 1.0, prompt_weight)
        weight[number:] = 0.0
        device = self.model.device
        with autocast():
            hidden = self.model.model(input_ids=ids.to(device), use_cache=False).last_hidden_state
            logits = self.model.lm_head(hidden.flatten(0, 1)[places.to(device)]).float()
        losses = F.cross_entropy(logits, target[places].to(device), reduction="none")
        is_answer = answer[places] & (weight > 0)
        answers = losses[is_answer.to(device)].mean()
        total = (losses * weight.to(device)).sum() / is_answer.sum()
        right = (logits.argmax(-1).cpu() == target[places])[is_answer]
        return total, answers, right.tolist(), places[is_answer].tolist()

    def evaluate(self) -> dict[str, Any]:
        """Held-out loss, and exact match of the first answers (zero-shot), of the later ones, and of each kind.

        An answer that is the most probable token at every place, given the right tokens before it, is the answer that
        greedy decoding writes: one pass over the text gives the exact match without writing anything.
        """
        import torch

        self.model.eval()
        losses, first, later, kinds = [], [], [], defaultdict(list)
        with torch.no_grad():
            for start in range(0, len(self.held), 8):
                held = self.held[start : start + 8]
                ids, labels = pad(held, self.tokenizer.pad_token_id)
                _, loss, right, places = self.loss(ids, labels)
                losses.append(loss.item())
                for item, row in zip(held, answers_right(right, places, ids.shape[1]), strict=True):
                    first.append(row[0])
                    later += row[1:]
                    kinds[item.kind] += row
        return {
            "loss": round(sum(losses) / len(losses), 5),
            "exact_match": _share(first),
            "exact_match_later": _share(later),
            "answers": len(first),
            "kinds": {kind: _share(right) for kind, right in sorted(kinds.items())},
        }

    def save(self, checkpoint: Path, identity: str) -> None:
        """Write everything that the rest of the training depends on: to a temporary name, then renamed."""
        import torch

        state = {
            "key": identity,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "random": torch.get_rng_state(),
            "progress": [self.step, self.tokens, self.seconds, self.history, self.evaluations],
        }
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        temporary = checkpoint.with_name(f".{checkpoint.name}.tmp")
        torch.save(state, temporary)
        os.replace(temporary, checkpoint)

    def resume(self, checkpoint: Path, identity: str) -> None:
        """Go on from `checkpoint`, when there is one of the same settings and corpus."""
        import torch

        if not checkpoint.exists():
            return
        state = torch.load(checkpoint, map_location=self.model.device, weights_only=True)
        if state["key"] != identity:
            return
        self.model.load_state_dict(state["model"])
        for part, saved in zip(self.optimisers + self.schedules, state["optimisers"] + state["schedules"], strict=True):
            part.load_state_dict(saved)
        torch.set_rng_state(state["random"].cpu())
        self.step, self.tokens, self.seconds, self.history, self.evaluations = state["progress"]
        print(f"base model: goes on from step {self.step}", flush=True)

    def summary(self) -> dict[str, Any]:
        """What `training.json` holds about the result."""
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "vocabulary": len(self.tokenizer),
            "sequences": len(self.sequences),
            "tokens": self.tokens,
            "precision": "bf16 autocast" if hardware.fast_bf16() else "fp32",
            "history": self.history,
            "evaluations": self.evaluations,
            "timing": {"seconds": round(self.seconds, 1), "tokens_per_second": round(self.tokens / self.seconds)},
        }


def _share(right: Sequence[bool]) -> float:
    return round(sum(right) / max(1, len(right)), 4)


def answers_right(right: Sequence[bool], places: Sequence[int], width: int) -> list[list[bool]]:
    """For each row of a batch of `width`, whether each answer is right in all tokens; an answer is a run of places."""
    result: dict[int, list[bool]] = {}
    before = -2
    for good, place in zip(right, places, strict=True):
        answers = result.setdefault(place // width, [])
        if place - 1 != before or not answers:
            answers.append(True)
        answers[-1] = answers[-1] and good
        before = place
    return list(result.values())
