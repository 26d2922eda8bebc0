"""State-based actions: checked and done together, again and again until nothing is left to do (704.3)."""

from __future__ import annotations

from heimdall_nb.domains.mtg.changes import destroy, move
from heimdall_nb.domains.mtg.layers import Features, all_features
from heimdall_nb.domains.mtg.model import MINUS, PLUS, Game, Permanent


def check(game: Game) -> None:
    """Do all state-based actions until none applies, or a player has lost."""
    while not game.over() and _once(game):
        pass


def _once(game: Game) -> bool:
    """One round: everything that applies happens as one event. Returns whether anything did."""
    now = all_features(game)
    field = game.on_battlefield()
    losers = _losers(game)
    starved, doomed = _creatures(now, field)
    legends = _legends(game, now, field)
    walkers = [p for p in field if "planeswalker" in now[p.key].types and p.counters["loyalty"] <= 0]
    loose = [p for p in field if "aura" in now[p.key].types and not _may_hold(game, now, p)]
    fallen = [p for p in field if "equipment" in now[p.key].types and p.attached and not _may_hold(game, now, p)]
    opposed = [p for p in field if p.counters[PLUS] and p.counters[MINUS]]
    doomed = _without_indestructible(game, now, doomed)
    if not any((losers, starved, doomed, legends, walkers, loose, fallen, opposed)):
        return False
    for key, why in losers:
        game.players[key].lost = why
        game.say(why, player=key, life=game.players[key].life, poison=game.players[key].poison)
    for permanent in opposed:
        pairs = min(permanent.counters[PLUS], permanent.counters[MINUS])
        permanent.counters[PLUS] -= pairs
        permanent.counters[MINUS] -= pairs
        game.say("annihilated", target=permanent.key, amount=pairs)
    for permanent in fallen:
        game.say("equipment_off", target=permanent.key, other=permanent.attached)
        permanent.attached = ""
    for why, group in (("zero_toughness", starved), ("legend_rule", legends), ("no_loyalty", walkers)):
        for permanent in group:
            game.say(why, target=permanent.key, toughness=now[permanent.key].toughness)
    for permanent in loose:
        game.say("aura_off", target=permanent.key, other=permanent.attached)
    together = {p.key: p for p in (*starved, *legends, *walkers, *loose)}
    _go(game, list(together.values()), [item for item in doomed if item[0].key not in together])
    return True


def _without_indestructible(
    game: Game, now: dict[str, Features], doomed: list[tuple[Permanent, str]]
) -> list[tuple[Permanent, str]]:
    """The creatures that can be destroyed; for the others the log says once why nothing happens (702.12b)."""
    left = []
    for permanent, why in doomed:
        if not now[permanent.key].has("indestructible"):
            left.append((permanent, why))
        elif ("indestructible", {"target": permanent.key}) not in game.log:
            game.say(why, target=permanent.key, damage=permanent.damage, toughness=now[permanent.key].toughness)
            game.say("indestructible", target=permanent.key)
    return left


def _go(game: Game, gone: list[Permanent], doomed: list[tuple[Permanent, str]]) -> None:
    """Both groups leave in the same event: those destroyed first, so that each sees the others leave."""
    now = all_features(game)
    saved = [item for item in doomed if item[0].shields]
    lost = [item for item in doomed if item not in saved]
    destroy(game, saved)
    for permanent, why in lost:
        game.say(why, target=permanent.key, damage=permanent.damage, toughness=now[permanent.key].toughness)
    move(game, [*gone, *(permanent for permanent, _ in lost)], "graveyard")


def _losers(game: Game) -> list[tuple[str, str]]:
    found = []
    for player in game.players.values():
        if player.life <= 0:
            found.append((player.key, "zero_life"))
        elif player.poison >= 10:
            found.append((player.key, "ten_poison"))
        elif player.drew_from_empty:
            found.append((player.key, "empty_library"))
    return found


def _creatures(now: dict[str, Features], field: list[Permanent]) -> tuple[list[Permanent], list[tuple[Permanent, str]]]:
    """Creatures without toughness, which nothing saves (704.5f), and those to be destroyed, each with the reason."""
    starved, doomed = [], []
    for permanent in field:
        own = now[permanent.key]
        if not own.creature:
            continue
        if own.toughness <= 0:
            starved.append(permanent)
        elif permanent.damage >= own.toughness and permanent.damage:
            doomed.append((permanent, "lethal_damage"))
        elif permanent.deathtouched:
            doomed.append((permanent, "deathtouch_damage"))
    for permanent in field:
        permanent.deathtouched = False  # only damage since the last check counts (704.5h)
    return starved, doomed


def _legends(game: Game, now: dict[str, Features], field: list[Permanent]) -> list[Permanent]:
    """All but one of the legendary permanents with one name that one player controls (704.5j)."""
    groups: dict[tuple[str, str], list[Permanent]] = {}
    for permanent in field:
        if "legendary" in now[permanent.key].types:
            groups.setdefault((now[permanent.key].controller, now[permanent.key].card.name), []).append(permanent)
    gone = []
    for group in groups.values():
        kept = next((p for p in group if p.key in game.keep), group[-1])
        gone += [permanent for permanent in group if permanent is not kept]
    return gone


def _may_hold(game: Game, now: dict[str, Features], attached: Permanent) -> bool:
    """Whether an Aura or Equipment may stay on what it is attached to: a creature without protection from it."""
    other = game.permanents.get(attached.attached)
    if other is None or other.zone != "battlefield" or not now[other.key].creature:
        return False
    return not now[other.key].protected_from(now[attached.key].colour)
