"""Validation, correction and split of dataset files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.dataset.agreement import missing_literals
from heimdall_nb.dataset.correct import correct
from heimdall_nb.dataset.example import Example, load, save
from heimdall_nb.dataset.split import leakage, left_out, masked_overlap, split
from heimdall_nb.dataset.validate import compare, masked, validate
from heimdall_nb.errors import BadInput

GRAPHS = ("movies", "shop")


def example(number: int, category: str = "filter", graph: str = "movies", **changes: Any) -> Example:
    label, key = {"movies": ("Movie", "title"), "shop": ("Product", "sku")}[graph]
    values = {
        "instruction": "Write.",
        "input": f"Give the {key} of the first {number} {label}",
        "output": f"MATCH (a:{label}) RETURN a.{key} AS {key} LIMIT {number}",
        "category": category,
        "context_size": "small",
        "graph": graph,
        "check": "executed",
        "answer": f"{number:016x}",
        "style": "order",
        "template": category,
    }
    return Example(**(values | changes)).with_id()


def many(sizes: dict[str, int]) -> list[Example]:
    kinds = [(category, graph) for category, size in sizes.items() for graph in GRAPHS for _ in range(size // 2)]
    return [example(number, category, graph) for number, (category, graph) in enumerate(kinds, start=100)]


def write_lines(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return path


# ---- validation


def test_a_sound_file_is_ok(tmp_path: Path) -> None:
    report = validate(save(tmp_path / "good.jsonl", many({"filter": 10, "path": 6})))
    assert report.ok and report.examples == 16 and not report.fault_lines()
    assert report.balance["category"] == {"filter": 10, "path": 6}
    assert report.balance["graph"] == {"movies": 8, "shop": 8}
    assert report.duplicates == {"exact": 0, "normalised": 0, "query": 0, "masked query": 14}
    assert report.lengths["query"]["max"] == max(len(e.output) for e in many({"filter": 10, "path": 6}))
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_each_fault_has_its_line_and_field(tmp_path: Path) -> None:
    good = [vars(example(n)) | {"id": ""} for n in range(2, 9)]
    without = {k: v for k, v in good[1].items() if k != "output"}
    lines = [
        good[0],
        without,
        '{"broken": ',
        good[2] | {"context_size": "huge"},
        good[3] | {"output": good[3]["output"].replace("Movie", "Film")},
        good[4] | {"output": good[4]["output"].replace("LIMIT 6", "LIMIT 7")},
        "",
        good[0] | {"input": good[0]["input"].upper().replace("MOVIE", "movie")},
        good[0] | {"output": "MATCH (a:Movie) RETURN a.genre AS genre LIMIT 2"},
        vars(example(9)) | {"output": "MATCH (a:Movie) RETURN a.title AS title LIMIT 9  SKIP 9"},
        good[5] | {"graph": "films"},
        good[6] | {"part": 3},
    ]
    report = validate(write_lines(tmp_path / "bad.jsonl", lines))
    assert not report.ok
    found = [(fault.line, fault.field) for fault in report.faults]
    assert found == [
        (2, "output"),
        (3, ""),
        (4, "context_size"),
        (5, "output"),
        (6, "input"),
        (8, ""),
        (9, "input"),
        (9, "output"),
        (10, "id"),
        (11, "graph"),
        (12, "part"),
    ]
    text = "\n".join(report.fault_lines())
    assert "bad.jsonl, line 6, field 'input': does not say 7" in text and "repeats line 1" in text


def test_foreign_files_with_five_fields_are_accepted(tmp_path: Path) -> None:
    record = {"instruction": "Explain", "input": "", "output": "x", "category": "misc", "context_size": "small"}
    assert validate(write_lines(tmp_path / "f.jsonl", [record])).ok
    assert not validate(write_lines(tmp_path / "e.jsonl", [])).ok
    with pytest.raises(BadInput, match="nothing.jsonl"):
        validate(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize(
    ("question", "query", "missing"),
    [
        ("older than 30", "MATCH (a) WHERE a.x > 30 RETURN a.x AS x", []),
        ("older than 301", "MATCH (a) WHERE a.x > 30 RETURN a.x AS x", ["30"]),
        ("above 2.50", "MATCH (a) WHERE a.x > 2.5 RETURN a.x AS x", ["2.5"]),
        ("is O'Neil", "MATCH (a) WHERE a.x = 'O\\'Neil' RETURN a.x AS x", []),
        ("is drama", "MATCH (a) WHERE a.x = 'Drama' RETURN a.x AS x", ["'Drama'"]),
        ("after 2024-01-02.", "MATCH (a) WHERE a.x > date('2024-01-02') RETURN a.x AS x", []),
        ("in 1 to 2 steps", "MATCH (a)-[:R*1..2]->(b) RETURN b.x AS x", []),
        ("the first 3.", "MATCH (a2:L1) RETURN a2.x9 AS x9 LIMIT 3", []),
    ],
)
def test_missing_literals(question: str, query: str, missing: list[str]) -> None:
    assert missing_literals(question, query) == missing


def test_files_that_share_something_leak(tmp_path: Path) -> None:
    one = save(tmp_path / "one.jsonl", [example(n) for n in (2, 3, 4)])
    two = save(tmp_path / "two.jsonl", [example(n) for n in (5, 6)])
    three = save(tmp_path / "three.jsonl", [example(3, input="Other words, title of Movie: 3")])
    apart, shared = compare([one, two]), compare([one, two, three])
    assert apart.ok and apart.leaks == [] and list(apart.masked.values()) == [1.0]
    assert not shared.ok and [line.partition("share ")[2] for line in shared.leaks] == ["the query of lines 2 and 1"]
    assert json.loads(json.dumps(shared.to_json()))["ok"] is False and "1 leaks" in shared.text()


def test_masked_queries_differ_in_names_only() -> None:
    assert masked("MATCH (a) WHERE a.x = 'b' RETURN 1") == masked("MATCH (a)  WHERE a.x='c' RETURN 23")
    assert masked("MATCH (a) WHERE a.x = 'b' RETURN 1") != masked("MATCH (a) WHERE a.y = 'b' RETURN 1")


# ---- correction


def messy(path: Path) -> Path:
    good = many({"filter": 100, "path": 30, "order": 8})
    lines = [vars(e) for e in good] + ["not json", vars(good[0]) | {"id": ""}, {"instruction": "alone"}]
    return write_lines(path, lines)


def test_correction_mends_balances_backs_up_and_is_idempotent(tmp_path: Path) -> None:
    path = messy(tmp_path / "all.jsonl")
    original = path.read_bytes()
    with pytest.raises(BadInput, match="line 139: is not JSON"):
        correct(path, min_category_size=20, max_category_ratio=2.0, seed=1)
    assert path.read_bytes() == original and len(list(tmp_path.iterdir())) == 1
    done = correct(path, min_category_size=20, max_category_ratio=2.0, seed=1, drop_invalid=True)
    assert done["before"] == 141 and done["faulty_lines_removed"] == 2 and done["duplicates_removed"] == 1
    assert done["added"] == {"order": {"generated": 0, "copied": 12}}
    assert Counter(e.category for e in load(path)) == {"filter": 40, "path": 30, "order": 20}
    assert done["after"] == 90 and done["down_sampled"] == {"filter": 60}
    assert Path(done["backup"]).read_bytes() == original and validate(path).ok and validate(path).copies == 12
    once = path.read_bytes()
    again = correct(path, min_category_size=20, max_category_ratio=2.0, seed=1)
    assert again["backup"] is None and path.read_bytes() == once
    assert len(list(tmp_path.iterdir())) == 2


def test_a_generator_is_asked_before_copies_are_made(tmp_path: Path) -> None:
    path = save(tmp_path / "all.jsonl", many({"filter": 30, "order": 8}))

    def more(category: str, number: int, have: list[Example]) -> list[Example]:
        assert (category, number, len(have)) == ("order", 12, 8)
        return [have[0], *(example(n, category) for n in range(900, 905))]

    done = correct(path, min_category_size=20, generator=more)
    assert done["added"] == {"order": {"generated": 5, "copied": 7}}
    assert len({e.id for e in load(path)}) == len(load(path)) == 50


def test_contradictions_go_and_the_first_stays(tmp_path: Path) -> None:
    first, second = example(5), example(5, output="MATCH (a:Movie) RETURN DISTINCT a.title AS title LIMIT 5")
    path = save(tmp_path / "all.jsonl", [first, second])
    assert correct(path, min_category_size=0)["duplicates_removed"] == 1
    assert load(path) == [first]


def test_a_file_without_a_good_line_is_left_alone(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "all.jsonl", ["nonsense"])
    with pytest.raises(BadInput, match="no good example"):
        correct(path, drop_invalid=True)
    assert path.read_text() == "nonsense\n" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(BadInput):
        correct(path, max_category_ratio=0.5)


@given(
    st.lists(st.tuples(st.integers(2, 40), st.sampled_from(["filter", "path", "order"])), min_size=1, max_size=60),
    st.integers(0, 8),
    st.sampled_from([1.0, 1.5, 3.0]),
)
def test_correction_keeps_its_promises(items: list[tuple[int, str]], least: int, ratio: float) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = save(Path(folder) / "x.jsonl", [example(number, category) for number, category in items])
        correct(path, least, ratio)
        sizes = Counter(e.category for e in load(path))
        assert set(sizes) == {category for _, category in {n: c for n, c in reversed(items)}.items()}
        assert min(sizes.values()) >= min(least, max(sizes.values()))
        assert max(sizes.values()) <= max(1, ratio * min(sizes.values()))
        assert validate(path).ok
        assert correct(path, least, ratio)["backup"] is None


def test_a_killed_correction_leaves_a_whole_file(tmp_path: Path) -> None:
    """kill -9 at moments spread over the run: the file is the old or the new one, and a backup is whole."""
    code = (
        "import sys; from heimdall_nb.dataset.correct import correct; import heimdall_nb.dataset.benchmark\n"
        "print('go', flush=True)\n"
        "correct(sys.argv[1], 20, 2.0, drop_invalid=True)"
    )
    old = messy(tmp_path / "reference.jsonl").read_bytes()
    started = time.monotonic()
    correct(tmp_path / "reference.jsonl", 20, 2.0, drop_invalid=True)
    seconds = max(0.02, time.monotonic() - started)
    new = (tmp_path / "reference.jsonl").read_bytes()
    folder = tmp_path / "work"
    folder.mkdir()
    seen = set()
    for moment in range(15):
        path = messy(folder / "all.jsonl")
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"go\n"
        time.sleep(seconds * moment / 10)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert path.read_bytes() in (old, new)
        seen.add(path.read_bytes())
        assert all(backup.read_bytes() == old for backup in folder.glob("*.bak"))
        correct(path, 20, 2.0, drop_invalid=True)
        assert path.read_bytes() == new
        assert not list(folder.glob(".*")), "what the killed process left is removed"
        for file in folder.iterdir():
            file.unlink()
    assert old in seen, "no moment was early enough to prove anything"


def test_a_correction_killed_before_each_step_loses_nothing(tmp_path: Path) -> None:
    """The process kills itself at its first, second … call that touches a file, until it gets through."""
    code = (
        "import os, sys, filecmp, shutil; from heimdall_nb.dataset.correct import correct\n"
        "left = int(sys.argv[2])\n"
        "def dying(call):\n"
        "    def step(*given, **named):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if left == 0: os.kill(os.getpid(), 9)\n"
        "        return call(*given, **named)\n"
        "    return step\n"
        "steps = (os, 'fsync'), (os, 'replace'), (filecmp, 'cmp'), (shutil, 'copy2'), (shutil, 'copymode')\n"
        "for module, name in steps:\n"
        "    setattr(module, name, dying(getattr(module, name)))\n"
        "correct(sys.argv[1], 20, 2.0, drop_invalid=True)"
    )
    old = messy(tmp_path / "reference.jsonl").read_bytes()
    correct(tmp_path / "reference.jsonl", 20, 2.0, drop_invalid=True)
    new = (tmp_path / "reference.jsonl").read_bytes()
    folder = tmp_path / "work"
    folder.mkdir()
    for step in range(1, 40):
        path = messy(folder / "all.jsonl")
        ended = subprocess.run([sys.executable, "-c", code, str(path), str(step)], capture_output=True, text=True)
        backups = list(folder.glob("*.bak"))
        assert path.read_bytes() == old or (path.read_bytes() == new and backups)
        assert all(backup.read_bytes() == old for backup in backups)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert step >= 8 and path.read_bytes() == new


def test_two_corrections_at_once_are_refused_and_so_is_a_changed_file(tmp_path: Path) -> None:
    path = save(tmp_path / "all.jsonl", many({"filter": 30, "order": 8}))

    def second(category: str, number: int, have: list[Example]) -> list[Example]:
        with pytest.raises(BadInput, match="another process"):
            correct(path)
        return []

    assert correct(path, min_category_size=20, generator=second)["added"]["order"]["copied"] == 12

    def edit(category: str, number: int, have: list[Example]) -> list[Example]:
        path.write_text(path.read_text() + "\n")
        return []

    with pytest.raises(BadInput, match="changed by another process"):
        correct(path, min_category_size=60, generator=edit)
    assert path.read_text().endswith("\n\n") and not list(tmp_path.glob(".*"))


def test_repairs_need_no_judgement_and_are_counted(tmp_path: Path) -> None:
    stale = vars(example(3)) | {"output": "MATCH (a:Movie) RETURN DISTINCT a.title AS title LIMIT 3"}
    plain = {"instruction": "Explain transactions.", "output": "They are atomic.", "category": "misc"}
    known = {k: v for k, v in vars(example(4)).items() if k != "category"} | {"template": "lookup"}
    lines = [vars(example(2)) | {"input": f"  {example(2).input} "}, stale, plain, known]
    lines += [vars(example(6)) | {"template": None}, vars(example(7)) | {"note": "mine"}]
    done = correct(write_lines(tmp_path / "all.jsonl", lines), min_category_size=0, max_category_ratio=9)
    repairs = {"white space": 1, "id": 1, "input": 1, "context_size": 1, "category": 1, "null": 1, "unknown field": 1}
    assert done["repaired"] == repairs and done["faulty_lines_removed"] == 0 and done["after"] == 6
    assert validate(tmp_path / "all.jsonl").ok
    mended = load(tmp_path / "all.jsonl")
    assert mended[2].input == "" and mended[2].context_size == "small" and mended[3].category == "filter"


# ---- split


def varied() -> list[Example]:
    """Six graphs' worth of names on one real graph: groups of paraphrases over templates and styles."""
    found = []
    for number, item in enumerate(many({"filter": 240, "path": 240, "order": 240})):
        styles = (
            ("order", "question", "keywords") if number % 4 == 0 else (("order", "question", "keywords")[number % 3],)
        )
        for style in styles:
            changes = {"template": f"{item.category} {number % 5}", "style": style, "input": f"{style}: {item.input}"}
            found.append(Example(**(vars(item) | changes)).with_id())
    return found


def test_held_out_tests_are_disjoint_by_what_they_hold_out() -> None:
    examples = varied()
    sizes = {"validation": 30, "test": 40, "fewshot": 10, "template_test": 30, "graph_test": 30, "style_test": 30}
    parts = split(examples, 3, **sizes)
    wanted = {"validation": 30, "fewshot": 10, "test": 40, "test_template": 30, "test_graph": 30, "test_style": 30}
    assert {name: len(part) for name, part in parts.items() if name != "train"} == wanted
    assert leakage(parts) == [] and left_out(examples, parts) == len(examples) - sum(map(len, parts.values())) > 0
    for what in ("template", "graph", "style"):
        own = {getattr(e, what) for e in parts[f"test_{what}"]}
        assert own.isdisjoint(getattr(e, what) for name, part in parts.items() if name != f"test_{what}" for e in part)
    assert {e.category for e in parts["test_template"]} == {"filter", "path", "order"}
    assert parts == split(examples, 3, **sizes) != split(examples, 4, **sizes)
    moved = parts | {"train": [*parts["train"], parts["test_graph"][0]]}
    assert any("share the graph" in found for found in leakage(moved))


@pytest.mark.parametrize("name", ["template_test", "graph_test", "style_test"])
def test_a_held_out_test_that_cannot_be_filled_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="can be set apart by holding"):
        split(varied(), 3, 5, 5, 5, **{name: 700})
    with pytest.raises(BadInput, match="negative"):
        split(varied(), 3, 5, 5, 5, **{name: -1})


def paraphrased() -> list[Example]:
    """Each third query is asked in three wordings."""
    found = []
    for item in many({"filter": 120, "path": 60, "order": 40, "write": 30}):
        changes = {"answer": None} if item.category == "write" else {}
        found.append(Example(**(vars(item) | changes)))
        number = int(item.output.split()[-1])
        if number % 3 == 0:
            for style in ("question", "keywords"):
                text = f"{style} {item.input}"
                found.append(Example(**(vars(item) | changes | {"input": text, "style": style})).with_id())
    return found


def test_parts_have_their_sizes_and_share_nothing() -> None:
    examples = paraphrased()
    parts = split(examples, 3, validation=30, test=40, fewshot=10)
    assert {name: len(part) for name, part in parts.items()} == {
        "train": len(examples) - 80,
        "validation": 30,
        "fewshot": 10,
        "test": 40,
    }
    assert leakage(parts) == []
    assert sorted(e.id for part in parts.values() for e in part) == sorted(e.id for e in examples)
    assert all(e.answer for name in ("test", "fewshot") for e in parts[name])
    shares = Counter(e.graph for e in parts["test"])
    assert abs(shares["movies"] - shares["shop"]) <= 8
    assert set(Counter(e.category for e in parts["test"])) == {"filter", "path", "order"}
    assert Counter(e.category for e in parts["test"])["filter"] > Counter(e.category for e in parts["test"])["order"]
    assert parts == split(examples, 3, 30, 40, 10) != split(examples, 4, 30, 40, 10)
    assert masked_overlap(parts)["test"] == 1.0


def test_leakage_finds_what_is_shared() -> None:
    one = example(5)
    again = Example(**(vars(one) | {"input": "Other words", "output": one.output.lower()})).with_id()
    asked = Example(**(vars(one) | {"output": "MATCH (a:Movie) RETURN 5", "input": one.input + " "})).with_id()
    assert leakage({"train": [one], "test": [example(6)]}) == []
    assert ["query" in line for line in leakage({"train": [one], "test": [again]})] == [True]
    assert any("share the question" in line for line in leakage({"train": [one], "test": [asked]}))
    assert len(leakage({"train": [one], "test": [one]})) == 3


def test_too_small_a_dataset_says_so() -> None:
    with pytest.raises(BadInput, match="leave nothing"):
        split(paraphrased()[:50], 1, 20, 20, 10)
    writes = [Example(**(vars(e) | {"answer": None})) for e in many({"write": 100})]
    with pytest.raises(BadInput, match="test"):
        split(writes, 1, 10, 20, 5)
