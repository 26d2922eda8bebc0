"""Token lengths of 100,000 queries: how long `heimdall profile lengths` takes; exit status 1 when over the limit.

    python benchmarks/bench_lengths.py [--items 100000] [--tokenizer heimdall-nano-base] [--limit 60]

The file is made of the committed test sets: each record gets a number in its question, so that no question is counted
once and remembered.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from heimdall_nb import hardware
from heimdall_nb.context import lengths
from heimdall_nb.context.items import read
from heimdall_nb.context.tokenise import tokeniser
from heimdall_nb.run import DATA, write_lines

SOURCES = ("iid", "graph", "style", "template")


def main() -> None:
    """Make the file, profile it, print the table and the seconds of each step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--tokenizer", default="heimdall-nano-base", help="model folder, hub id or GGUF file")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queries.jsonl"
        make(path, given.items)
        start = time.perf_counter()
        items = read(path)
        marks = [time.perf_counter()]
        with tokeniser(given.tokenizer) as (tokenise, counts):
            marks.append(time.perf_counter())
            found = lengths.measure(items, tokenise, max_length=1280, counts=counts)
        marks.append(time.perf_counter())
        lengths.write(found, Path(folder) / "out")
        marks.append(time.perf_counter())
    steps = dict(zip(("read", "tokenizer", "count", "write"), marks, strict=True))
    print(lengths.text(found))
    at = start
    for name, mark in steps.items():
        print(f"{name}: {mark - at:.1f} s")
        at = mark
    seconds = marks[-1] - start
    print(f"{given.items:,} items in {seconds:.1f} s, limit {given.limit:g} s; {hardware.machine()['cpu']}")
    if seconds > given.limit:
        sys.exit(1)


def make(path: Path, count: int) -> None:
    """Write `count` records of the test sets, each with a question and an answer of its own."""
    lines = [line for name in SOURCES for line in (DATA / "benchmark" / f"{name}.jsonl").read_text().splitlines()]
    records = [json.loads(line) for line in lines]

    def made(number: int) -> str:
        record = records[number % len(records)]
        changes = {"input": f"{record['input']} ({number})", "output": f"{record['output']} // {number}"}
        return json.dumps(record | changes)

    write_lines(path, (made(number) for number in range(count)))


if __name__ == "__main__":
    main()
