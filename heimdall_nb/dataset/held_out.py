"""Which templates, graphs and style to hold out, so that tests of what training never saw can be filled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput

HELD_OUT = ("template", "graph", "style")
_LEAST_GRAPHS = 0.1  # of the graphs are held out at least, so that the test does not hang on one

Group = list[Example]
Parts = dict[str, list[Example]]


def choose(
    groups: Sequence[Group], sizes: Mapping[str, int], fits: Callable[[Example], bool], seed: int
) -> tuple[Parts, list[Group]]:
    """Fill `test_template`, `test_graph` and `test_style` with `sizes`; returns them, and the groups that are left.

    As little as possible is held out: values are added one by one until each test can be filled. Examples of the
    groups that are left have no value that is held out. Raises BadInput when a test cannot be filled.
    """
    if not sizes:
        return {}, list(groups)
    examples = [example for group in groups for example in group]
    candidates = {name: _candidates(name, examples, fits, seed) for name in sizes}
    taken = {name: _first_number(name, values, examples) for name, values in candidates.items()}
    while True:
        held = {name: _chosen(name, candidates[name], taken[name]) for name in sizes}
        parts, left = _divide(groups, held, sizes, fits)
        short = next((name for name in sizes if len(parts[f"test_{name}"]) < sizes[name]), None)
        if short is None and left:
            return parts, left
        remedy = "Generate more examples, or ask for smaller tests."
        if short is None:
            raise BadInput("nothing is left beside them", ", ".join(parts), remedy)
        taken[short] += 1
        if taken[short] > len(candidates[short]):
            have = len(parts[f"test_{short}"])
            what = f"only {have} of {sizes[short]} examples can be set apart by holding {short}s out"
            raise BadInput(what, f"test_{short}", remedy)


def _chosen(name: str, values: Sequence[str], number: int) -> frozenset[str]:
    """The values held out: of the styles one, of templates and graphs the first ones."""
    return frozenset(values[number - 1 : number] if name == "style" else values[:number])


def _candidates(name: str, examples: Sequence[Example], fits: Callable[[Example], bool], seed: int) -> list[str]:
    """The values that may be held out, in the order in which they are; what cannot be missed is not among them."""
    rng = random.Random(f"held out {name} {seed}")
    usable = Counter(value for e in examples if fits(e) and (value := getattr(e, name)))
    everything = Counter(value for e in examples if (value := getattr(e, name)))
    if name == "template":
        return _template_order(examples, usable, rng)
    values = rng.sample(sorted(usable), len(usable))
    if name == "style":  # the whole style leaves training, so a small one is tried first
        values.sort(key=everything.__getitem__)
        return values if len(everything) > 1 else []
    return values[: max(0, (len(everything) - 1))] if len(values) == len(everything) else values


def _template_order(examples: Sequence[Example], usable: Counter[str], rng: random.Random) -> list[str]:
    """One template of each family, then a second one …; a family keeps half of its templates, and at least one."""
    families: dict[str, set[str]] = {}
    for example in examples:
        if example.template:
            families.setdefault(example.category, set()).add(example.template)
    orders = []
    for family in sorted(families):
        fitting = sorted(name for name in families[family] if name in usable)
        orders.append(rng.sample(fitting, len(fitting))[: len(families[family]) // 2])
    turns = max(map(len, orders), default=0)
    return list(dict.fromkeys(order[turn] for turn in range(turns) for order in orders if turn < len(order)))


def _first_number(name: str, values: Sequence[str], examples: Sequence[Example]) -> int:
    """How many values are held out at least: a template of each family, a tenth of the graphs, one style."""
    if name == "graph":
        return max(1, round(_LEAST_GRAPHS * len({e.graph for e in examples if e.graph})))
    if name == "template":
        families: set[str] = set()
        category = {e.template: e.category for e in examples}
        for number, value in enumerate(values, start=1):
            if category[value] in families:
                return number - 1
            families.add(category[value])
        return max(1, len(values))
    return 1


def _divide(
    groups: Sequence[Group],
    held: Mapping[str, frozenset[str]],
    sizes: Mapping[str, int],
    fits: Callable[[Example], bool],
) -> tuple[Parts, list[Group]]:
    """Each group goes to one test, with those of its members that have one held-out value and fit; or it stays, with
    those that have none."""
    parts: Parts = {f"test_{name}": [] for name in sizes}
    left: list[Group] = []
    for group in groups:
        kinds = [tuple(name for name in held if getattr(e, name) in held[name]) for e in group]
        for name in sizes:
            members = [e for e, kind in zip(group, kinds, strict=True) if kind == (name,) and fits(e)]
            room = sizes[name] - len(parts[f"test_{name}"])
            if members and room:
                parts[f"test_{name}"] += members[:room]
                break
        else:
            stays = [e for e, kind in zip(group, kinds, strict=True) if not kind]
            left += [stays] if stays else []
    return parts, left
