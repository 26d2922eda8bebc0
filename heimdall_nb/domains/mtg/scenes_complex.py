"""Advanced scenes: layers and timestamps, copy and control, replacement effects, abilities in APNAP order."""

from __future__ import annotations

from heimdall_nb.domains.mtg.cards import cards
from heimdall_nb.domains.mtg.draw import DAMAGE, RESOLVE, UPKEEP, Draw, Made, attack, cast, on, targetable
from heimdall_nb.domains.mtg.model import PLUS, Card


def _open(card: Card) -> bool:
    return targetable(card) and not any(word.startswith("protection") for word in card.keywords)


def _sizes(card: Card) -> bool:
    """Changes power or toughness of one creature."""
    return card.targets == "creature" and bool({"7b", "7c", "7d"} & set(card.ops[0].get("change", ())))


def _one_after_another(casts: list[Made]) -> list[Made]:
    """Each spell resolves before the next is cast."""
    return [step for action in casts for step in (action, RESOLVE)]


def spells_in_layers(d: Draw) -> Made:
    """Two or three spells on one creature, one after the other, in layers 6 to 7d."""
    creature = d.creature(fits=lambda c: _open(c) and c.toughness >= 2)
    spells = [d.spell("change", fits=_sizes) for _ in range(d.number(2, 3))]
    counters = {"counters": {PLUS: d.number(1, 3)}} if d.chance(0.5) else {}
    casts = [cast("A", spell, creature) for spell in spells]
    return d.scene([on(d.choice("AB"), creature, **counters)], _one_after_another(casts), "size", explain=[creature])


def set_and_counters(d: Draw) -> Made:
    """A size that is set after counters and bonuses: they still count, since 7c follows 7b."""
    creature = d.creature(fits=_open)
    spell = d.spell("change", fits=lambda c: "7b" in c.ops[0]["change"])
    held = d.choice(("Mantle of Oxen Strength", "Shroud of Frail Reeds", "Red-Hilt Warmaul", "Black-Iron Hauberk"))
    board = [on("B", creature, counters={PLUS: d.number(1, 3)}), on("B", held, on=creature)]
    return d.scene(board, [cast("A", spell, creature)], "size", explain=[creature])


def standing_effects(d: Draw) -> Made:
    """Two enchantments that set, raise or lower all creatures, in an order of timestamps; creatures with abilities."""
    names = [
        "Leveller's Decree",
        "Doctrine of Plain Bodies",
        "Banner of the Ninth Toll",
        "Pall of Lesser Days",
        "Skyward Ordinance",
    ]
    first, second = d.rng.sample(names, 2)
    one = d.creature(fits=lambda c: bool(c.keywords) and c.toughness >= 2)
    two = (
        d.card(lambda c: "creature" in c.types and c.toughness >= 2 and bool(c.statics))
        if d.chance(0.4)
        else d.creature()
    )
    board = [on("A", one), on("B", two), on(d.choice("AB"), first), on(d.choice("AB"), second)]
    if d.chance(0.5):
        board.insert(0, board.pop())
    return d.scene(board, [RESOLVE], "size", explain=[one, two], entered=[entry["card"] for entry in board])


def silenced_lord(d: Draw) -> Made:
    """A creature that makes others larger loses its abilities, and the others shrink."""
    lord = d.card(lambda c: any(s["affects"]["group"].startswith("other") for s in c.statics))
    other = d.creature()
    spell = d.choice(("Unravel to the Quick", "Newtshape Jest"))
    aura = d.chance(0.4)
    board = [on("B", lord), on("B", other)] + ([on("A", "Statue-Dream Binding", on=lord)] if aura else [])
    actions = [RESOLVE] if aura else [cast("A", spell, lord)]
    return d.scene(board, actions, "size", explain=[lord, other])


def defined_size(d: Draw) -> Made:
    """A size that the card defines (7a), set, raised or switched by others; it also follows what it counts."""
    creature = d.card(lambda c: any("7a" in s["change"] for s in c.statics))
    others = [d.creature() for _ in range(d.number(1, 3))]
    spell = d.spell("change", fits=_sizes)
    board = [on("A", creature), *(on("A", key) for key in others)]
    return d.scene(board, [cast("A", spell, creature)], "size", explain=[creature], A={"hand": d.number(3, 7)})


def copy_of(d: Draw) -> Made:
    """A token that is a copy: of the printed values, not of counters and spells."""
    creature = d.creature(fits=lambda c: _open(c) and c.toughness >= 2)
    spell = d.spell("change", fits=lambda c: _sizes(c) and "7b" not in c.ops[0]["change"])
    token = f"the copy of {creature}"
    board = [
        on("A", creature, counters={PLUS: d.number(1, 4)}),
        on(d.choice("AB"), creature, copy=creature, token=True, **{"as": token}),
    ]
    return d.scene(board, [cast("A", spell, d.choice((creature, token)))], "size", explain=[creature, token])


def control_twice(d: Draw) -> Made:
    """Two control effects on one creature: the later timestamp decides."""
    creature = d.creature(fits=lambda c: _open(c))
    pair = ["Fool's Allegiance", "Puppet-String Writ"]
    d.rng.shuffle(pair)
    stack = d.chance(0.5)
    casts = [cast("A", pair[0], creature), cast("B", pair[1], creature)]
    more = [on("A", "Banner of the Ninth Toll")] if d.chance(0.6) else [on("B", "Banner of the Ninth Toll")]
    actions = casts if stack else _one_after_another(casts)
    return d.scene([on("B", creature), *more], actions, explain=[creature])


def damage_replaced(d: Draw) -> Made:
    """Two or three replacement effects on damage to a player or creature; the affected side chooses the order."""
    rules = ["Hammerdin Foundry", "Sparkfeeder Altar", "Ninefold Bulwark", "Halving Pendulum"]
    chosen = d.rng.sample(rules, d.number(2, 3))
    burn = d.spell("damage", fits=lambda c: c.targets == "any" and "split second" not in c.keywords)
    creature = d.creature(fits=lambda c: _open(c))
    board = [on("B", creature), *(on("A" if name == "Sparkfeeder Altar" else "B", name) for name in chosen)]
    return d.scene(board, [cast("A", burn, d.choice(("B", creature)))], best=True)


def life_replaced(d: Draw) -> Made:
    """Replacement effects on life gained, in the order that the player likes best."""
    chosen = d.rng.sample(["Overflowing Ewer", "Almsgiver's Bowl", "Drywell Malediction"], 2)
    spell = d.choice(("Spring-Water Rite", "Sunmeadow Draught", "Hallow-Flame of Tuin"))
    board = [on("B" if name == "Drywell Malediction" else "A", name) for name in chosen]
    aims = ["B"] if spell == "Hallow-Flame of Tuin" else []
    return d.scene([on("A", d.creature()), *board], [cast("A", spell, *aims)], best=True)


def counters_replaced(d: Draw) -> Made:
    """Replacement effects on +1/+1 counters."""
    creature = d.creature(fits=lambda c: _open(c) and "undying" not in c.keywords)
    spell = d.spell("counters", fits=lambda c: c.ops[0]["kind"] == PLUS)
    board = [on("A", creature), on("A", "Twinbud Arbor"), on(d.choice("AB"), "Extra-Leaf Trellis")]
    return d.scene(board, [cast("A", spell, creature)], best=True)


def never_dies(d: Draw) -> Made:
    """Creatures are exiled instead of dying: nothing that waits for a death triggers."""
    special = d.card(lambda c: any(t["when"] in ("dies", "another dies") for t in c.triggers))
    other = d.creature(*d.choice((["persist"], ["undying"], [])))
    spell = d.spell("damage each", "destroy all")
    board = [on("A", special), on("B", other), on(d.choice("AB"), "Void at Lowmoor Chapel")]
    return d.scene(board, [cast("A", spell)])


def upkeep_order(d: Draw) -> Made:
    """Abilities of both players trigger together, at an upkeep with little life on both sides."""
    bells = ["Bell of Paired Grief", "Ledger of Old Debts", "Fountain of Morning Bread", "Brazier of Small Harm"]
    mine, theirs = d.rng.sample(bells, 2)
    board = [on("A", mine), on("B", theirs), on(d.choice("AB"), d.creature())]
    lives = {"A": {"life": d.number(1, 3)}, "B": {"life": d.number(1, 3)}}
    return d.scene(board, [UPKEEP], **lives)


def both_die(d: Draw) -> Made:
    """Creatures of both players die together and trigger: active player's abilities first onto the stack."""
    one = d.card(lambda c: any(t["when"] == "dies" for t in c.triggers))
    two = d.card(lambda c: any(t["when"] == "dies" for t in c.triggers))
    third = d.creature()
    board = [on("A", one), on("B", two), on(d.choice("AB"), third)]
    lives = {"A": {"life": d.number(1, 4)}, "B": {"life": d.number(1, 4)}}
    return d.scene(board, [cast("A", d.spell("destroy all", "damage each"))], **lives)


def combat_and_layers(d: Draw) -> Made:
    """An attack on a board with standing effects and damage that is replaced."""
    rule = d.choice(
        ("Hammerdin Foundry", "Ninefold Bulwark", "Halving Pendulum", "Pall of Lesser Days", "Banner of the Ninth Toll")
    )
    attacker = d.creature(
        fits=lambda c: (
            not {"shadow", "skulk", "menace", "flying", "defender"} & set(c.keywords)
            and c.power > 1
            and c.toughness > 1
            and _open(c)
        )
    )
    blocker, spell = (
        d.creature(fits=lambda c: c.toughness > 1 and "shadow" not in c.keywords and _open(c)),
        d.spell("change", fast=True, fits=_sizes),
    )
    trample = "trample" in cards()[attacker].keywords or spell == "Berserk Hymn of Aldro"
    board = [on("A", attacker), on("B", blocker), on("B", rule)]
    act = attack({attacker: [blocker]}, "player" if trample else "")
    return d.scene(board, [act, cast(d.choice("AB"), spell, d.choice((attacker, blocker))), DAMAGE])


SCENES = (
    spells_in_layers,
    set_and_counters,
    standing_effects,
    silenced_lord,
    defined_size,
    copy_of,
    control_twice,
    damage_replaced,
    life_replaced,
    counters_replaced,
    never_dies,
    upkeep_order,
    both_die,
    combat_and_layers,
)
