"""Situations of the topics that are computed (calculations.py, tournament.py): posed, worded and solved."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from heimdall_nb.domains.mtg import calculations, tournament
from heimdall_nb.domains.mtg.answer import Line
from heimdall_nb.domains.mtg.cards import table
from heimdall_nb.domains.mtg.voice import Voice, sentence

SOLVERS = {"rules": calculations, "tournament": tournament}
SEATS = "PQTS"  # keys of the players, in turn order; none of them is a mana symbol


def pose(area: str, topic: str, seed: str) -> dict[str, Any]:
    """A situation of a topic of `rules` or `tournament`: its values and the names of four people."""
    rng = random.Random(seed)
    values = getattr(SOLVERS[area], f"draw_{topic}")(rng)
    names = rng.sample(table("wordings")["names"], len(SEATS))
    return {"area": area, "topic": topic, "values": values, "people": names}


def voice_of(situation: Mapping[str, Any]) -> Voice:
    """The names of the people of a situation."""
    return Voice(dict(zip(SEATS, situation["people"], strict=True)))


def ask(situation: Mapping[str, Any]) -> str:
    """The question; the number `wording` draws the words."""
    rng, voice = random.Random(f"wording {situation['wording']}"), voice_of(situation)
    opener = rng.choice(table("wordings")["openers"])
    numbers = {"table": rng.randint(1, 60), "round": rng.randint(1, 9), "game": rng.randint(1, 3)}
    text = rng.choice(_texts(situation)["asks"])
    return f"{voice.fill(opener, numbers)} {sentence(voice.fill(text, _values(situation)))}".strip()


def solve(situation: Mapping[str, Any]) -> tuple[dict[str, str], list[Line]]:
    """The facts of the outcome, and the lines of the reason."""
    voice, values, texts = voice_of(situation), _values(situation), _texts(situation)
    facts = {voice.fill(subject, values): voice.fill(value, values) for subject, value in texts["outcome"].items()}
    lines = [
        (voice.fill(text, values), [voice.fill(str(rule), values) for rule in rules]) for text, *rules in texts["steps"]
    ]
    return facts, lines


def _texts(situation: Mapping[str, Any]) -> Mapping[str, Any]:
    return table("topics")[situation["area"]][situation["topic"]]


def _values(situation: Mapping[str, Any]) -> dict[str, Any]:
    """What was drawn and what is computed from it, with names for players."""
    solver = getattr(SOLVERS[situation["area"]], f"solve_{situation['topic']}")
    values, voice = dict(situation["values"]) | solver(situation["values"]), voice_of(situation)
    return {key: voice.people(value) if isinstance(value, str) else value for key, value in values.items()}
