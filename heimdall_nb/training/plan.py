"""A training before it costs anything: the whole run built from its configuration, without weights and network."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput
from heimdall_nb.model_shapes import configuration, empty_model, shapes
from heimdall_nb.models.chat_tokens import missing
from heimdall_nb.models.shipped import MODELS, located
from heimdall_nb.models.transformers_model import device, load_tokenizer
from heimdall_nb.training.config import FinetuneConfig
from heimdall_nb.training.report import quiet
from heimdall_nb.training.rows import rows
from heimdall_nb.training.sequences import IGNORED
from heimdall_nb.training.trainer import build_trainer, lora, processes, steps

STAND_IN = MODELS / "heimdall-nano-base"  # whose tokenizer is taken where the base's own is not on this machine


@dataclass(frozen=True)
class Plan:
    """What a training would be: `facts` in the order they are shown, and the first batch as text."""

    facts: dict[str, Any]
    first_row: str
    learnt: list[str]

    def text(self) -> str:
        """A table, then the first row of the first batch, then what each row of that batch teaches."""
        width = max(map(len, self.facts))
        shown = (f"{v:,}" if isinstance(v, int) and not isinstance(v, bool) else str(v) for v in self.facts.values())
        facts = "\n".join(f"{name:<{width}}  {text}" for name, text in zip(self.facts, shown, strict=True))
        taught = "\n".join(f"  {number}. {text}" for number, text in enumerate(self.learnt, start=1))
        parts = [facts, f"The first row of the first batch:\n\n{self.first_row}"]
        return "\n\n".join([*parts, f"The loss is on, row by row:\n\n{taught}"])


def plan(base: str, examples: Sequence[Example], config: FinetuneConfig, questions: int = 0) -> Plan:
    """The training of `base` (as in a preset) on `examples`, which may stand for so many `questions`.

    The layers come from the configuration alone, on torch's meta device; the rows, their batches and labels from the
    code that trains, around a model of one thin layer of the same architecture. Raises BadInput as a training would.
    """
    quiet()
    questions = questions or len(examples)
    config = config.with_epochs(questions)
    tokenizer_folder, whose = _tokenizer_folder(base)
    made = rows(examples, config.questions_per_row, config.seed)
    held = max(1, len(made) // 10)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(
            tokenizer_folder, made, made[:held], Path(folder), Path(folder), config, _thin(base, tokenizer_folder)
        )
        batch = next(iter(trainer.get_train_dataloader()))
        lengths = [len(row["input_ids"]) for row in trainer.train_dataset]
    rows_planned = math.ceil(len(lengths) * questions / len(examples))
    facts = _model_facts(base, config) | {"tokenizer": whose, "training questions": questions, "rows": rows_planned}
    facts |= _run_facts(config, lengths, rows_planned)
    ids, decode = batch["input_ids"][0], trainer.processing_class.decode
    read = ids[batch["attention_mask"][0].bool()] if "attention_mask" in batch else ids
    return Plan(facts, decode(read), [decode(row[row != IGNORED]) for row in batch["labels"]])


def _model_facts(base: str, config: FinetuneConfig) -> dict[str, Any]:
    model = empty_model(base)
    shape, total = model.config, model.num_parameters()
    trained, modules = _matrices(base, config)
    return {
        "base": base,
        "architecture": f"{shape.model_type}, {shape.num_hidden_layers} layers of width {shape.hidden_size}",
        "licence, access": _licence(base),
        "parameters": total,
        "trained parameters": f"{trained:,} ({trained / (trained + total):.2%})",
        "trained matrices": ", ".join(f"{name} × {count}" for name, count in modules.items()),
        "base in": _stored(config),
        "arithmetic": f"{config.arithmetic(device())} on {device()}, processes: {processes()}",
    }


def _run_facts(config: FinetuneConfig, lengths: Sequence[int], rows_planned: int) -> dict[str, Any]:
    """What follows from the lengths of the rows in tokens, which may be a sample of all `rows_planned`."""
    all_steps, between = steps(rows_planned, config, processes())
    mean = sum(lengths) / len(lengths)
    ended = f", ends after {config.patience} without a better one" if config.patience else ""
    return {
        "tokens a row": f"{mean:.0f} on average, {max(lengths)} at most, limit {config.max_length}",
        "epochs": f"{config.epochs:g}",
        "rows a step": f"{config.batch_size} × {config.accumulation} × {processes()}",
        "steps": all_steps,
        "evaluated every": f"{between} steps{ended}",
        "tokens in all": round(mean * all_steps * config.batch_size * config.accumulation * processes()),
        "learning rate": f"{config.learning_rate:g}, {config.scheduler}, warm-up {config.warmup:.0%} of the steps",
        "checkpointing": config.checkpointing,
        "seed": config.seed,
    }


def _matrices(base: str, config: FinetuneConfig) -> tuple[int, Counter[str]]:
    """How many parameters LoRA trains, and how many layers of each name it changes."""
    import torch
    from peft import get_peft_model

    try:
        with torch.device("meta"):  # PEFT's own way to empty weights would part an output layer from its embeddings
            model = get_peft_model(empty_model(base), lora(config))
    except ValueError as problem:
        what = f"{config.lora_targets!r} names no layer of this model"
        raise BadInput(what, "lora_targets", "Give all-linear, or names that the model has.") from problem
    changed = [name.rsplit(".", 1)[1] for name, module in model.named_modules() if hasattr(module, "lora_A")]
    changed += config.targets[1]
    return sum(p.numel() for p in model.parameters() if p.requires_grad), Counter(changed)


def _thin(base: str, tokenizer_folder: Path) -> Any:
    """A model of the base's architecture with one thin layer, which carries the rows through the trainer."""
    from transformers import AutoModelForCausalLM

    shape = configuration(base)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    sizes = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16, "layer_types": None}
    sizes |= {name: value for name, value in heads.items() if name != "head_dim" or getattr(shape, name, None)}
    sizes |= {"vocab_size": len(load_tokenizer(tokenizer_folder)), "pad_token_id": None}
    return AutoModelForCausalLM.from_config(type(shape)(**(shape.to_dict() | sizes)))


def _tokenizer_folder(base: str) -> tuple[Path, str]:
    """A tokenizer on this machine: the base's own, one that was fetched before, or that of the nano base."""
    folder = located(base)
    if folder is None:
        from huggingface_hub import try_to_load_from_cache

        kept = try_to_load_from_cache(base, "tokenizer.json")
        folder = Path(kept).parent if isinstance(kept, str) else None
    if folder is None:
        return STAND_IN, f"that of {STAND_IN.name} as a stand-in: a larger vocabulary makes fewer tokens"
    lacking = missing(load_tokenizer(folder))
    return folder, "the base's own" + (f"; {' and '.join(lacking)} will be added" if lacking else "")


def _licence(base: str) -> str:
    shape = shapes().get(base)
    return f"{shape['licence']}, {shape['access']}" if shape else "a local model"


def _stored(config: FinetuneConfig) -> str:
    if not config.load_in_4bit:
        return config.arithmetic(device())
    return "4 bits (NF4" + (", scales in 8 bits)" if config.double_quantisation else ")")
