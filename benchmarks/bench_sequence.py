"""A long sequence, as `heimdall sequence` runs it: 20 prompts, more than 14,000 tokens of answers, one window.

    python benchmarks/bench_sequence.py                     # a very small random-weight model with a window of 32,768
    python benchmarks/bench_sequence.py --model FILE.gguf --tokens 800

Started again with the same --work, it goes on where it was. Exit status 1 when an answer is missing, fewer than 14,000
tokens were answered, or less than 80 % of the prompt tokens were in the cache already.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from heimdall_nb.run import ROOT
from heimdall_nb.sequence.report import text
from heimdall_nb.sequence.runner import run
from heimdall_nb.sequence.settings import load

SYSTEM = "You write a long story, chapter by chapter. Each chapter goes on from the one before."
WHERE = ("at the harbour", "in the archive", "on the ice", "under the bridge", "at the fair")
LEAST_TOKENS, LEAST_REUSED = 14_000, 0.80


def main() -> None:
    """Run the sequence, print its figures, and exit with 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="GGUF file made for 32,768 tokens")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=1200, help="longest answer")
    parser.add_argument("--work", type=Path, default=Path("/tmp/heimdall-sequence"), help="folder of model and results")
    given = parser.parse_args()
    prompts = [f"Write chapter {k + 1}. It is set {WHERE[k % len(WHERE)]}." for k in range(given.prompts)]
    settings = load("long", [f"max_tokens={given.tokens}"])
    found = run(given.model or random_model(given.work), prompts, given.work / "out", settings, SYSTEM)
    print(f"{text(found)}\n{found['seconds']} s, {found['machine']['cpu']}; tries that began with: {found['mended']}")
    answered = found["answered"] == given.prompts
    if not answered or found["answered_tokens"] < LEAST_TOKENS or found["reused"] < LEAST_REUSED:
        sys.exit(1)


def random_model(folder: Path) -> Path:
    """The tests' random-weight model, made once; most of its answers end by themselves."""
    sys.path.insert(0, str(ROOT / "tests"))
    from sequence_model import make_gguf

    path = folder / "tiny32k.gguf"
    return path if path.exists() else make_gguf(folder, spread=18.0)


if __name__ == "__main__":
    main()
