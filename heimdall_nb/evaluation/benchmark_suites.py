"""The test suites of data/benchmark: where they are, how they were distilled, and the page about their adequacy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from heimdall_nb.dataset.benchmark import BENCHMARK
from heimdall_nb.dataset.benchmark import path as set_path
from heimdall_nb.dataset.graphs import GraphSchema, instantiate, load_schema
from heimdall_nb.engines.graph import GraphInstance
from heimdall_nb.evaluation.suite import Suite

SUITES = BENCHMARK / "suites"
ADEQUACY = SUITES / "adequacy.json"
SUITED = ("iid", "template", "graph", "style")  # `operations` is mostly texts and statements that leave traces
SEED, NODES = 2026, 60  # of the graphs that the benchmark's answers come from
SETTINGS = {"seed": SEED, "candidates": 40, "keep": 20, "least": 10, "patience": 12, "pool": 40}
REQUIRED = 0.97  # share of the non-equivalent neighbours that a committed suite tells apart


@lru_cache(maxsize=64)
def schema_of(graph: str) -> GraphSchema:
    """A schema of data/graphs, read once."""
    return load_schema(graph)


@lru_cache(maxsize=64)
def first_instance(graph: str) -> GraphInstance:
    """The graph that the benchmark's answers come from: all that EX sees."""
    return instantiate(schema_of(graph), SEED, NODES)


def suite_path(name: str) -> Any:
    """The file of a set's suite. Raises BadInput for an unknown set."""
    return SUITES / f"{set_path(name).stem}.json"


def benchmark_suite(name: str) -> Suite:
    """The suite of a set. Raises BadInput for an unknown set, or one without a suite."""
    return Suite.load(suite_path(name), schema_of)


def adequacy_page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as Markdown: by set, by kind of edit, by rule, and every survivor."""
    lines = [*_INTRODUCTION, "", *_sets(found), "", "## By kind of edit (all sets)", "", *_edits(found)]
    lines += ["", "## Equivalent by a rule", "", *_rules(found), "", "## Survivors", "", *_survivors(found)]
    return "\n".join(lines) + "\n"


_INTRODUCTION = f"""# Do the test suites tell wrong queries from right ones?

Each gold query has neighbours: queries that differ from it by one edit. A neighbour is *not equivalent* when any graph
tells it from its gold: the first graph (all that EX sees), a graph of the suite, or one of {SETTINGS["pool"]} further
random graphs that played no part in choosing the suite. The suite must tell {100 * REQUIRED:.0f} % of these apart.

A rule says of some neighbours that they are the gold in other words. They were run all the same, on the first graph
and on eight of the further ones; "rule broken" counts those that a graph told apart.

What no graph tells apart and no rule covers is listed as a survivor. Most are equivalent for a reason that has no rule.
Some are not: columns may change places in a result, so that "first" for "last" goes unseen where both are returned, and
no random graph has an average that falls on a bound exactly.
All graphs keep to what the schemas' files say of numbers: where a relationship type leaves a node at most once, it does
so here too, and DISTINCT over it changes nothing. The further graphs are made as those of the suites are, so what this
way of making graphs cannot show, no figure here shows. `python tools/make_suites.py` makes this page.
""".splitlines()

_COLUMNS = ("neighbours", "first", "suite", "missed", "none", "rule", "rule broken")


def _row(name: str, counts: Mapping[str, Any], *more: Any) -> str:
    shares = (f"{100 * counts[share]:.1f} %" for share in ("first_share", "suite_share"))
    return "| " + " | ".join([name, *map(str, more), *(str(counts[c]) for c in _COLUMNS), *shares]) + " |"


def _head(*first: str) -> list[str]:
    told = ("told by the first graph", "by the suite only", "missed", "told by none")
    names = [*first, "neighbours", *told, "equivalent by a rule", "rule broken", "first graph alone", "suite"]
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]


def _sets(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return _head("set", "items") + [_row(name, entry["all"], entry["items"]) for name, entry in found.items()]


def _edits(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    from heimdall_nb.evaluation.neighbours import EDITS

    lines = _head("edit")
    for edit in EDITS:
        entries = [entry["edits"][edit] for entry in found.values() if edit in entry["edits"]]
        if entries:
            counts: dict[str, Any] = {c: sum(entry[c] for entry in entries) for c in _COLUMNS}
            different = sum(counts[c] for c in ("first", "suite", "missed", "rule broken")) or 1
            counts["first_share"] = counts["first"] / different
            counts["suite_share"] = (counts["first"] + counts["suite"]) / different
            lines.append(_row(edit, counts))
    return lines


def _rules(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rules = sorted({rule for entry in found.values() for rule in entry["rules"]})
    counts = {rule: sum(entry["rules"].get(rule, 0) for entry in found.values()) for rule in rules}
    return ["| rule | neighbours |", "|---|---|", *(f"| {rule} | {number} |" for rule, number in counts.items())]


def _survivors(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for name, entry in found.items():
        for outcome, title in (("missed", "missed: only a further graph tells"), ("none", "told by no graph")):
            cases = [case for case in entry["survivors"] if case["outcome"] == outcome]
            lines += [f"### {name}, {title} ({len(cases)})", ""]
            lines += [
                f"- {case['graph']}, {case['edit']} (`{_code(case['change'])}`): `{_code(case['gold'])}`"
                for case in cases
            ]
            lines.append("")
    return lines[:-1]


def _code(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")
