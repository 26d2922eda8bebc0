"""Presets as data: `data/presets.yaml` names every knob once, and each preset says what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.run import DATA, STAGES

Values = dict[str, dict[str, Any]]  # stage number -> knob -> value
EMBEDDINGS = ("embed_tokens", "lm_head")  # what reads and what writes the vocabulary, by the names of transformers


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


def strategies() -> dict[str, dict[str, Any]]:
    """Named changes of the fine-tuning: `title`, `set` (values) and `times` (factors on the preset's values)."""
    return document()["strategies"]


def with_strategy(values: Values, name: str) -> Values:
    """The values with a strategy's changes of stage 03; "" changes nothing.

    Where the batch changes, `accumulation` follows, so that a step has as many rows as before, or one batch.
    Raises BadInput for an unknown strategy.
    """
    if not name:
        return values
    if name not in strategies():
        raise BadInput(f"{name!r} is not a strategy", "--strategy", f"Choose one of: {', '.join(strategies())}.")
    spec, old = strategies()[name], values["03"]
    new = old | spec.get("set", {})
    new |= {knob: type(old[knob])(factor * old[knob]) for knob, factor in spec.get("times", {}).items()}
    new["accumulation"] = max(1, round(old["batch_size"] * old["accumulation"] / new["batch_size"]))
    return values | {"03": new}


def epochs_by_size(questions: int) -> float:
    """How often a training set of so many questions is read where `epochs` is 0: the file's table."""
    table = document()["epochs_by_questions"]
    return next(row["epochs"] for row in table if questions <= row.get("up_to", questions))


def lora_layers(lora_targets: str) -> tuple[list[str], list[str]]:
    """The names in `lora_targets`: of layers that get matrices (`all-linear` alone for all), and of EMBEDDINGS.

    A matrix of low rank changes what a layer does with words that the base knows. Words that it never wrote need an
    embedding of their own first, so embeddings are trained whole (PEFT's `modules_to_save`).
    """
    names = [name.strip() for name in lora_targets.split(",")]
    return [name for name in names if name not in EMBEDDINGS], [name for name in names if name in EMBEDDINGS]


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
    """One row a preset: name, title, base model, licence, machine."""
    rows = []
    for name in names():
        spec = document()["presets"][name]
        base = str(preset(name)["03"]["base"])
        rows.append(
            {"preset": name, "what": spec["title"], "base": base} | {k: spec[k] for k in ("licence", "machine")}
        )
    return rows


def config_markdown() -> str:
    """CONFIG.md: the presets with what each changes, the strategies, and every knob with its value and its help."""
    lines = [
        "# Presets and knobs",
        "",
        "Made from `data/presets.yaml` by `heimdall doctor --write-config`; a test keeps the two equal.",
        "Change a knob for one run with `heimdall run --set knob=value`, or `--set 03.knob=value` for one stage.",
        "",
        "## Presets",
        "",
        "| preset | what it is | base model | its licence | machine |",
        "|---|---|---|---|---|",
        *(f"| `{r['preset']}` | {r['what']} | `{r['base']}` | {r['licence']} | {r['machine']} |" for r in table()),
        "",
        "What each changes; all else is as in preset nano:",
        "",
        "| preset | notebook: knobs |",
        "|---|---|",
        *(f"| `{name}` | {_changes(name)} |" for name in names() if document()["presets"][name].get("set")),
    ]
    lines += ["", *_strategy_lines(), "", *_epochs_lines()]
    groups = [("All notebooks", document()["shared"])]
    groups += [(f"{number} {name}", document()["stages"].get(number) or {}) for number, name in STAGES.items()]
    for title, specs in groups:
        if specs:
            lines += ["", f"## {title}", "", "| knob | preset nano | what it does |", "|---|---|---|"]
            lines += [f"| `{knob}` | `{spec['value']}` | {_explained(spec)} |" for knob, spec in specs.items()]
    return "\n".join(lines) + "\n"


def _explained(spec: dict[str, Any]) -> str:
    return f"{spec['help']}. {spec['why']}" if "why" in spec else spec["help"]


def _changes(name: str) -> str:
    stages = sorted(document()["presets"][name]["set"].items())
    return "; ".join(f"{stage}: " + ", ".join(f"`{k}={v}`" for k, v in knobs.items()) for stage, knobs in stages)


def _strategy_lines() -> list[str]:
    lines = [
        "## Strategies",
        "",
        "Named changes of the fine-tuning, for every preset: `heimdall train --strategy memory`. Where the batch",
        "changes, `accumulation` follows, so that a step keeps its number of rows.",
        "",
        "| strategy | what it is for | values | times the preset's value |",
        "|---|---|---|---|",
    ]
    for name, spec in strategies().items():
        parts = [", ".join(f"`{k}={v}`" for k, v in spec.get(kind, {}).items()) for kind in ("set", "times")]
        lines.append(f"| `{name}` | {spec['title']} | {parts[0]} | {parts[1]} |")
    return lines


def _epochs_lines() -> list[str]:
    lines = [
        "## Epochs by the size of the training set",
        "",
        "For `epochs=0`:",
        "",
        "| questions | epochs |",
        "|---|---|",
    ]
    low = 1
    for row in document()["epochs_by_questions"]:
        lines.append(
            f"| {low} to {row['up_to']} | {row['epochs']:g} |"
            if "up_to" in row
            else f"| {low} or more | {row['epochs']:g} |"
        )
        low = row.get("up_to", low) + 1
    return lines
