"""The leader board: order, intervals, cost, what differences prove, and that it comes out the same twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_model
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.baselines import board, fewshot, grammar, vote
from heimdall_nb.baselines.board import Approach
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.engines.graph import Rows
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.evaluation.answers import answer_examples
from heimdall_nb.evaluation.metrics import ItemScore
from heimdall_nb.exercises import nb07
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.protocol import Completion


def item(k: int, ex: bool, va: bool = True, ts: bool | None = None, tokens: int = 90, answer: str = "") -> ItemScore:
    return ItemScore(
        id=f"q{k}",
        graph="movies",
        part="cypher",
        category="count",
        context_size="small",
        style="plain",
        template="t",
        question="?",
        gold="RETURN 1",
        answer=answer or f"RETURN {ex}",
        va=va,
        ex=ex,
        em=ex,
        cause="right" if ex else "wrong result",
        message="",
        seconds=0.25,
        prompt_tokens=tokens,
        new_tokens=10,
        gold_rows=Rows(("x",), ((k,),)),
        ts=ts,
    )


def run(*right: int, items: int = 20, **settings: Any) -> list[ItemScore]:
    """Scores of a run that has the items `right` right."""
    return [item(k, k in right, **settings) for k in range(items)]


def greedy(scores: dict[str, list[list[ItemScore]]]) -> dict[str, Approach]:
    return {name: Approach((), tuple(range(len(runs))) if len(runs) > 1 else ()) for name, runs in scores.items()}


def standings(scores: dict[str, list[list[ItemScore]]]) -> dict[str, Any]:
    return board.board(greedy(scores), scores)


def test_best_first_and_cheaper_first_among_equals() -> None:
    scores = {
        "dear": [run(*range(8), tokens=500)],
        "weak": [run(1)],
        "cheap": [run(*range(8), tokens=50)],
        "best": [run(*range(9), tokens=900)],
    }
    found = standings(scores)
    assert [row["approach"] for row in found["rows"]] == ["best", "cheap", "dear", "weak"]
    best = found["rows"][0]
    assert best["ex"]["value"] == 0.45 and best["ex"]["low"] < 0.45 < best["ex"]["high"] and best["ts"] is None
    assert (best["tokens_read"], best["tokens_written"], best["seconds"]) == (900, 10, 0.25)
    assert found["floor"]["value"] == 0.05  # every item has a result of its own


def test_seeds_give_mean_spread_and_an_interval_of_items() -> None:
    scores = {"drawn": [run(*range(10)), run(*range(12)), run(*range(14))], "one": [run(*range(12))]}
    drawn, one = (next(r for r in standings(scores)["rows"] if r["approach"] == name) for name in ("drawn", "one"))
    assert drawn["ex"]["value"] == 0.6 and drawn["ex"]["sd"] == 0.1 and drawn["seeds"] == [0, 1, 2]
    assert 0.35 < drawn["ex"]["low"] < 0.5 and 0.7 < drawn["ex"]["high"] < 0.85
    assert "sd" not in one["ex"] and one["seeds"] == []
    shown = board.table(standings(scores))
    assert shown.loc[shown["approach"] == "drawn", "EX"].item().endswith("± 10.0")
    assert list(shown["seeds"]) == ["greedy", "0, 1, 2"] or list(shown["seeds"]) == ["0, 1, 2", "greedy"]


def test_ts_is_computed_for_all_items_or_not_at_all() -> None:
    judged = [item(k, k < 10, ts=k < 8) for k in range(20)]
    half = [*judged[:10], *run(*range(10))[10:]]
    rows = {row["approach"]: row for row in standings({"suite": [judged], "half": [half]})["rows"]}
    assert rows["suite"]["ts"]["value"] == 0.4 and rows["half"]["ts"] is None
    shown = board.table(standings({"half": [half]}))
    assert shown["TS"].item() == "not computed" and shown.index.tolist() == [1]
    with pytest.raises(HeimdallError, match="contradict"):
        standings({"x": [[item(0, False, ts=True)]]})


def test_other_items_cannot_be_compared() -> None:
    with pytest.raises(BadInput, match="other items"):
        standings({"a": [run(1)], "b": [run(1)[::-1]]})
    with pytest.raises(BadInput, match="did not answer all 1"):
        board.score_all([Example("", "", "", "", "")], {"a": Approach(())}, None, None, None)  # type: ignore[arg-type]


def test_the_digest_is_of_items_and_answers_alone() -> None:
    first = standings({"a": [run(1)], "b": [run(2)]})
    slower = standings({"b": [[replace(s, seconds=9.0) for s in run(2)]], "a": [run(1)]})
    assert first["digest"] == slower["digest"] and first["answers"]["a"][0][1] == "RETURN True"
    changed = [run(1)[:-1] + [item(19, False, answer="RETURN other")]]
    assert standings({"a": changed, "b": [run(2)]})["digest"] != first["digest"]
    renamed = {"a": [[replace(s, id=s.id + "x") for s in run(1)]], "b": [[replace(s, id=s.id + "x") for s in run(2)]]}
    assert standings(renamed)["digest"] != first["digest"]


def test_holm_on_a_known_case() -> None:
    # Holm 1979, as R's p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm") gives it
    assert board.holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert board.holm([0.04, 0.01]) == pytest.approx([0.04, 0.02]) and board.holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_lies_between_p_and_bonferroni(values: list[float]) -> None:
    adjusted = board.holm(values)
    assert all(p <= a <= min(1.0, len(values) * p) + 1e-12 for p, a in zip(values, adjusted, strict=True))
    order = sorted(range(len(values)), key=lambda k: values[k])
    assert [adjusted[k] for k in order] == sorted(adjusted)


def test_many_comparisons_make_a_finding_harder() -> None:
    ours, other = [run(*range(12))], [run(*range(4, 10))]  # only ours 6 (0-3, 10, 11), only the other 0: p = 0.031
    alone = board.compare({"ours": ours, "other": other}, "ours")
    assert [(c.second, c.only_first, c.only_second) for c in alone] == [("other", 6, 0)]
    assert alone[0].adjusted == alone[0].p == pytest.approx(0.03125)
    more = board.compare({"ours": ours, "other": other, "same": ours, "too": ours}, "ours")
    assert more[0].adjusted == pytest.approx(0.09375) and "other" in board.verdict(
        standings({"ours": ours, "other": other}), {"ours": ours, "other": other}
    )


def test_the_verdict_says_what_is_proven_and_what_it_costs() -> None:
    scores = {
        "voting": [run(*range(16), tokens=990)],
        "plain": [run(*range(15), tokens=90)],
        "broken": [run(0)],
    }
    said = board.verdict(standings(scores), scores)
    assert said.startswith(
        "voting has the highest EX of 3 approaches: 80.0 % (58.4-91.9) on 20 questions, 1,000 tokens"
    )
    assert "better than broken (McNemar's test, Holm's correction for 2 comparisons: p < 0.05)" in said
    assert "do not show that it is better than plain." in said
    assert "cheapest of these is plain: 75.0 % (53.1-88.8), 100 tokens a question, 10.0 times less." in said


def test_the_verdict_when_nothing_is_proven_or_the_best_is_the_cheapest() -> None:
    equal = {name: [run(*range(10 + k), tokens=90 + k)] for k, name in enumerate("abcde")}
    said = board.verdict(standings(equal), equal)
    assert (
        "any of the other 4 (McNemar's test" in said
        and "better than e" not in said
        and "cheapest of these is a" in said
    )
    cheap = {"a": [run(*range(12))], "b": [run(*range(11), tokens=500)]}
    assert board.verdict(standings(cheap), cheap).endswith("None of these is cheaper.")
    clear = {"a": [run(*range(20))], "b": [run()]}
    assert "do not show" not in board.verdict(standings(clear), clear)


def test_the_figure_shows_every_approach_once() -> None:
    scores = {f"{'fine-tuned ' if k % 2 else ''}{k}": [run(*range(k), tokens=100 * k)] for k in range(1, 7)}
    fig = board.figure(standings(scores), "fine-tuned")
    axes = fig.axes[0]
    ranks = ", ".join(text.get_text() for text in axes.texts).split(", ")
    assert sorted(ranks) == list("123456") and len(axes.containers) == 6
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["base", "fine-tuned"]


# The whole way, with a real model and engine

QUESTIONS = {
    "How many people are there?": "MATCH (p:Person) RETURN count(p)",
    "How many studios are there?": "MATCH (s:Studio) RETURN count(s)",
    "Who lives in Oslo?": "MATCH (p:Person) RETURN p.name",
}
ITEMS = [
    Example("Write Cypher.", q, gold, "count", "small", graph="movies", schema=tiny_model.SCHEMA, id=q)
    for q, gold in QUESTIONS.items()
]
POOL = [replace(ITEMS[0], input="How many cities are there?", output="MATCH (c:City) RETURN count(c)", id="pool")]


def instance_of(graph: str) -> Any:
    return instantiate(load_schema(graph), 7)


def names_of(graph: str) -> Any:
    return load_schema(graph).names()


def answered(model: Any, folder: Path, engine: Any) -> dict[str, Approach]:
    zero = answer_examples(model, ITEMS, folder / "zero.jsonl", 24)
    few = fewshot.answer(model, ITEMS, POOL, 1, folder / "few.jsonl", "structure", 24, drafts=zero)
    drawn = [vote.sample(model, ITEMS, folder / f"drawn{seed}.jsonl", 3, seed, 1.0, 24) for seed in (1, 2)]
    votes = tuple(vote.majority(ITEMS, found, engine, instance_of) for found in drawn)
    bests = tuple(vote.best_of(ITEMS, zero, found, engine, instance_of, names_of) for found in drawn)
    return {
        "zero-shot": Approach((zero,)),
        "few-shot (structure)": Approach((few,)),
        "self-consistency": Approach(votes, (1, 2)),
        "best of n": Approach(bests, (1, 2)),
        "grammar": Approach((grammar.answer(model, ITEMS, folder / "grammar.jsonl", 24),)),
    }


def test_the_board_is_the_same_twice(arcadedb, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = LlamaCppModel(write_gguf(tiny_model.trained(tmp_path_factory), tmp_path / "tiny.gguf"))
    boards = []
    for folder in ("first", "second", "second"):  # the third time every answer comes from its file
        approaches = answered(model, tmp_path / folder, arcadedb)
        scores = board.score_all(ITEMS, approaches, instance_of, names_of, arcadedb)
        boards.append(board.board(approaches, scores))
        for row in boards[-1]["rows"]:
            del row["seconds"]
    model.close()
    assert boards[0] == boards[1] == boards[2] == json.loads(json.dumps(boards[0]))
    rows = {row["approach"]: row for row in boards[0]["rows"]}
    assert len(rows) == 5 and rows["zero-shot"]["ex"]["value"] > 0
    zero = rows["zero-shot"]["tokens_read"]
    assert rows["self-consistency"]["tokens_read"] == pytest.approx(3 * zero, abs=0.01)
    assert rows["best of n"]["tokens_read"] == pytest.approx(4 * zero, abs=0.01)
    assert rows["few-shot (structure)"]["tokens_read"] > 2 * zero
    assert rows["best of n"]["ex"]["value"] >= rows["zero-shot"]["ex"]["value"]


def test_the_same_answer_is_run_once_for_all(arcadedb) -> None:
    counted: list[str] = []

    class Counting:
        def run(self, query: str, *args: Any, **settings: Any) -> Any:
            counted.append(query)
            return arcadedb.run(query, *args, **settings)

        def __getattr__(self, name: str) -> Any:
            return getattr(arcadedb, name)

    answer = Completion("MATCH (p:Person) RETURN count(p) AS known", 50, 5, 0.1, "ok")
    dearer = replace(answer, prompt_tokens=500)
    approaches = {"a": Approach(([answer] * 3,)), "b": Approach(([dearer] * 3, [answer] * 3), (1, 2))}
    scores = board.score_all(ITEMS, approaches, instance_of, names_of, Counting())  # type: ignore[arg-type]
    assert counted.count(answer.text) == 3  # once an item
    assert [s.prompt_tokens for s in scores["b"][0]] == [500] * 3 and [s.ex for s in scores["b"][1]] == [1, 0, 0]
    assert [s.id for s in scores["a"][0]] == [e.id for e in ITEMS]


def test_exercise_4_of_notebook_07() -> None:
    greedy, chosen = ([SimpleNamespace(text=text) for text in texts] for texts in ("abc", "axc"))
    assert nb07.check_4(1, greedy, chosen) is None and "differ" in str(nb07.check_4(True, greedy, chosen))
