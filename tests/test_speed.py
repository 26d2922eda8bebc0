"""`heimdall benchmark`: the arithmetic of its figures, and that all of them are there. Nothing here depends on time."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_model

from heimdall_nb import cli
from heimdall_nb.deploy import speed
from heimdall_nb.errors import BadInput
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.models.llamacpp import LlamaCppModel, Phases, c
from heimdall_nb.models.protocol import Completion
from heimdall_nb.models.sampling import sampling
from heimdall_nb.prompts import render

QUESTIONS = tiny_model.conversations()


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tiny_model.trained(tmp_path_factory), tmp_path_factory.mktemp("speed") / "tiny.gguf")


def timing(seconds: float, new: int = 11, prompt: int = 100) -> speed.Timing:
    """A question whose cold answer took `seconds`: half the prefix, a quarter the question, a quarter the answer."""
    cold, warm = Phases(seconds / 2, seconds / 4, seconds / 4), Phases(seconds / 50, seconds / 4, seconds / 4)
    done = Completion("a", prompt, new, seconds, "ok")
    return speed.Timing(60, done, cold, replace(done, seconds=seconds * 0.52), warm, seconds * 0.6, seconds / 5)


def test_percentiles_are_nearest_ranks() -> None:
    found = speed.summary([timing(n / 1000) for n in range(100, 0, -1)])
    assert found["answer_cold_ms"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "mean": 50.5}
    assert found["answer_warm_ms"]["p95"] == pytest.approx(0.52 * 95)
    assert speed.summary([timing(0.007)])["answer_cold_ms"] == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "mean": 7.0}


def test_rates_and_ratios() -> None:
    found = speed.summary([timing(0.1), timing(0.1), timing(10.0)])  # the busy moment is outvoted
    assert found["prompt"] == {
        "per_second": round(100 / 0.075, 1),
        "own_per_second": round(100 / 0.06, 1),
        "ratio": round(0.06 / 0.075, 3),
    }
    assert found["generation"] == {"per_second": 400.0, "own_per_second": 500.0, "ratio": 0.8}
    assert found["prefix"] == {"cold_ms": 50.0, "warm_ms": 2.0, "times_cheaper": 25.0}
    assert (found["items"], found["truncated"], found["same_when_warm"]) == (3, 0, 3)
    assert (found["prompt_tokens"], found["prefix_tokens"], found["new_tokens"]) == (100, 60, 11)


def test_answers_of_one_token_have_no_rate() -> None:
    found = speed.summary([timing(0.1, new=1)])
    assert found["generation"] == {"per_second": None, "own_per_second": None, "ratio": None}
    assert speed.summary([timing(0.1, new=1), timing(0.1)])["generation"]["per_second"] == 400.0


def test_what_misses_its_goal_is_said() -> None:
    good = timing(0.1)
    fine = replace(good, own_write=good.cold_phases.answer)
    other = replace(fine, warm=replace(fine.warm, text="b"), warm_phases=Phases(0.02, 0.1, 0.1))
    settings = [{"threads": 1, "batch": n} | speed.summary([item]) for n, item in enumerate((fine, good, other), 1)]
    assert speed.missed({"settings": settings}) == [
        "1 threads, batch 2: generation is below 0.95 of llama.cpp's own rate",
        "1 threads, batch 3: a warm prefix is not 5 times cheaper than a cold one",
        "1 threads, batch 3: answers differ with a warm prefix",
    ]


def test_all_figures_are_there(gguf: Path, tmp_path: Path) -> None:
    found = speed.measure(gguf, QUESTIONS[:3], threads=(1,), batches=(16, 64), context=256, max_new_tokens=40)
    assert json.loads(json.dumps(found)) == found
    assert [(s["threads"], s["batch"]) for s in found["settings"]] == [(1, 16), (1, 64)]
    for setting in found["settings"]:
        assert (setting["items"], setting["same_when_warm"], setting["truncated"]) == (3, 3, 0)
        for group, key in (path for _, path in speed.ROWS):
            assert setting[group][key] > 0
        with closing(LlamaCppModel(gguf, context=256)) as model:
            heads = [len(model.tokens(render(q[:-1], generation_prompt=False))) for q in QUESTIONS[:3]]
            assert setting["prefix_tokens"] == heads[0] == heads[1] < setting["prompt_tokens"]
    assert found["repeated_question"].keys() == {"off_ms", "on_ms", "times_cheaper"}
    assert min(found["repeated_question"].values()) > 0
    assert found["bytes"] == gguf.stat().st_size and len(found["sha256"]) == 64
    lines = speed.text(found).splitlines()
    assert lines[1].split() == "1 thread, batch 16 1 thread, batch 64".split()
    assert len([line for line in lines if line.startswith(tuple(name for name, _ in speed.ROWS))]) == len(speed.ROWS)


def test_the_bare_loop_decodes_as_many_tokens_as_it_says(gguf: Path) -> None:
    with closing(speed.Bare(gguf, 64, 1, 16)) as bare:
        for read, write in ((40, 5), (16, 0), (3, 2)):
            assert bare.read(read) > 0 and bare.write(write) >= 0
            last = c.llama_memory_seq_pos_max(c.llama_get_memory(bare._context), 0)
            assert last == read + write - 1


def test_phases_are_the_whole_answer_and_batches_change_no_answer(gguf: Path) -> None:
    texts = set()
    for batch in (7, 64):
        with closing(LlamaCppModel(gguf, context=256, batch=batch)) as model:
            answer = model.complete(QUESTIONS[:1])[0]
            phases = model.phases
            assert phases.prefix + phases.question + phases.answer == pytest.approx(answer.seconds)
            assert min(phases.prefix, phases.question, phases.answer) > 0
            texts.add(answer.text)
    assert texts == {next(iter(tiny_model.ANSWERS.values()))}
    with pytest.raises(BadInput, match="^batch: "):
        LlamaCppModel(gguf, batch=0)


def test_a_forgotten_prefix_is_read_again(gguf: Path) -> None:
    with closing(LlamaCppModel(gguf, context=256)) as model:
        first = model.complete(QUESTIONS[:1])[0].text
        assert model._head
        model.forget()
        assert not model._head and model.complete(QUESTIONS[:1])[0].text == first


def test_the_likeliest_token_is_that_of_llama_cpp(gguf: Path) -> None:
    with closing(LlamaCppModel(gguf, context=256)) as model, sampling(0.0, 0) as sampler:
        for token in range(0, 300, 13):
            model._decode((token, token + 1))
            assert model._likeliest() == c.llama_sampler_sample(sampler, model._context, -1)
            model._logits((token,), c.llama_memory_seq_pos_max(c.llama_get_memory(model._context), 0) + 1)  # moves it


def test_ways_of_choosing_may_follow_one_another(gguf: Path) -> None:
    ways = ({}, {"temperature": 1.5, "seed": 3}, {"grammar": 'root ::= "RETURN " [0-9]+'})
    alone = []
    for way in ways:
        with closing(LlamaCppModel(gguf, context=256)) as model:
            alone.append(model.complete(QUESTIONS[:2], 24, **way))
    with closing(LlamaCppModel(gguf, context=256)) as model:
        logits = model.log_probabilities("How many?")
        for number in (0, 1, 0, 2, 0, 1, 2, 1):
            found = model.complete(QUESTIONS[:2], 24, **ways[number])
            assert [answer.text for answer in found] == [answer.text for answer in alone[number]]
            assert (model.log_probabilities("How many?") == logits).all()
    assert len({answers[0].text for answers in alone}) == 3


def test_a_stop_string_may_span_tokens(gguf: Path) -> None:
    answer = tiny_model.ANSWERS["Who lives in Łódź?"]
    with closing(LlamaCppModel(gguf, context=256)) as model:
        pieces = [model._piece(token) for token in model.tokens(answer)]
        stops = ("n)-[:LIVES_IN", "'Łódź'", "Łó", "})", answer)
        assert sum(not any(stop.encode() in piece for piece in pieces) for stop in stops) >= 2
        for stop in stops:
            assert model.complete(QUESTIONS[1:2], stop=("", stop, "never"))[0].text == answer[: answer.index(stop)]


def test_the_command_prints_json_alone(gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"instruction": "Write", "output": "RETURN 1", "category": "count", "context_size": "small"}
    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps(row | {"input": "How many?"}) + "\n", encoding="utf-8")
    sizes = ["--threads", "1", "--batch", "16,32", "--context", "128", "--max-new-tokens", "4"]
    command = ["benchmark", "--model", str(gguf), "--examples", str(own), *sizes]
    cli.app([*command, "--json"], standalone_mode=False)
    assert [s["batch"] for s in json.loads(capsys.readouterr().out)["settings"]] == [16, 32]
    with pytest.raises(BadInput, match="^--batch: "):
        cli.app([*command, "--batch", "many"], standalone_mode=False)


def test_a_file_of_questions_and_the_written_figures(gguf: Path, tmp_path: Path) -> None:
    row = {"instruction": "Write", "output": "RETURN 1", "category": "count", "context_size": "small"}
    rows = [json.dumps(row | {"input": question}) for question in ("How many?", "Who?", "Where?")]
    (tmp_path / "own.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = speed.run(
        gguf, str(tmp_path / "own.jsonl"), 2, (1,), (64,), tmp_path / "out", context=256, max_new_tokens=8
    )
    assert found["settings"][0]["items"] == 2
    assert json.loads((tmp_path / "out" / "speed.json").read_text(encoding="utf-8")) == found
    assert (tmp_path / "out" / "speed.txt").read_text(encoding="utf-8") == speed.text(found) + "\n"


def test_bad_input(gguf: Path, tmp_path: Path) -> None:
    assert speed.numbers("--threads", "1, 2") == [1, 2]
    for wrong in ("", "0", "1,", "two", "-1", "²"):
        with pytest.raises(BadInput, match="^--threads: "):
            speed.numbers("--threads", wrong)
    with pytest.raises(BadInput, match="room for none"):
        speed.measure(gguf, QUESTIONS[:2], context=32)
    with pytest.raises(BadInput, match="no questions"):
        speed.measure(gguf, [])
    (tmp_path / "damaged.gguf").write_bytes(gguf.read_bytes()[:5000])
    with pytest.raises(BadInput, match="is damaged"):
        speed.Bare(tmp_path / "damaged.gguf", 64, 1, 16)
