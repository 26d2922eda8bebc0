"""`heimdall sequence`: settings, what a prompt shows, and going on from what was read. Runs: test_sequence_run."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sequence_model
import tiny_model
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.errors import BadInput
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.model_shapes import shapes
from heimdall_nb.prompts import render
from heimdall_nb.sequence.engine import GoingOn, c
from heimdall_nb.sequence.plan import History, Turn, ending, kept_from
from heimdall_nb.sequence.settings import Settings, load, named
from heimdall_nb.sequence.store import keys, read_prompts
from heimdall_nb.sequence.written import CorruptState

SMALL = load("long", ["n_ctx=512", "max_tokens=100", "margin=12"])  # a budget of 400


# --- settings


def test_the_settings_have_the_names_and_values_of_the_guide() -> None:
    found = load()
    assert (found.n_ctx, found.max_tokens, found.margin) == (32_768, 16_384, 500)
    assert (found.n_gpu_layers, found.n_batch, found.n_ubatch) == (-1, 4096, 1024)
    assert found.flash_attn is True and found.offload_kqv is True
    assert (found.minimal, found.retries, found.budget) == (10, 2, 32_768 - 16_384 - 500)
    assert "settings" not in shapes()  # they are no model
    for name in named():
        assert load(name).budget > 0


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("n_ctx", "is not field=value"),
        ("n_context=5", "is not field=value"),
        ("n_ctx=many", "needs int"),
        ("n_ctx=2.5", "needs int"),
        ("flash_attn=1", "needs bool"),
        ("retries=true", "needs int"),
        ("temperature=-1", "out of range"),
        ("temperature=.nan", "out of range"),
        ("trim_to=0", "out of range"),
        ("max_tokens=0", "out of range"),
        ("max_tokens=32768", "no room"),
        ("summary_tokens=16000", "no room"),
    ],
)
def test_settings_refuse(assignment: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load("long", [assignment])


def test_unknown_settings_are_named() -> None:
    with pytest.raises(BadInput, match="'short' is not the name of settings.*long, nano"):
        load("short")


# --- what a prompt shows

SIZES = st.lists(st.integers(1, 300), max_size=12)


@given(SIZES, st.integers(0, 400), st.integers(0, 12), st.integers(0, 5), st.integers(1, 4), st.floats(0.05, 1))
def test_what_is_kept_fits_and_is_the_newest(
    sizes: list[int], room: int, first: int, window: int, keep: int, share: float
) -> None:
    first = min(first, len(sizes))
    settings = replace(SMALL, window=window, keep_turns=keep, trim_to=share)
    kept = kept_from(sizes, room, first, settings)
    assert first <= kept <= len(sizes)
    assert sum(sizes[kept:]) <= room or (kept == len(sizes) - 1 and room > 0)
    if window:
        assert len(sizes) - kept <= window
    start = max(first, len(sizes) - window) if window else first
    if sum(sizes[start:]) <= room:
        assert kept == start  # nothing goes without need
    elif sum(sizes[-keep:]) <= room:
        assert len(sizes) - kept >= min(keep, len(sizes) - first, window or 99)  # the newest stay
        one_more = sum(sizes[max(kept - 1, 0) :])
        assert one_more > room * share  # not more goes than the share asks for


@given(SIZES, st.integers(50, 400))
def test_trimming_is_rare(sizes: list[int], room: int) -> None:
    """Between two trimmings at least half of the room, less the newest turn, is filled anew."""
    settings, first, trimmed = replace(SMALL, keep_turns=1), 0, 0
    for count in range(1, len(sizes) + 1):
        kept = kept_from(sizes[:count], room, first, settings)
        trimmed += kept > first
        first = kept
    assert trimmed <= 1 + sum(sizes) // (room - room // 2) + sum(size > room // 2 for size in sizes)


WORDS = st.text("ab. \n", max_size=200)


def as_bytes(text: str) -> list[int]:
    """A tokenizer that needs no model: a token is a byte."""
    return list(text.encode())


@given(WORDS, st.integers(1, 100))
def test_the_end_of_an_answer_fits_and_is_its_end(text: str, room: int) -> None:
    ids = as_bytes(text)
    place, rest, kept = ending(text, ids, room, as_bytes)
    assert len(kept) <= room and kept == ids[len(ids) - len(kept) :]
    if place != "token":
        assert kept == as_bytes(rest) and text.endswith(rest) and len(kept) * 2 >= room


@pytest.mark.parametrize(
    ("text", "place", "rest"),
    [
        ("One. Two.\n\nThree. Four.\n\nFive, six.", "paragraph", "Three. Four.\n\nFive, six."),
        ("a" * 30 + "\nThe second line is this.", "line", "The second line is this."),
        ("It was cold and dark. Then came the sun, at last.", "sentence", "Then came the sun, at last."),
        ("no end " * 10, "word", "end no end no end no end "),
        ("x" * 60, "token", "x" * 60),
    ],
)
def test_an_answer_is_cut_at_a_natural_boundary(text: str, place: str, rest: str) -> None:
    assert ending(text, as_bytes(text), 27, as_bytes)[:2] == (place, rest)


def history(settings: Settings = SMALL, **changes: object) -> History:
    return History(settings, as_bytes("S" * 20), as_bytes("E"), as_bytes, **changes)


def test_dropped_turns_are_told_and_stay_dropped() -> None:
    talk, before = history(), []
    for item in range(1, 12):
        question = as_bytes(f"{item:02d}?")
        plan = talk.plan(question)
        ids = talk.prompt(question)
        assert plan.fits and len(ids) <= SMALL.budget
        assert plan.dropped + plan.seen == list(range(1, item))  # each earlier prompt is one or the other
        assert plan.dropped[: len(before)] == before and item - 1 in [*plan.seen, 0]
        assert [turn.item for turn in plan.leaving] == plan.dropped[len(before) :]
        shown = "S" * 20 + "".join(f"{k:02d}?" + f"{k:02d}" * 40 + "E" for k in plan.seen) + f"{item:02d}?"
        assert bytes(ids).decode() == shown
        talk.turns.append(Turn(item, question, as_bytes(f"{item:02d}" * 40), f"{item:02d}" * 40))
        before = plan.dropped
    assert before  # it did come to that


def test_an_answer_too_long_for_the_room_loses_its_start_and_that_is_told() -> None:
    talk, text = history(), "word " * 200
    talk.turns.append(Turn(1, as_bytes("1?"), as_bytes(text), text))
    plan = talk.plan(as_bytes("2?"))
    ids = talk.prompt(as_bytes("2?"))
    assert plan.seen == [1] and plan.cut and plan.cut.place == "word"
    assert len(ids) <= SMALL.budget and bytes(ids).decode().endswith(
        "1?" + "word " * ((1000 - plan.cut.tokens) // 5) + "E2?"
    )
    assert plan.cut.tokens == 1000 - len(talk.turns[0].answer)
    assert talk.plan(as_bytes("2?")).cut is None  # for good: it is not cut again


def test_a_question_longer_than_the_room_does_not_fit() -> None:
    talk = history()
    talk.turns.append(Turn(1, as_bytes("1?"), as_bytes("yes"), "yes"))
    assert not talk.plan(as_bytes("q" * 390)).fits and talk.plan(as_bytes("q" * 10)).seen == [1]
    assert talk.plan(as_bytes("q" * 380)).fits and talk.plan(as_bytes("q" * 380)).dropped == [1]


def test_the_room_of_a_summary_is_kept_free() -> None:
    talk = history(reserved=100)
    for item in range(1, 5):
        talk.plan(as_bytes("?"))
        talk.summary = as_bytes("s" * 100)
        assert len(talk.prompt(as_bytes("?"))) <= SMALL.budget
        talk.turns.append(Turn(item, as_bytes("?"), as_bytes("y" * 99), "y" * 99))
    assert bytes(talk.prompt(as_bytes("?"))).startswith(b"S" * 20 + b"s" * 100)


# --- prompts and keys


def test_prompts_are_read_from_text_and_jsonl(tmp_path: Path) -> None:
    plain, lines = tmp_path / "a.txt", tmp_path / "a.jsonl"
    plain.write_text("\ufeffFirst.\n\n# not this\n  Second: Łódź. \n", encoding="utf-8")
    lines.write_text(json.dumps({"prompt": "First,\nin two lines."}) + "\n\n" + json.dumps({"input": "Second."}) + "\n")
    assert read_prompts(plain) == ["First.", "Second: Łódź."]
    assert read_prompts(lines) == ["First,\nin two lines.", "Second."]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "holds no prompt"),
        ("a.txt", b"\xff\xfe", "is not UTF-8"),
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": 3}\n', "line 2"),
        ("a.jsonl", b'{"prompt": "a"}\n{torn\n', "line 2"),
        ("a.jsonl", b'{"prompt": "  "}\n', "no text"),
    ],
)
def test_unusable_prompts_are_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=said):
        read_prompts(tmp_path / name)


def test_a_key_hangs_on_all_that_was_asked_before(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF")
    first = keys(model, SMALL, "s", 7, ["a", "b", "c"])
    assert len(set(first)) == 3 and keys(model, SMALL, "s", 7, ["a", "b"]) == first[:2]
    assert keys(model, SMALL, "s", 7, ["a", "x", "c"])[0::2] != first[0::2]
    assert keys(model, replace(SMALL, timeout=1.0, n_batch=64), "s", 7, ["a"]) == first[:1]
    others = [keys(model, replace(SMALL, margin=13), "s", 7, ["a"]), keys(model, SMALL, "t", 7, ["a"])]
    model.write_bytes(b"GGUF2")
    others.append(keys(model, SMALL, "s", 7, ["a"]))
    assert first[:1] not in others


# --- going on from what was read


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sequence_model.shared(tmp_path_factory)


def read_by_llama_cpp(model: GoingOn) -> int:
    """Prompt tokens that llama.cpp itself counts since it was last asked; it does not count single ones here."""
    c.llama_synchronize(model._context)
    count = c.llama_perf_context(model._context).n_p_eval
    c.llama_perf_context_reset(model._context)
    return count


def test_only_what_is_new_is_read(gguf: Path) -> None:
    with closing(GoingOn(gguf, SMALL)) as model:
        ids = model.tokens("A prompt of some words, read once. " * 5)
        read_by_llama_cpp(model)
        first = model.answer(ids, 20)
        assert (first.reused_tokens, len(first.tokens), first.outcome) == (0, 20, "truncated")
        assert read_by_llama_cpp(model) == len(ids)
        more = [*ids, *first.tokens, *model.tokens(" And what then?")]
        second = model.answer(more, 20)
        assert second.reused_tokens == len(ids) + 19  # the last token was drawn, and not read
        assert read_by_llama_cpp(model) == len(more) - second.reused_tokens
        third = model.answer([*ids[:10], *ids[5:]], 5)  # a turn was taken out of the middle
        assert third.reused_tokens >= 10 and read_by_llama_cpp(model) == len(ids) + 5 - third.reused_tokens
        assert model.answer(ids[:8], 5).reused_tokens == 7  # the last is read for its logits


def test_a_warm_cache_answers_as_a_cold_one(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """With a trained model, whose best tokens are far ahead: the last bits differ with what is read at once."""
    file = write_gguf(tiny_model.trained(tmp_path_factory), tmp_path / "trained.gguf")
    with closing(GoingOn(file, SMALL)) as warm, closing(GoingOn(file, SMALL)) as cold:
        for talk in tiny_model.conversations():
            ids = warm.tokens(render(talk))
            there, fresh = warm.answer(ids, 60), cold.answer(ids, 60)
            assert (there.text, there.tokens, there.outcome) == (fresh.text, fresh.tokens, "ok")
            cold.reset()
            assert fresh.reused_tokens == 0
    assert list(tiny_model.ANSWERS.values())[-1] == there.text and there.reused_tokens > 30


def test_an_answer_that_is_late_keeps_what_was_read(gguf: Path) -> None:
    settings = replace(load("long", ["n_ctx=8192", "max_tokens=100", "margin=12"]), n_batch=4096, n_ubatch=64)
    with closing(GoingOn(gguf, settings)) as model:
        ids = model.tokens("a b c d e f g h ") * 500
        for seconds in (0.01, 0.02, 0.05, 0.1, 0.5, 2.0):  # until a machine, however busy, has read something
            model.reset()
            late = model.answer(ids[:7000], 10, seconds=seconds)
            if model._read:
                break
        assert (late.outcome, late.tokens) == ("timeout", [])
        again = model.answer(ids[:7000], 10)
        assert 0 < again.reused_tokens < 7000 and again.reused_tokens % 64 == 0 and len(again.tokens) == 10


def test_a_cache_that_is_not_as_it_should_be_is_found(gguf: Path) -> None:
    with closing(GoingOn(gguf, SMALL)) as model:
        ids = model.tokens("A prompt of some words. " * 5)
        model.answer(ids, 5)
        memory = c.llama_get_memory(model._context)
        for spoil in (
            lambda: c.llama_memory_seq_rm(memory, 0, -1, 10),
            lambda: c.llama_memory_seq_rm(memory, 0, 20, -1),
            lambda: c.llama_memory_clear(memory, True),
            lambda: c.llama_memory_seq_add(memory, 0, 0, -1, 3),
        ):
            model.answer(ids, 5)
            spoil()
            with pytest.raises(CorruptState, match="the cache holds places"):
                model.answer(ids, 5)
            model.reset()
            assert model.answer(ids, 5).reused_tokens == 0


def test_a_window_longer_than_the_model_is_made_for_is_refused(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    file = write_gguf(tiny_model.trained(tmp_path_factory), tmp_path / "trained.gguf")
    with pytest.raises(BadInput, match="made for 512 tokens, fewer than n_ctx=513.*n_ctx=512"):
        GoingOn(file, replace(SMALL, n_ctx=513))
