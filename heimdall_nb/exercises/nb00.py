"""Checks of notebook 00's exercises."""

from __future__ import annotations

from typing import Any

CARD_GIB = 5.0  # 6 GiB, of which 1 is taken


def check_1(answer: Any, needs: Any) -> str | None:
    """The models whose 16-bit weights and cache fit on the card; `needs` is the notebook's table."""
    right = set(needs.index[needs["weights_16_bit"] + needs["cache"] <= CARD_GIB])
    try:
        given = set(answer)
    except TypeError:
        return "Give a set of names."
    if given == right:
        return None
    return f"Add weights_16_bit and cache, and keep the models with at most {CARD_GIB:g} GiB."


def check_2(answer: Any, shown: str, schema: str) -> str | None:
    """A conversation with the same schema and another question."""
    if not isinstance(answer, list) or [message.get("role") for message in answer] != ["system", "user"]:
        return "Call prompts.conversation with your question and schema.text()."
    if schema not in answer[0]["content"]:
        return "The system message must hold the schema."
    question = answer[1]["content"].strip()
    return None if question and question != shown else "Ask a question of your own."


def check_3(answer: Any, schema: Any, seed: int) -> str | None:
    """A query that counts the movies released after 2000, seen by running it."""
    from heimdall_nb.dataset.graphs import instantiate
    from heimdall_nb.engines.arcadedb import ArcadeDB
    from heimdall_nb.engines.graph import Refusal

    graph = instantiate(schema, seed)
    with ArcadeDB() as engine:
        engine.load(graph)
        result = engine.run(str(answer))
    if isinstance(result, Refusal):
        return f"The database refuses it: {result.message}"
    right = sum(node.label == "Movie" and node.properties["released"] > 2000 for node in graph.nodes)
    return None if result.rows == ((right,),) else "Return one number: MATCH (m:Movie) WHERE ... RETURN count(m)."
