"""Smaller files through llama.cpp's quantiser, with what it did not quantise as asked named, not passed over."""

from __future__ import annotations

import ctypes
from collections import Counter
from pathlib import Path
from typing import Any

import gguf
import llama_cpp

from heimdall_nb import hardware
from heimdall_nb.errors import BadInput
from heimdall_nb.export.gguf_file import replacing
from heimdall_nb.export.imatrix import Importance, as_c_array
from heimdall_nb.models.llamacpp import check_gguf, errors

# What a matrix may be stored as when it is quantised as asked. The K kinds mix several K types on purpose.
_K = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
KINDS = {
    "F16": ("F16",),
    "Q8_0": ("Q8_0",),
    "Q6_K": _K,
    "Q5_K_M": _K,
    "Q4_K_M": _K,
    "Q4_K_S": _K,
    "Q2_K": _K,
}
_STORED = {"F32": ("F32",), "BF16": ("BF16",)} | KINDS  # the first two are written directly, see `gguf_file`


def quantise(source: Path | str, output: Path | str, kind: str, weighted: Importance | None = None) -> dict[str, Any]:
    """Write `source`, an F16 or F32 GGUF file, as `kind`; returns what `describe` says about the result.

    `weighted` says which columns of the matrices matter (`imatrix.importance`); without it all count the same. Raises
    BadInput for an unknown kind, or a source that is not a GGUF file or is already quantised.
    """
    source, output = check_gguf(source), Path(output)
    if kind not in KINDS:
        raise BadInput(f"{kind!r} is not a quantisation", "kind", f"Choose from {', '.join(KINDS)}.")
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = gguf.LlamaFileType["MOSTLY_" + kind]
    settings.nthread = hardware.threads()
    if weighted:
        columns = as_c_array(weighted)
        settings.imatrix = ctypes.cast(columns, ctypes.POINTER(llama_cpp.llama_model_imatrix_data))
    errors.clear()
    with replacing(output) as temporary:
        status = llama_cpp.llama_model_quantize(str(source).encode(), str(temporary).encode(), ctypes.byref(settings))
        if status:
            reason = f" ({errors[-1].rsplit(': ', 1)[-1]})" if errors else ""
            raise BadInput(f"cannot be quantised to {kind}{reason}", str(source), "Give the F16 file of notebook 04.")
    return describe(output, kind)


def describe(path: Path | str, kind: str) -> dict[str, Any]:
    """What a GGUF file of `kind` holds: `bytes`, `bits_per_weight`, `types` (type: tensors), `fallback`.

    A K type needs rows of a multiple of 256 numbers; a matrix with other rows gets a larger type without an error.
    `fallback` names each such tensor with its type. Raises BadInput when the file is not GGUF.
    """
    path = check_gguf(path)
    tensors = gguf.GGUFReader(path).tensors
    stored = {t.name: t.tensor_type.name for t in tensors}
    fallback = [t for t in tensors if sum(n > 1 for n in t.shape) > 1 and stored[t.name] not in _STORED[kind]]
    return {
        "kind": kind,
        "bytes": path.stat().st_size,
        "bits_per_weight": round(8 * sum(int(t.n_bytes) for t in tensors) / sum(int(t.n_elements) for t in tensors), 2),
        "types": dict(sorted(Counter(stored.values()).items())),
        "fallback": [{"name": t.name, "type": stored[t.name]} for t in fallback],
    }
