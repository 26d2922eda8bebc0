"""A user's own examples and a NornicDB checkout beside the generated examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heimdall_nb.dataset import mix
from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.dataset.example import load
from heimdall_nb.dataset.extras import custom, from_repository
from heimdall_nb.dataset.validate import validate
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS

MINE = {
    "instruction": "Answer a question about NornicDB.",
    "input": "Where do our own models lie?",
    "output": "In /srv/models.",
    "category": "ours",
    "context_size": "small",
}


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_own_examples_stand_beside_the_number_asked_for(tmp_path: Path) -> None:
    mine = custom(write(tmp_path / "mine.jsonl", MINE))
    plan = mix.plan(100, 3, ("movies",), "0/100/0/0")
    mix.write(tmp_path / "all.jsonl", plan, 1, mine)
    found = load(tmp_path / "all.jsonl")
    assert len(found) == 101 and found[-1].input == MINE["input"] and found[-1].category == "ours"
    again = mix.Plan(100, 3, ("movies",), plan.mix)
    mix.write(tmp_path / "again.jsonl", again, 1, [found[0]])  # what is there already is not made again
    assert found[0].input not in [e.input for e in load(tmp_path / "again.jsonl")[:-1]]
    assert validate(tmp_path / "again.jsonl").ok


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([MINE, MINE], "line 2.*line 1"),
        ([MINE | {"output": ""}], "line 1.*output"),
        ([{"input": "?"}], "line 1"),
        ([], "no example"),
        (
            [MINE | {"instruction": TASKS["cypher"], "graph": "movies", "output": "MATCH (a:Dragon) RETURN a.x AS x"}],
            "Dragon",
        ),
    ],
)
def test_faulty_examples_are_located(records: list[dict[str, Any]], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        custom(write(tmp_path / "mine.jsonl", *records))


def test_the_benchmark_cannot_come_in(tmp_path: Path) -> None:
    item = vars(benchmark("iid")[0])
    with pytest.raises(BadInput, match="benchmark"):
        custom(write(tmp_path / "mine.jsonl", item))


def test_a_checkout_gives_examples_that_pass_all_checks(tmp_path: Path, arcadedb: Any) -> None:
    code = tmp_path / "pkg" / "cypher"
    code.mkdir(parents=True)
    (code / "call.go").write_text(
        'package cypher\nfunc run(q string) {\n if strings.Contains(q, "DB.OWN.COUNTRIES") { countries() }\n'
        ' os.Getenv("NORNICDB_OWN_LIMIT")\n}\n// db.own.countries lists them\n',
        encoding="utf-8",
    )
    (tmp_path / "docs.md").write_text(
        "```cypher\nMATCH (c:Country)-[:BORDERS]->(d:Country) WHERE c.code = 'PT' RETURN d.name AS name\n```\n"
        "```cypher\nMATCH (c:Country) RETRUN c\n```\n"
        "```cypher\nCALL algo.pageRank('Country', 'BORDERS') YIELD node RETURN node\n```\n",
        encoding="utf-8",
    )
    made, report = from_repository(tmp_path, arcadedb)
    assert [e.output for e in made] == [
        "MATCH (c:Country)-[:BORDERS]->(d:Country) WHERE c.code = 'PT' RETURN d.name AS name"
    ] * 2
    assert all("PT" in e.input and e.category == "repository" for e in made)
    assert report["statements"] == 3 and report["procedures and variables"] == 2 and report["examples"] == 2
    assert sum(number for what, number in report.items() if what.startswith("left out")) == 2


def test_another_folder_is_refused(tmp_path: Path, arcadedb: Any) -> None:
    with pytest.raises(BadInput, match="NornicDB"):
        from_repository(tmp_path, arcadedb)
