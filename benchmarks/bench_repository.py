"""Rate and memory of the domain `repository` on a large checkout: lines, seconds, examples, and what was left out.

    python benchmarks/bench_repository.py FOLDER [--language python] [--licences none,MIT] [--examples 1000]

Any folder of source code serves, such as an installed package. Its files must be under a permissive licence, or one of
`--licences`. The examples that are drawn are all checked against the source; a second reading must give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

from bench_generate import Memory

from heimdall_nb.domains.repository import Repository
from heimdall_nb.domains.repository_report import markdown
from heimdall_nb.hardware import threads

SEED = 7


def main() -> None:
    """Print the report of a checkout, and how long each step took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", default="python")
    parser.add_argument("--licences", default="", help="those allowed, with commas; default: the permissive ones")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    licences = tuple(filter(None, given.licences.split(",")))
    domain = Repository(given.folder, given.language, licences, given.workers)
    with Memory() as memory:
        start = time.perf_counter()
        lines = domain.extraction.lines
        read = time.perf_counter() - start
        examples = list(domain.examples(given.examples, SEED))
        made = time.perf_counter() - start
    faults = sum(bool(domain.faults(example)) for example in examples)
    checked = time.perf_counter() - start - made
    print(markdown(domain.found(SEED)))
    print(
        f"{lines:,} lines read in {read:.1f} s by {given.workers or threads()} processes, {lines / read:,.0f} lines/s; "
        f"{sum(domain.found(SEED)['examples'].values()):,} examples and {len(examples):,} drawn after {made:.1f} s; "
        f"peak {memory.peak:.0f} MB; {faults} of {len(examples):,} with a fault, checked in {checked:.1f} s"
    )
    digest = hashlib.sha256("".join(example.to_json() for example in examples).encode()).hexdigest()[:16]
    again = Repository(given.folder, given.language, licences, 1)
    other = "".join(example.to_json() for example in again.examples(given.examples, SEED))
    print(f"the same bytes from one process: {hashlib.sha256(other.encode()).hexdigest()[:16] == digest}")


if __name__ == "__main__":
    main()
