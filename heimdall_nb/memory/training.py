"""The memory of a LoRA or QLoRA training, from the shape of the base and the settings.

The activations are counted as Korthikanti et al. 2022 do (https://arxiv.org/abs/2205.05198, section 4: what each
operation keeps for its backward pass), but for the operations that transformers, PEFT, bitsandbytes and TRL run here:
RMS norms in fp32, rotary positions, grouped heads, attention that keeps no matrix of scores (Dao et al. 2022,
https://arxiv.org/abs/2205.14135), a gated feed-forward layer, frozen weights, adapters that read what their layer
reads, and a loss that is computed in tiles of the vocabulary. A test holds the count against what autograd keeps.
Weights in 4 bits: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from heimdall_nb import presets
from heimdall_nb.errors import BadInput
from heimdall_nb.memory.machine import overhead
from heimdall_nb.memory.parts import Estimate, Part, largest
from heimdall_nb.memory.shape import Shape

BLOCK, SECOND_BLOCK, MAP = (
    64,
    256,
    256,
)  # bitsandbytes: weights a scale, scales a second scale, entries of the 8-bit map
TOKENS, TILE = 4096, 32768  # TRL's tile of the loss: positions, vocabulary entries
PLAIN_TILE = 29  # bytes an entry of the tile that TRL's loss takes without Triton: seven tiles in fp32, one of truths
OPTIMIZERS = {"adamw": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2}  # bytes a trained number: two moments
PADDED = 64  # rows are padded to multiples of it
ADAPTER = 4  # the trained matrices are in fp32


@dataclass(frozen=True)
class Training:
    """What the memory of a training depends on, by the names of the knobs of notebook 03; `where` is cpu or cuda."""

    batch_size: int = 8
    max_length: int = 1024  # tokens of a row
    accumulation: int = 1
    load_in_4bit: bool = True
    double_quantisation: bool = True
    lora_rank: int = 32
    lora_dropout: float = 0.0
    lora_targets: str = "all-linear"
    checkpointing: bool = False
    precision: str = "fp32"  # of the arithmetic, and of what is not in 4 bits: bf16, fp16, fp32
    optimizer: str = "adamw"
    padded: bool = True  # rows of unlike lengths: the attention gets a mask
    where: str = "cpu"

    def __post_init__(self) -> None:
        if min(self.batch_size, self.max_length, self.accumulation, self.lora_rank) < 1:
            raise BadInput("must be 1 or more", "batch_size, max_length, accumulation, lora_rank", "Change it.")
        if self.precision not in ("bf16", "fp16", "fp32") or self.optimizer not in OPTIMIZERS:
            known = f"bf16, fp16, fp32; {', '.join(OPTIMIZERS)}"
            raise BadInput("is unknown", f"{self.precision}, {self.optimizer}", f"Choose from {known}.")

    @classmethod
    def of(cls, knobs: Mapping[str, Any], **changes: Any) -> Training:
        """The settings among the knobs of a stage; other knobs are passed over. `precision` auto becomes bf16."""
        found = {f.name: knobs[f.name] for f in fields(cls) if f.name in knobs} | changes
        if found.get("precision") == "auto":
            found["precision"] = "bf16"
        return cls(**found)

    @property
    def length(self) -> int:
        """Tokens of a row with its padding: the trainer pads to multiples of 64."""
        return -(-self.max_length // PADDED) * PADDED

    @property
    def tokens(self) -> int:
        """Tokens computed at once."""
        return self.batch_size * self.length

    @property
    def number(self) -> int:
        """Bytes of a number of the arithmetic."""
        return 4 if self.precision == "fp32" else 2


def four_bit_bytes(shape: Shape, double: bool = True) -> int:
    """Bytes of the linear layers in NF4: 4 bits a weight and a scale for 64 of them.

    A scale takes 32 bits; under double quantisation 8 bits, one more of 32 bits for 256 scales, and for each layer a
    map of 256 numbers. Biases stay as they are.
    """
    total = 0
    for linear in shape.linears:
        scales = -(-linear.weights // BLOCK)
        kept = scales + 4 * -(-scales // SECOND_BLOCK) + 4 * MAP + 4 if double else 4 * scales
        total += linear.weights // 2 + kept + 4 * 16
    return shape.layers * total


def weight_parts(shape: Shape, training: Training) -> list[Part]:
    """The frozen base: linear layers in 4 bits or as the rest; embeddings, norms and biases are never quantised."""
    c = training.number
    rest = shape.embedding_weights + shape.vectors
    if training.load_in_4bit:
        bits = "8/64 + 32/(64·256)" if training.double_quantisation else "32/64"
        size = four_bit_bytes(shape, training.double_quantisation)
        linear = Part("linear layers", size, f"{shape.linear_weights:,} · (4 + {bits}) bits")
    else:
        linear = Part("linear layers", c * shape.linear_weights, f"{shape.linear_weights:,} · {c}")
    return [linear, Part("embeddings, norms", c * rest, f"{rest:,} · {c}")]


def adapter_numbers(shape: Shape, training: Training) -> int:
    """Numbers that are trained: rank · (inputs + outputs) for each target layer, and embeddings.

    Those are the layers that are trained whole, or the rows of new chat tokens.
    """
    matrices = sum(linear.inputs + linear.outputs for linear in _targets(shape, training))
    rows = shape.chat_tokens * shape.embedding_weights // shape.vocabulary
    return training.lora_rank * shape.layers * matrices + (whole_numbers(shape, training) or rows)


def whole_numbers(shape: Shape, training: Training) -> int:
    """Numbers of the embeddings that are trained whole; an output layer that is the embeddings counts once."""
    _, whole = presets.lora_layers(training.lora_targets)
    return min(len(whole) * shape.vocabulary * shape.hidden, shape.embedding_weights)


def block_bytes(shape: Shape, training: Training) -> int:
    """Bytes that autograd keeps for the backward pass of one block.

    Of each token: both norms in fp32 with their scale, what the adapters read and their inner vector, queries, keys,
    values and result of the attention, and in the feed-forward layer gate, its activation and the other half.
    """
    c, h, f = training.number, shape.hidden, shape.ffn
    token = 2 * (4 * h + 4) + _attention(shape, training) + 3 * f * c
    token += _adapter_inputs(shape, training) + sum(training.lora_rank * c for _ in _targets(shape, training))
    if shape.architecture == "qwen3":  # norms of each head's queries and keys
        token += 4 * (shape.query + shape.key_value + shape.heads + shape.kv_heads)
    mask = training.batch_size * training.length**2 * c if training.padded else 0
    return training.tokens * token + mask + _cast_adapters(shape, training) // shape.layers


def activation_parts(shape: Shape, training: Training) -> list[Part]:
    """What is kept when the forward pass ends: of all blocks, or with checkpointing the input of each block."""
    n, c, h = training.tokens, training.number, shape.hidden
    # Besides, the loss keeps each token's label, the sum of its scores and its entropy.
    last = Part("last norm, loss", n * (h * (4 + c) + 20), f"{n:,} tokens · ({h} · (4 + {c}) + 20)")
    if training.checkpointing:
        kept = Part("activations", shape.layers * n * h * c, f"{shape.layers} blocks · {n:,} tokens · {h} · {c}")
        return [kept, last]
    block = block_bytes(shape, training)
    # The first norm reads frozen embeddings, so it keeps nothing, and what reads it needs no noise of dropout.
    noise = sum(linear.inputs * _noise(training) for linear in _targets(shape, training) if linear.reads == "norm")
    first = 0 if whole_numbers(shape, training) else n * (4 * h + 4 + noise)
    text = f"{shape.layers} blocks · {n:,} tokens · {block / n:,.0f} bytes"
    turns = 2 * training.length * shape.head_dim * c  # sines and cosines of the positions
    return [Part("activations", shape.layers * block - first + turns, text), last]


def loss_bytes(shape: Shape, training: Training) -> int:
    """Bytes for the loss: a tile of logits, its gradient, and the gradient of what the output layer reads, in fp32.

    TRL takes 4,096 positions and 32,768 vocabulary entries at once. On a GPU Triton turns the logits into their
    gradient in place; elsewhere torch needs further tiles for it. This is where a large vocabulary weighs most.
    """
    c, h = training.number, shape.hidden
    rows, columns = min(training.tokens, TOKENS), min(shape.vocabulary, TILE)
    gradient = 4 * training.tokens * h
    if training.where == "cuda":
        return rows * TILE * c + gradient  # the tile is reserved in full width
    casts = 0 if c == 4 else rows * columns * (c + 4) + columns * h * 4
    return max(rows * columns * (PLAIN_TILE + c), casts) + gradient


def backward_bytes(shape: Shape, training: Training) -> int:
    """Bytes in use while the last block goes backward: gradients of the feed-forward layer, and one layer's weights.

    bitsandbytes turns the 4-bit weights of a layer into `precision` for its product. With checkpointing, the block's
    activations are there as well, computed again.
    """
    c, n = training.number, training.tokens
    again = block_bytes(shape, training) if training.checkpointing else 0
    whole = max(linear.weights for linear in shape.linears) * c if training.load_in_4bit else 0
    return again + n * c * (3 * shape.ffn + 2 * shape.hidden) + whole


def estimate_training(shape: Shape, training: Training, file_bytes: int | None = None) -> Estimate:
    """The memory of a training at its largest moment: loading, the loss, or the backward pass of a block.

    On the CPU it is the process's resident memory: what torch has asked for and not given back, and the libraries. What
    the C library keeps of memory that was given back is not counted; see `reports/memory.md`. On CUDA it is the card's
    memory. `file_bytes` is the size of the weight files, which are mapped into memory while the model is loaded (2
    bytes a number where not given).
    """
    held = [*weight_parts(shape, training)]
    trained = adapter_numbers(shape, training)
    each = OPTIMIZERS[training.optimizer]
    learnt = [
        Part("adapters", ADAPTER * trained, f"{trained:,} trained numbers · {ADAPTER}"),
        Part("optimizer", each * trained, f"{trained:,} · {each} (two moments)"),
    ]
    if training.accumulation > 1:  # else they are freed before the next forward pass
        learnt.append(Part("gradients", ADAPTER * trained, f"{trained:,} · {ADAPTER}, kept over the batches of a step"))
    if whole := whole_numbers(shape, training):
        learnt.append(Part("embeddings' gradient", 4 * whole, f"{whole:,} · 4, there from the loss on"))
    elif shape.chat_tokens:
        size = shape.vocabulary * shape.hidden * (training.number + 4)
        text = f"{shape.vocabulary:,} · {shape.hidden} · ({training.number} + 4): output layer with them, its gradient"
        learnt.append(Part("new chat tokens", size, text))
    base = [overhead("training", training.where)]
    kept = activation_parts(shape, training)
    tile = f"{min(training.tokens, TOKENS):,} · {min(shape.vocabulary, TILE):,} at once"
    loss = Part("logits", loss_bytes(shape, training), tile)
    again = "a block again, its gradients" if training.checkpointing else "gradients of a block"
    block = Part("backward pass", backward_bytes(shape, training), again)
    moments = {"loss": [*base, *held, *learnt, *kept, loss], "backward pass": [*base, *held, *learnt, *kept, block]}
    if training.where == "cpu":
        size = file_bytes or 2 * shape.parameters
        mapped = Part("weight files", size, "mapped while they are read")
        moments["loading"] = [*base, *held, mapped]
    kind = "QLoRA" if training.load_in_4bit else "LoRA"
    what = f"{shape.name}, {kind}, {training.batch_size} rows of {training.max_length} tokens, {training.precision}"
    return largest(what, training.where, moments)


def recommended_batch(shape: Shape, training: Training, memory: float, rows: int) -> tuple[int, int] | None:
    """(batch size, accumulation) of the largest power of two that fits into `memory` bytes; None where 1 does not.

    A step keeps its `rows`. A tenth of the memory stays free: lengths vary, and allocators round up.
    """
    best, batch = None, 1
    while batch <= rows:
        steps = -(-rows // batch)
        tried = Training(**{**vars(training), "batch_size": batch, "accumulation": steps})
        if estimate_training(shape, tried).bytes > 0.9 * memory:
            break
        best, batch = (batch, steps), 2 * batch
    return best


def _targets(shape: Shape, training: Training) -> list[Any]:
    names, _ = presets.lora_layers(training.lora_targets)
    found = [linear for linear in shape.linears if names == ["all-linear"] or linear.name in names]
    if not found:
        known = ", ".join(linear.name for linear in shape.linears)
        raise BadInput(f"{training.lora_targets!r} names no layer of {shape.name}", "lora_targets", f"It has {known}.")
    return found


def _attention(shape: Shape, training: Training) -> int:
    """Bytes a token of what the attention keeps: queries, keys, values, result, and the sum of each head's scores."""
    c, kept = training.number, 2 * shape.query + shape.heads * 4 // training.number
    repeated = training.padded and shape.kv_heads < shape.heads  # with a mask, each head gets keys of its own
    if repeated:
        kept += 2 * shape.query
    elif shape.architecture == "phi3":  # the values are a view of queries, keys and values together
        kept += shape.key_value + shape.query + 2 * shape.key_value
    else:
        kept += 2 * shape.key_value
    return kept * c


def _adapter_inputs(shape: Shape, training: Training) -> int:
    """Bytes a token of what the adapters read.

    Layers that read the same share it only where nothing is converted on the way: in fp32, or in 4 bits on a GPU. PEFT
    hands its matrices fp32 numbers, which autocast makes 16-bit again, for each layer anew. Dropout keeps its result
    for each layer too, and its noise.
    """
    c, targets = training.number, _targets(shape, training)
    if training.lora_dropout:
        return sum(linear.inputs * (c + _noise(training)) for linear in targets)
    if training.precision == "fp32" or (training.where == "cuda" and training.load_in_4bit):
        different = {linear.reads: linear.inputs for linear in targets}
        if training.where == "cuda" or shape.architecture != "phi3":
            different.pop("attention", 0)  # it is counted with the attention; Phi-3's values are views, so it is copied
        return c * sum(different.values())
    return c * sum(linear.inputs for linear in targets)


def _noise(training: Training) -> int:
    """Bytes of dropout's noise for a number: a truth value on a GPU, fp32 on a CPU."""
    return (1 if training.where == "cuda" else 4) if training.lora_dropout else 0


def _cast_adapters(shape: Shape, training: Training) -> int:
    """Bytes of the adapters' 16-bit copies, which autocast keeps for the backward pass."""
    if training.precision == "fp32":
        return 0
    matrices = sum(linear.inputs + linear.outputs for linear in _targets(shape, training))
    return training.number * training.lora_rank * shape.layers * matrices
