"""The rules simulator against well-known rulings: each situation with its known outcome and a rule that decides it."""

from __future__ import annotations

import pytest

from heimdall_nb.domains.mtg.cards import table
from heimdall_nb.domains.mtg.draw import DAMAGE, RESOLVE, UPKEEP, attack, cast, on
from heimdall_nb.domains.mtg.situation import simulate
from heimdall_nb.domains.mtg.topics import solve

DEAD, EXILED, HAND = "in the graveyard", "in exile", "in hand"


def alive(size: str, *more: str) -> str:
    return ", ".join(("on the battlefield", size, *more))


def play(permanents, actions, a=None, b=None, **more):
    """The facts of a situation (A starts, both at 20 life) and all rule numbers of its steps."""
    players = {key: {"name": key, "state": {"life": 20} | (state or {})} for key, state in (("A", a), ("B", b))}
    outcome = simulate({"players": players, "permanents": permanents, "actions": actions, **more})
    return outcome.facts, {str(rule) for step, _ in outcome.log for rule in table("steps")[step][1:]}


HORROR, ASP, DROVER, STONEHIDE = "Graspwold Horror", "Sablewick Asp", "Ellowick Drover", "Gharrow Stonehide"
TUSKER, HIGHBACK, BRAWLER = "Quorvath Tusker", "Drommel Highback", "Orsk-Hadde Brawler"
SWORD, RAVAGER, DAWN, COLOSSUS = "Caldrith Swordsister", "Twinhelm Ravager", "Solvarre Dawnblade", "Dreadmarch Colossus"
EFFIGY, KING, WARD, SALAMAND = (
    "Adamance Effigy",
    "Ghorn-Taluk the Ember King",
    "Gravenshield Ascetic",
    "Emberproof Salamand",
)
LASH = "Cinderquill Lash"
HEX = "Vexnail Hex"
CLUTCH = "Gloamrot Clutch"
KILL = "Sundering Edict of Mool"
EXILE = "Oubliette of Pale Glass"
NO = "Naysayer's Sigil"
REFUSE = "Hushed Refusal"
BOUNCE = "Ebbtide Dismissal"
VIGOUR = "Oxblood Vigour"
SURGE = "Sapling's Surge of Ith"
SWEEP, KNIVES, LEVY, KNIT = (
    "Cataclysm at Low Bridge",
    "Sleet of Falling Knives",
    "Tollman's Levy-of-Souls",
    "Ribknit Charm",
)
NEWT, SWITCH, SWITCH_TOO, UNRAVEL = "Newtshape Jest", "Topsy-Turvy Riddle", "Inside-Out Cantrap", "Unravel to the Quick"
CLINGER, RISER, LORD = "Gallowmere Clinger", "Skelwick Riser", "Sergeant Avelline Broom"
DOUBLE, BULWARK, BELL = "Hammerdin Foundry", "Ninefold Bulwark", "Bell of Paired Grief"

A, B = "A", "B"
# name: (permanents, actions, more for the situation, facts that must come out, a rule that must be cited)
RULINGS = {
    "deathtouch and trample: 1 damage is lethal for each blocker": (
        [on(A, HORROR), on(B, HIGHBACK), on(B, STONEHIDE)], [attack({HORROR: [HIGHBACK, STONEHIDE]}), DAMAGE], {},
        {HIGHBACK: DEAD, STONEHIDE: DEAD, HORROR: DEAD, B: "18 life"}, "702.2c"),
    "trample assigns lethal damage first": (
        [on(A, "Ruvenhall Battering Yak"), on(B, DROVER)], [attack({"Ruvenhall Battering Yak": [DROVER]}), DAMAGE], {},
        {DROVER: DEAD, B: "16 life", A: "20 life"}, "702.19b"),
    "trample counts damage that is already marked": (
        [on(A, "Thyr-Amon Crusher"), on(B, STONEHIDE, damage=4)], [attack({"Thyr-Amon Crusher": [STONEHIDE]}),
        DAMAGE], {},
        {STONEHIDE: DEAD, B: "18 life"}, "702.19b"),
    "without trample nothing gets past a small blocker": (
        [on(A, HIGHBACK), on(B, DROVER)], [attack({HIGHBACK: [DROVER]}), DAMAGE], {}, {DROVER: DEAD, B: "20 life"},
        "704.5g"),
    "first strike kills before regular damage": (
        [on(A, SWORD), on(B, DROVER)], [attack({SWORD: [DROVER]}), DAMAGE], {},
        {SWORD: alive("2/2", "tapped"), DROVER: DEAD}, "702.7b"),
    "first strike that does not kill is answered": (
        [on(A, SWORD), on(B, TUSKER)], [attack({SWORD: [TUSKER]}), DAMAGE], {}, {SWORD: DEAD, TUSKER: alive("3/3")},
        "510.4"),
    "first strike against first strike is simultaneous": (
        [on(A, SWORD), on(B, "Emberlode Duelist")], [attack({SWORD: ["Emberlode Duelist"]}), DAMAGE], {},
        {SWORD: DEAD, "Emberlode Duelist": DEAD}, "510.4"),
    "double strike deals damage in both steps": (
        [on(A, RAVAGER), on(B, BRAWLER)], [attack({RAVAGER: [BRAWLER]}), DAMAGE], {}, {RAVAGER: DEAD, BRAWLER: DEAD},
        "702.4b"),
    "double strike and trample: the second step goes through when the first killed": (
        [on(A, COLOSSUS), on(B, DROVER)], [attack({COLOSSUS: [DROVER]}), DAMAGE], {}, {DROVER: DEAD, B: "14 life"},
        "702.19d"),
    "lifelink and double strike gain twice": (
        [on(A, DAWN)], [attack({DAWN: []}), DAMAGE], {}, {A: "24 life", B: "16 life"}, "702.15b"),
    "lifelink gains as the damage is dealt, so it can save its controller": (
        [on(A, "Tolvenna Ashrunner"), on(A, TUSKER), on(B, "Auremont Chalicebearer")],
        [attack({"Tolvenna Ashrunner": [], TUSKER: ["Auremont Chalicebearer"]}), DAMAGE], {"b": {"life": 2}},
        {B: "1 life"}, "120.3f"),
    "lifelink comes too late after first-strike damage": (
        [on(A, SWORD), on(A, TUSKER), on(B, "Auremont Chalicebearer")],
        [attack({SWORD: [], TUSKER: ["Auremont Chalicebearer"]}), DAMAGE], {"b": {"life": 2}},
        {B: "0 life, loses the game"}, "704.5a"),
    "deathtouch kills whatever it damages": (
        [on(A, ASP), on(B, HIGHBACK)], [attack({ASP: [HIGHBACK]}), DAMAGE], {}, {ASP: DEAD, HIGHBACK: DEAD}, "704.5h"),
    "deathtouch does not beat indestructible": (
        [on(A, ASP), on(B, EFFIGY)], [attack({ASP: [EFFIGY]}), DAMAGE], {}, {ASP: DEAD, EFFIGY: alive("3/3")},
        "702.12b"),
    "indestructible survives lethal damage": (
        [on(B, EFFIGY)], [cast(A, LASH, EFFIGY)], {}, {EFFIGY: alive("3/3"), LASH: "resolved"}, "702.12b"),
    "indestructible does not survive toughness 0": (
        [on(B, EFFIGY)], [cast(A, CLUTCH, EFFIGY)], {}, {EFFIGY: DEAD}, "704.5f"),
    "indestructible may be sacrificed": ([on(B, EFFIGY)], [cast(A, LEVY, B)], {}, {EFFIGY: DEAD}, "701.21a"),
    "indestructible may be exiled": ([on(B, EFFIGY)], [cast(A, EXILE, EFFIGY)], {}, {EFFIGY: EXILED}, "406.1"),
    "damage stays while toughness falls": (
        [on(B, STONEHIDE, damage=3)], [cast(A, HEX, STONEHIDE)], {}, {STONEHIDE: DEAD}, "704.5g"),
    "-X/-X to exactly zero is no destruction, so regeneration does not help": (
        [on(B, TUSKER)], [cast(A, CLUTCH, TUSKER), cast(B, KNIT, TUSKER)], {}, {TUSKER: DEAD}, "704.5f"),
    "regeneration replaces destruction by damage": (
        [on(B, TUSKER)], [cast(A, LASH, TUSKER), cast(B, KNIT, TUSKER)], {}, {TUSKER: alive("3/3", "tapped")}, "614.8"),
    "legend rule: one of two is kept": (
        [on(A, KING, **{"as": "old"})], [cast(A, KING, **{"as": "new"})], {"keep": ["old"]},
        {"old": alive("5/4"), "new": DEAD}, "704.5j"),
    "legend rule: two controllers, nothing happens": (
        [on(B, KING, **{"as": "old"})], [cast(A, KING, **{"as": "new"})], {}, {"old": alive("5/4"),
        "new": alive("5/4")}, "608.3a"),
    "+1/+1 and -1/-1 counters annihilate": (
        [on(A, TUSKER, counters={"+1/+1": 3})], [cast(A, "Canker Bestowal", TUSKER)], {},
        {TUSKER: alive("4/4", "1 +1/+1 counter")}, "704.5q"),
    "last in, first out: the counterspell resolves first": (
        [on(B, DROVER)], [cast(A, LASH, DROVER), cast(B, NO, LASH)], {}, {LASH: "countered", NO: "resolved",
        DROVER: alive("2/2")}, "405.5"),
    "a countered counterspell does nothing": (
        [on(B, DROVER)], [cast(A, LASH, DROVER), cast(B, NO, LASH), cast(A, REFUSE, NO)], {},
        {NO: "countered", LASH: "resolved", DROVER: DEAD}, "701.6a"),
    "a spell without a legal target left does not resolve": (
        [on(A, DROVER)], [cast(A, VIGOUR, DROVER), cast(B, BOUNCE, DROVER)], {}, {VIGOUR: "did not resolve",
        DROVER: HAND}, "608.2b"),
    "a spell with one of two targets left still affects it": (
        [on(B, DROVER), on(B, "Pellimar Dockhand")],
        [cast(A, "Forked Sparkbolt of Ninn", DROVER, "Pellimar Dockhand"), cast(B, BOUNCE, DROVER)], {},
        {"Forked Sparkbolt of Ninn": "resolved", DROVER: HAND, "Pellimar Dockhand": DEAD}, "608.2b"),
    "a returned creature is a new object that the old spell does not find": (
        [on(B, CLINGER)], [cast(A, EXILE, CLINGER), cast(B, LEVY, B)], {},
        {EXILE: "did not resolve", CLINGER: alive("1/1", "1 -1/-1 counter")}, "400.7"),
    "growing in response saves from damage": (
        [on(B, DROVER)], [cast(A, LASH, DROVER), cast(B, SURGE, DROVER)], {}, {DROVER: alive("4/4")}, "405.5"),
    "growing first does not save from damage that comes after a shrinking response": (
        [on(B, DROVER)], [cast(B, "Spring-Water Rite"), cast(A, HEX, DROVER)], {}, {DROVER: DEAD, B: "25 life"},
        "704.5f"),
    "nothing is cast while split second is on the stack": (
        [on(B, DROVER)], [cast(A, "Quenchless Rebuke", DROVER), cast(B, SURGE, DROVER)], {},
        {SURGE: "not cast", DROVER: DEAD}, "702.61a"),
    "a spell that can't be countered may be targeted, and resolves": (
        [], [cast(A, "Unbending Proclamation", B), cast(B, NO, "Unbending Proclamation")], {},
        {NO: "resolved", "Unbending Proclamation": "resolved", B: "16 life"}, "101.2"),
    "a sorcery may not be cast as a response": (
        [on(B, DROVER)], [cast(A, LASH, DROVER), cast(B, "Scoria Verdict", DROVER)], {},
        {"Scoria Verdict": "not cast"}, "117.1a"),
    "hexproof stops opponents": (
        [on(B, "Mistveil Envoy")], [cast(A, LASH, "Mistveil Envoy")], {}, {LASH: "not cast"}, "702.11b"),
    "hexproof does not stop its controller": (
        [on(A, "Mistveil Envoy")], [cast(A, SURGE, "Mistveil Envoy")], {}, {"Mistveil Envoy": alive("4/4")}, "611.2a"),
    "shroud stops everybody": (
        [on(A, "Glimmershroud Fawn")], [cast(A, SURGE, "Glimmershroud Fawn")], {}, {SURGE: "not cast"}, "702.18a"),
    "hexproof in response makes the target illegal": (
        [on(B, DROVER)], [cast(A, LASH, DROVER), cast(B, "Cloak of the Unfound", DROVER)], {},
        {LASH: "did not resolve", DROVER: alive("2/2")}, "608.2b"),
    "a player's sacrifice does not target the hexproof creature": (
        [on(B, "Bogreed Unseen")], [cast(A, LEVY, B)], {}, {"Bogreed Unseen": DEAD}, "701.21a"),
    "protection: no target": ([on(B, WARD)], [cast(A, LASH, WARD)], {}, {LASH: "not cast"}, "702.16b"),
    "protection: damage is prevented": (
        [on(B, WARD)], [cast(A, KNIVES)], {}, {WARD: alive("3/3"), KNIVES: "resolved"}, "702.16e"),
    "protection does not stop what neither damages nor targets": ([on(B, WARD)], [cast(A, SWEEP)], {}, {WARD: DEAD},
        "701.8a"),
    "protection: combat damage from that colour is prevented, the other way it is not": (
        [on(A, BRAWLER), on(B, WARD)], [attack({BRAWLER: [WARD]}), DAMAGE], {}, {WARD: alive("3/3"),
        BRAWLER: alive("4/4", "tapped")}, "702.16e"),
    "protection: an Aura of that colour falls off": (
        [on(B, TUSKER), on(A, "Shroud of Frail Reeds", on=TUSKER)], [cast(B, "Blackward Gesture", TUSKER)], {},
        {TUSKER: alive("3/3"), "Shroud of Frail Reeds": DEAD}, "704.5m"),
    "Equipment stays when its creature dies": (
        [on(B, DROVER), on(B, "Red-Hilt Warmaul", on=DROVER)], [cast(A, LASH, DROVER)], {},
        {DROVER: DEAD, "Red-Hilt Warmaul": "on the battlefield"}, "704.5n"),
    "an Aura goes with its creature": (
        [on(B, DROVER), on(B, "Mantle of Oxen Strength", on=DROVER)], [cast(A, EXILE, DROVER)], {},
        {DROVER: EXILED, "Mantle of Oxen Strength": DEAD}, "704.5m"),
    "persist returns with a -1/-1 counter": (
        [on(B, CLINGER)], [cast(A, KILL, CLINGER)], {}, {CLINGER: alive("1/1", "1 -1/-1 counter")}, "702.79a"),
    "persist does not return what had a -1/-1 counter": (
        [on(B, CLINGER, counters={"-1/-1": 1})], [cast(A, KILL, CLINGER)], {}, {CLINGER: DEAD}, "704.5g|701.8a"),
    "undying does not return what had a +1/+1 counter": (
        [on(B, RISER, counters={"+1/+1": 1})], [cast(A, KILL, RISER)], {}, {RISER: DEAD}, "701.8a"),
    "undying returns with a +1/+1 counter": (
        [on(B, RISER)], [cast(A, KILL, RISER)], {}, {RISER: alive("3/2", "1 +1/+1 counter")}, "702.93a"),
    "ten poison counters lose": (
        [on(A, "Festerquill Larva")], [attack({"Festerquill Larva": []}), DAMAGE], {"b": {"poison": 9}},
        {B: "20 life, 10 poison, loses the game"}, "704.5c"),
    "infect shrinks creatures": (
        [on(A, "Festerquill Larva"), on(B, TUSKER)], [attack({"Festerquill Larva": [TUSKER]}), DAMAGE], {},
        {TUSKER: alive("2/2", "1 -1/-1 counter")}, "120.3d"),
    "toxic adds poison to the loss of life": (
        [on(A, "Corrodrift Lasher")], [attack({"Corrodrift Lasher": []}), DAMAGE], {}, {B: "17 life, 2 poison"},
        "702.164c"),
    "wither deals life loss to players": (
        [on(A, "Witherloam Hag")], [attack({"Witherloam Hag": []}), DAMAGE], {}, {B: "18 life"}, "120.3"),
    "two abilities of creatures that died together: the nonactive player's resolves first": (
        [on(A, "Sootbelly Imp", **{"as": "one"}), on(B, "Sootbelly Imp", **{"as": "two"})], [cast(A, SWEEP)],
        {"a": {"life": 2}, "b": {"life": 2}},
        {A: "0 life, loses the game", B: "2 life"}, "603.3b"),
    "drawing from an empty library loses": (
        [], [cast(A, "Overlong Study")], {"a": {"library": 2, "hand": 1}}, {A: "20 life, 2 in hand, loses the game"},
        "704.5b"),
    "a planeswalker without loyalty dies": (
        [on(B, "Magister Orlane of the Ninth Stair", loyalty=3)], [cast(A, LASH,
        "Magister Orlane of the Ninth Stair")], {},
        {"Magister Orlane of the Ninth Stair": DEAD}, "704.5i"),
    "creatures that die together see each other die": (
        [on(A, "Gravetide Cantor"), on(B, DROVER), on(B, TUSKER)], [cast(A, SWEEP)], {}, {B: "18 life"}, "603.2"),
    "what is blocked stays blocked": (
        [on(A, TUSKER), on(B, DROVER)], [attack({TUSKER: [DROVER]}), cast(B, BOUNCE, DROVER), DAMAGE], {},
        {B: "20 life", DROVER: HAND}, "509.1h"),
    "trample without a blocker left assigns everything": (
        [on(A, "Fennwick Marlbeast"), on(B, DROVER)], [attack({"Fennwick Marlbeast": [DROVER]}), cast(A, EXILE,
        DROVER), DAMAGE], {},
        {B: "16 life"}, "702.19d"),
    "vigilance: attacking does not tap": (
        [on(A, "Fortalice Warder")], [attack({"Fortalice Warder": []}), DAMAGE], {},
        {"Fortalice Warder": alive("2/4")}, "702.20b"),
    "all combat damage prevented": (
        [on(A, HIGHBACK)], [attack({HIGHBACK: []}), cast(B, "Bewilder-Mists of Loe"), DAMAGE], {}, {B: "20 life"},
        "615.1a"),
    "a copy of a spell resolves before it": (
        [on(B, STONEHIDE)], [cast(A, LASH, STONEHIDE), cast(A, "Mirrorglass Refrain", LASH)], {}, {STONEHIDE: DEAD,
        f"the copy of {LASH}": "resolved"}, "707.10"),
    "ward that is not paid counters": (
        [on(B, "Runelock Scholar")], [cast(A, LASH, "Runelock Scholar")], {}, {LASH: "countered",
        "Runelock Scholar": alive("2/3")}, "702.21a"),
    "prowess resolves before the spell that made it trigger": (
        [on(A, "Cinderhand Adept")], [cast(A, "Sleet of Falling Knives")], {}, {"Cinderhand Adept": alive("2/3")},
        "702.108a"),
    "layer 7b before 7c: a bonus outlives a size that is set later": (
        [on(A, TUSKER)], [cast(A, VIGOUR, TUSKER), RESOLVE, cast(B, NEWT, TUSKER)], {"explain": [TUSKER]},
        {TUSKER: alive("4/4")}, "613.4b"),
    "counters count after a size that is set": (
        [on(A, TUSKER, counters={"+1/+1": 2})], [cast(B, NEWT, TUSKER)], {"explain": [TUSKER]}, {TUSKER: alive("3/3",
        "2 +1/+1 counters")}, "613.4c"),
    "two sizes that are set: the later timestamp": (
        [on(A, TUSKER)], [cast(A, "Colossify", TUSKER), RESOLVE, cast(B, "Gnatform Curse", TUSKER)],
        {"explain": [TUSKER]}, {TUSKER: alive("0/2")}, "613.7"),
    "7d is last: a bonus after a switch is switched too": (
        [on(A, "Brannoc Weirkeeper")], [cast(A, SWITCH, "Brannoc Weirkeeper"), RESOLVE, cast(A,
        "Berserk Hymn of Aldro", "Brannoc Weirkeeper")],
        {"explain": ["Brannoc Weirkeeper"]}, {"Brannoc Weirkeeper": alive("4/5")}, "613.4d"),
    "two switches cancel": (
        [on(A, "Brannoc Weirkeeper")], [cast(A, SWITCH, "Brannoc Weirkeeper"), RESOLVE, cast(B, SWITCH_TOO,
        "Brannoc Weirkeeper")],
        {"explain": ["Brannoc Weirkeeper"]}, {"Brannoc Weirkeeper": alive("1/4")}, "613.4d"),
    "a switch that leaves toughness 0 kills": (
        [on(A, "Gatewall of Onnerby")], [cast(B, SWITCH, "Gatewall of Onnerby")], {}, {"Gatewall of Onnerby": DEAD},
        "704.5f"),
    "a lord that lost its abilities adds nothing": (
        [on(B, LORD), on(B, DROVER)], [cast(A, UNRAVEL, LORD)], {"explain": [LORD, DROVER]}, {DROVER: alive("2/2"),
        LORD: alive("2/2")}, "613.1f"),
    "a size that counts cards in hand falls as its controller casts a spell": (
        [on(A, "Lorebound Familiar")], [cast(A, "Spring-Water Rite")], {"a": {"hand": 4}},
        {"Lorebound Familiar": alive("3/3"), A: "25 life, 3 in hand"}, "601.2a"),
    "dependency: a lord that gives an ability and a size gives neither once its abilities are gone": (
        [on(B, "Packlord Durrowen"), on(B, DROVER)], [cast(A, UNRAVEL, "Packlord Durrowen")],
        {"explain": ["Packlord Durrowen", DROVER]}, {DROVER: alive("2/2")}, "613.8"),
    "dependency does not wait for timestamps": (
        [on(B, "Packlord Durrowen"), on(B, DROVER), on(A, "Leveller's Decree")], [RESOLVE],
        {"explain": ["Packlord Durrowen", DROVER]}, {DROVER: alive("2/2"), "Packlord Durrowen": alive("2/2")}, "613.8"),
    "of two enchantments that set sizes the newer applies": (
        [on(A, DROVER), on(A, "Doctrine of Plain Bodies"), on(B, "Leveller's Decree")], [RESOLVE],
        {"explain": [DROVER]},
        {DROVER: alive("2/2")}, "613.7"),
    "abilities of one player resolve last one first, in the order said": (
        [on(A, "Candlebrook Mourner"), on(A, "Sootbelly Imp")], [cast(A, SWEEP)], {"b": {"life": 2}},
        {A: "20 life", B: "0 life, loses the game"}, "603.3b"),
    "one effect that removes abilities and sets a size applies wholly": (
        [on(A, HIGHBACK), on(B, "Leveller's Decree"), on(A, "Banner of the Ninth Toll")], [RESOLVE],
        {"explain": [HIGHBACK]},
        {HIGHBACK: alive("3/3")}, "613.4b"),
    "an ability gained after all were lost is there": (
        [on(A, SWORD), on(B, DROVER)], [cast(B, UNRAVEL, SWORD), RESOLVE, cast(A, "Swiftblade Cadence", SWORD),
        RESOLVE, attack({SWORD: [DROVER]}), DAMAGE],
        {}, {SWORD: alive("3/3", "tapped"), DROVER: DEAD}, "702.7b"),
    "a size that counts creatures follows the board": (
        [on(A, "Throngling Multitude"), on(A, DROVER), on(A, TUSKER)], [cast(B, LASH, DROVER)],
        {"explain": ["Throngling Multitude"]},
        {"Throngling Multitude": alive("2/2")}, "613.4a"),
    "a copy has neither counters nor bonuses": (
        [on(A, TUSKER, counters={"+1/+1": 2}), on(A, TUSKER, copy=TUSKER, token=True, **{"as": "token"})], [cast(A,
        VIGOUR, TUSKER)], {},
        {TUSKER: alive("8/8", "2 +1/+1 counters"), "token": alive("3/3")}, "707.2"),
    "of two control effects the later applies": (
        [on(B, TUSKER)], [cast(A, "Fool's Allegiance", TUSKER), RESOLVE, cast(B, "Puppet-String Writ", TUSKER)], {},
        {TUSKER: alive("3/3")}, "613.1b"),
    "a token that leaves ceases to exist": (
        [on(A, TUSKER, token=True, **{"as": "token"})], [cast(B, BOUNCE, "token")], {}, {"token": "ceased to exist"},
        "400.3"),
    "the affected player orders doubling and prevention": (
        [on(A, DOUBLE), on(B, BULWARK)], [cast(A, LASH, B)], {}, {B: "18 life"}, "616.1"),
    "the player orders two replacements of life gained": (
        [on(A, "Overflowing Ewer"), on(A, "Almsgiver's Bowl")], [cast(A, "Spring-Water Rite")], {}, {A: "32 life"},
        "616.1"),
    "counters: one more, then twice as many": (
        [on(A, TUSKER), on(A, "Twinbud Arbor"), on(A, "Extra-Leaf Trellis")], [cast(A, "Greenbud Touch", TUSKER)], {},
        {TUSKER: alive("7/7", "4 +1/+1 counters")}, "616.1"),
    "a death that is replaced triggers nothing": (
        [on(A, "Sootbelly Imp"), on(A, "Void at Lowmoor Chapel")], [cast(A, SWEEP)], {}, {"Sootbelly Imp": EXILED,
        B: "20 life"}, "614.6"),
    "APNAP: the nonactive player's ability resolves first": (
        [on(A, BELL, **{"as": "mine"}), on(B, BELL, **{"as": "theirs"})], [UPKEEP], {"a": {"life": 1},
        "b": {"life": 1}},
        {A: "0 life, loses the game", B: "1 life"}, "603.3b"),
    "a prevention shield takes the next damage": (
        [], [cast(A, "Pyreclast Spear", B), cast(B, "Palm of Averting", B)], {}, {B: "19 life"}, "615.7"),
}  # fmt: skip


@pytest.mark.parametrize("name", RULINGS)
def test_known_ruling(name):
    permanents, actions, more, expected, rule = RULINGS[name]
    facts, rules = play(permanents, actions, **more)
    assert {subject: facts[subject] for subject in expected} == expected
    assert rules & set(rule.split("|")), f"{rule} is not among {sorted(rules)}"


def test_there_are_enough_rulings():
    assert len(RULINGS) >= 40


LEGALITY = {
    "flying is blocked by reach": ("Zephyrene Gullrider", ["Spindlemoss Webber"], "legal", "509.1b"),
    "flying is not blocked from the ground": ("Zephyrene Gullrider", [TUSKER], "illegal", "702.9b"),
    "menace needs two blockers": ("Scoundrels of Tarn Row", [TUSKER], "illegal", "702.111b"),
    "menace is satisfied by two": ("Scoundrels of Tarn Row", [TUSKER, DROVER], "legal", "509.1b"),
    "protection from the blocker's colour": (WARD, [BRAWLER], "illegal", "702.16f"),
    "skulk against greater power": ("Slimfoot Eavesdropper", [DROVER], "illegal", "702.118b"),
    "shadow is blocked by shadow only": ("Penumbrel Walker", [DROVER], "illegal", "702.28b"),
}


@pytest.mark.parametrize("name", LEGALITY)
def test_known_block(name):
    attacker, blockers, verdict, rule = LEGALITY[name]
    action = {"do": "may block", "attacker": attacker, "blockers": blockers}
    facts, rules = play([on(A, attacker), *(on(B, key) for key in blockers)], [action])
    assert facts == {"block": verdict} and rule in rules


@pytest.mark.parametrize(
    ("creature", "sick", "tapped", "verdict", "rule"),
    [
        (TUSKER, True, False, "illegal", "302.6"),
        (TUSKER, False, False, "legal", "508.1a"),
        (TUSKER, False, True, "illegal", "508.1a"),
        ("Suddenspur Racer", True, False, "legal", "702.10b"),
        ("Gatewall of Onnerby", False, False, "illegal", "702.3b"),
    ],
)
def test_known_attack(creature, sick, tapped, verdict, rule):
    facts, rules = play([on(A, creature, tapped=tapped)], [{"do": "may attack", "attacker": creature, "sick": sick}])
    assert facts == {"attack": verdict} and rule in rules


COMPUTED = [
    ("rules", "mulligan", {"n": 2, "players": 2}, {"opening hand": "5 cards"}),
    ("rules", "mulligan", {"n": 2, "players": 4}, {"opening hand": "6 cards"}),
    ("rules", "starting_life", {"variant": "Commander", "down": 10, "up": 3}, {"life total": "33"}),
    ("rules", "mana_value", {"generic": 1, "colours": "R", "xs": 1, "stack": False, "chosen": 4}, {"mana value": "2"}),
    ("rules", "mana_value", {"generic": 1, "colours": "R", "xs": 2, "stack": True, "chosen": 4}, {"mana value": "10"}),
    ("rules", "total_cost", {"generic": 2, "colours": "R", "more": 1, "less": 5}, {"total cost": "{R}"}),
    ("rules", "loyalty_ability", {"loyalty": 3, "sign": "-", "cost": 4, "before": "none"}, {"activation": "illegal",
        "loyalty": "3"}),
    ("rules", "next_step", {"step": "declare attackers step", "attackers": "no creature attacks"},
        {"next": "end of combat step"}),
    ("rules", "cleanup_discard", {"hand": 9, "change": "+0"}, {"discards": "2 cards"}),
    ("rules", "commander_tax", {"generic": 2, "colours": "G", "n": 2}, {"total cost": "{6}{G}"}),
    ("rules", "commander_damage", {"life": 9, "one": 20, "two": 20}, {"P": "does not lose"}),
    ("rules", "commander_damage", {"life": 9, "one": 21, "two": 1}, {"P": "loses"}),
    ("rules", "giants", {"life": 5, "poison": 14}, {"team": "does not lose"}),
    ("rules", "four_players", {"seat": 0}, {"order": "S then T then Q then P"}),
    ("rules", "delve", {"generic": 5, "colours": "U", "n": 5}, {"left to pay": "{U}"}),
    ("tournament", "win_percentage", {"wins": 1, "draws": 0, "losses": 4}, {"match-win percentage": "0.33"}),
    ("tournament", "win_percentage", {"wins": 4, "draws": 0, "losses": 1}, {"match-win percentage": "0.80"}),
    ("tournament", "match_points", {"wins": 4, "draws": 1, "losses": 1}, {"match points": "13"}),
    ("tournament", "tardiness", {"minutes": 9, "round": 1, "rel": "Competitive"}, {"infraction": "Tardiness",
        "penalty": "Game Loss"}),
    ("tournament", "additional_turns", {"team": False, "n": 1}, {"turn": "Q"}),
    ("tournament", "additional_turns", {"team": True, "n": 4}, {"turn": "nobody"}),
    ("tournament", "swiss_rounds", {"players": 64}, {"rounds": "6"}),
    ("tournament", "swiss_rounds", {"players": 65}, {"rounds": "7"}),
]  # fmt: skip


@pytest.mark.parametrize(("area", "topic", "values", "expected"), COMPUTED)
def test_known_computation(area, topic, values, expected):
    facts, lines = solve({"area": area, "topic": topic, "values": values, "people": ["P", "Q", "T", "S"]})
    assert facts == expected
    assert all(rules for _, rules in lines)


def test_penalties_are_upgraded_by_their_class():
    names = [entry["name"] for entry in table("topics")["infractions"]]

    def penalty(name, before):
        values = {"which": names.index(name), "story_number": 0, "before": before, "rel": "Competitive"}
        situation = {"area": "tournament", "topic": "infraction", "values": values, "people": ["P", "Q", "T", "S"]}
        return solve(situation)[0]["penalty"]

    assert [penalty("Game Rule Violation", n) for n in range(3)] == ["Warning", "Warning", "Game Loss"]
    assert [penalty("Slow Play", n) for n in range(2)] == ["Warning", "Game Loss"]
    assert penalty("Failure to Maintain Game State", 5) == "Warning"
    assert penalty("Outside Assistance", 0) == "Match Loss"
