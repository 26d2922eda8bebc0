"""Which model, file and context for a machine and a use: the guide's three matrices, filled from memory and speed.

Nothing here was tried on the machine that is asked about, unless a row says so: `basis` names what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from heimdall_nb.memory import tables
from heimdall_nb.memory.inference import estimate_inference, file_bytes
from heimdall_nb.memory.machine import card, card_name, figures, named, usable
from heimdall_nb.memory.parts import GIB, MIB, Estimate, markdown
from heimdall_nb.memory.shape import Shape
from heimdall_nb.memory.speed import Speed, speed
from heimdall_nb.run import ROOT, read_json

SAFE = 0.9  # of the memory that a model can take: the rest is for what no estimate counts
FLOOR_USE = "Cypher query generation"  # the use that the latency of deployment targets is computed for
MEANING = (
    "Tokens a second and seconds are bounds from bandwidth and arithmetic, not forecasts. `basis`: memory is computed, "
    "unless a measurement of this very file and context is named. No speed here was measured, and no GPU's memory."
)


@dataclass(frozen=True)
class Choice:
    """A preset's model as one kind of file: memory, bounds of speed, and the least seconds of an answer."""

    preset: str
    shape: Shape
    kind: str
    context: int
    where: str
    estimate: Estimate
    speed: Speed
    seconds: float

    def row(self) -> dict[str, Any]:
        """The choice as columns of a table."""
        return {
            "preset": self.preset,
            "parameters": f"{self.shape.parameters / 1e9:.1f}B",
            "file": self.kind,
            "context": self.context,
            "in use, GiB": round(self.estimate.bytes / GIB, 2),
            "read, tokens/s": round(self.speed.reading),
            "write, tokens/s": round(self.speed.writing),
            "answer, s": round(self.seconds, 2),
            "basis": basis(self.shape, self.kind, self.context, self.where, self.estimate),
        }


def candidate(preset: str, kind: str, spec: Mapping[str, Any], use: Mapping[str, Any]) -> Choice:
    """A preset's model as a file of this kind on a machine, at the context and the request of a use."""
    shape, _ = tables.of_preset(preset)
    where = "cuda" if spec["kind"] == "cuda" else "cpu"
    estimate = estimate_inference(shape, kind, use["context"], where=where)
    bound = speed(shape, estimate, spec, use["prompt"], use["context"])
    seconds = bound.seconds(use["prompt"], use["answer"])
    return Choice(preset, shape, kind, use["context"], where, estimate, bound, seconds)


def choose(spec: Mapping[str, Any], use: Mapping[str, Any]) -> tuple[Choice | None, str]:
    """The guide's model for a use, or the next smaller one, as the most exact file that fits and is fast enough.

    Returns it with the reason; where nothing is fast enough, the fastest of what fits; None where nothing fits.
    """
    ladder = figures()["ladder"]
    presets = ladder[ladder.index(use["preset"]) :: -1]
    room = SAFE * usable(dict(spec))
    fitting, why = [], ""
    for preset in presets:
        found = [candidate(preset, kind, spec, use) for kind in figures()["quantisations"]]
        here = [choice for choice in found if choice.estimate.bytes <= room]
        fast = next((choice for choice in here if choice.seconds <= use["seconds"]), None)
        if fast:
            reason = f"{fast.kind} is its most exact file within {room / GIB:.1f} GiB and {use['seconds']:g} s."
            return fast, why + reason
        least = min((choice.seconds for choice in here), default=0.0)
        why += f"{preset} {f'takes {least:.1f} s or more' if here else 'does not fit'}; "
        fitting += here
    if not fitting:
        return None, f"Nothing of {', '.join(presets)} fits into {room / GIB:.1f} GiB."
    best = min(fitting, key=lambda choice: choice.seconds)
    return best, f"{why}nothing answers within {use['seconds']:g} s, this comes nearest."


def recommend(hardware: str, use_case: str) -> dict[str, Any]:
    """The recommendation for a machine and a use by their names, with the reason, training, and the three matrices.

    Raises BadInput, with what is known, for a machine or use that data/hardware.yaml does not have.
    """
    machine, spec = card_name(hardware), card(hardware)
    uses = figures()["uses"]
    use = named(use_case, uses, "--use-case")
    best, reason = choose(spec, uses[use])
    return {
        "hardware": machine,
        "memory": spec["memory"],
        "use case": use,
        "recommended": best.row() if best else None,
        "reason": reason,
        "training": training(best.preset, spec) if best else "-",
        "by hardware": [
            {"hardware": name} | _row(other, uses[use], trains=True)
            for name, other in (figures()["cards"] | {machine: spec}).items()
        ],
        "by use case": [{"use": name} | _row(spec, other) for name, other in uses.items()],
        "by deployment target": targets(),
        "measured": [_point(point) for point in measured()],
    }


def _row(spec: Mapping[str, Any], use: Mapping[str, Any], trains: bool = False) -> dict[str, Any]:
    """What is chosen for a machine and a use as columns; with `trains` also how QLoRA trains it there."""
    best, _ = choose(spec, use)
    if best is None:
        row = dict.fromkeys(candidate(use["preset"], "Q4_K_M", spec, use).row(), "-") | {"preset": "nothing fits"}
    else:
        row = best.row() | {"guide's preset": use["preset"]}
    return row | ({"trains": training(best.preset, spec) if best else "no"} if trains else {})


def training(preset: str, spec: Mapping[str, Any]) -> str:
    """How QLoRA trains a preset's model on a machine, `batch × accumulation`, at the preset's row length; or `no`."""
    from heimdall_nb.memory.training import recommended_batch

    if not spec.get("trains", True):
        return "no"
    shape, settings = tables.settings(preset, dict(spec))
    fits = recommended_batch(shape, settings, usable(dict(spec)), settings.batch_size * settings.accumulation)
    return f"{fits[0]} × {fits[1]}, rows of {settings.max_length:,}" if fits else "no"


def targets() -> list[dict[str, Any]]:
    """One row a deployment target: file, memory and the least milliseconds of a query, beside what the guide says."""
    rows = []
    for target, spec in figures()["targets"].items():
        use = figures()["uses"][FLOOR_USE] | {"context": spec["context"]}
        use |= {"prompt": min(use["prompt"], spec["context"] - use["answer"])}
        found = candidate(spec["preset"], spec["quantisation"], card(spec["card"]), use)
        size = file_bytes(found.shape, found.kind) / 1e9
        row = {"target": target, "machine": spec["card"]} | found.row() | {"file, GB": round(size, 2)}
        row |= {"the guide says, GB": spec["said"], "answer, ms": round(1000 * found.seconds)}
        rows.append(row | {"the guide says, ms": spec["said_ms"]})
        del row["answer, s"]
    return rows


@lru_cache(maxsize=1)
def measured() -> list[dict[str, Any]]:
    """The measured points of reports/memory.json that are files in use; none where there is no report."""
    path = ROOT / "reports" / "memory.json"
    return [point for point in read_json(path) if point["kind"] == "inference"] if path.is_file() else []


def basis(shape: Shape, kind: str, context: int, where: str, estimate: Estimate) -> str:
    """Whether the memory was measured: of this file and context, of this file at another context, or not at all."""
    same = [
        point
        for point in measured()
        if where == "cpu" and point["model"] in shape.name and point["settings"]["quantisation"] == kind
    ]
    for point in same:
        if point["settings"]["context"] == context:
            return f"measured: {point['peak'] / MIB:,.0f} MiB, estimate {estimate.bytes / MIB:,.0f}"
    near = ", ".join(f"{point['settings']['context']:,}" for point in same)
    return f"computed; measured on an x86 CPU at context {near}" if near else "computed"


def _point(point: Mapping[str, Any]) -> dict[str, Any]:
    settings = point["settings"]
    return {
        "model": point["model"],
        "file": settings["quantisation"],
        "context": settings["context"],
        "where": "CPU",
        "measured, MiB": round(point["peak"] / MIB),
    }


def text(found: Mapping[str, Any]) -> str:
    """The recommendation in sentences, and the three matrices."""
    best = found["recommended"]
    lines = [f"{found['hardware']} ({found['memory']:g} GB), {found['use case']}:"]
    if best:
        lines += [
            f"preset {best['preset']} ({best['parameters']}) as {best['file']}, context {best['context']:,}: "
            f"{best['in use, GiB']} GiB ({best['basis']}), at most {best['write, tokens/s']:,} tokens/s, "
            f"an answer in {best['answer, s']} s at least.",
            f"QLoRA, batch × accumulation: {found['training']}.",
        ]
    lines.append(f"Reason: {found['reason']}")
    for name in ("by hardware", "by use case", "by deployment target", "measured"):
        subject = {"by hardware": f" ({found['use case']})", "by use case": f" ({found['hardware']})"}.get(name, "")
        if found[name]:
            lines.append(f"\n## {name.capitalize()}{subject}\n\n{markdown(found[name])}")
    return "\n".join([*lines, "", MEANING])
