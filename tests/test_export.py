"""Export: the merged model is the trained one, the GGUF file is the merged one, smaller files say what they are."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import gguf
import numpy as np
import pytest
import tiny_model
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.exercises import nb04
from heimdall_nb.export.agreement import agreement
from heimdall_nb.export.gate import examine, gate
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.export.merge import merge
from heimdall_nb.export.quantise import KINDS, describe, quantise
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.opened import base_of
from heimdall_nb.models.transformers_model import TransformersModel
from heimdall_nb.prompts import SPECIAL_TOKENS, chat_template, render
from heimdall_nb.run import write_json

TALKS = tiny_model.conversations(answers=True)
TEXTS = [render(talk, generation_prompt=False) for talk in TALKS]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.trained(tmp_path_factory)


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make_adapter(base, tmp_path_factory.mktemp("adapter"))


@pytest.fixture(scope="module")
def merged(base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return merge(base, adapter, tmp_path_factory.mktemp("merge") / "merged")


@pytest.fixture(scope="module")
def f16(merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(merged, tmp_path_factory.mktemp("gguf") / "tiny-F16.gguf", licence="MIT", base_model="org/base")


# merge


def test_merged_model_is_the_trained_one(base: Path, adapter: Path, merged: Path, tmp_path: Path) -> None:
    trained = TransformersModel(base, adapter, four_bit=True)
    usual = merge(base, adapter, tmp_path / "usual", through_4bit=False)
    with_ours = agreement(trained, TransformersModel(merged), TEXTS)
    with_usual = agreement(trained, TransformersModel(usual), TEXTS)
    without = agreement(trained, TransformersModel(base), TEXTS)
    assert with_ours["mean_kl"] < 5e-5 and with_ours["top1"] > 0.97
    assert with_ours["mean_kl"] * 5 < min(with_usual["mean_kl"], without["mean_kl"])


def test_merged_weights_are_those_of_the_training(base: Path, adapter: Path, merged: Path, tmp_path: Path) -> None:
    told = shutil.copytree(adapter, tmp_path / "adapter")
    write_json(told / "training.json", {"settings": {"double_quantisation": False}})
    single = merge(base, told, tmp_path / "single")
    theirs = TransformersModel(base, told, four_bit=True)
    ours, doubled = (agreement(theirs, TransformersModel(folder), TEXTS) for folder in (single, merged))
    assert ours["mean_kl"] * 5 < doubled["mean_kl"] and ours["mean_kl"] < 5e-5


def test_merge_without_4bit_equals_base_with_adapter(base: Path, adapter: Path, tmp_path: Path) -> None:
    usual = merge(base, adapter, tmp_path / "usual", through_4bit=False)
    found = agreement(TransformersModel(base, adapter), TransformersModel(usual), TEXTS)
    assert found["mean_kl"] < 1e-6 and found["top1"] > 0.999
    assert found["texts"] == len(TEXTS) and found["tokens"] == sum(
        len(TransformersModel(base).tokens(t)) for t in TEXTS
    )


def test_4bit_weights_survive_being_used(base: Path) -> None:
    """On some CPUs inference repacks 4-bit weights, after which they dequantise to noise; ours must not."""
    model = TransformersModel(base, four_bit=True)
    before = model.log_probabilities(TEXTS[0])
    model.complete(TALKS[:1], max_new_tokens=2)
    model.model = model.model.dequantize().float()
    assert np.abs(model.log_probabilities(TEXTS[0]) - before).max() < 0.5


def test_merged_folder_is_complete_and_replaces_an_older_one(base: Path, adapter: Path, tmp_path: Path) -> None:
    output = tmp_path / "merged"
    output.mkdir()
    (output / "left-over").write_text("old")
    assert merge(base, adapter, output, dtype="bfloat16") == output
    assert list(tmp_path.iterdir()) == [output]
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {
        p.name for p in output.iterdir()
    }
    assert (output / "chat_template.jinja").read_text() == chat_template()
    config = json.loads((output / "config.json").read_text())
    assert config["dtype"] == "bfloat16" and "quantization_config" not in config


def test_failed_merge_leaves_the_old_folder(base: Path, tmp_path: Path) -> None:
    output = tmp_path / "merged"
    output.mkdir()
    (output / "kept").write_text("old")
    with pytest.raises(BadInput, match="adapter_config.json"):
        merge(base, tmp_path, output)
    with pytest.raises(BadInput, match="is missing"):
        merge(tmp_path / "none", tmp_path, output)
    with pytest.raises(BadInput, match="^dtype: "):
        merge(base, tmp_path, output, dtype="int3")
    assert (output / "kept").exists() and [p.name for p in tmp_path.iterdir()] == ["merged"]


def test_base_of_prefers_the_folder_beside_the_adapter(base: Path, tmp_path: Path) -> None:
    adapter = tiny_model.make_adapter(base, tmp_path / "adapter")
    assert str(base_of(adapter)) == str(base)
    (tmp_path / "base").mkdir()
    assert base_of(adapter) == tmp_path / "base"


def test_agreement_of_a_model_with_itself(merged: Path) -> None:
    model = TransformersModel(merged)
    assert agreement(model, model, TEXTS[:2])["mean_kl"] < 1e-9
    assert agreement(model, model, TEXTS[:2])["top1"] == 1.0


def test_agreement_on_what_follows_the_prompt(merged: Path, base: Path) -> None:
    model, other = TransformersModel(merged), TransformersModel(base)
    prompts = [render(talk[:-1]) for talk in TALKS[:2]]
    lengths = [
        len(model.tokens(text)) - len(model.tokens(prompt)) for text, prompt in zip(TEXTS, prompts, strict=False)
    ]
    found = agreement(model, other, TEXTS[:2], prompts)
    assert found["tokens"] == sum(lengths) and found["mean_kl"] > 0
    first, start = TEXTS[0], len(model.tokens(prompts[0])) - 1
    a, b = (each.log_probabilities(first)[start:-1] for each in (model, other))
    expected = float((np.exp(a) * (a - b)).sum()) / lengths[0]
    assert agreement(model, other, TEXTS[:1], prompts[:1])["mean_kl"] == pytest.approx(expected, rel=1e-4)


def test_agreement_refuses_models_that_read_other_tokens(merged: Path, tmp_path: Path) -> None:
    other = TransformersModel(tiny_model.make_base(tmp_path / "other", hidden=64, padding=5))
    with pytest.raises(HeimdallError, match="other vocabularies"):
        agreement(TransformersModel(merged), other, TEXTS[:1])


# GGUF


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3"])
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_gguf_computes_what_the_folder_computes(architecture: str, kind: str, tmp_path: Path) -> None:
    folder = tiny_model.make_base(tmp_path / "model", architecture, hidden=64)
    _randomise_vectors(folder)
    model = LlamaCppModel(write_gguf(folder, tmp_path / "model.gguf", kind))
    found = agreement(TransformersModel(folder), model, TEXTS[:3])
    model.close()
    assert found["mean_kl"] < (1e-4 if kind == "BF16" else 2e-6) and found["top1"] > 0.97


def _randomise_vectors(folder: Path) -> None:
    """Norms and biases start as ones and zeros, which would hide that they were mixed up."""
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(1)
    changed = {
        name: tensor + (0.2 * torch.randn(tensor.shape, generator=generator) if tensor.ndim == 1 else 0)
        for name, tensor in weights.items()
    }
    save_file(changed, folder / "model.safetensors", {"format": "pt"})


def test_untied_output_and_padded_vocabulary(tmp_path: Path) -> None:
    folder = tiny_model.make_base(tmp_path / "model", hidden=64, tied=False, padding=13)
    model = LlamaCppModel(write_gguf(folder, tmp_path / "model.gguf"))
    reference = TransformersModel(folder)
    found = agreement(reference, model, TEXTS[:3])
    assert model.log_probabilities(TEXTS[0]).shape[1] == len(reference.tokenizer) + 13
    assert found["mean_kl"] < 2e-6 and found["top1"] > 0.97
    model.close()


def test_sharded_weights(merged: Path, f16: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = Path(shutil.copytree(merged, tmp_path / "sharded"))
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(merged).save_pretrained(folder, max_shard_size="1MB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    sharded = gguf.GGUFReader(write_gguf(folder, tmp_path / "sharded.gguf"))
    whole = {t.name: t.data for t in gguf.GGUFReader(f16).tensors}
    assert {t.name for t in sharded.tensors} == set(whole)
    assert all(np.array_equal(t.data, whole[t.name]) for t in sharded.tensors)


def test_metadata(f16: Path) -> None:
    fields = {name: field.contents() for name, field in gguf.GGUFReader(f16).fields.items()}
    assert fields["general.name"] == "heimdall" and fields["general.license"] == "MIT"
    assert fields["general.base_model.0.name"] == "base"
    assert fields["general.base_model.0.repo_url"] == "https://huggingface.co/org/base"
    assert fields["qwen3.context_length"] == 512 and fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.chat_template"] == chat_template(generation_markers=False)
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert tokens[fields["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    control = {t for t, kind in zip(tokens, types, strict=True) if kind == gguf.TokenType.CONTROL}
    assert control == set(SPECIAL_TOKENS)


def test_other_architectures_are_named_not_guessed(merged: Path, tmp_path: Path) -> None:
    changes = {
        "model_type": ("gemma", "qwen2, qwen3"),
        "rope_parameters": ({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}, "RoPE"),
        "use_sliding_window": (True, "sliding"),
        "vocab_size": (300, "more tokens"),
    }
    for key, (value, message) in changes.items():
        folder = Path(shutil.copytree(merged, tmp_path / key))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {key: value}))
        with pytest.raises(BadInput, match=message):
            write_gguf(folder, tmp_path / "out" / "model.gguf")
    assert not list((tmp_path / "out").iterdir() if (tmp_path / "out").exists() else [])


def test_unusable_input_leaves_no_file(merged: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="config.json"):
        write_gguf(tmp_path / "none", tmp_path / "model.gguf")
    with pytest.raises(BadInput, match="^kind: "):
        write_gguf(merged, tmp_path / "model.gguf", "Q4_K_M")
    folder = Path(shutil.copytree(merged, tmp_path / "cut"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:4000])
    with pytest.raises(BadInput, match="safetensors"):
        write_gguf(folder, tmp_path / "model.gguf")
    assert [p.name for p in tmp_path.iterdir()] == ["cut"]


# quantise


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_256_wide_falls_back_nowhere(f16: Path, kind: str, tmp_path: Path) -> None:
    report = quantise(f16, tmp_path / "small.gguf", kind)
    assert report == describe(tmp_path / "small.gguf", kind) and report["kind"] == kind
    assert report["fallback"] == [] and report["bytes"] == (tmp_path / "small.gguf").stat().st_size
    assert [p.name for p in tmp_path.iterdir()] == ["small.gguf"]
    lowest, highest = {"F16": (16, 16.1), "Q8_0": (8.4, 8.6), "Q6_K": (6.5, 6.7)}.get(kind, (2.5, 6.2))
    assert lowest <= report["bits_per_weight"] <= highest


def test_a_model_320_wide_names_what_fell_back(tmp_path: Path) -> None:
    folder = tiny_model.make_base(tmp_path / "model", hidden=320, layers=1)
    source = write_gguf(folder, tmp_path / "F16.gguf")
    report = quantise(source, tmp_path / "small.gguf", "Q4_K_M")
    assert {"name": "blk.0.attn_q.weight", "type": "Q5_0"} in report["fallback"]
    assert len(report["fallback"]) == 8 and report["bits_per_weight"] > 6
    assert quantise(source, tmp_path / "small.gguf", "Q8_0")["fallback"] == []


def test_smaller_kinds_are_smaller_and_worse_but_close(f16: Path, merged: Path, tmp_path: Path) -> None:
    reference, sizes, divergences = TransformersModel(merged), [], []
    for kind in ("F16", "Q8_0", "Q4_K_M", "Q2_K"):
        sizes.append(quantise(f16, tmp_path / f"{kind}.gguf", kind)["bytes"])
        model = LlamaCppModel(tmp_path / f"{kind}.gguf")
        divergences.append(agreement(reference, model, TEXTS[:4])["mean_kl"])
        model.close()
    assert sizes == sorted(sizes, reverse=True) and divergences == sorted(divergences)
    assert divergences[-1] < 0.05


def test_bad_sources_and_kinds(f16: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match="Q8_0, Q6_K, Q5_K_M"):
        quantise(f16, tmp_path / "x.gguf", "Q9")
    with pytest.raises(BadInput, match="cannot be read"):
        quantise(tmp_path / "none.gguf", tmp_path / "x.gguf", "Q8_0")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(f16.read_bytes()[:50_000])
    with pytest.raises(BadInput, match="cannot be quantised"):
        quantise(cut, tmp_path / "x.gguf", "Q8_0")
    quantise(f16, tmp_path / "q8.gguf", "Q8_0")
    with pytest.raises(BadInput, match="requantizing"):
        quantise(tmp_path / "q8.gguf", tmp_path / "x.gguf", "Q4_K_M")
    assert {p.name for p in tmp_path.iterdir()} == {"cut.gguf", "q8.gguf"}
    assert capfd.readouterr() == ("", "")


# the gate; its faults are in test_gate.py


def test_f16_is_the_merged_model(merged: Path, f16: Path) -> None:
    result = gate(merged, f16, TEXTS, TALKS, greedy=8)
    assert result["ok"] and result["reasons"] == [] and result["file_type"] == "F16"
    assert result["texts"] == result["ids_equal"] >= 500
    assert result["mean_kl"] < 1e-6 and result["top1"] == 1.0
    assert result["template_equal"] and (result["greedy"], result["greedy_equal"], result["greedy_ties"]) == (8, 8, 0)


def test_greedy_answers_count_for_a_whole_file(
    merged: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny_model.make_adapter(base, tmp_path / "adapter", seed=3, size=0.3)
    path = write_gguf(merge(base, other, tmp_path / "other"), tmp_path / "other.gguf")
    monkeypatch.setattr("heimdall_nb.export.gate.KL_LIMIT", 1e9)
    monkeypatch.setattr("heimdall_nb.export.gate.TOP1_LIMIT", 0)
    result = examine(merged, path, TEXTS[:1], TALKS, greedy=8)
    assert result["greedy_equal"] < 7 and result["reasons"] == [
        f"only {result['greedy_equal']} of 8 greedy answers are equal"
    ]


def test_other_tokenizer_is_found(merged: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(merged, tmp_path / "model"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:20]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    path = write_gguf(folder, tmp_path / "model.gguf")
    with pytest.raises(HeimdallError, match="token ids differ on .* of 5.. texts.*removed"):
        gate(merged, path, TEXTS[:3], TALKS[:1], greedy=0)
    assert not path.exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text(max_size=60) | st.text(alphabet=" \t\r\nab'1._<|>im_startend", max_size=30))
def test_any_text_gives_the_same_ids(tokenisers: tuple[TransformersModel, LlamaCppModel], text: str) -> None:
    hf, llama = tokenisers
    assert llama.tokens(text) == hf.tokens(unicodedata.normalize("NFC", text))


@pytest.fixture(scope="module")
def tokenisers(merged: Path, f16: Path) -> tuple[TransformersModel, LlamaCppModel]:
    return TransformersModel(merged), LlamaCppModel(f16)


# exercises of notebook 04


def test_exercises(f16: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.gguf"
    report = quantise(f16, small, "Q4_K_M")
    megabytes = {"F16": f16.stat().st_size / 1e6, "Q4_K_M": report["bytes"] / 1e6}
    ratio = megabytes["F16"] / megabytes["Q4_K_M"]
    assert nb04.check_1(round(ratio, 2), megabytes) is None
    assert "other way" in (nb04.check_1(1 / ratio, megabytes) or "") and nb04.check_1(ratio + 1, megabytes)
    assert nb04.check_2(494 * 4.96 / 8, 494e6, 4.96) is None
    assert "megabits" in (nb04.check_2(494 * 4.96, 494e6, 4.96) or "") and nb04.check_2(12, 494e6, 4.96)
    more = [t.name for t in gguf.GGUFReader(small).tensors if t.tensor_type.name == "Q6_K"]
    assert more and nb04.check_3(more, small) is None
    assert "32-bit" in (nb04.check_3(["output_norm.weight"], small) or "")
    assert f"{len(more)} matrices" in (nb04.check_3([], small) or "")
