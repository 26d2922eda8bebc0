"""Checks of notebook 10's exercises."""

from __future__ import annotations

from typing import Any

from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.engines.cypher_check import name_faults
from heimdall_nb.engines.cypher_tokens import writes

LIMIT, BYTES = 20_000_000, 2  # of the file, and of a parameter in bf16
WIDTH, HEADS, KV_HEADS, FFN, VOCABULARY = 512, 8, 2, 1536, 2048


def check_1(answer: Any) -> str | None:
    """The most layers of a model that fits into LIMIT bytes."""
    head = WIDTH // HEADS
    layer = 2 * WIDTH * WIDTH + 2 * WIDTH * KV_HEADS * head + 3 * WIDTH * FFN + 2 * WIDTH + 2 * head
    right = (LIMIT // BYTES - VOCABULARY * WIDTH - WIDTH) // layer
    if not isinstance(answer, int) or isinstance(answer, bool):
        return "Give an integer."
    if answer == right:
        return None
    if answer < right:
        return "There is room for more."
    used = BYTES * (VOCABULARY * WIDTH + WIDTH + answer * layer)
    return f"{answer} layers take {used / 1e6:.1f} MB: sum the values of parts_of, at {BYTES} bytes each."


def check_2(answer: Any, tokenizer: Any) -> str | None:
    """A word that takes the space before it along, and so has other tokens behind a space than behind a colon."""
    if not isinstance(answer, str) or not (answer.isascii() and answer.isalpha()):
        return "Give a word of letters only, without the space."
    spaced = tokenizer.tokenize(f" {answer}")
    if spaced[0] == "Ġ":
        return f"It is cut into {spaced}: the space stands alone. Try a word that is in every other query."
    return None


def check_3(answer: Any, schema: GraphSchema, tokenizer: Any, max_length: int) -> str | None:
    """A record on `schema` with two or more turns, which training can read and whose queries name nothing else."""
    import json
    import tempfile
    from pathlib import Path

    from heimdall_nb.errors import BadInput
    from heimdall_nb.training.sequences import encode, read_corpus, write_corpus

    with tempfile.TemporaryDirectory() as folder:
        try:
            path = write_corpus(Path(folder) / "record.jsonl", [json.loads(json.dumps(answer))])
            encode(tokenizer, read_corpus(path), max_length)
        except (BadInput, TypeError, KeyError) as problem:
            return f"Training cannot read it: {problem}"
    if answer["task"] != "cypher" or answer["schema"] != schema.text():
        return "The task is cypher, and the schema is drawn[0][0].text(), unchanged."
    asked = dict(map(tuple, answer["turns"]))
    if len(asked) < 2 or len(set(asked.values())) < 2:
        return "Give two different questions with different queries."
    for query in asked.values():
        if not (writes(query) or "RETURN" in query.upper()):
            return f"This neither returns nor writes anything: {query}"
        for fault in name_faults(query, schema.names()):
            return f"In {query}: {fault}"
    return None
