"""TRL's SFTTrainer for the settings of a preset: the base in 4 or 16 bits, LoRA beside its layers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.models.chat_tokens import trained_tokens
from heimdall_nb.models.transformers_model import device, load_4bit, load_tokenizer, load_weights
from heimdall_nb.prompts import chat_template
from heimdall_nb.training.config import FinetuneConfig
from heimdall_nb.training.rows import fitting
from heimdall_nb.training.watching import Progress, Watch


def processes() -> int:
    """How many processes train together; `accelerate launch` sets it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def sharded() -> bool:
    """True where `accelerate launch` spreads the model over the processes (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")


def steps(rows_learnt: int, config: FinetuneConfig, together: int = 1) -> tuple[int, int]:
    """(all steps, steps between evaluations): a whole number between them, so that the last step is evaluated too."""
    rows_a_step = config.batch_size * config.accumulation * together
    between = max(1, round(config.epochs * rows_learnt / rows_a_step / config.evaluations))
    return between * config.evaluations, between


def arguments(rows_learnt: int, checkpoints: Path, board: Path, config: FinetuneConfig) -> Any:
    """SFTTrainer's settings. Its defaults suit large models on a GPU, so everything that matters is set here."""
    from trl import SFTConfig

    os.environ["TENSORBOARD_LOGGING_DIR"] = str(board)
    os.environ.setdefault("WANDB_PROJECT", "heimdall")
    precision = config.arithmetic(device())
    max_steps, between = steps(rows_learnt, config, processes())
    return SFTConfig(
        output_dir=str(checkpoints),
        run_name=checkpoints.name,
        max_steps=max_steps,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=2 * config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.scheduler,
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.clipping,
        max_length=config.max_length,
        assistant_only_loss=True,
        packing=config.packing,
        eval_packing=False,
        pad_to_multiple_of=64,  # few shapes: see sequences.pad
        train_sampling_strategy="random" if config.packing else "group_by_length",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        activation_checkpointing=config.checkpointing,
        use_cpu=device() == "cpu",
        eval_strategy="steps",
        eval_steps=between,
        save_strategy="steps",
        save_steps=between,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,  # early stopping goes on counting
        logging_steps=max(1, between // 8),
        report_to=["tensorboard", *config.trackers],
        disable_tqdm=True,
        seed=config.seed,
        data_seed=config.seed,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,  # every matrix takes part in every step
    )


def load_base(base: Path | str, config: FinetuneConfig) -> Any:
    """The base as it is trained: in 4 bits, or in the numbers of the arithmetic; on this process's own device."""
    import torch

    where = device()
    precision = config.arithmetic(where)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    if sharded():
        if config.load_in_4bit:
            raise BadInput("cannot be spread over processes", "load_in_4bit", "Give --set load_in_4bit=false.")
        return load_weights(base, torch.float32, "cpu")  # one type for all shards; the processes place them
    if where == "cuda" and processes() > 1:
        where = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return (
        load_4bit(base, where, dtype, config.double_quantisation)
        if config.load_in_4bit
        else load_weights(base, dtype, where)
    )


def lora(config: FinetuneConfig, tokens: dict[str, list[int]] | None = None) -> Any:
    """PEFT's settings of the trained matrices, and of new `tokens` (see `trained_tokens`), which are trained whole."""
    from peft import LoraConfig

    targets, whole = config.targets
    tokens = {layer: ids for layer, ids in (tokens or {}).items() if layer not in whole}
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear" if targets == ["all-linear"] else targets,
        modules_to_save=whole or None,
        ensure_weight_tying=bool(whole),  # where the output layer is the embeddings, it stays so
        trainable_token_indices=tokens or None,
        task_type="CAUSAL_LM",
    )


def tokenizer_of(base: Path | str) -> Any:
    """The base's tokenizer with the course's chat template."""
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = chat_template()
    return tokenizer


def build_trainer(
    base: Path | str,
    learnt: Sequence[dict[str, Any]],
    checked: Sequence[dict[str, Any]],
    checkpoints: Path,
    board: Path,
    config: FinetuneConfig,
    model: Any = None,
) -> Any:
    """TRL's SFTTrainer with LoRA on the chosen layers; its callbacks are its attributes `progress` and `watch`.

    `base` is loaded, unless `model` is given and stands for it. Questions whose answers do not fit are left out.
    Raises BadInput when the base, a layer or a tracker is missing or no answer fits, HeimdallError when a row has
    nothing to learn.
    """
    from datasets import Dataset
    from transformers import EarlyStoppingCallback, PrinterCallback, set_seed
    from trl import SFTTrainer

    for name in config.trackers:
        if importlib.util.find_spec(name) is None:
            raise BadInput(f"{name} is not installed", "track", "pip install -e '.[track]', or leave it out.")
    set_seed(config.seed)
    tokenizer = tokenizer_of(base)
    # TRL would leave out a row whose first answer lies beyond max_length without a word, and cut later ones in two.
    learnt = fitting(tokenizer, learnt, config.max_length, "training data")
    checked = fitting(tokenizer, checked, config.max_length, "validation data")
    watch = Watch(
        [row["messages"] for row in checked[:: max(1, len(checked) // max(1, config.watched))]][: config.watched]
    )
    progress = Progress()
    try:
        trainer = SFTTrainer(
            model=model or load_base(base, config),
            args=arguments(len(learnt), checkpoints, board, config),
            train_dataset=Dataset.from_list(learnt),
            eval_dataset=Dataset.from_list(checked),
            processing_class=tokenizer,
            peft_config=lora(config, trained_tokens(base)),
            callbacks=[progress, watch, *([EarlyStoppingCallback(config.patience)] if config.patience else [])],
        )
    except RuntimeError as problem:
        if "assistant" not in str(problem):
            raise
        raise HeimdallError("A row has no token to learn: the chat template marks no answer in it.") from problem
    except ValueError as problem:
        if "arget modules" not in str(problem):
            raise
        raise BadInput(
            f"{config.lora_targets!r} names no layer of this model", "lora_targets", "See CONFIG.md."
        ) from problem
    trainer.remove_callback(PrinterCallback)
    trainer.watch, trainer.progress, watch.trainer = watch, progress, trainer
    head = trainer.model.get_base_model().get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None  # TRL asks for it, and PEFT's cover of trained tokens does not pass the question on
    # TRL turns the adapter into bf16 at the start but not when it resumes; fp32 is the same in both, and more exact.
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainer
