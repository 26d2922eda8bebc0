"""The formula of `heimdall profile memory` against measurements: models, contexts and types of cache on this CPU.

    python benchmarks/bench_context_memory.py [--only nano,"small Qwen2"] [--limit 0.05]

The models are the course's base and random weights of other shapes: memory does not depend on the values. Each point is
a process that loads the file, fills the context and answers. Exit status 1 where the formula is further off than the
limit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import product
from pathlib import Path

from bench_memory import NANO, random_gguf, random_model

from heimdall_nb.context.loaded import points
from heimdall_nb.memory.parts import markdown

POINTS = [  # model, kind, contexts, types of cache, flash attention
    ("nano", "F16", (512, 2048), ("F16", "Q8_0"), True),
    ("nano", "F16", (2048,), ("F16",), False),
    ("small Qwen2", "Q4_K_M", (512, 2048), ("F16", "Q8_0", "Q4_0"), True),
    ("small Qwen2", "Q4_K_M", (2048,), ("F16",), False),
    ("Qwen2.5-0.5B", "Q4_K_M", (1024,), ("F16", "Q8_0"), True),
]
COLUMNS = ("model", "kind", "context", "cache", "flash", "estimate", "measured", "error", "error of the model")


def main() -> None:
    """Make the files, measure the points, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="models, comma-separated; all without it")
    parser.add_argument("--limit", type=float, default=0.05, help="largest error of the formula")
    given = parser.parse_args()
    chosen = [name for name in given.only.split(",") if name]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model, kind, contexts, caches, flash in POINTS:
            if chosen and model not in chosen:
                continue
            file = gguf(model, kind, Path(folder))
            for context, cache in product(contexts, caches):  # one by one, so that each is printed when it is known
                rows += [{"model": model, "kind": kind} | row for row in points(file, [context], [cache], flash)]
                print(" ".join(f"{rows[-1][name]}" for name in COLUMNS), file=sys.stderr, flush=True)
    if not rows:
        sys.exit("no point was measured")
    print(markdown([{name: row[name] for name in COLUMNS} for row in rows]))
    worst = max(abs(row["error"]) for row in rows)
    print(f"{len(rows)} points, MiB; largest error {worst:.1%}, limit {given.limit:.0%}")
    if worst > given.limit:
        sys.exit(1)


def gguf(model: str, kind: str, folder: Path) -> Path:
    """The GGUF file of a model, made once for each folder."""
    base = NANO if model == "nano" else folder / model.replace(" ", "-")
    if model == "nano":
        from heimdall_nb.export.gguf_file import write_gguf

        path = folder / f"nano-{kind}.gguf"
        return path if path.exists() else Path(write_gguf(base, path))
    if not (base / "config.json").exists():
        random_model(model, str(base))
    if not (base / f"{kind}.gguf").exists():
        random_gguf(str(base), kind)
    return base / f"{kind}.gguf"


if __name__ == "__main__":
    main()
