"""One rung of the ladder, measured in a process of its own, so that its peak of memory is its own: see `ladder`.

`python -m heimdall_nb.export.rung TASK` prints one line of JSON; TASK is the JSON of a `Task`.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from heimdall_nb import hardware
from heimdall_nb.dataset.example import Example, load
from heimdall_nb.evaluation.answers import answer_examples, prompt_of
from heimdall_nb.evaluation.perplexity import answer_log_likelihoods, perplexity
from heimdall_nb.export.agreement import agreement
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.prompts import TURN_END, render

QUESTIONS = "questions.jsonl"  # in the ladder's folder: too long for a command line


@dataclass(frozen=True)
class Task:
    """What a process measures: a GGUF file or a model folder at `path`, an `adapter` on it, held against `reference`.

    The questions are those of the ladder's `folder`, where the answers are kept as well; both models read the first
    `scored` of them with their right answers.
    """

    name: str
    path: str
    adapter: str
    four_bit: bool
    reference: str
    folder: str
    scored: int
    max_new_tokens: int
    context: int
    threads: int
    version: str


def measure(task: Task) -> dict[str, Any]:
    """`completions` (kept in the folder as they come), perplexity, agreement with the reference, MiB of memory.

    `mean_kl` and `top1` are those of the places where right answers stand. `memory_mb` is the peak of this process
    until all questions are answered, `model_mb` how much of it came after the libraries were loaded: weights, cache and
    working buffers.
    """
    folder = Path(task.folder)
    examples = load(folder / QUESTIONS)
    gguf = Path(task.path).is_file()
    if not gguf:
        import heimdall_nb.models.transformers_model  # noqa: F401  (its libraries are not the model's memory)
    before = psutil.Process().memory_info().rss / 2**20
    with closing(_opened(task, gguf)) as model:
        kept = folder / "answers" / f"{task.name}.jsonl"
        answers = answer_examples(model, examples, kept, task.max_new_tokens, task.version)
        surprise = perplexity(answer_log_likelihoods(model, examples))
        peak = hardware.peak_memory_mb()
        with closing(LlamaCppModel(task.reference, context=task.context)) as reference:
            pairs = [_read(example) for example in examples[: task.scored]]
            fitting = [(text, prompt) for text, prompt in pairs if len(reference.tokens(text)) <= reference.context]
            close = agreement(reference, model, [text for text, _ in fitting], [prompt for _, prompt in fitting])
    return {
        "completions": [asdict(answer) for answer in answers],
        "perplexity": round(surprise, 4),
        "mean_kl": close["mean_kl"],
        "top1": close["top1"],
        "memory_mb": peak,
        "model_mb": round(peak - before, 1),
    }


def _opened(task: Task, gguf: bool) -> Any:
    if gguf:
        return LlamaCppModel(task.path, context=task.context)
    from heimdall_nb.models.transformers_model import TransformersModel

    return TransformersModel(task.path, task.adapter or None, four_bit=task.four_bit)


def _read(example: Example) -> tuple[str, str]:
    """A question with its right answer, and the part of it before the answer."""
    prompt = render(prompt_of(example))
    return prompt + example.output + TURN_END, prompt


def main(argument: str) -> None:
    """Measure the task given as JSON and print the result as JSON."""
    hardware.die_with_parent()
    print(json.dumps(measure(Task(**json.loads(argument)))))


if __name__ == "__main__":
    main(sys.argv[1])
