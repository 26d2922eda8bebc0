"""Questions about the rules that a computation answers: each topic draws its values and solves them.

The words, the rule numbers and what the answer states are in data/mtg/topics.yaml. `draw_X` returns plain data, which
the situation keeps; `solve_X` computes the results from it, when the example is made and again when it is checked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

Values = dict[str, Any]
Solver = Callable[[Mapping[str, Any]], Values]

SYMBOLS = {"W": "white", "U": "blue", "B": "black", "R": "red", "G": "green"}
VARIANTS = {  # starting life and the rule that says so
    "normal two-player": (20, "103.4"),
    "Two-Headed Giant": (30, "103.4a"),
    "Commander": (40, "103.4c"),
}
STEPS = (
    "untap step", "upkeep step", "draw step", "first main phase", "beginning of combat step", "declare attackers step",
    "declare blockers step", "combat damage step", "end of combat step", "second main phase", "end step",
    "cleanup step",
)  # fmt: skip


def cost(generic: int, colours: str, x: int = 0) -> str:
    """A mana cost in braces: `{X}{2}{R}{R}`; `{0}` where it is empty."""
    text = "{X}" * x + (f"{{{generic}}}" if generic else "") + "".join(f"{{{colour}}}" for colour in colours)
    return text or "{0}"


def _legal(true: bool) -> str:
    return "legal" if true else "illegal"


def draw_mulligan(r: random.Random) -> Values:
    return {"n": r.randint(2, 5), "players": r.choice((2, 2, 3, 4, 5))}


def solve_mulligan(v: Mapping[str, Any]) -> Values:
    free = int(v["players"] > 2)
    return {"free": ("none", "one")[free], "counted": v["n"] - free, "hand": 7 - (v["n"] - free)}


def draw_starting_life(r: random.Random) -> Values:
    return {"variant": r.choice(list(VARIANTS)), "down": r.randint(1, 15), "up": r.randint(1, 12)}


def solve_starting_life(v: Mapping[str, Any]) -> Values:
    start, rule = VARIANTS[v["variant"]]
    return {"start": start, "rule": rule, "life": start - v["down"] + v["up"]}


def draw_draws_by_turn(r: random.Random) -> Values:
    return {"hand": r.randint(4, 7), "turn": r.randint(1, 4)}


def solve_draws_by_turn(v: Mapping[str, Any]) -> Values:
    return {"draws": v["turn"] - 1, "left": v["hand"] + v["turn"] - 1 - v["turn"]}


def draw_deck_size(r: random.Random) -> Values:
    return {
        "main": r.choice((58, 59, 60, 60, 61, 62, 75)),
        "side": r.choice((0, 10, 14, 15, 15, 16)),
        "copies": r.randint(3, 5),
    }


def solve_deck_size(v: Mapping[str, Any]) -> Values:
    return {"verdict": _legal(v["main"] >= 60 and v["side"] <= 15 and v["copies"] <= 4)}


def draw_mana_value(r: random.Random) -> Values:
    symbols = "".join(r.choices("WUBRG", k=r.randint(1, 3)))
    more = {"xs": r.choice((0, 1, 1, 2)), "stack": r.random() < 0.5, "chosen": r.randint(1, 5)}
    return {"generic": r.randint(0, 5), "colours": symbols} | more


def solve_mana_value(v: Mapping[str, Any]) -> Values:
    x = v["chosen"] if v["stack"] else 0
    where = f" on the stack with X = {v['chosen']}" if v["stack"] else " in a graveyard"
    value = v["generic"] + len(v["colours"]) + x * v["xs"]
    return {
        "cost": cost(v["generic"], v["colours"], v["xs"]),
        "x": x,
        "where": where if v["xs"] else "",
        "value": value,
    }


def draw_colours(r: random.Random) -> Values:
    return {
        "generic": r.randint(0, 6),
        "symbols": "".join(sorted(r.sample("WUBRG", r.randint(0, 4)), key="WUBRG".index)),
    }


def solve_colours(v: Mapping[str, Any]) -> Values:
    names = " and ".join(SYMBOLS[symbol] for symbol in v["symbols"]) or "colourless"
    return {"cost": cost(v["generic"], v["symbols"]), "names": names}


def draw_land_drops(r: random.Random) -> Values:
    more = r.randint(0, 4)
    return {"more": more, "played": r.randint(0, more + 1)}


def solve_land_drops(v: Mapping[str, Any]) -> Values:
    return {"total": 1 + v["more"], "left": 1 + v["more"] - v["played"]}


def draw_tap_ability(r: random.Random) -> Values:
    return {"when": r.choice(("this turn", "in an earlier turn")), "haste": r.choice(("has haste", "has no haste"))}


def solve_tap_ability(v: Mapping[str, Any]) -> Values:
    return {"verdict": _legal(v["when"] != "this turn" or v["haste"] == "has haste")}


def draw_owner_zone(r: random.Random) -> Values:
    things = ("a creature card", "a creature token", "an artifact card", "an enchantment card", "a Food token")
    events = ("destroyed", "exiled", "returned to hand", "sacrificed")
    return {"what": r.choice(things), "event": r.choice(events)}


def solve_owner_zone(v: Mapping[str, Any]) -> Values:
    zones = {
        "destroyed": "graveyard of {Q!}",
        "sacrificed": "graveyard of {Q!}",
        "exiled": "exile",
        "returned to hand": "hand of {Q!}",
    }
    return {"zone": "ceases to exist" if "token" in v["what"] else zones[v["event"]]}


def draw_graveyard_count(r: random.Random) -> Values:
    return {"start": r.randint(0, 12)} | {
        name: r.randint(1, 4) for name in ("resolved", "countered", "creatures", "tokens")
    }


def solve_graveyard_count(v: Mapping[str, Any]) -> Values:
    return {"count": v["start"] + v["resolved"] + v["countered"] + v["creatures"]}


def draw_next_step(r: random.Random) -> Values:
    step = r.choice(STEPS[1:-1])
    fights = step in STEPS[6:8] or step == STEPS[5] and r.random() < 0.5
    return {"step": step, "attackers": "creatures attack" if fights else "no creature attacks"}


def solve_next_step(v: Mapping[str, Any]) -> Values:
    following = STEPS[STEPS.index(v["step"]) + 1]
    skipped = v["step"] == "declare attackers step" and v["attackers"] == "no creature attacks"
    return {"next": "end of combat step" if skipped else following}


def draw_cleanup_discard(r: random.Random) -> Values:
    return {"hand": r.randint(5, 14), "change": r.choice(("+0", "+1", "+2", "-1", "-2", "-3"))}


def solve_cleanup_discard(v: Mapping[str, Any]) -> Values:
    maximum = 7 + int(v["change"])
    return {"maximum": maximum, "discards": max(0, v["hand"] - maximum)}


def draw_cleanup_damage(r: random.Random) -> Values:
    toughness, up = r.randint(1, 5), r.randint(2, 5)
    return {
        "power": r.randint(1, 6),
        "toughness": toughness,
        "up": up,
        "damage": r.randint(toughness, toughness + up - 1),
    }


def solve_cleanup_damage(v: Mapping[str, Any]) -> Values:
    return {}


def draw_total_cost(r: random.Random) -> Values:
    return {
        "generic": r.randint(1, 6),
        "colours": r.choice("WUBRG") * r.randint(1, 2),
        "more": r.randint(1, 3),
        "less": r.randint(1, 8),
    }


def solve_total_cost(v: Mapping[str, Any]) -> Values:
    left = max(0, v["generic"] + v["more"] - v["less"])
    return {"cost": cost(v["generic"], v["colours"]), "total": cost(left, v["colours"])}


def draw_loyalty_ability(r: random.Random) -> Values:
    return {
        "loyalty": r.randint(1, 7),
        "sign": r.choice("+--"),
        "cost": r.randint(1, 8),
        "before": r.choice(("none", "none", "none", "one")),
    }


def solve_loyalty_ability(v: Mapping[str, Any]) -> Values:
    after = v["loyalty"] + (v["cost"] if v["sign"] == "+" else -v["cost"])
    possible = v["before"] == "none" and after >= 0
    return {"verdict": _legal(possible), "after": after if possible else v["loyalty"]}


def draw_priority(r: random.Random) -> Values:
    return {"seat": r.randint(0, 3), "actor": r.randint(0, 3), "kind": r.choice(("resolves", "casts", "passes"))}


def solve_priority(v: Mapping[str, Any]) -> Values:
    actor, seats = v["actor"], "PQTS"
    event = {
        "resolves": f"A spell of {{{seats[actor]}!}} has just resolved",
        "casts": f"{{{seats[actor]}:has}} just cast a spell",
        "passes": f"A spell is on the stack, and {{{seats[actor]}:passes}}; others still have to pass",
    }[v["kind"]]
    who = {"resolves": v["seat"], "casts": actor, "passes": (actor + 1) % 4}[v["kind"]]
    return {"active": f"{{{seats[v['seat']]}!}}", "event": event, "who": f"{{{seats[who]}}}"}


def draw_exalted(r: random.Random) -> Values:
    return {"power": r.randint(1, 5), "toughness": r.randint(1, 5), "n": r.randint(2, 5)}


def solve_exalted(v: Mapping[str, Any]) -> Values:
    return {"newpower": v["power"] + v["n"], "newtoughness": v["toughness"] + v["n"]}


def draw_crew(r: random.Random) -> Values:
    return {"crew": r.randint(2, 6), "list": [r.randint(0, 4) for _ in range(r.randint(2, 3))]}


def solve_crew(v: Mapping[str, Any]) -> Values:
    total = sum(v["list"])
    return {"powers": " and ".join(map(str, v["list"])), "sum": total, "verdict": _legal(total >= v["crew"])}


def draw_delve(r: random.Random) -> Values:
    generic = r.randint(3, 8)
    return {"generic": generic, "colours": r.choice("UB") * r.randint(1, 2), "n": r.randint(2, generic)}


def solve_delve(v: Mapping[str, Any]) -> Values:
    return {"cost": cost(v["generic"], v["colours"]), "total": cost(v["generic"] - v["n"], v["colours"])}


def draw_giants(r: random.Random) -> Values:
    return {"life": r.choice((0, 1, 2, 5, 9, 14, 21)), "poison": r.randint(8, 17)}


def solve_giants(v: Mapping[str, Any]) -> Values:
    return {"verdict": "loses" if v["life"] <= 0 or v["poison"] >= 15 else "does not lose"}


def draw_four_players(r: random.Random) -> Values:
    return {"seat": r.randint(0, 3)}


def solve_four_players(v: Mapping[str, Any]) -> Values:
    stack = [f"{{{'PQTS'[(v['seat'] + turn) % 4]}!}}" for turn in range(4)]
    return {"active": stack[0], "order": " then ".join(reversed(stack))}


def draw_player_leaves(r: random.Random) -> Values:
    return {"own": r.randint(1, 6), "taken": r.randint(1, 3), "lent": r.randint(1, 3)}


def solve_player_leaves(v: Mapping[str, Any]) -> Values:
    return {"count": v["own"] + v["lent"]}


def draw_commander_tax(r: random.Random) -> Values:
    return {"generic": r.randint(1, 5), "colours": "".join(r.sample("WUBRG", r.randint(1, 3))), "n": r.randint(2, 6)}


def solve_commander_tax(v: Mapping[str, Any]) -> Values:
    return {"cost": cost(v["generic"], v["colours"]), "total": cost(v["generic"] + 2 * v["n"], v["colours"])}


def draw_commander_damage(r: random.Random) -> Values:
    return {"life": r.randint(1, 30), "one": r.randint(4, 24), "two": r.randint(4, 24)}


def solve_commander_damage(v: Mapping[str, Any]) -> Values:
    larger = max(v["one"], v["two"])
    return {"larger": larger, "verdict": "loses" if larger >= 21 else "does not lose"}


def draw_colour_identity(r: random.Random) -> Values:
    commander, colours = r.sample("WUBRG", r.randint(1, 3)), r.sample("WUBRG", r.randint(1, 2))
    more = {"generic": r.randint(1, 4), "text_symbol": r.choice(("", "", *"WUBRG"))}
    return {"commander": "".join(sorted(commander)), "colours": "".join(colours)} | more


def solve_colour_identity(v: Mapping[str, Any]) -> Values:
    own = set(v["colours"]) | set(v["text_symbol"])
    named = lambda symbols: " and ".join(SYMBOLS[s] for s in "WUBRG" if s in symbols)  # noqa: E731
    text = f" and {{{v['text_symbol']}}} in its text" if v["text_symbol"] else ""
    return {"identity": named(v["commander"]), "own": named(own), "cost": cost(v["generic"], v["colours"]),
            "text": text, "verdict": _legal(own <= set(v["commander"]))}  # fmt: skip
