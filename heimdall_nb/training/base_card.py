"""The model card of a base model: what it is, how it was made, what it scores, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heimdall_nb.run import DATA

CARD = DATA / "base_card.md"
_SETS = {
    "graph": "graphs that no training has",
    "iid": "graphs of the course; the base has not met them",
    "template": "shapes of query that no training has",
    "style": "a style of question that no training has",
}


def card(facts: Mapping[str, Any], scores: Mapping[str, Mapping[str, Any]]) -> str:
    """The card as Markdown: data/base_card.md filled from `training.json` and from scores by set (may be empty).

    A name like `graph, 3 solved examples` is a set asked in another way.
    """
    last = facts["evaluations"][-1] if facts["evaluations"] else {}
    values = (
        facts["config"] | facts["corpus"] | {name: facts[name] for name in ("parameters", "vocabulary", "precision")}
    )
    return CARD.read_text(encoding="utf-8").format_map(
        values
        | {
            "machine": facts["machine"],
            "hours": facts["timing"]["seconds"] / 3600,
            "millions": facts["tokens"] / 1e6,
            "speed": facts["timing"]["tokens_per_second"],
            "first": last.get("exact_match", 0.0),
            "later": last.get("exact_match_later", 0.0),
            "kinds": ", ".join(f"{kind} {share:.1%}" for kind, share in last.get("kinds", {}).items()),
            "scores": _scores(scores),
            "note": f" {facts['note']}" if facts.get("note") else "",
        }
    )


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> str:
    if not scores:
        return "Not measured yet: `python tools/score_base.py FOLDER` does it."
    rows = [
        f"| {name} | {_SETS.get(name.split(',')[0], '')} | {found['items']} | {_interval(found['ex'])} | "
        f"{found['va']['value']:.1%} | {found['floor']['value']:.1%} |"
        for name, found in scores.items()
    ]
    return "\n".join(["| set | what | items | EX | VA | floor |", "|---|---|---|---|---|---|", *rows])


def _interval(found: Mapping[str, Any]) -> str:
    return f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%})"
