"""Rows for fine-tuning: examples as conversations, several questions about one schema in each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TURN_END, Conversation, conversation, render


def rows(examples: Sequence[Example], questions_per_row: int, seed: int) -> list[dict[str, Conversation]]:
    """Conversations for TRL: questions about the same schema share a row, so that the schema is read once for all.

    The questions are shuffled by `seed`, so that each kind of question is first in a row, and so zero-shot, some times.
    """
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for example in random.Random(seed).sample(list(examples), len(examples)):
        groups.setdefault((example.schema, example.task), []).append((example.question, example.output))
    made = []
    for (schema, task), turns in sorted(groups.items()):
        for start in range(0, len(turns), questions_per_row):
            *exemplars, (question, answer) = turns[start : start + questions_per_row]
            made.append({"messages": conversation(question, schema, task, answer, exemplars)})
    return made


def fitting(
    tokenizer: Any, made: Sequence[dict[str, Conversation]], max_length: int, what: str
) -> list[dict[str, Conversation]]:
    """The rows with the questions whose answers end within `max_length` tokens; says how many answers of `what` do not.

    A row is cut after a whole answer, so that no beginning of one is learnt as if it were all; a row whose first answer
    does not fit is left out. Raises BadInput when no row is left.
    """
    if not made:
        raise BadInput("holds no example", what, "Run stage 02 again.")
    texts = [render(row["messages"], False) for row in made]
    places = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    kept, lost, total = [], 0, 0
    for row, text, offsets in zip(made, texts, places, strict=True):
        read = text[: offsets[:max_length][-1][1]]  # what the first tokens cover
        whole = row["messages"][: read.count(TURN_END)]  # each message ends with one
        while whole and whole[-1]["role"] != "assistant":
            whole = whole[:-1]
        total += _answers(row["messages"])
        lost += _answers(row["messages"]) - _answers(whole)
        kept += [{"messages": whole}] if whole else []
    if not kept:
        raise BadInput(f"{max_length} tokens hold no answer of the {what}", "max_length", "Give a larger value.")
    if lost:
        print(f"{what}: {lost} of {total} answers do not fit into {max_length} tokens and are left out", flush=True)
    return kept


def _answers(messages: Conversation) -> int:
    return sum(message["role"] == "assistant" for message in messages)


def supervised_text(tokenizer: Any, messages: Conversation) -> str:
    """The part of a conversation that the loss is on, as text: the answers with their end tokens."""
    encoded = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    pairs = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    return tokenizer.decode([token for token, learnt in pairs if learnt])
