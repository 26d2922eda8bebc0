"""Questions about tournaments: penalties, points, tiebreakers, the end of a match. Same form as calculations.py."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from heimdall_nb.domains.mtg.cards import table

Values = dict[str, Any]
LEVELS = ("Competitive", "Professional")


def draw_infraction(r: random.Random) -> Values:
    infractions = table("topics")["infractions"]
    which = r.randrange(len(infractions))
    story = r.randrange(len(infractions[which]["stories"]))
    return {"which": which, "story_number": story, "before": r.choice((0, 1, 2, 3)), "rel": r.choice(LEVELS)}


def solve_infraction(v: Mapping[str, Any]) -> Values:
    found = table("topics")["infractions"][v["which"]]
    upgrade, part = table("topics")["upgrades"][found["class"]]
    limit = {"play": 2, "tournament": 1, "conduct": 1}.get(
        found["class"], 99
    )  # earlier penalties from which it is a Game Loss
    penalty = "Game Loss" if v["before"] >= limit else found["penalty"]
    return {
        "story": found["stories"][v["story_number"]],
        "infraction": found["name"],
        "rule": found["rule"],
        "base": found["penalty"],
        "count": v["before"] + 1,
        "upgrade": upgrade.replace("{count}", str(v["before"] + 1)),
        "part": part,
        "penalty": penalty,
    }


def draw_tardiness(r: random.Random) -> Values:
    return {"minutes": r.randint(2, 18), "round": r.randint(1, 9), "rel": r.choice(LEVELS)}


def solve_tardiness(v: Mapping[str, Any]) -> Values:
    return {"penalty": "Match Loss" if v["minutes"] >= 10 else "Game Loss"}


def draw_match_points(r: random.Random) -> Values:
    return {"wins": r.randint(0, 7), "draws": r.randint(0, 3), "losses": r.randint(0, 4)}


def solve_match_points(v: Mapping[str, Any]) -> Values:
    return {"rounds": v["wins"] + v["draws"] + v["losses"], "points": 3 * v["wins"] + v["draws"]}


def draw_win_percentage(r: random.Random) -> Values:
    return {"wins": r.randint(0, 6), "draws": r.randint(0, 2), "losses": r.randint(1, 5)}


def solve_win_percentage(v: Mapping[str, Any]) -> Values:
    points, most = 3 * v["wins"] + v["draws"], 3 * (v["wins"] + v["draws"] + v["losses"])
    hundredths = max(33, (200 * points + most) // (2 * most))  # rounded half up, in whole numbers
    return {"points": points, "most": most, "percentage": f"{hundredths // 100}.{hundredths % 100:02d}"}


def draw_additional_turns(r: random.Random) -> Values:
    team = r.random() < 0.25
    return {"team": team, "n": r.randint(1, 6)}


def solve_additional_turns(v: Mapping[str, Any]) -> Values:
    turns = 3 if v["team"] else 5
    who = "nobody" if v["n"] > turns else ("{Q!}" if v["n"] % 2 else "{P!}")
    kind = "it is a Two-Headed Giant match, each named for a team" if v["team"] else "it is a match of one against one"
    return {"turns": turns, "who": who, "kind": kind}


def draw_result_at_time(r: random.Random) -> Values:
    mine, theirs = r.choice(((1, 0), (0, 1), (1, 1), (0, 0)))
    return {"mine": mine, "theirs": theirs}


def solve_result_at_time(v: Mapping[str, Any]) -> Values:
    if v["mine"] == v["theirs"]:
        return {"result": "draw"}
    return {"result": "won by {P!}" if v["mine"] > v["theirs"] else "won by {Q!}"}


def draw_elimination_tie(r: random.Random) -> Values:
    return {"games": r.randint(0, 1), "mine": r.randint(1, 20), "theirs": r.randint(1, 20)}


def solve_elimination_tie(v: Mapping[str, Any]) -> Values:
    if v["mine"] == v["theirs"]:
        return {"result": "goes on"}
    return {"result": "won by {P!}" if v["mine"] > v["theirs"] else "won by {Q!}"}


def draw_swiss_rounds(r: random.Random) -> Values:
    return {"players": r.randint(17, 409)}


def solve_swiss_rounds(v: Mapping[str, Any]) -> Values:
    low, high, rounds = next(row for row in table("topics")["swiss"] if row[0] <= v["players"] <= row[1])
    return {"low": low, "high": high, "rounds": rounds}
