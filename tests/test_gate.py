"""The gate: files that are their model pass, and each way of not being it is caught and leaves no file behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import pytest
import tiny_architectures
import torch

from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.export import gguf_file, quantise
from heimdall_nb.export.gate import Record, examine, export, gate
from heimdall_nb.export.gate_texts import gate_texts
from heimdall_nb.export.imatrix import importance
from heimdall_nb.prompts import chat_template

TALKS = tiny_architectures.CONVERSATIONS[: tiny_architectures.LEARNT]
TEXTS = tiny_architectures.TEXTS[: tiny_architectures.LEARNT]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that are made when a test first asks for them."""

    class Folders(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            self[name] = tiny_architectures.make(tmp_path_factory.mktemp("models") / name, name, steps=20)
            return self[name]

    return Folders()


def exported(folder: Path, output: Path, kind: str = "F16", source: Path | None = None) -> Record:
    return export(folder, output, kind, TEXTS, TALKS, source, greedy=3, scored=3)


def test_the_record_says_what_the_file_is(folders: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    record = export(folders["qwen3"], path, "F16", TEXTS, TALKS, greedy=1, scored=1, name="tiny", licence="MIT")
    assert record["ok"] and record["path"] == str(path) and record["bytes"] == path.stat().st_size
    assert gguf.GGUFReader(path).fields["general.license"].contents() == "MIT"


def test_an_importance_matrix_changes_what_is_rounded(folders: dict[str, Path], tmp_path: Path) -> None:
    folder, f16 = folders["llama"], gguf_file.write_gguf(folders["llama"], tmp_path / "F16.gguf")
    weighted = importance(folder, TEXTS)
    matrices = {t.name: t.shape[0] for t in gguf.GGUFReader(f16).tensors if t.shape.size == 2}
    assert {n: v.size for n, v in weighted.items()} | {"token_embd.weight": 256} == matrices
    files = [tmp_path / "plain.gguf", tmp_path / "weighted.gguf"]
    same = quantise.quantise(f16, files[0], "Q2_K"), quantise.quantise(f16, files[1], "Q2_K", weighted)
    plain, other = (
        {t.name: t.data for t in gguf.GGUFReader(file).tensors if t.tensor_type.name == "Q2_K"} for file in files
    )
    assert same[0]["types"] == same[1]["types"] and plain
    assert all((plain[name] != other[name]).any() for name in plain if name in weighted)
    assert importance(folder, TEXTS)["blk.0.attn_q.weight"] == pytest.approx(weighted["blk.0.attn_q.weight"])
    with pytest.raises(BadInput, match="texts"):
        importance(folder, [])


def refused(folder: Path, output: Path, reason: str) -> None:
    """The export fails for this reason; an older file of that name stays and nothing else is there."""
    output.write_text("an older file")
    with pytest.raises(HeimdallError, match=reason):
        exported(folder, output)
    assert [p.name for p in output.parent.iterdir()] == [output.name] and output.read_text() == "an older file"


def test_a_wrong_template_is_caught(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = chat_template(generation_markers=False).replace("<|im_end|>\\n", "<|im_end|>")
    monkeypatch.setattr("heimdall_nb.prompts.chat_template", lambda generation_markers=True: wrong)
    refused(folders["qwen3"], tmp_path / "x.gguf", "chat template gives other text for 4 of 4 conversations")


def test_a_folder_with_another_template_is_caught(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["qwen3"], tmp_path / "model"))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    (tmp_path / "out").mkdir()
    refused(folder, tmp_path / "out" / "x.gguf", "chat template gives other text")


def test_a_swapped_token_is_caught(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add = gguf.GGUFWriter.add_token_list

    def swapped(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
        at, other = tokens.index("a"), tokens.index("b")
        tokens[at], tokens[other] = tokens[other], tokens[at]
        add(writer, tokens)

    monkeypatch.setattr(gguf.GGUFWriter, "add_token_list", swapped)
    refused(folders["qwen3"], tmp_path / "x.gguf", "token [0-9]+ is not '[ab]' as in the model; token ids differ on")


def test_rare_tokens_that_no_text_has_are_compared_too(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = gguf.GGUFWriter.add_token_list

    def swapped(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
        tokens[3 + 0xC0], tokens[3 + 0xC1] = tokens[3 + 0xC1], tokens[3 + 0xC0]  # bytes that UTF-8 never has
        add(writer, tokens)

    monkeypatch.setattr(gguf.GGUFWriter, "add_token_list", swapped)
    refused(folders["llama"], tmp_path / "x.gguf", "token [0-9]+ is not '<0xC[01]>' as in the model")


@pytest.mark.parametrize(("name", "turned"), [("llama", None), ("qwen3", 4)])
def test_a_permuted_rope_is_caught(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, turned: int | None
) -> None:
    """Llama's rows left as they are, or Qwen's put in Llama's order."""
    load = gguf_file._load

    def other(file: Path, tensor: str, _: int | None) -> torch.Tensor:
        return load(file, tensor, turned if tensor.endswith("q_proj.weight") else None)

    monkeypatch.setattr(gguf_file, "_load", other)
    refused(folders[name], tmp_path / "x.gguf", "next-token probabilities differ by a mean KL")


def test_a_truncated_file_is_removed(folders: dict[str, Path], tmp_path: Path) -> None:
    whole = gguf_file.write_gguf(folders["qwen3"], tmp_path / "whole.gguf")
    for share in (0.02, 0.5, 0.999):
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
        with pytest.raises(HeimdallError, match="cut.gguf: is not the model it was made from: .*damaged.*was removed"):
            gate(folders["qwen3"], cut, TEXTS, TALKS)
        assert not cut.exists()


def test_numbers_that_are_none_are_caught(folders: dict[str, Path], tmp_path: Path) -> None:
    path = gguf_file.write_gguf(folders["qwen3"], tmp_path / "x.gguf")
    reader = gguf.GGUFReader(path, "r+")  # changes are written to the file
    next(t for t in reader.tensors if t.name == "output_norm.weight").data[:] = float("nan")
    reader.data.flush()
    record = examine(folders["qwen3"], path, TEXTS, TALKS, greedy=0, scored=1)
    assert not record["ok"] and "not numbers" in record["reasons"][0]


def test_another_model_is_caught(folders: dict[str, Path], tmp_path: Path) -> None:
    other = tiny_architectures.make(tmp_path / "other", "qwen3", seed=8)
    path = gguf_file.write_gguf(other, tmp_path / "x.gguf")
    record = examine(folders["qwen3"], path, TEXTS, TALKS, greedy=2, scored=2)
    assert record["vocabulary_equal"] and record["ids_equal"] == record["texts"] and record["template_equal"]
    assert ["mean KL" in record["reasons"][0], "likeliest token" in record["reasons"][1]] == [True, True]
    assert "greedy answers" in record["reasons"][2] and path.exists()


def test_a_file_quantised_from_another_model_is_caught(folders: dict[str, Path], tmp_path: Path) -> None:
    other = gguf_file.write_gguf(tiny_architectures.make(tmp_path / "other", "qwen3", seed=8), tmp_path / "F16.gguf")
    with pytest.raises(HeimdallError, match="the likeliest token is another one in [0-9]+% of all places"):
        exported(folders["qwen3"], tmp_path / "x.gguf", "Q8_0", other)
    assert not (tmp_path / "x.gguf").exists()


def test_an_unusable_folder_does_not_cost_the_file(folders: dict[str, Path], tmp_path: Path) -> None:
    path = gguf_file.write_gguf(folders["qwen3"], tmp_path / "x.gguf")
    with pytest.raises(BadInput, match="is missing"):
        gate(tmp_path / "none", path, TEXTS, TALKS)
    assert path.exists()


def test_the_texts_of_the_gate() -> None:
    texts = gate_texts(["<s>", "<|im_end|>"])
    assert texts == gate_texts(["<s>", "<|im_end|>"]) and len(texts) == 500 == len(set(texts))
    assert {"<s><s>", "word<|im_end|>word", "", " "} <= set(texts)
    assert sum("MATCH" in text for text in texts) > 20 and sum(text.endswith("?") for text in texts) > 20
    assert sum(not text.isascii() for text in texts) > 30
    many = gate_texts([f"<|extra_{i}|>" for i in range(300)] + ["<|im_end|>"])
    assert "word<|im_end|>word" in many and len(many) < 800
