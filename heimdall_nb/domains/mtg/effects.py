"""What the text of a spell or ability does when it resolves, one small function for each kind of instruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heimdall_nb.domains.mtg.changes import (
    Source,
    add_counters,
    deal,
    destroy,
    enter,
    gain,
    lose_life,
    move,
    until_end_of_turn,
)
from heimdall_nb.domains.mtg.layers import all_features, features
from heimdall_nb.domains.mtg.model import Game, Permanent, StackItem

Op = Mapping[str, Any]


def apply(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    """Carry out one instruction. `targets` are the targets that are still legal."""
    _OPS[op["op"]](game, item, op, targets)


def _source(game: Game, item: StackItem) -> Source:
    """The spell itself, or the permanent whose ability it is, as it last was (608.2h)."""
    if item.kind == "ability":
        now = features(game, game.permanents[item.source])
        return Source(item.source, item.player, now.colour, now.keywords)
    return Source(item.key, item.player, item.card.colour, frozenset(item.card.keywords))


def _creatures(game: Game, player: str = "") -> list[Permanent]:
    now = all_features(game)
    return [p for p in game.on_battlefield() if now[p.key].creature and player in ("", now[p.key].controller)]


def _damage(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    deal(game, [(_source(game, item), target, op["amount"]) for target in targets])


def _damage_each(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    deal(game, [(_source(game, item), creature.key, op["amount"]) for creature in _creatures(game)])


def _damage_opponents(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    deal(game, [(_source(game, item), other.key, op["amount"]) for other in game.opponents(item.player)])


def _destroy(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    destroy(game, [(game.permanents[target], "destroyed") for target in targets])


def _destroy_all(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    destroy(game, [(creature, "destroyed") for creature in _creatures(game)])


def _exile(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    move(game, [game.permanents[target] for target in targets], "exile")


def _bounce(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    move(game, [game.permanents[target] for target in targets], "hand")


def _sacrifice(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for target in targets:
        chosen = _creatures(game, target)[:1]  # a situation gives the player at most one creature
        for creature in chosen:
            game.say("sacrificed", player=target, target=creature.key)
        move(game, chosen, "graveyard")


def _counter(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for spell in [other for other in game.stack if other.key in targets]:
        if "uncounterable" in spell.card.keywords:
            game.say("uncounterable", spell=spell.key)
            continue
        game.stack.remove(spell)
        spell.fate = "countered"
        game.say("countered", spell=spell.key, source=item.key)


def _ward(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    if game.pays:
        game.say("ward_paid", spell=op["spell"], source=item.source)
        return
    game.say("ward", spell=op["spell"], source=item.source)
    _counter(game, item, op, [op["spell"]])


def _copy(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for spell in [other for other in game.stack if other.key in targets]:
        key = f"the copy of {spell.key}"
        copied = StackItem(key, spell.card, item.player, spell.targets, kind="copy", ops=spell.ops, seen=spell.seen)
        game.stack.append(copied)
        game.spells.append(copied)
        game.say("spell_copied", spell=spell.key)


def _change(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    """A continuous effect until end of turn on each target; its parts are given by layer."""
    for target in targets:
        until_end_of_turn(game, item.key, target, op["change"])
        game.say("effect_starts", spell=item.key, target=target)


def _change_yours(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for creature in _creatures(game, item.player):
        until_end_of_turn(game, item.key, creature.key, op["change"])
    game.say("effect_on_yours", spell=item.key, player=item.player)


def _prowess(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    until_end_of_turn(game, item.source, item.source, {"7c": [1, 1]})
    game.say("prowess", source=item.source)


def _control(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for target in targets:
        until_end_of_turn(game, item.key, target, {"2": item.player})
        game.say("control", spell=item.key, target=target, player=item.player)


def _regenerate(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for target in targets:
        game.permanents[target].shields += 1
        game.say("regeneration_shield", target=target)


def _prevent(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for target in targets:
        game.shields[target] += op["amount"]
        game.say("shield", target=target, amount=op["amount"])


def _fog(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    game.no_combat_damage = True
    game.say("fog", spell=item.key)


def _tap(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for target in targets:
        game.permanents[target].tapped = True
        game.say("tapped", target=target)


def _counters(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for target in targets or [item.source]:
        if game.permanents[target].zone == "battlefield":
            add_counters(game, game.permanents[target], op["kind"], op["amount"])


def _gain(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    gain(game, item.player, op["amount"])


def _lose(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for player in targets or [other.key for other in game.opponents(item.player)]:
        lose_life(game, player, op["amount"])


def _draw(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    for key in targets or [item.player]:
        player = game.players[key]
        drawn = min(op["amount"], player.library)
        player.library, player.hand = player.library - drawn, player.hand + drawn
        player.drew_from_empty |= drawn < op["amount"]
        game.say("draws", player=key, amount=drawn, asked=op["amount"])


def _return(game: Game, item: StackItem, op: Op, targets: Sequence[str]) -> None:
    """Undying and persist: the card returns from the graveyard as a new object, with a counter."""
    permanent = game.permanents[item.source]
    if permanent.zone != "graveyard":
        return
    game.say(op["keyword"], target=permanent.key)
    enter(game, permanent)
    permanent.counters[op["kind"]] = 1


_OPS: dict[str, Callable[[Game, StackItem, Op, Sequence[str]], None]] = {
    "damage": _damage,
    "damage each": _damage_each,
    "damage opponents": _damage_opponents,
    "destroy": _destroy,
    "destroy all": _destroy_all,
    "exile": _exile,
    "bounce": _bounce,
    "sacrifice": _sacrifice,
    "counter": _counter,
    "ward": _ward,
    "copy": _copy,
    "change": _change,
    "change yours": _change_yours,
    "prowess": _prowess,
    "control": _control,
    "regenerate": _regenerate,
    "prevent": _prevent,
    "fog": _fog,
    "tap": _tap,
    "counters": _counters,
    "gain": _gain,
    "lose": _lose,
    "draw": _draw,
    "return": _return,
}
