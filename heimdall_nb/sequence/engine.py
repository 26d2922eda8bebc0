"""llama.cpp going on from the tokens that it has read: what two prompts begin with is computed once.

Tokens, not text, are compared: what a model wrote may not be what a tokenizer makes of the same text. The cache's state
is held against our own list before each use, so that a cache that lost tokens is found, not answered from.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from heimdall_nb.errors import BadInput
from heimdall_nb.models.llamacpp import LlamaCppModel, c
from heimdall_nb.models.sampling import Sample, sampling
from heimdall_nb.models.stopping import outcome
from heimdall_nb.sequence.settings import Settings
from heimdall_nb.sequence.written import CorruptState, Written

_ABORTED = 2  # llama_decode was ended by the abort callback


class _Late(Exception):
    """The time for an answer is over."""


class GoingOn(LlamaCppModel):
    """A GGUF file whose next prompt costs only what differs from the tokens before.

    Raises BadInput for a file that is none, and for a window longer than the model is made for.
    """

    def __init__(self, path: Path | str, settings: Settings) -> None:
        batch = min(settings.n_batch, settings.n_ctx)
        super().__init__(path, settings.n_ctx, batch=batch, options=settings.options)
        self._read: list[int] = []  # the tokens in the cache
        self._until = float("inf")
        self._late = c.ggml_abort_callback(lambda _: time.monotonic() > self._until)  # kept alive for llama.cpp
        made_for = c.llama_model_n_ctx_train(self._model)
        if settings.n_ctx > made_for:
            self.close()
            what = f"is made for {made_for} tokens, fewer than n_ctx={settings.n_ctx}"
            remedy = f"Give --set n_ctx={made_for} and a smaller max_tokens, or --settings nano."
            raise BadInput(what, str(path), remedy)

    def answer(
        self, ids: Sequence[int], max_new: int, temperature: float = 0.0, seed: int = 0, seconds: float = 1e9
    ) -> Written:
        """Go on from the prompt `ids` by at most `max_new` tokens, within `seconds`.

        An answer that runs out of time has the outcome timeout, and what was written until then. Raises CorruptState;
        after it, `reset` is needed. Prompt and answer must fit into the window.
        """
        started = time.monotonic()
        self._until = started + seconds
        reused, new, ended, late = self._keep(ids), [], False, False
        try:
            self._take(ids[reused:])
            with sampling(temperature, seed) as sampler:
                sample = self._likeliest
                if temperature > 0:
                    sample = lambda: c.llama_sampler_sample(sampler, self._context, -1)  # noqa: E731
                ended = self._write(new, max_new, sample)
        except _Late:
            late = True
        text = b"".join(map(self._piece, new)).decode("utf-8", "replace")
        found = "timeout" if late else outcome(text, ended)
        return Written(text, new, len(ids), reused, time.monotonic() - started, found)

    def reset(self) -> None:
        """Empty the cache. Raises CorruptState when it is not empty afterwards."""
        c.llama_memory_clear(c.llama_get_memory(self._context), True)
        self._read = []
        self._check_state()

    def _keep(self, ids: Sequence[int]) -> int:
        """Cut the cache to what it shares with `ids`; the last token is always read again, for its logits."""
        self._check_state()
        shared = next((k for k, (a, b) in enumerate(zip(self._read, ids, strict=False)) if a != b), None)
        kept = min(len(self._read) if shared is None else shared, len(ids) - 1)
        if not c.llama_memory_seq_rm(c.llama_get_memory(self._context), 0, kept, -1):
            raise CorruptState("the cache cannot be cut")
        del self._read[kept:]
        self._check_state()
        return kept

    def _check_state(self) -> None:
        first, last = self._places()
        if (first, last) != ((0, len(self._read) - 1) if self._read else (-1, -1)):
            raise CorruptState(f"the cache holds places {first} to {last}, and {len(self._read)} tokens were read")

    def _places(self) -> tuple[int, int]:
        """The first and the last place in the cache; -1 both when it is empty."""
        memory = c.llama_get_memory(self._context)
        return c.llama_memory_seq_pos_min(memory, 0), c.llama_memory_seq_pos_max(memory, 0)

    def _take(self, ids: Sequence[int]) -> None:
        """Read tokens; when the time is over, what was read stays."""
        with self._interruptible():
            for at in range(0, len(ids), self.batch):
                part = list(ids[at : at + self.batch])
                array = (c.llama_token * len(part))(*part)
                status = c.llama_decode(self._context, c.llama_batch_get_one(array, len(part)))
                if status == _ABORTED:
                    self._read += part[: self._places()[1] + 1 - len(self._read)]
                    raise _Late
                self._went(status, part)

    def _write(self, new: list[int], limit: int, sample: Sample) -> bool:
        """Append tokens to `new` until an end or another control token; whether there was one before the limit."""
        while len(new) < limit:
            if time.monotonic() > self._until:
                raise _Late
            token = sample()
            if not np.isfinite(self._logit(token)):
                raise CorruptState("the model computes no numbers")
            if c.llama_vocab_is_eog(self._vocab, token) or c.llama_vocab_is_control(self._vocab, token):
                return True
            new.append(token)
            if len(new) < limit:
                self._next[0] = token
                self._went(c.llama_decode(self._context, self._single), [token])
        return False

    def _went(self, status: int, part: list[int]) -> None:
        if status:
            raise CorruptState(f"llama_decode returned {status}")
        self._read += part

    def _logit(self, token: int) -> float:
        return c.llama_get_logits_ith(self._context, -1)[token]

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """llama.cpp asks whether the time is over while it reads; for single tokens, asking would cost more."""
        c.llama_set_abort_callback(self._context, self._late, ctypes.c_void_p(0))
        try:
            yield
        finally:
            c.llama_set_abort_callback(self._context, c.ggml_abort_callback(), ctypes.c_void_p(0))
