"""Questions as the base has read them, on invented schemas: some to read again, others to ask.

A model that is trained on new answers alone may forget old ones. Replay mixes some of the old material among the new
(Robins, 1995, https://doi.org/10.1080/09540099550039318).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from heimdall_nb.dataset.corpus import cypher_corpus
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.sizes import context_size
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS, conversation, render

ASKED = 1_000_003  # added to the seed of what is asked: neither the base nor the replay has these schemas


def beside(new: int, share: float) -> int:
    """How many old questions are `share` of all, with `new` others there. Raises BadInput unless 0 <= share < 1."""
    if not 0 <= share < 1:
        raise BadInput(f"{share} is not at least 0 and below 1", "replay", "Give a share such as 0.15.")
    return round(new * share / (1 - share))


def replay(number: int, seed: int, turns: int = 4) -> list[Example]:
    """`number` Cypher questions of the kind that the base has read, up to `turns` of them on one invented schema.

    Raises BadInput for a negative number, or for fewer than two turns.
    """
    if number < 0 or turns < 2:
        raise BadInput(f"{number} questions with {turns} on a schema cannot be drawn", "replay")
    records = _records(-(-number // 2), seed, turns)  # each has two questions at least
    return list(islice((example for record in records for example in record), number))


def fundamentals(number: int, seed: int) -> list[Example]:
    """`number` questions to ask, each alone on its invented schema: of the base's kind, and in no corpus of it.

    Raises BadInput for a negative number.
    """
    if number < 0:
        raise BadInput(f"{number} questions cannot be drawn", "fundamentals")
    return [record[0] for record in _records(number, seed + ASKED, 2)]


def _records(number: int, seed: int, turns: int) -> Iterator[list[Example]]:
    for schema, record in cypher_corpus(number, seed, turns, composed_from=0):
        yield [_example(schema.text(), question, query) for question, query in record["turns"]]


def _example(schema: str, question: str, query: str) -> Example:
    text = render(conversation(question, schema, "cypher", query), generation_prompt=False)
    return Example(
        instruction=TASKS["cypher"],
        input=question,
        output=query,
        category="replay",
        context_size=context_size(len(text), query),
        schema=schema,
        check="parsed",
    ).with_id()
