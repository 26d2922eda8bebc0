"""Make data/benchmark/suites anew: for maintainers, after benchmark, graphs, neighbours or suite graphs have changed.

    python tools/make_suites.py [set ...]

Writes <set>.json for each set, and adequacy.json and adequacy.md: what the suites tell apart, and what not. About
twenty minutes on one core; the figures of sets that are not named are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.evaluation.benchmark_suites import (
    ADEQUACY,
    SETTINGS,
    SUITED,
    adequacy_page,
    first_instance,
    schema_of,
    suite_path,
)
from heimdall_nb.evaluation.distil import distil, report
from heimdall_nb.run import atomic_text, read_json, write_json


def main(names: list[str]) -> None:
    """Write each set's suite, and the adequacy of all."""
    found: dict[str, Mapping[str, Any]] = read_json(ADEQUACY) if ADEQUACY.exists() else {}
    with ArcadeDB() as engine:
        for name in names or SUITED:
            examples = benchmark(name)
            suite, adequacy = distil(examples, schema_of, first_instance, engine, **SETTINGS)
            suite.save(suite_path(name))
            found[name] = {"items": len(examples), **report({name: adequacy})[name]}
            found = {each: found[each] for each in SUITED if each in found}
            write_json(ADEQUACY, found)
            atomic_text(ADEQUACY.with_suffix(".md"), adequacy_page(found))
            print(name, found[name]["all"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
