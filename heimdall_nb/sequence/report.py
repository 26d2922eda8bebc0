"""The figures of a sequence: outcomes, tokens, what was dropped, and how much of the prompts was not read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from heimdall_nb.dataset.validation_report import table
from heimdall_nb.hardware import machine
from heimdall_nb.sequence.settings import Settings


def summary(records: Sequence[dict[str, Any]], settings: Settings) -> dict[str, Any]:
    """Totals of the records of `runner.run`, and a row for each.

    An answer counts from `settings.minimal` characters on. `reused` is the share of all prompt tokens, of all tries and
    summaries, that were in the cache already.
    """
    tries = [attempt for record in records for attempt in record["attempts"]]
    tries += [attempt for record in records if record["summary"] for attempt in record["summary"]["attempts"]]
    sent = [attempt for attempt in tries if attempt["outcome"] != "too_long"]
    prompt_tokens = sum(attempt["prompt_tokens"] for attempt in sent)
    reused = sum(attempt["reused_tokens"] for attempt in sent)
    return {
        "prompts": len(records),
        "answered": sum(len(record["text"].strip()) >= settings.minimal for record in records),
        "outcomes": dict(Counter(record["outcome"] for record in records)),
        "answered_tokens": sum(record["new_tokens"] for record in records),
        "prompt_tokens": prompt_tokens,
        "reused_tokens": reused,
        "reused": round(reused / prompt_tokens, 4) if prompt_tokens else 0.0,
        "tries": len(tries),
        "mended": dict(Counter(attempt.get("begins_with") for attempt in tries if attempt.get("begins_with"))),
        "seconds": round(sum(attempt["seconds"] for attempt in tries), 1),
        "settings": asdict(settings),
        "machine": machine(),
        "items": [_row(record) for record in records],
    }


def _row(record: dict[str, Any]) -> dict[str, Any]:
    shown = ("item", "outcome", "prompt_tokens", "reused_tokens", "new_tokens", "dropped", "cut", "seconds")
    return {name: record[name] for name in shown} | {"tries": len(record["attempts"])}


def text(found: dict[str, Any]) -> str:
    """The summary as lines for a terminal."""
    head = ["prompt", "outcome", "prompt tokens", "reused", "answer tokens", "tries", "dropped", "cut"]
    rows = [
        [
            row["item"],
            row["outcome"],
            row["prompt_tokens"],
            row["reused_tokens"],
            row["new_tokens"],
            row["tries"],
            len(row["dropped"]),
            row["cut"]["tokens"] if row["cut"] else 0,
        ]
        for row in found["items"]
    ]
    total, share = found["prompt_tokens"], f"{100 * found['reused']:.1f} %"
    return (
        f"{table(head, rows)}\n\n{found['answered']} of {found['prompts']} prompts are answered, with "
        f"{found['answered_tokens']:,} tokens.\n{share} of {total:,} prompt tokens were not read again."
    )
