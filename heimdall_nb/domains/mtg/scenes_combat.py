"""Scenes about combat: keyword abilities, several blockers, tricks after blocks, and what may attack and block."""

from __future__ import annotations

from heimdall_nb.domains.mtg.cards import cards
from heimdall_nb.domains.mtg.draw import DAMAGE, Draw, Made, attack, cast, on, targetable
from heimdall_nb.domains.mtg.model import Card

_ODD = {"shadow", "skulk", "menace", "flying", "defender"}


def _fights(card: Card) -> bool:
    """Attacks and is blocked without a question of legality, and has an ability that matters in combat."""
    return not _ODD & set(card.keywords) and card.power > 0 and not _shielded(card)


def _shielded(card: Card) -> bool:
    return any(word.startswith("protection") for word in card.keywords)


def _keyworded(card: Card) -> bool:
    return _fights(card) and bool(card.keywords)


def _blocker(card: Card) -> bool:
    return "shadow" not in card.keywords


def _division(attacker: str, blockers: list[str]) -> str:
    """Where damage beyond lethal goes, where the question must say so."""
    if not blockers:
        return ""
    if "trample" in cards()[attacker].keywords:
        return "player"
    return "last" if len(blockers) > 1 else ""


def duel(d: Draw) -> Made:
    """One attacker with a keyword, one blocker."""
    attacker, blocker = d.creature(fits=_keyworded), d.creature(fits=_blocker)
    act = attack({attacker: [blocker]}, _division(attacker, [blocker]))
    return d.scene([on("A", attacker), on("B", blocker)], [act, DAMAGE])


def gang_block(d: Draw) -> Made:
    """One attacker, two or three blockers."""
    attacker = d.creature(fits=lambda c: _fights(c) and c.power > 1)
    blockers = [d.creature(fits=_blocker) for _ in range(d.number(2, 3))]
    act = attack({attacker: blockers}, _division(attacker, blockers))
    return d.scene([on("A", attacker), *(on("B", key) for key in blockers)], [act, DAMAGE])


def deathtouch_trample(d: Draw) -> Made:
    """Deathtouch and trample together: 1 damage to each blocker is enough."""
    blockers = [d.creature(fits=_blocker) for _ in range(d.number(1, 3))]
    if d.chance(0.4):
        board, attacker, before = [on("A", "Graspwold Horror")], "Graspwold Horror", []
        d.used.add(attacker)
    else:
        attacker = d.creature("trample", fits=_fights)
        board, before = [on("A", attacker)], [cast("A", "Asp-Kissed Blade", attacker)]
    act = attack({attacker: blockers}, "player")
    return d.scene([*board, *(on("B", key) for key in blockers)], [act, *before, DAMAGE])


def strikes(d: Draw) -> Made:
    """First or double strike on at least one side."""
    attacker = d.creature(d.choice(("first strike", "double strike")), fits=_fights)
    blocker = d.creature(fits=lambda c: _blocker(c) and c.power > 0)
    if d.chance(0.4):
        attacker, blocker = d.creature(fits=_fights), attacker
    act = attack({attacker: [blocker]}, _division(attacker, [blocker]))
    return d.scene([on("A", attacker), on("B", blocker)], [act, DAMAGE])


def life_race(d: Draw) -> Made:
    """Lifelink in a close race: life is gained as damage is dealt, so it may save a player or come too late."""
    linked = d.creature("lifelink", fits=lambda c: c.power > 0 and "flying" not in c.keywords)
    other = d.creature(fits=_fights)
    blocker = d.creature(fits=_blocker)
    attacks = {linked: [], other: [blocker]} if d.chance(0.5) else {linked: [blocker], other: []}
    division = _division(*next((key, blocks) for key, blocks in attacks.items() if blocks))
    lives = {"A": {"life": d.number(1, 8)}, "B": {"life": d.number(1, 8)}}
    board = [on("A", linked), on("A", other), on("B", blocker)]
    return d.scene(board, [attack(attacks, division), DAMAGE], **lives)


def wide_attack(d: Draw) -> Made:
    """Three attackers, some of them blocked."""
    attackers = [d.creature(fits=lambda c: _fights(c) and "trample" not in c.keywords) for _ in range(3)]
    blockers = [d.creature(fits=_blocker) for _ in range(2)]
    places = d.rng.sample(attackers, 2)
    attacks = {key: [blockers[places.index(key)]] if key in places else [] for key in attackers}
    board = [*(on("A", key) for key in attackers), *(on("B", key) for key in blockers)]
    return d.scene(board, [attack(attacks), DAMAGE])


def trick(d: Draw) -> Made:
    """A spell after blocks that changes who survives."""
    attacker = d.creature(fits=lambda c: _fights(c) and targetable(c))
    blocker = d.creature(fits=lambda c: _blocker(c) and targetable(c))
    player = d.choice("AB")
    spell = d.spell(
        "change", "damage", "counters", "regenerate", fast=True, fits=lambda c: c.targets in ("creature", "any")
    )
    aim = d.choice((attacker, blocker))
    trample = "trample" in cards()[attacker].keywords or spell == "Berserk Hymn of Aldro" and aim == attacker
    act = attack({attacker: [blocker]}, "player" if trample else "")
    return d.scene([on("A", attacker), on("B", blocker)], [act, cast(player, spell, aim), DAMAGE])


def blocker_removed(d: Draw) -> Made:
    """The only blocker leaves before damage: the attacker stays blocked, and only trample gets through."""
    attacker = d.creature(*(["trample"] if d.chance(0.5) else []), fits=_fights)
    blocker = d.creature(fits=lambda c: _blocker(c) and targetable(c) and "indestructible" not in c.keywords)
    spell = d.spell("exile", "bounce", "destroy", fast=True)
    act = attack({attacker: [blocker]}, _division(attacker, [blocker]))
    return d.scene([on("A", attacker), on("B", blocker)], [act, cast("A", spell, blocker), DAMAGE])


def poison(d: Draw) -> Made:
    """Infect, toxic or wither, blocked and unblocked, near ten poison."""
    one = d.creature(d.choice(("infect", "toxic 1", "toxic 2", "wither")), fits=lambda c: "trample" not in c.keywords)
    two, blocker = d.creature(fits=lambda c: _fights(c) and "trample" not in c.keywords), d.creature(fits=_blocker)
    attacks = {one: [], two: [blocker]} if d.chance(0.6) else {one: [blocker], two: []}
    board = [on("A", one), on("A", two), on("B", blocker)]
    return d.scene(board, [attack(attacks), DAMAGE], B={"poison": d.number(4, 9)})


def sturdy(d: Draw) -> Made:
    """Indestructible or protected creatures in combat."""
    tough = d.creature(fits=lambda c: "indestructible" in c.keywords or _shielded(c))
    other = d.creature(fits=_fights)
    attacks, board = {other: [tough]}, [on("A", other), on("B", tough)]
    return d.scene(board, [attack(attacks, _division(other, [tough])), DAMAGE])


def fog(d: Draw) -> Made:
    """All combat damage is prevented, or some of it."""
    attacker, second = d.creature(fits=_fights), d.creature(fits=_fights)
    blocker = d.creature(fits=_blocker)
    spell = cast("B", "Bewilder-Mists of Loe") if d.chance(0.5) else cast("B", "Palm of Averting", "B")
    act = attack({attacker: [blocker], second: []}, _division(attacker, [blocker]))
    return d.scene([on("A", attacker), on("A", second), on("B", blocker)], [act, spell, DAMAGE])


def attack_triggers(d: Draw) -> Made:
    """An ability that triggers on the attack resolves before blocks matter."""
    leader = d.card(lambda c: any(trigger["when"] == "attacks" for trigger in c.triggers))
    second, blocker = d.creature(fits=_fights), d.creature(fits=_blocker)
    act = attack({leader: [], second: [blocker]}, _division(second, [blocker]))
    return d.scene([on("A", leader), on("A", second), on("B", blocker)], [act, DAMAGE])


def may_block(d: Draw) -> Made:
    """Whether a block is legal: evasion of the attacker against what the blockers have."""
    word = d.choice(("flying", "menace", "skulk", "shadow", "protection"))
    attacker = d.creature(fits=lambda c: any(own.startswith(word) for own in c.keywords))
    blockers = [d.creature(fits=lambda c: c.power >= 0) for _ in range(d.choice((1, 1, 2)))]
    if d.chance(0.4):
        blockers[0] = d.creature(d.choice(("reach", "flying")))
    tapped = {"tapped": True} if d.chance(0.15) else {}
    board = [on("A", attacker), *(on("B", key, **(tapped if key == blockers[-1] else {})) for key in blockers)]
    return d.scene(board, [{"do": "may block", "attacker": attacker, "blockers": blockers}], ask="block")


def may_attack(d: Draw) -> Made:
    """Whether a creature may attack: new, with haste, with defender, or tapped."""
    attacker = d.creature(*d.choice((["haste"], ["defender"], [], ["vigilance"])))
    tapped = {"tapped": True} if d.chance(0.2) else {}
    board = [on("A", attacker, **tapped), on("B", d.creature())]
    return d.scene(board, [{"do": "may attack", "attacker": attacker, "sick": d.chance(0.6)}], ask="attack")


def may_target(d: Draw) -> Made:
    """Whether a spell may target a creature: shroud, hexproof, protection."""
    word = d.choice(("shroud", "hexproof", "protection", "protection", "ward"))
    target = d.creature(fits=lambda c: any(own.startswith(word) for own in c.keywords))
    spell = d.spell("damage", "destroy", "exile", "bounce", "change", fits=lambda c: c.targets in ("creature", "any"))
    action = {"do": "may target", "player": "A", "card": spell, "targets": [target]}
    return d.scene([on(d.choice("AB"), target)], [action], ask="target")


SCENES = (
    duel,
    gang_block,
    deathtouch_trample,
    strikes,
    life_race,
    wide_attack,
    trick,
    blocker_removed,
    poison,
    sturdy,
    fog,
    attack_triggers,
    may_block,
    may_attack,
    may_target,
)
