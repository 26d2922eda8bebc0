"""The settings of both trainings, and the number format and device that the machine at hand computes them with."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.errors import BadInput


def _require(settings: Any, **limits: tuple[float, float]) -> None:
    """Raise BadInput for the first field of `settings` outside its (lowest, highest) value."""
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise BadInput(f"{value} is not between {low:g} and {high:g}", name, "Change the parameter.")


@dataclass(frozen=True)
class BaseConfig:
    """Training from scratch. The number of steps is fixed, not the time, so that a result can be repeated."""

    hidden: int = 256  # width; a multiple of 256, or K-quantisation falls back to larger types
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 768  # width of the feed-forward layer; a multiple of 256 for the same reason
    vocabulary: int = 2048  # tokens asked for
    positions: int = 2048  # longest context in tokens
    steps: int = 2000
    batch_tokens: int = 4096  # most tokens of a step, with padding
    learning_rate: float = 4e-3
    warmup: int = 40  # steps until the learning rate is reached
    decay: float = 0.4  # the last share of the steps, over which the learning rate falls to zero
    prompt_weight: float = 0.2  # weight of the prompt's tokens in the loss, at first
    prompt_until: float = 0.3  # the share of the steps after which only the answers count
    max_length: int = 1536  # tokens of a sequence; later turns of a longer one are left out
    held_out: int = 64  # sequences of the corpus that are kept for measuring
    evaluate_every: int = 200
    checkpoint_every: int = 50
    seed: int = 7

    def __post_init__(self) -> None:
        _require(self, hidden=(32, 8192), layers=(1, 100), heads=(1, 128), vocabulary=(600, 200_000))
        _require(self, steps=(1, 10**7), batch_tokens=(64, 10**7), learning_rate=(1e-7, 1.0), decay=(0, 1))
        _require(self, prompt_weight=(0, 1), prompt_until=(0, 1), positions=(64, 10**6), max_length=(32, 10**6))
        _require(self, held_out=(1, 10**5), evaluate_every=(1, 10**9), checkpoint_every=(1, 10**9))
        if self.heads % self.kv_heads or self.hidden % self.heads:
            raise BadInput(
                f"{self.heads} heads do not divide into {self.kv_heads} or do not divide {self.hidden}", "heads"
            )


@dataclass(frozen=True)
class FinetuneConfig:
    """QLoRA fine-tuning. `seed` also decides how the rows are grouped and shuffled."""

    lora_rank: int = 32
    lora_alpha: int = 64
    lora_dropout: float = 0.0
    learning_rate: float = 2e-3
    epochs: float = 2.0
    batch_size: int = 8  # rows a step
    questions_per_row: int = 4  # questions of one graph that share one row, and so one reading of the schema
    warmup: float = 0.05  # share of the steps until the learning rate is reached
    load_in_4bit: bool = True
    max_length: int = 1024
    evaluations: int = 6  # how often the validation loss is measured, and a checkpoint is kept
    report_to: str = "none"  # or tensorboard
    seed: int = 7

    def __post_init__(self) -> None:
        _require(self, lora_rank=(1, 1024), lora_alpha=(1, 4096), lora_dropout=(0, 0.9), learning_rate=(1e-7, 1.0))
        _require(self, epochs=(0.001, 1000), batch_size=(1, 1024), questions_per_row=(1, 64), warmup=(0, 0.99))
        _require(self, max_length=(32, 10**6), evaluations=(1, 1000))


def key(settings: Any, *inputs: str) -> str:
    """What a finished training is recognised by: a hash of its settings and of its inputs' hashes."""
    content = json.dumps([asdict(settings), *inputs], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def device() -> str:
    """`cuda` where there is an NVIDIA GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def autocast() -> AbstractContextManager[None]:
    """bf16 autocast where it is fast; otherwise everything stays in fp32."""
    import torch

    return torch.autocast(device(), torch.bfloat16, enabled=hardware.fast_bf16())
