"""How fast a model file answers, beside what llama.cpp itself does with the same file in the same minute.

llama.cpp's own rate is a loop of llama_decode over as many tokens, in a context of its own with the same settings,
without sampling, text or stop strings: what its program llama-bench does, which the Python wheel does not bring. Each
question is answered with a cold prefix, timed in the bare loop, and answered again with a warm one, one right after the
other, so that what else the machine does falls on all three.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import llama_cpp as c

from heimdall_nb import hardware
from heimdall_nb.context.profile import percentile
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.models.answers import ask
from heimdall_nb.models.llamacpp import LlamaCppModel, Phases
from heimdall_nb.models.protocol import Completion
from heimdall_nb.progress import track
from heimdall_nb.prompts import Conversation, render
from heimdall_nb.run import atomic_text, sha256, write_json

OWN = "llama_decode in a loop, without sampling and text (as llama-bench, which the wheel does not bring)"
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
GENERATION_GOAL, PREFIX_GOAL = 0.95, 5.0  # of llama.cpp's own rate; times that a warm prefix is cheaper


@dataclass(frozen=True)
class Timing:
    """One question answered with a cold and with a warm prefix; seconds of llama.cpp alone for the same tokens."""

    prefix_tokens: int
    cold: Completion
    cold_phases: Phases
    warm: Completion
    warm_phases: Phases
    own_read: float
    own_write: float

    @property
    def written(self) -> int:
        """Tokens that were decoded after the prompt; the last one is not, and the first comes with the prompt."""
        return self.cold.new_tokens - 1


class Bare:
    """llama.cpp with nothing around it: only reads and writes tokens, whatever they say. Raises BadInput as the model.

    The tokens are ordinary ones in a fixed order, since what they say does not matter for the speed. `micro` is how
    many of a batch are computed at once; 0 for all.
    """

    def __init__(self, path: Path, context: int, threads: int, batch: int, micro: int = 0) -> None:
        self.path, self.batch = path, batch
        self._context = None
        self._model = c.llama_model_load_from_file(str(path).encode(), c.llama_model_default_params())
        if self._model:
            settings = c.llama_context_default_params()
            settings.n_ctx, settings.n_batch, settings.n_ubatch = context, batch, micro or batch
            settings.n_threads = settings.n_threads_batch = threads
            self._context = c.llama_init_from_model(self._model, settings)
        if not self._context:
            self.close()
            raise BadInput("is damaged, or has no room for this context", str(path), "Choose a smaller --context.")
        self._vocabulary = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self._model))

    def read(self, tokens: int) -> float:
        """Seconds for reading a prompt of so many tokens into an empty cache."""
        c.llama_memory_clear(c.llama_get_memory(self._context), True)
        return self._timed([min(self.batch, tokens - at) for at in range(0, tokens, self.batch)])

    def write(self, tokens: int) -> float:
        """Seconds for decoding so many tokens, one after the other, behind what is in the cache."""
        return self._timed([1] * tokens)

    def _timed(self, sizes: Sequence[int]) -> float:
        # The batches only point to the arrays, which must live as long; one array serves all batches of its size.
        arrays = {size: (c.llama_token * size)(*map(self._token, range(size))) for size in set(sizes)}
        batches = [c.llama_batch_get_one(arrays[size], size) for size in sizes]
        started = time.perf_counter()
        for batch in batches:
            if c.llama_decode(self._context, batch):
                raise HeimdallError(f"{self.path}: llama.cpp could not go on.")
            c.llama_synchronize(self._context)
        return time.perf_counter() - started

    def _token(self, place: int) -> int:
        return (7919 * place) % min(self._vocabulary, 256)

    def close(self) -> None:
        """Free the model and its cache."""
        if self._context:
            c.llama_free(self._context)
        if self._model:
            c.llama_model_free(self._model)
        self._model = self._context = None


def timings(model: LlamaCppModel, bare: Bare, conversations: Sequence[Conversation], max_new: int) -> list[Timing]:
    """Each question three times, in turn; those that the context has no room for are left out.

    Raises BadInput when none is left.
    """
    label = f"{model.threads} threads, batch {model.batch}"
    found = [_timing(model, bare, conversation, max_new) for conversation in track(conversations, label)]
    kept = [item for item in found if item]
    if not kept:
        raise BadInput("has room for none of the questions", "--context", "Raise it.")
    return kept


def _timing(model: LlamaCppModel, bare: Bare, conversation: Conversation, max_new: int) -> Timing | None:
    model.forget()
    cold, cold_phases = model.complete([conversation], max_new)[0], model.phases
    if not cold.new_tokens:
        return None
    own_read, own_write = bare.read(cold.prompt_tokens), bare.write(cold.new_tokens - 1)
    warm, warm_phases = model.complete([conversation], max_new)[0], model.phases
    prefix = len(model.tokens(render(conversation[:-1], generation_prompt=False)))
    return Timing(prefix, cold, cold_phases, warm, warm_phases, own_read, own_write)


def summary(items: Sequence[Timing]) -> dict[str, Any]:
    """The figures of one setting: milliseconds of answers and prefixes, tokens a second, ratios.

    Rates and ratios are medians over the questions, a ratio of what was timed one right after the other, so that a
    moment in which the machine was busy is outvoted. None stands for what no question was long enough for.
    """
    written = [item for item in items if item.written > 0]
    return {
        "items": len(items),
        "truncated": sum(item.cold.outcome == "truncated" for item in items),
        "same_when_warm": sum(item.cold.text == item.warm.text for item in items),
        "prompt_tokens": round(mean(item.cold.prompt_tokens for item in items), 1),
        "prefix_tokens": round(mean(item.prefix_tokens for item in items), 1),
        "new_tokens": round(mean(item.cold.new_tokens for item in items), 1),
        "answer_cold_ms": _latency([item.cold.seconds for item in items]),
        "answer_warm_ms": _latency([item.warm.seconds for item in items]),
        "prompt": _rates(
            items,
            lambda item: item.cold.prompt_tokens,
            lambda item: item.cold_phases.prefix + item.cold_phases.question,
            lambda item: item.own_read,
        ),
        "generation": _rates(
            written, lambda item: item.written, lambda item: item.cold_phases.answer, lambda item: item.own_write
        ),
        "prefix": {
            "cold_ms": _milliseconds(median(item.cold_phases.prefix for item in items)),
            "warm_ms": _milliseconds(median(item.warm_phases.prefix for item in items)),
            "times_cheaper": round(median(item.cold_phases.prefix / item.warm_phases.prefix for item in items), 1),
        },
    }


def _latency(seconds: Sequence[float]) -> dict[str, float]:
    found = {name: percentile(seconds, share) for name, share in SHARES.items()}  # type: ignore[arg-type]
    return {name: _milliseconds(value) for name, value in (found | {"mean": mean(seconds)}).items()}


def _rates(
    items: Sequence[Timing],
    tokens: Callable[[Timing], int],
    ours: Callable[[Timing], float],
    own: Callable[[Timing], float],
) -> dict[str, float | None]:
    """Tokens a second, llama.cpp's own, and how much of its own rate is reached."""
    if not items:
        return {"per_second": None, "own_per_second": None, "ratio": None}
    return {
        "per_second": round(median(tokens(item) / ours(item) for item in items), 1),
        "own_per_second": round(median(tokens(item) / own(item) for item in items), 1),
        "ratio": round(median(own(item) / ours(item) for item in items), 3),
    }


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)


def repeated(model: LlamaCppModel, conversations: Sequence[Conversation], max_new: int) -> dict[str, Any]:
    """Milliseconds a question that was asked before: answered again, or taken from the file of kept answers."""
    ids = [str(number) for number in range(len(conversations))]
    with tempfile.TemporaryDirectory(prefix="heimdall-speed-") as folder:

        def asked(name: str) -> float:
            started = time.perf_counter()
            ask(model, conversations, Path(folder) / name, ids, max_new)
            return _milliseconds((time.perf_counter() - started) / len(conversations))

        asked("kept.jsonl")
        off, on = asked("again.jsonl"), asked("kept.jsonl")
    return {"off_ms": off, "on_ms": on, "times_cheaper": round(off / on, 1)}


def measure(
    path: Path,
    conversations: Sequence[Conversation],
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (512,),
    context: int = 2048,
    max_new_tokens: int = 192,
) -> dict[str, Any]:
    """All figures of a GGUF file, for each number of threads and each batch size; ready for JSON.

    Raises BadInput for a file that is no model, for no questions, and where the context has room for none of them.
    """
    if not conversations:
        raise BadInput("there are no questions", "--examples", "Give a file with examples, or more --items.")
    settings, cache = [], None
    for count in threads:
        for batch in batches:
            with (
                closing(LlamaCppModel(path, context, count, batch=batch)) as model,
                closing(Bare(path, context, count, batch)) as bare,
            ):
                timings(model, bare, conversations[:1], max_new_tokens)  # touches memory and warms caches
                found = summary(timings(model, bare, conversations, max_new_tokens))
                settings.append({"threads": count, "batch": batch} | found)
                cache = cache or repeated(model, conversations, max_new_tokens)
    return {
        "model": path.stem,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "context": context,
        "max_new_tokens": max_new_tokens,
        "own_rate": OWN,
        "machine": hardware.machine(),
        "versions": hardware.versions(),
        "settings": settings,
        "repeated_question": cache,
    }


ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("answer, cold prefix: p50, ms", ("answer_cold_ms", "p50")),
    ("                     p95", ("answer_cold_ms", "p95")),
    ("                     p99", ("answer_cold_ms", "p99")),
    ("answer, warm prefix: p50, ms", ("answer_warm_ms", "p50")),
    ("                     p95", ("answer_warm_ms", "p95")),
    ("                     p99", ("answer_warm_ms", "p99")),
    ("prompt, tokens a second", ("prompt", "per_second")),
    ("  llama.cpp's own", ("prompt", "own_per_second")),
    ("  share of its own", ("prompt", "ratio")),
    ("generation, tokens a second", ("generation", "per_second")),
    ("  llama.cpp's own", ("generation", "own_per_second")),
    ("  share of its own", ("generation", "ratio")),
    ("prefix alone, cold, ms", ("prefix", "cold_ms")),
    ("  warm, ms", ("prefix", "warm_ms")),
    ("  times cheaper", ("prefix", "times_cheaper")),
)


def text(found: dict[str, Any]) -> str:
    """The figures as one table for a terminal, a column a setting, and under it what misses its goal."""
    from heimdall_nb.dataset.validation_report import table

    settings = found["settings"]
    head = ["", *(f"{s['threads']} thread{'s' * (s['threads'] > 1)}, batch {s['batch']}" for s in settings)]
    rows = [(name, *(_shown(s[group][key]) for s in settings)) for name, (group, key) in ROWS]
    first, again = settings[0], found["repeated_question"]
    lines = [
        f"{found['model']}, {found['bytes'] / 1e6:.1f} MB: {first['items']} questions, on average "
        f"{first['prompt_tokens']} prompt tokens ({first['prefix_tokens']} of them the prefix), "
        f"{first['new_tokens']} new",
        table(head, rows),
        f"a question asked before: {again['off_ms']:.1f} ms, from kept answers {again['on_ms']:.2f} ms",
        f"llama.cpp's own rate: {found['own_rate']}",
    ]
    return "\n".join([*lines, *missed(found)])


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:,.1f}"


def missed(found: dict[str, Any]) -> list[str]:
    """One sentence for each setting and goal that it misses."""
    sentences = []
    for setting in found["settings"]:
        where = f"{setting['threads']} threads, batch {setting['batch']}"
        generation, prefix = setting["generation"]["ratio"], setting["prefix"]["times_cheaper"]
        if generation is not None and generation < GENERATION_GOAL:
            sentences.append(f"{where}: generation is below {GENERATION_GOAL} of llama.cpp's own rate")
        if prefix < PREFIX_GOAL:
            sentences.append(f"{where}: a warm prefix is not {PREFIX_GOAL:g} times cheaper than a cold one")
        if setting["same_when_warm"] < setting["items"]:
            sentences.append(f"{where}: answers differ with a warm prefix")
    return sentences


def listed(text: str) -> list[str]:
    """The items of `a,b`, without the white space around them."""
    return [item.strip() for item in text.split(",")]


def numbers(option: str, text: str) -> list[int]:
    """The positive numbers in `1,2`. Raises BadInput that names `option` for anything else."""
    parts = listed(text)
    if not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise BadInput(f"{text!r} is no list of positive numbers", option, "Write it as in 1,2.")
    return [int(part) for part in parts]


def run(
    path: Path,
    examples: str = "iid",
    items: int = 0,
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (512,),
    output: Path | None = None,
    **settings: int,
) -> dict[str, Any]:
    """`measure` on the questions of a benchmark set or JSONL file; `speed.json` and `speed.txt` go to `output`.

    `items` asks only the first so many, 0 all of them.
    """
    from heimdall_nb.evaluation.answers import prompt_of
    from heimdall_nb.evaluation.evaluate import open_examples

    chosen = open_examples(examples)[0][: items or None]
    found = measure(path, [prompt_of(example) for example in chosen], threads, batches, **settings)
    found = {"examples": examples} | found
    if output:
        write_json(output / "speed.json", found)
        atomic_text(output / "speed.txt", text(found) + "\n")
    return found
