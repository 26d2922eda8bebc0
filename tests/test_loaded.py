"""The memory of a GGUF file by context and type of cache: estimated, and measured by loading it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heimdall_nb import cli
from heimdall_nb.context import loaded
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.memory.parts import MIB


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real GGUF file of a tiny untrained model: 3 layers, 2 key-value heads of 64, declared context 512."""
    from tiny_model import make_base

    from heimdall_nb.export.gguf_file import write_gguf

    folder = tmp_path_factory.mktemp("tiny")
    return write_gguf(make_base(folder / "base", layers=3), folder / "tiny.gguf", "F16")


def test_the_formula_is_near_what_loading_takes_and_a_quantised_cache_is_smaller(tiny_gguf: Path) -> None:
    whole, half = loaded.points(tiny_gguf, [2048], ["F16", "Q8_0"])
    assert whole["key-value cache"] == pytest.approx(2 * 3 * 2 * 64 * 2048 * 2 / MIB, abs=0.06)
    assert half["key-value cache"] == pytest.approx(whole["key-value cache"] * 34 / 64, abs=0.06)
    assert abs(whole["error"]) < 0.08 and abs(half["error"]) < 0.08
    assert whole["prompt tokens"] > 1900 and not whole["made for it"]
    assert whole["measured"] - half["measured"] > 0.3 * (whole["key-value cache"] - half["key-value cache"])
    table = loaded.text([whole, half])
    assert "| 2048 | Q8_0 |" in table and "flash True" in table.splitlines()[0]


def test_the_kind_is_read_from_the_file(tiny_gguf: Path, tmp_path: Path) -> None:
    assert loaded.kind_of(tiny_gguf) == "F16"
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(tiny_gguf.read_bytes()[:2000])
    with pytest.raises(BadInput, match=r"damaged\.gguf"):
        loaded.points(damaged, [512])


def test_the_formula_alone_needs_no_file() -> None:
    rows = loaded.points("Qwen/Qwen2.5-1.5B-Instruct", [2048, 32768], ["F16", "Q4_0"], load=False)
    assert [row["key-value cache"] for row in rows] == [56.0, 896.0, 15.8, 252.0]
    assert all("measured" not in row for row in rows)
    assert "measured" not in loaded.text(rows)


def test_the_command_takes_lists(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["profile", "memory", "heimdall-nano-base", "--no-load", "--json"]
    cli.app([*command, "--context", "512, 1024", "--cache", "f16,Q8_0"], standalone_mode=False)
    rows = json.loads(capsys.readouterr().out)
    points = {(row["context"], row["cache"]) for row in rows}
    assert len(rows) == 4 and points == {(512, "F16"), (512, "Q8_0"), (1024, "F16"), (1024, "Q8_0")}
    with pytest.raises(BadInput, match="^--context: "):
        cli.app([*command, "--context", "many"], standalone_mode=False)


def test_impossible_settings_are_refused_before_anything_is_loaded(tiny_gguf: Path) -> None:
    with pytest.raises(BadInput, match="cannot be Q8_0 here"):
        loaded.points(tiny_gguf, [512], ["Q8_0"], flash=False)
    with pytest.raises(BadInput, match="cannot be X here"):
        loaded.points(tiny_gguf, [512], ["X"])
    with pytest.raises(BadInput, match="leaves no room"):
        loaded.points(tiny_gguf, [100])
    with pytest.raises(BadInput, match="Qwen"):
        loaded.points("Qwen/Qwen2.5-1.5B-Instruct", [512])


def test_a_process_that_takes_too_long_is_named(tiny_gguf: Path) -> None:
    with pytest.raises(HeimdallError, match="context 512: the measurement took more than"):
        loaded.points(tiny_gguf, [512], seconds=0.01)
