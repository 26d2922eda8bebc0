"""What a context costs in memory: the formula, real models' figures, and a measurement of a GGUF file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from heimdall_nb.context import child
from heimdall_nb.errors import BadInput
from heimdall_nb.progress import track
from heimdall_nb.run import DATA

MIB, GIB = 2**20, 2**30
NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)  # 4-bit values, 8-bit scales per 64, 32-bit scales per 256 of those


def cache_bytes(layers: int, kv_heads: int, head_dim: int, context: int, bytes_per_value: float = 2) -> int:
    """Bytes of the key-value cache for `context` tokens: 2 · layers · kv_heads · head_dim · context · bytes.

    The 2 is for keys and values; `kv_heads` is smaller than the number of heads under grouped-query attention
    (Ainslie et al. 2023, arXiv:2305.13245). `bytes_per_value` is 2 for f16.
    """
    return round(2 * layers * kv_heads * head_dim * context * bytes_per_value)


@dataclass(frozen=True)
class CacheShape:
    """What the cache formula needs of a model; `context` is the length it declares to be made for."""

    layers: int
    kv_heads: int
    head_dim: int
    context: int

    def cache_bytes(self, context: int, bytes_per_value: float = 2) -> int:
        """Bytes of the key-value cache for `context` tokens."""
        return cache_bytes(self.layers, self.kv_heads, self.head_dim, context, bytes_per_value)


@dataclass(frozen=True)
class KnownModel(CacheShape):
    """A published model's shape, from `data/facts/models.yaml`."""

    id: str
    name: str
    architecture: str
    hidden: int
    feed_forward: int
    heads: int
    vocabulary: int
    tied: bool
    parameters: int
    licence: str
    source: str

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear layers: what 4-bit loading quantises."""
        query, key_value = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.hidden * query + 2 * self.hidden * key_value
        return self.layers * (attention + 3 * self.hidden * self.feed_forward)

    def counted_parameters(self) -> int:
        """All parameters, counted from the shape: linear layers, embeddings, norms, and Qwen2's biases."""
        biases = (self.heads + 2 * self.kv_heads) * self.head_dim if self.architecture == "qwen2" else 0
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.linear_parameters + embeddings + self.layers * (2 * self.hidden + biases) + self.hidden

    def weight_bytes(self, bits: int = 16) -> int:
        """Bytes of the weights: 16 for half precision, 4 for QLoRA's NF4 with double quantisation.

        In 4 bits only the linear layers shrink; embeddings and norms stay in 16 (Dettmers et al. 2023,
        arXiv:2305.14314). Raises ValueError for other widths.
        """
        if bits not in (4, 16):
            raise ValueError(f"weights in {bits} bits are not estimated")
        if bits == 16:
            return 2 * self.parameters
        return round(self.linear_parameters * NF4_BITS / 8 + 2 * (self.parameters - self.linear_parameters))


def known_models() -> dict[str, KnownModel]:
    """The published shapes by their short id, in the file's order."""
    records = yaml.safe_load((DATA / "facts" / "models.yaml").read_text(encoding="utf-8"))["models"]
    return {record["id"]: KnownModel(**record) for record in records}


def known_model(name: str) -> KnownModel | None:
    """The shape of a model by its id or hub name (upper and lower case alike); None for one that is not listed."""
    wanted = name.lower()
    return next((m for m in known_models().values() if wanted in (m.id, m.name.lower())), None)


def estimates(models: Sequence[KnownModel], context: int) -> list[dict[str, Any]]:
    """One row a model: parameters in billions; weights in 16 and in 4 bits and the f16 cache for `context`, in GiB."""
    return [
        {
            "model": model.name.split("/")[-1],
            "parameters": round(model.parameters / 1e9, 2),
            "weights_16_bit": round(model.weight_bytes(16) / GIB, 2),
            "weights_4_bit": round(model.weight_bytes(4) / GIB, 2),
            "cache": round(model.cache_bytes(context) / GIB, 3),
        }
        for model in models
    ]


def cache_table(models: Sequence[KnownModel], contexts: Sequence[int]) -> list[dict[str, Any]]:
    """One row a model: GiB of f16 cache at each context size, and the context that the model was made for."""
    return [
        {"model": model.name.split("/")[-1], "made for": model.context}
        | {str(context): round(model.cache_bytes(context) / GIB, 2) for context in contexts}
        for model in models
    ]


def gguf_shape(path: Path | str) -> CacheShape:
    """The cache shape from a GGUF file's metadata. Raises BadInput for a missing, corrupt or incomplete file."""
    if not Path(path).is_file():
        raise BadInput("is missing", str(path), "Run stage 04 first, or give the path of a GGUF file.")
    try:
        import gguf

        fields = gguf.GGUFReader(str(path)).fields
    except Exception:  # the reader has no error of its own: ValueError, IndexError, UnicodeDecodeError, …
        raise BadInput("is not a complete GGUF file", str(path), "Run stage 04 again.") from None
    try:
        family = fields["general.architecture"].contents()
        values = {key.removeprefix(f"{family}."): field.contents() for key, field in fields.items()}
        heads = values["attention.head_count"]
        return CacheShape(
            layers=int(values["block_count"]),
            kv_heads=int(values.get("attention.head_count_kv", heads)),
            head_dim=int(values.get("attention.key_length", values["embedding_length"] // heads)),
            context=int(values["context_length"]),
        )
    except (KeyError, TypeError) as problem:
        raise BadInput(f"lacks the model's shape ({problem})", str(path), "Run stage 04 again.") from None


def measure(
    gguf: Path | str,
    contexts: Sequence[int],
    new_tokens: int = 32,
    repeats: int = 3,
    threads: int = 1,
    seconds: float = 900,
) -> list[dict[str, Any]]:
    """Load the file once for each context size, each time in a process of its own, and measure it.

    Memory is in MiB: `weights` (the file) + `cache` (cache_bytes) = `formula`; `loaded` is the growth of the process's
    resident memory when the model stands ready, `used` when the whole context has been filled: the difference is
    llama.cpp's working buffers. Speeds are in tokens a second, the median of `repeats`: reading a prompt that fills
    the context, and writing after a short prompt and after a full one. `declared`: whether the model was made for it.
    Raises BadInput for a missing or corrupt file or a context without room, HeimdallError when a child fails or takes
    over `seconds`.
    """
    shape, path = gguf_shape(gguf), Path(gguf).resolve()
    if min(contexts, default=0) <= new_tokens:
        raise BadInput(
            f"{list(contexts)} leaves no room for {new_tokens} new tokens", "contexts", "Choose larger sizes."
        )
    rows = []
    for context in track(list(contexts), "context sizes"):
        task = {"gguf": str(path), "context": context, "new_tokens": new_tokens, "repeats": repeats, "threads": threads}
        found = child.run("heimdall_nb.context.measure", task, seconds)
        weights, cache = path.stat().st_size / MIB, shape.cache_bytes(context) / MIB
        rows.append(
            {
                "context": context,
                "weights": round(weights, 2),
                "cache": round(cache, 2),
                "formula": round(weights + cache, 2),
                "loaded": round(found.pop("loaded_bytes") / MIB, 2),
                "used": round(found.pop("used_bytes") / MIB, 2),
                **found,
                "declared": context <= shape.context,
            }
        )
    return rows
