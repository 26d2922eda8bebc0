"""From the corpus of the base model to batches: token ids, and which of them the model has to produce."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TURN_END, TURN_START, Conversation, conversation, render
from heimdall_nb.run import write_lines

IGNORED = -100  # the label of a token that is read; the prompt's may count a little at first
SLIP = -200  # the label of a token of an answer that is wrong on purpose: never learnt
CHUNK = 512  # conversations tokenised at once
POOL = 256  # sequences from which batches of similar length are made


@dataclass(frozen=True)
class Tokens:
    """One tokenised conversation as int32 arrays; `labels` equals `ids` in the answers and is negative elsewhere."""

    ids: np.ndarray
    labels: np.ndarray
    kind: str = ""  # of the corpus's record: cypher, sql or react


def read_corpus(path: Path) -> Iterator[Conversation]:
    """The conversations of a corpus: lines `{"task": …, "schema": text, "turns": [[question, answer], …]}`, one each.

    `slips`, where a line has it, are the places of turns whose answer is wrong on purpose: read, but not learnt.

    Raises BadInput with the line's number when a line has another form, and when the file is missing or empty.
    """
    number = 0
    try:
        with Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield _conversation(line, f"{path}, line {number}")
    except OSError as problem:
        raise BadInput(f"cannot be read ({problem.strerror})", str(path), "Generate the base corpus first.") from None
    if not number:
        raise BadInput("holds no sequence", str(path), "Generate the base corpus again.")


def _conversation(line: str, where: str) -> Conversation:
    try:
        record = json.loads(line)
        *exemplars, (question, answer) = [(str(asked), str(answered)) for asked, answered in record["turns"]]
        messages = conversation(question, record["schema"], record["task"], answer, exemplars)
        messages[0] |= {"kind": str(record.get("kind", record["task"]))}
        for turn in record.get("slips", ()):
            messages[2 + 2 * turn] |= {"slip": True}
        return messages
    except (ValueError, TypeError, KeyError, IndexError):
        raise BadInput('is not {"task": …, "schema": …, "turns": [[question, answer], …]}', where) from None


def write_corpus(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Write the records of a corpus as JSONL, through a temporary file; `read_corpus` reads them."""
    return write_lines(Path(path), (json.dumps(record, ensure_ascii=False) for record in records))


def texts(conversations: Iterable[Conversation]) -> Iterator[str]:
    """What the tokenizer learns from: each message with its role, without the special tokens between them."""
    return (f"{message['role']}\n{message['content']}" for messages in conversations for message in messages)


def encode(tokenizer: Any, conversations: Iterable[Conversation], max_length: int) -> list[Tokens]:
    """Token ids and labels. Turns that do not fit into `max_length` tokens are left out from the end.

    A conversation whose first answer does not fit is left out. Raises BadInput when that leaves none.
    """
    opening = tokenizer(f"{TURN_START}assistant\n")["input_ids"]
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    source, encoded = iter(conversations), []
    while chunk := list(islice(source, CHUNK)):
        rendered = [render(messages, generation_prompt=False) for messages in chunk]
        for messages, ids in zip(chunk, tokenizer(rendered)["input_ids"], strict=True):
            answers = [message for message in messages if message["role"] == "assistant"]
            slips = {place for place, message in enumerate(answers) if message.get("slip")}
            labels = answers_only(ids, opening, end, slips)
            cut = max((i + 1 for i in range(min(max_length, len(ids))) if labels[i] == end), default=0)
            if cut:
                kind = messages[0].get("kind", "")
                encoded.append(Tokens(np.array(ids[:cut], np.int32), np.array(labels[:cut], np.int32), kind))
    if not encoded:
        raise BadInput(f"{max_length} tokens do not hold a first answer", "max_length", "Give a larger value.")
    return encoded


def answers_only(ids: Sequence[int], opening: Sequence[int], end: int, slips: Collection[int] = ()) -> list[int]:
    """`ids` from each `opening` to the next `end`, with that end: the answers. IGNORED everywhere else.

    Answers whose place among the answers is in `slips` are SLIP.
    """
    labels, width, answer, inside = [IGNORED] * len(ids), len(opening), -1, False
    for i, token in enumerate(ids):
        if inside:
            labels[i] = SLIP if answer in slips else token
            inside = token != end
        elif list(ids[i + 1 - width : i + 1]) == list(opening):
            inside, answer = True, answer + 1
    return labels


def batches(sequences: Sequence[Tokens], tokens: int, seed: int) -> Iterator[list[int]]:
    """Sequence numbers of one step after the other, at most `tokens` of them with padding, without end.

    The sequences come in their order, so that a corpus can begin with what is easy; within POOL of them those of
    similar length are put together. Fixed by the arguments alone, so that training resumes with the batches it would
    have had.
    """
    for epoch in count():
        for first in range(0, len(sequences), POOL):
            pool = sorted(range(first, min(first + POOL, len(sequences))), key=lambda n: len(sequences[n].ids))
            groups: list[list[int]] = [[]]
            for n in pool:
                if groups[-1] and width(len(sequences[n].ids)) * (len(groups[-1]) + 1) > tokens:
                    groups.append([])
                groups[-1].append(n)
            random.Random(f"{seed}:{epoch}:{first}").shuffle(groups)
            yield from groups


def one_epoch(sequences: Sequence[Tokens], tokens: int, seed: int) -> list[list[int]]:
    """The batches of `batches` that hold each sequence once; their number is the same in every epoch."""
    found: list[list[int]] = []
    left, source = len(sequences), batches(sequences, tokens, seed)
    while left > 0:
        found.append(next(source))
        left -= len(found[-1])
    return found


def width(length: int) -> int:
    """A sequence's padded length. For each new shape the CPU's matrix library builds new code: so 64, 128, 192, …"""
    return -(-length // 64) * 64


def pad(sequences: Sequence[Tokens], padding: int) -> tuple[Any, Any]:
    """(ids, labels) as tensors, padded on the right: causal attention never looks there, so no mask is needed."""
    import torch

    shape = len(sequences), width(max(len(s.ids) for s in sequences))
    ids, labels = np.full(shape, padding, np.int64), np.full(shape, IGNORED, np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)], labels[row, : len(sequence.ids)] = sequence.ids, sequence.labels
    return torch.from_numpy(ids), torch.from_numpy(labels)
