"""Lengths of a user's file: what is read from it, what is counted, what would be cut, and what is written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from PIL import Image

from heimdall_nb import prompts
from heimdall_nb.context import lengths, outcomes, profile
from heimdall_nb.context.items import form_of, read
from heimdall_nb.context.outcomes import Limits
from heimdall_nb.context.tokenise import tokeniser
from heimdall_nb.errors import BadInput

OWN = {"instruction": "Write", "input": "Who?", "output": "RETURN 1", "category": "c", "context_size": "small"}
CHAT = [("system", "a b"), ("user", "first"), ("assistant", "no"), ("user", "How many?"), ("assistant", "RETURN 2")]
LINES = {
    "own": json.dumps(OWN | {"schema": "(:A)"}),
    "foreign": json.dumps({"question": "Which one?", "cypher": "MATCH (n) RETURN n"}),
    "chat": json.dumps({"messages": [{"role": role, "content": text} for role, text in CHAT]}),
    "broken": "{",
    "nothing": json.dumps({"id": "x"}),
}


def put(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_examples_are_read_by_our_names_and_usual_others(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.jsonl", *LINES.values()), schema="(:B)")
    assert found.form == "examples" and found.lines == [1, 2, 3]
    assert [e.input for e in found.examples] == ["Who?", "Which one?", "How many?"]
    assert [e.output for e in found.examples] == ["RETURN 1", "MATCH (n) RETURN n", "RETURN 2"]
    assert [e.schema for e in found.examples] == ["(:A)", "(:B)", "a b"]
    assert [line for line, _ in found.skipped] == [4, 5] and "neither question nor answer" in found.skipped[1][1]


@pytest.mark.parametrize(
    ("lines", "form", "answers", "questions"),
    [
        (
            ["MATCH (n)", "RETURN n;", "MATCH (m) RETURN m;"],
            "log",
            ["MATCH (n)\nRETURN n", "MATCH (m) RETURN m"],
            ["", ""],
        ),
        (['{"query": "RETURN 1", "ms": 3}', '{"query": "RETURN 2"}'], "log", ["RETURN 1", "RETURN 2"], ["", ""]),
        (
            ["How many films are there?", "", "Who made them?"],
            "lines",
            ["", ""],
            ["How many films are there?", "Who made them?"],
        ),
    ],
)
def test_logs_and_text_are_told_apart(
    tmp_path: Path, lines: list[str], form: str, answers: list[str], questions: list[str]
) -> None:
    path = put(tmp_path / "file.txt", *lines)
    assert form_of(path) == form
    found = read(path)
    assert [e.output for e in found.examples] == answers and [e.input for e in found.examples] == questions


def test_a_compressed_log_and_its_cut_entries(tmp_path: Path) -> None:
    path = tmp_path / "query.log.gz"
    path.write_bytes(gzip.compress(b'{"query": "MATCH (n) RETURN n"}\n{"query": "MATCH (n) WHERE n.nam..."}\n'))
    found = read(path, "log")
    assert [e.output for e in found.examples] == ["MATCH (n) RETURN n"]
    assert found.skipped == [(2, "cut off in the log")]


@pytest.mark.parametrize(("form", "words"), [("auto", "holds nothing"), ("other", "is no form"), ("lines", "nothing")])
def test_what_cannot_be_counted_is_said(tmp_path: Path, form: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(put(tmp_path / "empty.txt", "", " "), form)
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "none.txt")


def test_outcomes_at_the_very_limits() -> None:
    limits = Limits(max_length=100, context=120, max_new_tokens=30)
    assert outcomes.training(80, 19, limits) == "kept" and outcomes.training(80, 20, limits) == "left out"
    assert outcomes.inference(80, 29, limits) == "whole" and outcomes.inference(80, 30, limits) == "cut after 30"
    assert outcomes.inference(110, 9, limits) == "whole" and outcomes.inference(110, 10, limits) == "cut after 10"
    assert outcomes.inference(119, 1, limits) == "cut after 1" and outcomes.inference(120, 0, limits) == "refused"


def test_the_whole_profile_names_each_item_that_loses_something(tmp_path: Path) -> None:
    rows = [json.dumps(OWN | {"input": "word " * n, "output": "RETURN 1 " * m}) for n, m in ((5, 1), (60, 1), (5, 40))]
    items = read(put(tmp_path / "a.jsonl", *rows, "not JSON"))
    found = lengths.measure(items, str.split, max_length=60, context=70, max_new_tokens=8)
    assert [(r["line"], r["training"], r["inference"]) for r in found["records"]] == [
        (1, "kept", "whole"),
        (2, "left out", "cut after 2"),
        (3, "left out", "cut after 8"),
    ]
    assert found["training"] == {"left out": 2, "kept": 1} and len(found["skipped"]) == 1
    text = lengths.text(found)
    assert "line 3: training left out, inference cut after 8" in text and "1 lines not counted" in text
    folder = tmp_path / "out"
    assert all(path.is_file() for path in lengths.write(found, folder))
    assert Image.open(folder / "lengths.png").size[0] > 300
    assert len((folder / "items.jsonl").read_text().splitlines()) == 3


def test_an_answer_length_of_its_own_decides_where_none_is_given(tmp_path: Path) -> None:
    items = read(put(tmp_path / "a.jsonl", json.dumps(OWN | {"output": "RETURN " * 600})))
    found = lengths.measure(items, str.split, max_length=60)
    assert found["limits"]["max_new_tokens"] == 601 and found["recommended"]["context"] == 1024
    assert found["inference"] == {"whole": 1} and found["shares"]["answer"][512] == 0


def test_a_share_leaves_the_longest_out() -> None:
    prompts_ = [100] * 99 + [40000]
    with pytest.raises(BadInput, match="more than 32768"):
        profile.recommend(prompts_, 100)
    found = profile.recommend(prompts_, 100, share=0.99)
    assert found.context == 512 and "0.99 of all of 100 prompts" in found.reason


def test_turns_counted_one_by_one_are_the_whole_prompt(tmp_path: Path) -> None:
    """For a folder's tokenizer and for the GGUF file made of it: as many tokens as the prompt has as one text."""
    from tiny_model import make_base

    from heimdall_nb.export.gguf_file import write_gguf

    base = make_base(tmp_path / "base")
    items = read(put(tmp_path / "a.jsonl", *list(LINES.values())[:3]))
    counts = []
    for model in (str(base), str(write_gguf(base, tmp_path / "tiny.gguf"))):
        with tokeniser(model) as (tokenise, many):
            assert len(tokenise(prompts.TURN_START)) == 1
            counts.append(profile.lengths(tokenise, items.examples, many)["prompt"])
            for example, count in zip(items.examples, counts[-1], strict=True):
                talk = prompts.conversation(example.input, example.schema, example.task)
                assert count == len(tokenise(prompts.render(talk)))
        assert lengths.declared_context(model) == 512
    assert counts[0] == counts[1]
