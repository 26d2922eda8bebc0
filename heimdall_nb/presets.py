"""Presets as data: `data/presets.yaml` names every knob once, and each preset says what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA, STAGES

Values = dict[str, dict[str, Any]]  # stage number -> knob -> value


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The file `data/presets.yaml`: `shared` and `stages` hold the knobs, `presets` what each preset changes."""
    return yaml.safe_load((DATA / "presets.yaml").read_text(encoding="utf-8"))


def names() -> list[str]:
    """The presets, in the file's order."""
    return list(document()["presets"])


def knobs(stage: str) -> dict[str, dict[str, Any]]:
    """The knobs of a stage, each with `value` (at preset nano) and `help`; the shared ones come first."""
    return document()["shared"] | document()["stages"].get(stage, {})


def preset(name: str) -> Values:
    """All values of a preset, for each stage. Raises BadInput for an unknown preset."""
    if name not in names():
        raise BadInput(f"{name!r} is not a preset", "--preset", f"Choose one of: {', '.join(names())}.")
    changes = document()["presets"][name].get("set", {})
    return {
        stage: {knob: changes.get(stage, {}).get(knob, spec["value"]) for knob, spec in knobs(stage).items()}
        for stage in STAGES
    }


def override(values: Values, assignments: Sequence[str]) -> Values:
    """Apply `knob=value` to every stage that has the knob, or `03.knob=value` to one; returns new values.

    Raises BadInput for a malformed assignment, an unknown knob, or a value of the wrong type.
    """
    values = {stage: dict(knob_values) for stage, knob_values in values.items()}
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        stage, dot, knob = target.rpartition(".")
        where = f"--set {assignment}"
        if not equals or (dot and stage not in STAGES):
            raise BadInput("is not knob=value or stage.knob=value", where, "For example: --set 01.examples=800.")
        takers = [s for s in ([stage] if dot else STAGES) if knob in values[s]]
        if not takers:
            known = ", ".join(sorted({k for s in ([stage] if dot else STAGES) for k in values[s]}))
            raise BadInput(f"{knob!r} is not a parameter", where, f"Known are: {known}.")
        for taker in takers:
            values[taker][knob] = _typed(text, knobs(taker)[knob]["value"], where)
    return values


def _typed(text: str, like: Any, where: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(like, str):
        return text
    if isinstance(like, float) and isinstance(value, str):  # YAML reads 2e-4 as text
        try:
            value = float(value)
        except ValueError:
            pass
    wanted = (int, float) if isinstance(like, float) else type(like)
    if not isinstance(value, wanted) or isinstance(value, bool) is not isinstance(like, bool):
        raise BadInput(f"needs {type(like).__name__}, as in {like!r}", where, "")
    return float(value) if isinstance(like, float) else value


def table() -> list[dict[str, str]]:
    """One row a preset: name, title, base model, machine."""
    rows = []
    for name in names():
        spec = document()["presets"][name]
        base = preset(name)["03"].get("base", "")
        rows.append({"preset": name, "what": spec["title"], "base": str(base), "machine": spec["machine"]})
    return rows


def config_markdown() -> str:
    """CONFIG.md: the presets, and every knob with its help and its value in each preset."""
    lines = [
        "# Presets and knobs",
        "",
        "Made from `data/presets.yaml` by `heimdall doctor --write-config`; a test keeps the two equal.",
        "Change a knob for one run with `heimdall run --set knob=value`, or `--set 03.knob=value` for one stage.",
        "",
        "## Presets",
        "",
        "| preset | what it is | base model | machine |",
        "|---|---|---|---|",
        *(f"| `{r['preset']}` | {r['what']} | `{r['base']}` | {r['machine']} |" for r in table()),
    ]
    chosen = {name: preset(name) for name in names()}
    groups = [("All notebooks", "00", document()["shared"])]
    groups += [(f"{s} {STAGES[s]}", s, document()["stages"].get(s) or {}) for s in STAGES]
    for title, stage, specs in groups:
        if specs:
            lines += ["", f"## {title}", "", f"| knob | {' | '.join(names())} | what it does |"]
            lines.append("|---" * (len(names()) + 2) + "|")
            for knob, spec in specs.items():
                cells = " | ".join(f"`{chosen[name][stage][knob]}`" for name in names())
                lines.append(f"| `{knob}` | {cells} | {spec['help']} |")
    return "\n".join(lines) + "\n"
