"""A very small random-weight model with a window of 32,768 tokens, and llama.cpp failing as it is told to."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heimdall_nb.sequence import engine, process
from heimdall_nb.sequence.settings import Settings

CONTEXT = 32_768
SPREAD = 24.0  # times the usual random output weights, so that special tokens, which stay at 0, practically never come
c = engine.c


def make_gguf(folder: Path, spread: float = SPREAD) -> Path:
    """Write the model: two layers, one head, 64 wide, about 450 tokens. With a `spread` of 18, most answers end."""
    import tiny_architectures
    from safetensors.torch import load_file, save_file

    from heimdall_nb.export.gguf_file import write_gguf
    from heimdall_nb.models.transformers_model import load_tokenizer

    changes = {"max_position_embeddings": CONTEXT, "tie_word_embeddings": False}
    changes |= {"num_attention_heads": 1, "num_key_value_heads": 1}  # each head costs time for each token of the window
    base = tiny_architectures.make(folder / "base", "qwen2", hidden=64, **changes)
    weights = load_file(base / "model.safetensors")
    weights["lm_head.weight"] *= spread
    weights["lm_head.weight"][load_tokenizer(base).all_special_ids] = 0.0
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    return write_gguf(base, folder / "tiny32k.gguf", "F16")


def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, made once for all test modules of a session."""
    path = tmp_path_factory.getbasetemp() / "tiny32k" / "tiny32k.gguf"
    return path if path.exists() else make_gguf(path.parent)


def impatient(monkeypatch: pytest.MonkeyPatch, failing: Failing) -> None:
    """Wait for an answer that hangs only until it does, whatever the machine's load, and for all others long."""
    real, asked = process.ModelProcess._received, 0

    def received(worker: process.ModelProcess, seconds: float, what: str) -> Any:
        nonlocal asked
        asked += what == "answer"
        if what == "answer" and failing.faults.get(asked) == "hang":
            while not failing.counter.exists() or len(failing.counter.read_bytes()) < asked:
                time.sleep(0.01)
            seconds = 0.2
        return real(worker, seconds, what)

    monkeypatch.setattr(process.ModelProcess, "_received", received)


class Failing:
    """What the process of the model runs in place of `process.serve`: real llama.cpp, with failures.

    `faults` tells by the number of the answer, counted over all processes in the file `counter`, what goes wrong in it.
    """

    def __init__(self, counter: Path, faults: dict[int, str]) -> None:
        self.counter, self.faults = counter, faults

    def __call__(self, pipe: Connection, path: str, settings: Settings) -> None:
        real = engine.GoingOn.answer

        def answer(model: engine.GoingOn, *arguments: Any) -> Any:
            number = len(self.counter.read_bytes()) + 1 if self.counter.exists() else 1
            with self.counter.open("ab") as handle:
                handle.write(b".")
            with getattr(self, self.faults.get(number, "nothing"))(model):
                return real(model, *arguments)

        engine.GoingOn.answer = answer
        process.serve(pipe, path, settings)

    @contextmanager
    def nothing(self, model: engine.GoingOn) -> Iterator[None]:
        yield

    @contextmanager
    def crash(self, model: engine.GoingOn) -> Iterator[None]:
        """The process dies of a bad memory access, in the middle of an answer."""
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        with _decoding(lambda count, batch: count > 8 and ctypes.string_at(0)):
            yield

    @contextmanager
    def killed(self, model: engine.GoingOn) -> Iterator[None]:
        """As when the system runs out of memory."""
        with _decoding(lambda count, batch: count > 3 and os.kill(os.getpid(), signal.SIGKILL)):
            yield

    @contextmanager
    def hang(self, model: engine.GoingOn) -> Iterator[None]:
        with _decoding(lambda count, batch: count > 3 and time.sleep(3600)):
            yield

    @contextmanager
    def late(self, model: engine.GoingOn) -> Iterator[None]:
        """The time is over after some tokens: the limit is moved, so that the speed of the machine plays no part."""

        def end(count: int, batch: Any) -> None:
            if count > 24:
                model._until = 0.0

        with _decoding(end):
            yield

    @contextmanager
    def refused(self, model: engine.GoingOn) -> Iterator[None]:
        """llama_decode is given what is no token, and refuses the batch."""

        def spoil(count: int, batch: Any) -> None:
            batch.token[0] = 1 << 30

        with _decoding(spoil):
            yield

    @contextmanager
    def lost(self, model: engine.GoingOn) -> Iterator[None]:
        """The first tokens of the cache are gone."""
        c.llama_memory_seq_rm(c.llama_get_memory(model._context), 0, -1, 10)
        yield

    @contextmanager
    def grown(self, model: engine.GoingOn) -> Iterator[None]:
        """The cache holds a token that nobody gave it."""
        token = (c.llama_token * 1)(5)
        c.llama_decode(model._context, c.llama_batch_get_one(token, 1))
        yield

    @contextmanager
    def stuck(self, model: engine.GoingOn) -> Iterator[None]:
        """The cache lost tokens, and emptying it does nothing: only another process helps."""
        c.llama_memory_seq_rm(c.llama_get_memory(model._context), 0, -1, 10)
        engine.c.llama_memory_clear = lambda memory, data: None
        yield

    @contextmanager
    def nan(self, model: engine.GoingOn) -> Iterator[None]:
        """The logits are no numbers."""
        real = engine.c.llama_decode

        def decode(context: Any, batch: Any) -> int:
            status = real(context, batch)
            logits = c.llama_get_logits_ith(context, -1)
            np.ctypeslib.as_array(logits, shape=(model._vocabulary_size,))[:] = np.nan
            return status

        engine.c.llama_decode = decode
        try:
            yield
        finally:
            engine.c.llama_decode = real

    @contextmanager
    def empty(self, model: engine.GoingOn) -> Iterator[None]:
        """llama.cpp's own sampler finds the end token by far the likeliest."""
        with self._biased(model, "<|im_end|>"):
            yield

    @contextmanager
    def blank(self, model: engine.GoingOn) -> Iterator[None]:
        """An answer of nothing but spaces."""
        with self._biased(model, " "):
            yield

    @contextmanager
    def _biased(self, model: engine.GoingOn, text: str) -> Iterator[None]:
        real, bias = engine.sampling, (c.llama_logit_bias * 1)()
        bias[0].token, bias[0].bias = model.tokens(text)[0], 1e6

        @contextmanager
        def biased(temperature: float, seed: int) -> Iterator[Any]:
            chain = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
            c.llama_sampler_chain_add(chain, c.llama_sampler_init_logit_bias(model._vocabulary_size, 1, bias))
            c.llama_sampler_chain_add(chain, c.llama_sampler_init_dist(seed))
            yield chain
            c.llama_sampler_free(chain)

        engine.sampling, model._likeliest = biased, lambda: bias[0].token
        try:
            yield
        finally:
            engine.sampling = real
            del model._likeliest


@contextmanager
def _decoding(before: Any) -> Iterator[None]:
    """`before(count, batch)` is called before each llama_decode."""
    real, count = engine.c.llama_decode, 0

    def decode(context: Any, batch: Any) -> int:
        nonlocal count
        count += 1
        before(count, batch)
        return real(context, batch)

    engine.c.llama_decode = decode
    try:
        yield
    finally:
        engine.c.llama_decode = real
