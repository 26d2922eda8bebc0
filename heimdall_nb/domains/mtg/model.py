"""The objects of a simulated game: cards, permanents, players, spells on the stack, and the log of what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PLUS, MINUS = "+1/+1", "-1/-1"


@dataclass(frozen=True)
class Card:
    """An invented card. `ops` is what a spell does, `statics` the continuous effects of a permanent."""

    name: str
    types: tuple[str, ...]  # creature, instant, sorcery, enchantment, aura, equipment, planeswalker; legendary
    colour: str = "colourless"
    power: int = 0
    toughness: int = 0
    keywords: tuple[str, ...] = ()  # "toxic 2" and "protection from red" hold their value
    targets: str = ""  # what a spell may target: any, creature, player, spell; empty for none
    ops: tuple[Mapping[str, Any], ...] = ()
    statics: tuple[Mapping[str, Any], ...] = ()
    triggers: tuple[Mapping[str, Any], ...] = ()
    replaces: tuple[Mapping[str, Any], ...] = ()
    loyalty: int = 0
    text: str = ""


@dataclass(eq=False)
class Permanent:
    """A card or token on the battlefield, or the last that was known of it in another zone."""

    key: str  # how the situation names it; unique
    card: Card
    owner: str
    timestamp: int
    zone: str = "battlefield"
    tapped: bool = False
    token: bool = False
    damage: int = 0
    deathtouched: bool = False
    shields: int = 0  # regeneration
    attached: str = ""  # key of what an Aura or Equipment is on
    counters: Counter[str] = field(default_factory=Counter)


@dataclass
class Player:
    """A player of the game; `hand` is how many cards it holds."""

    key: str
    life: int = 20
    poison: int = 0
    hand: int = 0
    library: int = 40
    lost: str = ""  # the step that made the player lose
    drew_from_empty: bool = False


@dataclass(eq=False)
class StackItem:
    """A spell, a copy of one, or a triggered ability that waits to resolve."""

    key: str
    card: Card
    player: str
    targets: tuple[str, ...] = ()
    fate: str = "waiting"
    kind: str = "spell"  # spell, copy, ability
    ops: tuple[Mapping[str, Any], ...] = ()
    source: str = ""  # key of the permanent of an ability
    seen: dict[str, int] = field(default_factory=dict)  # timestamps of its targets as it was cast


@dataclass
class Effect:
    """A continuous effect. `change` holds its parts by layer; it applies where `affects` says."""

    source: str
    affects: Mapping[str, Any]  # {"key": …} for one permanent, or {"group": …, "player": …}
    change: Mapping[str, Any]
    timestamp: int
    static: bool = False


@dataclass
class Game:
    """The whole state. Players are in turn order, the active player first (APNAP order)."""

    players: dict[str, Player]
    permanents: dict[str, Permanent] = field(default_factory=dict)
    stack: list[StackItem] = field(default_factory=list)
    spells: list[StackItem] = field(default_factory=list)  # all that were cast, in order
    effects: list[Effect] = field(default_factory=list)
    waiting: list[StackItem] = field(default_factory=list)  # triggered abilities not yet on the stack
    attacks: dict[str, list[str]] = field(default_factory=dict)  # attacker -> blockers, as declared
    log: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    shields: Counter[str] = field(default_factory=Counter)  # key -> damage that will be prevented
    keep: Sequence[str] = ()  # which legendary permanents their controllers keep
    pays: bool = False  # whether ward is paid
    no_combat_damage: bool = False
    clock: int = 0

    def tick(self) -> int:
        """The next timestamp."""
        self.clock += 1
        return self.clock

    def say(self, step: str, **values: Any) -> None:
        """Note a step of the reason; its sentence and rule numbers are in data/mtg/steps.yaml."""
        if not self.log or self.log[-1] != (step, values):
            self.log.append((step, values))

    def on_battlefield(self) -> list[Permanent]:
        """All permanents, oldest first."""
        return sorted((p for p in self.permanents.values() if p.zone == "battlefield"), key=lambda p: p.timestamp)

    def over(self) -> bool:
        """Whether a player has lost."""
        return any(player.lost for player in self.players.values())

    def opponents(self, player: str) -> list[Player]:
        """The other players, in turn order."""
        return [other for key, other in self.players.items() if key != player]
