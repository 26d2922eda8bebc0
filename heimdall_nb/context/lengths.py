"""The profile of a file's lengths: counted, summed up, written as table, histogram and records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from heimdall_nb.context import outcomes, profile
from heimdall_nb.context.items import Items
from heimdall_nb.context.outcomes import END, Limits
from heimdall_nb.errors import BadInput
from heimdall_nb.memory import shape_of
from heimdall_nb.memory.parts import markdown
from heimdall_nb.run import atomic_text, write_json, write_lines

USUAL_ANSWER = 192  # tokens, where a file has no answers: the longest that the course's notebooks allow
SHOWN = 5  # items that the text names; the records name all


def measure(
    items: Items,
    tokenise: profile.Tokenise,
    max_length: int,
    context: int = 0,
    max_new_tokens: int = 0,
    share: float = 1.0,
    declared: int | None = None,
    counts: profile.Counts | None = None,
) -> dict[str, Any]:
    """All figures of a file: `parts`, `shares` by part and size, `recommended`, `records` item by item, `skipped`.

    `max_length` is a training row's, `context` inference's (0: the recommended one), `max_new_tokens` the longest
    answer's (0: the longest one of the file with its end), all in tokens. `share` and `declared` as `profile.recommend`
    has them, `tokenise` and `counts` as `profile.lengths`. Raises BadInput when no context size is large enough.
    """
    found = profile.lengths(tokenise, items.examples, counts)
    whole = [p + a + END for p, a in zip(found["prompt"], found["answer"], strict=True)]
    longest = max(found["answer"])
    new = max_new_tokens or (longest + END if longest else USUAL_ANSWER)
    advice = profile.recommend(found["prompt"], new, declared, share=share)
    limits = Limits(max_length, context or advice.context, new)
    records = outcomes.of_items(items, found, limits)
    columns = found | {"prompt and answer": whole}
    return {
        "form": items.form,
        "items": len(items.examples),
        "parts": [row for row in profile.summary(columns) if row["max"]],
        "shares": {part: profile.shares(values, 0) for part, values in columns.items() if max(values)},
        "recommended": {"context": advice.context, "reason": advice.reason},
        "limits": vars(limits),
        "training": _counted(r["training"] for r in records),
        "inference": _counted(str(r["inference"]).split(" after")[0] for r in records),
        "skipped": [{"line": line, "why": why} for line, why in items.skipped],
        "records": records,
    }


def text(found: Mapping[str, Any]) -> str:
    """The figures as tables and sentences; items that lose something are named, the first few of them."""
    shares = [{"within": part} | {f"{n:,}": f"{s:.2%}" for n, s in of.items()} for part, of in found["shares"].items()]
    limits = found["limits"]
    lost = outcomes.affected(found["records"])
    lines = [
        f"{found['items']:,} items ({found['form']}), tokens:\n",
        markdown(found["parts"]),
        f"\n{markdown(shares)}",
        f"\nRecommended context: {found['recommended']['context']:,} tokens. {found['recommended']['reason']}",
        f"Training, rows of {limits['max_length']:,} tokens: {_listed(found['training'])}.",
        f"Inference, context {limits['context']:,}, answers of at most {limits['max_new_tokens']:,} tokens: "
        f"{_listed(found['inference'])}.",
    ]
    lines += [f"  line {r['line']}: training {r['training']}, inference {r['inference']}" for r in lost[:SHOWN]]
    if len(lost) > SHOWN:
        lines.append(f"  and {len(lost) - SHOWN:,} more; --output writes them all.")
    if found["skipped"]:
        first = found["skipped"][0]
        lines.append(f"{len(found['skipped']):,} lines not counted; line {first['line']}: {first['why']}.")
    return "\n".join(lines)


def write(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """`lengths.md`, `lengths.json`, `lengths.png` and `items.jsonl` in a folder; returns their paths."""
    short = {name: value for name, value in found.items() if name != "records"}
    picture = folder / "lengths.png"
    alt = f"Histogram of tokens of {found['items']:,} items, with the recommended {found['recommended']['context']:,}"
    return [
        atomic_text(folder / "lengths.md", f"# Token lengths\n\n![{alt}]({picture.name})\n\n{text(found)}\n"),
        write_json(folder / "lengths.json", short),
        write_lines(folder / "items.jsonl", (json.dumps(record) for record in found["records"])),
        histogram(found, picture),
    ]


def histogram(found: Mapping[str, Any], path: Path) -> Path:
    """How many items have how many tokens: of the prompt, and of prompt and answer; the sizes as lines."""
    import numpy as np

    from heimdall_nb import plots

    records = found["records"]
    kinds = {
        "prompt": [r["prompt"] for r in records],
        "prompt and answer": [r["prompt"] + r["answer"] for r in records],
    }
    context, most = found["recommended"]["context"], max(kinds["prompt and answer"])
    edges = np.linspace(0, max(most, 1) * 1.02, 50)
    fig, axes = plots.figure("Lengths of prompts and answers", "tokens", "items")
    for (name, values), colour in zip(kinds.items(), plots.COLOURS, strict=False):
        axes.hist(values, edges, histtype="step", linewidth=1.6, color=colour, label=name)
    if context <= 2 * most:
        axes.axvline(context, color=plots.COLOURS[4], linestyle="--", label=f"recommended {context:,}")
    axes.legend()
    return plots.save(fig, path)


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def declared_context(model: str) -> int | None:
    """The context that a model was made for; None where its shape is not known."""
    try:
        return shape_of(model).context
    except BadInput:
        return None
