"""Scenes about state-based actions and how cards interact: counters, legends, auras, equipment, sweepers, triggers."""

from __future__ import annotations

from heimdall_nb.domains.mtg.cards import cards
from heimdall_nb.domains.mtg.draw import Draw, Made, cast, on, targetable
from heimdall_nb.domains.mtg.model import MINUS, PLUS, Card


def _open(card: Card) -> bool:
    return targetable(card) and not any(word.startswith("protection") for word in card.keywords)


def annihilation(d: Draw) -> Made:
    """A creature with +1/+1 counters gets -1/-1 counters, or the other way round."""
    creature = d.creature(fits=lambda c: _open(c) and c.toughness > 2)
    plus = d.chance(0.5)
    counters = {PLUS: d.number(1, 4)} if plus else {MINUS: d.number(1, 2)}
    wanted = MINUS if plus else PLUS
    spell = d.spell("counters", fits=lambda c: c.ops[0]["kind"] == wanted)
    return d.scene([on(d.choice("AB"), creature, counters=counters)], [cast("A", spell, creature)])


def legends(d: Draw) -> Made:
    """A second legendary permanent of the same name, under one controller or two."""
    card = d.card(lambda c: "legendary" in c.types)
    first, second = f"the first {card}", f"the second {card}"
    owner = d.choice("AAB")
    board = [on(owner, card, **{"as": first}), on("B", d.creature())]
    keep = d.choice((first, second))
    board[0] |= {"counters": {PLUS: d.number(1, 3)}} if d.chance(0.6) else {}
    more = {"keep": [keep], "keeps": [["A", keep]]} if owner == "A" else {}
    return d.scene(board, [cast("A", card, **{"as": second})], **more)


def shrink_damaged(d: Draw) -> Made:
    """-X/-X on a creature that has damage marked: damage stays, toughness falls."""
    creature = d.creature(fits=lambda c: _open(c) and c.toughness >= 3)
    damage = d.number(1, cards()[creature].toughness - 1)
    spell = d.spell("change", fits=lambda c: c.ops[0]["change"].get("7c", [0, 0])[1] < 0)
    return d.scene([on("B", creature, damage=damage)], [cast("A", spell, creature)])


def indestructible(d: Draw) -> Made:
    """What indestructible stops and what it does not."""
    creature = d.creature("indestructible")
    spell = d.spell(
        "damage", "destroy", "change", "exile", "sacrifice", "destroy all", "damage each", "bounce",
        fits=lambda c: c.targets != "tapped creature",
    )  # fmt: skip
    aims = {"creature": [creature], "any": [creature], "player": ["B"], "": []}[cards()[spell].targets]
    more = [] if spell == "Tollman's Levy-of-Souls" else [on("B", d.creature())]
    return d.scene([on("B", creature, damage=d.number(0, 1)), *more], [cast("A", spell, *aims)])


def aura_falls(d: Draw) -> Made:
    """A creature with an Aura or Equipment dies, leaves, or gets protection from its colour."""
    creature = d.creature(fits=lambda c: _open(c) and c.toughness >= 2 and "indestructible" not in c.keywords)
    kind = d.choice(("aura", "equipment"))
    attached = d.other(kind)
    spell = d.choice(
        (
            "Redward Gesture",
            "Blackward Gesture",
            "Ebbtide Dismissal",
            "Sundering Edict of Mool",
            "Oubliette of Pale Glass",
        )
    )
    caster = d.choice("AB")
    actions = [cast(caster, spell, creature)]
    return d.scene([on("B", creature), on(d.choice("AB"), attached, on=creature)], actions)


def aura_death(d: Draw) -> Made:
    """A spell that hurts a creature which lives by its Aura, Equipment or banner."""
    creature = d.creature(fits=_open)
    attached = d.choice(("Mantle of Oxen Strength", "Black-Iron Hauberk"))
    spell = d.spell(
        "damage", "change", fits=lambda c: c.targets in ("creature", "any") and c.ops[0].get("amount", 1) < 5
    )
    return d.scene([on("B", creature), on("B", attached, on=creature)], [cast("A", spell, creature)])


def planeswalker(d: Draw) -> Made:
    """Burn at a planeswalker."""
    walker = d.other("planeswalker")
    burn = d.spell("damage", fits=lambda c: c.targets == "any")
    board = [on("B", walker, loyalty=d.number(1, 6)), on("B", d.creature())]
    actions = [cast("A", burn, walker)]
    if d.chance(0.4):
        actions.append(cast("B", "Palm of Averting", walker))
    return d.scene(board, actions)


def sweeper(d: Draw) -> Made:
    """A spell that hits all creatures, some of which trigger as they die."""
    spell = d.spell("damage each", "destroy all")
    special = [
        d.card(lambda c: any(t["when"] in ("dies", "another dies") for t in c.triggers)) for _ in range(d.number(1, 2))
    ]
    rest = [d.creature() for _ in range(d.number(1, 2))]
    board = [on(d.choice("AB"), key) for key in (*special, *rest)]
    return d.scene(board, [cast("A", spell)])


def recurring(d: Draw) -> Made:
    """Persist or undying, with counters that matter."""
    word = d.choice(("persist", "undying"))
    creature = d.creature(word)
    counters = {"counters": {d.choice((PLUS, MINUS)): 1}} if d.chance(0.5) else {}
    spell = d.spell("damage", "destroy", "exile", "change", "sacrifice", fits=lambda c: _plain_harm(c))
    aims = ["B"] if spell == "Tollman's Levy-of-Souls" else [creature]
    return d.scene([on("B", creature, **counters)], [cast("A", spell, *aims)], B={"life": d.number(5, 20)})


def _plain_harm(card: Card) -> bool:
    if card.targets == "tapped creature":
        return False
    return card.ops[0]["op"] != "change" or card.ops[0]["change"].get("7c", [0, 0])[1] < 0


def empty_library(d: Draw) -> Made:
    """A player draws more cards than the library has, and loses when state-based actions are next checked."""
    spell = d.choice(("Overlong Study", "Brimming Lecture"))
    who = "A" if spell == "Overlong Study" else d.choice("AB")
    state = {"library": d.number(0, 3), "hand": d.number(1, 4)}
    aims = [who] if spell == "Brimming Lecture" else []
    return d.scene([on("A", d.creature())], [cast("A", spell, *aims)], **{who: state})


def lord_dies(d: Draw) -> Made:
    """A creature that makes others larger or smaller leaves, while others have damage or little toughness."""
    lord = d.card(lambda c: any(s["affects"]["group"].startswith("other") for s in c.statics))
    other = d.creature(fits=lambda c: c.toughness >= 2)
    damage = (
        {"damage": cards()[other].toughness}
        if lord != "Blightbringer Osk"
        else {"damage": cards()[other].toughness - 2}
    )
    damage = {key: value for key, value in damage.items() if value > 0}
    spell = d.spell("destroy", "exile", "bounce", fits=lambda c: c.targets == "creature")
    third = d.creature(fits=lambda c: c.toughness >= 2)
    return d.scene([on("B", lord), on("B", other, **damage), on(d.choice("AB"), third)], [cast("A", spell, lord)])


def both_lose(d: Draw) -> Made:
    """Two players at little life, and creatures whose death costs life: who loses, or is it both?"""
    imp = "Sootbelly Imp"
    d.used.add(imp)
    spell = d.spell("damage each", "destroy all")
    others = [d.card(lambda c: any(t["when"] in ("dies", "another dies") for t in c.triggers)) for _ in range(2)]
    board = [on("A", imp), *(on(d.choice("AB"), key) for key in others)]
    return d.scene(board, [cast("A", spell)], A={"life": d.number(1, 3)}, B={"life": d.number(1, 4)})


def enters(d: Draw) -> Made:
    """A creature that enters with an ability, among creatures that it may kill."""
    creature = d.card(lambda c: any(t["when"] == "enters" for t in c.triggers))
    board = [on(d.choice("AB"), d.creature()) for _ in range(d.number(1, 3))]
    return d.scene(board, [cast("A", creature)], B={"life": d.number(2, 12)})


def drain(d: Draw) -> Made:
    """Life lost and gained by one spell, at the edge."""
    board = [on("A", d.creature())]
    return d.scene(board, [cast("A", "Marrowtithe Drain", "B")], B={"life": d.number(1, 9)})


SCENES = (
    annihilation,
    legends,
    shrink_damaged,
    indestructible,
    aura_falls,
    aura_death,
    planeswalker,
    sweeper,
    recurring,
    empty_library,
    lord_dies,
    both_lose,
    enters,
    drain,
)
