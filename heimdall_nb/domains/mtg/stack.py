"""The stack: what may be cast and targeted, triggered abilities in APNAP order, resolving last in, first out."""

from __future__ import annotations

from collections.abc import Sequence

from heimdall_nb.domains.mtg import effects, sba
from heimdall_nb.domains.mtg.changes import enter, trigger_up
from heimdall_nb.domains.mtg.layers import all_features, features
from heimdall_nb.domains.mtg.model import Card, Game, Permanent, StackItem

SPELL_TARGETS = {  # which spells each kind of target allows
    "spell": lambda types: True,
    "creature spell": lambda types: "creature" in types,
    "noncreature spell": lambda types: "creature" not in types,
    "instant or sorcery spell": lambda types: bool({"instant", "sorcery"} & set(types)),
}


def cast(game: Game, player: str, card: Card, key: str, targets: Sequence[str] = ()) -> StackItem:
    """A player casts a spell, or tries to: one that may not be cast has the fate `not cast`."""
    item = StackItem(key, card, player, tuple(targets), ops=card.ops)
    game.spells.append(item)
    if why := _forbidden(game, item):
        item.fate = "not cast"
        game.say(why[0], spell=key, **why[1])
        return item
    item.seen = {target: game.permanents[target].timestamp for target in targets if target in game.permanents}
    game.players[player].hand = max(0, game.players[player].hand - 1)  # the card leaves the hand (601.2a)
    game.say("cast", player=player, spell=key)
    game.stack.append(item)
    _cast_triggers(game, item)
    settle(game)
    return item


def _forbidden(game: Game, item: StackItem) -> tuple[str, dict[str, str]] | None:
    """Why a spell may not be cast now, as a step with its values; None where it may."""
    blocker = next((other for other in game.stack if "split second" in other.card.keywords), None)
    if blocker:
        return "split_second", {"other": blocker.key}
    fast = "instant" in item.card.types or "flash" in item.card.keywords
    own_turn = item.player == next(iter(game.players))
    if not fast and (game.stack or not own_turn or game.attacks):
        return "too_slow", {}
    for target in item.targets:
        if why := untargetable(game, item, target):
            return f"no_target_{why}", {"target": target, "colour": item.card.colour}
    return None


def untargetable(game: Game, item: StackItem, target: str) -> str:
    """Why a target is illegal for a spell or ability: gone, type, shroud, hexproof or protection; empty where legal."""
    wanted = item.card.targets
    if wanted in SPELL_TARGETS:
        spell = next((other for other in game.stack if other.key == target and other.kind != "ability"), None)
        return "gone" if spell is None else "" if SPELL_TARGETS[wanted](spell.card.types) else "type"
    if target in game.players:
        return "" if wanted in ("any", "player") else "type"
    permanent = game.permanents.get(target)
    if permanent is None or permanent.zone != "battlefield":
        return "gone"
    if item.seen.get(target, permanent.timestamp) != permanent.timestamp:
        return "gone"  # it left and came back as a new object (400.7)
    now = features(game, permanent)
    if not (now.creature or wanted == "any" and "planeswalker" in now.types):
        return "type"
    if wanted == "tapped creature" and not permanent.tapped:
        return "type"
    if now.has("shroud"):
        return "shroud"
    if now.has("hexproof") and now.controller != item.player:
        return "hexproof"
    return "protection" if now.protected_from(item.card.colour) else ""


def _cast_triggers(game: Game, item: StackItem) -> None:
    """Prowess of the caster's creatures, and ward of what an opponent's spell targets."""
    now = all_features(game)
    for permanent in game.on_battlefield():
        own = now[permanent.key]
        if own.has("prowess") and own.controller == item.player and "creature" not in item.card.types:
            trigger_up(game, permanent.key, own, ({"op": "prowess"},))
        if own.has("ward") and permanent.key in item.targets and own.controller != item.player:
            trigger_up(game, permanent.key, own, ({"op": "ward", "spell": item.key, "cost": own.value("ward")},))


def settle(game: Game) -> None:
    """State-based actions, then waiting abilities onto the stack, until neither is left (117.5)."""
    sba.check(game)
    while game.waiting and not game.over():
        order = list(game.players)
        waiting = sorted(game.waiting, key=lambda item: (order.index(item.player), _age(game, item)))
        if len({item.player for item in waiting}) > 1:
            game.say("apnap", player=order[0], other=order[-1])
        for player in order:
            if len({item.source for item in waiting if item.player == player}) > 1:
                game.say("own_order", player=player)
        game.stack += waiting
        game.waiting = []
        sba.check(game)


def _age(game: Game, item: StackItem) -> int:
    """Abilities of one player go on the stack in an order of that player's choice: the question says, oldest first."""
    return game.permanents[item.source].timestamp


def resolve_all(game: Game) -> None:
    """All players pass until the stack is empty; no more is cast meanwhile."""
    while game.stack and not game.over():
        _resolve(game, game.stack.pop())
        settle(game)


def _resolve(game: Game, item: StackItem) -> None:
    legal = [target for target in item.targets if not untargetable(game, item, target)]
    if item.targets and not legal:
        item.fate = "did not resolve"
        game.say("fizzles", spell=item.key)
        return
    for target in item.targets:
        if target not in legal:
            game.say("one_illegal", spell=item.key, target=target)
    item.fate = "resolved"
    game.say("ability_resolves" if item.kind == "ability" else "resolves", spell=item.key, source=item.source)
    if set(item.card.types) & {"creature", "enchantment", "aura", "equipment", "planeswalker"} and item.kind == "spell":
        permanent = Permanent(item.key, item.card, item.player, 0, attached=item.targets[0] if item.targets else "")
        enter(game, permanent)
        game.say("enters", target=item.key)
        return
    for op in item.ops:
        effects.apply(game, item, op, legal)
