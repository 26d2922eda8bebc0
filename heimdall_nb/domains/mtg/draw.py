"""Draws cards and numbers for a scene, each card once."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from heimdall_nb.domains.mtg.cards import cards, number_of_targets, table
from heimdall_nb.domains.mtg.model import Card

Made = dict[str, Any]
Scene = Callable[["Draw"], Made]


class Draw:
    """One scene's draws; everything comes from one random generator."""

    def __init__(self, seed: str) -> None:
        self.rng = random.Random(seed)
        self.used: set[str] = set()

    def card(self, fits: Callable[[Card], bool]) -> str:
        """The name of a card that fits and was not drawn yet."""
        name = self.rng.choice([c.name for c in cards().values() if c.name not in self.used and fits(c)])
        self.used.add(name)
        return name

    def creature(self, *keywords: str, fits: Callable[[Card], bool] = lambda card: True, plain: bool = True) -> str:
        """A creature with all these keywords; `plain` keeps to those without an ability in words."""
        return self.card(
            lambda c: (
                c.types == ("creature",) and set(keywords) <= set(c.keywords) and not (plain and c.text) and fits(c)
            )
        )

    def spell(self, *ops: str, fits: Callable[[Card], bool] = lambda card: True, fast: bool = False) -> str:
        """An instant or sorcery with at most one target, its first instruction one of `ops`; `fast`: no sorcery."""
        types = ("instant",) if fast else ("instant", "sorcery")

        def usable(card: Card) -> bool:
            return card.types[0] in types and (not ops or card.ops[0]["op"] in ops) and number_of_targets(card.name) < 2

        return self.card(lambda card: usable(card) and fits(card))

    def other(self, kind: str, fits: Callable[[Card], bool] = lambda card: True) -> str:
        """A permanent of another type."""
        return self.card(lambda c: c.types == (kind,) and fits(c))

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self.rng.randint(low, high)

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return self.rng.random() < share

    def choice(self, items: Sequence[Any]) -> Any:
        """One of the items."""
        return self.rng.choice(items)

    def scene(self, permanents: list[Made], actions: list[Made], ask: str = "game", **more: Any) -> Made:
        """A situation with two players whose names are drawn. `A` and `B` in `more` add to their state."""
        names = self.rng.sample(table("wordings")["names"], 2)
        if self.chance(0.3):
            names = self.rng.choice((["I", "my opponent"], ["my opponent", "I"]))
        players = {}
        for key, name in zip("AB", names, strict=True):
            players[key] = {"name": name, "state": {"life": self.number(6, 20)} | more.pop(key, {})}
        return {"players": players, "permanents": permanents, "actions": actions, "ask": ask, **more}


def targetable(card: Card) -> bool:
    """Whether players may target the creature freely; protection is left to the simulator."""
    return not {"hexproof", "shroud", "ward 2"} & set(card.keywords)


def on(player: str, card: str, **more: Any) -> Made:
    """A permanent of a player."""
    return {"card": card, "player": player, **more}


def cast(player: str, card: str, *targets: str, **more: Any) -> Made:
    """The action of casting a spell."""
    return {"do": "cast", "player": player, "card": card, **({"targets": list(targets)} if targets else {}), **more}


def attack(attacks: dict[str, list[str]], division: str = "") -> Made:
    """The action of attacking, with the blocks; `division` is where damage beyond lethal goes, if that must be said."""
    return {"do": "attack", "attacks": attacks} | ({"division": division} if division else {})


RESOLVE, DAMAGE, UPKEEP = {"do": "resolve"}, {"do": "damage"}, {"do": "upkeep"}
