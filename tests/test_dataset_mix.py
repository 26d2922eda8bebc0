"""A whole dataset: the exact mix, the same bytes, every graph, nothing of the benchmark."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.dataset import mix
from heimdall_nb.dataset.audit import audit
from heimdall_nb.dataset.benchmark import SETS, benchmark, held_out
from heimdall_nb.dataset.card import card
from heimdall_nb.dataset.example import Example, load, normalise
from heimdall_nb.dataset.generate import ENUMERATED, ENUMERATION, chosen, turns
from heimdall_nb.dataset.graphs import schema_names
from heimdall_nb.dataset.questions import BENCHMARK_STYLES, STYLES
from heimdall_nb.dataset.sizes import context_size
from heimdall_nb.dataset.templates import PARTS, templates
from heimdall_nb.errors import BadInput

GRAPHS = ("memory", "movies", "shop")
EXAMPLES = 400


@pytest.fixture(scope="module")
def made(tmp_path_factory: Any) -> tuple[Path, list[Example]]:
    path = tmp_path_factory.mktemp("mix") / "all.jsonl"
    mix.write(path, mix.plan(EXAMPLES, 5, GRAPHS), workers=1)
    return path, load(path)


def test_the_mix_is_exact_in_the_whole_and_near_in_every_beginning(made: tuple[Path, list[Example]]) -> None:
    _, examples = made
    shares = dict(zip(PARTS, (0.3, 0.4, 0.2, 0.1), strict=True))
    assert Counter(e.part for e in examples) == {part: EXAMPLES * share for part, share in shares.items()}
    for end in range(1, EXAMPLES):
        counts = Counter(e.part for e in examples[:end])
        assert all(abs(counts[part] - end * share) <= 1.5 for part, share in shares.items())


def test_the_same_plan_gives_the_same_bytes_in_one_process_or_two(
    made: tuple[Path, list[Example]], tmp_path: Path
) -> None:
    path, _ = made
    mix.write(tmp_path / "two.jsonl", mix.plan(EXAMPLES, 5, GRAPHS), workers=2)
    assert (tmp_path / "two.jsonl").read_bytes() == path.read_bytes()
    assert [item.name for item in tmp_path.iterdir()] == ["two.jsonl"]  # no temporary file stays


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    gone, alive = tmp_path / ".all.jsonl.999999999.parts", tmp_path / f".all.jsonl.{os.getppid()}.parts"
    for folder in (gone, alive):
        folder.mkdir()
    mix.write(tmp_path / "all.jsonl", mix.plan(100, 5, GRAPHS, "0/100/0/0"), workers=1)
    assert not gone.exists() and alive.exists() and (tmp_path / "all.jsonl").exists()


def test_another_seed_gives_other_questions(made: tuple[Path, list[Example]], tmp_path: Path) -> None:
    mix.write(tmp_path / "other.jsonl", mix.plan(100, 6, GRAPHS), workers=1)
    same = {e.input for e in made[1]} & {e.input for e in load(tmp_path / "other.jsonl")}
    assert len(same) < 50


def test_the_audit_finds_nothing_wrong_and_finds_what_is_broken(
    made: tuple[Path, list[Example]], two_engines: Any
) -> None:
    path, examples = made
    found = audit(examples, two_engines, 5, 60)
    assert {claim: counts["failed"] for claim, counts in found.items() if counts["failed"]} == {}
    assert all(counts["checked"] > 0 for counts in found.values())
    assert found["a read finds something, on two graphs"]["checked"] > 60

    read = next(e for e in examples if e.part == "cypher" and e.answer and "WHERE" in e.output)
    text = next(e for e in examples if e.part == "nornicdb" and e.task == "cypher")
    broken = [
        _with(read, output=read.output + " LIMIT 0"),
        _with(text, output="CALL algo.pageRank('A', 'B') YIELD node RETURN node"),
        _with(text, output="CALL algo.pageRank('A', 'B') YIELD node RETURN node"),
    ]
    failed = {claim for claim, counts in audit(broken, two_engines, 5, 60).items() if counts["failed"]}
    assert {
        "a read finds something, on two graphs",
        "literals and names agree",
        "the fact pack knows every name",
        "not taught as if it worked: algo.* procedures",
        "question and answer occur once",
    } <= failed
    text_card = card(path, examples, mix.plan(EXAMPLES, 5, GRAPHS), found, "heimdall generate …")
    assert f"| cypher | {EXAMPLES * 3 // 10} | {EXAMPLES * 3 // 10} | 30.0% |" in text_card
    assert "| a question has one answer | 400 | 0 |" in text_card


def _with(example: Example, **changes: str) -> Example:
    return Example(**(json.loads(example.to_json()) | changes))


def test_nothing_of_the_benchmark_is_generated(made: tuple[Path, list[Example]]) -> None:
    texts = held_out()
    assert len(texts) > 2 * 5 * 250
    for example in made[1]:
        assert example.style in STYLES and example.style not in BENCHMARK_STYLES
        graph = example.graph or ""
        assert (graph, normalise(example.input)) not in texts and (graph, normalise(example.output)) not in texts
    reserved = {t.name for part in PARTS for t in templates(part).values() if t.benchmark}
    assert reserved and not reserved & {e.template for e in made[1]}
    assert not set(schema_names(benchmark=True)) & set(schema_names())


@pytest.mark.parametrize("name", SETS)
def test_the_benchmark_is_what_it_says(name: str) -> None:
    items = benchmark(name)
    assert len(items) == 300 and len({(e.graph, normalise(e.input)) for e in items}) == 300
    reserved = {t.name for t in templates("cypher").values() if t.benchmark}
    assert {e.template in reserved for e in items} == {name == "template"}
    assert {e.style in BENCHMARK_STYLES for e in items} == {name == "style"}
    assert {e.graph in schema_names(benchmark=True) for e in items} == {name == "graph"}
    assert {e.part == "cypher" for e in items} == {name != "operations"}


@given(st.integers(1, 100_000), st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any))
def test_quotas_are_exact_and_within_one_of_their_shares(number: int, shares: list[int]) -> None:
    parts = mix.divided(number, shares)
    assert sum(parts) == number
    assert all(abs(part - number * share / sum(shares)) < 1 for part, share in zip(parts, shares, strict=True))


@given(st.text(max_size=30))
def test_a_mix_is_read_or_refused(text: str) -> None:
    try:
        shares = mix.parse_mix(text)
    except BadInput as problem:
        assert "mix" in str(problem)
    else:
        assert set(shares) <= set(PARTS) and sum(shares.values()) > 0


def test_the_enumeration_has_its_share() -> None:
    import random

    drawn = [t.family for _, t in zip(range(2000), turns(chosen("cypher"), {}, random.Random(1)), strict=False)]
    assert drawn.count(ENUMERATION) == pytest.approx(2000 * ENUMERATED, abs=1)


def test_a_focus_limits_the_families() -> None:
    plan = mix.plan(1000, 7, GRAPHS, focus="optimize")
    assert sum(plan.quotas().values()) == 1000 and plan.quotas()["nornicdb"] == 600
    assert {t.family for t in plan.templates("nornicdb")} == {"profiling", "optimization", "statistics", "indexing"}
    for focus in mix.presets_of_mix():
        assert all(mix.plan(100, 7, GRAPHS, focus=focus).templates(part) for part in PARTS)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"examples": 0}, "examples"),
        ({"graphs": ("nowhere",)}, "nowhere"),
        ({"focus": "speed"}, "speed"),
        ({"mix": "1/2/3"}, "1/2/3"),
        ({"mix": "sql=100"}, "sql"),
    ],
)
def test_bad_plans_are_refused(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(BadInput, match=word):
        mix.plan(**({"examples": 100, "seed": 1} | arguments))


def test_too_many_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    plan = mix.Plan(5000, 5, ("movies",), {"nornicdb": 1}, {"nornicdb": ["schema"]})
    with pytest.raises(BadInput, match="run out"):
        mix.write(tmp_path / "none.jsonl", plan, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_context_sizes_follow_length_and_structure() -> None:
    one_hop = "MATCH (a:A)-[:R]->(b:B) RETURN b.x AS x"
    stages = "MATCH (a:A) WITH a.x AS x, count(*) AS n MATCH (b:B) WHERE b.x = x WITH x, n, b RETURN x, n, b.y AS y"
    assert context_size(400, "MATCH (a:A) RETURN a.x AS x") == "small"
    assert context_size(400, one_hop) == "medium"
    assert context_size(400, "MATCH (a:A) WHERE a.x STARTS WITH 'WITH' RETURN a.x AS x") == "small"
    assert context_size(400, "MATCH (a:A) WITH a.x AS x, count(*) AS n WHERE n > 1 RETURN x") == "large"
    assert context_size(400, stages) == "xl"
    assert [context_size(n) for n in (1_000, 3_000, 6_000, 9_000)] == ["small", "medium", "large", "xl"]
