"""The invented cards of data/mtg/cards.yaml, and how a question describes one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.domains.mtg.model import Card
from heimdall_nb.run import DATA

FOLDER = DATA / "mtg"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast, where it is built


@lru_cache(maxsize=8)
def table(name: str) -> Any:
    """The content of data/mtg/`name`.yaml."""
    return yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=_LOADER)


@lru_cache(maxsize=1)
def cards() -> dict[str, Card]:
    """All cards by name."""
    content, found = table("cards"), list[Card]()
    for group, types in (("creatures", ("creature",)), ("legends", ("legendary", "creature"))):
        for name, (size, colour, *keywords) in content[group].items():
            found.append(_creature(name, types, size, {"colour": colour, "keywords": keywords}))
    for name, values in content["special"].items():
        found.append(_creature(name, ("creature",), values["size"], values))
    found += [_card(name, (values["type"],), values) for name, values in content["spells"].items()]
    found += [_card(name, tuple(values["types"]), values) for name, values in content["others"].items()]
    return {card.name: card for card in found}


def _creature(name: str, types: tuple[str, ...], size: str, values: Mapping[str, Any]) -> Card:
    power, toughness = map(int, size.split("/"))
    return _card(name, types, values, power=power, toughness=toughness)


def _card(name: str, types: tuple[str, ...], values: Mapping[str, Any], **more: int) -> Card:
    lists = {key: tuple(values.get(key, ())) for key in ("keywords", "ops", "statics", "triggers", "replaces")}
    plain = {key: values[key] for key in ("colour", "targets", "text", "loyalty") if key in values}
    return Card(name, types, **lists, **plain, **more)


def describe(card: Card) -> str:
    """What a judge needs to know of a card: `3/3 red, first strike`, or `red instant: deals 3 damage …`."""
    if "creature" in card.types:
        legendary = "legendary " if "legendary" in card.types else ""
        parts = [f"{card.power}/{card.toughness} {legendary}{card.colour}", *card.keywords]
        return ", ".join(parts) + (f"; {card.text}" if card.text else "")
    return f"{card.colour} {card.types[0]}: {card.text}"


def number_of_targets(name: str) -> int:
    """How many targets a spell has."""
    values = table("cards")["spells"].get(name, {})
    return values.get("number", 1 if cards()[name].targets else 0)
