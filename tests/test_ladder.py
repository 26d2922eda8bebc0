"""The ladder: every rung on the same questions, resumed after a kill, a file chosen by the rule, a warning when due."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from typer.testing import CliRunner

from heimdall_nb import cli
from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation.metrics import share
from heimdall_nb.export import ladder, ladder_report
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.export.ladder import Questions, Row, Rung, climb, recommend, rungs, warning
from heimdall_nb.export.merge import merge
from heimdall_nb.export.quantise import quantise
from heimdall_nb.prompts import TASKS

# The tiny model has learnt answers to these questions. On the graph `movies` the first one is right.
GOLDS = {
    "How many people are there?": "MATCH (p:Person) RETURN count(p)",
    "How many cities are there?": "MATCH (m:Movie) RETURN count(m)",
    "Who lives in Oslo?": "MATCH (p:Person) RETURN p.name ORDER BY p.name LIMIT 1",
}
EXAMPLES = [
    Example(TASKS["cypher"], question, gold, "count", "small", id=f"q{k}", graph="movies", schema=tiny_model.SCHEMA)
    for k, (question, gold) in enumerate(GOLDS.items())
]
ASKED = Questions(EXAMPLES, seed=7, scored=3, max_new_tokens=48, context=512)


@pytest.fixture(scope="module")
def rung_list(tmp_path_factory: pytest.TempPathFactory) -> list[Rung]:
    base, folder = tiny_model.trained(tmp_path_factory), tmp_path_factory.mktemp("rungs")
    adapter = tiny_model.make_adapter(base, folder / "adapter", size=0.005)
    merged = merge(base, adapter, folder / "merged")
    files = {"F16": write_gguf(merged, folder / "F16.gguf")}
    for kind in ("Q8_0", "Q2_K"):
        files[kind] = folder / f"{kind}.gguf"
        quantise(files["F16"], files[kind], kind)
    return rungs(base, adapter, merged, files)


def test_every_rung_answers_the_same_questions(rung_list: list[Rung], tmp_path: Path) -> None:
    found = {row["name"]: row for row in climb(rung_list, ASKED, tmp_path)}
    assert list(found) == ["adapter", "merged", "F16", "Q8_0", "Q2_K"]
    assert [row["gguf"] for row in found.values()] == [False, False, True, True, True]
    for name in ("adapter", "merged", "F16", "Q8_0"):
        assert found[name]["right"] == [True, False, False] and found[name]["ex"] == share(1, 3)
        assert found[name]["perplexity"] == pytest.approx(found["F16"]["perplexity"], rel=0.02)
        assert found[name]["mean_kl"] < 1e-3 and found[name]["top1"] > 0.97
    assert found["F16"]["mean_kl"] == 0.0 < found["Q8_0"]["mean_kl"] < found["Q2_K"]["mean_kl"]
    sizes = [found[name]["bytes"] for name in ("F16", "Q8_0", "Q2_K")]
    assert sizes == [rung.path.stat().st_size for rung in rung_list[2:]] and found["merged"]["bytes"] > sizes[0]
    for row in found.values():
        assert row["memory_mb"] > row["model_mb"] > 0 and row["tokens_per_second"] > 0
    # a GGUF file is answered without torch in memory
    assert found["F16"]["memory_mb"] < 0.6 * found["merged"]["memory_mb"]
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.json")}
    assert climb(rung_list, ASKED, tmp_path) == list(found.values()) and len(before) == 5
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.json")} == before
    assert {"adapter", "Q2_K"} <= set(ladder_report.table(list(found.values())).index)
    assert ladder_report.findings(list(found.values()))["rows"]["F16"]["items"] == 3
    assert "Q2_K EX" in ladder_report.alt(list(found.values()))


SCRIPT = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
from test_ladder import ASKED, Rung, climb
climb([Rung(n, Path(p)) for n, p in {files!r}.items()], ASKED, Path({folder!r}))
"""


def test_a_kill_costs_one_row_at_most(rung_list: list[Rung], tmp_path: Path) -> None:
    chosen = [rung for rung in rung_list if rung.name in ("F16", "Q8_0")]
    files = {rung.name: str(rung.path) for rung in chosen}
    script = SCRIPT.format(tests=str(Path(__file__).parent), files=files, folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script])
    first = tmp_path / "F16.json"
    limit = time.monotonic() + 200
    while not first.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert first.exists() and not (tmp_path / "Q8_0.json").exists()
    kept = first.stat().st_mtime_ns
    rows = climb(chosen, ASKED, tmp_path)
    assert [row["name"] for row in rows] == ["F16", "Q8_0"] and first.stat().st_mtime_ns == kept
    changed = Questions(EXAMPLES[:2], seed=7, scored=1, max_new_tokens=48, context=512)
    assert climb(chosen[:1], changed, tmp_path)[0]["items"] == 2 and first.stat().st_mtime_ns > kept


def test_what_cannot_be_measured(rung_list: list[Rung], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no questions"):
        climb(rung_list, Questions([], seed=7), tmp_path)
    with pytest.raises(BadInput, match="no F16 file"):
        rungs("base", tmp_path, tmp_path, {"Q8_0": tmp_path / "x.gguf"})
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(rung_list[2].path.read_bytes()[:5000])
    with pytest.raises(HeimdallError, match="Q8_0: .*the measurement failed: .*damaged"):
        climb([rung_list[2], Rung("Q8_0", cut)], ASKED, tmp_path)
    assert not (tmp_path / "Q8_0.json").exists()


def row(name: str, right: int, megabytes: float, top1: float = 0.99, of: int = 200, **more: Any) -> Row:
    items = [k < right for k in range(of)]
    return {
        "name": name,
        "gguf": True,
        "items": of,
        "va": share(right, of),
        "ex": share(right, of),
        "right": items,
        "perplexity": 1.5,
        "mean_kl": 0.01,
        "top1": top1,
        "bytes": int(megabytes * 1e6),
        "tokens_per_second": 100.0,
        "memory_mb": 90.0,
        "model_mb": 20.0,
    } | more


def test_the_smallest_file_that_loses_little_is_recommended() -> None:
    rows = [
        row("merged", 101, 1, gguf=False),
        row("F16", 100, 10, 1.0, mean_kl=0.0),
        row("Q8_0", 101, 6),
        row("Q4_K_M", 98, 3),
        row("Q4_K_S", 97, 2.9),
        row("Q2_K", 100, 2, top1=0.94),
    ]
    name, why = recommend(rows)
    assert name == "Q4_K_M" and "3.0 MB; EX 49.0 %" in why and "1 point of EX against F16" in why
    assert "at least 95%" in why and "One question of 200 is 0.5 points" in why
    assert ladder.lost_points(rows, "Q4_K_S") == 1.5 and ladder.lost_points(rows, "Q8_0") == -0.5
    assert recommend([rows[1], row("Q4_K_M", 90, 3)])[0] == "F16"
    assert name in ladder_report.text(rows) and ladder_report.findings(rows)["warning"] == ""


def test_a_watched_file_that_loses_too_much_is_named_in_red() -> None:
    reference = row("F16", 100, 10, 1.0)
    assert warning([reference]) == warning([reference, row("Q4_K_M", 98, 3)]) == ""
    few = warning([reference, row("Q4_K_M", 97, 3)])
    assert few.startswith("Q4_K_M loses 1.5 points of EX against F16, more than 1") and "do not show" in few
    assert "chance alone would rarely say so" in warning([reference, row("Q4_K_M", 80, 3)])
    assert ladder_report.RED in ladder_report.red("a < b").data and "a &lt; b" in ladder_report.red("a < b").data


@pytest.mark.parametrize(("right", "due"), [(98, False), (97, True)])
def test_the_command_prints_the_warning_in_red(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, right: int, due: bool
) -> None:
    rows = [row("F16", 100, 10, 1.0), row("Q4_K_M", right, 3)]  # 1 point lost, and 1.5
    monkeypatch.setattr(ladder, "of_run", lambda run: [])
    monkeypatch.setattr(ladder, "climb", lambda *given: rows)
    command = ["ladder", "--run", "x", "--items", "2", "--output", str(tmp_path)]
    done = CliRunner().invoke(cli.app, command, color=True)
    assert done.exit_code == 0, done.output
    assert ("\x1b[31mQ4_K_M loses 1.5 points of EX against F16" in done.output) == due
    assert due == bool(warning(rows)) and "Take " in done.output


def test_with_and_without_an_importance_matrix() -> None:
    rows = [row("F16", 100, 10), row("Q2_K", 90, 2, mean_kl=0.2), row("Q2_K_imatrix", 95, 2, mean_kl=0.1)]
    assert ladder_report.weighted_sentences(rows, "_imatrix") == [
        "Q2_K is closer with an importance matrix (KL 0.1 with the matrix, 0.2 without; EX 47.5 and 45.0 %)."
    ]
