"""The deployment checklist, filled from what a run has measured. Nothing is ticked without a figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from heimdall_nb.deploy.bundle import SUMS, unsealed
from heimdall_nb.deploy.bundle import table as markdown_table
from heimdall_nb.deploy.trials import Trial
from heimdall_nb.errors import BadInput
from heimdall_nb.facts import FactPack, load_pack
from heimdall_nb.models.protocol import Completion
from heimdall_nb.run import Run

State = Literal["done", "not done", "cannot be done here"]
STATES: tuple[State, ...] = ("done", "not done", "cannot be done here")

EXAMPLES, ACCURACY, SECONDS = 5000, 0.70, 0.5  # what NornicDB's training guide asks for before production
SMALL_KINDS = ("Q4_K_M", "Q5_K_M")


@dataclass(frozen=True)
class Item:
    """One line: what is asked, its state, the measured figure, and the command that measures it.

    Raises ValueError for an item that is done without a figure.
    """

    what: str
    state: State
    figure: str
    measured_by: str

    def __post_init__(self) -> None:
        if self.state not in STATES or (self.state == "done" and not self.figure):
            raise ValueError(f"{self.what!r} cannot be {self.state!r} with the figure {self.figure!r}")


@dataclass(frozen=True)
class _Case:
    """What the items look at: the run, the kind of its deployed file, the deployed folder, and what stage 09 found."""

    run: Run
    kind: str
    folder: Path
    answered: Completion | None
    facts: FactPack
    trials: Sequence[Trial] = ()
    actions: Mapping[str, Any] = field(default_factory=dict)

    def metrics(self, stage: str) -> dict[str, Any]:
        """The metrics of a stage; empty where it has not run."""
        try:
            return self.run.metrics(stage)
        except BadInput:
            return {}


Finding = tuple[bool, str]  # whether it is met, and the figure


def checklist(
    run: Run,
    kind: str = "Q4_K_M",
    answered: Completion | None = None,
    trials: Sequence[Trial] = (),
    actions: Mapping[str, Any] | None = None,
) -> list[Item]:
    """All items for the deployed file of `kind`.

    `answered` is its answer to the smoke question, `trials` what other programs made of the folder, `actions` the
    summary of its answers in the server's form (`evaluation.runtime`). An item whose stage has not run, or whose figure
    misses the goal, is `not done`; what needs a running NornicDB is `cannot be done here`.
    """
    case = _Case(run, kind, run.path / "artifacts" / "deploy", answered, load_pack(), trials, actions or {})
    items = []
    for what, stage, look in MEASURED:
        met, figure = _looked(look, case)
        command = f"heimdall run --run {run.name} --only {stage}"
        items.append(Item(what, "done" if met else "not done", figure or "not measured yet", command))
    for what, why in SERVER:
        items.append(Item(what, "cannot be done here", why(case.facts), "needs a running NornicDB"))
    return items


def table(items: list[Item]) -> list[dict[str, str]]:
    """The items as rows for a notebook's table."""
    return [{"item": i.what, "state": i.state, "figure": i.figure, "measured by": i.measured_by} for i in items]


def markdown(items: list[Item], trials: Sequence[Trial], run_name: str) -> str:
    """CHECKLIST.md: the items, and the programs with what became of them."""
    tried = [vars(trial) | {"command": f"`{trial.command}`"} for trial in trials]
    return (
        f"# Checklist of run `{run_name}`\n\nNothing is ticked by hand: each figure was measured by the run, and the "
        f"last column says what measures it again.\n\n{markdown_table(table(items))}\n\n## Programs\n\n"
        f"Each was asked the same question, and its answer was compared with that of the file itself.\n\n"
        f"{markdown_table(tried) or 'None was tried.'}\n"
    )


def counts(items: list[Item]) -> dict[str, int]:
    """How many items are in each state."""
    return {state: sum(item.state == state for item in items) for state in STATES}


def scores(run: Run, stages: tuple[str, ...] = ("04", "05", "06", "07")) -> dict[str, str]:
    """The headline figures of the run's finished stages, for the model card."""
    found: dict[str, str] = {}
    for stage in stages:
        try:
            found |= run.metrics(stage).get("headline", {})
        except BadInput:
            continue
    return found


def _looked(look: Callable[[_Case], Finding], case: _Case) -> Finding:
    """A finding; not met and without a figure where the run has not measured it."""
    try:
        return look(case)
    except (KeyError, TypeError, StopIteration, ValueError, BadInput, OSError):
        return False, ""


def _examples(case: _Case) -> Finding:
    path = case.run.need("dataset/all.jsonl", "01")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    kinds, graphs = (len({record.get(name) for record in records} - {None, ""}) for name in ("template", "graph"))
    diverse = f"of {kinds} templates on {graphs} graphs"
    return len(records) >= EXAMPLES, f"{len(records)} examples {diverse}; {EXAMPLES} are asked for"


def _actions(case: _Case) -> Finding:
    parses, known, right = (case.actions[name] for name in ("parses", "known", "right_action"))
    figure = (
        f"under the grammar {parses['value']:.1%} of {case.actions['items']} answers parse, "
        f"{known['value']:.1%} name a known action, {right['value']:.1%} the right one"
    )
    return parses["value"] == known["value"] == 1, figure


def _trials(case: _Case) -> Finding:
    if not case.trials:
        return False, ""
    tried = [trial for trial in case.trials if trial.state != "untried"]
    named = [f"{trial.program}: {trial.state}" for trial in case.trials]
    same = sum(trial.state == "same answer" for trial in tried)
    return bool(tried) and same == len(tried), f"{same} of {len(tried)} that could be tried; " + ", ".join(named)


def _sealed(case: _Case) -> Finding:
    wrong = unsealed(case.folder)
    number = len((case.folder / SUMS).read_text(encoding="utf-8").splitlines())
    return not wrong, f"{number - len(wrong)} of {number} files have the sum that {SUMS} has"


def _score(case: _Case) -> Mapping[str, Any]:
    return case.metrics("05")["scores"][case.kind]


def _accuracy(case: _Case) -> Finding:
    score = _score(case)
    ex, floor = score["ex"], score["floor"]["value"]
    figure = (
        f"EX {ex['value']:.1%} ({ex['low']:.1%} to {ex['high']:.1%}) on {score['items']} questions, floor {floor:.1%}"
    )
    return ex["value"] >= ACCURACY, f"{figure}; more than {ACCURACY:.0%} is asked for"


def _latency(case: _Case) -> Finding:
    seconds = _score(case)["seconds"]
    goal = f"less than {1000 * SECONDS:.0f} is asked for"
    return seconds["median"] < SECONDS, f"median {1000 * seconds['median']:.0f} ms an answer, {goal}"


def _kind(case: _Case) -> Finding:
    entry = case.metrics("04")["files"][case.kind]
    figure = f"{case.kind}, {entry['bytes'] / 1e6:.1f} MB, {entry['bits_per_weight']:.2f} bits a weight"
    return case.kind in SMALL_KINDS, figure


def _parity(case: _Case) -> Finding:
    entry = case.metrics("04")["files"][case.kind]
    figure = (
        f"token ids equal on {entry['ids_equal']} of {entry['texts']} texts, "
        f"{entry['greedy_equal']} of {entry['greedy']} greedy answers equal"
    )
    return bool(entry["ok"]), figure


def _context(case: _Case) -> Finding:
    wanted = case.metrics("06")["recommended_context"]
    configured = yaml.safe_load((case.folder / "nornicdb.yaml").read_text(encoding="utf-8"))["heimdall"]["context_size"]
    return configured >= wanted, f"context_size {configured}, {wanted} is recommended"


def _answered(case: _Case) -> Finding:
    if case.answered is None:
        return False, ""
    figure = f"outcome {case.answered.outcome}, {case.answered.new_tokens} tokens in {case.answered.seconds:.2f} s"
    return case.answered.outcome == "ok", figure


def _baselines(case: _Case) -> Finding:
    found = case.metrics("07")["scores"]
    name = next(name for name in found if "fine-tuned" in name)
    tuned = found[name]["ex"]
    others = {other: score["ex"] for other, score in found.items() if "fine-tuned" not in other}
    best = max(others, key=lambda other: others[other]["value"])
    figure = f"fine-tuned EX {tuned['value']:.1%}, best without fine-tuning {others[best]['value']:.1%} ({best})"
    return tuned["low"] > others[best]["high"], figure


def _documented(case: _Case) -> Finding:
    files = [case.folder / name for name in ("README.md", "MODEL_CARD.md")]
    figure = ", ".join(f"{file.name} {len(file.read_text(encoding='utf-8').split())} words" for file in files)
    return True, figure


MEASURED: tuple[tuple[str, str, Callable[[_Case], Finding]], ...] = (
    ("Enough training examples", "01", _examples),
    ("Accuracy on held-out questions", "05", _accuracy),
    ("Exported in a small quantisation", "04", _kind),
    ("The file is the model that was trained", "04", _parity),
    ("Latency", "05", _latency),
    ("The context holds every prompt", "06", _context),
    ("Better than the base model with examples in the prompt", "07", _baselines),
    ("The deployed file answers a question", "09", _answered),
    ("Other programs give the same answer", "09", _trials),
    ("Answers in the server's form", "09", _actions),
    ("The folder is whole", "09", _sealed),
    ("Documentation for the team", "09", _documented),
)

SERVER: tuple[tuple[str, Callable[[FactPack], str]], ...] = (
    (
        "Tried inside NornicDB",
        lambda facts: f"start `{facts.fact('command.serve').value}`, then {facts.fact('endpoint.status').value}",
    ),
    ("Cache for repeated questions", lambda facts: f"{facts.name}: {facts.fact('behaviour.cache').note}"),
    (
        "Monitoring",
        lambda facts: (
            f"{facts.fact('endpoint.health').value} and {facts.fact('endpoint.metrics').value} are there to watch"
        ),
    ),
    ("Fallback without a model", lambda facts: f"{facts.name}: {facts.fact('behaviour.fallback').note}"),
    ("Writes are kept away", lambda facts: f"{facts.name}: {facts.fact('behaviour.read_only').note}"),
)
