"""One measurement in a process of its own, so that memory of an earlier one cannot hide in it.

`python -m heimdall_nb.context.measure '{"gguf": …, "context": 1024, …}'` prints one JSON line; see memory.measure.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

SHORT = 64  # tokens of the short prompt: about what a question without its schema has


def main(argument: str) -> None:
    """Measure the task given as JSON and print the result as JSON."""
    from heimdall_nb.hardware import die_with_parent

    die_with_parent()
    print(json.dumps(measure(**json.loads(argument))))


def measure(gguf: str, context: int, new_tokens: int, repeats: int, threads: int) -> dict[str, Any]:
    """Load the model with this context, fill it, and time reading and writing; returns bytes and tokens a second."""
    import psutil

    from heimdall_nb.models import llamacpp  # llama.cpp with its log silenced; the settings are those of LlamaCppModel

    process = psutil.Process()
    before = process.memory_info().rss
    model = _Model(llamacpp.c, gguf, context, threads, llamacpp.BATCH)
    loaded = process.memory_info().rss - before
    full = context - new_tokens
    sizes = {"short": min(SHORT, full), "full": full}
    _time(model, sizes["short"], new_tokens)  # the first run also touches memory and warms caches
    runs = {name: [_time(model, size, new_tokens) for _ in range(repeats)] for name, size in sizes.items()}
    used = process.memory_info().rss - before
    speeds = {name: [statistics.median(column) for column in zip(*pairs, strict=True)] for name, pairs in runs.items()}
    return {
        "loaded_bytes": loaded,
        "used_bytes": used,
        "prompt_tokens": full,
        "prompt_per_second": round(speeds["full"][0]),
        "new_per_second_short": round(speeds["short"][1]),
        "new_per_second_full": round(speeds["full"][1]),
    }


def _time(model: _Model, prompt_tokens: int, new_tokens: int) -> tuple[float, float]:
    """Tokens a second of reading a prompt of this length and of writing `new_tokens` after it.

    What the tokens say does not matter for the speed, so the prompt is made of ordinary token ids in a fixed order.
    """
    prompt = [(7919 * position) % min(model.vocabulary, 256) for position in range(prompt_tokens)]
    model.clear()
    start = time.perf_counter()
    model.decode(prompt)
    token = model.greedy()  # waits for the computation
    read = time.perf_counter()
    for _ in range(new_tokens):
        model.decode([token])
        token = model.greedy()
    return prompt_tokens / (read - start), new_tokens / (time.perf_counter() - read)


class _Model:
    """llama.cpp through its C interface `c`: only what a measurement needs. It lives until the process ends."""

    def __init__(self, c: Any, path: str, context: int, threads: int, batch: int) -> None:
        self.c, self.batch = c, batch
        settings = c.llama_model_default_params()
        settings.use_mmap = False  # so that the weights are memory of this process, which is what is counted
        model = c.llama_model_load_from_file(path.encode(), settings)
        options = c.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = context, batch, batch
        options.n_threads = options.n_threads_batch = threads
        self.state = c.llama_init_from_model(model, options) if model else None
        if not self.state:
            sys.exit(f"llama.cpp cannot load {path} with a context of {context}")
        self.vocabulary = c.llama_vocab_n_tokens(c.llama_model_get_vocab(model))
        self.sampler = c.llama_sampler_init_greedy()

    def clear(self) -> None:
        self.c.llama_memory_clear(self.c.llama_get_memory(self.state), True)

    def decode(self, ids: Sequence[int]) -> None:
        for at in range(0, len(ids), self.batch):
            part = ids[at : at + self.batch]
            array = (self.c.llama_token * len(part))(*part)  # named, since the batch only points to it
            if self.c.llama_decode(self.state, self.c.llama_batch_get_one(array, len(part))):
                sys.exit("llama.cpp could not go on")

    def greedy(self) -> int:
        return self.c.llama_sampler_sample(self.sampler, self.state, -1)


if __name__ == "__main__":
    main(sys.argv[1])
