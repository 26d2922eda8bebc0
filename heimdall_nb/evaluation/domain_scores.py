"""The evaluation on examples of another domain (heimdall_nb/domains): answers scored by the domain's own metric."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.validation_report import table
from heimdall_nb.domains import domain, scores_of
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.answers import answer_examples
from heimdall_nb.evaluation.report import percent
from heimdall_nb.evaluation.statistics import bootstrap
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.run import atomic_text, write_json

_SHOWN = 200  # answers in the report


def evaluate(
    model: LanguageModel,
    examples: Sequence[Example],
    folder: Path,
    examples_name: str = "examples",
    max_new_tokens: int = 192,
    version: str = "",
) -> dict[str, Any]:
    """Ask `model` each question, score the answers, and write answers.jsonl, scores.json and report.html to `folder`.

    The summary has the mean score, exact matches, and the floor: what the most frequent gold answer reaches when it is
    given to every question. Raises BadInput for examples of several domains.
    """
    parts = sorted({example.part for example in examples})
    if len(parts) > 1:
        remedy = "Evaluate the examples of each part in a file of their own."
        raise BadInput(f"has examples of several domains: {', '.join(parts)}", examples_name, remedy)
    completions = answer_examples(model, examples, folder / "answers.jsonl", max_new_tokens, version)
    scores = scores_of(examples, [completion.text for completion in completions])
    found = summary(examples, completions, scores)
    found |= {"model": model.name, "examples": examples_name}
    items = [
        {"id": e.id, "category": e.category, "question": e.question, "gold": e.output, "answer": c.text, "score": s}
        for e, c, s in zip(examples, completions, scores, strict=True)
    ]
    write_json(folder / "scores.json", {"summary": found, "items": items})
    atomic_text(folder / "report.html", _page(found, items))
    return found


def summary(examples: Sequence[Example], completions: Sequence[Completion], scores: Sequence[float]) -> dict[str, Any]:
    """Mean score, exact matches and floor, each with its interval; the score of each category."""
    constant = Counter(example.output for example in examples).most_common(1)[0][0]
    exact = [float(normalise(e.output) == normalise(c.text)) for e, c in zip(examples, completions, strict=True)]
    groups: dict[str, list[float]] = {}
    for example, score in zip(examples, scores, strict=True):
        groups.setdefault(example.category, []).append(score)
    return {
        "domain": examples[0].part,
        "metric": domain(examples[0].part).metric,
        "items": len(examples),
        "score": rate(scores),
        "em": rate(exact),
        "floor": rate(scores_of(examples, [constant] * len(examples))),
        "category": {name: {"items": len(own), "score": rate(own)} for name, own in sorted(groups.items())},
        "outcomes": dict(sorted(Counter(completion.outcome for completion in completions).items())),
    }


def rate(values: Sequence[float]) -> dict[str, float]:
    """The mean of scores from 0 to 1 with its 95 % interval by bootstrap."""
    low, high = bootstrap(values)
    return {"value": sum(values) / len(values), "low": low, "high": high}


def text(found: Mapping[str, Any]) -> str:
    """The summary as text for a terminal."""
    rows = [(f"score: {found['metric']}", percent(found["score"])), ("exact match, EM", percent(found["em"]))]
    rows.append(("floor (constant answer)", percent(found["floor"])))
    groups = [(name, group["items"], percent(group["score"])) for name, group in found["category"].items()]
    head = f"{found['model']} on {found['examples']} (domain {found['domain']}): {found['items']} items"
    outcomes = table(("outcome", "items"), found["outcomes"].items())
    return "\n\n".join([head, table(("score", "value"), rows), table(("category", "items", "score"), groups), outcomes])


def _page(found: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> str:
    """The report: the summary, then question, gold and answer of each item, the worst first."""
    ranked = sorted(items, key=lambda item: item["score"])[:_SHOWN]
    cells = [
        [f"{item['score']:.2f}", *(item[key] for key in ("category", "question", "gold", "answer"))] for item in ranked
    ]
    rows = "\n".join(
        "<tr>" + "".join(f"<td><pre>{html.escape(cell)}</pre></td>" for cell in row) + "</tr>" for row in cells
    )
    names = "".join(f'<th scope="col">{name}</th>' for name in ("score", "category", "question", "gold", "answer"))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(found["examples"])}</title>'
        "<style>body{font-family:sans-serif}td{vertical-align:top;border:1px solid #ccc}"
        "pre{white-space:pre-wrap}</style>"
        f"<h1>{html.escape(found['model'])}: {html.escape(found['domain'])}</h1><pre>{html.escape(text(found))}</pre>"
        f"<h2>Answers, the worst first</h2><table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table></html>\n"
    )
