"""The texts on which a GGUF file must read the same tokens: questions, queries, other scripts, special tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import yaml

from heimdall_nb.run import DATA

COUNT = 500
# Wordings and statements as they stand in these files. Slots such as {As} stay in: to a tokenizer they are text too.
SOURCES = ("templates/cypher", "templates/nornicdb", "hostile", "sql/questions.yaml")
MAX_CONTROL = 40  # special tokens that are tried in every place; a model can have hundreds that it never uses


def gate_texts(control: Sequence[str], count: int = COUNT) -> list[str]:
    """At least `count` texts that are hard to split, the same ones each time.

    `control` are the model's special tokens. Every text of `data/scripts.yaml` is among them; the rest are questions,
    Cypher and SQL of this repository.
    """
    lists = yaml.safe_load((DATA / "scripts.yaml").read_text(encoding="utf-8"))
    texts = [*lists["scripts"], *lists["spaces"], *lists["signs"]]
    tried = list(control)[-MAX_CONTROL:]  # what was added last, ChatML's tokens, is always among them
    texts += [place.replace("«T»", token) for place in lists["control"] for token in tried]
    found = sorted(_repository() - set(texts))
    wanted = min(len(found), max(0, count - len(texts)))
    return texts + random.Random("gate texts").sample(found, wanted)


@cache
def _repository() -> frozenset[str]:
    """The texts of `SOURCES`, read once: a run takes several files through the gate."""
    paths = [DATA / source for source in SOURCES]
    files = [file for path in paths for file in (path.rglob("*.yaml") if path.is_dir() else [path])]
    return frozenset(t for f in files for t in _strings(yaml.load(f.read_text(encoding="utf-8"), Loader=_LOADER)))


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _strings(value: Any) -> Iterator[str]:
    """Every text in nested lists and mappings that has several words."""
    if isinstance(value, str):
        if " " in value:
            yield value
    elif isinstance(value, dict):
        if not value.get("benchmark"):
            yield from (text for part in value.values() for text in _strings(part))
    elif isinstance(value, list):
        yield from (text for part in value for text in _strings(part))
