"""Checks of the exercises of notebook 04."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path


def check_1(answer: float, megabytes: Mapping[str, float]) -> str | None:
    """How many times smaller the smallest file is than the F16 file."""
    right = megabytes["F16"] / min(megabytes.values())
    if abs(answer - right) < 0.01 * right:
        return None
    if abs(answer - 1 / right) < 0.01:
        return "That is the share that is left. Divide the other way round."
    return "Divide the size of the F16 file by the smallest size in the table."


def check_2(answer: float, weights: float, bits_per_weight: float) -> str | None:
    """MB that `weights` need at `bits_per_weight`."""
    right = weights * bits_per_weight / 8 / 1e6
    if abs(answer - right) < 0.02 * right:
        return None
    if abs(answer - 8 * right) < 0.16 * right:
        return "These are megabits. A byte has eight bits."
    return "Multiply weights and bits per weight, divide by eight for bytes, and by a million for MB."


def check_3(answer: Iterable[str], path: Path) -> str | None:
    """The matrices whose type has more bits per weight than the commonest type of the file's matrices."""
    import gguf

    matrices = [t for t in gguf.GGUFReader(path).tensors if sum(n > 1 for n in t.shape) > 1]
    bits = {t.name: 8 * int(t.n_bytes) / int(t.n_elements) for t in matrices}
    usual = Counter(bits.values()).most_common(1)[0][0]
    right = {name for name, value in bits.items() if value > usual}
    if set(answer) == right:
        return None
    if set(answer) - set(bits):
        return "Some of these are not matrices of the file. Vectors, such as the norms, always stay 32-bit floats."
    return f"{len(right)} matrices have more bits than most. Compare `tensor_type.name` of all of them."
