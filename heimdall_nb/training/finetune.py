"""QLoRA fine-tuning: the base is frozen in 4 bit, and small matrices beside its layers learn the answers.

Dettmers et al., 2023, https://arxiv.org/abs/2305.14314. TRL's SFTTrainer trains, PEFT adds the matrices (LoRA),
bitsandbytes holds the base in NF4 with double quantisation, on CUDA and on the CPU alike.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.dataset.example import load
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.model_shapes import empty_model
from heimdall_nb.models.chat_tokens import missing, with_chat_tokens
from heimdall_nb.models.transformers_model import device, load_tokenizer
from heimdall_nb.run import atomic_text, read_json, sha256, write_json
from heimdall_nb.training import checkpoints, trouble
from heimdall_nb.training.config import FinetuneConfig, key
from heimdall_nb.training.report import move_into_place, quiet, temporary_folder
from heimdall_nb.training.rows import rows
from heimdall_nb.training.sequences import IGNORED
from heimdall_nb.training.trainer import build_trainer, sharded
from heimdall_nb.training.watching import peak_memory_mb

SHOWN = 400  # characters of what the first row teaches


def finetune(base: Path | str, train: Path, validation: Path, output: Path, config: FinetuneConfig) -> dict[str, Any]:
    """Fine-tune `base` (a folder or a model id of the hub) and write the best adapter to the folder `output`.

    Returns what the folder's `training.json` holds: `history` (step, loss), `evaluations` (step, validation loss, and
    `right`, the share of exact answers to the watched questions), `best_step`, `trainable` and `total` parameters,
    `supervised` (the learnt text of the first row), `settings`, `memory_mb` and
    `training_memory_mb` (the peak, and that before the first evaluation), `timing`. An `output` that was made from
    the same inputs with the same settings is returned as it is; a training that was killed goes on from its last
    checkpoint, to the same result. Under `accelerate launch` several processes train together.
    Raises BadInput when the base or the data is missing or malformed, HeimdallError when no token would be learnt,
    and when memory or disk are too small.
    """
    output = Path(output)
    identity = key(config, _base_digest(base), sha256(Path(train)), sha256(Path(validation)))
    if (output / "training.json").exists() and read_json(output / "training.json").get("key") == identity:
        return read_json(output / "training.json")
    import torch
    from accelerate import PartialState

    torch.set_num_threads(hardware.threads())
    quiet()
    examples = load(train)
    config = config.with_epochs(len(examples))
    learnt = rows(examples, config.questions_per_row, config.seed)
    # One question a row, as the model will be asked.
    checked = rows(load(validation), 1, config.seed)
    begun = checkpoints.folder(output)
    state = PartialState(cpu=device() == "cpu")
    with trouble.explained(config, output.parent):
        if state.is_main_process:
            output.parent.mkdir(parents=True, exist_ok=True)
            checkpoints.keep_only(output, identity)
        state.wait_for_everyone()
        base = _with_chat_tokens(base, output.parent / "base", state)
        trainer = build_trainer(base, learnt, checked, begun, checkpoints.board(output), config)
        supervised = _first_supervised(trainer)
        last = checkpoints.last_complete(begun)
        if state.is_main_process:
            shown = supervised[:SHOWN] + " …" * (len(supervised) > SHOWN)
            print(f"fine-tuning: the loss of the first row is on: {shown}", flush=True)
            if last:
                print(f"fine-tuning: goes on from step {checkpoints.step(last)}", flush=True)
        state.wait_for_everyone()
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        result = {"key": identity, **_summary(trainer, started), "supervised": supervised, "settings": asdict(config)}
        weights = trainer.accelerator.get_state_dict(trainer.model) if sharded() else None  # all processes take part
        if state.is_main_process:
            _write(trainer, base, output, result, weights)
            shutil.rmtree(begun, ignore_errors=True)
        state.wait_for_everyone()
    return result


def evaluate_adapter(base: Path | str, adapter: Path, validation: Path) -> dict[str, Any]:
    """The validation loss of a finished adapter, and the questions of `validation` that it answers to the letter.

    Returns `loss`, `right`, `asked` and `answers`. Raises BadInput when `adapter` is not one that `finetune` wrote.
    """
    import torch
    from accelerate import PartialState
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    adapter = Path(adapter)
    if not (adapter / "adapter_model.safetensors").is_file():
        raise BadInput("is not an adapter (no adapter_model.safetensors)", str(adapter), "Train one first.")
    settings = read_json(adapter / "training.json").get("settings")
    if settings is None:
        raise BadInput("does not tell its settings", str(adapter / "training.json"), "Train it again.")
    torch.set_num_threads(hardware.threads())
    quiet()
    examples = load(validation)
    config = replace(FinetuneConfig(**settings), watched=len(examples), track="")
    checked = rows(examples, 1, config.seed)
    begun = temporary_folder(adapter)
    try:
        with trouble.explained(config, adapter.parent):
            base = _with_chat_tokens(base, adapter.parent / "base", PartialState(cpu=device() == "cpu"))
            trainer = build_trainer(base, checked, checked, begun, begun, config)
            set_peft_model_state_dict(trainer.model, load_file(adapter / "adapter_model.safetensors"))
            asked = trainer.watch.asked
            answers = trainer.watch.answers()
            trainer.remove_callback(trainer.watch)
            loss = trainer.evaluate()["eval_loss"]
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    right = [given.split() == talk[-1]["content"].split() for given, talk in zip(answers, asked, strict=True)]
    shown = [{"question": t[-2]["content"], "gold": t[-1]["content"]} for t in asked]
    shown = [row | {"answer": a, "exact": r} for row, a, r in zip(shown, answers, right, strict=True)]
    return {"loss": round(loss, 5), "right": sum(right), "asked": len(right), "answers": shown}


def _with_chat_tokens(base: Path | str, folder: Path, state: Any) -> Path | str:
    """`base`, or `folder` with the model that has the tokens of our prompts: Llama, Phi and their like lack them."""
    if state.is_main_process:
        with_chat_tokens(base, folder)
    state.wait_for_everyone()
    return folder if missing(load_tokenizer(base)) else base


def _first_supervised(trainer: Any) -> str:
    """The learnt text of the first row of the first batch: what the loss is on, seen where it is computed."""
    labels = next(iter(trainer.get_train_dataloader()))["labels"]
    if not (labels != IGNORED).any():
        raise HeimdallError("No token of the first batch would be learnt: all its labels are masked.")
    return trainer.processing_class.decode(labels[0][labels[0] != IGNORED])


def _write(trainer: Any, base: Path | str, output: Path, result: dict[str, Any], weights: Any) -> None:
    """Write the adapter and its report to `output`, all at once; `weights` where they are spread over processes."""
    folder = temporary_folder(output)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if Path(base).exists():  # the folder's name alone: the same adapter wherever the run lies
        model.peft_config["default"].base_model_name_or_path = Path(base).name
    model.save_pretrained(folder, save_embedding_layers=False, **({"state_dict": weights} if weights else {}))
    (folder / "README.md").unlink(missing_ok=True)
    atomic_text(folder / "settings.yaml", FinetuneConfig(**result["settings"]).yaml())
    write_json(folder / "training.json", result)
    move_into_place(folder, output)


def _summary(trainer: Any, started: float) -> dict[str, Any]:
    log = trainer.state.log_history
    seconds = time.monotonic() - started
    best = trainer.state.best_model_checkpoint
    right = {e["step"]: round(e["eval_right"], 4) for e in log if "eval_right" in e}
    checked = [{"step": e["step"], "loss": round(e["eval_loss"], 5)} for e in log if "eval_loss" in e]
    return {
        "history": [{"step": e["step"], "loss": round(e["loss"], 5)} for e in log if "loss" in e],
        "evaluations": [row | ({"right": right[row["step"]]} if row["step"] in right else {}) for row in checked],
        "best_step": checkpoints.step(Path(best)) if best else trainer.state.global_step,
        "steps": trainer.state.global_step,
        "planned_steps": trainer.state.max_steps,
        "trainable": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "total": trainer.accelerator.unwrap_model(trainer.model).num_parameters(),
        "footprint_mb": round(trainer.accelerator.unwrap_model(trainer.model).get_memory_footprint() / 2**20, 2),
        "longest_row": max(len(row["input_ids"]) for row in trainer.train_dataset),
        "precision": "bf16" if trainer.args.bf16 else "fp16" if trainer.args.fp16 else "fp32",
        "device": device(),
        "processes": trainer.args.world_size,
        "memory_mb": round(peak_memory_mb(), 1),
        "training_memory_mb": round(trainer.progress.peak_mb, 1),
        "timing": {"seconds": round(seconds, 1)},
    }


def _base_digest(base: Path | str) -> str:
    """Hash of a base folder's files that decide what it answers; a hub id stands for itself."""
    folder = Path(base)
    if not folder.is_dir():
        return str(base)
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "training.json")
    return " ".join(f"{path.name} {sha256(path)}" for path in files)


def linear_shapes(base: Path | str) -> list[tuple[int, int]]:
    """(outputs, inputs) of each linear layer that LoRA changes, in the model's order; no weights are loaded."""
    import torch

    model = empty_model(str(base))
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return [(module.out_features, module.in_features) for name, module in layers if name != "lm_head"]
