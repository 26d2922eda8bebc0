"""The sizes of a model that its memory follows from: of a hub id, a model folder or a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heimdall_nb.errors import BadInput
from heimdall_nb.model_shapes import FIELDS, shapes
from heimdall_nb.models.shipped import located
from heimdall_nb.run import read_json

BIASED = {"qwen2": "qkv"}  # architectures whose queries, keys and values have a bias, where nothing else is said
MERGES = "tokenizer.ggml.merges"  # of a GGUF file
KNOWN = ("qwen2", "qwen3", "llama", "phi3")


@dataclass(frozen=True)
class Linear:
    """One linear layer of a block: `reads` names what it reads, for layers that read the same."""

    name: str
    inputs: int
    outputs: int
    reads: str
    biased: bool = False

    @property
    def weights(self) -> int:
        """Numbers in its matrix."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Shape:
    """A decoder with grouped-query attention, RMS norms and a gated feed-forward layer (Qwen, Llama, Phi-3)."""

    name: str
    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int
    tied: bool
    bias: bool  # of queries, keys and values
    context: int
    chat_tokens: int = 0  # of ChatML, missing in its vocabulary: they are added and trained
    merges: int | None = field(default=None, compare=False)  # of its tokenizer; None: about one an entry

    @property
    def query(self) -> int:
        """Width of all queries of a token."""
        return self.heads * self.head_dim

    @property
    def key_value(self) -> int:
        """Width of all keys of a token, and of all its values."""
        return self.kv_heads * self.head_dim

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one block, in the order they are computed; Phi-3 joins those that read the same."""
        out = Linear("o_proj", self.query, self.hidden, "attention")
        down = Linear("down_proj", self.ffn, self.hidden, "product")
        if self.architecture == "phi3":
            qkv = Linear("qkv_proj", self.hidden, self.query + 2 * self.key_value, "norm")
            return (qkv, out, Linear("gate_up_proj", self.hidden, 2 * self.ffn, "second norm"), down)
        widths = {"q_proj": self.query, "k_proj": self.key_value, "v_proj": self.key_value}
        attention = [Linear(name, self.hidden, wide, "norm", self.bias) for name, wide in widths.items()]
        gated = [Linear(name, self.hidden, self.ffn, "second norm") for name in ("gate_proj", "up_proj")]
        return (*attention, out, *gated, down)

    @property
    def linear_weights(self) -> int:
        """Numbers in the linear layers of all blocks: what QLoRA stores in 4 bits."""
        return self.layers * sum(linear.weights for linear in self.linears)

    @property
    def embedding_weights(self) -> int:
        """Numbers of the embeddings, and of the output layer where it is another matrix."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def vectors(self) -> int:
        """Numbers in norms and biases."""
        head_norms = 2 * self.head_dim if self.architecture == "qwen3" else 0
        biases = sum(linear.outputs for linear in self.linears if linear.biased)
        return self.layers * (2 * self.hidden + head_norms + biases) + self.hidden

    @property
    def parameters(self) -> int:
        """All numbers of the model."""
        return self.linear_weights + self.embedding_weights + self.vectors


def shape_of(base: str | Path) -> Shape:
    """The shape of a hub id in `data/models.yaml`, a shipped model, a model folder, or a GGUF file.

    Raises BadInput where there is no configuration, or one of another kind of model.
    """
    if str(base).endswith(".gguf"):
        return _of_gguf(Path(base))
    folder = located(str(base))
    if folder is not None:
        raw = read_json(Path(folder) / "config.json")
        try:
            found = {ours: raw[theirs] for ours, theirs in FIELDS.items() if theirs in raw}
            return shape_from(Path(folder).name, found | {"architecture": raw["model_type"]}, raw.get("head_dim"))
        except (KeyError, TypeError) as problem:
            raise BadInput(f"lacks {problem}", f"{folder}/config.json", "Export the model again.") from None
    if str(base) not in shapes():
        known = ", ".join(shapes())
        raise BadInput("has no shape in data/models.yaml", str(base), f"Add its sizes there; it has {known}.")
    return shape_from(str(base), shapes()[str(base)])


def shape_from(name: str, found: Mapping[str, Any], head_dim: int | None = None) -> Shape:
    """The shape from sizes by our names (`data/models.yaml`). Raises BadInput for another architecture."""
    kind = found["architecture"]
    if kind not in KNOWN:
        raise BadInput(f"has the architecture {kind!r}", name, f"The memory of {', '.join(KNOWN)} is known.")
    return Shape(
        name=name,
        architecture=kind,
        head_dim=head_dim or found["hidden"] // found["heads"],
        kv_heads=found.get("kv_heads") or found["heads"],
        tied=bool(found.get("tied", False)),
        bias=found.get("bias", BIASED.get(kind, "none")) == "qkv",
        chat_tokens=found.get("chat_tokens", 0),
        merges=found.get("merges"),
        **{field: found[field] for field in ("layers", "hidden", "heads", "ffn", "vocabulary", "context")},
    )


def _of_gguf(path: Path) -> Shape:
    from heimdall_nb.models.gguf_path import check_gguf

    check_gguf(path)
    import gguf

    try:
        reader = gguf.GGUFReader(str(path))
        fields = reader.fields
        kind = fields["general.architecture"].contents()
        values = {key.removeprefix(f"{kind}."): field for key, field in fields.items()}
        names = {"layers": "block_count", "hidden": "embedding_length", "ffn": "feed_forward_length"}
        names |= {"heads": "attention.head_count", "kv_heads": "attention.head_count_kv", "context": "context_length"}
        found = {ours: int(values[theirs].contents()) for ours, theirs in names.items()}
        width = values.get("attention.key_length")
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        found |= {"architecture": kind, "vocabulary": int(tensors["token_embd.weight"].shape[1])}
        found |= {"tied": "output.weight" not in tensors}
        found |= {"bias": "qkv" if "blk.0.attn_q.bias" in tensors else "none"}
        found |= {"merges": len(fields[MERGES].data)} if MERGES in fields else {}
    except (KeyError, ValueError, IndexError, UnicodeDecodeError) as problem:
        raise BadInput(f"is not a whole GGUF file ({problem})", str(path), "Run stage 04 again.") from None
    return shape_from(path.name, found, int(width.contents()) if width else None)
