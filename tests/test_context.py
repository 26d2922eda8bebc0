"""Token lengths, the recommended context, the formula of memory, the sliders, and notebook 06's exercises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb import browser, prompts
from heimdall_nb.context import profile, slider
from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput
from heimdall_nb.exercises import nb06
from heimdall_nb.memory import estimate_inference, shape_of, tables
from heimdall_nb.memory.inference import operand_bytes
from heimdall_nb.memory.parts import GIB
from heimdall_nb.model_shapes import shapes

QWEN = "Qwen/Qwen2.5-1.5B-Instruct"
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


def test_models_in_a_table_of_weights_and_caches() -> None:
    rows = {row["model"]: row for row in tables.model_table((2048, 32768))}
    assert len(rows) == len(shapes())
    qwen = rows["Qwen2.5-1.5B-Instruct"]
    assert qwen["cache_32768"] == 0.875 == round(16 * 28 * 2 * 2 * 128 * 2 * 2048 / GIB, 3)
    assert qwen["made_for"] == 32768
    for row in rows.values():  # 4 bits of the linear layers, 16 of the rest
        assert row["weights_16_bit"] / 4 < row["weights_4_bit"] < row["weights_16_bit"] / 2


def test_operands_are_the_widest_product_and_without_flash_attention_the_scores() -> None:
    shape = shape_of("heimdall-nano-base")
    assert operand_bytes(shape, "F16", 2048) == 512 * 768 * 2
    assert operand_bytes(shape, "Q8_0", 2048) == 512 * 768 * 34 // 32
    assert operand_bytes(shape, "Q8_0", 100) == 100 * 768 * 34 // 32
    assert operand_bytes(shape, "F16", 2048, flash=False) == 512 * 4 * 2048 * 2


def test_the_tokenizer_counts_the_merges_that_a_file_has() -> None:
    from dataclasses import replace

    shape = shape_of(QWEN)
    few, many = (estimate_inference(replace(shape, merges=number)).part("tokenizer") for number in (1000, 151_000))
    assert many - few == 150_000 * 130
    assert few < estimate_inference(shape).part("tokenizer") == 151_936 * (150 + 130)


def test_points_of_the_slider_are_those_of_the_formula() -> None:
    row, found = slider.point(QWEN, 32768, "Q8_0", "RTX 3060")
    assert found.bytes == estimate_inference(shape_of(QWEN), context=32768, cache="Q8_0", where="cuda").bytes
    assert row["fits"] == "yes" and row["cache, GiB"] == 0.46 and row["made for it"] == "yes"
    large, _ = slider.point("Qwen/Qwen2.5-7B-Instruct", 2048, "F16", "Raspberry Pi 4")
    assert large["fits"] == "no"
    small, _ = slider.point(QWEN, 2048, "F16", "RTX 3060")
    assert small["write, tokens/s at most"] > row["write, tokens/s at most"]
    with pytest.raises(BadInput, match="hardware"):
        slider.point(QWEN, 2048, "F16", "abacus")


def test_without_a_front_end_the_slider_is_a_table() -> None:
    table = slider.explore(QWEN, "RTX 3060", [512, 2048])
    assert list(table.index) == [(cache, size) for cache in slider.CACHES for size in (512, 2048)]
    assert table.loc[("F16", 2048), "cache, GiB"] == 0.05


def test_the_sliders_show_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slider, "interactive", lambda: True)
    *controls, view = slider.explore(QWEN, "RTX 3060").children
    model, hardware, cache, context = controls
    assert "context 512, cache F16, on RTX 3060" in view.value and "key-value cache" in view.value
    context.value, cache.value, hardware.value = 32768, "Q8_0", "T4"
    assert "context 32,768, cache Q8_0, on T4" in view.value
    model.value = "heimdall-nano-base"
    assert "not made for so many tokens" in view.value
    assert not browser.interactive()


def test_exercises_accept_the_right_answer_and_hint_at_others() -> None:
    assert nb06.check_1(1024, [300, 350], 192) is None and nb06.check_1(512, [300, 350], 192)
    assert nb06.check_2(476) is None and nb06.check_2(896) and nb06.check_2("476")
    rates = ((256, 90.0), (1024, 75.0), (1792, None), (1500, 60.0))
    timed = {"rows": [{"prompt_tokens": depth, "write": rate} for depth, rate in rates]}
    assert nb06.check_3(1.5, timed) is None and nb06.check_3(0.67, timed)
    assert nb06.check_4(30, [300, 348], 50.0, 192) is None and nb06.check_4(36, [300], 50.0, 192)
