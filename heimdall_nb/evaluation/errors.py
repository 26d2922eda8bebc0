"""What is wrong with an answer: the differences between its tree and the gold query's, named, and counted.

An answer can differ in several ways. All are listed, in the order of KINDS; the first counts, since what comes first
makes what follows likely: a wrong label brings wrong properties, a missing hop brings other columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heimdall_nb.engines.cypher_patterns import CLAUSES
from heimdall_nb.engines.cypher_tokens import tokens, writes
from heimdall_nb.evaluation.differences import KINDS, ORDERED, differences
from heimdall_nb.evaluation.shape import shape
from heimdall_nb.evaluation.terms import Expression

if TYPE_CHECKING:
    from heimdall_nb.evaluation.metrics import ItemScore

_BY_CAUSE = {
    "no answer": "no answer",
    "truncated": "truncated",
    "write": "write",
    "syntax": "syntax",
    "invented name": "invented name",
    "timeout": "time or rows",
    "limit": "time or rows",
    "engine": "engine",
}
# What a question needs -> is told from the gold query's shape, by `needs`.
NEEDS = (
    "filter",
    "value list or text test",
    "two conditions or more",
    "one hop",
    "several hops",
    "path of variable length",
    "optional match",
    "sub-query",
    "count",
    "other aggregate",
    "group",
    "steps (WITH)",
    "expression",
    "distinct",
    "order",
    "limit",
    "union",
    "write",
    "text",
)


def kind(gold: str, answer: str, score: ItemScore | None = None) -> str:
    """The kind of error that counts for `answer`: the first of `kinds`."""
    return kinds(gold, answer, score)[0]


def kinds(gold: str, answer: str, score: ItemScore | None = None) -> tuple[str, ...]:
    """All kinds of error of an answer, in the order of KINDS; `other` where the trees show no difference.

    `score` says what the engine and the check of names found. Without it, only the two trees are compared.
    """
    found: set[str] = set()
    if score is not None:
        found |= {_BY_CAUSE[score.cause]} if score.cause in _BY_CAUSE else set()
        if score.cause == "schema" and ("not in the schema" in score.message or "of any" in score.message):
            found.add("invented name")
    if found & {"no answer", "truncated"} or not is_cypher(gold):
        return tuple(sorted(found, key=ORDERED.index)) or ("text",)
    if writes(gold) != writes(answer):
        found.add("write")
    found |= differences(gold, answer)
    return tuple(sorted(found, key=ORDERED.index)) or ("other",)


def is_cypher(text: str) -> bool:
    """True when a text begins as a Cypher query; a sentence may begin with the same word and one capital letter."""
    first = next(iter(tokens(text)), None)
    return first is not None and first.is_word(*CLAUSES) and (first.text.isupper() or first.text.islower())


@dataclass(frozen=True)
class Failure:
    """An item that is not right, and what is wrong with it; `lucky` where only the test suite shows it."""

    score: ItemScore
    kinds: tuple[str, ...]
    lucky: bool = False


@dataclass(frozen=True)
class Analysis:
    """The failures of a set of scores, in its order, and how many items there are."""

    failures: tuple[Failure, ...]
    scores: tuple[ItemScore, ...]

    def counts(self) -> dict[str, int]:
        """How many failures each kind counts for, in the order of KINDS."""
        found = Counter(failure.kinds[0] for failure in self.failures)
        return {name: found[name] for name in KINDS if found[name]}

    def mentions(self) -> dict[str, int]:
        """How many failures show each kind at all."""
        found = Counter(name for failure in self.failures for name in failure.kinds)
        return {name: found[name] for name in KINDS if found[name]}

    def examples(self, each: int = 2) -> dict[str, list[Failure]]:
        """The first `each` failures that each kind counts for; short questions first."""
        ranked = sorted(self.failures, key=lambda f: (len(f.score.question) + len(f.score.gold), f.score.id))
        return {name: [f for f in ranked if f.kinds[0] == name][:each] for name in self.counts()}

    def confusion(self) -> dict[str, dict[str, int]]:
        """What the question needs -> kind of error -> how many; a question counts in the row of each of its needs.

        Each row holds `questions`, `wrong`, then the kinds that occur.
        """
        rows = {name: Counter[str]() for name in NEEDS}
        for score in self.scores:
            for name in needs(score.gold):
                rows[name]["questions"] += 1
        for failure in self.failures:
            for name in needs(failure.score.gold):
                rows[name].update(["wrong", failure.kinds[0]])
        columns = ["questions", "wrong", *self.counts()]
        return {name: {c: row[c] for c in columns} for name, row in rows.items() if row["questions"]}


def analyse(scores: Sequence[ItemScore]) -> Analysis:
    """Name what is wrong with each answer that is not right, or right on one graph only."""
    wrong = [score for score in scores if not score.ex or score.ts is False]
    failures = [Failure(s, kinds(s.gold, s.answer, None if s.ex else s), lucky=s.ex) for s in wrong]
    return Analysis(tuple(failures), tuple(scores))


def needs(gold: str) -> tuple[str, ...]:
    """What a question needs, told from its gold query: some of NEEDS, in their order."""
    if not is_cypher(gold):
        return ("text",)
    read = shape(gold)
    aggregates = [call[0][1] for call in read.aggregates]
    steps = Counter(read.steps)
    operators = {c.operator.removeprefix("NOT ") for c in read.conditions}
    found: dict[str, Any] = {
        "filter": read.conditions,
        "value list or text test": operators & {"IN", "CONTAINS", "STARTS WITH", "ENDS WITH", "=~"},
        "two conditions or more": len(read.conditions) > 1,
        "one hop": len(read.links) == 1,
        "several hops": len(read.links) > 1,
        "path of variable length": any(link.bounds for link in read.links),
        "optional match": steps["OPTIONAL"],
        "sub-query": any(link.role == "exists" for link in read.links),
        "count": "count" in aggregates,
        "other aggregate": any(name != "count" for name in aggregates),
        "group": aggregates and read.grouping,
        "steps (WITH)": steps["WITH"],
        "expression": any(map(_computes, read.columns)),
        "distinct": read.distinct,
        "order": read.order,
        "limit": read.limits,
        "union": steps["UNION"],
        "write": writes(gold),
    }
    return tuple(name for name in NEEDS if found.get(name))


def _computes(column: Expression) -> bool:
    """True when a column is computed, by more than an aggregate of a property or of all rows."""
    signs = [text for place, (_, text) in enumerate(column) if text in "+-*/%" and column[place - 1][1] != "("]
    return bool(signs) or any(kind == "function" or text == "CASE" for kind, text in column)
