"""The tables of hardware, contexts, uses and deployment, computed from the model of memory beside what a guide says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from heimdall_nb import presets
from heimdall_nb.memory.inference import cache_bytes, estimate_inference, file_bytes
from heimdall_nb.memory.machine import card, figures, usable
from heimdall_nb.memory.parts import GIB, Estimate, markdown
from heimdall_nb.memory.shape import Shape, shape_of
from heimdall_nb.memory.training import Training, estimate_training, four_bit_bytes, recommended_batch
from heimdall_nb.model_shapes import shapes

CONTEXTS = (512, 1024, 2048, 4096, 8192, 16384, 32768)


def of_preset(preset: str, **changes: Any) -> tuple[Shape, Training]:
    """A preset's base and the training settings of its notebook 03, with `changes` by the names of the knobs."""
    knobs = presets.preset(preset)["03"]
    return shape_of(knobs.get("base", "")), Training.of(knobs, **changes)


def hardware_table() -> list[dict[str, Any]]:
    """One row a card: the largest preset that QLoRA trains there, with batch, and the Q4_K_M file's speed limit."""
    rows = []
    for name, spec in figures()["cards"].items():
        said = figures()["said_of_cards"].get(name)
        best = _largest_trained(name) if spec.get("trains", True) else None
        shape, text = best if best else (of_preset(figures()["ladder"][0])[0], ["inference only", "-", "-", "-"])
        served = estimate_inference(shape, context=min(2048, shape.context), where=_where(spec))
        rows.append(
            {
                "hardware": name,
                "GB": spec["memory"],
                "trains with QLoRA": text[0],
                "row, tokens": text[1],
                "batch × accumulation": text[2],
                "needs, GiB": text[3],
                "the guide says": f"{said['preset']}, {said['context']}" if said else "-",
                "guide fits": _guide_fits(name, said) if said and spec.get("trains", True) else "-",
                "Q4_K_M at 2,048, GiB": round(served.bytes / GIB, 2),
                "tokens/s at most": tokens_a_second(served, spec["bandwidth"]),
            }
        )
    return rows


def _where(spec: dict[str, Any]) -> str:
    return "cuda" if spec["kind"] == "cuda" else "cpu"


def settings(preset: str, spec: dict[str, Any], **changes: Any) -> tuple[Shape, Training]:
    """A preset's base and its QLoRA settings on a machine, with checkpointing; `changes` by the names of the knobs."""
    precision = "bf16" if spec["kind"] == "cuda" else "fp32"
    knobs = {"load_in_4bit": True, "checkpointing": True, "where": _where(spec), "precision": precision}
    return of_preset(preset, **knobs | changes)


def _largest_trained(name: str) -> tuple[Shape, list[str]] | None:
    spec = card(name)
    for preset in reversed(figures()["ladder"]):
        shape, training = settings(preset, spec)
        rows = training.batch_size * training.accumulation
        for length in (training.max_length, training.max_length // 2):
            fits = recommended_batch(shape, replace(training, max_length=length), usable(spec), rows)
            if fits:
                chosen = replace(training, max_length=length, batch_size=fits[0], accumulation=fits[1])
                need = estimate_training(shape, chosen).bytes / GIB
                return shape, [preset, f"{length:,}", f"{fits[0]} × {fits[1]}", f"{need:.1f}"]
    return None


def _guide_fits(name: str, said: dict[str, Any]) -> str:
    spec = card(name)
    shape, training = settings(said["preset"], spec, max_length=said["context"], batch_size=1)
    need = estimate_training(shape, training).bytes
    return f"{'yes' if need <= 0.9 * usable(spec) else 'no'} ({need / GIB:.1f} GiB)"


def context_table(preset: str = "heimdall", kind: str = "Q4_K_M", cache: str = "F16") -> list[dict[str, Any]]:
    """One row a context size: cache and whole memory of a preset's model on a GPU, beside the guide's figure."""
    rows = []
    for use, spec in figures()["contexts"].items():
        shape, _ = of_preset(spec["preset"])
        found = estimate_inference(shape, kind, spec["context"], cache, where="cuda")
        rows.append(
            {
                "use": use,
                "context": spec["context"],
                "cache, GiB": round(found.part("key-value cache") / GIB, 3),
                "together, GiB": round(found.bytes / GIB, 2),
                "the guide says, GB": spec["said"],
            }
        )
    return rows


def model_table(contexts: Sequence[int] = (2048,)) -> list[dict[str, Any]]:
    """One row a model of data/models.yaml: parameters in billions, its weights, its cache, the context it was made for.

    GiB: weights in 16 bits and, as QLoRA loads them, in 4; the cache in 16 bits at each context size.
    """
    rows = []
    for shape in map(shape_of, shapes()):
        small = four_bit_bytes(shape) + 2 * (shape.parameters - shape.linear_weights)
        row = {"model": shape.name.split("/")[-1], "parameters": round(shape.parameters / 1e9, 2)}
        row |= {"weights_16_bit": round(2 * shape.parameters / GIB, 2), "weights_4_bit": round(small / GIB, 2)}
        row |= {f"cache_{size}": round(cache_bytes(shape, size) / GIB, 3) for size in contexts}
        rows.append(row | {"made_for": shape.context})
    return rows


def use_table() -> list[dict[str, Any]]:
    """One row a use: its preset at its context, in training (QLoRA, one row at once) and in use (Q4_K_M), on a GPU."""
    rows = []
    for use, spec in figures()["uses"].items():
        shape, training = settings(spec["preset"], {"kind": "cuda"}, max_length=spec["context"], batch_size=1)
        rows.append(
            {
                "use": use,
                "context": spec["context"],
                "preset": spec["preset"],
                "parameters": f"{shape.parameters / 1e9:.1f}B",
                "QLoRA, GiB": round(estimate_training(shape, training).bytes / GIB, 2),
                "Q4_K_M, GiB": round(estimate_inference(shape, context=spec["context"], where="cuda").bytes / GIB, 2),
                "within its context": "yes" if spec["context"] <= shape.context else "no",
            }
        )
    return rows


def deployment_table() -> list[dict[str, Any]]:
    """One row a target: the file's size beside the guide's, the memory in use, and what the memory's speed allows."""
    rows = []
    for target, spec in figures()["targets"].items():
        machine = card(spec["card"])
        shape, _ = of_preset(spec["preset"])
        found = estimate_inference(shape, spec["quantisation"], spec["context"], where=_where(machine))
        rows.append(
            {
                "target": target,
                "context": spec["context"],
                "parameters": f"{shape.parameters / 1e9:.1f}B",
                "quantisation": spec["quantisation"],
                "file, GB": round(file_bytes(shape, spec["quantisation"]) / 1e9, 2),
                "the guide says, GB": spec["said"],
                "in use, GiB": round(found.bytes / GIB, 2),
                "machine": spec["card"],
                "tokens/s at most": tokens_a_second(found, machine["bandwidth"]),
            }
        )
    return rows


def tokens_a_second(estimate: Estimate, bandwidth: float) -> int:
    """The most tokens a second of one conversation whose context is full: each reads all weights and the cache once."""
    read = estimate.part("weights") + estimate.part("key-value cache")
    return round(bandwidth * 1e9 / read)


def all_tables() -> str:
    """The four tables as Markdown, with what each column means."""
    groups = {
        "By hardware": (
            hardware_table(),
            "The largest preset that QLoRA trains with checkpointing within nine tenths of the memory, at its own row "
            "length or half of it. `guide fits`: one row at once of what the guide recommends.",
        ),
        "By context": (
            context_table(),
            "Qwen2.5-1.5B as Q4_K_M on a GPU: weights, cache in 16 bits, working buffers, runtime.",
        ),
        "By use": (use_table(), "On a GPU. Training takes one row at once with checkpointing."),
        "By deployment target": (
            deployment_table(),
            "Tokens a second are a bound, not a forecast: bandwidth divided by what a token reads.",
        ),
    }
    return "\n\n".join(f"## {title}\n\n{text}\n\n{markdown(rows)}" for title, (rows, text) in groups.items())
