"""Make data/benchmark/suites/sql.json anew: for maintainers, after SQL test set, classicmodels or edits have changed.

    python tools/make_sql_suite.py

Writes the suite of the committed SQL test set, and sql_adequacy.json: which share of the neighbours that are not
equivalent it tells apart. About five minutes on one core. Exit status 1 when the share is below what is required.
"""

from __future__ import annotations

import sys
import time

from heimdall_nb.dataset.sql_curated import DATABASE_SEED, committed
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.evaluation.sql_distil import REQUIRED, SETTINGS, distil_sql, report
from heimdall_nb.evaluation.sql_suite import ADEQUACY, SUITE
from heimdall_nb.run import sha256, write_json


def main() -> int:
    """Write suite and adequacy. Returns the exit status."""
    examples, began = committed("test"), time.process_time()
    with SQLite() as engine:
        suite, adequacy = distil_sql(examples, engine, DATABASE_SEED, **SETTINGS)
    suite.save(SUITE)
    found = {"items": len(examples), "databases": len(suite.recipes), "settings": SETTINGS}
    found |= {"suite": sha256(SUITE), "seconds": round(time.process_time() - began), **report(adequacy)}
    write_json(ADEQUACY, found)
    print(f"{len(suite.recipes)} databases, {found['all']}, {found['seconds']} s of one core")
    return int(found["all"]["suite_share"] < REQUIRED)


if __name__ == "__main__":
    sys.exit(main())
