"""QLoRA fine-tuning: the base is frozen in 4 bit, and small matrices beside its layers learn the answers.

Dettmers et al., 2023, https://arxiv.org/abs/2305.14314. TRL's SFTTrainer trains, PEFT adds the matrices (LoRA),
bitsandbytes holds the base in NF4 with double quantisation, on CUDA and on the CPU alike.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.dataset.example import Example, load
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.models.transformers_model import load_4bit, load_tokenizer, load_weights
from heimdall_nb.prompts import TURN_END, Conversation, chat_template, conversation, render
from heimdall_nb.run import read_json, sha256, write_json
from heimdall_nb.training.config import FinetuneConfig, device, key
from heimdall_nb.training.report import Report, move_into_place, quiet, temporary_folder
from heimdall_nb.training.sequences import IGNORED


def finetune(base: Path | str, train: Path, validation: Path, output: Path, config: FinetuneConfig) -> dict[str, Any]:
    """Fine-tune `base` (a folder or a model id of the hub) and write the best adapter to the folder `output`.

    Returns what the folder's `training.json` holds: `history` (step, loss), `evaluations` (step, validation loss),
    `best_step`, `trainable` and `total` parameters, `supervised` (the learnt text of the first row), `memory_mb`,
    `timing`. An `output` that was made from the same inputs with the same settings is returned as it is; a training
    that was killed goes on from its last checkpoint, to the same result.
    Raises BadInput when the base or the data is missing or malformed, HeimdallError when no token would be learnt.
    """
    output = Path(output)
    identity = key(config, _base_digest(base), sha256(Path(train)), sha256(Path(validation)))
    if (output / "training.json").exists() and read_json(output / "training.json").get("key") == identity:
        return read_json(output / "training.json")
    import torch

    torch.set_num_threads(hardware.threads())
    quiet()
    learnt = rows(load(train), config.questions_per_row, config.seed)
    # One question a row, as the model will be asked.
    checked = rows(load(validation), 1, config.seed)
    checkpoints = output.parent / "checkpoints" / output.name
    _keep_only(checkpoints, identity)
    trainer = build_trainer(base, learnt, checked, checkpoints, config)
    supervised = _first_supervised(trainer)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=_last_complete(checkpoints))
    result = {"key": identity, **_summary(trainer, started), "supervised": supervised}

    folder = temporary_folder(output)
    if Path(base).exists():  # the folder's name alone: the same adapter wherever the run lies
        trainer.model.peft_config["default"].base_model_name_or_path = Path(base).name
    trainer.model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    write_json(folder / "training.json", result)
    move_into_place(folder, output)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return result


def rows(examples: Sequence[Example], questions_per_row: int, seed: int) -> list[dict[str, Conversation]]:
    """Conversations for TRL: questions about the same schema share a row, so that the schema is read once for all.

    The questions are shuffled by `seed`, so that each kind of question is first in a row, and so zero-shot, some times.
    """
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for example in random.Random(seed).sample(list(examples), len(examples)):
        groups.setdefault((example.schema, example.task), []).append((example.question, example.output))
    made = []
    for (schema, task), turns in sorted(groups.items()):
        for start in range(0, len(turns), questions_per_row):
            *exemplars, (question, answer) = turns[start : start + questions_per_row]
            made.append({"messages": conversation(question, schema, task, answer, exemplars)})
    return made


def fitting(
    tokenizer: Any, made: Sequence[dict[str, Conversation]], max_length: int, what: str
) -> list[dict[str, Conversation]]:
    """The rows with the questions whose answers end within `max_length` tokens; says how many answers of `what` do not.

    A row is cut after a whole answer, so that no beginning of one is learnt as if it were all; a row whose first answer
    does not fit is left out. Raises BadInput when no row is left.
    """
    if not made:
        raise BadInput("holds no example", what, "Run stage 02 again.")
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    kept, lost, total = [], 0, 0
    for row, ids in zip(made, tokenizer([render(row["messages"], False) for row in made])["input_ids"], strict=True):
        whole = row["messages"][: ids[:max_length].count(end)]  # each message ends with one such token
        while whole and whole[-1]["role"] != "assistant":
            whole = whole[:-1]
        total += _answers(row["messages"])
        lost += _answers(row["messages"]) - _answers(whole)
        kept += [{"messages": whole}] if whole else []
    if not kept:
        raise BadInput(f"{max_length} tokens hold no answer of the {what}", "max_length", "Give a larger value.")
    if lost:
        print(f"{what}: {lost} of {total} answers do not fit into {max_length} tokens and are left out", flush=True)
    return kept


def _answers(messages: Conversation) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def arguments(rows_learnt: int, checkpoints: Path, config: FinetuneConfig) -> Any:
    """SFTTrainer's settings. Its defaults suit large models on a GPU, so everything that matters is set here."""
    from trl import SFTConfig

    # A whole number of steps between evaluations, so that the last step is evaluated too.
    between = max(1, round(config.epochs * rows_learnt / config.batch_size / config.evaluations))
    if config.report_to == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(checkpoints.with_name("tensorboard"))
    return SFTConfig(
        output_dir=str(checkpoints),
        max_steps=between * config.evaluations,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=2 * config.batch_size,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup,
        weight_decay=0.0,
        max_grad_norm=1.0,
        max_length=config.max_length,
        assistant_only_loss=True,
        packing=False,
        pad_to_multiple_of=64,  # few shapes: see sequences.pad
        train_sampling_strategy="group_by_length",
        bf16=hardware.fast_bf16(),
        fp16=False,
        activation_checkpointing=False,
        use_cpu=device() == "cpu",
        eval_strategy="steps",
        eval_steps=between,
        save_strategy="steps",
        save_steps=between,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=max(1, between // 8),
        report_to=config.report_to,
        disable_tqdm=True,
        seed=config.seed,
        data_seed=config.seed,
        dataloader_pin_memory=False,
    )


def build_trainer(
    base: Path | str,
    learnt: Sequence[dict[str, Any]],
    checked: Sequence[dict[str, Any]],
    checkpoints: Path,
    config: FinetuneConfig,
) -> Any:
    """TRL's SFTTrainer with LoRA on all linear layers.

    Questions whose answers do not fit are left out. Raises BadInput when the base is missing or no answer fits,
    HeimdallError when a row has nothing to learn.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, set_seed
    from trl import SFTTrainer

    set_seed(config.seed)
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = chat_template()
    # TRL would leave out a row whose first answer lies beyond max_length without a word, and cut later ones in two.
    learnt = fitting(tokenizer, learnt, config.max_length, "training data")
    checked = fitting(tokenizer, checked, config.max_length, "validation data")
    # fp32 weights where the base is not quantised: bf16 autocast makes the arithmetic fast all the same.
    model = load_4bit(base, device()) if config.load_in_4bit else load_weights(base, torch.float32, device())
    try:
        trainer = SFTTrainer(
            model=model,
            args=arguments(len(learnt), checkpoints, config),
            train_dataset=Dataset.from_list(learnt),
            eval_dataset=Dataset.from_list(checked),
            processing_class=tokenizer,
            peft_config=LoraConfig(
                r=config.lora_rank,
                lora_alpha=config.lora_alpha,
                lora_dropout=config.lora_dropout,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            ),
            callbacks=[_progress_callback()],
        )
    except RuntimeError as problem:
        if "assistant" not in str(problem):
            raise
        raise HeimdallError("A row has no token to learn: the chat template marks no answer in it.") from problem
    trainer.remove_callback(PrinterCallback)
    # TRL turns the adapter into bf16 at the start but not when it resumes; fp32 is the same in both, and more exact.
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return trainer


def supervised_text(tokenizer: Any, messages: Conversation) -> str:
    """The part of a conversation that the loss is on, as text: the answers with their end tokens."""
    encoded = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    pairs = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    return tokenizer.decode([token for token, learnt in pairs if learnt])


def _first_supervised(trainer: Any) -> str:
    """The learnt text of the first row of the first batch: what the loss is on, seen where it is computed."""
    labels = next(iter(trainer.get_train_dataloader()))["labels"]
    return trainer.processing_class.decode(labels[0][labels[0] != IGNORED])


def _summary(trainer: Any, started: float) -> dict[str, Any]:
    import torch

    log = trainer.state.log_history
    seconds = time.monotonic() - started
    memory = torch.cuda.max_memory_allocated() / 2**20 if device() == "cuda" else hardware.peak_memory_mb()
    best = trainer.state.best_model_checkpoint
    return {
        "history": [{"step": e["step"], "loss": round(e["loss"], 5)} for e in log if "loss" in e],
        "evaluations": [{"step": e["step"], "loss": round(e["eval_loss"], 5)} for e in log if "eval_loss" in e],
        "best_step": int(best.rsplit("-", 1)[1]) if best else trainer.state.global_step,
        "steps": trainer.state.max_steps,
        "trainable": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "total": trainer.model.num_parameters(),
        "footprint_mb": round(trainer.model.get_memory_footprint() / 2**20, 2),
        "precision": "bf16" if hardware.fast_bf16() else "fp32",
        "memory_mb": round(memory, 1),
        "timing": {"seconds": round(seconds, 1)},
    }


def _progress_callback() -> Any:
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        """Shows TRL's own figures through `Report`."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.report = Report("fine-tuning", state.max_steps, state.global_step)
            self.tokens = None

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" in logs:
                before = self.tokens if self.tokens is not None else 0
                self.tokens = logs.get("num_tokens", before)
                self.report.update(state.global_step, logs["loss"], int(self.tokens - before))
            elif "eval_loss" in logs:
                print(f"fine-tuning: step {state.global_step}, validation loss {logs['eval_loss']:.4f}", flush=True)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.report.close()

    return Progress()


def _base_digest(base: Path | str) -> str:
    """Hash of a base folder's files that decide what it answers; a hub id stands for itself."""
    folder = Path(base)
    if not folder.is_dir():
        return str(base)
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "training.json")
    return " ".join(f"{path.name} {sha256(path)}" for path in files)


def _keep_only(checkpoints: Path, identity: str) -> None:
    """Remove checkpoints of another training than `identity`."""
    mark = checkpoints / "key.json"
    if not mark.exists() or read_json(mark) != identity:
        shutil.rmtree(checkpoints, ignore_errors=True)
        write_json(mark, identity)


def _last_complete(checkpoints: Path) -> str | None:
    """The newest checkpoint that was written to its end, or None; what was killed half-way is removed."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]))
    while found:
        try:
            step = read_json(found[-1] / "trainer_state.json")["global_step"]  # the Trainer writes this file last
            print(f"fine-tuning: goes on from step {step}", flush=True)
            return str(found[-1])
        except BadInput:
            shutil.rmtree(found.pop())
    return None


def linear_shapes(base: Path | str) -> list[tuple[int, int]]:
    """(outputs, inputs) of each linear layer that LoRA changes, in the model's order; no weights are loaded."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return [(module.out_features, module.in_features) for name, module in layers if name != "lm_head"]
