"""The report of an evaluation: one HTML page that needs no network and no script, with every item in it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heimdall_nb.evaluation import cards, report, runtime
from heimdall_nb.evaluation.claims import beside, source
from heimdall_nb.evaluation.errors import KINDS, Analysis, analyse
from heimdall_nb.evaluation.metrics import GROUPS, ItemScore
from heimdall_nb.pages import PAGE, STYLE
from heimdall_nb.run import atomic_text

_SCORES = {
    "va": ("VA", "valid answers: they parse, name only what exists, and run"),
    "ex": ("EX", "execution accuracy: the gold's result on the item's graph; a write leaves the gold's graph"),
    "ts": ("TS", "test-suite accuracy: the gold's result on every graph of a suite that tells near misses apart"),
    "em": ("EM", "exact match: the gold query but for spaces and the case of keywords"),
    "floor": ("floor", "EX of the best answer that is the same for every question"),
}


def write(scores: Sequence[ItemScore], summary: Mapping[str, Any], path: Path) -> Path:
    """Write the report of `scores` and their `summary` (`metrics.summary`, or `evaluate`'s with more) to `path`."""
    analysis = analyse(scores)
    model, examples = summary.get("model", "a model"), summary.get("examples", "a set of examples")
    title = f"Evaluation of {model} on {examples}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        _headline(summary),
        _claims(summary),
        _groups(summary),
        _causes(summary, analysis),
        _confusion(analysis),
        _hints(scores),
        _speed(summary),
        _items(scores),
    ]
    navigation = "".join(f'<a href="#{name}">{_text(said)}</a>' for name, said in _SECTIONS.items())
    return atomic_text(
        path,
        PAGE.format(
            title=_text(title),
            style=STYLE,
            navigation=f'<nav aria-label="Sections">{navigation}</nav>',
            body="".join(parts),
        ),
    )


_SECTIONS = {
    "scores": "Scores",
    "claims": "Claims",
    "groups": "Groups",
    "errors": "Errors",
    "confusion": "Which error where",
    "hints": "Hints",
    "speed": "Speed",
    "items": "Every item",
}


def _text(value: object) -> str:
    return html.escape(str(value))


def _section(name: str, *parts: str) -> str:
    return f'<section id="{name}"><h2>{_text(_SECTIONS[name])}</h2>{"".join(parts)}</section>'


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> str:
    def cell(value: object) -> str:
        return f'<td class="number">{value}</td>' if isinstance(value, int | float) else f"<td>{_text(value)}</td>"

    names = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    body = "".join(f'<tr><th scope="row">{_text(first)}</th>{"".join(map(cell, rest))}</tr>' for first, *rest in rows)
    said = f"<caption>{_text(caption)}</caption>" if caption else ""
    return f"<table>{said}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def _headline(summary: Mapping[str, Any]) -> str:
    rows = [
        (said, report.percent(summary.get(name)), what) for name, (said, what) in _SCORES.items() if name in summary
    ]
    form = "of the answers in the form of NornicDB's server: one JSON action"
    rows += [(said, report.percent(value), form) for said, value in runtime.rows(summary.get("actions", {}))]
    missing = (
        "" if summary.get("ts") is not None else _text(summary.get("ts_missing", "TS: no suite for these graphs."))
    )
    return _section(
        "scores",
        f"<p>{_text(summary['items'])} items. Every item counts in every score, so TS ≤ EX ≤ VA; this was checked item "
        "by item. In brackets: the 95 % Wilson interval.</p>",
        _table(("score", "value", "meaning"), rows),
        f"<p>{missing}</p>" if missing else "",
        _similarity(summary),
    )


def _similarity(summary: Mapping[str, Any]) -> str:
    found = summary.get("similarity") or {}
    if "reason" in found:
        return f"<p>Semantic similarity was not computed: {_text(found['reason'])}.</p>"
    if "mean" not in found:
        return ""
    return (
        f"<p>Semantic similarity of answer and gold: mean cosine {found['mean']:.3f}; of wrong answers "
        f"{found['wrong']:.3f}. It says how alike two texts sound, not whether one is right.</p>"
        if found.get("wrong") is not None
        else f"<p>Semantic similarity of answer and gold: mean cosine {found['mean']:.3f}.</p>"
    )


def _claims(summary: Mapping[str, Any]) -> str:
    rows = [(c.title, c.claimed, c.ours, c.verdict, c.measured_as, c.caution) for c in beside(summary)]
    return _section(
        "claims",
        f"<p>The figures claimed are {_text(source())}; beside them is what was measured here. These are claims: no "
        "test set, number of items or machine stands behind them, so they cannot be checked, and ours can.</p>",
        _table(("what", "claimed", "measured here", "ours is", "measured as", "beware"), rows),
    )


def _groups(summary: Mapping[str, Any]) -> str:
    tables = []
    for name in GROUPS:
        frame = report.groups(summary, name)
        perplexity = (summary.get("perplexity") or {}).get(name, {})
        if perplexity:
            frame = frame.assign(
                perplexity=[round(perplexity[key], 3) if key in perplexity else "-" for key in frame.index]
            )
        rows = [(key, *row) for key, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)]
        said = name.replace("_", " ")
        tables.append(f"<h3>By {said}</h3>{_table((said, *frame.columns), rows)}")
    set_name = f"<p>Split: {_text(summary['split'])}.</p>" if summary.get("split") else ""
    return _section("groups", set_name, *tables)


def _causes(summary: Mapping[str, Any], analysis: Analysis) -> str:
    causes = [(name, count) for name, count in summary["causes"].items() if name != "right"]
    counts, mentions = analysis.counts(), analysis.mentions()
    kinds = [(name, counts.get(name, 0), number, KINDS[name]) for name, number in mentions.items()]
    lucky = sum(failure.lucky for failure in analysis.failures)
    shown = "".join(
        f"<h3>{_text(name)}</h3>" + "".join(_item(f.score) for f in found)
        for name, found in analysis.examples(each=2).items()
    )
    return _section(
        "errors",
        "<p>What the engine and the checks say of the answers that are not right, one cause an item:</p>",
        _table(("cause", "items"), causes) if causes else "<p>None is wrong.</p>",
        "<p>In what they differ from the gold query, told from both syntax trees. An answer can differ in several "
        "ways: the first kind of this table that it shows counts."
        + (f" Right by luck, which only the test suite shows: {lucky}." if lucky else "")
        + "</p>",
        _table(("kind", "counts for", "shown by", "meaning"), kinds) if kinds else "",
        shown,
    )


def _confusion(analysis: Analysis) -> str:
    found = analysis.confusion()
    kinds = list(analysis.counts())
    head = "".join(
        f'<th scope="col">{_text(name)}</th>' for name in ("the question needs", "questions", "wrong", *kinds)
    )
    body = ""
    for need, row in found.items():
        cells = "".join(_shaded(row[kind], row["questions"]) for kind in kinds)
        numbers = f'<td class="number">{row["questions"]}</td><td class="number">{row["wrong"]}</td>'
        body += f'<tr><th scope="row">{_text(need)}</th>{numbers}{cells}</tr>'
    return _section(
        "confusion",
        "<p>Rows: what the question needs, told from the gold query; a question stands in each row that fits. Columns: "
        "the kind of error that counts. The darker a cell, the larger its share of the row's questions.</p>",
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
    )


def _shaded(number: int, of: int) -> str:
    """A cell whose blue is its share of the row, pale enough for black text."""
    light = 97 - round(35 * min(1.0, number / max(1, of)))
    return f'<td class="number" style="background: hsl(212 80% {light}%)">{number or ""}</td>'


def _hints(scores: Sequence[ItemScore]) -> str:
    rows = report.hint_rows(scores)
    return _section(
        "hints",
        "<p>What a linter says of the answers' speed, right or wrong. A hint is no error.</p>",
        _table(("hint", "answers", "for example"), rows) if rows else "<p>None.</p>",
    )


def _speed(summary: Mapping[str, Any]) -> str:
    seconds, tokens = summary["seconds"], summary["tokens"]
    perplexity = (summary.get("perplexity") or {}).get("all")
    rows = [
        ("median seconds an answer", f"{seconds['median']:.3f}"),
        ("95th percentile", f"{seconds['p95']:.3f}"),
        ("all answers, seconds", f"{seconds['total']:.1f}"),
        ("tokens read", f"{tokens['prompt']:,}"),
        ("tokens written", f"{tokens['new']:,}"),
        ("tokens written a second", f"{summary['tokens_per_second']:,.1f}"),
        ("perplexity of the gold answers, a token", f"{perplexity:.3f}" if perplexity is not None else "not computed"),
    ]
    return _section("speed", "<p>On the machine that made this report.</p>", _table(("what", "value"), rows))


def _items(scores: Sequence[ItemScore]) -> str:
    ranked = sorted(scores, key=lambda s: (cards.verdict(s) == "right", s.part, s.graph, s.id))
    return _section("items", "<p>What is not right comes first. Open an item to see it.</p>", *map(_item, ranked))


def _item(score: ItemScore) -> str:
    kind = next(iter(cards.error_kinds(score)), "")
    head = " · ".join(_text(text) for text in (cards.verdict(score), kind, score.graph, score.category) if text)
    return f"<details><summary>{head}: {_text(score.question)}</summary>{cards.body(score)}</details>"
