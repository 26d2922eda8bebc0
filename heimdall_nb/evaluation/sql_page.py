"""The report of an evaluation of text to SQL: one HTML page that needs no network and no script, with every item."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from heimdall_nb.evaluation import cards
from heimdall_nb.evaluation.metrics import ItemScore
from heimdall_nb.evaluation.sql_scores import explain
from heimdall_nb.pages import PAGE, STYLE
from heimdall_nb.run import atomic_text

_LUCK = "Right on the first database by luck: a database of the suite tells the answer from the gold."


def write(scores: Sequence[ItemScore], summary: str, title: str, path: Path) -> Path:
    """Write the report of `scores` to `path`; `summary` is their summary as text."""
    counts = Counter(map(cards.verdict, scores))
    told = ", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items()))
    ranked = sorted(scores, key=lambda score: (cards.verdict(score) == "right", score.category, score.id))
    body = f"<h1>{html.escape(title)}</h1><pre>{html.escape(summary)}</pre>"
    body += f"<h2>Every item</h2><p>{told}; what is not right comes first.</p>{''.join(map(_item, ranked))}"
    return atomic_text(path, PAGE.format(title=html.escape(title), style=STYLE, navigation="", body=body))


def _item(score: ItemScore) -> str:
    verdict = cards.verdict(score)
    said = _LUCK if verdict == "right by luck" else explain(score)
    return (
        f"<details><summary>{verdict} · {html.escape(score.category)}: {html.escape(score.question)}</summary>"
        f"<p>{html.escape(said)}</p><p>Gold</p><pre>{cards.marked(score.gold, score.answer)}</pre>"
        f"<p>Answer</p><pre>{cards.marked(score.answer, score.gold) or '(nothing)'}</pre></details>"
    )
