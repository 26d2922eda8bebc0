"""Do both SQL engines answer alike? Runs every gold query on a private MariaDB and on the embedded SQLite.

    python tools/sql_agreement.py [schemas]

Compared are the committed test set and exemplars, 400 questions of training, one query of every template over
classicmodels, and the queries that `schemas` records of the base's corpus try (default 40). Prints one line a set, and
every query on which the two differ with the reason. Exit status 1 when a difference has no known reason.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from heimdall_nb.dataset import sql, sql_curated
from heimdall_nb.dataset.classicmodels import classicmodels
from heimdall_nb.dataset.relational_corpus import relational_corpus
from heimdall_nb.engines.graph import Refusal, Rows
from heimdall_nb.engines.mariadb import PRIVATE, MariaDB
from heimdall_nb.engines.sql import Database, SqlEngine
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import HeimdallError
from heimdall_nb.evaluation.compare import same_result
from heimdall_nb.evaluation.sql_scores import orders_rows
from heimdall_nb.progress import track

TRAINING, SCHEMAS, SEED = 400, 40, 7
UNKNOWN = "unknown"


@dataclass
class Both:
    """Both engines as one: what is loaded and run goes to both, and where they differ is kept, with the reason."""

    embedded: SqlEngine
    server: SqlEngine
    queries: Counter[str] = field(default_factory=Counter)
    differing: dict[str, str] = field(default_factory=dict)

    def load(self, database: Database) -> None:
        """Load it into both. A query text means another query from now on."""
        self.embedded.load(database)
        self.server.load(database)

    def run(self, query: str, seconds: float = 2.0, max_rows: int = 1000) -> Rows | Refusal:
        """The answer of the embedded engine; the limit of both is wide, because this machine may be busy."""
        ours, theirs = (engine.run(query, max(30.0, seconds), max_rows) for engine in (self.embedded, self.server))
        self.queries[query] += 1
        if found := reason(query, ours, theirs):
            self.differing[query] = found
        return ours

    def forget(self) -> None:
        """Begin to count anew."""
        self.queries.clear()
        self.differing.clear()

    def close(self) -> None:
        """Free both."""
        self.embedded.close()
        self.server.close()


def reason(query: str, ours: Rows | Refusal, theirs: Rows | Refusal) -> str:
    """Why the embedded engine and the server answer differently; "" when they do not."""
    if isinstance(ours, Refusal) or isinstance(theirs, Refusal):
        kinds = [answer.kind if isinstance(answer, Refusal) else "rows" for answer in (ours, theirs)]
        if kinds[0] == kinds[1]:
            return ""
        told = "; ".join(answer.message for answer in (ours, theirs) if isinstance(answer, Refusal))
        gap = "a gap of one engine" if "engine" in kinds else UNKNOWN
        return f"{gap}: SQLite {kinds[0]}, MariaDB {kinds[1]} ({told})"
    if same_result(ours, theirs, orders_rows(query)):
        return ""
    if same_result(ours, theirs, ordered=False):
        return "rows that the ORDER BY leaves tied, or texts that sort by another alphabet"
    for what, change in (("letters compare without case or accents", _folded), ("a sum is rounded", _rounded)):
        if same_result(change(ours), change(theirs), ordered=False):
            return what
    return f"{UNKNOWN}: {_unlike(ours, theirs)}"


def _folded(rows: Rows) -> Rows:
    return Rows(rows.columns, tuple(tuple(v.casefold() if isinstance(v, str) else v for v in r) for r in rows.rows))


def _rounded(rows: Rows) -> Rows:
    """Numbers to one decimal: halves of a cent go up in DECIMAL and either way in binary floats."""
    return Rows(rows.columns, tuple(tuple(round(v, 1) if isinstance(v, float) else v for v in r) for r in rows.rows))


def _unlike(ours: Rows, theirs: Rows) -> str:
    pairs = zip(ours.rows, theirs.rows, strict=False)
    first = next(((a, b) for a, b in pairs if a != b), (len(ours.rows), len(theirs.rows)))
    return f"SQLite {first[0]!r}, MariaDB {first[1]!r}"[:300]


def one_of_each(engine: SqlEngine) -> Iterable[str]:
    """A query of every template over classicmodels."""
    options = sql_curated.values(engine)
    for name in sql_curated.FILES:
        for template in sql_curated.curated(name):
            slots = {slot: options[value][0] for slot, value in template.slots.items()}
            yield sql.fill(template.sql, slots, sql=True)


def compare(both: Both, what: str, queries: Iterable[str]) -> tuple[str, dict[str, str]]:
    """(a line about these queries, the differing ones with reasons); what `both` saw before is forgotten."""
    both.forget()
    for query in track(list(queries), what):
        both.run(query)
    return line(both, what), dict(both.differing)


def line(both: Both, what: str) -> str:
    """How many different queries were run, and on how many the engines differ."""
    return f"{what}: {len(both.queries)} queries, {len(both.differing)} answered differently"


def main(schemas: int) -> int:
    """Print the comparison. Returns the exit status."""
    with MariaDB(address=PRIVATE) as server, SQLite() as embedded:
        both = Both(embedded, server)
        both.load(classicmodels(SEED))
        golds = {name: [example.output for example in sql_curated.committed(name)] for name in sql_curated.COMMITTED}
        found = [compare(both, f"set {name}", queries) for name, queries in golds.items()]
        examples = sql_curated.learning_set("train", TRAINING, SEED, embedded)
        found.append(compare(both, f"{TRAINING} questions of training", (e.output for e in examples)))
        found.append(compare(both, "one query of every template", one_of_each(embedded)))
        both.forget()
        for _ in track(relational_corpus(schemas, SEED, engine=both), "schemas", total=schemas):
            pass
        found.append((line(both, f"{schemas} schemas of the base's corpus"), dict(both.differing)))
    for told, differing in found:
        print(told)
        for query, why in differing.items():
            print(f"  {why}\n    {query}")
    return int(any(why.startswith(UNKNOWN) for _, differing in found for why in differing.values()))


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else SCHEMAS))
    except HeimdallError as problem:
        print(f"sql_agreement: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
