"""One scored item as HTML: question, gold, answer, results, verdict; what differs is marked, not by colour alone."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from heimdall_nb import browser
from heimdall_nb.evaluation.errors import kinds
from heimdall_nb.evaluation.metrics import ItemScore

SHOWN_ROWS = 5  # of each sort: in both results, only in the gold's, only in the answer's
SHOWN_CHARACTERS = 120  # of one value
_PIECES = re.compile(r"'(?:\\.|[^'\\])*'|\w+|\s+|.", re.DOTALL)


def verdict(score: ItemScore) -> str:
    """Right, right by luck (the test suite tells it from the gold), or wrong."""
    return "wrong" if not score.ex else "right by luck" if score.ts is False else "right"


def error_kinds(score: ItemScore) -> tuple[str, ...]:
    """The kinds of error of an item that is not right, or right by luck; none for a right one."""
    return () if verdict(score) == "right" else kinds(score.gold, score.answer, None if score.ex else score)


def marked(text: str, other: str) -> str:
    """`text` as HTML, its pieces (words, quoted texts, signs) that `other` does not have at that place in <mark>."""
    mine, theirs = _PIECES.findall(text), _PIECES.findall(other)
    said = []
    for what, start, end, *_ in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        piece = html.escape("".join(mine[start:end]))
        said.append(f"<mark>{piece}</mark>" if what != "equal" and piece.strip() else piece)
    return "".join(said)


def results(score: ItemScore) -> str:
    """Both results as one HTML table: rows only in the gold's, rows only in the answer's, rows in both."""
    gold, rows = score.gold_rows, score.rows
    if gold is None:
        return ""
    if gold.columns == ("graph",):
        return f"<p>The gold query leaves a graph of {len(gold.rows)} nodes and relationships.</p>"
    if rows is None:
        return f"<p>Only the gold has a result.</p>{_table(gold.columns, [('gold', row) for row in gold.rows])}"
    if score.ex:
        said = "The same result" if score.ts is not False else "The same result on this graph, another one on a second"
        return f"<p>{said}: {len(gold.rows)} rows.</p>{_table(gold.columns, [('both', row) for row in gold.rows])}"
    left, right = Counter(map(_key, gold.rows)), Counter(map(_key, rows.rows))
    sorts = {"only gold": left - right, "only answer": right - left, "both": left & right}
    of_key = {_key(row): row for row in (*rows.rows, *gold.rows)}
    shown = [(name, of_key[key]) for name, keys in sorts.items() for key in list(keys.elements())[:SHOWN_ROWS]]
    counts = ", ".join(f"{keys.total()} {name}" for name, keys in sorts.items())
    order = " Their order differs." if left == right else ""
    return f"<p>Rows: {counts}.{order}</p>{_table(gold.columns, shown)}"


def _key(row: Sequence[Any]) -> str:
    return json.dumps(row, sort_keys=True, default=str, ensure_ascii=False)


def _table(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Any]]]) -> str:
    width = max((len(row) for _, row in rows), default=len(columns))
    names = [*columns, *[""] * (width - len(columns))]
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in ("in", *names))
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{html.escape(_short(v))}</td>' for v in row)}</tr>"
        for name, row in rows[: 3 * SHOWN_ROWS]
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"


def body(score: ItemScore) -> str:
    """What stands below an item's question: gold and answer with their differences marked, reason, hints, results."""
    said = [score.cause, score.message] if not score.ex else [verdict(score)]
    lines = {
        "verdict": ": ".join(filter(None, said)),
        "differs in": ", ".join(error_kinds(score)),
        "hints": "; ".join(score.hints),
    }
    told = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in lines.items() if text)
    return (
        f"<p>Gold</p><pre>{marked(score.gold, score.answer)}</pre>"
        f"<p>Answer</p><pre>{marked(score.answer, score.gold) or '(nothing)'}</pre><dl>{told}</dl>{results(score)}"
    )


def card(score: ItemScore) -> str:
    """One item for the browser: verdict and fields, question, body."""
    fields = [verdict(score), *error_kinds(score)[:1], score.part, score.category, score.graph, score.style]
    head = " · ".join(html.escape(text) for text in fields if text)
    return f"<article><p><small>{head}</small></p><p><b>{html.escape(score.question)}</b></p>{body(score)}</article>"


VIEW: browser.View[ItemScore] = browser.View(
    {
        "verdict": verdict,
        "kind": lambda score: next(iter(error_kinds(score)), ""),
        "graph": lambda score: score.graph,
        "category": lambda score: score.category,
        "part": lambda score: score.part,
    },
    lambda score: (score.question, score.gold, score.answer),
    card,
    lambda score: next(iter(error_kinds(score)), "right"),
    "item",
)


def browse(scores: Sequence[ItemScore]) -> Any:
    """Show a browser of scored items, with filters for verdict, kind of error, graph, category and part.

    Without a front end, one item of each kind of error is shown. Returns the widget or the HTML.
    """
    return browser.show(scores, VIEW)
