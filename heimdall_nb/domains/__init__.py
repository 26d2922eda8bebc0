"""Domains of examples behind one seam (protocol.py): `domain(name)` opens one. DOMAINS.md says how to write another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from heimdall_nb.dataset.example import OWN_PARTS, Example
from heimdall_nb.domains.protocol import Domain
from heimdall_nb.errors import BadInput

DOMAINS: dict[str, str] = {
    "cypher": "heimdall_nb.domains.cypher:Cypher",
    "coding": "heimdall_nb.domains.coding:Coding",
    "mtg": "heimdall_nb.domains.mtg:Mtg",
    "repository": "heimdall_nb.domains.repository:Repository",
}


def known() -> dict[str, str]:
    """The domains of this package, and those of installed packages: entry points of group `heimdall.domains`."""
    return _installed() | DOMAINS


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group="heimdall.domains")}


def is_other(example: Example) -> bool:
    """Whether an example is of a domain beside the course's own parts, so that its domain checks and scores it."""
    return example.part not in OWN_PARTS and example.part in known()


def faults_of(examples: Sequence[Example], opened: Mapping[str, Domain] | None = None) -> list[list[str]]:
    """What is wrong with each example, by the domain that its part names; a domain with `many_faults` gets its own
    examples together. `opened` has domains with options, by name; others are opened without."""
    return _by_part("many_faults", "faults", examples, [() for _ in examples], opened or {})


def unchecked(parts: Iterable[str], opened: Mapping[str, Domain] | None = None) -> list[str]:
    """What the checks of these domains cannot see as they are opened, a sentence each; see `faults_of`."""
    others = sorted(part for part in parts if part not in OWN_PARTS and part in known())
    told = {part: getattr((opened or {}).get(part) or domain(part), "unchecked", "") for part in others}
    return [f"{part}: {text}" for part, text in told.items() if text]


def scores_of(examples: Sequence[Example], answers: Sequence[str]) -> list[float]:
    """The score of each answer, as `faults_of`: a domain with `many_scores` gets its own examples together."""
    return _by_part("many_scores", "score", examples, [(answer,) for answer in answers], {})


def _by_part(
    many: str,
    one: str,
    examples: Sequence[Example],
    more: Sequence[tuple[str, ...]],
    opened: Mapping[str, Domain],
) -> list[Any]:
    found: dict[int, Any] = {}
    for part in sorted({example.part for example in examples}):
        places = [k for k, example in enumerate(examples) if example.part == part]
        asked = opened.get(part) or domain(part)
        columns = list(zip(*((examples[k], *more[k]) for k in places), strict=True))
        together = getattr(asked, many, None)
        results = together(*columns) if together else map(getattr(asked, one), *columns)
        found |= dict(zip(places, results, strict=True))
    return [found[k] for k in range(len(examples))]


def domain(name: str, **options: Any) -> Domain:
    """The domain of that name; `options` are the fields of its class (`language`, `repo`, …), None for its default.

    Raises BadInput for an unknown name, and for an option that the domain does not have.
    """
    names = known()
    if name not in names:
        raise BadInput(f"there is no domain {name!r}", "--domain", f"Choose one of: {', '.join(names)}.")
    module, _, kind = names[name].partition(":")
    made = getattr(import_module(module), kind)
    given = {option: value for option, value in options.items() if value is not None}
    options_of = [field.name for field in fields(made)]
    for option in given:
        if option not in options_of:
            has = f"It has: {', '.join(options_of)}." if options_of else "It has no options."
            raise BadInput(f"domain {name} has no option {option!r}", "--domain", has)
    return made(**given)
