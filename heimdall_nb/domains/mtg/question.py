"""The question of a game situation in words: who controls what, what is cast, attacked and blocked, what is asked."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_nb.dataset.words import listed
from heimdall_nb.domains.mtg.cards import cards, describe, table
from heimdall_nb.domains.mtg.voice import Voice, sentence

Situation = Mapping[str, Any]


def voice_of(situation: Situation) -> Voice:
    """The names of the players of a situation."""
    return Voice({key: player["name"] for key, player in situation["players"].items()})


def ask(situation: Situation) -> str:
    """The whole question. The number `wording` of the situation draws the words, so that it is the same every time."""
    return _Writer(situation).text()


class _Writer:
    """Writes one question; remembers which cards it has described."""

    def __init__(self, situation: Situation) -> None:
        self.situation, self.voice = situation, voice_of(situation)
        self.rng = random.Random(f"wording {situation['wording']}")
        self.words, self.described = table("wordings"), set[str]()

    def say(self, kind: str, **values: Any) -> str:
        """One sentence of a kind, its words drawn."""
        return sentence(self.voice.fill(self.rng.choice(self.words[kind]), values))

    def text(self) -> str:
        """Opener, board, actions, question; a board may be told before or after the life totals."""
        rng = self.rng
        numbers = {"table": rng.randint(1, 60), "round": rng.randint(1, 9), "game": rng.randint(1, 3)}
        opener = self.voice.fill(rng.choice(self.words["openers"]), numbers)
        board = [self.board(key) for key in self.order()]
        state = [self.state(key) for key in self.order()]
        whose = [self.say("turn", P="A")]
        blocks = [[*board], [*filter(None, state)], whose]
        rng.shuffle(blocks)
        parts = [opener, *(part for block in blocks for part in block), *self.actions(), *self.remarks(), self.asked()]
        return " ".join(filter(None, parts))

    def order(self) -> list[str]:
        return self.rng.choice((["A", "B"], ["B", "A"]))

    def board(self, key: str) -> str:
        things = [self.permanent(entry) for entry in self.situation["permanents"] if entry["player"] == key]
        return self.say("controls", P=key, things=listed(things)) if things else self.say("empty", P=key)

    def permanent(self, entry: Mapping[str, Any]) -> str:
        name, card = entry.get("as", entry["card"]), cards()[entry["card"]]
        self.described.add(entry["card"])
        more = [f"a token that is a copy of {entry['copy']}"] if "copy" in entry else [describe(card)]
        for kind, number in entry.get("counters", {}).items():
            more.append(f"with {number} {kind} counter{'s' * (number > 1)}")
        more += [f"{entry['damage']} damage marked"] if entry.get("damage") else []
        more += [f"now at {entry['loyalty']} loyalty"] if "loyalty" in entry else []
        more += ["tapped"] if entry.get("tapped") else []
        more += [f"attached to {entry['on']}"] if "on" in entry else []
        return f"{name} ({'; '.join(more)})"

    def state(self, key: str) -> str:
        state = self.situation["players"][key]["state"]
        parts = [self.say("life", P=key, life=state["life"])]
        parts += [self.say(what, P=key, number=state[what]) for what in ("poison", "hand", "library") if what in state]
        return " ".join(parts)

    def spell(self, action: Mapping[str, Any]) -> tuple[str, str]:
        """The spell, described where it is first named, and its targets in words."""
        card, name = cards()[action["card"]], action.get("as", action["card"])
        spell = name if action["card"] in self.described else f"{name} ({describe(card)})"
        self.described.add(action["card"])
        targets = [self.target(target) for target in action.get("targets", ())]
        kind = "target" if len(targets) == 1 else "targets"
        return spell, self.voice.fill(
            self.rng.choice(self.words[kind]), {"targets": listed(targets)}
        ) if targets else ""

    def target(self, target: str) -> str:
        return self.voice.fill("{T!}", {"T": target}) if target in self.situation["players"] else target

    def actions(self) -> list[str]:
        told, before = list[str](), ""
        for action in self.situation["actions"]:
            told += getattr(self, "tell_" + action["do"].replace(" ", "_"))(action, before)
            before = action["do"]
        return told

    def tell_cast(self, action: Mapping[str, Any], before: str) -> list[str]:
        spell, on = self.spell(action)
        kind = {"cast": "response", "resolve": "later", "attack": "in_combat"}.get(before, "cast")
        return [self.say("try" if action.get("tries") else kind, P=action["player"], spell=spell, on=on)]

    def tell_resolve(self, action: Mapping[str, Any], before: str) -> list[str]:
        return []

    def tell_damage(self, action: Mapping[str, Any], before: str) -> list[str]:
        return []

    def tell_upkeep(self, action: Mapping[str, Any], before: str) -> list[str]:
        return [self.say("upkeep", P="A")]

    def tell_attack(self, action: Mapping[str, Any], before: str) -> list[str]:
        attacks: Mapping[str, Sequence[str]] = action["attacks"]
        told = [self.say("attack", P="A", Q="B", attackers=listed(list(attacks)))]
        for attacker, blockers in attacks.items():
            kind = "block" if blockers else "unblocked"
            told.append(self.say(kind, P="A", Q="B", attacker=attacker, blockers=listed(list(blockers))))
        if "division" in action:
            rest = {"player": "{B!}", "last": "the last of them"}[action["division"]]
            told.append(self.say("division", P="A", rest=self.voice.people(rest)))
        return told

    def tell_may_block(self, action: Mapping[str, Any], before: str) -> list[str]:
        return [self.say("may_block", P="A", Q="B", attacker=action["attacker"], blockers=listed(action["blockers"]))]

    def tell_may_attack(self, action: Mapping[str, Any], before: str) -> list[str]:
        kind = "may_attack_sick" if action["sick"] else "may_attack"
        return [self.say(kind, P="A", attacker=action["attacker"])]

    def tell_may_target(self, action: Mapping[str, Any], before: str) -> list[str]:
        spell, _ = self.spell(action)
        return [self.say("may_target", P=action["player"], spell=spell, targets=self.target(action["targets"][0]))]

    def remarks(self) -> list[str]:
        told = [self.say("keep", P=entry[0], kept=entry[1]) for entry in self.situation.get("keeps", ())]
        if "pays" in self.situation:
            told.append(self.say("ward_paid" if self.situation["pays"] else "ward", P=self.situation["payer"]))
        told += (
            [self.say("entered", names=listed(list(self.situation["entered"])))] if "entered" in self.situation else []
        )
        told += [self.say("ordered")] if self.situation.get("ordered") else []
        return told + ([self.say("best")] if self.situation.get("best") else [])

    def asked(self) -> str:
        actions = self.situation["actions"]
        attacker = actions[-1].get("attacker", "") if actions else ""
        return sentence(
            self.voice.fill(self.rng.choice(self.words["ask"][self.situation["ask"]]), {"attacker": attacker})
        )
