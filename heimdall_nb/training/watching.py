"""What a fine-tuning shows while it runs: its figures as plain lines or a bar, and answers of the model as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback

from heimdall_nb import hardware
from heimdall_nb.models.transformers_model import TransformersModel
from heimdall_nb.prompts import Conversation
from heimdall_nb.training.report import Report


def peak_memory_mb() -> float:
    """The most memory so far, in MiB: of the GPU where there is one, else of this process."""
    import torch

    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else hardware.peak_memory_mb()


class Progress(TrainerCallback):
    """Shows TRL's own figures through `Report`."""

    report: Report | None = None  # there is none while nothing is trained, and in all processes but the first
    peak_mb = 0.0  # of the training alone: before anything is evaluated or answered
    evaluated = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.report = Report("fine-tuning", state.max_steps, state.global_step) if state.is_world_process_zero else None
        self.tokens = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not self.evaluated:
            self.peak_mb = peak_memory_mb()

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.evaluated = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if self.report is None:
            return
        if "loss" in logs:
            before = self.tokens if self.tokens is not None else 0
            self.tokens = logs.get("num_tokens", before)
            self.report.update(state.global_step, logs["loss"], int(self.tokens - before))
        elif "eval_loss" in logs:
            print(f"fine-tuning: step {state.global_step}, validation loss {logs['eval_loss']:.4f}", flush=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.report is not None:
            self.report.close()


class Watch(TrainerCallback):
    """Lets the model answer a few questions at each evaluation, without changing anything of the training.

    The share of answers that are the gold's to the letter, but for white space, is logged as `eval_right`.
    """

    def __init__(self, asked: Sequence[Conversation], max_new_tokens: int = 128) -> None:
        self.asked, self.max_new_tokens = list(asked), max_new_tokens
        self.trainer: Any = None  # set once it is there

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not self.asked or not state.is_world_process_zero:
            return
        answers = self.answers()
        right = [given.split() == talk[-1]["content"].split() for given, talk in zip(answers, self.asked, strict=True)]
        shown = right.index(False) if False in right else 0  # a wrong one tells more
        print(
            f"fine-tuning: step {state.global_step}, {sum(right)} of {len(right)} watched answers are exact", flush=True
        )
        print(
            f"  question {self.asked[shown][-2]['content']}\n  gold     {self.asked[shown][-1]['content']}", flush=True
        )
        print(f"  answer   {answers[shown]}", flush=True)
        self.trainer.log({"eval_right": sum(right) / len(right), "eval_watched": len(right)})

    def answers(self) -> list[str]:
        """The model's answers to the watched questions, greedy."""
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        training, kept = model.training, model.generation_config
        model.eval()
        asked = TransformersModel.around(model, self.trainer.processing_class, "watched")
        found = asked.complete([talk[:-1] for talk in self.asked], self.max_new_tokens)
        model.generation_config = kept
        model.train(training)
        return [answer.text.strip() for answer in found]
