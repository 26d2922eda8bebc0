"""Distillation: questions asked of a larger model, its answers kept as they come, checked, and made into examples.

What is trained on the answers is the student of Hinton, Vinyals and Dean (2015, https://arxiv.org/abs/1503.02531), in
the form that needs the teacher's text alone (Kim and Rush, 2016, https://arxiv.org/abs/1606.07947).
"""

from __future__ import annotations

import fcntl
import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import save
from heimdall_nb.dataset.teacher_check import AnswerCheck, Judged
from heimdall_nb.dataset.teacher_prompts import Prompt
from heimdall_nb.dataset.validation_report import table
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.models.answers import append, prompt_key, stored
from heimdall_nb.models.openai_client import OpenAIModel, Unanswered
from heimdall_nb.models.protocol import Completion
from heimdall_nb.progress import track
from heimdall_nb.prompts import Conversation, render
from heimdall_nb.run import write_json, write_lines

PATIENCE = 3  # questions in a row that the server does not answer, before the run ends
_TURN_TOKENS = 32  # most that a chat template puts around a turn


@dataclass(frozen=True)
class Asking:
    """How a teacher is asked: longest answer in tokens, temperature, seed, the hint (None: by task), prices, limit."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    seed: int = 7
    system: str | None = None
    price_in: float | None = None  # for a million tokens of prompts, in the user's currency
    price_out: float | None = None  # for a million tokens of answers
    max_cost: float | None = None  # of all answers to these prompts, those of earlier runs included

    def __post_init__(self) -> None:
        amounts = (self.price_in, self.price_out, self.max_cost)
        if any(amount is not None and not 0 <= amount < 1e12 for amount in amounts):
            raise BadInput("must be 0 or more", "--price-in, --price-out, --max-cost")
        if (self.price_in is None) != (self.price_out is None):
            raise BadInput("belong together", "--price-in, --price-out", "Give both, for a million tokens.")
        if self.max_cost is not None and self.price_in is None:
            raise BadInput("needs the prices", "--max-cost", "Give --price-in and --price-out, for a million tokens.")

    def cost(self, prompt_tokens: int, new_tokens: int) -> float | None:
        """What so many tokens cost; None without prices."""
        if self.price_in is None or self.price_out is None:
            return None
        return (prompt_tokens * self.price_in + new_tokens * self.price_out) / 1e6

    def most(self, messages: Conversation) -> float:
        """The most that an answer can cost: a token of the prompt has a byte at least."""
        return self.cost(len(render(messages).encode()) + _TURN_TOKENS * len(messages), self.max_new_tokens) or 0.0


@dataclass
class Distilled:
    """What a run has done; the counts are of all answers, those of earlier runs included."""

    prompts: int = 0
    kept: int = 0  # answers of earlier runs
    asked: int = 0  # answers of this run
    unanswered: dict[int, str] = field(default_factory=dict)  # by line of the prompt, with the reason
    not_asked: int = 0
    stopped: str = ""  # why not all was asked
    retries: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)  # prompt, new
    cost: float | None = None
    judged: list[Judged] = field(default_factory=list)

    @property
    def entered(self) -> int:
        return sum(item.example is not None for item in self.judged)

    def refused(self) -> Counter[str]:
        """Answers that may not enter, by kind."""
        return Counter(item.kind for item in self.judged if item.example is None)

    def checks(self) -> Counter[str]:
        """Examples by how their truth was established."""
        return Counter(item.example.check.partition(":")[0] for item in self.judged if item.example is not None)

    def table(self) -> str:
        """The counts as lines of text."""
        rows: list[tuple[str, Any]] = [("prompts", self.prompts), ("answers kept from before", self.kept)]
        rows += [("answers of this run", self.asked), ("asked again", self.retries.total())]
        rows += [(f"  {what}", number) for what, number in sorted(self.retries.items())]
        rows += [("unanswered", len(self.unanswered)), ("not asked", self.not_asked)]
        rows += [("refused by the checks", self.refused().total())]
        rows += [(f"  {what}", number) for what, number in sorted(self.refused().items())]
        rows += [("examples", self.entered), *((f"  {what}", n) for what, n in sorted(self.checks().items()))]
        rows += [(f"{name} tokens, as the server counts", f"{self.tokens[name]:,}") for name in ("prompt", "new")]
        rows += [("cost at the given prices", f"{self.cost:.4f}")] if self.cost is not None else []
        return table(["distillation", "number"], rows)


def beside(output: Path, what: str) -> Path:
    """The file of a run beside its dataset: `answers` (as they came), `refused`, `report`."""
    return output.with_name(f"{output.stem}.{what}.{'json' if what == 'report' else 'jsonl'}")


def distil(
    prompts: Sequence[Prompt], model: OpenAIModel, output: Path, asking: Asking, check: AnswerCheck
) -> Distilled:
    """Ask, check, and write the examples to `output`, with the refused answers and a report beside it.

    Answers are kept as they come: a run that was killed, or ended at its cost, goes on where it was, and the same run
    again asks nothing. Raises BadInput for an output that no distillation wrote, or that another process is writing;
    HeimdallError when the server stops answering, after the answers so far were checked and written.
    """
    answers = beside(output, "answers")
    ours = [path for path in (answers, beside(output, "report")) if path.exists() and path.stat().st_size]
    if output.exists() and not ours:
        raise BadInput("exists, and is not of a distillation", str(output), "Choose another --output.")
    done, ending = Distilled(prompts=len(prompts)), None
    with _locked(answers):
        asker = _Asker(model, asking, answers, done)
        try:
            asker.run([prompt for prompt in prompts if not prompt.fault])
        except HeimdallError as problem:
            ending = problem
            done.stopped = str(problem)
        except OSError as problem:  # a full disk: what is in the file stays
            raise HeimdallError(f"{answers}: cannot be written ({problem.strerror}). Run again to go on.") from None
        known = {prompt.line: found for prompt in prompts if (found := asker.answer(prompt)) is not None}
        done.tokens = Counter(
            prompt=sum(item.prompt_tokens for item in known.values()),
            new=sum(item.new_tokens for item in known.values()),
        )
        done.cost = asking.cost(done.tokens["prompt"], done.tokens["new"])
        nothing = Completion("", 0, 0, 0.0, "empty")
        done.judged = check.judge([(p, known.get(p.line, nothing)) for p in prompts if p.fault or p.line in known])
        if known or ending is None:
            _write(done, output, model, asking)
    if ending is not None:
        raise ending
    return done


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The file for this process alone, so that nothing is paid for twice."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as problem:
        raise BadInput(f"cannot be written ({problem.strerror})", str(path), "Choose another --output.") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput("is being written by another process", str(path), "Wait for it.") from None
        except OSError:
            pass  # a file system without locks
        yield


class _Asker:
    """Asks what is not answered yet, several at a time, and keeps each answer when it comes."""

    def __init__(self, model: OpenAIModel, asking: Asking, path: Path, done: Distilled) -> None:
        self.model, self.asking, self.path, self.done = model, asking, path, done
        fields = {"key", *Completion.__dataclass_fields__}
        self.known = {
            record["key"]: Completion(**{name: record[name] for name in Completion.__dataclass_fields__})
            for record in stored(path, fields)
        }
        self.spent, self.in_a_row = 0.0, 0
        self.running: dict[Future[Completion], tuple[Prompt, float]] = {}

    def messages(self, prompt: Prompt) -> Conversation:
        return prompt.conversation(self.asking.system)

    def key(self, prompt: Prompt) -> str:
        """What an answer depends on: the server, its model, the settings, the messages."""
        how = self.asking
        drawn = (how.temperature, how.seed) if how.temperature > 0 else ()
        return prompt_key(self.messages(prompt), self.model.url, self.model.model, how.max_new_tokens, *drawn)

    def answer(self, prompt: Prompt) -> Completion | None:
        return None if prompt.fault else self.known.get(self.key(prompt))

    def run(self, prompts: Sequence[Prompt]) -> None:
        """Ask all that is not answered. Raises HeimdallError when the server does not go on answering."""
        kept = [answer for prompt in prompts if (answer := self.answer(prompt)) is not None]
        self.done.kept = len(kept)
        self.spent = sum(self.asking.cost(a.prompt_tokens, a.new_tokens) or 0.0 for a in kept)
        waiting = [prompt for prompt in prompts if self.answer(prompt) is None]
        self.done.not_asked = len(waiting)
        try:
            for _ in track(self._ask_all(waiting), f"asking {self.model.name}", total=len(waiting)):
                pass
        finally:
            self.done.retries = self.model.retries
        if self.in_a_row and not self.done.asked:
            raise HeimdallError(f"{self.model.url}: gives no answer ({next(iter(self.done.unanswered.values()))}).")

    def _ask_all(self, waiting: Sequence[Prompt]) -> Iterator[Prompt]:
        """Each prompt when it is done with."""
        left = deque(waiting)
        with ThreadPoolExecutor(self.model.workers) as pool:
            try:
                self._fill(pool, left)
                while self.running:
                    for future in wait(self.running, return_when=FIRST_COMPLETED).done:
                        yield self._take(future)
                    self._fill(pool, left)
            except BaseException:
                self.model.give_up()
                for future in list(self.running):  # what is under way has been paid for
                    if not future.cancel() and future.exception() is None:
                        self._take(future)
                raise

    def _fill(self, pool: ThreadPoolExecutor, left: deque[Prompt]) -> None:
        """Ask as many as there are workers, while the most that it can cost is within the limit."""
        how = self.asking
        while left and len(self.running) < self.model.workers:
            messages = self.messages(left[0])
            most = how.most(messages)
            if how.max_cost is not None and self.spent + sum(m for _, m in self.running.values()) + most > how.max_cost:
                if not self.running:  # else what is under way may turn out cheaper
                    self.done.stopped = "the next answer could go beyond --max-cost"
                    left.clear()
                return
            prompt = left.popleft()
            future = pool.submit(self.model.ask, messages, how.max_new_tokens, how.temperature, how.seed)
            self.running[future] = prompt, most

    def _take(self, future: Future[Completion]) -> Prompt:
        """Keep an answer, or the reason why there is none. Raises HeimdallError when it is no use to go on."""
        prompt, _ = self.running.pop(future)
        self.done.not_asked -= 1
        try:
            answer = future.result()
        except Unanswered as problem:
            self.done.unanswered[prompt.line] = problem.reason
            self.in_a_row = self.in_a_row + 1 if problem.server else 0
            if self.in_a_row >= PATIENCE:
                what = f"{self.model.url}: no answer to {PATIENCE} questions in a row ({problem.reason})."
                raise HeimdallError(f"{what} What was answered is kept: run again to go on.") from None
            return prompt
        self.in_a_row = 0
        key = self.key(prompt)
        append(self.path, [{"id": f"line {prompt.line}", "key": key} | asdict(answer)])
        self.known[key] = answer
        self.done.asked += 1
        self.spent += self.asking.cost(answer.prompt_tokens, answer.new_tokens) or 0.0
        if self.asking.max_cost is not None and not answer.prompt_tokens:
            where = f"{self.model.url}: reports no token counts, so that --max-cost cannot be kept."
            raise HeimdallError(f"{where} What was answered is kept.")
        return prompt


def _write(done: Distilled, output: Path, model: OpenAIModel, asking: Asking) -> None:
    """The examples, the refused answers, and the report, without a time: the same answers give the same bytes."""
    save(output, [item.example for item in done.judged if item.example is not None])
    refused = [
        {
            "line": item.prompt.line,
            "input": item.prompt.example.input,
            "graph": item.prompt.example.graph,
            "reason": item.kind,
            "detail": item.detail,
            "answer": item.text,
        }
        for item in done.judged
        if item.example is None
    ]
    write_lines(beside(output, "refused"), (json.dumps(record, ensure_ascii=False) for record in refused))
    report = {
        "teacher": {"url": str(model.url), "model": model.model},
        "asking": asdict(asking),
        "prompts": done.prompts,
        "answers": done.kept + done.asked,
        "unanswered": {f"line {line}": reason for line, reason in sorted(done.unanswered.items())},
        "not_asked": done.not_asked,
        "stopped": done.stopped,
        "refused": dict(sorted(done.refused().items())),
        "examples": done.entered,
        "checks": dict(sorted(done.checks().items())),
        "tokens": {"prompt": done.tokens["prompt"], "new": done.tokens["new"]},
        "cost": done.cost,
    }
    write_json(beside(output, "report"), report)
