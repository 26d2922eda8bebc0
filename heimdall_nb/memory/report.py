"""The page reports/memory.md: each point's estimate beside its measurement, what is counted, and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heimdall_nb.memory.parts import markdown
from heimdall_nb.memory.tables import all_tables

HEAD = """# Memory: estimated and measured

Written by `benchmarks/bench_memory.py`. The estimate is made from the model's configuration, before anything is loaded;
`heimdall estimate --preset P` prints it part by part. The weights are random: memory does not depend on their values.
"""
COUNTED = """## What is counted

- A point is a process of its own, forked from one that has imported the libraries and nothing else. Measured is its
  largest resident memory (`VmHWM`): interpreter and libraries, and all pages that were touched, mapped files included.
- A training point is two steps, one evaluation and one checkpoint of `training.trainer.build_trainer`, on rows that are
  padded to the length named, so that the attention gets a mask. The rank is 16, on all linear layers.
- bitsandbytes stores 4-bit weights on the CPU as on a GPU. What it does not quantise stays in the number format of the
  arithmetic: on a CPU without bf16 units that is fp32, and the embeddings can weigh more than all 4-bit layers.
- Loading maps the weight files; their pages count until the model stands. For short rows this is the largest moment.
- The loss is where a large vocabulary weighs: without Triton, TRL needs about 31 bytes for each of up to 4,096
  positions times 32,768 vocabulary entries; with Triton, on a GPU, two.
- The GNU C library keeps blocks of up to 32 MiB that were given back, and aligned blocks often do not fit into the
  gaps that others left. The trainings are measured with `MALLOC_MMAP_THRESHOLD_` set to 64 KiB, where such blocks
  return to the system at once: that is what the training asks for. The last column has the same point with the
  library's defaults; the difference is memory that nobody uses. No formula is given for it.
- llama.cpp touches its working buffer as far as it needs it. On a CPU the logits of a prompt's last token are computed
  alone; on a GPU the buffer for all of a batch is reserved. Q4_K matrices are there twice on x86: as mapped from the
  file, and in the order that the vector units want.
- The line `runtime` (`overhead` in data/hardware.yaml) was measured on this machine with points like these, so it is no
  forecast; everything else follows from the shapes.
- No GPU figure here is measured yet: `benchmarks/memory_gpu.py` measures every preset in one call.
"""


def page(rows: Sequence[dict[str, Any]], machine: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """The page as Markdown; `rows` have a column `error` such as +3.1%."""
    errors = sorted(abs(float(row["error"].rstrip("%"))) for row in rows)
    worst = (
        f"{len(rows)} points; the largest error is {errors[-1]:.1f} %, the middle one {errors[len(errors) // 2]:.1f} %."
    )
    where = f"Machine: {machine['cpu']}, {machine['ram_gb']} GB, {machine['system']}, Python {machine['python']}."
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [HEAD, f"{worst} {where}\n", markdown(rows) + "\n", COUNTED, f"Versions: {used}.\n"]
    return "\n".join([*parts, "# Tables, computed\n", all_tables(), ""])
