"""Checks of notebook 09's exercises."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from heimdall_nb.deploy.nornicdb import settings
from heimdall_nb.facts import FactPack

CONTEXT = 4096  # of exercise 2


def check_1(answer: Any, sent: Sequence[str], facts: FactPack) -> str | None:
    """The keys that the server does not read."""
    right = {key for key in sent if key not in {item.id for item in facts.of_kind("setting")}}
    try:
        given = set(answer)
    except TypeError:
        return "Give a set of keys."
    return None if given == right else "Compare each key with the table of settings above."


def check_2(answer: Any, max_new_tokens: int, characters_per_token: float, facts: FactPack) -> str | None:
    """The prompt budget of a larger context."""
    right = settings("any", CONTEXT, max_new_tokens, characters_per_token, facts)["heimdall.max_context_tokens"]
    if answer == right:
        return None
    return f"Call nornicdb.settings('any', {CONTEXT}, max_new_tokens, profiled['characters_per_token'], facts)."


def check_3(answer: Any, text: str, facts: FactPack) -> str | None:
    """The answer as the server's JSON action."""
    wanted = json.loads(facts.fact("prompt.answer").value)
    try:
        given = json.loads(answer)
    except (TypeError, ValueError):
        return "This is not JSON text; json.dumps makes it from a dictionary."
    if not isinstance(given, dict) or given.get("action") != wanted["action"]:
        return f"The action is named {wanted['action']}."
    return None if given.get("params") == {"cypher": text} else "params holds one key, cypher, with the query."
