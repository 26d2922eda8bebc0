"""Continued training: all weights of a small base go on learning, on pairs in a language that it has not met.

An adapter re-uses what its base knows. Words that the base never wrote are not there to be re-used; then the base
itself has to learn first. The loop is that of `training/base.py`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.dataset.example import load
from heimdall_nb.errors import BadInput
from heimdall_nb.run import read_json, sha256, write_json
from heimdall_nb.training.base import Training
from heimdall_nb.training.config import BaseConfig, key
from heimdall_nb.training.report import move_into_place, quiet, temporary_folder
from heimdall_nb.training.rows import fitting, rows
from heimdall_nb.training.sequences import Tokens, encode, one_epoch, width


@dataclass(frozen=True)
class ContinueConfig:
    """Continued training. `seed` also decides how the questions are grouped into rows."""

    epochs: float = 2.0
    batch_size: int = 4  # rows a step, on average: a step has so many tokens as rows of mean length have
    questions_per_row: int = 6  # questions that share one reading of the schema
    learning_rate: float = 3e-3
    warmup: int = 10  # steps until the learning rate is reached
    max_length: int = 1024
    evaluations: int = 4  # how often the validation loss is measured, and a checkpoint is written
    seed: int = 7

    def __post_init__(self) -> None:
        if self.epochs <= 0 or min(self.batch_size, self.questions_per_row, self.evaluations) < 1:
            raise BadInput("epochs, batch size, questions a row and evaluations must be positive", "ContinueConfig")


def continue_base(base: Path, train: Path, validation: Path, output: Path, config: ContinueConfig) -> dict[str, Any]:
    """Train all weights of `base` on the examples of `train`, and write the model to the folder `output`.

    Returns what the folder's `training.json` holds, as `train_base` does. An `output` that was made from the same
    inputs with the same settings is returned as it is; a training that was killed goes on from its last checkpoint.
    Raises BadInput when `base` was not made by `train_base`, and when the data is missing or malformed.
    """
    import torch

    base, output = Path(base), Path(output)
    if not (base / "training.json").is_file():
        remedy = "Only the base of notebook 03 can be trained on; larger ones know SQL and need the adapter alone."
        raise BadInput("is not a base that this course has trained", str(base), remedy)
    weights = sha256(base / "model.safetensors")
    identity = key(config, weights, sha256(base / "tokenizer.json"), sha256(Path(train)), sha256(Path(validation)))
    if (output / "training.json").exists() and read_json(output / "training.json").get("key") == identity:
        return read_json(output / "training.json")
    torch.set_num_threads(hardware.threads())
    quiet()
    tokenizer, model = _load(base)
    learnt = rows(load(train), config.questions_per_row, config.seed)
    checked = rows(load(validation), 1, config.seed)
    random.Random(f"rows {config.seed}").shuffle(learnt)  # they come by schema, and batches keep their order
    parts = {"training data": learnt, "validation data": checked}
    sequences, held = (
        encode(tokenizer, [r["messages"] for r in fitting(tokenizer, part, config.max_length, what)], config.max_length)
        for what, part in parts.items()
    )
    training = _Continued(model, tokenizer, sequences, held, config)
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


class _Continued(Training):
    """The training loop of the base, starting from given weights."""

    def __init__(
        self, model: Any, tokenizer: Any, sequences: Sequence[Tokens], held: Sequence[Tokens], config: ContinueConfig
    ) -> None:
        tokens = round(config.batch_size * sum(width(len(s.ids)) for s in sequences) / len(sequences))
        steps = max(1, round(config.epochs * len(one_epoch(sequences, tokens, config.seed))))
        between = max(1, steps // config.evaluations)
        shape = model.config
        settings = BaseConfig(
            hidden=shape.hidden_size,
            layers=shape.num_hidden_layers,
            heads=shape.num_attention_heads,
            kv_heads=shape.num_key_value_heads,
            ffn=shape.intermediate_size,
            positions=shape.max_position_embeddings,
            steps=steps,
            batch_tokens=tokens,
            learning_rate=config.learning_rate,
            warmup=config.warmup,
            prompt_weight=0.0,  # copying is what the base can do already
            max_length=config.max_length,
            evaluate_every=between,
            checkpoint_every=between,
            seed=config.seed,
        )
        super().__init__(settings, tokenizer, sequences, held)
        self.model.load_state_dict(model.state_dict())


def _load(base: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    except (OSError, ValueError) as problem:
        what = f"is not a model that loads ({str(problem).splitlines()[0]})"
        raise BadInput(what, str(base), "Run notebook 03 again.") from None
