"""From the corpus of the base model to batches: token ids, and which of them the model has to produce."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TURN_END, TURN_START, Conversation, conversation, render
from heimdall_nb.run import atomic_text

IGNORED = -100  # the label of a token that is read but not learnt


@dataclass(frozen=True)
class Tokens:
    """One tokenised conversation; `labels` equals `ids` in the answers and is IGNORED elsewhere."""

    ids: list[int]
    labels: list[int]


def read_corpus(path: Path) -> list[Conversation]:
    """The conversations of a corpus: lines `{"schema": text, "turns": [[question, query], …]}`, one each.

    Raises BadInput with the line's number when a line has another form, and when the file is missing or empty.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise BadInput(f"cannot be read ({problem.strerror})", str(path), "Generate the base corpus first.") from None
    conversations = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            *exemplars, (question, answer) = [(str(asked), str(answered)) for asked, answered in record["turns"]]
            conversations.append(conversation(question, record["schema"], "cypher", answer, exemplars))
        except (ValueError, TypeError, KeyError):
            where = f"{path}, line {number}"
            raise BadInput('is not {"schema": …, "turns": [[question, query], …]}', where) from None
    if not conversations:
        raise BadInput("holds no sequence", str(path), "Generate the base corpus again.")
    return conversations


def write_corpus(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Write the records of a corpus as JSONL, at once; `read_corpus` reads them."""
    return atomic_text(Path(path), "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def texts(conversations: Sequence[Conversation]) -> list[str]:
    """What the tokenizer learns from: each message with its role, without the special tokens between them."""
    return [f"{message['role']}\n{message['content']}" for messages in conversations for message in messages]


def encode(tokenizer: Any, conversations: Sequence[Conversation], max_length: int) -> list[Tokens]:
    """Token ids and labels. Turns that do not fit into `max_length` tokens are left out from the end.

    Raises BadInput when not even the first answer of a conversation fits.
    """
    opening = tokenizer(f"{TURN_START}assistant\n")["input_ids"]
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    encoded = []
    for ids in tokenizer([render(messages, generation_prompt=False) for messages in conversations])["input_ids"]:
        labels = answers_only(ids, opening, end)
        cut = max_length
        if len(ids) > max_length:
            cut = max((i + 1 for i in range(max_length) if labels[i] == end), default=0)
            if not cut:
                raise BadInput(f"{max_length} tokens do not hold a first answer", "max_length", "Give a larger value.")
        encoded.append(Tokens(ids[:cut], labels[:cut]))
    return encoded


def answers_only(ids: Sequence[int], opening: Sequence[int], end: int) -> list[int]:
    """`ids` from each `opening` to the next `end`, with that end: the answers. IGNORED everywhere else."""
    labels, width, inside = [IGNORED] * len(ids), len(opening), False
    for i, token in enumerate(ids):
        if inside:
            labels[i] = token
        inside = token != end if inside else list(ids[i + 1 - width : i + 1]) == list(opening)
    return labels


def batches(sequences: Sequence[Tokens], size: int, steps: int, seed: int) -> list[list[int]]:
    """The sequence numbers of each step's batch: every sequence once an epoch, sequences of similar length together.

    Fixed by `seed` alone, so that training resumes at any step with the batches it would have had.
    """
    drawn: list[list[int]] = []
    pool = 32 * size  # sorting within a pool leaves the order of lengths random, and a batch with little padding
    for epoch in count():
        draw = random.Random(f"{seed}:{epoch}")
        order = draw.sample(range(len(sequences)), len(sequences))
        pools = [sorted(order[i : i + pool], key=lambda n: len(sequences[n].ids)) for i in range(0, len(order), pool)]
        groups = [some[i : i + size] for some in pools for i in range(0, len(some), size)]
        draw.shuffle(groups)
        drawn += groups
        if len(drawn) >= steps:
            return drawn[:steps]
    raise AssertionError("count() does not end")


def pad(sequences: Sequence[Tokens], padding: int) -> tuple[Any, Any]:
    """(ids, labels) as tensors, padded on the right: causal attention never looks there, so no mask is needed.

    The width is a multiple of 64: for each new shape the CPU's matrix library builds and keeps new code, which costs
    time and memory.
    """
    import torch

    width = -(-max(len(s.ids) for s in sequences) // 64) * 64
    ids = [s.ids + [padding] * (width - len(s.ids)) for s in sequences]
    labels = [s.labels + [IGNORED] * (width - len(s.ids)) for s in sequences]
    return torch.tensor(ids), torch.tensor(labels)
