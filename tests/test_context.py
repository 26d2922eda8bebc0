"""Token lengths, the recommended context, the cache formula, and its measurement on a real GGUF file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb import prompts
from heimdall_nb.context import memory, profile
from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.exercises import nb06

sizes = st.lists(st.integers(1, 5000), min_size=1, max_size=60)


def example(question: str, schema: str) -> Example:
    return Example("Write Cypher.", question, "RETURN 1", "read", "small", graph="people", schema=schema).with_id()


def test_lengths_count_the_prompt_that_the_model_reads() -> None:
    item = example("Who lives in Oslo?", "(:Person {name: STRING})")
    found = profile.lengths(str.split, [item, item])
    rendered = prompts.render(prompts.conversation(item.input, item.schema, "cypher"))
    assert found["prompt"] == [len(rendered.split())] * 2
    assert found["question"] == [4, 4] and found["schema"] == [3, 3] and found["answer"] == [2, 2]


def test_lengths_of_nothing_are_refused() -> None:
    with pytest.raises(BadInput, match="no examples"):
        profile.lengths(str.split, [])


@given(sizes, st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_percentile_is_the_smallest_value_that_covers_the_share(values: list[int], share: float) -> None:
    found = profile.percentile(values, share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values)
    assert all(sum(v <= other for v in values) < share * len(values) for other in values if other < found)


@given(sizes, st.integers(1, 500))
def test_the_recommended_context_is_the_smallest_without_loss(prompt_tokens: list[int], new: int) -> None:
    context = profile.recommend(prompt_tokens, new).context
    fits = profile.shares(prompt_tokens, new)
    assert fits[context] == 1.0
    assert all(share < 1.0 for size, share in fits.items() if size < context)


def test_the_reason_names_what_the_percentile_would_lose() -> None:
    found = profile.recommend([100] * 97 + [900] * 3, 100, declared=512)
    assert found.context == 1024
    assert "would choose 512, and cut 3 of the prompts" in found.reason
    assert "made for 512 tokens" in found.reason


def test_a_prompt_beyond_all_sizes_is_refused() -> None:
    with pytest.raises(BadInput, match="40192 tokens"):
        profile.recommend([40000], 192)


@pytest.mark.parametrize("model", memory.known_models().values(), ids=lambda m: m.id)
def test_published_parameter_counts_follow_from_the_shapes(model: memory.KnownModel) -> None:
    assert model.counted_parameters() == model.parameters


def test_the_cache_of_a_model_with_grouped_query_attention() -> None:
    model = memory.known_model("Qwen/Qwen2.5-1.5B-Instruct")
    assert model.cache_bytes(32768) == 2 * 28 * 2 * 128 * 32768 * 2 == 939_524_096
    assert model.cache_bytes(32768, bytes_per_value=1) * 2 == model.cache_bytes(32768)
    assert memory.known_model("no/such-model") is None


def test_weights_in_four_bits_keep_the_embeddings_in_sixteen() -> None:
    model = memory.known_model("qwen2.5-0.5b")
    embeddings = model.vocabulary * model.hidden
    assert 2 * embeddings + 0.5 * model.linear_parameters < model.weight_bytes(4) < model.weight_bytes(16) / 2
    with pytest.raises(ValueError, match="3 bits"):
        model.weight_bytes(3)


def test_tables_hold_the_same_numbers() -> None:
    models = list(memory.known_models().values())
    estimates, caches = memory.estimates(models, 2048), memory.cache_table(models, [2048])
    assert [row["cache"] for row in estimates] == pytest.approx([row["2048"] for row in caches], abs=0.01)


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real GGUF file of a tiny untrained model: 3 layers, 2 key-value heads of 64, declared context 512."""
    from tiny_model import make_base

    from heimdall_nb.export.gguf_file import write_gguf

    folder = tmp_path_factory.mktemp("tiny")
    return write_gguf(make_base(folder / "base", layers=3), folder / "tiny.gguf")


def test_the_shape_is_read_from_the_file(tiny_gguf: Path) -> None:
    assert memory.gguf_shape(tiny_gguf) == memory.CacheShape(layers=3, kv_heads=2, head_dim=64, context=512)


@pytest.mark.parametrize("content", [b"", b"no gguf", None], ids=["empty", "junk", "cut"])
def test_damaged_files_are_named(tiny_gguf: Path, tmp_path: Path, content: bytes | None) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(tiny_gguf.read_bytes()[:4000] if content is None else content)
    with pytest.raises(BadInput, match=r"damaged\.gguf: is not a complete GGUF file"):
        memory.gguf_shape(damaged)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.gguf: is missing"):
        memory.measure(tmp_path / "none.gguf", [512])


def test_measured_memory_grows_like_the_formula(tiny_gguf: Path) -> None:
    small, large = memory.measure(tiny_gguf, [512, 4096], new_tokens=4, repeats=1)
    grown, formula = large["loaded"] - small["loaded"], large["formula"] - small["formula"]
    assert formula == pytest.approx(2 * 3 * 2 * 64 * (4096 - 512) * 2 / 2**20, abs=0.05)
    assert grown == pytest.approx(formula, rel=0.35)
    assert small["used"] >= small["loaded"] > small["weights"]
    assert small["declared"] and not large["declared"]
    assert large["prompt_tokens"] == 4092
    assert large["new_per_second_full"] < large["new_per_second_short"]


def test_a_context_without_room_is_refused(tiny_gguf: Path) -> None:
    with pytest.raises(BadInput, match="leaves no room for 64 new tokens"):
        memory.measure(tiny_gguf, [512, 32], new_tokens=64)


def test_a_child_that_fails_says_why(tiny_gguf: Path) -> None:
    with pytest.raises(HeimdallError, match="context 512: the measurement took more than"):
        memory.measure(tiny_gguf, [512], seconds=0.01)


def test_exercises_accept_the_right_answer_and_hint_at_others() -> None:
    rows = json.loads('[{"context": 512, "new_per_second_short": 90, "new_per_second_full": 60}]')
    assert nb06.check_1(1024, [300, 350], 192) is None and nb06.check_1(512, [300, 350], 192)
    assert nb06.check_2(448) is None and nb06.check_2(896) and nb06.check_2("448")
    assert nb06.check_3(1.5, rows) is None and nb06.check_3(0.67, rows)
