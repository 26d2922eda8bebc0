"""The test set of text to SQL, and the questions of training and of few-shot prompts that go with it.

Each has templates of its own in data/sql/curated_*.yaml, and no query of one set has the form (`sql_forms.form`) of a
query of another. The two sets that a model learns from are drawn so that their queries have the constructs, kinds and
levels of the test set in the same shares: a model should not fail for what it was never shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from math import prod
from random import Random

import numpy as np

from heimdall_nb.dataset import sql
from heimdall_nb.dataset.example import Example, load, normalise
from heimdall_nb.dataset.sql import Option, Template
from heimdall_nb.dataset.sql_forms import features, form, mix, points
from heimdall_nb.engines.sql import SqlEngine
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.progress import track
from heimdall_nb.run import DATA

FILES = {
    "test": (DATA / "sql" / "curated_test.yaml",),
    "train": (DATA / "sql" / "curated_train.yaml", sql.QUESTIONS),
    "exemplars": (DATA / "sql" / "curated_exemplars.yaml",),
}
COMMITTED = {
    "test": DATA / "benchmark" / "sql.jsonl",
    "exemplars": DATA / "benchmark" / "sql_exemplars.jsonl",
}
VALUES = DATA / "sql" / "curated_values.yaml"
DATABASE_SEED = 7  # of the classicmodels rows on which the committed sets were run
MOST_OF_A_TEMPLATE = 5  # items of the test set
MAX_ROWS = 60  # of a result in the committed sets
SPREAD, USES = 2, 6  # times the even share that a template to learn from may get, and what it may get in any case


def curated(name: str) -> list[Template]:
    """The templates of a set. Raises BadInput for an unknown one."""
    if name not in FILES:
        raise BadInput(f"there is no set {name!r}", "SQL questions", f"Choose one of: {', '.join(FILES)}.")
    return [template for path in FILES[name] for template in sql.templates(path)]


def committed(name: str) -> list[Example]:
    """The committed items of `test` or `exemplars`. Raises BadInput for another set."""
    if name not in COMMITTED:
        raise BadInput(f"{name!r} is not committed", "SQL questions", f"Choose one of: {', '.join(COMMITTED)}.")
    return load(COMMITTED[name])


def values(engine: SqlEngine) -> dict[str, list[Option]]:
    """What the slots of all sets can hold, with the values that the loaded database has."""
    return sql.slot_values(engine) | sql.slot_values(engine, VALUES)


def forms(template: Template, options: Mapping[str, Sequence[Option]]) -> frozenset[str]:
    """The forms of all queries that a template can give: those of all choices that are no mere literals."""
    choices = [_choices(options[name]) for name in template.slots.values()]
    filled = (dict(zip(template.slots, chosen, strict=True)) for chosen in product(*choices))
    return frozenset(form(sql.fill(template.sql, slots, sql=True)) for slots in filled)


def _choices(options: Sequence[Option]) -> Sequence[Option]:
    """The options that make forms of their own: one of all literals, every piece of SQL."""
    return options[:1] if "raw" in options[0].fields else options


def test_set(number: int, seed: int, engine: SqlEngine) -> list[Example]:
    """`number` items of the test templates: each template once, then those with slots again, the hardest first.

    At most MOST_OF_A_TEMPLATE items a template, no query twice. Raises HeimdallError when there are not that many.
    """
    options, rng = values(engine), Random(f"sql test {seed}")
    made: dict[str, Example] = {}
    queries: set[str] = set()
    templates = curated("test")
    again = sorted((t for t in templates if t.slots), key=lambda t: -points(_first(t, options)))
    for turn in range(MOST_OF_A_TEMPLATE):
        for template in again if turn else templates:
            if len(made) == number:
                return list(made.values())
            example = sql.draw(template, options, rng, engine, made, MAX_ROWS)
            if example is not None and normalise(example.output) not in queries:
                queries.add(normalise(example.output))
                made[normalise(example.input)] = example
    if len(made) < number:
        raise HeimdallError(f"The test templates give {len(made)} items, not {number}: ask for fewer.")
    return list(made.values())


def learning_set(name: str, number: int, seed: int, engine: SqlEngine, max_rows: int = MAX_ROWS) -> list[Example]:
    """`number` questions of `train` or `exemplars` with the mix of the committed test set, in a random order.

    To some 600 questions of training, shares differ by two points or less; then templates with few values run out, and
    the difference grows to six points at 2,400. The same database and seed give the same examples. Raises BadInput for
    another set, and HeimdallError when its templates do not give that many.
    """
    if name not in FILES or name == "test":
        raise BadInput(f"{name!r} is no set to learn from", "SQL questions", "Choose train or exemplars.")
    options, rng = values(engine), Random(f"sql {name} {seed}")
    templates = rng.sample(curated(name), len(curated(name)))
    chooser = _Chooser([_first(template, options) for template in templates], _target(), _most(templates, number))
    made: dict[str, Example] = {}
    with_slots = {t.id: prod(len(options[v]) for v in t.slots.values()) * len(t.questions) for t in templates}
    used = dict.fromkeys(with_slots, 0)
    for place in track(chooser.choices(), "SQL questions", total=number):
        template = templates[place]
        found = None
        if used[template.id] < with_slots[template.id]:
            found = sql.draw(template, options, rng, engine, made, max_rows)
        if found is None:
            chooser.close(place)
            continue
        chooser.take(place)
        used[template.id] += 1
        made[normalise(found.input)] = found
        if len(made) == number:
            break
    if len(made) < number:
        raise HeimdallError(f"The templates of {name} give {len(made)} questions, not {number}: ask for fewer.")
    return rng.sample(list(made.values()), number)


def _first(template: Template, options: Mapping[str, Sequence[Option]]) -> str:
    return sql.fill(template.sql, {slot: options[name][0] for slot, name in template.slots.items()}, sql=True)


def _most(templates: Sequence[Template], number: int) -> int:
    return max(USES, SPREAD * number // len(templates))


@lru_cache(maxsize=1)
def _target() -> Mapping[str, float]:
    return mix(example.output for example in committed("test"))


class _Chooser:
    """Chooses templates one after the other so that the shares of their features come near those of a target.

    Each step takes the template that leaves the smallest sum of squared differences; of equal ones, the least used.
    """

    def __init__(self, queries: Sequence[str], target: Mapping[str, float], most: int) -> None:
        names = list(target)
        found = [features(query) for query in queries]
        self.rows = np.array([[name in has for name in names] for has in found], dtype=float)
        self.target = np.array([target[name] for name in names])
        self.counts = np.zeros(len(names))
        self.used = np.zeros(len(queries))
        self.most = most

    def choices(self) -> Iterator[int]:
        """The place of the next template, until none is left; each has to be taken or closed."""
        while (self.used < self.most).any():
            after = (self.counts + self.rows) / (self.used[np.isfinite(self.used)].sum() + 1)
            distance = ((after - self.target) ** 2).sum(axis=1).round(9)
            distance[self.used >= self.most] = np.inf
            yield int(np.lexsort((self.used, distance))[0])

    def take(self, place: int) -> None:
        """Count one more example of a template."""
        self.counts += self.rows[place]
        self.used[place] += 1

    def close(self, place: int) -> None:
        """Choose a template no more."""
        self.used[place] = np.inf


def mixes(sets: Mapping[str, Sequence[Example]]) -> dict[str, dict[str, float]]:
    """For each construct, kind and level, the share of the queries of each set that has it, from 0 to 1."""
    found = {name: mix(example.output for example in examples) for name, examples in sets.items()}
    return {row: {name: found[name][row] for name in sets} for row in next(iter(found.values()))}
