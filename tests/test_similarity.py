"""Semantic similarity by a small real encoder, without one, and perplexity of both kinds of model."""

from __future__ import annotations

import math
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import pytest

from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation import similarity as module
from heimdall_nb.evaluation.similarity import HUB_MODEL, OFFLINE_PACKAGE, NotComputed, similarity

TEXTS = ["MATCH (p:Person) RETURN p.name", "how many people are there", "list all cities by name", "Łódź", ""]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """A BERT with random weights and a WordPiece tokenizer trained on a few texts, saved as the hub's models are."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    core.train_from_iterator(TEXTS * 3, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, core.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = BertModel(
            BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=48,
            )
        )
    folder = tmp_path_factory.mktemp("encoder")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_similarity_of_texts(encoder):
    one, other = TEXTS[0], TEXTS[1]
    same, different, back, empty, both = similarity(
        [(one, f" {one}\n"), (one, other), (other, one), ("", one), ("", " ")], str(encoder)
    )
    assert same == pytest.approx(1.0, abs=1e-5) and both == 1.0 and empty == 0.0
    assert -1 <= different < 0.999 and back == pytest.approx(different, abs=1e-6)
    assert similarity([(one, other)], str(encoder)) == similarity([(one, other)], str(encoder))


def test_similarity_is_the_cosine_of_mean_states_whatever_the_padding(encoder):
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()

    def vector(text):
        with torch.inference_mode():  # one text alone has no padding: the mean is over all its states
            return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)

    pairs = [(a, b) for a in TEXTS[:4] for b in TEXTS[:4]]
    for (a, b), found in zip(pairs, similarity(pairs, str(encoder)), strict=True):
        assert found == pytest.approx(float(torch.cosine_similarity(vector(a), vector(b), dim=0)), abs=1e-5)


def test_long_texts_are_cut_to_the_window(encoder):
    long = " ".join(["people"] * 500)
    assert similarity([(long, long)], str(encoder)) == [pytest.approx(1.0, abs=1e-5)]


def test_without_a_model_it_is_not_computed_and_says_why(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(sys.modules, OFFLINE_PACKAGE, None)  # as if it were not installed
    name = "nobody/no-such-encoder"
    monkeypatch.setattr(module, "HUB_MODEL", name)
    started = time.monotonic()
    found = similarity([("a", "b")])
    assert isinstance(found, NotComputed) and time.monotonic() - started < 20
    assert name in found.reason and "HF_HUB_OFFLINE" in found.reason and OFFLINE_PACKAGE in found.reason
    named = similarity([("a", "b")], name)
    assert isinstance(named, NotComputed) and OFFLINE_PACKAGE not in named.reason


def test_a_hub_that_does_not_answer_is_tried_once(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setitem(sys.modules, OFFLINE_PACKAGE, None)
    monkeypatch.setattr(module, "HUB_MODEL", "nobody/no-such-encoder")
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens here
    started = time.monotonic()
    found = similarity([("a", "b")])
    assert isinstance(found, NotComputed) and "fetched" in found.reason and time.monotonic() - started < 20


def test_the_offline_package_is_used_where_it_is_installed(encoder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(module, "HUB_MODEL", "nobody/no-such-encoder")
    package = types.SimpleNamespace(get_model_path=lambda: encoder)
    monkeypatch.setitem(sys.modules, OFFLINE_PACKAGE, package)
    assert similarity([(TEXTS[0], TEXTS[1])]) == similarity([(TEXTS[0], TEXTS[1])], str(encoder))


def test_a_folder_without_a_model_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="no embedding model"):
        similarity([("a", "b")], str(tmp_path))
    assert HUB_MODEL.startswith("sentence-transformers/")


# --- perplexity


@pytest.fixture(scope="module")
def questions():
    from heimdall_nb.dataset.example import load
    from heimdall_nb.run import DATA

    items = load(DATA / "benchmark" / "iid.jsonl")[:3]
    return [replace(e, schema=e.schema[:120]) for e in items]


def test_a_gguf_file_and_its_folder_have_the_same_perplexity(tmp_path, questions):
    from tiny_model import make_base

    from heimdall_nb.evaluation.perplexity import answer_log_likelihoods, answer_perplexity, perplexity
    from heimdall_nb.export.gguf_file import write_gguf
    from heimdall_nb.models.llamacpp import LlamaCppModel

    base = make_base(tmp_path / "base", steps=5)
    file = tmp_path / "base.gguf"
    write_gguf(base, file, "F32")
    pairs = answer_log_likelihoods(base, questions)
    assert len(pairs) == len(questions) and all(total < 0 < tokens for total, tokens in pairs)
    of_file = answer_log_likelihoods(file, questions)
    assert [tokens for _, tokens in of_file] == [tokens for _, tokens in pairs]
    for (a, _), (b, _) in zip(pairs, of_file, strict=True):
        assert b == pytest.approx(a, rel=1e-3)
    assert answer_perplexity(base, questions) == pytest.approx(perplexity(pairs))
    # groups: the whole is the mean of the parts, weighed by their tokens
    parts = [perplexity(pairs[:1]), perplexity(pairs[1:])]
    weights = [pairs[0][1], sum(tokens for _, tokens in pairs[1:])]
    mean = sum(w * math.log(p) for w, p in zip(weights, parts, strict=True)) / sum(weights)
    assert math.log(perplexity(pairs)) == pytest.approx(mean)
    small = LlamaCppModel(file, context=32)  # nothing fits
    try:
        assert answer_log_likelihoods(small, questions) == [(0.0, 0)] * 3
        with pytest.raises(BadInput, match="fits"):
            answer_perplexity(small, questions)
    finally:
        small.close()


def test_a_model_without_probabilities_is_refused(questions):
    from heimdall_nb.evaluation.perplexity import answer_log_likelihoods, perplexity

    with pytest.raises(BadInput, match="probabilities"):
        answer_log_likelihoods(types.SimpleNamespace(name="service"), questions)
    assert perplexity([(-2 * math.log(8), 2), (0.0, 0)]) == pytest.approx(8)
