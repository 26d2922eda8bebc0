"""Every architecture passes the gate at every type, and the file is the type that it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_architectures

from heimdall_nb.export import gguf_file, quantise
from heimdall_nb.export.gate import WHOLE, export

TALKS = tiny_architectures.CONVERSATIONS[: tiny_architectures.LEARNT]
TEXTS = tiny_architectures.TEXTS[: tiny_architectures.LEARNT]
BY_SIZE = ("F32", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q2_K")


@pytest.mark.parametrize("name", tiny_architectures.ARCHITECTURES)
def test_every_architecture_passes_at_every_type(name: str, tmp_path: Path) -> None:
    folder, f16 = tiny_architectures.make(tmp_path / "model", name, steps=20), tmp_path / "F16.gguf"
    found = {"F16": export(folder, f16, "F16", TEXTS, TALKS, greedy=3, scored=3)}
    for kind in {**gguf_file.KINDS, **quantise.KINDS}:
        if kind != "F16":
            path = tmp_path / f"{kind}.gguf"
            found[kind] = export(folder, path, kind, TEXTS, TALKS, f16, greedy=0, scored=2)
    assert set(found) == {*BY_SIZE, "BF16"} and {p.stem for p in tmp_path.glob("*.gguf")} == set(found)
    for kind, record in found.items():
        assert record["kind"] == kind == record["file_type"].replace("Q2_K_S", "Q2_K") and record["fallback"] == []
        assert record["texts"] == record["ids_equal"] >= 500 and record["vocabulary_equal"] and record["template_equal"]
        assert record["mean_kl"] < {"F32": 1e-5, "F16": 1e-5, "BF16": 1e-4}.get(kind, 1.0), kind
        assert record["top1"] > (0.98 if kind in WHOLE else 0.7), kind
    assert found["F16"]["greedy_equal"] + found["F16"]["greedy_ties"] == found["F16"]["greedy"] == 3
    bits = [found[kind]["bits_per_weight"] for kind in BY_SIZE]
    assert bits == sorted(bits, reverse=True) and bits[-1] < 4.5
    assert found["Q2_K"]["mean_kl"] > found["Q4_K_M"]["mean_kl"] > found["Q8_0"]["mean_kl"] > found["F16"]["mean_kl"]
