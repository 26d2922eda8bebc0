"""The memory of a GGUF file run by llama.cpp, from the model's shape: weights, cache, working buffers.

The kinds of quantisation are mixes: which tensor gets which type is in `data/quantisations.yaml`, as llama.cpp decides
it (src/llama-quant.cpp). The sizes of working buffers are those of its graph; a test holds them against what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.memory.machine import figures, overhead
from heimdall_nb.memory.parts import Estimate, Part, largest
from heimdall_nb.memory.shape import Shape
from heimdall_nb.run import DATA

HEADER = 1_000_000  # bytes of a GGUF file's metadata without its vocabulary


@lru_cache(maxsize=1)
def mixes() -> dict[str, Any]:
    """The file `data/quantisations.yaml`: `types` (numbers and bytes a block), `fallback`, `mixes`."""
    return yaml.safe_load((DATA / "quantisations.yaml").read_text(encoding="utf-8"))


def check_kind(kind: str) -> str:
    """The kind of quantisation itself. Raises BadInput for an unknown one."""
    if kind not in mixes()["mixes"]:
        raise BadInput(
            f"{kind!r} is not a quantisation", "--quantisation", f"Choose from {', '.join(mixes()['mixes'])}."
        )
    return kind


def tensors(shape: Shape, kind: str) -> Iterator[tuple[str, int, int, str]]:
    """(role, columns, rows, type) of every matrix of the GGUF file; vectors come as one row of F32."""
    check_kind(kind)
    roles = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "qkv_proj": "value", "o_proj": "output"}
    roles |= {"down_proj": "down", "gate_proj": "gate", "up_proj": "up", "gate_up_proj": "up"}
    top = "out" if shape.tied else "embedding"
    yield top, shape.hidden, shape.vocabulary, type_of(shape, kind, top, 0, shape.hidden)
    if not shape.tied:
        yield "out", shape.hidden, shape.vocabulary, type_of(shape, kind, "out", 0, shape.hidden)
    for layer in range(shape.layers):
        for linear in shape.linears:
            role = roles[linear.name]
            yield role, linear.inputs, linear.outputs, type_of(shape, kind, role, layer, linear.inputs)
    yield "vectors", shape.vectors, 1, "F32"


def type_of(shape: Shape, kind: str, role: str, layer: int, columns: int) -> str:
    """The type that llama.cpp stores a matrix in: the mix's, or a larger one where its rows are no whole blocks."""
    table = mixes()
    mix = table["mixes"][kind]
    chosen = mix.get(role, mix["all"])
    if isinstance(chosen, dict):
        chosen = next(name for rule, name in chosen.items() if _holds(rule, layer, shape))
    while columns % table["types"][chosen][0]:
        chosen = table["fallback"].get(chosen, "F16") if role != "out" else "Q8_0" if columns % 32 == 0 else "F16"
    return chosen


def weight_bytes(shape: Shape, kind: str) -> int:
    """Bytes of all tensors of the GGUF file."""
    return sum(_size(columns, rows, name) for _, columns, rows, name in tensors(shape, kind))


def file_bytes(shape: Shape, kind: str) -> int:
    """Bytes of the GGUF file: its tensors, and its vocabulary with merges (about 30 bytes an entry)."""
    return weight_bytes(shape, kind) + 30 * shape.vocabulary + HEADER


def cache_bytes(shape: Shape, context: int, kind: str = "F16") -> int:
    """Bytes of the key-value cache: 2 · layers · key-value heads · head size · context · bytes a number.

    Grouped heads make it small (Ainslie et al. 2023, arXiv:2305.13245). llama.cpp rounds the context up to 256.
    """
    block, size = mixes()["types"][kind]
    return 2 * shape.layers * shape.key_value * (-(-context // 256) * 256) * size // block


def compute_bytes(shape: Shape, context: int, batch: int = 512, flash: bool = True, every_logit: bool = False) -> int:
    """Bytes of llama.cpp's working buffer for `batch` tokens read at once.

    The larger of two moments: a block (three vectors of the feed-forward layer and four of the model's width a token,
    and the mask; without flash attention the scores of all heads), or the logits, which count where those of every
    token are asked for or where the buffer is reserved in full (on a GPU).
    """
    n, h = min(batch, context), shape.hidden
    padded = -(-context // 256) * 256
    block = 4 * n * (3 * shape.ffn + 4 * h) + (2 if flash else 4) * n * padded
    if not flash:
        apart = 0 if shape.architecture == "phi3" else 2 * shape.key_value
        block = max(block, 4 * n * (shape.heads * padded + padded + 5 * h + apart))
    return max(block, 4 * n * (shape.vocabulary + 2 * h) if every_logit else 0)


def operand_bytes(shape: Shape, kind: str, context: int, batch: int = 512, flash: bool = True) -> int:
    """Bytes of the CPU's buffer for the other operand of a product, in the type that the matrix is multiplied with.

    A token's vector becomes Q8_K for K-quants, Q8_0 for the older kinds, F16 for F16 (`vec_dot_type` in
    ggml/src/ggml-cpu); one buffer serves all products, so the widest counts. Without flash attention that is the scores
    of all heads, which become F16 for their product with the values.
    """
    n, padded = min(batch, context), -(-context // 256) * 256
    apart = ("embedding", "out", "vectors")  # looked up, computed for one token, not multiplied by a matrix
    inner = [(columns, name) for role, columns, _, name in tensors(shape, kind) if role not in apart]
    widest = max(n * columns * size // block for columns, name in inner for block, size in [_operand(name)])
    return widest if flash else max(widest, 2 * n * shape.heads * padded)


def _operand(name: str) -> tuple[int, int]:
    """(numbers, bytes) of a block of what a matrix of this type is multiplied with."""
    if name.endswith("_K"):
        return 256, 292
    return {"F32": (1, 0), "F16": (1, 2), "BF16": (1, 2)}.get(name, (32, 34))


def estimate_inference(
    shape: Shape,
    kind: str = "Q4_K_M",
    context: int = 2048,
    cache: str = "F16",
    flash: bool = True,
    batch: int = 512,
    where: str = "cpu",
    every_logit: bool = False,
) -> Estimate:
    """The memory of llama.cpp with this file and context: on the CPU the process's, on CUDA the card's.

    The card holds all but embeddings that are not the output layer as well. The CPU maps the file; x86 keeps a second
    copy of Q4_K matrices, in another order, where it has AVX2. A quantised `cache` (Q8_0, Q4_0) needs flash attention.
    Raises BadInput for an unknown kind or cache, or a context below 1.
    """
    if cache not in mixes()["types"] or (cache != "F16" and not flash):
        raise BadInput(f"cannot be {cache} here", "--cache", "Choose F16, or Q8_0 or Q4_0 with flash attention.")
    if context < 1 or batch < 1:
        raise BadInput(f"{min(context, batch)} is no number of tokens", "--context", "Give a positive number.")
    stored = [t for t in tensors(shape, kind) if where == "cpu" or t[0] != "embedding"]
    weights = sum(_size(columns, rows, name) for _, columns, rows, name in stored)
    numbers = sum(columns * rows for _, columns, rows, _ in stored)
    parts = [
        overhead("inference", where),
        Part("weights", weights, f"{numbers:,} · {8 * weights / numbers:.2f} bits ({kind})"),
        Part(
            "key-value cache",
            cache_bytes(shape, context, cache),
            f"2 · {shape.layers} layers · {shape.kv_heads} heads · {shape.head_dim} · {context:,} tokens · {cache}",
        ),
        Part(
            "working buffer",
            compute_bytes(shape, context, batch, flash, every_logit or where == "cuda"),
            f"{min(batch, context)} tokens at once, flash attention {'on' if flash else 'off'}",
        ),
        Part("logits", 4 * shape.vocabulary, f"{shape.vocabulary:,} · 4"),
    ]
    if where == "cpu":
        again = sum(
            _size(c, r, name) for role, c, r, name in stored if name == "Q4_K" and role not in ("out", "embedding")
        )
        parts.insert(2, Part("weights in another order", again, "Q4_K matrices, for the vector units of x86"))
        operand = operand_bytes(shape, kind, context, batch, flash)
        parts.append(Part("operands", operand, "the other side of a product, in the type that it takes"))
        each, merges = figures()["tokenizer_bytes"], shape.vocabulary if shape.merges is None else shape.merges
        size = each["entry"] * shape.vocabulary + each["merge"] * merges
        text = f"{shape.vocabulary:,} entries · {each['entry']}, {merges:,} merges · {each['merge']}"
        parts.append(Part("tokenizer", size, text))
    return largest(f"{shape.name}, {kind}, context {context:,}", where, {"in use": parts})


def _size(columns: int, rows: int, name: str) -> int:
    block, size = mixes()["types"][name]
    return columns * rows * size // block


def _holds(rule: str, layer: int, shape: Shape) -> bool:
    """Whether a rule of a mix holds for a layer; `data/quantisations.yaml` explains them."""
    if rule == "more":
        eighth = shape.layers // 8
        return layer < eighth or layer >= 7 * shape.layers // 8 or (layer - eighth) % 3 == 2
    if rule == "eighth":
        return layer < shape.layers // 8
    if rule.startswith("first"):
        return layer < int(rule.split()[1])
    return rule == "else" or (rule == "grouped" and shape.heads // shape.kv_heads >= 4)
