"""A GGUF file's memory by context and cache type: the estimate of `heimdall_nb.memory` beside what loading it takes.

`python -m heimdall_nb.context.loaded TASK` is the process that loads it; see `points`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.errors import BadInput

ROOM = 64  # tokens that chat format and answer take beside the text that fills a context
ANSWER = 4  # tokens


def kind_of(path: Path) -> str:
    """The kind of quantisation that a GGUF file says it has, as data/quantisations.yaml names it.

    Raises BadInput for a file that is damaged, says nothing, or has a kind whose memory is not known.
    """
    import gguf

    from heimdall_nb.memory.inference import check_kind
    from heimdall_nb.models.gguf_path import check_gguf

    try:
        field = gguf.GGUFReader(str(check_gguf(path))).fields["general.file_type"]
        name = gguf.LlamaFileType(int(field.contents())).name
    except (KeyError, ValueError, IndexError, UnicodeDecodeError) as problem:
        raise BadInput(f"does not say its quantisation ({problem})", str(path), "Run stage 04 again.") from None
    return check_kind(name.removeprefix("MOSTLY_").removeprefix("ALL_"))


def options(cache: str, flash: bool) -> dict[str, int]:
    """llama.cpp's fields of a context for a type of cache and for flash attention on or off."""
    from gguf import GGMLQuantizationType

    number = int(GGMLQuantizationType[cache])
    return {"type_k": number, "type_v": number, "flash_attn_type": int(flash)}


def points(
    model: Path | str,
    contexts: Sequence[int],
    caches: Sequence[str] = ("F16",),
    flash: bool = True,
    load: bool = True,
    kind: str = "Q4_K_M",
    seconds: float = 900,
) -> list[dict[str, Any]]:
    """One row a context size and type of cache: estimate, its parts and, with `load`, the measurement, in MiB.

    A process of its own loads the file as `LlamaCppModel` does, fills the context and answers with four tokens.
    `measured` is its largest resident memory, interpreter and libraries included, which the estimate counts as
    `runtime`; `error` is how far above it the estimate is, `error of the model` the same less what interpreter and
    libraries took before the file was loaded. Without `load`, `model` may be a folder or hub id, and `kind` the kind of
    file that would be made of it. Raises BadInput for a damaged file, an unknown type of cache, or a context without
    room;
    HeimdallError when a process fails or takes over `seconds`.
    """
    from heimdall_nb.context import child
    from heimdall_nb.memory import estimate_inference, shape_of
    from heimdall_nb.memory.parts import MIB
    from heimdall_nb.models.gguf_path import check_gguf
    from heimdall_nb.progress import track

    if not contexts or (load and min(contexts) <= 2 * ROOM):
        raise BadInput(f"{list(contexts)} leaves no room", "--context", f"Give sizes above {2 * ROOM}.")
    if file := load or str(model).endswith(".gguf"):
        model = check_gguf(model).resolve()
    shape, kind = shape_of(str(model)), kind_of(Path(model)) if file else kind
    # All estimates first: an impossible setting is said before anything is loaded.
    wanted = [
        (size, cache, estimate_inference(shape, kind, size, cache, flash)) for cache in caches for size in contexts
    ]
    rows = []
    for size, cache, estimate in track(wanted, "memory points") if load else wanted:
        row = {"context": size, "cache": cache, "flash": flash}
        row |= {part.name: round(part.bytes / MIB, 1) for part in estimate.parts}
        row |= {"estimate": round(estimate.bytes / MIB, 1)}
        if load:
            task = {"path": str(model), "context": size, "threads": 1, "options": options(cache, flash)}
            row |= _beside(estimate, child.run("heimdall_nb.context.loaded", task, seconds))
        rows.append(row | {"made for it": size <= shape.context})
    return rows


def _beside(estimate: Any, found: Mapping[str, int]) -> dict[str, Any]:
    from heimdall_nb.memory.parts import MIB

    peak, libraries = found["peak"], found["libraries"]
    own = (estimate.bytes - libraries) / (peak - libraries)
    return {
        "measured": round(peak / MIB, 1),
        "error": round(estimate.bytes / peak - 1, 4),
        "error of the model": round(own - 1, 4),
        "prompt tokens": found["prompt_tokens"],
    }


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table; parts that differ in no row are named once."""
    from heimdall_nb.memory.parts import markdown

    shown = [row | {n: f"{row[n]:+.1%}" for n in ("error", "error of the model") if n in row} for row in rows]
    names = [name for name in shown[0] if len({row.get(name) for row in shown}) > 1 or name in ("context", "cache")]
    names = [n for n in shown[0] if n in names or n in ("estimate", "measured", "error")]
    same = ", ".join(f"{n} {shown[0][n]}" for n in shown[0] if n not in names)
    return (
        "MiB; the same in each row: " + same + "\n\n" + markdown([{n: row.get(n, "-") for n in names} for row in shown])
    )


def main(argument: str) -> None:
    """Load the model of the task given as JSON, fill its context, and print bytes as JSON."""
    hardware.die_with_parent()
    print(json.dumps(_load(**json.loads(argument))))


def _load(path: str, context: int, threads: int, options: Mapping[str, int]) -> dict[str, int]:
    from heimdall_nb.models.llamacpp import LlamaCppModel

    libraries = hardware.peak_memory()
    model = LlamaCppModel(path, context=context, threads=threads, options=options)
    words = 64 * (context - ROOM) // len(model.tokens("x " * 64))
    found = model.complete([[{"role": "user", "content": "x " * words}]], max_new_tokens=ANSWER)[0]
    if not found.new_tokens:
        sys.exit(f"the prompt of {found.prompt_tokens} tokens was not read")
    return {"peak": hardware.peak_memory(), "libraries": libraries, "prompt_tokens": found.prompt_tokens}


if __name__ == "__main__":
    main(sys.argv[1])
