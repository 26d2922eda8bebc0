"""A situation as plain data, and what the simulator makes of it.

A situation is a JSON object: `players` (A, B; A is the active player), `permanents`, `actions`, and what a scene needs
more (`keep`, `pays`). `simulate` plays it and returns the outcome: what there is to say of each spell, permanent and
player at the end. A situation of kind `rules` or `tournament` is computed instead (calculations.py, tournament.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heimdall_nb.domains.mtg import combat
from heimdall_nb.domains.mtg.cards import cards
from heimdall_nb.domains.mtg.changes import trigger_up
from heimdall_nb.domains.mtg.layers import Features, Trace, all_features
from heimdall_nb.domains.mtg.model import Effect, Game, Permanent, Player, StackItem
from heimdall_nb.domains.mtg.stack import cast, resolve_all, settle, untargetable

Situation = Mapping[str, Any]
Log = list[tuple[str, dict[str, Any]]]


@dataclass
class Outcome:
    """`facts`: what is true at the end, by subject (a player by key); `log`: the steps that led there."""

    facts: dict[str, str]
    log: Log = field(default_factory=list)


def simulate(situation: Situation) -> Outcome:
    """Play a game situation to its end. Raises KeyError for a card, action or target that there is not."""
    game = _start(situation)
    rulings: dict[str, str] = {}
    for action in situation["actions"]:
        if not game.over():
            _ACTIONS[action["do"]](game, action, rulings)
    settle(game)
    resolve_all(game)
    _explain_layers(game, situation.get("explain", ()))
    return Outcome(rulings or _facts(game, situation), game.log)


def _explain_layers(game: Game, keys: Sequence[str]) -> None:
    """Note how the layers make the size of the permanents that the question is about."""
    trace: Trace = []
    all_features(game, trace)
    shown = [entry for entry in trace if entry[2] in keys and entry[0] != "1"]
    for layer, source, target, size in shown:
        step = layer if layer in ("silenced", "dependency") else f"layer_{layer}"
        game.say(step, source=source, target=target, size=size)
    if len(shown) > 1:
        game.say("layer_order")


def stable(situation: Situation) -> bool:
    """Whether nothing happens by itself in the position before the first action: no state-based action applies."""
    game = _start(situation)
    before = len(game.log)
    settle(game)
    return len(game.log) == before or all(step == "indestructible" for step, _ in game.log[before:])


def _start(situation: Situation) -> Game:
    players = {key: Player(key, **values["state"]) for key, values in situation["players"].items()}
    game = Game(players, keep=situation.get("keep", ()), pays=situation.get("pays", False))
    for entry in situation["permanents"]:
        key, card = entry.get("as", entry["card"]), cards()[entry["card"]]
        made = Permanent(key, card, entry["player"], game.tick(), attached=entry.get("on", ""))
        made.tapped, made.token = entry.get("tapped", False), entry.get("token", False)
        made.damage = entry.get("damage", 0)
        made.counters.update(entry.get("counters", {}))
        if card.loyalty:
            made.counters["loyalty"] = entry.get("loyalty", card.loyalty)
        game.permanents[key] = made
        if "copy" in entry:
            game.effects.append(Effect(key, {"key": key}, {"1": entry["copy"]}, made.timestamp))
            game.say("copy", target=key, other=entry["copy"])
    return game


def _cast(game: Game, action: Situation, rulings: dict[str, str]) -> None:
    cast(game, action["player"], cards()[action["card"]], action.get("as", action["card"]), action.get("targets", ()))


def _resolve(game: Game, action: Situation, rulings: dict[str, str]) -> None:
    settle(game)
    resolve_all(game)


def _attack(game: Game, action: Situation, rulings: dict[str, str]) -> None:
    combat.declare(game, action["attacks"])


def _damage(game: Game, action: Situation, rulings: dict[str, str]) -> None:
    _resolve(game, action, rulings)  # a step ends only when the stack is empty
    combat.damage(game)


def _upkeep(game: Game, action: Situation, rulings: dict[str, str]) -> None:
    now = all_features(game)
    for permanent in game.on_battlefield():
        for trigger in now[permanent.key].card.triggers:
            if trigger["when"] == "upkeep":
                trigger_up(game, permanent.key, now[permanent.key], trigger["ops"])
    settle(game)
    resolve_all(game)


def _may_block(game: Game, action: Situation, rulings: dict[str, str]) -> None:
    why = combat.may_block(game, action["attacker"], action["blockers"])
    game.say(why or "block_legal", attacker=action["attacker"], blockers=" and ".join(action["blockers"]))
    rulings["block"] = "illegal" if why else "legal"


def _may_attack(game: Game, action: Situation, rulings: dict[str, str]) -> None:
    why = combat.may_attack(game, action["attacker"], action["sick"])
    game.say(why or "attack_legal", attacker=action["attacker"])
    rulings["attack"] = "illegal" if why else "legal"


def _may_target(game: Game, action: Situation, rulings: dict[str, str]) -> None:
    item = StackItem(action["card"], cards()[action["card"]], action["player"], tuple(action["targets"]))
    target = action["targets"][0]
    why = untargetable(game, item, target)
    game.say(f"no_target_{why}" if why else "target_legal", spell=item.key, target=target, colour=item.card.colour)
    rulings["target"] = "illegal" if why else "legal"


_ACTIONS: dict[str, Any] = {
    "cast": _cast,
    "resolve": _resolve,
    "attack": _attack,
    "damage": _damage,
    "upkeep": _upkeep,
    "may block": _may_block,
    "may attack": _may_attack,
    "may target": _may_target,
}


def _facts(game: Game, situation: Situation) -> dict[str, str]:
    """Spells (but for those that became permanents), then permanents, then players."""
    now, facts = all_features(game), dict[str, str]()
    for spell in game.spells:
        if spell.key not in game.permanents:
            facts[spell.key] = "still on the stack" if spell.fate == "waiting" else spell.fate
    for permanent in game.permanents.values():
        facts[permanent.key] = _whereabouts(permanent, now[permanent.key])
    for player in game.players.values():
        facts[player.key] = _standing(player, "hand" in situation["players"][player.key]["state"])
    return facts


_ZONES = {"graveyard": "in the graveyard", "exile": "in exile", "hand": "in hand"}


def _whereabouts(permanent: Permanent, now: Features) -> str:
    if permanent.zone != "battlefield":
        return "ceased to exist" if permanent.token else _ZONES[permanent.zone]
    parts = ["on the battlefield"]
    if now.creature:
        parts.append(f"{now.power}/{now.toughness}")
    for kind, number in sorted(permanent.counters.items()):
        if number:
            parts.append(f"{number} {kind}" if kind == "loyalty" else f"{number} {kind} counter{'s' * (number > 1)}")
    parts += ["tapped"] * permanent.tapped
    parts += [f"on {permanent.attached}"] * bool(permanent.attached)
    return ", ".join(parts) + (f", controlled by {{{now.controller}}}" if now.controller != permanent.owner else "")


def _standing(player: Player, with_hand: bool) -> str:
    parts = [f"{player.life} life"]
    parts += [f"{player.hand} in hand"] * with_hand
    parts += [f"{player.poison} poison"] * bool(player.poison)
    return ", ".join(parts + ["loses the game"] * bool(player.lost))
