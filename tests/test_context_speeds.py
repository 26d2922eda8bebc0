"""Speed by depth and setting: which settings are tried, prompts of a depth, and a real file."""

from __future__ import annotations

from pathlib import Path

import pytest

from heimdall_nb.context import speeds
from heimdall_nb.context.speeds import Setting
from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.deploy.speed import Bare
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import render

ITEMS = benchmark("iid")[:2]


def test_every_depth_that_fits_and_then_one_knob_at_a_time() -> None:
    found = speeds.settings([2048, 512], [256, 1024], [1, 2], [512, 64], [512, 128, 1024], answer=192)
    assert found == [
        Setting(512, 256, 1),
        Setting(2048, 256, 1),
        Setting(2048, 1024, 1),
        Setting(2048, 256, 2),
        Setting(2048, 256, 1, 64, 64),
        Setting(2048, 256, 1, 512, 128),
    ]
    with pytest.raises(BadInput, match="no context has room for 600 tokens"):
        speeds.settings([512], [600], [1])


def test_a_prompt_is_filled_up_to_its_depth_and_never_beyond() -> None:
    def tokenise(text: str) -> list[int]:
        return [1] * len(text.split())

    for depth in (200, 900, 4000):
        turns = speeds.at_depth(ITEMS[0], depth, tokenise)
        assert depth - 20 < len(tokenise(render(turns))) <= depth
        assert (
            turns[0]["content"].splitlines()[1 : 1 + len(ITEMS[0].schema.splitlines())] == ITEMS[0].schema.splitlines()
        )
    assert ITEMS[0].schema in speeds.at_depth(ITEMS[0], 1, tokenise)[0]["content"], "no shorter than it is"


def test_a_real_file_is_timed_beside_llama_cpp(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    import tiny_model

    from heimdall_nb.export.gguf_file import write_gguf

    file = write_gguf(tiny_model.trained(tmp_path_factory), tmp_path / "tiny.gguf")
    knobs = {"contexts": [1024, 2048], "depths": [512, 1024], "threads": [1], "batches": [256, 64], "micros": [256, 32]}
    found = speeds.run(file, "iid", 1, tmp_path / "out", 24, **knobs)
    assert [(r["context"], r["depth"], r["batch"], r["micro"]) for r in found["rows"]] == [
        (1024, 512, 256, 256),
        (2048, 512, 256, 256),
        (2048, 1024, 256, 256),
        (2048, 512, 64, 64),
        (2048, 512, 256, 32),
    ]
    for r in found["rows"]:
        assert r["read"] > 0 and r["read_own"] > 0 and 0 < r["warm_ms"] < r["cold_ms"]
    assert {r["context"] for r in speeds.by_depth(found)[2048]} == {2048} and len(speeds.by_depth(found)[2048]) == 2
    page = (tmp_path / "out" / "speeds.md").read_text(encoding="utf-8")
    assert "| 2048 |" in page and "llama_decode in a loop" in page and "![Tokens a second" in page
    assert (tmp_path / "out" / "speeds.png").stat().st_size > 5000


def test_the_bare_loop_takes_a_micro_batch(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    import llama_cpp as c
    import tiny_model

    from heimdall_nb.export.gguf_file import write_gguf

    file = write_gguf(tiny_model.trained(tmp_path_factory), tmp_path / "tiny.gguf")
    for micro, expected in ((0, 128), (32, 32)):
        bare = Bare(file, 512, 1, 128, micro)
        assert c.llama_n_ubatch(bare._context) == expected and c.llama_n_batch(bare._context) == 128
        assert bare.read(100) > 0
        bare.close()
