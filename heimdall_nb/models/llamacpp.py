"""A GGUF file, run by llama.cpp in this process, through its C interface.

The C calls are used rather than `llama_cpp.Llama`, whose Python work for each token costs more than a small model's
arithmetic, and whose prefix cache makes an answer depend, in its last bits, on what was asked before.
"""

from __future__ import annotations

import ctypes
import re
import time
import unicodedata
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp as c
import numpy as np

from heimdall_nb import hardware
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.models.gguf_path import check_gguf
from heimdall_nb.models.protocol import Completion
from heimdall_nb.models.sampling import Sample, allowed, bound, ruled, sampling
from heimdall_nb.models.stopping import cut, outcome
from heimdall_nb.progress import track
from heimdall_nb.prompts import STOPS, Conversation, render

BATCH = 512  # tokens in one call of llama_decode
SMALL_FILE = 100_000_000  # bytes; below this, a second thread costs more in waiting than it saves
_ERROR = 4  # GGML_LOG_LEVEL_ERROR

errors: deque[str] = deque(maxlen=20)  # what llama.cpp complained about last


@c.llama_log_callback
def _collect(level: int, text: bytes, _: Any) -> None:
    if level == _ERROR:
        errors.append(text.decode("utf-8", "replace").strip())


# llama.cpp prints pages to stderr; this keeps its errors and drops the rest. The module keeps the callback alive.
c.llama_log_set(_collect, ctypes.c_void_p(0))


def threads_for(path: Path) -> int:
    """How many threads run a model file fastest: one for a small file, else `hardware.threads`."""
    return 1 if path.stat().st_size < SMALL_FILE else hardware.threads()


@dataclass(frozen=True)
class Phases:
    """Seconds of an answer by what was done: all turns but the last read, the last turn read, tokens written."""

    prefix: float
    question: float
    answer: float


class LlamaCppModel:
    """A GGUF file answering in process; not for several threads at once.

    `context` is the window in tokens (prompt and answer), `threads` defaults to 1 for files under 100 MB, where more
    are slower, `batch` is how many tokens of a prompt are read in one call. `options` are further fields of llama.cpp's
    parameters of a model or a context, by its names. An answer is the same whatever was asked before. `phases` tells
    where the time of the last answer went. Raises BadInput for a missing or damaged file.
    """

    def __init__(
        self,
        path: Path | str,
        context: int = 2048,
        threads: int | None = None,
        name: str | None = None,
        batch: int = BATCH,
        options: Mapping[str, int | bool] | None = None,
    ) -> None:
        self.path = check_gguf(path)
        for what, number, usual in (("context", context, 2048), ("batch", batch, BATCH)):
            if number < 1:
                raise BadInput(f"{number} is no number of tokens", what, f"Give a positive number, such as {usual}.")
        self.name = name or self.path.stem
        self.context, self.batch, self.options = context, batch, options or {}
        self.threads = threads or threads_for(self.path)
        self._model = self._context = None
        self._head: tuple[int, ...] = ()  # tokens at the start of the cache that the next prompt may share
        self._known: dict[int, tuple[bytes, bool]] = {}  # see `_learn`
        self._logits_at, self._row = 0, np.empty(0, np.single)  # where llama.cpp keeps the last logits, and a view
        self._next = (c.llama_token * 1)()  # the token that `_single`, a batch of one, points to
        self._single = c.llama_batch_get_one(self._next, 1)
        self.phases = Phases(0.0, 0.0, 0.0)
        errors.clear()
        settings = self._with_options(c.llama_model_default_params())
        self._model = c.llama_model_load_from_file(str(self.path).encode(), settings)
        if not self._model:
            reason = f" ({errors[0].rsplit(': ', 1)[-1]})" if errors else ""
            raise BadInput(f"is damaged or not for this llama.cpp{reason}", str(self.path), "Run notebook 04 again.")
        self._vocab = c.llama_model_get_vocab(self._model)
        self._vocabulary_size = c.llama_vocab_n_tokens(self._vocab)
        self._context = self._new_context()

    def tokens(self, text: str) -> list[int]:
        """The token ids of a rendered prompt: NFC, special tokens as such, nothing put in front."""
        raw = unicodedata.normalize("NFC", text).encode()
        buffer = (c.llama_token * (len(raw) + 1))()  # a token is at least one byte
        count = c.llama_tokenize(self._vocab, raw, len(raw), buffer, len(buffer), False, True)
        return list(buffer[:count])

    def metadata(self, key: str) -> str:
        """A metadata value of the file as text, e.g. `general.name`; empty where the file has none."""
        size = c.llama_model_meta_val_str(self._model, key.encode(), ctypes.create_string_buffer(1), 1)
        if size < 0:
            return ""
        buffer = ctypes.create_string_buffer(size + 1)
        c.llama_model_meta_val_str(self._model, key.encode(), buffer, size + 1)
        return buffer.value.decode()

    def log_probabilities(self, text: str) -> np.ndarray:
        """Log probability of every vocabulary entry after each token of `text`: float32 (tokens, vocabulary)."""
        ids = self.tokens(text)[: self.context]
        self._forget(0)
        logits = np.concatenate([self._logits(ids[at : at + self.batch], at) for at in range(0, len(ids), self.batch)])
        shifted = logits - logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def complete(
        self,
        conversations: Sequence[Conversation],
        max_new_tokens: int = 192,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = STOPS,
        grammar: str | None = None,
    ) -> list[Completion]:
        """Answer each conversation; see `LanguageModel.complete`. Each one is sampled from `seed` anew."""
        if not self._context:
            raise HeimdallError(f"{self.path}: the model was closed.")
        answers = []
        with sampling(temperature, seed) as sampler, bound(self._vocab, grammar) as rules:

            def drawn() -> int:
                return c.llama_sampler_sample(sampler, self._context, -1)

            free = drawn if temperature > 0 else self._likeliest
            sample = free if rules is None else lambda: ruled(free, self._context, sampler, rules)
            for conversation in track(conversations, self.name) if len(conversations) > 1 else conversations:
                c.llama_sampler_reset(sampler)
                if rules:
                    c.llama_sampler_reset(rules)
                answers.append(self._answer(conversation, max_new_tokens, stop, sample))
        return answers

    def refused(self, text: str, grammar: str) -> str | None:
        """None where the grammar accepts `text`; else the rest from the first token that it refuses.

        The rest is empty where the text ends too early. Raises BadInput for what is no grammar.
        """
        with bound(self._vocab, grammar) as rules:
            ids = self.tokens(text)
            for place, token in enumerate([*ids, c.llama_vocab_eos(self._vocab)]):
                if not allowed(rules, token):
                    return b"".join(map(self._piece, ids[place:])).decode("utf-8", "replace")
                c.llama_sampler_accept(rules, token)
        return None

    def forget(self) -> None:
        """Drop the cached prefix: the next prompt is read from its first token."""
        self._forget(0)

    def close(self) -> None:
        """Free the model and its cache."""
        if self._context:
            c.llama_free(self._context)
        if self._model:
            c.llama_model_free(self._model)
        self._model = self._context = None

    def _new_context(self) -> Any:
        settings = c.llama_context_default_params()
        settings.n_ctx = self.context
        settings.n_batch = settings.n_ubatch = self.batch
        settings.n_threads = settings.n_threads_batch = self.threads
        context = c.llama_init_from_model(self._model, self._with_options(settings))
        if not context:
            self.close()
            raise BadInput(f"has no room for {self.context} tokens", str(self.path), "Choose a smaller context.")
        return context

    def _with_options(self, settings: Any) -> Any:
        """llama.cpp's parameters with those of `options` that are among their fields."""
        for name, value in self.options.items():
            if hasattr(settings, name):
                setattr(settings, name, value)
        return settings

    def _likeliest(self) -> int:
        """The token with the highest logit, the first of equals: llama.cpp's greedy choice, without its list of all."""
        logits = c.llama_get_logits_ith(self._context, -1)
        address = ctypes.addressof(logits.contents)
        if address != self._logits_at:  # a view costs more than the search; the buffer seldom moves
            self._logits_at, self._row = address, np.ctypeslib.as_array(logits, shape=(self._vocabulary_size,))
        return int(self._row.argmax())

    def _answer(self, conversation: Conversation, max_new: int, stop: Sequence[str], sample: Sample) -> Completion:
        started = time.perf_counter()
        # All turns but the last are decoded apart from it. So a cached head is, bit for bit, what would be computed.
        head = tuple(self.tokens(render(conversation[:-1], generation_prompt=False))) if conversation[1:] else ()
        tail = self.tokens(render(conversation[-1:]))
        prompt = len(head) + len(tail)
        if prompt >= self.context:
            return Completion("", prompt, 0, time.perf_counter() - started, "truncated")
        if head == self._head:
            self._forget(len(head))
        else:
            self._forget(0)
            self._decode(head)
            self._head = head
        prefix = self._done()
        self._decode(tail)
        question = self._done()
        text, new, stopped = self._generate(min(max_new, self.context - prompt), stop, sample)
        ended = time.perf_counter()
        self.phases = Phases(prefix - started, question - prefix, ended - question)
        return Completion(text, prompt, new, ended - started, outcome(text, stopped))

    def _done(self) -> float:
        """The time when all that was decoded is computed: llama_decode may return before."""
        c.llama_synchronize(self._context)
        return time.perf_counter()

    def _generate(self, limit: int, stop: Sequence[str], sample: Sample) -> tuple[str, int, bool]:
        """The answer's text, how many tokens were made for it (the end token counts), and whether it ended."""
        # What runs between two tokens finds the processor's caches full of weights, so little of it is touched: a
        # dictionary and one search instead of calls for each token.
        raw, ends = bytearray(), [text.encode() for text in stop if text]
        stopped = re.compile(b"|".join(map(re.escape, ends)) or b"(?!)").search
        before = max(map(len, ends), default=1) - 1  # bytes of a stop string that earlier tokens may have brought
        for count in range(1, limit + 1):
            token = sample()
            piece, last = self._known.get(token) or self._learn(token)
            if last:
                return raw.decode("utf-8", "replace"), count, True
            begin = max(0, len(raw) - before)
            raw += piece
            if stopped(raw, begin):
                return cut(raw.decode("utf-8", "replace"), stop)[0], count, True
            if count < limit:
                self._next[0] = token
                self._check(c.llama_decode(self._context, self._single))
        return raw.decode("utf-8", "replace"), limit, False

    def _learn(self, token: int) -> tuple[bytes, bool]:
        """The bytes of a token, nothing for a control token, and whether it ends an answer; kept for the next time."""
        buffer = ctypes.create_string_buffer(256)  # longer than any token of a byte-level vocabulary in use
        size = c.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        self._known[token] = buffer.raw[: max(0, size)], c.llama_vocab_is_eog(self._vocab, token)
        return self._known[token]

    def _piece(self, token: int) -> bytes:
        """The bytes of a token; nothing for a control token."""
        return (self._known.get(token) or self._learn(token))[0]

    def _decode(self, ids: Sequence[int]) -> None:
        """Append tokens to the cache; afterwards the logits of the last one can be sampled."""
        for at in range(0, len(ids), self.batch):
            part = ids[at : at + self.batch]
            array = (c.llama_token * len(part))(*part)  # named, since the batch only points to it
            self._check(c.llama_decode(self._context, c.llama_batch_get_one(array, len(part))))

    def _logits(self, ids: Sequence[int], position: int) -> np.ndarray:
        """Append tokens to the cache and return the logits of all of them."""
        batch = c.llama_batch_init(len(ids), 0, 1)
        try:
            batch.n_tokens = len(ids)
            for i, token in enumerate(ids):
                batch.token[i], batch.pos[i], batch.logits[i] = token, position + i, True
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            status = c.llama_decode(self._context, batch)
        finally:
            c.llama_batch_free(batch)
        self._check(status)
        shape = (len(ids), self._vocabulary_size)
        return np.ctypeslib.as_array(c.llama_get_logits(self._context), shape=shape).copy()

    def _check(self, status: int) -> None:
        if status:
            raise HeimdallError(f"{self.path}: llama.cpp could not go on (llama_decode returned {status}).")

    def _forget(self, kept: int) -> None:
        """Keep the first `kept` tokens of the cache."""
        c.llama_memory_seq_rm(c.llama_get_memory(self._context), 0, kept, -1)
        if kept == 0:
            self._head = ()
