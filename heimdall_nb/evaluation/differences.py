"""How two Cypher queries differ, named: another label, a hop that leads the other way, a condition that is missing.

The two trees are compared as shapes (`evaluation.shape`), under the naming of the answer's nodes that leaves the fewest
differences: `a` of the answer may be `b` of the gold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice, permutations, product

from heimdall_nb.evaluation.shape import Condition, Link, Shape, shape
from heimdall_nb.evaluation.terms import COMPARES, Expression

# Kind of error -> what it says of the answer, in the order in which they count.
KINDS = {
    "no answer": "the model said nothing",
    "truncated": "the answer does not end within its tokens",
    "write": "it writes where the question asks to read, or reads where it asks to write",
    "syntax": "the engine cannot parse it",
    "invented name": "a label, type, property, function or procedure that does not exist",
    "time or rows": "it takes too long, or gives too many rows",
    "engine": "the engine cannot run it",
    "wrong label": "a node has another label",
    "direction": "a hop leads the other way",
    "wrong relationship type": "a hop has another type",
    "missing hop": "a hop or a node of the pattern is missing",
    "extra hop": "a hop or a node too many",
    "path length": "a path has other bounds",
    "optional": "OPTIONAL MATCH for MATCH, or the other way round",
    "wrong property": "another property of the same node or relationship",
    "missing condition": "it leaves out a condition",
    "extra condition": "a condition that the question does not have",
    "wrong comparison": "the right condition with another operator",
    "wrong value": "the right condition with another value",
    "wrong logic": "AND, OR or NOT joins the conditions in another way",
    "aggregation": "another aggregate function, or none",
    "grouping": "groups by something else",
    "missing DISTINCT": "what is the same is counted or listed again",
    "extra DISTINCT": "what is the same is counted or listed once",
    "expression": "computes something else",
    "change": "changes something else in the graph",
    "missing column": "a column is missing",
    "extra column": "a column too many",
    "wrong column": "another column",
    "order": "sorts in another way, or not at all",
    "limit": "another LIMIT or SKIP",
    "column order": "the columns in another order",
    "text": "a text that the facts do not bear out",
    "other": "none of these",
}
ORDERED = tuple(KINDS)
MOST_NAMINGS = 120


@lru_cache(maxsize=20_000)
def differences(gold: str, answer: str) -> frozenset[str]:
    """The kinds of difference between two queries, under the naming of nodes that leaves the fewest."""
    first, second = shape(gold), shape(answer)
    namings = islice(_namings(first.nodes, second.nodes), MOST_NAMINGS)
    return frozenset(min((_compared(first, _renamed(second, first, naming)) for naming in namings), key=_weight))


def _weight(found: set[str]) -> tuple[int, int]:
    return len(found), sum(map(ORDERED.index, found))


# Which node of the answer is which of the gold


def _namings(gold: Sequence[tuple[str, ...]], answer: Sequence[tuple[str, ...]]) -> Iterator[dict[int, int]]:
    """Ways to see the answer's nodes as the gold's: like labels with like, then what is left in its order."""
    labels = sorted(set(answer) & set(gold))
    groups = [([k for k, x in enumerate(answer) if x == y], [k for k, x in enumerate(gold) if x == y]) for y in labels]
    for chosen in product(*(list(_pairings(left, right)) for left, right in groups)):
        naming = {a: g for pairs in chosen for a, g in pairs}
        free = [k for k in range(len(gold)) if k not in naming.values()]
        left = [k for k in range(len(answer)) if k not in naming]
        for pairs in _pairings(left, free):
            rest = [k for k in left if k not in dict(pairs)]
            yield naming | dict(pairs) | {k: len(gold) + place for place, k in enumerate(rest)}


def _pairings(left: Sequence[int], right: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
    size = min(len(left), len(right))
    seen = set()
    for chosen in islice(permutations(right, size), MOST_NAMINGS):
        for places in [left[:size]] if len(left) <= size else permutations(left, size):
            pairs = sorted(zip(places, chosen, strict=True))
            if tuple(pairs) not in seen:
                seen.add(tuple(pairs))
                yield pairs


def _renamed(answer: Shape, gold: Shape, naming: dict[int, int]) -> Shape:
    """The answer's shape with the gold's numbers of nodes and links."""
    links = [replace(link, start=naming[link.start], end=naming[link.end]) for link in answer.links]
    numbers = _link_numbers(gold.links, links)

    def say(expression: Expression) -> Expression:
        return tuple(
            (kind, str(naming[int(text)]))
            if kind == "node"
            else (kind, str(numbers[int(text)]))
            if kind == "link"
            else (kind, text)
            for kind, text in expression
        )

    def tell(conditions: Sequence[Condition]) -> list[Condition]:
        return [Condition(say(c.subject), c.operator, say(c.value)) for c in conditions]

    nodes: list[tuple[str, ...]] = [()] * (max([*naming.values(), len(gold.nodes) - 1], default=-1) + 1)
    for number, place in naming.items():
        nodes[place] = answer.nodes[number]
    lists = ("aggregates", "grouping", "columns", "order", "limits")
    return replace(
        answer,
        nodes=nodes,
        links=links,
        conditions=tell(answer.conditions),
        changes=tell(answer.changes),
        **{name: [say(e) for e in getattr(answer, name)] for name in lists},
    )


def _link_numbers(gold: Sequence[Link], answer: Sequence[Link]) -> dict[int, int]:
    """The answer's link numbers as the gold's: links between the same nodes first, then what is left in its order."""
    numbers: dict[int, int] = {}
    free = list(gold)
    for same in (_same_link, lambda a, g: {a.start, a.end} == {g.start, g.end}, lambda a, g: True):
        for link in answer:
            partner = next((g for g in free if link.number not in numbers and same(link, g)), None)
            if partner:
                numbers[link.number] = partner.number
                free.remove(partner)
    return {link.number: numbers.get(link.number, len(gold) + k) for k, link in enumerate(answer)}


def _same_link(a: Link, b: Link) -> bool:
    return (a.start, a.end, a.types) == (b.start, b.end, b.types)


# What differs


def _compared(gold: Shape, answer: Shape) -> set[str]:
    found = _nodes(gold, answer) | _links(gold.links, answer.links)
    found |= _conditions(gold.conditions, answer.conditions, "missing condition", "extra condition")
    changed = _conditions(gold.changes, answer.changes, "change", "change")
    found |= {"change" if name in ("wrong comparison", "wrong logic") else name for name in changed}
    same = not found & {"missing condition", "extra condition"}
    if same and _alternatives(gold.logic) != _alternatives(answer.logic):
        found.add("wrong logic")
    found |= _lists(gold.aggregates, answer.aggregates, "aggregation", "aggregation")
    if gold.aggregates and answer.aggregates:
        found |= _lists(gold.grouping, answer.grouping, "grouping", "grouping", "grouping")
    columns = _lists(gold.columns, answer.columns, "missing column", "extra column")
    found |= columns or ({"column order"} if gold.columns != answer.columns else set())
    if gold.distinct != answer.distinct:
        found.add("missing DISTINCT" if gold.distinct > answer.distinct else "extra DISTINCT")
    if gold.order != answer.order and not _follows(gold.order, answer.order, found):
        found.add("order")
    if gold.limits != answer.limits:
        found.add("limit")
    if not found and _sources(gold.steps) != _sources(answer.steps):
        found.add("expression")
    return found


def _sources(steps: Sequence[str]) -> list[str]:
    """The steps that bring rows of their own; WITH may as well be left out."""
    return sorted(step for step in steps if step in ("UNION", "UNWIND") or step.startswith("CALL "))


def _alternatives(logic: Sequence[object]) -> list[str]:
    """How conditions are joined but by AND, which may as well be two WHERE clauses or a map in a node."""
    flat = [x for item in logic for x in (item[1:] if isinstance(item, tuple) and item[0] == "AND" else (item,))]
    return sorted(str(item) for item in flat if item != "?")


def _follows(gold: Sequence[Expression], answer: Sequence[Expression], found: set[str]) -> bool:
    """True when sort keys differ only by what is `found` elsewhere: an alias sorts by what it stands for."""
    if len(gold) != len(answer):
        return False
    return set().union(*(_expressions(a, b, "order") for a, b in zip(gold, answer, strict=True))) <= found


def _nodes(gold: Shape, answer: Shape) -> set[str]:
    found = set()
    used = {number for link in answer.links for number in (link.start, link.end)}
    linked = {number for link in gold.links for number in (link.start, link.end)}
    for number in range(max(len(gold.nodes), len(answer.nodes))):
        there, here = number < len(gold.nodes), number < len(answer.nodes) and answer.nodes[number] != ()
        if there and here and gold.nodes[number] != answer.nodes[number]:
            found.add("wrong label")
        elif there and not here and gold.nodes[number]:
            found.add("wrong label" if number in used else "missing hop" if number not in linked else "")
        elif here and not there and number not in used:
            found.add("extra hop")
    return found - {""}


def _links(gold: Sequence[Link], answer: Sequence[Link]) -> set[str]:
    found: set[str] = set()
    left = list(answer)
    rest = []
    for link in gold:
        partner = next((a for a in left if replace(a, number=0) == replace(link, number=0)), None)
        left.remove(partner) if partner else rest.append(link)
    for link in rest:
        partner = next(iter(sorted(left, key=lambda a: _distance(link, a))), None)
        if partner is None or {partner.start, partner.end} != {link.start, link.end}:
            found.add("missing hop")
            continue
        left.remove(partner)
        if partner.types != link.types:
            found.add("wrong relationship type")
        elif (partner.start, partner.directed) != (link.start, link.directed):
            found.add("direction")
        if partner.bounds != link.bounds:
            found.add("path length")
        if partner.role != link.role:
            found.add("optional" if "optional" in (partner.role, link.role) else "change")
    return found | ({"extra hop"} if left else set())


def _distance(a: Link, b: Link) -> tuple[bool, ...]:
    return {a.start, a.end} != {b.start, b.end}, a.types != b.types, a.start != b.start, a.role != b.role


def _conditions(gold: Sequence[Condition], answer: Sequence[Condition], missing: str, extra: str) -> set[str]:
    """Pair what is left of two lists of conditions, the most alike first, and say how each pair differs."""
    left, right = list((Counter(gold) - Counter(answer)).elements()), list((Counter(answer) - Counter(gold)).elements())
    found: set[str] = set()
    pairs = sorted(product(range(len(left)), range(len(right))), key=lambda p: _unlike(left[p[0]], right[p[1]]))
    for k, j in pairs:
        if left[k] is None or right[j] is None or sum(_unlike(left[k], right[j])) > 2:
            continue
        found |= _condition(left[k], right[j])
        left[k] = right[j] = None  # type: ignore[call-overload]
    found |= {missing} if any(left) else set()
    return found | ({extra} if any(right) else set())


def _unlike(a: Condition | None, b: Condition | None) -> tuple[int, int, int]:
    """How little two conditions have in common: subject (2 where the owner differs too), operator, value."""
    if a is None or b is None:
        return (9, 9, 9)
    subject = 0 if a.subject == b.subject else 1 if a.subject[:1] == b.subject[:1] else 2
    return subject, int(a.operator != b.operator), int(a.value != b.value)


def _condition(gold: Condition, answer: Condition) -> set[str]:
    found = _expressions(gold.subject, answer.subject, "wrong property")
    if gold.operator != answer.operator:
        plain = gold.operator.removeprefix("NOT "), answer.operator.removeprefix("NOT ")
        found.add("wrong logic" if plain[0] == plain[1] and plain[0] != "=" else "wrong comparison")
    return found | _expressions(gold.value, answer.value, "wrong value")


def _lists(
    gold: Sequence[Expression], answer: Sequence[Expression], missing: str, extra: str, other: str = "wrong column"
) -> set[str]:
    """Pair what is left of two lists of expressions, the most alike first, and say how each pair differs."""
    left, right = list((Counter(gold) - Counter(answer)).elements()), list((Counter(answer) - Counter(gold)).elements())
    found: set[str] = set()
    pairs = sorted(product(range(len(left)), range(len(right))), key=lambda p: _far(left[p[0]], right[p[1]]))
    used: tuple[set[int], set[int]] = (set(), set())
    for k, j in pairs:
        if k in used[0] or j in used[1]:
            continue
        found |= _expressions(left[k], right[j], other)
        used[0].add(k)
        used[1].add(j)
    found |= {missing} if len(left) > len(right) else set()
    return found | ({extra} if len(right) > len(left) else set())


def _far(a: Expression, b: Expression) -> tuple[int, int]:
    alike = sum((Counter(a) & Counter(b)).values())
    return max(len(a), len(b)) - alike, abs(len(a) - len(b))


_DISTINCT = ("word", "DISTINCT")
_TERM_KINDS = {"value": "wrong value", "property": "wrong property", "aggregate": "aggregation", "node": "wrong column"}


def _expressions(gold: Expression, answer: Expression, other: str) -> set[str]:
    """How two expressions differ; `other` where they have nothing in common."""
    if gold == answer:
        return set()
    bare = tuple(t for t in gold if t != _DISTINCT), tuple(t for t in answer if t != _DISTINCT)
    counts = gold.count(_DISTINCT), answer.count(_DISTINCT)
    found = set()
    if counts[0] != counts[1] and any(kind == "aggregate" for kind, _ in answer):
        found.add("missing DISTINCT" if counts[0] > counts[1] else "extra DISTINCT")
    if bare[0] == bare[1]:
        return found
    aggregated = [tuple(text for kind, text in terms if kind == "aggregate") for terms in bare]
    if aggregated[0] != aggregated[1]:
        return found | {"aggregation"}
    if len(bare[0]) != len(bare[1]):
        simple = all(len(terms) <= 2 for terms in bare)
        return found | {other if simple else "expression"}
    for (gold_kind, gold_text), (kind, text) in zip(*bare, strict=True):
        if gold_text in COMPARES and text in COMPARES and gold_text != text:
            found.add("wrong comparison")
        elif (gold_kind, gold_text) != (kind, text):
            found.add(_TERM_KINDS.get(gold_kind, "expression") if gold_kind == kind else "expression")
    if "wrong column" in found:  # of another node: its properties are others, too
        found -= {"wrong property"}
        found = (found - {"wrong column"}) | {other if other != "wrong value" else "wrong column"}
    return found
