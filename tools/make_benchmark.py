"""Make the sets of data/benchmark anew: for maintainers, after templates, graphs or styles have changed.

    python tools/make_benchmark.py [set ...]

Scores on another benchmark cannot be compared with earlier ones: say so in LOGBOOK.md.
"""

from __future__ import annotations

import sys

from heimdall_nb.dataset import benchmark
from heimdall_nb.dataset.example import save


def main(names: list[str]) -> None:
    """Write each set to its file."""
    for name in names or list(benchmark.SETS):
        items = benchmark.build(name)
        print(f"{save(benchmark.path(name), items)}: {len(items)} items")


if __name__ == "__main__":
    main(sys.argv[1:])
