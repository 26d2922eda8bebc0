"""The settings of both trainings, and the number format and device that the machine at hand computes them with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from heimdall_nb import hardware, presets
from heimdall_nb.errors import BadInput

SCHEDULERS = ("cosine", "linear", "constant_with_warmup")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
TRACKERS = ("wandb", "trackio")


def _require(settings: Any, **limits: tuple[float, float]) -> None:
    """Raise BadInput for the first field of `settings` outside its (lowest, highest) value."""
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise BadInput(f"{value} is not between {low:g} and {high:g}", name, "Change the parameter.")


def _require_types(settings: Any) -> None:
    """Raise BadInput for the first field whose value is not of its default's type; a whole number is a float, too."""
    for field in fields(settings):
        value, like = getattr(settings, field.name), type(field.default)
        allowed = (int, float) if like is float else like
        if not isinstance(value, allowed) or isinstance(value, bool) is not (like is bool):
            raise BadInput(f"{value!r} is not a value of type {like.__name__}", field.name, "Change the parameter.")


def _require_one(settings: Any, **choices: Sequence[str]) -> None:
    """Raise BadInput for the first field of `settings` that has none of its choices."""
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise BadInput(f"{getattr(settings, name)!r} is unknown", name, f"Choose from {', '.join(allowed)}.")


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
    """QLoRA fine-tuning; CONFIG.md explains each field. `seed` also decides how rows are grouped and shuffled."""

    lora_rank: int = 32
    lora_alpha: int = 64
    lora_dropout: float = 0.0
    lora_targets: str = "all-linear"  # or names of layers, comma-separated; see `presets.lora_layers`
    load_in_4bit: bool = True
    double_quantisation: bool = True
    learning_rate: float = 2e-3
    scheduler: str = "cosine"
    warmup: float = 0.05  # share of the steps until the learning rate is reached
    weight_decay: float = 0.0
    clipping: float = 1.0  # longest gradient; 0 for no limit
    epochs: float = 2.0  # 0: by the number of questions, see `with_epochs`
    batch_size: int = 8  # rows computed at once, on each device
    accumulation: int = 1  # batches a step
    questions_per_row: int = 4  # questions of one graph that share one row, and so one reading of the schema
    packing: bool = False
    max_length: int = 1024
    checkpointing: bool = False
    precision: str = "auto"
    evaluations: int = 6  # how often the validation loss is measured, and a checkpoint is kept
    patience: int = 0  # evaluations without a better one that end the training; 0 for none
    watched: int = 0  # validation questions answered at each evaluation
    track: str = ""  # besides TensorBoard: wandb, trackio
    seed: int = 7

    def __post_init__(self) -> None:
        _require_types(self)
        _require(self, lora_rank=(1, 1024), lora_alpha=(1, 4096), lora_dropout=(0, 0.9), learning_rate=(1e-7, 1.0))
        _require(self, epochs=(0, 1000), batch_size=(1, 1024), accumulation=(1, 4096), questions_per_row=(1, 64))
        _require(self, warmup=(0, 0.99), weight_decay=(0, 1), clipping=(0, 1e6), max_length=(32, 10**6))
        _require(self, evaluations=(1, 1000), patience=(0, 1000), watched=(0, 1000))
        _require_one(self, scheduler=SCHEDULERS, precision=PRECISIONS)
        if not self.targets[0] or not all(name.strip() for name in self.lora_targets.split(",")):
            raise BadInput("names no layer", "lora_targets", "Give all-linear, or names such as q_proj,v_proj.")
        unknown = set(self.trackers) - set(TRACKERS)
        if unknown:
            raise BadInput(f"{min(unknown)!r} is not a tracker", "track", f"Choose from {', '.join(TRACKERS)}.")

    @property
    def targets(self) -> tuple[list[str], list[str]]:
        """The layers that get matrices, and those that are trained whole, by their names."""
        return presets.lora_layers(self.lora_targets)

    @property
    def trackers(self) -> list[str]:
        """What shows the training's figures besides TensorBoard."""
        return [name.strip() for name in self.track.split(",") if name.strip()]

    @classmethod
    def of(cls, values: Mapping[str, Any], **changes: Any) -> FinetuneConfig:
        """The settings among the knobs of a stage; other knobs are passed over. Raises BadInput for a wrong value."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values} | changes)

    @classmethod
    def read(cls, path: Path, over: FinetuneConfig | None = None) -> FinetuneConfig:
        """The settings in a YAML file; what it leaves out is as in `over`, or keeps its default.

        Raises BadInput for any other content.
        """
        try:
            found = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
            raise BadInput(f"cannot be read ({str(problem).splitlines()[0]})", str(path), "Give a YAML file.") from None
        known = [field.name for field in fields(cls)]
        unknown = [name for name in found if name not in known] if isinstance(found, dict) else ["(not a mapping)"]
        if unknown:
            raise BadInput(f"{unknown[0]!r} is not a setting", str(path), f"Known are: {', '.join(known)}.")
        try:
            return replace(over or cls(), **found)
        except BadInput as problem:
            raise BadInput(problem.what, f"{path}, {problem.where}", problem.remedy) from None

    def knobs(self) -> dict[str, Any]:
        """The settings by the names of the knobs, which are those of the fields."""
        return asdict(self)

    def yaml(self) -> str:
        """The settings as YAML, which `read` takes."""
        return yaml.safe_dump(self.knobs(), sort_keys=False)

    def with_epochs(self, questions: int) -> FinetuneConfig:
        """These settings with the number of epochs for so many training questions, where `epochs` is 0."""
        return self if self.epochs else replace(self, epochs=presets.epochs_by_size(questions))

    def arithmetic(self, where: str) -> str:
        """The number format of the arithmetic on a device (cuda, mps, cpu): bf16, fp16 or fp32.

        Raises BadInput for fp16 on a CPU, where its small range is never checked.
        """
        if self.precision == "fp16" and where != "cuda":
            raise BadInput(f"needs an NVIDIA GPU, and this is {where}", "precision=fp16", "Leave it at auto.")
        if self.precision != "auto":
            return self.precision
        if where == "mps":
            return "fp32"
        return "bf16" if hardware.fast_bf16() else ("fp16" if where == "cuda" else "fp32")


def key(settings: Any, *inputs: str) -> str:
    """What a finished training is recognised by: a hash of its settings and of its inputs' hashes."""
    content = json.dumps([asdict(settings), *inputs], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def device() -> str:
    """Where a base is trained from scratch: `cuda` where there is an NVIDIA GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def autocast() -> AbstractContextManager[None]:
    """bf16 autocast where it is fast; otherwise everything stays in fp32."""
    import torch

    return torch.autocast(device(), torch.bfloat16, enabled=hardware.fast_bf16())
