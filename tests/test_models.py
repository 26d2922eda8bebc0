"""Models in process: what they answer, how an answer ends, and one sentence for what cannot be loaded."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from safetensors.torch import load_file, save_file

from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.stopping import cut, outcome
from heimdall_nb.models.transformers_model import TransformersModel
from heimdall_nb.prompts import conversation, render

QUESTIONS = tiny_model.conversations()
ANSWERS = list(tiny_model.ANSWERS.values())
Models = tuple[TransformersModel, LlamaCppModel]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.trained(tmp_path_factory)


@pytest.fixture(scope="module")
def gguf_path(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(folder, tmp_path_factory.mktemp("gguf") / "tiny-F16.gguf")


@pytest.fixture(scope="module")
def models(folder: Path, gguf_path: Path) -> Models:
    return TransformersModel(folder, batch_size=3), LlamaCppModel(gguf_path)


def test_both_answer_in_order_with_what_was_learnt(models: Models) -> None:
    for model in models:
        answers = model.complete(QUESTIONS)
        assert [a.text for a in answers] == ANSWERS
        assert {a.outcome for a in answers} == {"ok"}
        assert [a.prompt_tokens for a in answers] == [len(model.tokens(render(q))) for q in QUESTIONS]
        assert [a.new_tokens for a in answers] == [len(model.tokens(text)) + 1 for text in ANSWERS]  # and the end token
        assert all(a.seconds > 0 for a in answers)


def test_no_conversations_no_answers(models: Models) -> None:
    assert [model.complete([]) for model in models] == [[], []]


def test_too_few_new_tokens_truncate(models: Models) -> None:
    for model in models:
        answer = model.complete(QUESTIONS[:1], max_new_tokens=3)[0]
        assert (answer.outcome, answer.new_tokens) == ("truncated", 3)
        assert ANSWERS[0].startswith(answer.text) and answer.text


def test_context_limits_the_answer_and_a_longer_prompt_gets_none(folder: Path, gguf_path: Path) -> None:
    hf, llama = TransformersModel(folder), LlamaCppModel(gguf_path, context=80)
    hf.context = 80
    for model in (hf, llama):
        tight, full = model.complete([QUESTIONS[0], QUESTIONS[-1]])
        assert (tight.prompt_tokens + tight.new_tokens, tight.outcome) == (80, "truncated")
        assert full.prompt_tokens > 80 and (full.text, full.new_tokens, full.outcome) == ("", 0, "truncated")
    llama.close()


def test_stop_strings_end_the_text_and_are_not_part_of_it(models: Models) -> None:
    for model in models:
        answer = model.complete(QUESTIONS[:1], stop=(" RETURN", "never"))[0]
        assert answer.text == ANSWERS[0].split(" RETURN")[0] and answer.outcome == "ok"
        assert model.complete(QUESTIONS[:1], stop=("MATCH",))[0].outcome == "empty"


def test_sampling_follows_the_seed(models: Models) -> None:
    for model in models:
        first, again, other = (
            [a.text for a in model.complete(QUESTIONS[:4], 40, temperature=3.0, seed=seed)] for seed in (1, 1, 2)
        )
        assert first == again != other
        assert first != ANSWERS[:4]


def test_sampling_leaves_the_global_generator_alone(models: Models) -> None:
    import torch

    before = torch.get_rng_state()
    models[0].complete(QUESTIONS[:1], 4, temperature=1.0, seed=3)
    assert torch.equal(before, torch.get_rng_state())


def test_cached_prefix_changes_nothing(gguf_path: Path, models: Models) -> None:
    others = [conversation("Who?", "(:Other {a: STRING})"), conversation("How many?")]
    ask = [QUESTIONS[0], others[0], QUESTIONS[1], QUESTIONS[0], others[1], QUESTIONS[0]]
    warm = [a.text for a in models[1].complete(ask, 40, temperature=2.0, seed=5)]
    for question, text in zip(ask, warm, strict=True):
        fresh = LlamaCppModel(gguf_path)
        assert fresh.complete([question], 40, temperature=2.0, seed=5)[0].text == text
        fresh.close()


def test_long_prompt_is_read_in_several_calls(models: Models) -> None:
    hf, llama = models
    text = render(conversation("Who lives in Oslo?", tiny_model.SCHEMA * 40))
    assert len(llama.tokens(text)) > 1100
    assert np.abs(llama.log_probabilities(text)[:500] - hf.log_probabilities(text)[:500]).max() < 0.1
    answer = llama.complete([conversation("Who lives in Oslo?", tiny_model.SCHEMA * 40)], 5)[0]
    assert answer.prompt_tokens == len(llama.tokens(text)) and answer.new_tokens == 5


def test_log_probabilities_are_distributions_and_agree(models: Models) -> None:
    text = render(tiny_model.conversations(answers=True)[1], generation_prompt=False)
    a, b = (model.log_probabilities(text) for model in models)
    assert a.shape == b.shape == (len(models[0].tokens(text)), len(models[0].tokenizer))
    assert np.allclose(np.exp(a).sum(axis=1), 1, atol=1e-4) and np.allclose(np.exp(b).sum(axis=1), 1, atol=1e-4)
    assert np.abs(a - b).max() < 0.05


def test_decomposed_text_is_read_as_composed(models: Models) -> None:
    assert models[1].tokens("Lo\u0301dz") == models[1].tokens("L\u00f3dz") == models[0].tokens("L\u00f3dz")


def test_grammar_constrains_llama_and_is_refused_by_transformers(models: Models) -> None:
    hf, llama = models
    for temperature in (0.0, 1.5):
        answers = llama.complete(QUESTIONS[:3], 40, temperature=temperature, grammar='root ::= "RETURN " [0-9]+')
        assert all(re.fullmatch(r"RETURN \d*", a.text) for a in answers)
    with pytest.raises(BadInput, match="no grammars"):
        hf.complete(QUESTIONS[:1], grammar='root ::= "a"')


@pytest.mark.parametrize("grammar", ["", "nonsense", 'start ::= "a"', "root ::= missing", 'root ::= "\\x00"'])
def test_bad_grammar_is_one_sentence(models: Models, grammar: str) -> None:
    with pytest.raises(BadInput, match="^grammar: "):
        models[1].complete(QUESTIONS[:1], grammar=grammar)
    assert models[1].complete(QUESTIONS[:1])[0].text == ANSWERS[0]  # and the model is still usable


def test_closed_model_says_so(gguf_path: Path) -> None:
    model = LlamaCppModel(gguf_path)
    model.close()
    model.close()
    with pytest.raises(HeimdallError, match="closed"):
        model.complete(QUESTIONS[:1])


@pytest.mark.parametrize("size", [0, 3, 4, 24, 1000, 5000, 20_000, -1])
def test_truncated_gguf_is_one_quiet_sentence(
    gguf_path: Path, tmp_path: Path, size: int, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(gguf_path.read_bytes()[:size])
    with pytest.raises(BadInput) as caught:
        LlamaCppModel(damaged)
    assert str(damaged) in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_missing_and_foreign_gguf(tmp_path: Path) -> None:
    foreign = tmp_path / "model.gguf"
    foreign.write_text("not a model")
    for path, what in (
        (tmp_path / "none.gguf", "cannot be read"),
        (tmp_path, "cannot be read"),
        (foreign, "not a GGUF"),
    ):
        with pytest.raises(BadInput, match=what):
            LlamaCppModel(path)


def test_context_must_be_positive(gguf_path: Path) -> None:
    with pytest.raises(BadInput, match="^context: "):
        LlamaCppModel(gguf_path, context=0)


def test_llama_is_quiet(gguf_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = LlamaCppModel(gguf_path, context=4096)
    model.complete(QUESTIONS[:2])
    model.close()
    assert capfd.readouterr() == ("", "")


def _replace(old: str, new: str) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        config = (model / "config.json").read_text()
        assert old in config
        (model / "config.json").write_text(config.replace(old, new))

    return change


def _drop_layer(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.1." not in name}
    assert len(kept) < len(weights)
    save_file(kept, model / "model.safetensors", {"format": "pt"})


def _drop_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "tokenizer_config.json").unlink()


FAULTS: dict[str, Callable[[Path], object]] = {
    "no folder": shutil.rmtree,
    "no config": lambda model: (model / "config.json").unlink(),
    "unknown architecture": _replace('"qwen3"', '"qwen99"'),
    "other shapes": _replace('"intermediate_size": 512', '"intermediate_size": 640'),
    "cut weights": lambda model: os.truncate(model / "model.safetensors", 5000),
    "missing weights": _drop_layer,
    "no tokenizer": _drop_tokenizer,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_unusable_model_folder_is_one_sentence(folder: Path, tmp_path: Path, fault: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    FAULTS[fault](copy)
    with pytest.raises(BadInput) as caught:
        TransformersModel(copy)
    assert str(copy) in str(caught.value) and "\n" not in str(caught.value)


def test_hub_id_without_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadInput) as caught:
        TransformersModel("nobody/no-such-model")
    assert str(caught.value).startswith("nobody/no-such-model: cannot be had from the model hub")
    assert "\n" not in str(caught.value)


def test_adapter_changes_the_answers_and_a_wrong_one_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = tiny_model.make_adapter(folder, tmp_path / "adapter", size=0.3)
    adapted = TransformersModel(folder, adapter)
    assert [a.text for a in adapted.complete(QUESTIONS, 40)] != ANSWERS
    assert adapted.name == f"{folder.name}+adapter"
    with pytest.raises(BadInput, match="adapter_config.json"):
        TransformersModel(folder, tmp_path)
    narrow = tiny_model.make_base(tmp_path / "narrow", hidden=64)
    with pytest.raises(BadInput, match="does not load as an adapter"):
        TransformersModel(narrow, adapter)


def test_cut_and_outcome() -> None:
    assert cut("a; b\nc", ("\n", ";")) == ("a", True)
    assert cut("abc", ("", "x")) == ("abc", False)
    assert [outcome("a", True), outcome(" \n", True), outcome("a", False)] == ["ok", "empty", "truncated"]
