"""Combat: who may attack and block, one or two damage steps, how an attacker divides its damage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heimdall_nb.domains.mtg.changes import Source, deal, source_of, trigger_up
from heimdall_nb.domains.mtg.layers import Features, all_features
from heimdall_nb.domains.mtg.model import Game
from heimdall_nb.domains.mtg.stack import resolve_all, settle

Hit = tuple[Source, str, int]


def may_attack(game: Game, key: str, sick: bool) -> str:
    """Why a creature may not attack (a step of the log); empty where it may. `sick`: it came this turn (302.6)."""
    now = all_features(game)[key]
    if game.permanents[key].tapped:
        return "attack_tapped"
    if now.has("defender"):
        return "attack_defender"
    return "attack_sick" if sick and not now.has("haste") else ""


def may_block(game: Game, attacker: str, blockers: Sequence[str]) -> str:
    """Why these creatures may not block that attacker together (a step of the log); empty where they may."""
    every = all_features(game)
    now = every[attacker]
    for key in blockers:
        own = every[key]
        if game.permanents[key].tapped:
            return "block_tapped"
        if now.has("flying") and not (own.has("flying") or own.has("reach")):
            return "block_flying"
        if now.has("shadow") != own.has("shadow"):
            return "block_shadow"
        if now.protected_from(own.colour):
            return "block_protection"
        if now.has("skulk") and own.power > now.power:
            return "block_skulk"
    return "block_menace" if now.has("menace") and len(blockers) == 1 else ""


def declare(game: Game, attacks: Mapping[str, Sequence[str]]) -> None:
    """Declare attackers, each with the creatures that block it; attacking taps, except with vigilance."""
    now = all_features(game)
    for attacker, blockers in attacks.items():
        game.attacks[attacker] = list(blockers)
        if now[attacker].has("vigilance"):
            game.say("vigilance", target=attacker)
        else:
            game.permanents[attacker].tapped = True
        for trigger in now[attacker].card.triggers:
            if trigger["when"] == "attacks" and not now[attacker].silenced:
                trigger_up(game, attacker, now[attacker], trigger["ops"])
    settle(game)
    resolve_all(game)


def damage(game: Game) -> None:
    """The combat damage of the turn, in two steps where anything has first or double strike (510.4)."""
    now = all_features(game)
    fast = {key for key in _fighters(game) if now[key].has("first strike") or now[key].has("double strike")}
    if fast and not game.over():
        game.say("first_strike_step", who=" and ".join(sorted(fast)))
        _step(game, fast)
    if game.over():
        return
    now = all_features(game)
    slow = {key for key in _fighters(game) if key not in fast or now[key].has("double strike")}
    if fast and slow:
        game.say("second_step", who=" and ".join(sorted(slow)))
    _step(game, slow)


def _fighters(game: Game) -> list[str]:
    return [*game.attacks, *(key for blockers in game.attacks.values() for key in blockers if key)]


def _step(game: Game, who: set[str]) -> None:
    now, hits = all_features(game), list[Hit]()
    for attacker, blockers in game.attacks.items():
        standing = [key for key in blockers if key]
        if attacker in who:
            hits += _of_attacker(game, now, attacker, blockers)
        for blocker in standing:
            if blocker in who and now[blocker].power > 0:
                source = source_of(game, game.permanents[blocker], combat=True)
                hits.append((source, attacker, now[blocker].power))
    deal(game, hits)
    settle(game)
    resolve_all(game)


def _of_attacker(game: Game, now: Mapping[str, Features], attacker: str, blockers: Sequence[str]) -> list[Hit]:
    """Lethal damage to each blocker in the order named; the rest to the player with trample, else to the last blocker.

    The question says so. That is one legal division of 510.1c and 702.19b.
    """
    own, left = now[attacker], max(now[attacker].power, 0)
    source = source_of(game, game.permanents[attacker], combat=True)
    defender = game.opponents(own.controller)[0].key
    standing = [key for key in blockers if key]
    if not blockers:
        game.say("unblocked", source=attacker, target=defender)
        return [(source, defender, left)]
    if not standing:
        game.say("blocked_alone_trample" if own.has("trample") else "blocked_alone", source=attacker)
        return [(source, defender, left)] if own.has("trample") else []
    shares = {}
    for key in standing:
        needed = max(0, now[key].toughness - game.permanents[key].damage)
        if own.has("deathtouch"):
            needed = min(needed, 1)
        shares[key] = min(needed, left)
        left -= shares[key]
    if own.has("deathtouch") and (own.has("trample") or len(standing) > 1):
        game.say("deathtouch_lethal", source=attacker)
    if own.has("trample"):
        game.say("trample", source=attacker, amount=left, target=defender)
        return [(source, key, share) for key, share in shares.items()] + [(source, defender, left)]
    shares[standing[-1]] += left
    return [(source, key, share) for key, share in shares.items()]
