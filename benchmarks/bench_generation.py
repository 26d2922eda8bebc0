"""Generation beside llama.cpp's own rate, and a cold prefix beside a warm one, for the shipped base model's files.

    python benchmarks/bench_generation.py [questions]

The base is written as F16 and quantised; each file answers the first questions of the benchmark set `iid`, with one
thread and with all, in batches of 64 and of 512 tokens. Goals: generation at least 0.95 of what llama.cpp does with the
same file in the same minute, and a warm prefix at least 5 times cheaper than a cold one.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from heimdall_nb.deploy import speed
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.export.quantise import quantise
from heimdall_nb.hardware import threads
from heimdall_nb.models.shipped import MODELS

BASE, KINDS, QUESTIONS = "heimdall-nano-base", ("Q8_0", "Q4_K_M"), 100


def main(questions: int) -> None:
    """Print the table of `heimdall benchmark` for each kind of file."""
    with tempfile.TemporaryDirectory() as folder:
        written = write_gguf(MODELS / BASE, Path(folder) / f"{BASE}-F16.gguf")
        files = [written, *(Path(folder) / f"{BASE}-{kind}.gguf" for kind in KINDS)]
        for kind, file in zip(KINDS, files[1:], strict=True):
            quantise(written, file, kind)
        for file in files:
            print(speed.text(speed.run(file, "iid", questions, sorted({1, threads()}), (64, 512))), end="\n\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else QUESTIONS)
