"""Scores as tables and figures for a notebook, and the failures as plain records that can be browsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_nb.evaluation.claims import beside, source
from heimdall_nb.evaluation.errors import KINDS, Analysis
from heimdall_nb.evaluation.metrics import CAUSES, ItemScore
from heimdall_nb.evaluation.statistics import mcnemar

SHOWN = ("graph", "question", "gold", "answer", "cause", "message")
SHOWN_CHARACTERS = 240
MEASURES = {"va": "VA", "ex": "EX", "ts": "TS", "em": "EM"}


def percent(rate: Mapping[str, float] | None) -> str:
    """A share with its interval, e.g. `41.7 % (32.6-51.3)`; a dash where it was not measured."""
    if rate is None:
        return "-"
    return f"{100 * rate['value']:.1f} % ({100 * rate['low']:.1f}-{100 * rate['high']:.1f})"


def _rates(summary: Mapping[str, Any]) -> dict[str, str]:
    return {said: percent(summary[name]) for name, said in MEASURES.items() if summary.get(name) is not None}


def table(summaries: Mapping[str, Mapping[str, Any]]) -> Any:
    """One row a model: VA, EX, TS, EM with intervals, tokens and seconds (a pandas DataFrame)."""
    import pandas as pd

    rows = {
        name: {
            "items": s["items"],
            **_rates(s),
            "tokens read": s["tokens"]["prompt"],
            "tokens written": s["tokens"]["new"],
            "seconds": round(s["seconds"]["total"], 1),
        }
        for name, s in summaries.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model").fillna("-")


def groups(summary: Mapping[str, Any], by: str) -> Any:
    """The scores of each category, graph, … (`by`), the hardest first (a pandas DataFrame)."""
    import pandas as pd

    ranked = sorted(summary[by].items(), key=lambda item: (item[1]["ex"]["value"], item[0]))
    rows = {name or "(none)": {"items": g["items"], **_rates(g)} for name, g in ranked}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by.replace("_", " ")).fillna("-")


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

    kept = [
        {name: _cut(text) for name, text in record.items()}
        for cause in CAUSES
        if cause != "right"
        for record in failures(scores, cause)[:each]
    ]
    return pd.DataFrame(kept, columns=["cause", "question", "answer", "gold", "message"])


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"


def error_kinds(analysis: Analysis) -> Any:
    """Each kind of error: what it means, for how many failures it counts, how many show it (a pandas DataFrame)."""
    import pandas as pd

    counts, mentions = analysis.counts(), analysis.mentions()
    rows = {
        name: {"counts for": counts.get(name, 0), "shown by": mentions[name], "meaning": KINDS[name]}
        for name in sorted(mentions, key=lambda name: (-counts.get(name, 0), list(KINDS).index(name)))
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["counts for", "shown by", "meaning"])
    return frame.rename_axis("kind of error")


def examples_of_kinds(analysis: Analysis, each: int = 1) -> Any:
    """The first `each` failures of every kind of error, long texts cut (a pandas DataFrame)."""
    import pandas as pd

    rows = [
        {
            "kind of error": name,
            "question": _cut(f.score.question),
            "gold": _cut(f.score.gold),
            "answer": _cut(f.score.answer),
        }
        for name, found in analysis.examples(each).items()
        for f in found
    ]
    return pd.DataFrame(rows, columns=["kind of error", "question", "gold", "answer"])


def confusion(analysis: Analysis) -> Any:
    """Rows: what a question needs; columns: how many ask it, how many are wrong, and the kinds (a pandas DataFrame)."""
    import pandas as pd

    columns = ["questions", "wrong", *analysis.counts()]
    frame = pd.DataFrame.from_dict(analysis.confusion(), orient="index", columns=columns)
    return frame.rename_axis("the question needs")


def confusion_figure(frame: Any, title: str = "Which error where") -> Any:
    """A heat map of `confusion`: the share of a row's questions that fail by each kind, each cell with its number."""
    from heimdall_nb import plots

    kinds = [name for name in frame.columns if name not in ("questions", "wrong")]
    size = (2.6 + 0.5 * max(1, len(kinds)), 1.6 + 0.3 * max(1, len(frame)))
    fig, axes = plots.figure(title, "kind of error", "the question needs", size=size)
    shares = frame[kinds].div(frame["questions"], axis=0).to_numpy(dtype=float)
    top = max(0.01, float(shares.max())) if shares.size else 1.0
    if shares.size:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    for row, name in enumerate(frame.index):
        for column, kind in enumerate(kinds):
            if number := int(frame.loc[name, kind]):
                colour = "white" if shares[row, column] > 0.6 * top else "black"
                axes.text(column, row, str(number), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(kinds)), kinds, rotation=55, ha="right", fontsize=8)
    labels = [f"{name} ({wrong} of {n})" for name, n, wrong in frame[["questions", "wrong"]].itertuples()]
    axes.set_yticks(range(len(frame)), labels, fontsize=8)
    axes.grid(visible=False)
    return fig


def confusion_text(frame: Any) -> str:
    """The heat map in words, for those who cannot see it: the largest cell of each of the three worst rows."""
    kinds = [name for name in frame.columns if name not in ("questions", "wrong")]
    if not kinds:
        return "No answer is wrong."
    ranked = frame.assign(share=frame["wrong"] / frame["questions"]).sort_values(
        "share", ascending=False, kind="stable"
    )
    said = [
        f"{name}: {int(row['wrong'])} of {int(row['questions'])} wrong, most by {max(kinds, key=lambda k: row[k])}"
        for name, row in ranked.head(3).iterrows()
    ]
    return "Heat map of errors by what the question needs. The three hardest needs: " + "; ".join(said) + "."


def hints(scores: Sequence[ItemScore]) -> Any:
    """How many answers each rule of the linter remarks on, with one reason, the most frequent first (a DataFrame)."""
    import pandas as pd

    return pd.DataFrame(hint_rows(scores), columns=["hint", "answers", "for example"]).set_index("hint")


def hint_rows(scores: Sequence[ItemScore]) -> list[tuple[str, int, str]]:
    """(rule, number of answers, one reason) of each rule of the linter, the most frequent first."""
    found: dict[str, list[str]] = {}
    for score in scores:
        reasons = dict(hint.partition(": ")[::2] for hint in score.hints)
        for rule, reason in reasons.items():
            found.setdefault(rule, []).append(reason)
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(rule, len(reasons), reasons[0]) for rule, reasons in ranked]


def claims(summary: Mapping[str, Any]) -> Any:
    """The figures that were promised beside ours, with how ours are measured (a pandas DataFrame)."""
    import pandas as pd

    rows = [
        {
            "what": c.title,
            source(): c.claimed,
            "measured here": c.ours,
            "measured as": c.measured_as,
            "beware": c.caution,
        }
        for c in beside(summary)
    ]
    return pd.DataFrame(rows).set_index("what")
