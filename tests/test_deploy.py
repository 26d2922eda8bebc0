"""The fact pack, the deployment folder, and the checklist that ticks nothing without a figure."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb import actions, prompts
from heimdall_nb.deploy import bundle, checklist, nornicdb, trials
from heimdall_nb.errors import BadInput
from heimdall_nb.exercises import nb09
from heimdall_nb.facts import load_pack
from heimdall_nb.models.protocol import Completion
from heimdall_nb.run import Run, write_json

FACTS = load_pack()
QUESTION = prompts.conversation("Who lives in Oslo?", "(:Person {name: STRING})")
SCORE = {
    "items": 100,
    "ex": {"value": 0.8, "low": 0.71, "high": 0.87},
    "floor": {"value": 0.05},
    "seconds": {"median": 0.04},
}


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A file that begins as GGUF; enough for placing it."""
    path = tmp_path / "heimdall-Q4_K_M.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    return path


def build(gguf: Path, folder: Path, **changes: object) -> dict[str, Path]:
    arguments = {"context_size": 1024, "scores": {"EX": "80.0 % (71.1-86.7)"}, "question": QUESTION} | changes
    return {path.name: path for path in nornicdb.build("nano", gguf, folder, **arguments)}


# --- fact pack


def test_the_pack_knows_the_settings_and_the_names_to_avoid() -> None:
    assert FACTS.commit == "e27b278" and FACTS.licence == "MIT"
    assert {item.id for item in FACTS.of_kind("setting")} >= {"heimdall.model", "heimdall.context_size"}
    assert all(item.env.startswith("NORNICDB_") for item in FACTS.of_kind("setting"))
    read = {item.id for item in FACTS.of_kind("setting")} | {item.env for item in FACTS.of_kind("setting")}
    assert not read & {item.value for item in FACTS.of_kind("not_read")}
    assert all(item.source.endswith(".go") for item in FACTS.facts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("facts: [{id: a, kind: limit}]", "fact 1 needs id, kind and source"),
        ("facts: [{id: a, kind: odd, source: s, value: 1}]", "unknown kind 'odd'"),
        ("facts: [{id: a, kind: limit, source: s, value: 1, colour: red}]", "needs value and only"),
        ("facts: [{id: a, kind: setting, source: s, value: 1, type: boolean}]", "needs a type"),
        ("facts: [{id: a, kind: limit, source: s, value: 1}, {id: a, kind: limit, source: s, value: 2}]", "twice"),
        ("facts: [", "is not YAML"),
        ("other: 1", "lacks pack, source or facts"),
    ],
)
def test_a_faulty_pack_is_refused_with_its_faults(tmp_path: Path, change: str, said: str) -> None:
    header = "pack: p\nsource: {repository: r, commit: c, licence: MIT}\n"
    (tmp_path / "p.yaml").write_text(header + change)
    with pytest.raises(BadInput, match=said):
        load_pack("p", tmp_path)


def test_a_missing_pack_or_fact_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is missing"):
        load_pack("none", tmp_path)
    with pytest.raises(BadInput, match="has no fact 'no.such'"):
        FACTS.fact("no.such")


# --- configuration


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("heimdall.top_k", 40, "does not read"),
        ("heimdall.model_path", "m.gguf", "name it in heimdall.model"),
        ("heimdall.invented", 1, "is not among the keys"),
        ("heimdall.max_tokens", "many", "must be integer"),
        ("heimdall.max_tokens", True, "must be integer"),
        ("heimdall.enabled", 1, "must be boolean"),
    ],
)
def test_only_keys_that_the_server_reads_are_written(key: str, value: object, said: str) -> None:
    for write in (nornicdb.yaml_text, nornicdb.environment_text):
        with pytest.raises(BadInput, match=said):
            write({"heimdall.enabled": True, key: value}, FACTS)


@given(st.integers(256, 32768), st.integers(1, 255), st.floats(1.0, 6.0))
def test_prompt_budgets_never_overflow_the_context(context: int, new: int, ratio: float) -> None:
    chosen = nornicdb.settings("m", context, new, ratio, FACTS)
    budget = chosen["heimdall.max_context_tokens"]
    assert chosen["heimdall.max_system_tokens"] + chosen["heimdall.max_user_tokens"] == budget
    characters = budget / FACTS.fact("limit.tokens_per_character").value
    assert characters / ratio + new <= context
    assert chosen["heimdall.batch_size"] <= context


def test_keys_of_the_guides_are_explained_where_they_would_be_looked_for() -> None:
    chosen = {"heimdall.enabled": True}
    for text in (nornicdb.yaml_text(chosen, FACTS), nornicdb.environment_text(chosen, FACTS)):
        settings, _, comments = text.partition("# Not here,")
        for key in ("model_path", "threads", "top_p", "top_k", "repeat_penalty", "cache_enabled", "cache_size"):
            assert f"heimdall.{key}: " in comments and key not in settings
        assert "heimdall.model_path: put the file in a model folder and name it in heimdall.model" in comments
        assert "heimdall.threads: the server chooses" in comments and "nothing:" not in comments
    assert yaml.safe_load(nornicdb.yaml_text(chosen, FACTS)) == {"heimdall": {"enabled": True}}


def test_a_context_without_room_is_refused() -> None:
    with pytest.raises(BadInput, match="leaves no room"):
        nornicdb.settings("m", 192, 192, 4.0, FACTS)


# --- folder


def test_the_folder_has_a_configuration_that_names_its_model(gguf: Path, tmp_path: Path) -> None:
    files = build(gguf, tmp_path / "deploy", characters_per_token=2.5)
    configured = yaml.safe_load(files["nornicdb.yaml"].read_text())
    assert set(configured) == {"heimdall"}
    assert all(FACTS.setting_fault(f"heimdall.{key}", value) is None for key, value in configured["heimdall"].items())
    assert configured["heimdall"]["context_size"] == 1024
    model = tmp_path / "deploy" / "models" / f"{configured['heimdall']['model']}.gguf"
    assert model.read_bytes() == gguf.read_bytes() and model in files.values()
    environment = dict(
        line.split("=") for line in files["nornicdb.env.example"].read_text().splitlines() if line[0] != "#"
    )
    assert (
        environment["NORNICDB_HEIMDALL_CONTEXT_SIZE"] == "1024" and environment["NORNICDB_HEIMDALL_ENABLED"] == "true"
    )
    assert len(environment) == len(configured["heimdall"])
    assert json.loads(files["question.json"].read_text()) == {"messages": QUESTION}


def test_the_texts_say_where_how_and_how_good(gguf: Path, tmp_path: Path) -> None:
    files = build(gguf, tmp_path)
    readme, card = files["README.md"].read_text(), files["MODEL_CARD.md"].read_text()
    for fact in ("command.serve", "prompt.answer"):
        assert FACTS.fact(fact).value in readme
    assert all(folder in readme for folder in FACTS.fact("model.folders").value)
    assert "/api/bifrost/chat/completions" in readme and "not enforced" in readme and "{" + "name}" not in readme
    assert "| EX | 80.0 % (71.1-86.7) |" in card
    assert "Nothing was measured." in build(gguf, tmp_path, scores={})["MODEL_CARD.md"].read_text()


def test_other_programs_get_what_they_need(gguf: Path, tmp_path: Path) -> None:
    files = build(gguf, tmp_path, origin={"licence": "MIT"})
    script = files["serve.sh"].read_text()
    assert subprocess.run(["sh", "-n", str(files["serve.sh"])]).returncode == 0
    assert "--model models/heimdall-nano.gguf --ctx-size 1024 --n-predict 192" in script
    assert "~/.lmstudio/models/heimdall/heimdall-nano/" in files["README.md"].read_text()
    assert files["actions.gbnf"].read_text() == actions.grammar(192)
    assert files["LICENSE"].read_text().startswith("MIT License")
    other = build(gguf, tmp_path, origin={"licence": "Apache-2.0"})["LICENSE"].read_text()
    assert other.startswith("Licence of the weights: Apache-2.0.") and "base model" in other
    assert "not stated" in bundle.licence_text("")


# --- sums


def sha256sum(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sha256sum", "-c", bundle.SUMS], cwd=folder, capture_output=True, text=True)


def test_the_sums_are_those_of_sha256sum(gguf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    files = build(gguf, folder)
    done = sha256sum(folder)
    assert done.returncode == 0 and done.stdout.count(": OK") == len(files) - 1
    assert bundle.unsealed(folder) == []
    files["README.md"].write_text("changed")
    (folder / "new.txt").write_text("new")
    (folder / "LICENSE").unlink()
    assert sha256sum(folder).returncode == 1
    assert bundle.unsealed(folder) == ["LICENSE", "README.md", "new.txt"]
    bundle.seal(folder)
    assert sha256sum(folder).returncode == 0 and bundle.unsealed(folder) == []
    (folder / bundle.SUMS).write_text("no sums\n")
    with pytest.raises(BadInput, match="line 1: is no line of sums"):
        bundle.unsealed(folder)
    with pytest.raises(BadInput, match="is missing"):
        bundle.unsealed(folder / "models")


def test_building_again_replaces_and_leaves_nothing_behind(gguf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    build(gguf, folder)
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    build(gguf, folder)
    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    gguf.unlink()
    gguf.write_bytes(b"GGUF new")
    build(gguf, folder)
    assert (folder / "models" / "heimdall-nano.gguf").read_bytes() == b"GGUF new"
    assert not [path for path in folder.rglob(".*")]


def test_the_model_is_copied_where_links_are_not_possible(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(nornicdb.os, "link", refuse)
    target = nornicdb.place(gguf, tmp_path / "models" / "m.gguf")
    assert target.read_bytes() == gguf.read_bytes() and not target.samefile(gguf)


def test_a_missing_or_foreign_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        nornicdb.place(tmp_path / "none.gguf", tmp_path / "m.gguf")
    (tmp_path / "other.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInput, match="is not a GGUF file"):
        nornicdb.place(tmp_path / "other.gguf", tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()
    with pytest.raises(BadInput, match="is not a complete GGUF file"):
        nornicdb.origin_of(tmp_path / "other.gguf")


# --- checklist


def finished_run(root: Path) -> Run:
    """A run with the metrics that the stages write, and a deployed folder."""
    run = Run("unit", root=root)
    run.artifact("dataset/all.jsonl").write_text("{}\n" * 6000)
    entry = {
        "bytes": 3e6,
        "bits_per_weight": 4.9,
        "ids_equal": 50,
        "texts": 50,
        "greedy_equal": 20,
        "greedy": 20,
        "ok": True,
    }
    worse = SCORE | {"ex": {"value": 0.3, "low": 0.22, "high": 0.4}}
    metrics = {
        "04": {"files": {"Q4_K_M": entry}},
        "05": {"scores": {"Q4_K_M": SCORE}, "headline": {"EX": "80.0 %"}},
        "06": {"recommended_context": 1024},
        "07": {"scores": {"fine-tuned": SCORE, "few-shot": worse, "fine-tuned few-shot": SCORE}},
    }
    for stage, values in metrics.items():
        write_json(run.path / "metrics" / f"{stage}.json", values)
    source = run.artifact("gguf/heimdall-Q4_K_M.gguf")
    source.write_bytes(b"GGUF")
    build(source, run.artifact("deploy/README.md").parent)
    return run


ACTIONS = {name: {"value": 1.0, "low": 0.9, "high": 1.0} for name in ("parses", "known", "right_action")} | {
    "items": 40
}
TRIALS = [
    trials.Trial("heimdall serve", "0.1", "c", "same answer", "x"),
    trials.Trial("Ollama", "", "c", "untried", "y"),
]
ANSWERED = Completion("MATCH (n) RETURN n", 50, 8, 0.02, "ok")


def test_a_run_that_met_every_goal_is_ticked_with_figures(tmp_path: Path) -> None:
    items = checklist.checklist(finished_run(tmp_path), "Q4_K_M", ANSWERED, TRIALS, ACTIONS)
    assert checklist.counts(items) == {"done": 12, "not done": 0, "cannot be done here": 5}
    figures = {item.what: item.figure for item in items}
    assert "EX 80.0% (71.0% to 87.0%) on 100 questions, floor 5.0%" in figures["Accuracy on held-out questions"]
    assert figures["Latency"].startswith("median 40 ms")
    assert all(any(c.isdigit() for c in item.figure) for item in items if item.state == "done")


def test_an_empty_run_has_no_tick(tmp_path: Path) -> None:
    items = checklist.checklist(Run("unit", root=tmp_path))
    assert checklist.counts(items)["done"] == 0
    assert {item.figure for item in items if item.state == "not done"} == {"not measured yet"}
    assert all("--only 0" in item.measured_by for item in items if item.state == "not done")


@pytest.mark.parametrize(
    ("stage", "path", "value", "what"),
    [
        ("04", "files.Q4_K_M.ok", False, "The file is the model that was trained"),
        ("05", "scores.Q4_K_M.ex.value", 0.69, "Accuracy on held-out questions"),
        ("05", "scores.Q4_K_M.seconds.median", 0.7, "Latency"),
        ("06", "recommended_context", 2048, "The context holds every prompt"),
        ("07", "scores.few-shot.ex.high", 0.72, "Better than the base model with examples in the prompt"),
    ],
)
def test_a_missed_goal_is_not_done_and_shows_its_figure(
    tmp_path: Path, stage: str, path: str, value: object, what: str
) -> None:
    run = finished_run(tmp_path)
    metrics = run.metrics(stage)
    *folders, last = path.split(".")
    place = metrics
    for name in folders:
        place = place[name]
    place[last] = value
    write_json(run.path / "metrics" / f"{stage}.json", metrics)
    item = next(i for i in checklist.checklist(run, "Q4_K_M", ANSWERED) if i.what == what)
    assert item.state == "not done" and any(c.isdigit() for c in item.figure)


def test_what_stage_09_finds_is_ticked_only_when_it_is_so(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    other = [*TRIALS, trials.Trial("llama.cpp's server", "7", "c", "other answer", "z")]
    unread = ACTIONS | {"parses": {"value": 0.975}}
    (run.path / "artifacts" / "deploy" / "README.md").write_text("changed")
    found = {item.what: item for item in checklist.checklist(run, "Q4_K_M", ANSWERED, other, unread)}
    for what, figure in (
        ("Other programs give the same answer", "1 of 2 that could be tried"),
        ("Answers in the server's form", "97.5% of 40 answers parse"),
        ("The folder is whole", "9 of 10 files"),
    ):
        assert found[what].state == "not done" and figure in found[what].figure
    untried = checklist.checklist(run, "Q4_K_M", ANSWERED, TRIALS[1:])
    assert next(i for i in untried if i.what.startswith("Other programs")).state == "not done"


def test_the_checklist_is_a_page_of_the_folder(tmp_path: Path) -> None:
    items = checklist.checklist(finished_run(tmp_path), "Q4_K_M", ANSWERED, TRIALS, ACTIONS)
    page = checklist.markdown(items, TRIALS, "unit")
    assert all(item.what in page and item.state in page for item in items)
    assert "| heimdall serve | 0.1 | `c` | same answer | x |" in page and "| Ollama |  | `c` | untried | y |" in page
    assert "None was tried." in checklist.markdown(items, [], "unit")


def test_a_large_kind_is_not_a_small_quantisation(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    entry = run.metrics("04")["files"]["Q4_K_M"]
    write_json(run.path / "metrics" / "04.json", {"files": {"F16": entry}})
    item = next(i for i in checklist.checklist(run, "F16") if i.what == "Exported in a small quantisation")
    assert item.state == "not done" and item.figure.startswith("F16")


def test_no_tick_without_a_figure() -> None:
    with pytest.raises(ValueError, match="cannot be 'done'"):
        checklist.Item("x", "done", "", "make")
    with pytest.raises(ValueError, match="cannot be 'maybe'"):
        checklist.Item("x", "maybe", "1", "make")  # type: ignore[arg-type]


def test_scores_are_the_headlines_of_finished_stages(tmp_path: Path) -> None:
    assert checklist.scores(finished_run(tmp_path)) == {"EX": "80.0 %"}


# --- exercises


def test_exercises_accept_the_right_answer_and_hint_at_others() -> None:
    sent = ["heimdall.enabled", "heimdall.threads", "heimdall.nonsense"]
    assert nb09.check_1({"heimdall.threads", "heimdall.nonsense"}, sent, FACTS) is None
    assert nb09.check_1({"heimdall.enabled"}, sent, FACTS) and nb09.check_1(3, sent, FACTS)
    right = nornicdb.settings("m", 4096, 192, 3.0, FACTS)["heimdall.max_context_tokens"]
    assert nb09.check_2(right, 192, 3.0, FACTS) is None and nb09.check_2(4096, 192, 3.0, FACTS)
    action = {"action": "heimdall.watcher.query", "params": {"cypher": "RETURN 1"}}
    assert nb09.check_3(json.dumps(action), "RETURN 1", FACTS) is None
    assert nb09.check_3(json.dumps(action), "RETURN 2", FACTS) and nb09.check_3("RETURN 1", "RETURN 1", FACTS)
