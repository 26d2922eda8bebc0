"""Make data/benchmark/sql*.jsonl and the page about them anew: for maintainers, after templates or rows have changed.

    python tools/make_sql_benchmark.py

Scores on another test set cannot be compared with earlier ones: say so in LOGBOOK.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heimdall_nb.dataset import sql_curated
from heimdall_nb.dataset.classicmodels import classicmodels
from heimdall_nb.dataset.example import Example, save
from heimdall_nb.dataset.sql_forms import form, skeleton
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.run import atomic_text

SEED, ITEMS, EXEMPLARS, SHOWN = 2026, 200, 100, 400
PAGE = sql_curated.COMMITTED["test"].with_suffix(".md")
INTRODUCTION = """# The test set of text to SQL

`sql.jsonl` holds the questions of the test, `sql_exemplars.jsonl` the solved ones that a few-shot prompt may show. Both
were run on `classicmodels(seed=7)`; `answer` is a hash of the rows. Training draws its questions from templates of its
own (`heimdall_nb.dataset.sql_curated.learning_set`). A *form* is a query without its values and the names that it gives
itself; a *shape* is a form with the names of tables and columns hidden. No two sets share a form. Page and files are
made by `python tools/make_sql_benchmark.py`.
"""


def page(sets: Mapping[str, Sequence[Example]]) -> str:
    """The page with sizes and the mix of constructs of each set."""
    known = {skeleton(example.output) for example in sets["train"]}
    seen = sum(skeleton(example.output) in known for example in sets["test"]) / len(sets["test"])
    lines = [INTRODUCTION, _row("", *sets), _row("---", *["---:"] * len(sets))]
    for name, count in (
        ("items", len),
        ("templates", lambda items: len({e.template for e in items})),
        ("forms", lambda items: len({form(e.output) for e in items})),
        ("shapes", lambda items: len({skeleton(e.output) for e in items})),
    ):
        lines.append(_row(name, *(str(count(items)) for items in sets.values())))
    lines += [
        "",
        f"Of the test items, {100 * seen:.0f} % have a shape that these {len(sets['train'])} rows of training have.",
    ]
    lines += ["", "Share of the queries with each construct, of each kind and of each level, in percent:", ""]
    lines += [_row("", *sets), _row("---", *["---:"] * len(sets))]
    for feature, shares in sql_curated.mixes(sets).items():
        lines.append(_row(feature, *(f"{100 * share:.1f}" for share in shares.values())))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write both files and the page."""
    engine = SQLite(classicmodels(sql_curated.DATABASE_SEED))
    sets = {"test": sql_curated.test_set(ITEMS, SEED, engine)}
    save(sql_curated.COMMITTED["test"], sets["test"])  # what the other sets are drawn after
    sets["train"] = sql_curated.learning_set("train", SHOWN, SEED, engine)
    sets["exemplars"] = sql_curated.learning_set("exemplars", EXEMPLARS, SEED, engine)
    save(sql_curated.COMMITTED["exemplars"], sets["exemplars"])
    print(atomic_text(PAGE, page(sets)))


if __name__ == "__main__":
    main()
