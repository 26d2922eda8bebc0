"""The model of memory: its parts add up, it grows where it must, and it counts what autograd and llama.cpp keep."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb import presets
from heimdall_nb.errors import BadInput
from heimdall_nb.memory import (
    Training,
    estimate_inference,
    estimate_training,
    recommended_batch,
    record,
    shape_of,
    tables,
    training,
)
from heimdall_nb.memory import inference as files
from heimdall_nb.memory.parts import GIB, MIB
from heimdall_nb.memory.shape import Shape, shape_from
from heimdall_nb.model_shapes import FIELDS, empty_model, shapes

QWEN = "Qwen/Qwen2.5-1.5B-Instruct"
shapes_known = st.sampled_from([*shapes(), "heimdall-nano-base"]).map(shape_of)
settings_drawn = st.builds(
    Training,
    batch_size=st.integers(1, 16),
    max_length=st.sampled_from([64, 512, 1024, 4096]),
    accumulation=st.integers(1, 4),
    load_in_4bit=st.booleans(),
    double_quantisation=st.booleans(),
    lora_rank=st.sampled_from([1, 8, 64]),
    lora_dropout=st.sampled_from([0.0, 0.05]),
    lora_targets=st.sampled_from(["all-linear", "all-linear,embed_tokens"]),
    checkpointing=st.booleans(),
    precision=st.sampled_from(["bf16", "fp32"]),
    optimizer=st.sampled_from(["adamw", "adamw_8bit"]),
    where=st.sampled_from(["cpu", "cuda"]),
)


@pytest.mark.parametrize("base", [*shapes(), "heimdall-nano-base"])
def test_the_shape_has_the_parameters_of_the_model_that_transformers_builds(base: str) -> None:
    assert shape_of(base).parameters == empty_model(base).num_parameters()


@given(shapes_known, settings_drawn)
def test_parts_add_up_to_the_largest_moment(shape: Shape, settings: Training) -> None:
    found = estimate_training(shape, settings)
    assert found.bytes == sum(part.bytes for part in found.parts) == max(found.moments.values())
    assert all(part.bytes > 0 and part.formula for part in found.parts)
    assert f"{found.bytes / GIB:.2f} GiB" in found.text()


@given(shapes_known, settings_drawn, st.sampled_from(["batch_size", "max_length", "lora_rank", "accumulation"]))
def test_training_never_needs_less_for_more(shape: Shape, settings: Training, knob: str) -> None:
    more = replace(settings, **{knob: 2 * getattr(settings, knob)})
    assert estimate_training(shape, more).bytes >= estimate_training(shape, settings).bytes


@given(shapes_known, settings_drawn)
def test_what_saves_memory_saves_memory(shape: Shape, settings: Training) -> None:
    def kept(**changes: Any) -> int:
        return sum(p.bytes for p in training.activation_parts(shape, replace(settings, **changes)))

    assert kept(checkpointing=True) < kept(checkpointing=False)
    four, sixteen = (training.weight_parts(shape, replace(settings, load_in_4bit=b))[0].bytes for b in (True, False))
    assert four < sixteen / 3
    plain, double = (training.four_bit_bytes(shape, double) for double in (False, True))
    assert double < plain


@given(shapes_known, st.sampled_from(list(files.mixes()["mixes"])), st.integers(1, 40000))
def test_a_file_needs_more_for_a_longer_context_and_more_bits(shape: Shape, kind: str, context: int) -> None:
    found = estimate_inference(shape, kind, context)
    assert found.bytes == sum(part.bytes for part in found.parts)
    assert estimate_inference(shape, kind, context + 256).bytes > found.bytes
    assert estimate_inference(shape, kind, context, "Q8_0").bytes < found.bytes
    sizes = [files.weight_bytes(shape, name) for name in ("Q2_K", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16")]
    assert sizes == sorted(sizes)


def test_the_cache_of_the_standard_model_at_32k_is_below_one_gigabyte() -> None:
    size = files.cache_bytes(shape_of(QWEN), 32768)
    assert size == 2 * 28 * 2 * 128 * 32768 * 2 == 939_524_096
    assert files.cache_bytes(shape_of(QWEN), 32768, "Q8_0") == size * 34 // 64
    assert files.cache_bytes(shape_of(QWEN), 1) == files.cache_bytes(shape_of(QWEN), 256), "in steps of 256"


def test_published_sizes() -> None:
    """A hand-computed 4-bit size, and the sizes of files that were measured with Qwen2.5-0.5B's shape."""
    small = shape_of("Qwen/Qwen2.5-0.5B-Instruct")
    assert small.parameters == 494_032_768
    per_weight = 8 * training.four_bit_bytes(small) / small.linear_weights
    assert 4.126 < per_weight < 4.135, "4 bits, 8/64 for the scale, 32/(64·256) for its scale, and the maps"
    measured = {"F16": 946, "Q8_0": 504, "Q5_K_M": 398, "Q4_K_M": 377, "Q4_K_S": 365, "Q2_K": 320}
    for kind, mib in measured.items():
        assert files.file_bytes(small, kind) / MIB == pytest.approx(mib, rel=0.01), kind


@pytest.mark.parametrize(
    ("kind", "four", "precision", "dropout", "padded", "targets"),
    [
        ("qwen2", True, "bf16", 0.0, True, "all-linear"),
        ("qwen2", False, "fp32", 0.0, False, "all-linear"),
        ("qwen3", True, "fp32", 0.0, True, "all-linear,embed_tokens"),
        ("qwen3", True, "fp32", 0.05, True, "all-linear"),
        ("llama", False, "bf16", 0.05, True, "all-linear"),
        ("phi3", True, "bf16", 0.0, False, "all-linear"),
        ("phi3", False, "fp32", 0.0, True, "all-linear"),
        ("phi3", False, "fp32", 0.0, False, "all-linear"),
        ("llama", False, "fp32", 0.0, True, "all-linear"),
    ],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_those_that_autograd_keeps(
    kind: str, four: bool, precision: str, dropout: float, padded: bool, targets: str, checkpointing: bool
) -> None:
    """Within 1 %: the storages that a forward pass of the real stack saves, each counted once."""
    sizes = {"layers": 3, "hidden": 128, "heads": 4, "kv_heads": 4 if kind == "llama" else 2, "ffn": 384}
    sizes |= {"vocabulary": 2048, "tied": True, "context": 512, "architecture": kind}
    shape = shape_from(kind, sizes | ({"bias": "qkv"} if kind == "qwen2" else {}))
    settings = Training(
        batch_size=2,
        max_length=128,
        lora_rank=4,
        load_in_4bit=four,
        precision=precision,
        lora_dropout=dropout,
        lora_targets=targets,
        padded=padded,
        checkpointing=checkpointing,
    )
    model = built(shape, settings)
    expected = sum(part.bytes for part in training.activation_parts(shape, settings))
    assert saved(model, settings) == pytest.approx(expected, rel=0.01)
    stored = sum(p.bytes for p in training.weight_parts(shape, settings))
    trained = {p for p in model.parameters() if p.requires_grad}
    assert sum(p.numel() for p in trained) == training.adapter_numbers(shape, settings)
    assert held(model) - 4 * sum(p.numel() for p in trained) == pytest.approx(stored, rel=0.01)


def built(shape: Shape, settings: Training) -> Any:
    """The model that a training makes of the shape: random weights, 4-bit layers, adapters, TRL's output layer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[settings.precision]
    sizes = {theirs: getattr(shape, ours) for ours, theirs in FIELDS.items() if ours != "rms_eps"}
    config = AutoConfig.for_model(shape.architecture, head_dim=shape.head_dim, pad_token_id=0, **sizes)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if settings.load_in_4bit:
        quantised(model, dtype)
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    wanted = {"r": settings.lora_rank, "lora_dropout": settings.lora_dropout, "target_modules": "all-linear"}
    _, whole = presets.lora_layers(settings.lora_targets)
    wanted |= {"modules_to_save": whole or None, "ensure_weight_tying": bool(whole)}
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **wanted))
    if settings.checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model.train()


def quantised(model: Any, dtype: Any) -> None:
    """Put the model's linear layers, all but the output, into NF4 with double quantisation."""
    import bitsandbytes as bnb
    import torch

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear) and name != "lm_head":
                four = bnb.nn.Linear4bit(
                    child.in_features, child.out_features, child.bias is not None, dtype, quant_type="nf4"
                )
                four.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False, quant_type="nf4")
                four.bias = child.bias
                four.requires_grad_(False)
                setattr(parent, name, four.to("cpu"))


def saved(model: Any, settings: Training) -> int:
    """Bytes of all storages that a forward pass keeps for the backward pass, without the model's own."""
    import torch

    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    found: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            found[place] = tensor  # kept, so that no other tensor takes its place
        return tensor

    ids = torch.randint(3, 2000, (settings.batch_size, settings.max_length))
    mask = torch.ones_like(ids)
    mask[:, -3:] = 0 if settings.padded else 1
    arithmetic = torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16")
    with arithmetic, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(input_ids=ids, attention_mask=mask, labels=ids, fused_lm_head=True, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


def held(model: Any) -> int:
    """Bytes of the parameters, with the scales of 4-bit weights; what is shared counts once."""
    tensors = {p.data_ptr(): p for p in model.parameters()}
    states = [p.quant_state for p in model.parameters() if getattr(p, "quant_state", None) is not None]
    inner = [t for s in states for t in (s.absmax, s.offset, s.state2.absmax, s.state2.code, s.code)]
    return sum(t.untyped_storage().nbytes() for t in (*tensors.values(), *inner))


def test_the_tile_of_the_loss_weighs_what_the_vocabulary_weighs() -> None:
    shape, one = shape_of(QWEN), Training(batch_size=1, max_length=1024)
    assert training.loss_bytes(shape, one) == 1024 * 32768 * 33 + 4 * 1024 * 1536
    large = replace(one, batch_size=16)
    assert training.loss_bytes(shape, large) - 4 * 16384 * 1536 == 4096 * 32768 * 33, "in tiles of 4,096 positions"
    assert (
        training.loss_bytes(shape, replace(one, where="cuda", precision="bf16")) < training.loss_bytes(shape, one) / 10
    )


@given(shapes_known, st.floats(1, 100))
def test_the_recommended_batch_is_the_largest_that_fits(shape: Shape, gigabytes: float) -> None:
    settings = Training(max_length=1024, where="cuda", precision="bf16", checkpointing=True)
    found = recommended_batch(shape, settings, gigabytes * GIB, rows=16)

    def need(batch: int) -> int:
        return estimate_training(shape, replace(settings, batch_size=batch, accumulation=-(-16 // batch))).bytes

    if found is None:
        assert need(1) > 0.9 * gigabytes * GIB
        return
    batch, steps = found
    assert batch * steps == 16 and need(batch) <= 0.9 * gigabytes * GIB
    assert batch == 16 or need(2 * batch) > 0.9 * gigabytes * GIB


def test_a_gguf_file_has_the_shape_of_its_model_and_the_size_that_was_computed(tmp_path: Path) -> None:
    from heimdall_nb.export.gguf_file import write_gguf
    from heimdall_nb.export.quantise import describe, quantise
    from heimdall_nb.models.shipped import MODELS

    whole = write_gguf(MODELS / "heimdall-nano-base", tmp_path / "nano.gguf")
    shape = shape_of("heimdall-nano-base")
    assert replace(shape_of(whole), name=shape.name) == shape
    for kind in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "Q2_K"):
        found = quantise(whole, tmp_path / f"{kind}.gguf", kind)
        counted: dict[str, int] = {}
        for role, _, _, name in files.tensors(shape, kind):
            counted[name] = counted.get(name, 0) + (role != "vectors")
        assert {k: v for k, v in found["types"].items() if k != "F32"} == {k: v for k, v in counted.items() if v}, kind
        numbers = shape.parameters * describe(tmp_path / f"{kind}.gguf", kind)["bits_per_weight"] / 8
        assert files.weight_bytes(shape, kind) == pytest.approx(numbers, rel=0.002)
    said = llama_cpp_says(tmp_path / "Q4_K_M.gguf", context=2048)
    assert said["KV buffer"] * MIB == pytest.approx(files.cache_bytes(shape, 2048), rel=0.01)
    assert said["compute buffer"] * MIB == pytest.approx(files.compute_bytes(shape, 2048, every_logit=True), rel=0.05)


def llama_cpp_says(path: Path, context: int) -> dict[str, float]:
    """MiB of each buffer that llama.cpp's log names, in a process of its own: the log has one listener."""
    import subprocess
    import sys

    code = (
        "import ctypes, sys\nimport llama_cpp as c\nlines = []\n"
        "f = c.llama_log_callback(lambda level, text, _: lines.append(text.decode('utf-8', 'replace')))\n"
        "c.llama_log_set(f, ctypes.c_void_p(0))\n"
        "m = c.llama_model_load_from_file(sys.argv[1].encode(), c.llama_model_default_params())\n"
        "p = c.llama_context_default_params()\np.n_ctx = int(sys.argv[2])\np.n_batch = p.n_ubatch = 512\n"
        "p.n_threads = p.n_threads_batch = 1\nc.llama_init_from_model(m, p)\nprint(''.join(lines))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), str(context)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    return {
        name: float(size) for name, size in re.findall(r"CPU (KV buffer|compute buffer) size = +([\d.]+)", done.stdout)
    }


def test_tables_are_computed_and_correct_the_guide() -> None:
    by_context = {row["context"]: row for row in tables.context_table()}
    assert by_context[32768]["cache, GiB"] == 0.875 and by_context[32768]["together, GiB"] < 3
    assert by_context[32768]["the guide says, GB"] == 20
    by_hardware = {row["hardware"]: row for row in tables.hardware_table()}
    assert by_hardware["Raspberry Pi 4"]["trains with QLoRA"] == "inference only"
    assert by_hardware["RTX 2080 Ti"]["guide fits"].startswith("yes")
    for row in tables.deployment_table():
        assert row["file, GB"] == pytest.approx(row["the guide says, GB"], rel=0.15), row
    assert all(row["within its context"] == "yes" for row in tables.use_table())


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_has_an_estimate(name: str) -> None:
    shape, settings = tables.of_preset(name, where="cuda", precision="bf16")
    assert 0 < estimate_training(shape, settings).bytes < 200 * GIB


def test_an_estimate_beside_a_measurement_goes_into_the_logbook(tmp_path: Path) -> None:
    found = estimate_training(shape_of("heimdall-nano-base"), Training())
    compared = record.beside(found, found.bytes / 1.1)
    assert compared["error"] == pytest.approx(0.1, abs=1e-3) and json.dumps(compared)
    path = tmp_path / "LOGBOOK.md"
    path.write_text("# Logbook\n\n<!-- run nano -->\nentry\n<!-- end nano -->\n", encoding="utf-8")
    record.log(path, "nano", compared)
    record.log(path, "other", compared)
    record.log(path, "nano", compared | {"measured_mb": 123.0})
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Logbook\n\n<!-- run nano -->\nentry\n<!-- end nano -->\n\n" + record.BEGIN)
    assert text.count("| `nano` |") == 1 and "| 123 |" in text and text.count("| `other` |") == 1
    assert text.endswith(record.END + "\n")


def test_bad_input_is_refused(tmp_path: Path) -> None:
    shape = shape_of("heimdall-nano-base")
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(40))
    for base in ("no/such-model", str(tmp_path), str(tmp_path / "none.gguf"), str(tmp_path / "broken.gguf")):
        with pytest.raises(BadInput):
            shape_of(base)
    for changes in ({"batch_size": 0}, {"precision": "int8"}, {"optimizer": "sgd"}):
        with pytest.raises(BadInput):
            Training(**changes)
    with pytest.raises(BadInput, match="names no layer"):
        estimate_training(shape, Training(lora_targets="qkv_proj"))
    for changes in ({"kind": "Q3"}, {"context": 0}, {"cache": "Q8_0", "flash": False}, {"where": "tpu"}):
        with pytest.raises(BadInput):
            estimate_inference(shape, **changes)
