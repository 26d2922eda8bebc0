"""Events that change the game: damage, life, counters, destruction, zones; each after replacement and prevention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from heimdall_nb.domains.mtg.layers import Features, all_features, features
from heimdall_nb.domains.mtg.model import MINUS, Effect, Game, Permanent, StackItem


@dataclass(frozen=True)
class Source:
    """Where damage comes from: what its abilities do when it deals damage."""

    key: str
    controller: str
    colour: str
    keywords: frozenset[str]
    combat: bool = False


def source_of(game: Game, permanent: Permanent, combat: bool = False) -> Source:
    """A permanent as a source of damage, as it is now."""
    now = features(game, permanent)
    return Source(permanent.key, now.controller, now.colour, now.keywords, combat)


def deal(game: Game, hits: Iterable[tuple[Source, str, int]]) -> None:
    """Deal damage at one time: (source, key of a player or permanent, amount). Results follow 120.3."""
    now = all_features(game)
    landed = [(source, target, _after_shields(game, now, source, target, amount)) for source, target, amount in hits]
    for source, target, amount in landed:
        if amount <= 0:
            continue
        game.say("damage", source=source.key, target=target, amount=amount)
        if target in game.players:
            _hit_player(game, source, target, amount)
        else:
            _hit_permanent(game, now[target], source, game.permanents[target], amount)
        if "lifelink" in source.keywords:
            game.say("lifelink", player=source.controller, source=source.key, amount=amount)
            gain(game, source.controller, amount)


def _after_shields(game: Game, now: Mapping[str, Features], source: Source, target: str, amount: int) -> int:
    if amount <= 0:
        return 0
    if source.combat and game.no_combat_damage:
        game.say("prevented_combat", source=source.key)
        return 0
    if target not in game.players and now[target].protected_from(source.colour):
        game.say("protection_damage", target=target, colour=source.colour, source=source.key)
        return 0
    amount = replaced(game, now, "damage", target, amount)
    shield = min(game.shields[target], amount)
    if shield:
        game.shields[target] -= shield
        game.say("prevented", target=target, amount=shield)
    return amount - shield


def _hit_player(game: Game, source: Source, target: str, amount: int) -> None:
    player = game.players[target]
    if "infect" in source.keywords:
        player.poison += amount
        game.say("infect_player", player=target, source=source.key, amount=amount)
    else:
        player.life -= amount
    toxic = sum(int(word.split()[1]) for word in source.keywords if word.startswith("toxic "))
    if toxic and source.combat:
        player.poison += toxic
        game.say("toxic", player=target, source=source.key, amount=toxic)


def _hit_permanent(game: Game, now: Features, source: Source, target: Permanent, amount: int) -> None:
    if "planeswalker" in now.types:
        target.counters["loyalty"] -= amount
        game.say("loyalty_damage", target=target.key, amount=amount)
    if not now.creature:
        return
    target.deathtouched |= "deathtouch" in source.keywords
    if {"wither", "infect"} & source.keywords:
        game.say("wither", target=target.key, source=source.key, amount=amount)
        add_counters(game, target, MINUS, amount)
    else:
        target.damage += amount


def gain(game: Game, player: str, amount: int) -> None:
    """A player gains life."""
    amount = replaced(game, all_features(game), "life", player, amount)
    if amount > 0:
        game.players[player].life += amount
        game.say("gain", player=player, amount=amount)


def lose_life(game: Game, player: str, amount: int) -> None:
    """A player loses life; this is not damage (119.3)."""
    game.players[player].life -= amount
    game.say("lose_life", player=player, amount=amount)


def add_counters(game: Game, target: Permanent, kind: str, amount: int) -> None:
    """Put counters on a permanent."""
    amount = replaced(game, all_features(game), f"counters {kind}", target.key, amount)
    target.counters[kind] += amount
    game.say("counters", target=target.key, kind=kind, amount=amount)


def replaced(game: Game, now: Mapping[str, Features], event: str, target: str, amount: int) -> int:
    """`amount` of an event after the replacement effects that apply to it, each once (614.5).

    The affected player, or the controller of the affected permanent, chooses their order (616.1): the least damage,
    the most life or counters. The log names the order that was chosen where it matters.
    """
    affected = target if target in game.players else now[target].controller
    applying = []
    for permanent in game.on_battlefield():
        for rule in () if now[permanent.key].silenced else now[permanent.key].card.replaces:
            own = now[permanent.key].controller == affected
            if rule["event"] == event and {"all": True, "yours": own, "theirs": not own}[rule["whose"]]:
                applying.append((permanent.key, rule))
    if not applying:
        return amount
    best = min if event == "damage" else max
    orders = [(_through(amount, order), order) for order in permutations(applying)]
    result, chosen = best(orders, key=lambda item: item[0])
    if len({value for value, _ in orders}) > 1:
        game.say("chosen_order", player=affected, order=" then ".join(key for key, _ in chosen))
    for key, rule in chosen:
        if amount <= 0:
            break  # nothing is left to replace
        after = _through(amount, ((key, rule),))
        step = "prevented_part" if rule["does"] == "less" else "replaced"
        game.say(step, source=key, before=amount, after=after)
        amount = after
    return result


def _through(amount: int, order: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
    for _, rule in order:
        if amount <= 0:
            return 0
        kind, value = rule["does"], rule.get("amount", 0)
        amount = {
            "double": amount * 2,
            "more": amount + value,
            "less": max(0, amount - value),
            "half": amount // 2,
            "none": 0,
        }[kind]
    return amount


def destroy(game: Game, targets: Iterable[tuple[Permanent, str]]) -> None:
    """Destroy permanents at one time, each for a reason that names a step of the log."""
    now, gone = all_features(game), []
    for target, why in targets:
        game.say(why, target=target.key, damage=target.damage, toughness=now[target.key].toughness)
        if now[target.key].has("indestructible"):
            game.say("indestructible", target=target.key)
        elif target.shields:
            target.shields -= 1
            target.damage, target.deathtouched, target.tapped = 0, False, True
            _out_of_combat(game, target.key)
            game.say("regenerated", target=target.key)
        else:
            gone.append(target)
    move(game, gone, "graveyard")


def move(game: Game, permanents: Iterable[Permanent], zone: str) -> None:
    """Permanents leave the battlefield together; what would die may go elsewhere instead, and abilities trigger."""
    leaving, now = list(permanents), all_features(game)
    witnesses = [p for p in game.on_battlefield() if not now[p.key].silenced]
    dead = []
    for permanent in leaving:
        creature = now[permanent.key].creature
        instead = [
            p.key
            for p in witnesses
            for rule in now[p.key].card.replaces
            if rule["event"] == "dies"
            and (rule["whose"] == "all" or now[p.key].controller != now[permanent.key].controller)
        ]
        to = zone
        if zone == "graveyard" and creature and instead:
            game.say("exiled_instead", target=permanent.key, source=instead[0])
            to = "exile"
        permanent.zone = to
        _out_of_combat(game, permanent.key)
        game.players[permanent.owner].hand += to == "hand" and not permanent.token
        game.say(f"to_{to}", target=permanent.key)
        if to == "graveyard" and creature:
            dead.append(permanent)
    _death_triggers(game, now, witnesses, dead)


def _out_of_combat(game: Game, key: str) -> None:
    """A creature leaves combat. What it blocked stays blocked (509.1h), so its place among the blockers is kept."""
    game.attacks.pop(key, None)
    for blockers in game.attacks.values():
        blockers[:] = ["" if blocker == key else blocker for blocker in blockers]


def _death_triggers(game: Game, now: dict[str, Features], witnesses: list[Permanent], dead: list[Permanent]) -> None:
    """Leaves-the-battlefield triggers look back at the game before the event (603.10a)."""
    for permanent in dead:
        for witness in witnesses:
            for trigger in now[witness.key].card.triggers:
                own = witness is permanent
                if trigger["when"] == "dies" and own or trigger["when"] == "another dies" and not own:
                    trigger_up(game, witness.key, now[witness.key], trigger["ops"])
        for keyword, other, kind in (("undying", "+1/+1", "+1/+1"), ("persist", "-1/-1", "-1/-1")):
            if now[permanent.key].has(keyword) and not permanent.counters[other] and not permanent.token:
                ops = ({"op": "return", "kind": kind, "keyword": keyword},)
                trigger_up(game, permanent.key, now[permanent.key], ops)


def trigger_up(game: Game, key: str, owner: Features, ops: Iterable[Mapping[str, Any]]) -> None:
    """An ability triggers; it waits until a player would receive priority (603.3)."""
    item = StackItem(f"ability of {key}", owner.card, owner.controller, kind="ability", ops=tuple(ops), source=key)
    game.waiting.append(item)
    game.say("triggers", source=key)


def enter(game: Game, permanent: Permanent) -> None:
    """A permanent enters the battlefield as a new object (400.7), and its enters-abilities trigger."""
    permanent.zone, permanent.timestamp = "battlefield", game.tick()
    permanent.damage, permanent.deathtouched, permanent.shields, permanent.tapped = 0, False, 0, False
    permanent.counters.clear()
    if permanent.card.loyalty:
        permanent.counters["loyalty"] = permanent.card.loyalty
    game.effects = [effect for effect in game.effects if effect.affects.get("key") != permanent.key]
    game.permanents[permanent.key] = permanent
    now = features(game, permanent)
    for trigger in () if now.silenced else now.card.triggers:
        if trigger["when"] == "enters":
            trigger_up(game, permanent.key, now, trigger["ops"])


def until_end_of_turn(game: Game, source: str, key: str, change: Mapping[str, Any]) -> None:
    """A resolved spell's effect on one permanent; it gets its timestamp now (613.7a, 611.2c)."""
    game.effects.append(Effect(source, {"key": key}, change, game.tick()))
