"""Questions in four styles: a template's wordings, framed as order, question, keywords or everyday request."""

from __future__ import annotations

import random

from heimdall_nb.dataset.slots import Binding, Slot
from heimdall_nb.dataset.templates import Template

STYLES = ("order", "question", "keywords", "colloquial")

_ORDERS = ("Show {}.", "Return {}.", "Give {}.", "Find {}.")
_REQUESTS = (
    "I need {}.",
    "Can you get me {}?",
    "I would like to know {}.",
    "Please tell me {}.",
    "Could you look up {}?",
)
_WRITE_REQUESTS = ("Please {}.", "I need you to {}.", "I would like you to {}.")
_BARE = ("keywords", "colloquial")  # styles that write text values without quotation marks


def ask(template: Template, binding: Binding, style: str, rng: random.Random) -> str:
    """One question for a bound template in a style of STYLES. Raises KeyError for another style."""
    wordings = {"order": template.phrases, "colloquial": template.phrases, "question": template.questions}
    wording = _pick((wordings | {"keywords": template.keywords})[style], rng)
    text = wording.format_map(_Words(binding, style, rng))
    if style == "order":
        text = f"{text}." if template.writes else _pick(_orders(template), rng).format(text)
    elif style == "colloquial":
        text = _pick(_WRITE_REQUESTS if template.writes else _REQUESTS, rng).format(text)
    return text if style == "keywords" else text[0].upper() + text[1:]


def _orders(template: Template) -> tuple[str, ...]:
    return _ORDERS if template.family == "aggregation" else ("List {}.", *_ORDERS)


def _pick(options: tuple[str, ...], rng: random.Random) -> str:
    return options[int(rng.random() * len(options))]


class _Words(dict):
    """The words of each slot, looked up when a wording names it."""

    def __init__(self, binding: Binding, style: str, rng: random.Random) -> None:
        self.binding, self.style, self.rng = binding, style, rng

    def __missing__(self, name: str) -> str:
        slot: Slot = self.binding[name]
        if self.style == "keywords" and slot.symbol:
            words = slot.symbol
        elif self.style in _BARE and slot.bare:
            words = slot.bare
        else:
            words = _pick(slot.words, self.rng)
        self[name] = words  # a slot named twice reads the same both times
        return words
