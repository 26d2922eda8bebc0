"""Scenes about the stack: responses, counterspells, targets that are gone, split second, copies, ward and prowess."""

from __future__ import annotations

from heimdall_nb.domains.mtg.draw import Draw, Made, cast, on, targetable
from heimdall_nb.domains.mtg.model import Card

_LIFE = ("damage", "lose")


def _burn(card: Card) -> bool:
    return card.targets in ("any", "creature") and card.ops[0]["op"] in ("damage", "destroy", "change") and _plain(card)


def _plain(card: Card) -> bool:
    """No text that changes what may be cast in response."""
    return not {"split second", "uncounterable"} & set(card.keywords)


def _harms(card: Card) -> bool:
    return _burn(card) and (card.ops[0]["op"] != "change" or sum(card.ops[0]["change"].get("7c", (0, 0))) < 0)


def counter_war(d: Draw) -> Made:
    """A spell on a creature, countered, with up to two more counterspells above it."""
    creature = d.creature(fits=targetable)
    actions = [cast("A", d.spell(fits=_harms), creature)]
    chain = d.rng.sample(["Naysayer's Sigil", "Hushed Refusal"], d.number(1, 2))
    chain += ["Silence of the Locked Vault"] * d.chance(0.3)
    for number, spell in enumerate(chain):
        actions.append(cast("BA"[number % 2], spell, actions[-1]["card"]))
    return d.scene([on("B", creature)], actions)


def pump_response(d: Draw) -> Made:
    """Removal on a creature, and a spell that makes it larger or safe in response."""
    creature = d.creature(fits=targetable)
    removal = d.spell(fits=_harms)
    help_ = d.spell(
        "change", "regenerate", "prevent", "counters", fast=True, fits=lambda c: c.targets in ("creature", "any")
    )
    return d.scene([on("B", creature)], [cast("A", removal, creature), cast("B", help_, creature)])


def target_gone(d: Draw) -> Made:
    """Help for a creature, which leaves the battlefield in response."""
    creature = d.creature(fits=lambda c: targetable(c) and "indestructible" not in c.keywords)
    aid = d.spell("change", "counters", fits=lambda c: c.targets == "creature")
    removal = d.spell("exile", "bounce", "destroy", fast=True)
    actions = [cast("A", aid, creature), cast("B", removal, creature)]
    return d.scene([on("A", creature)], actions)


def sacrifice_response(d: Draw) -> Made:
    """Removal on a player's only creature, and a sacrifice of it in response."""
    creature = d.creature(fits=targetable)
    removal = d.spell(fits=_harms)
    return d.scene([on("B", creature)], [cast("A", removal, creature), cast("B", "Tollman's Levy-of-Souls", "B")])


def split_second(d: Draw) -> Made:
    """A spell with split second, and a response that may not be cast."""
    creature = d.creature(fits=targetable)
    first = cast("A", "Quenchless Rebuke", d.choice((creature, "B")))
    answer = d.choice(("counter", "help"))
    if answer == "counter":
        response = cast(
            "B", d.spell("counter", fits=lambda c: c.targets == "spell", fast=True), "Quenchless Rebuke", tries=True
        )
    else:
        response = cast("B", d.spell("change", fast=True), creature, tries=True)
    return d.scene([on("B", creature)], [first, response])


def uncounterable(d: Draw) -> Made:
    """A spell that can't be countered, and a counterspell on it."""
    spell = d.spell("counter", fits=lambda c: c.targets in ("spell", "noncreature spell"), fast=True)
    first = cast("A", "Unbending Proclamation", "B")
    board = [on("B", d.creature())] if d.chance(0.5) else []
    return d.scene(board, [first, cast("B", spell, "Unbending Proclamation")])


def copied(d: Draw) -> Made:
    """A burn spell and a copy of it, which resolves first."""
    target = d.creature(fits=lambda c: c.toughness >= 2 and targetable(c))
    burn = d.spell("damage", fast=True, fits=lambda c: c.targets == "any" and _plain(c))
    aim = d.choice(("B", target))
    actions = [cast("A", burn, aim), cast("A", "Mirrorglass Refrain", burn)]
    if d.chance(0.4):
        counter = d.spell("counter", fits=lambda c: c.targets == "spell" and _plain(c))
        actions.append(cast("B", counter, d.choice((burn, "Mirrorglass Refrain"))))
    return d.scene([on("B", target)], actions)


def creature_spell(d: Draw) -> Made:
    """A creature spell, and a counterspell that may or may not target it."""
    creature = d.creature(plain=False, fits=lambda c: c.toughness > 0)
    spell = d.spell("counter", fast=True, fits=_plain)
    right = spell != "Unweaving Chord"
    response = cast("B", spell, creature, **({} if right else {"tries": True}))
    board = [on("B", d.creature(fits=lambda c: c.toughness > 1))]
    return d.scene(board, [cast("A", creature), response])


def race(d: Draw) -> Made:
    """Both players are low, both aim at the other: the last spell resolves first."""
    first = d.spell(*_LIFE, fits=lambda c: c.targets in ("any", "player") and _plain(c))
    second = d.spell("damage", fast=True, fits=lambda c: c.targets == "any" and _plain(c))
    life = {"A": {"life": d.number(1, 4)}, "B": {"life": d.number(1, 4)}}
    board = [on("A", d.creature())] if d.chance(0.5) else [on("B", d.creature())]
    return d.scene(board, [cast("A", first, "B"), cast("B", second, "A")], **life)


def life_in_response(d: Draw) -> Made:
    """Burn at a player who gains life, or prevents damage, in response."""
    burn = d.spell("damage", fits=lambda c: c.targets == "any" and _plain(c))
    response = cast("B", "Spring-Water Rite") if d.chance(0.5) else cast("B", "Palm of Averting", "B")
    board = [on("A", d.creature())] if d.chance(0.5) else []
    return d.scene(board, [cast("A", burn, "B"), response], B={"life": d.number(1, 6)})


def prowess(d: Draw) -> Made:
    """Burn at a creature with prowess, which grows from a spell in response, and twice if its controller cast both."""
    creature = d.creature("prowess")
    burn = d.spell("damage", fits=lambda c: c.targets in ("any", "creature") and _plain(c))
    response = d.spell("change", "gain", "prevent", fast=True)
    other = d.creature(fits=targetable)
    aim = [] if response == "Spring-Water Rite" else [d.choice((creature, other))]
    caster = d.choice("AB")
    first = cast("A", burn, creature if caster == "A" else other)
    owner = "B" if caster == "A" else "A"
    return d.scene([on(owner, creature), on("B", other)], [first, cast("B", response, *aim)])


def ward(d: Draw) -> Made:
    """A spell of an opponent on a creature with ward, paid or not."""
    creature = d.creature("ward 2")
    removal = d.spell(fits=_harms)
    return d.scene([on("B", creature)], [cast("A", removal, creature)], pays=d.chance(0.4), payer="A")


def two_targets(d: Draw) -> Made:
    """A spell with two targets, one of which is gone or untargetable as it resolves."""
    one, two = d.creature(fits=targetable), d.creature(fits=targetable)
    out = d.choice(("Ebbtide Dismissal", "Oubliette of Pale Glass", "Redward Gesture", "Cloak of the Unfound"))
    actions = [cast("A", "Forked Sparkbolt of Ninn", one, two), cast("B", out, d.choice((one, two)))]
    return d.scene([on("B", one), on("B", two)], actions)


def size_order(d: Draw) -> Made:
    """Two spells on one creature: the last decides whether the first still finds it."""
    creature = d.creature(fits=lambda c: c.toughness >= 2 and targetable(c))
    first = d.spell("change", "damage", "counters", fits=lambda c: c.targets in ("creature", "any") and _plain(c))
    second = d.spell(
        "change", "damage", "counters", fast=True, fits=lambda c: c.targets in ("creature", "any") and _plain(c)
    )
    owner = d.choice("AB")
    return d.scene([on(owner, creature)], [cast("A", first, creature), cast("B", second, creature)])


SCENES = (
    counter_war,
    pump_response,
    target_gone,
    sacrifice_response,
    split_second,
    uncounterable,
    copied,
    creature_spell,
    race,
    life_in_response,
    prowess,
    ward,
    two_targets,
    size_order,
)
