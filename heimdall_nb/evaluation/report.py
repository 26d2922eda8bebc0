"""Scores as tables for a notebook, and the failures as plain records that can be browsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_nb.evaluation.metrics import CAUSES, ItemScore
from heimdall_nb.evaluation.statistics import mcnemar

SHOWN = ("graph", "question", "gold", "answer", "cause", "message")
SHOWN_CHARACTERS = 240


def percent(rate: Mapping[str, float]) -> str:
    """A share with its interval, e.g. `41.7 % (32.6-51.3)`."""
    return f"{100 * rate['value']:.1f} % ({100 * rate['low']:.1f}-{100 * rate['high']:.1f})"


def table(summaries: Mapping[str, Mapping[str, Any]]) -> Any:
    """One row a model: VA, EX, EM with intervals, tokens and seconds (a pandas DataFrame)."""
    import pandas as pd

    rows = {
        name: {
            "items": s["items"],
            "VA": percent(s["va"]),
            "EX": percent(s["ex"]),
            "EM": percent(s["em"]),
            "tokens read": s["tokens"]["prompt"],
            "tokens written": s["tokens"]["new"],
            "seconds": round(s["seconds"]["total"], 1),
        }
        for name, s in summaries.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def groups(summary: Mapping[str, Any], by: str) -> Any:
    """VA and EX of each category or graph (`by`), the hardest first (a pandas DataFrame)."""
    import pandas as pd

    ranked = sorted(summary[by].items(), key=lambda item: (item[1]["ex"]["value"], item[0]))
    rows = {name: {"items": g["items"], "VA": percent(g["va"]), "EX": percent(g["ex"])} for name, g in ranked}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)


def verdict(name: str, scores: Sequence[ItemScore], other: str, others: Sequence[ItemScore]) -> str:
    """What two models' EX on the same items says, in a sentence: the counts, and McNemar's p against chance."""
    paired = mcnemar([s.ex for s in scores], [s.ex for s in others])
    right, right_other = sum(s.ex for s in scores), sum(s.ex for s in others)
    counts = f"{name} is right on {right} of {len(scores)} questions, {other} on {right_other}"
    split = f"{paired.only_first} only the first has right and {paired.only_second} only the second"
    if paired.p >= 0.05:
        return f"{counts} ({split}; p = {paired.p:.2g}): these questions do not show that one is better."
    better = name if right > right_other else other
    return f"{counts} ({split}; p = {paired.p:.2g}): {better} is better, and chance alone would rarely say so."


def failures(scores: Sequence[ItemScore], cause: str = "", graph: str = "") -> list[dict[str, str]]:
    """The items that are not right, as records with SHOWN as keys; only those of one `cause` or `graph` if given."""
    wrong = [s for s in scores if not s.ex and cause in ("", s.cause) and graph in ("", s.graph)]
    wrong.sort(key=lambda s: (CAUSES.index(s.cause), s.graph, s.id))
    return [{name: getattr(s, name) for name in SHOWN} for s in wrong]


def examples_of_causes(scores: Sequence[ItemScore], each: int = 1) -> Any:
    """The first `each` failures of every cause, long texts cut (a pandas DataFrame)."""
    import pandas as pd

    def cut(record: dict[str, str]) -> dict[str, str]:
        return {
            name: text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"
            for name, text in record.items()
        }

    kept = [cut(record) for cause in CAUSES for record in failures(scores, cause)[:each] if cause != "right"]
    return pd.DataFrame(kept, columns=["cause", "question", "answer", "gold", "message"])
