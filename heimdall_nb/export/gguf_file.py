"""From a Hugging Face folder to a GGUF file: the tensors under llama.cpp's names, one at a time in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig

from heimdall_nb.errors import BadInput
from heimdall_nb.export.gguf_rope import add_rope, head_width
from heimdall_nb.export.gguf_tokenizer import add_tokenizer, display_name
from heimdall_nb.models.transformers_model import load_tokenizer
from heimdall_nb.progress import track
from heimdall_nb.run import read_json

ARCHITECTURES = {
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "llama": gguf.MODEL_ARCH.LLAMA,
    "phi3": gguf.MODEL_ARCH.PHI3,
}
KINDS = {
    "F32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "F16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "BF16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}
LARGEST = 65504.0  # that F16 can hold
BLOCK = 4096  # rows that are looked at together, which keeps the peak of memory near the tensor itself


@dataclass(frozen=True)
class Planned:
    """One tensor of the GGUF file: its name and type there, its shape, and how its values are had."""

    name: str
    kind: gguf.GGMLQuantizationType
    shape: tuple[int, ...]
    load: Callable[[], torch.Tensor]

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return int(np.prod(self.shape)) * (4 if self.kind == gguf.GGMLQuantizationType.F32 else 2)


def write_gguf(
    model_dir: Path | str,
    output: Path | str,
    kind: str = "F16",
    name: str = "heimdall",
    licence: str = "",
    base_model: str = "",
) -> Path:
    """Write the model in `model_dir` (Qwen2, Qwen3, Llama or Phi-3) as one GGUF file; it appears when it is complete.

    Matrices are stored as `kind` (F16, BF16 or F32), vectors as F32. `licence` and `base_model` go into the metadata.
    Raises BadInput when the folder holds no such model, or one that llama.cpp would compute in another way.
    """
    model_dir, output = Path(model_dir), Path(output)
    if kind not in KINDS:
        raise BadInput(f"{kind!r} is not a kind that is written directly", "kind", f"Choose from {', '.join(KINDS)}.")
    config = _config(model_dir)
    tokenizer = load_tokenizer(model_dir)
    matrix_type, file_type = KINDS[kind]
    where = str(model_dir / "tokenizer.json")
    with replacing(output) as temporary:
        writer = gguf.GGUFWriter(temporary, config.model_type)
        try:
            _add_general(writer, display_name(name, tokenizer, where), licence, base_model, file_type)
            extra = _add_architecture(writer, config, model_dir)
            add_tokenizer(writer, tokenizer, config.vocab_size, where)
            _write_tensors(writer, [*_extra(extra), *_plan(model_dir, config, matrix_type)])
        finally:
            writer.close()
    return output


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """A temporary path beside `output`, renamed to it at the end, or removed when something goes wrong."""
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)


def _config(model_dir: Path) -> Any:
    """The model's configuration with the values that transformers takes where config.json is silent."""
    path = model_dir / "config.json"
    raw = read_json(path)
    if raw.get("model_type") not in ARCHITECTURES:
        remedy = f"Supported are {', '.join(ARCHITECTURES)}; for others use llama.cpp's convert_hf_to_gguf.py."
        raise BadInput(f"has the architecture {raw.get('model_type')!r}", str(path), remedy)
    if raw.get("use_sliding_window"):
        raise BadInput("uses sliding windows, which llama.cpp leaves out", str(path), "Set use_sliding_window false.")
    try:
        return AutoConfig.for_model(**raw)
    except Exception as problem:
        what = f"is not a configuration that transformers takes ({str(problem).splitlines()[0]})"
        raise BadInput(what, str(path), "Export the model again.") from None


def _add_general(writer: gguf.GGUFWriter, name: str, licence: str, base_model: str, file_type: int) -> None:
    writer.add_type("model")
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    if base_model:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, base_model.rsplit("/", 1)[-1])
        if "/" in base_model:
            writer.add_base_model_repo_url(0, f"https://huggingface.co/{base_model}")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_architecture(writer: gguf.GGUFWriter, config: Any, model_dir: Path) -> dict[str, np.ndarray]:
    """The numbers that llama.cpp builds the network from, and the tensors that hold some more of them."""
    context = config.max_position_embeddings
    window = getattr(config, "sliding_window", None) if config.model_type == "phi3" else None
    if config.model_type == "phi3":
        # llama.cpp lets Phi-3 attend to everything, so that beyond the window the file would be another model.
        writer.add_sliding_window(window or 0)
        context = min(context, window or context)
    writer.add_context_length(context)
    writer.add_vocab_size(config.vocab_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_width(config))
    writer.add_value_length(head_width(config))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    return add_rope(writer, config, str(model_dir / "config.json"))


def _extra(tensors: dict[str, np.ndarray]) -> list[Planned]:
    kind = gguf.GGMLQuantizationType.F32
    return [Planned(n, kind, values.shape, partial(torch.from_numpy, values)) for n, values in tensors.items()]


def _plan(model_dir: Path, config: Any, matrix_type: gguf.GGMLQuantizationType) -> list[Planned]:
    """The folder's tensors under llama.cpp's names."""
    names = gguf.get_tensor_name_map(ARCHITECTURES[config.model_type], config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    plan = []
    for file, name, shape in _tensors(model_dir):
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # the embeddings serve as the output too
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            what = f"holds {name}, which {config.model_type} does not have"
            raise BadInput(what, str(file), "Merge the adapter first (heimdall_nb.export.merge).")
        # llama.cpp turns neighbouring numbers of a Llama head together, transformers those half a head apart
        turned = heads.get(name.split(".")[-2]) if config.model_type == "llama" else None
        kind = matrix_type if len(shape) > 1 else gguf.GGMLQuantizationType.F32
        plan.append(Planned(target, kind, tuple(shape), partial(_load, file, name, turned)))
    return plan


def _load(file: Path, name: str, turned: int | None) -> torch.Tensor:
    """A tensor of the folder; `turned` is the number of heads whose rows are put in llama.cpp's order."""
    with safe_open(file, framework="pt") as tensors:
        values = tensors.get_tensor(name)
    if turned is None:
        return values
    return values.reshape(turned, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def _write_tensors(writer: gguf.GGUFWriter, plan: list[Planned]) -> None:
    """Announce all tensors, then write them one by one, so that one tensor at a time is in memory."""
    for tensor in plan:
        stored = np.dtype(np.float32 if tensor.kind == gguf.GGMLQuantizationType.F32 else np.float16)
        writer.add_tensor_info(tensor.name, tensor.shape, stored, tensor.size, raw_dtype=tensor.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in track(plan, "GGUF tensors"):
        writer.write_tensor_data(_stored(tensor))


def _stored(tensor: Planned) -> np.ndarray:
    """The values as they stand in the file. torch converts without a detour over float32."""
    values = tensor.load()
    if tensor.kind == gguf.GGMLQuantizationType.F32:
        return values.float().numpy()
    if tensor.kind == gguf.GGMLQuantizationType.BF16:
        return values.to(torch.bfloat16).contiguous().view(torch.int16).numpy()
    halves = torch.empty(values.shape, dtype=torch.float16)
    for part, stored in zip(values.split(BLOCK), halves.split(BLOCK), strict=True):
        if not part.abs().max() <= LARGEST:
            raise BadInput(f"has numbers too large for F16 in {tensor.name}", "the model", "Write it as BF16 or F32.")
        stored.copy_(part)
    return halves.numpy()


def _tensors(model_dir: Path) -> list[tuple[Path, str, list[int]]]:
    """(file, name, shape) of every tensor in the folder's safetensors files."""
    index = model_dir / "model.safetensors.index.json"
    files = sorted(set(read_json(index)["weight_map"].values())) if index.exists() else ["model.safetensors"]
    found = []
    for file in (model_dir / name for name in files):
        try:
            with safe_open(file, framework="pt") as tensors:
                found += [(file, name, tensors.get_slice(name).get_shape()) for name in sorted(tensors.keys())]
        except (OSError, SafetensorError, json.JSONDecodeError) as problem:
            what = f"cannot be read as safetensors ({str(problem).splitlines()[0]})"
            raise BadInput(what, str(file), "Export the model again.") from None
    return found
