"""Kinds of error: one known edit of each kind, applied to the benchmark's golds, is recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import load_schema
from heimdall_nb.evaluation import errors
from heimdall_nb.evaluation.metrics import ItemScore
from heimdall_nb.evaluation.shape import shape

GOLDS = [e for name in ("iid", "template", "graph") for e in benchmark(name)]
READS = [e for e in GOLDS if "SET " not in e.output and e.category != "write"]
NAME = r"(?:`[^`]+`|[^\W\d]\w*)"


def swapped(pattern: str, new: str | Callable[[re.Match[str]], str]) -> Callable[[Example], str]:
    """An edit: the first match of `pattern` replaced; no change where there is none."""
    return lambda e: re.sub(pattern, new, e.output, count=1)


def other_name(pattern: str, names: Callable[[Example, re.Match[str]], list[str]]) -> Callable[[Example], str]:
    """An edit: group 1 of the first match of `pattern` becomes another of `names`."""

    def edit(e: Example) -> str:
        match = re.search(pattern, e.output)
        others = [n for n in names(e, match) if n != match[1]] if match else []
        return e.output[: match.start(1)] + others[0] + e.output[match.end(1) :] if match and others else e.output

    return edit


def labels(e: Example, _: object) -> list[str]:
    return sorted(load_schema(e.graph).labels)


def types(e: Example, _: object) -> list[str]:
    return sorted({r.type for r in load_schema(e.graph).relationships})


def reverse(e: Example) -> str:
    """The first hop leads the other way."""
    match = re.search(r"\)-(\[[^\]]*\])->\(|\)<-(\[[^\]]*\])-\(", e.output)
    if not match:
        return e.output
    new = f")<-{match[1]}-(" if match[1] else f")-{match[2]}->("
    return e.output[: match.start()] + new + e.output[match.end() :]


VALUE = r"(?:'[^']*'|-?\d+(?:\.\d+)?|true|false|date\('[^']*'\))"
TEST = rf"\w\.{NAME} (?:=|<>|<=|>=|<|>|CONTAINS|STARTS WITH|ENDS WITH) {VALUE}"
EDITS: dict[str, Callable[[Example], str]] = {
    "direction": reverse,
    "wrong label": other_name(r"^MATCH \(a:(\w+)\)", labels),
    "wrong relationship type": other_name(r"\[r?:(\w+)\]", types),
    "missing hop": swapped(r"(\(a[^)]*\))-\[:\w+\]->\(b:\w+\)-\[:\w+\]->", r"\1-[:LEFT]->"),
    "extra hop": swapped(r"^MATCH (\(a:(\w+)\)) (WHERE|RETURN|WITH)", r"MATCH \1-[:EXTRA]->(zz:Thing) \3"),
    "path length": swapped(r"\*(\d?)\.\.(\d)", r"*\1..9"),
    "optional": swapped(r"OPTIONAL MATCH", "MATCH"),
    "wrong property": swapped(rf"(RETURN (?:DISTINCT )?\w)\.{NAME}", r"\1.otherProperty"),
    "missing condition": swapped(rf" WHERE {TEST} (RETURN|SET|DETACH|DELETE)", r" \1"),
    "extra condition": swapped(
        r"^(MATCH \(a:\w+\))(?: WHERE (?!.* OR )(?!.*EXISTS)(.*?))? (RETURN|WITH)",
        lambda m: f"{m[1]} WHERE {m[2] + ' AND ' if m[2] else ''}a.extra = 1 {m[3]}",
    ),
    "wrong comparison": swapped(
        r"(\w\.\w+) (>=|<=|>|<) ", lambda m: f"{m[1]} {({'>=': '>', '<=': '<', '>': '>=', '<': '<='})[m[2]]} "
    ),
    "wrong value": swapped(r"(= |CONTAINS |WITH |>= |<= )'([^']*)'", r"\1'another'"),
    "wrong logic": swapped(rf"({TEST}) AND (?={TEST})", r"\1 OR "),
    "aggregation": swapped(
        r"\b(avg|sum|min|max)\(", lambda m: {"avg": "sum(", "sum": "avg(", "min": "max(", "max": "min("}[m[1]]
    ),
    "grouping": swapped(r"RETURN (\w\.\w+ AS \w+), (count\(|sum\(|avg\()", r"RETURN \1, a.extra AS extra, \2"),
    "missing DISTINCT": swapped(r"DISTINCT ", ""),
    "extra DISTINCT": swapped(r"RETURN (?!DISTINCT)(\w\.)", r"RETURN DISTINCT \1"),
    "expression": swapped(r"\b(toUpper|toLower|abs|size|round|floor|ceil|sign)\((?!.*ORDER)(?=.* AS )", "reverse("),
    "order": swapped(r" ORDER BY (?=[^)]*$).*?(?= SKIP| LIMIT|$)", ""),
    "limit": swapped(r"LIMIT \d+", "LIMIT 77"),
    "missing column": swapped(rf"RETURN (\w\.{NAME} AS {NAME}), \w\.{NAME} AS {NAME}$", r"RETURN \1"),
    "extra column": swapped(rf"RETURN (\w\.{NAME} AS {NAME})$", r"RETURN \1, a.extra AS extra"),
    "column order": swapped(rf"RETURN (\w\.{NAME} AS {NAME}), (\w\.{NAME} AS {NAME})$", r"RETURN \2, \1"),
    "change": swapped(r"DETACH DELETE a$|DELETE r$", "SET a.gone = true"),
    "write": swapped(r"RETURN .*$", "DETACH DELETE a"),
}


def edited(name: str) -> list[tuple[str, str]]:
    """(gold, gold with one edit of this kind), once for each template."""
    found = {}
    for e in GOLDS if name in ("change", "wrong value") else READS:
        answer = EDITS[name](e)
        if answer != e.output:
            found.setdefault((e.template, e.graph), (e.output, answer))
    return list(found.values())[:60]


@pytest.mark.parametrize("name", EDITS)
def test_a_known_edit_is_recognised(name: str) -> None:
    pairs = edited(name)
    assert len(pairs) >= 4
    missed = [(gold, answer, errors.kinds(gold, answer)) for gold, answer in pairs if errors.kind(gold, answer) != name]
    assert len(missed) <= 0.05 * len(pairs), missed[:3]


def test_what_says_the_same_has_no_difference() -> None:
    gold = (
        "MATCH (a:Person)-[r:LIVES_IN]->(b:City) WHERE a.age > 40 AND b.name = 'Oslo' RETURN a.name AS who ORDER BY who"
    )
    same = "MATCH (c:City {name: 'Oslo'})<-[:LIVES_IN]-(p:Person) WHERE 40 < p.age WITH p.name AS x RETURN x ORDER BY x"
    assert errors.kinds(gold, same) == ("other",)
    assert not any(errors.differences(e.output, e.output) for e in GOLDS)


def test_several_differences_are_all_listed_and_the_first_in_order_counts() -> None:
    gold = "MATCH (a:User)-[:FOLLOWS]->(b:User) WHERE a.handle = 'x' RETURN count(DISTINCT b) AS n"
    answer = "MATCH (a:User)-[:FOLLOWS]->(b:User) WHERE b.handle = 'y' RETURN count(a) AS n"
    assert errors.kinds(gold, answer) == ("direction", "wrong value", "missing DISTINCT")
    assert errors.kind(gold, answer) == "direction"


@pytest.mark.parametrize(
    ("gold", "answer", "kind"),
    [
        ("MATCH (a)-[:X]->(b) RETURN a", "MATCH (a)-[:X]-(b) RETURN a", "direction"),
        ("MATCH (a:A) WHERE NOT a.x IN [1] RETURN a.x", "MATCH (a:A) WHERE a.x IN [1] RETURN a.x", "wrong logic"),
        ("MATCH (a:A) WHERE NOT EXISTS { (a)-[:X]->() } RETURN 1", "MATCH (a:A) WHERE EXISTS { (a)-[:X]->() } RETURN 1",
         "wrong logic"),
        ("MATCH (a:A), (b:B) RETURN count(*)", "MATCH (a:A) RETURN count(*)", "missing hop"),
        ("MATCH (a:A) RETURN a.x ORDER BY a.x DESC", "MATCH (a:A) RETURN a.x ORDER BY a.x", "order"),
        ("MATCH (a:A) RETURN count(*)", "MATCH (a:A) RETURN a.x", "aggregation"),
        ("CREATE (a:A {x: 1})", "CREATE (a:A {y: 1})", "wrong property"),
        ("MERGE (a:A {x: 1}) ON CREATE SET a.y = 2", "MERGE (a:A {x: 1}) ON MATCH SET a.y = 2", "change"),
        ("Use PROFILE before the query.", "Use EXPLAIN before the query.", "text"),
    ],
)  # fmt: skip
def test_single_cases(gold: str, answer: str, kind: str) -> None:
    assert errors.kind(gold, answer) == kind


@given(st.text(alphabet="()[]{}<>-:,.|*'ab1 ", max_size=40), st.sampled_from(GOLDS))
def test_no_text_breaks_the_analysis(noise: str, example: Example) -> None:
    for answer in (noise, example.output[: len(noise)] + noise, f"MATCH {noise} RETURN {noise}"):
        found = errors.kinds(example.output, answer)
        assert found and set(found) <= set(errors.KINDS)
        shape(answer)


def scored(example: Example, answer: str, cause: str, message: str = "", ts: bool | None = None) -> ItemScore:
    right = cause == "right"
    return ItemScore(
        example.id, str(example.graph), example.part, example.category, "small", "", "", example.question,
        example.output, answer, right, right, False, cause, message, 0.1, 1, 1, ts=ts,
    )  # fmt: skip


CAUSES = {
    "no answer": "no answer",
    "truncated": "truncated",
    "syntax": "syntax",
    "timeout": "time or rows",
    "limit": "time or rows",
    "engine": "engine",
    "invented name": "invented name",
    "write": "write",
}


@pytest.mark.parametrize(("cause", "kind"), CAUSES.items())
def test_what_the_engine_says_counts_before_the_trees(cause: str, kind: str) -> None:
    example = READS[0]
    assert errors.kind(example.output, example.output + " x", scored(example, "", cause)) == kind


def test_a_name_that_is_not_there_is_invented_and_one_in_the_wrong_place_is_not() -> None:
    gold, answer = "MATCH (a:Movie) RETURN a.title", "MATCH (a:Movie) RETURN a.name"
    score = scored(READS[0], answer, "schema", "property name is not a property of Movie")
    assert errors.kind(gold, answer, score) == "wrong property"
    unknown = replace(score, message="property nope is not a property of any label")
    assert errors.kinds(gold, answer, unknown) == ("invented name", "wrong property")


def test_the_analysis_counts_each_failure_once_and_shows_luck() -> None:
    first, second, third = READS[:3]
    lucky = scored(third, EDITS["wrong property"](third), "right", ts=False)
    scores = [scored(first, first.output, "right"), scored(second, "", "no answer"), lucky]
    found = errors.analyse(scores)
    assert [f.lucky for f in found.failures] == [False, True] and sum(found.counts().values()) == 2
    assert found.counts()["no answer"] == 1 and list(found.examples()) == list(found.counts())
    table = found.confusion()
    assert sum(row["questions"] for row in table.values()) == sum(len(errors.needs(s.gold)) for s in scores)
    for row in table.values():
        assert row["wrong"] == sum(row[name] for name in found.counts()) <= row["questions"]


def test_what_questions_need() -> None:
    query = "MATCH (a:A)-[:X*..3]->(b:B) WHERE a.x > 1 AND b.y IN [2] RETURN b.z, count(*) AS n ORDER BY n DESC LIMIT 3"
    assert errors.needs(query) == (
        "filter", "value list or text test", "two conditions or more", "one hop", "path of variable length", "count",
        "group", "order", "limit",
    )  # fmt: skip
    query = "MATCH (a:A) OPTIONAL MATCH (a)-[:X]->(b) WITH a, max(b.x) AS m RETURN DISTINCT toUpper(a.y), m"
    assert errors.needs(query) == (
        "one hop", "optional match", "other aggregate", "group", "steps (WITH)", "expression", "distinct",
    )  # fmt: skip
    assert errors.needs("MATCH (a:A) DELETE a") == ("write",) and errors.needs("Restart it.") == ("text",)
    assert {name for e in GOLDS for name in errors.needs(e.output)} >= set(errors.NEEDS) - {"text"}
