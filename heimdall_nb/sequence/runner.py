"""A list of prompts, each asked with the answers before it in view; failures are mended, or named in the record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from heimdall_nb.errors import HeimdallError
from heimdall_nb.models.gguf_path import check_gguf
from heimdall_nb.progress import track
from heimdall_nb.prompts import TURN_END, render
from heimdall_nb.run import lock, write_json
from heimdall_nb.sequence import process as processes
from heimdall_nb.sequence.plan import History, Plan, Turn
from heimdall_nb.sequence.process import ModelProcess
from heimdall_nb.sequence.report import summary
from heimdall_nb.sequence.settings import Settings
from heimdall_nb.sequence.store import SUMMARY, Store, keys
from heimdall_nb.sequence.written import CorruptState, Crashed, Hung, Written

# ok: ended by itself; truncated: as long as allowed; timeout; short: fewer characters than `minimal`; empty: none that
# is visible; error: crashes or a corrupt state, also after all tries; too_long: the prompt itself has no room
Outcome = Literal["ok", "truncated", "timeout", "short", "empty", "error", "too_long"]
Mend = Literal["", "seed", "reset", "reload"]  # what a try begins with: another seed, an emptied cache, a new process

SUMMARY_SHARE = 0.6  # words of a summary for each token that it may have
SUMMARY_TASK = "Summarise all of the above in at most {words} words. Keep names, places and what is still open."
SUMMARY_HEAD = "What came before, in short:\n"


@dataclass
class Tries:
    """The tries of one prompt: the best answer so far, and a record of each try."""

    best: Written | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)

    def outcome(self, minimal: int) -> Outcome:
        """How it ended."""
        if self.best is None:
            return self.attempts[-1]["outcome"]
        if len(self.best.text.strip()) >= minimal or self.best.outcome == "timeout":
            return self.best.outcome
        return "short" if self.best.text.strip() else "empty"


def run(
    model: Path,
    prompts: Sequence[str],
    folder: Path,
    settings: Settings,
    system: str = "",
    seed: int = 7,
    restart: bool = False,
    serve: processes.Serve = processes.serve,
    grace: float = processes.GRACE,
) -> dict[str, Any]:
    """Ask a GGUF file the prompts in order, and write results, log and summary to `folder`; returns the summary.

    A run that was killed goes on after the last prompt that has a record; `restart` sets earlier files aside. Raises
    BadInput for a file that is no model, settings that it cannot have, and a folder with the answers of another run.
    """
    check_gguf(model)
    wanted = keys(model, settings, system, seed, prompts)
    with lock(folder, "--output"):
        store = Store(folder, wanted, restart)
        with ModelProcess(model, settings, serve, grace) as worker:
            runner = Runner(worker, store, settings, system, seed)
            done = [runner.item(k, prompt, wanted[k]) for k, prompt in track(list(enumerate(prompts)), "sequence")]
        found = summary(done, settings)
        write_json(folder / SUMMARY, found)
    return found


class Runner:
    """One sequence in progress: the model's process, the folder, and the turns so far."""

    def __init__(self, worker: ModelProcess, store: Store, settings: Settings, system: str, seed: int) -> None:
        self.worker, self.store, self.settings, self.seed = worker, store, settings, seed
        head = render([{"role": "system", "content": system}], generation_prompt=False) if system else ""
        before, after = render([{"role": "system", "content": f"{SUMMARY_HEAD}\0"}], False).split("\0")
        *parts, self.ask_summary = self._tokens(head, f"{TURN_END}\n", before, after, self._summary_question())
        self.summary_frame = parts[2:]
        framed = settings.summary_tokens + len(parts[2]) + len(parts[3]) if settings.summary_tokens else 0
        self.history = History(settings, parts[0], parts[1], lambda text: self._tokens(text)[0], framed)
        self.mend: Mend = ""

    def item(self, number: int, prompt: str, key: str) -> dict[str, Any]:
        """The record of the prompt at place `number` (from 0): from the folder, or asked now."""
        known = self.store.known[number] if number < len(self.store.known) else None
        question = self._tokens(render([{"role": "user", "content": prompt}]))[0]
        plan = self.history.plan(question)
        shortened = self._summarised(number + 1, plan, known)
        record = known or self._asked(number + 1, prompt, key, plan, question, shortened)
        if len(record["text"].strip()) >= self.settings.minimal:  # what is no answer is not shown to later prompts
            self.history.turns.append(Turn(number + 1, question, record["tokens"], record["text"]))
        return record

    def _asked(
        self, item: int, prompt: str, key: str, plan: Plan, question: list[int], shortened: dict[str, Any] | None
    ) -> dict[str, Any]:
        ids = self.history.prompt(question) if plan.fits else self.history.shown([], question)
        self.store.log(item, "prompt", tokens=len(ids), budget=self.settings.budget, **_shown(plan))
        started = time.monotonic()
        tries = self._tries(item, ids, self.settings.max_tokens) if plan.fits else Tries(attempts=[_too_long(ids)])
        best = tries.best
        record = {
            "item": item,
            "key": key,
            "prompt": prompt,
            "outcome": tries.outcome(self.settings.minimal),
            "text": best.text if best else "",
            "prompt_tokens": len(ids),
            "new_tokens": len(best.tokens) if best else 0,
            "reused_tokens": best.reused_tokens if best else 0,
            "seconds": round(time.monotonic() - started, 3),
            **_shown(plan),
            "summary": shortened,
            "attempts": tries.attempts,
            "tokens": best.tokens if best else [],
        }
        self.store.add(record)
        return record

    def _tries(self, item: int, ids: list[int], longest: int) -> Tries:
        """Ask until there is an answer of at least `minimal` characters, at most `retries` times more."""
        tries = Tries()
        for number in range(1 + self.settings.retries):
            attempt, written = self._try(item, number, ids, longest)
            tries.attempts.append(attempt)
            self.store.log(item, "answer", **attempt)
            if written and (tries.best is None or len(written.text.strip()) > len(tries.best.text.strip())):
                tries.best = written
            if written and len(written.text.strip()) >= self.settings.minimal:
                break
        return tries

    def _try(self, item: int, number: int, ids: list[int], longest: int) -> tuple[dict[str, Any], Written | None]:
        """One try, after what mends the one before; decides what the next one begins with."""
        settings, mended = self.settings, self.mend
        temperature = max(settings.temperature, settings.retry_temperature if number else 0.0)
        seed = (self.seed * 1_000_003 + item * 1_009 + number) & 0x7FFFFFFF
        attempt = {"begins_with": mended, "seed": seed, "temperature": temperature, "prompt_tokens": len(ids)}
        started = time.monotonic()
        try:
            if mended in ("reset", "reload"):
                getattr(self.worker, mended)()
            written = self.worker.answer(ids, longest, temperature, seed)
        except (CorruptState, Crashed, Hung) as problem:
            # A reset that did not help is followed by a new process; after a crash or a hang there is one anyway.
            self.mend = "reset" if isinstance(problem, CorruptState) and mended != "reset" else "reload"
            outcome = "timeout" if isinstance(problem, Hung) else "error"
            failed = {"outcome": outcome, "why": str(problem), "reused_tokens": 0, "new_tokens": 0}
            return attempt | failed | {"seconds": round(time.monotonic() - started, 3)}, None
        enough = len(written.text.strip()) >= settings.minimal
        self.mend = "" if enough else "reset" if mended == "seed" else "seed"
        figures = {"reused_tokens": written.reused_tokens, "new_tokens": len(written.tokens)}
        return attempt | {"outcome": written.outcome, **figures, "seconds": round(written.seconds, 3)}, written

    def _summarised(self, item: int, plan: Plan, known: dict[str, Any] | None) -> dict[str, Any] | None:
        """Put a summary of the turns that leave in their place; None where none is wanted or none could be had."""
        if not (self.settings.summary_tokens and plan.leaving):
            return None
        found = known["summary"] if known else self._summary(item, plan.leaving)
        if found:
            before, after = self.summary_frame
            self.history.summary = [*before, *found["tokens"], *after]
        return found

    def _summary(self, item: int, leaving: list[Turn]) -> dict[str, Any] | None:
        room = self.settings.n_ctx - self.settings.summary_tokens
        while leaving and len(self.history.shown(leaving, self.ask_summary)) > room:
            leaving = leaving[1:]
        tries = self._tries(item, self.history.shown(leaving, self.ask_summary), self.settings.summary_tokens)
        good = tries.best and len(tries.best.text.strip()) >= self.settings.minimal
        of = [turn.item for turn in leaving]
        self.store.log(item, "summary", of=of, written=bool(good))
        if not good:
            return None
        return {"of": of, "text": tries.best.text, "tokens": tries.best.tokens, "attempts": tries.attempts}

    def _summary_question(self) -> str:
        words = max(1, round(SUMMARY_SHARE * self.settings.summary_tokens))
        return render([{"role": "user", "content": SUMMARY_TASK.format(words=words)}])

    def _tokens(self, *texts: str) -> list[list[int]]:
        """Token ids of texts. A process that fails at this is started anew; raises HeimdallError where that fails."""
        for _ in range(1 + self.settings.retries):
            try:
                return self.worker.tokens(texts)
            except (Crashed, Hung) as problem:
                last = problem
        raise HeimdallError(f"{self.worker.path}: {last}.")


def _shown(plan: Plan) -> dict[str, Any]:
    """What a prompt shows and what it left out, for record and log."""
    return {"seen": plan.seen, "dropped": plan.dropped, "cut": asdict(plan.cut) if plan.cut else None}


def _too_long(ids: list[int]) -> dict[str, Any]:
    return {"outcome": "too_long", "prompt_tokens": len(ids), "reused_tokens": 0, "new_tokens": 0, "seconds": 0.0}
