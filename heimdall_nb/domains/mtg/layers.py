"""What a permanent is right now: continuous effects applied in layers 1 to 7d, by timestamp within a layer (613)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from heimdall_nb.domains.mtg.model import MINUS, PLUS, Card, Effect, Game, Permanent

LAYERS = ("1", "2", "5", "6", "7a", "7b", "7c", "7d")  # no card here changes text (3) or types (4)
Identity = tuple[str, int, str]  # source, timestamp and change: what tells one effect from another
Trace = list[tuple[str, str, str, str]]


@dataclass
class Features:
    """The characteristics of a permanent after all layers, and who controls it (which layer 2 decides)."""

    card: Card  # after layer 1
    controller: str
    types: tuple[str, ...]
    colour: str
    keywords: frozenset[str]
    power: int
    toughness: int
    silenced: bool = False  # has lost all its abilities

    @property
    def creature(self) -> bool:
        """Whether it is a creature."""
        return "creature" in self.types

    def has(self, keyword: str) -> bool:
        """Whether it has a keyword ability; `toxic` finds `toxic 2`."""
        return any(own == keyword or own.startswith(keyword + " ") for own in self.keywords)

    def value(self, keyword: str) -> int:
        """The sum of the numbers of a keyword such as `toxic 2`."""
        return sum(int(own.split()[-1]) for own in self.keywords if own.startswith(keyword + " "))

    def protected_from(self, colour: str) -> bool:
        """Whether it has protection from that colour."""
        return f"protection from {colour}" in self.keywords


def features(game: Game, permanent: Permanent) -> Features:
    """The characteristics of one permanent."""
    return all_features(game)[permanent.key]


def all_features(game: Game, trace: Trace | None = None) -> dict[str, Features]:
    """The characteristics of every permanent, those that have left as they would be on the battlefield.

    `trace` gets what each effect did: the layer, its source, the permanent, and the power and toughness after it.
    """
    found = {key: _printed(permanent) for key, permanent in game.permanents.items()}
    started: set[Identity] = set()
    for layer in LAYERS:
        effects = _in_order(game, found, layer)
        doomed = _losing_abilities(game, effects, found)
        for effect in effects:
            if layer == "6" and effect.static and effect.source in doomed:
                if trace is not None:
                    trace.append(("dependency", effect.source, effect.source, ""))
                continue  # it depends on the effect that takes the ability away, which applies first (613.8)
            identity = (effect.source, effect.timestamp, repr(effect.change))
            if effect.static and identity not in started and found[effect.source].silenced:
                if trace is not None:
                    trace.append(("silenced", effect.source, effect.source, ""))
                continue  # a lost ability applies only where it began to apply in an earlier layer (613.6)
            started.add(identity)
            for key in _affected(game, effect, found):
                found[key] = _APPLY[layer](game, effect, found[key], found)
                if trace is not None:
                    trace.append((layer, effect.source, key, f"{found[key].power}/{found[key].toughness}"))
        if layer == "7c":
            _counters(game, found, trace)
    return found


def _printed(permanent: Permanent) -> Features:
    return _of_card(permanent.card, permanent.owner)


def _of_card(card: Card, controller: str) -> Features:
    return Features(card, controller, card.types, card.colour, frozenset(card.keywords), card.power, card.toughness)


def _in_order(game: Game, found: Mapping[str, Features], layer: str) -> list[Effect]:
    """The effects with a part in this layer, the oldest first (613.7)."""
    every = [*game.effects]
    for permanent in game.on_battlefield():
        owner = found[permanent.key]
        for static in owner.card.statics:
            affects = dict(static["affects"])
            if affects.get("group") == "attached":
                affects = {"key": permanent.attached}
            affects.setdefault("player", owner.controller)
            every.append(Effect(permanent.key, affects, static["change"], permanent.timestamp, True))
    return sorted((effect for effect in every if layer in effect.change), key=lambda effect: effect.timestamp)


def _losing_abilities(game: Game, effects: Iterable[Effect], found: Mapping[str, Features]) -> set[str]:
    """The permanents that lose all abilities in layer 6; what their own static abilities would do depends on that."""
    losses = [effect for effect in effects if effect.change.get("6", {}).get("lose") == "all"]
    return {key for effect in losses for key in _affected(game, effect, found)}


def _affected(game: Game, effect: Effect, found: Mapping[str, Features]) -> list[str]:
    affects = effect.affects
    if "key" in affects:
        return [affects["key"]] if affects["key"] in found else []
    group, player = affects["group"], affects.get("player")
    keys = [p.key for p in game.on_battlefield() if found[p.key].creature]
    if group == "self":
        return [effect.source]
    if group.startswith("other"):
        keys = [key for key in keys if key != effect.source]
    if group.endswith("yours"):
        keys = [key for key in keys if found[key].controller == player]
    return keys


def _copy(game: Game, effect: Effect, old: Features, found: Mapping[str, Features]) -> Features:
    """Layer 1: the copiable values of another permanent, which are its own after layer 1 (707.2)."""
    return _of_card(found[effect.change["1"]].card, old.controller)


def _control(game: Game, effect: Effect, old: Features, found: Mapping[str, Features]) -> Features:
    return replace(old, controller=effect.change["2"])


def _colour(game: Game, effect: Effect, old: Features, found: Mapping[str, Features]) -> Features:
    return replace(old, colour=effect.change["5"])


def _abilities(game: Game, effect: Effect, old: Features, found: Mapping[str, Features]) -> Features:
    change = effect.change["6"]
    if change.get("lose") == "all":
        old = replace(old, keywords=frozenset(), silenced=True)
    elif "lose" in change:
        old = replace(old, keywords=old.keywords - {change["lose"]})
    return replace(old, keywords=old.keywords | set(change.get("gain", ())))


def _defined(game: Game, effect: Effect, old: Features, found: Mapping[str, Features]) -> Features:
    """Layer 7a: a size that the card itself defines, here by counting creatures or cards in hand (604.3)."""
    what, player = effect.change["7a"], old.controller
    if what == "cards in hand":
        size = game.players[player].hand
    else:
        size = sum(found[p.key].creature and found[p.key].controller == player for p in game.on_battlefield())
    return replace(old, power=size, toughness=size)


def _set(game: Game, effect: Effect, old: Features, found: Mapping[str, Features]) -> Features:
    power, toughness = effect.change["7b"]
    return replace(old, power=power, toughness=toughness)


def _modify(game: Game, effect: Effect, old: Features, found: Mapping[str, Features]) -> Features:
    power, toughness = effect.change["7c"]
    return replace(old, power=old.power + power, toughness=old.toughness + toughness)


def _switch(game: Game, effect: Effect, old: Features, found: Mapping[str, Features]) -> Features:
    return replace(old, power=old.toughness, toughness=old.power)


def _counters(game: Game, found: dict[str, Features], trace: Trace | None) -> None:
    """Counters count in layer 7c as well; sums do not depend on the order."""
    for key, permanent in game.permanents.items():
        more = permanent.counters[PLUS] - permanent.counters[MINUS]
        found[key] = replace(found[key], power=found[key].power + more, toughness=found[key].toughness + more)
        if trace is not None and (permanent.counters[PLUS] or permanent.counters[MINUS]):
            trace.append(("7c_counters", key, key, f"{found[key].power}/{found[key].toughness}"))


_APPLY: dict[str, Any] = {
    "1": _copy,
    "2": _control,
    "5": _colour,
    "6": _abilities,
    "7a": _defined,
    "7b": _set,
    "7c": _modify,
    "7d": _switch,
}
