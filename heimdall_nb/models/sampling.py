"""How llama.cpp chooses the next token: the likeliest, one drawn at a temperature, or one that a grammar allows.

All of it works with llama.cpp's own samplers; a context and a vocabulary are pointers of its C interface.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llama_cpp as c
import numpy as np

from heimdall_nb.errors import BadInput

_TOKEN_DATA = np.dtype([("id", np.intc), ("logit", np.single), ("p", np.single)], align=True)

Sample = Callable[[], int]


@contextmanager
def sampling(temperature: float, seed: int) -> Iterator[Any]:
    """The choice among tokens: the likeliest one, or one drawn at `temperature`."""
    chain = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
    if temperature > 0:
        c.llama_sampler_chain_add(chain, c.llama_sampler_init_temp(temperature))
        c.llama_sampler_chain_add(chain, c.llama_sampler_init_dist(seed & 0x7FFFFFFF))
    else:
        c.llama_sampler_chain_add(chain, c.llama_sampler_init_greedy())
    try:
        yield chain
    finally:
        c.llama_sampler_free(chain)


@contextmanager
def bound(vocabulary: Any, grammar: str | None) -> Iterator[Any]:
    """A sampler that rules out what a GBNF grammar does not allow; None without one. Raises BadInput for no grammar."""
    if grammar is None:
        yield None
        return
    rules = c.llama_sampler_init_grammar(vocabulary, grammar.encode(), b"root") if grammar.strip() else None
    if not rules:
        raise BadInput("is not a GBNF grammar with a rule `root`", "grammar", "Correct the grammar.")
    try:
        yield rules
    finally:
        c.llama_sampler_free(rules)


def allowed(rules: Any, token: int) -> bool:
    """Whether a grammar's sampler lets `token` come next."""
    one = np.zeros(1, dtype=_TOKEN_DATA)
    one["id"] = token
    c.llama_sampler_apply(rules, ctypes.byref(_array(one)))
    return bool(np.isfinite(one["logit"][0]))


def ruled(free: Sample, context: Any, sampler: Any, rules: Any) -> int:
    """The next token under a grammar, which `free` alone would choose freely. Raises BadInput where there is none.

    A free choice that the rules allow stands, and only else are all tokens held against the rules, which takes far
    longer. The odds are the same: a refused draw is drawn again among what is allowed.
    """
    token = free()
    if not allowed(rules, token):
        token = _constrained(context, sampler, rules)
    c.llama_sampler_accept(rules, token)
    return token


def _constrained(context: Any, sampler: Any, rules: Any) -> int:
    """The choice among the tokens that the rules allow."""
    size = c.llama_vocab_n_tokens(c.llama_model_get_vocab(c.llama_get_model(context)))
    candidates = np.zeros(size, dtype=_TOKEN_DATA)
    candidates["id"] = np.arange(size)
    candidates["logit"] = np.ctypeslib.as_array(c.llama_get_logits_ith(context, -1), shape=(size,))
    array = _array(candidates)
    c.llama_sampler_apply(rules, ctypes.byref(array))
    if not np.isfinite(candidates["logit"]).any():
        # llama.cpp would choose a forbidden token here and end the whole process over it.
        raise BadInput("asks for text that no token of this model can begin", "grammar", "Correct the grammar.")
    c.llama_sampler_apply(sampler, ctypes.byref(array))
    return array.data[array.selected].id


def _array(candidates: np.ndarray) -> Any:
    """Tokens with their logits as llama.cpp takes them; it writes into the same memory."""
    pointer = candidates.ctypes.data_as(c.llama_token_data_p)
    return c.llama_token_data_array(data=pointer, size=len(candidates), selected=-1, sorted=False)
