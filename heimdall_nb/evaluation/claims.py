"""What was promised before anything was measured, beside what is measured: claims are shown as claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.run import DATA


@dataclass(frozen=True)
class Claim:
    """A promised figure: what it is called, its value as text, ours as text, how ours is measured, what to beware of.

    `verdict` is `not measured`, or how ours stands to it.
    """

    title: str
    claimed: str
    ours: str
    verdict: str
    measured_as: str
    caution: str


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    return yaml.safe_load((DATA / "claims.yaml").read_text(encoding="utf-8"))


def source() -> str:
    """Whose claims they are."""
    return str(_document()["source"])


def beside(summary: Mapping[str, Any]) -> list[Claim]:
    """The claims of data/claims.yaml, each with the figure of a `summary` of `evaluate` or `metrics.summary`."""
    return [_claim(entry, summary) for entry in _document()["claims"]]


def _claim(entry: Mapping[str, Any], summary: Mapping[str, Any]) -> Claim:
    measure, claimed = entry["measure"], float(entry["claimed"])
    texts = entry["title"], entry["ours"], entry["caution"]
    if measure in ("va", "ex"):
        rate = summary[measure]
        ours = f"{100 * rate['value']:.1f} % ({100 * rate['low']:.1f}-{100 * rate['high']:.1f})"
        verdict = "below" if rate["high"] < claimed else "above" if rate["low"] > claimed else "within the interval"
        return Claim(texts[0], f"{100 * claimed:.1f} %", ours, verdict, *texts[1:])
    if measure == "milliseconds":
        value: float | None = 1000 * summary["seconds"]["median"] if summary["items"] else None
        unit, form = " ms", "{:.0f}"
    else:
        value, unit, form = (summary.get("perplexity") or {}).get("all"), "", "{:.2f}"
    if value is None:
        return Claim(texts[0], f"{claimed:g}{unit}", "-", "not measured", *texts[1:])
    ours = form.format(value) + unit
    return Claim(texts[0], f"{claimed:g}{unit}", ours, "lower" if value < claimed else "not lower", *texts[1:])
