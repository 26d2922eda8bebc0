"""Questions in seven styles: a template's wordings, short or wordy, friendly or indirect, or with typing errors.

Every text is made with marks around the words of slots, so that the typing errors can leave literals and names alone.
"""

from __future__ import annotations

import random
import re

from heimdall_nb.dataset.slots import Binding, Slot
from heimdall_nb.dataset.templates import Template
from heimdall_nb.engines.cypher_tokens import tokens

STYLES = ("order", "question", "keywords", "verbose", "colloquial", "typos")
BENCHMARK_STYLES = ("indirect",)  # kept for data/benchmark: never generated into training

# Style -> frame of the template -> what stands around one of its phrases.
_FRAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "order": {
        "show": ("Show {}.", "Return {}.", "Give {}.", "Find {}."),
        "do": ("{}.",),
        "explain": ("Explain {}.", "Tell me {}.", "Describe {}.", "Say {}."),
    },
    "colloquial": {
        "show": (
            "I need {}.",
            "Can you get me {}?",
            "I would like to know {}.",
            "Please tell me {}.",
            "Could you look up {}?",
            "Hey, can you pull up {} for me?",
            "Quick one: what I need is {}.",
            "Just {}, please.",
            "Got a minute? I am after {}.",
        ),
        "do": (
            "Please {}.",
            "I need you to {}.",
            "I would like you to {}.",
            "Hey, can you {}?",
            "Quick favour: {}, please.",
            "Could you just {}?",
        ),
        "explain": (
            "Can you tell me {}?",
            "I would like to know {}.",
            "Hey, do you know {}?",
            "Quick one: tell me {}.",
            "Please tell me {}.",
        ),
    },
    "verbose": {
        "show": (
            "could you please show me {}?",
            "I would be grateful if you could give me {}.",
            "what I am looking for is {}.",
            "would you be so kind as to look up {}?",
            "I would like to ask you for {}.",
        ),
        "do": (
            "could you please {}?",
            "I would be grateful if you could {}.",
            "would you be so kind as to {}?",
            "I would like to ask you to {}.",
        ),
        "explain": (
            "could you please explain to me {}?",
            "I would be grateful if you could tell me {}.",
            "would you be so kind as to tell me {}?",
            "what I would like to understand is {}.",
        ),
    },
    "indirect": {
        "show": (
            "My report still lacks {}.",
            "Someone asked me for {}.",
            "The only thing missing from my slides is {}.",
            "A colleague is waiting for {}.",
            "I cannot finish my summary without {}.",
        ),
        "do": (
            "It is time to {}.",
            "The next item on my list is to {}.",
            "Someone asked me to {}.",
            "We agreed to {}.",
        ),
        "explain": (
            "My notes do not say {}.",
            "Someone asked me to explain {}.",
            "A colleague wants to know {}.",
            "Our handbook should tell new people {}.",
        ),
    },
}
_LISTS = ("List {}.",)  # an order only for what can be several rows
_ONE_VALUE = ("aggregation", "enumeration")  # families with answers that are no list
_ONE_NUMBER = ("the number", "the {fn}", "the average", "two numbers", "three numbers")

# Before and after the request of the verbose style. They tell nothing that changes the answer.
_OPENINGS = (
    "Hello,",
    "Good morning,",
    "Hello, I hope you are well;",
    "I am new to this and not sure where to look, so",
    "I am getting ready for a meeting this afternoon, and",
    "I have been working on this for a while, and",
    "We are putting together a short note for the team, and",
    "My manager has just come by with a request, so",
    "Before I go on with my work,",
    "If it is not too much trouble,",
)
_CLOSINGS = (
    "",
    " Thank you in advance.",
    " Many thanks for your help.",
    " Thank you very much.",
    " There is no hurry.",
)
_BARE = ("keywords", "colloquial")  # styles that write text values without quotation marks
_MISTYPED = ("order", "question", "colloquial")  # the styles that typing errors are put into

_OPEN, _CLOSE = "\ue000", "\ue001"  # around the words of a slot
_MARKED = re.compile(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}")
_WORD = re.compile(r"(?<![\w.'`\"/:$@=-])[A-Z]?[a-z]{3,}(?![\w'`\"/:$@=-]|\.\w)")
# Words that carry the meaning of a condition, or that one wrong letter turns into another word.
_TELLING = frozenset(
    "and not nor least most more less than first last same other others both either neither none never without with "
    "from past later after before between above below under over equal only also once twice even odd half where there "
    "their this that then them when into null true false empty".split()
)
_NEIGHBOURS = {
    letter: "".join(row[max(0, place - 1) : place] + row[place + 1 : place + 2])
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for place, letter in enumerate(row)
}


def ask(template: Template, binding: Binding, style: str, rng: random.Random) -> str:
    """One question for a bound template in a style of STYLES or BENCHMARK_STYLES. Raises KeyError for another style."""
    if style != "typos":
        return _plain(_marked(template, binding, style, rng))
    text = _marked(template, binding, _pick(_MISTYPED, rng), rng)
    return _plain(_mistype(text, _protected(template, binding), rng))


def _marked(template: Template, binding: Binding, style: str, rng: random.Random) -> str:
    """A question with marks around the words of slots."""
    words = _Words(binding, style, rng)
    if style == "keywords":
        return _pick(template.keywords, rng).format_map(words)
    if style == "question":
        return _capital(_pick(template.questions, rng).format_map(words))
    if style == "verbose" and rng.random() < 0.25:
        text = _capital(_pick(template.questions, rng).format_map(words))
        opening = _pick(_OPENINGS[:2], rng)[:-1]
        return f"{opening}. {text}{_pick(_CLOSINGS, rng)}"
    frames, phrase = _FRAMES[style][template.frame], _pick(template.phrases, rng)
    one_value = template.family in _ONE_VALUE or phrase.startswith(_ONE_NUMBER)
    if style == "order" and template.frame == "show" and not one_value:
        frames = _LISTS + frames
    text = _pick(frames, rng).format(phrase.format_map(words))
    if style == "verbose":
        text = f"{_pick(_OPENINGS, rng)} {text}{_pick(_CLOSINGS, rng)}"
    return _capital(text)


def _pick(options: tuple[str, ...], rng: random.Random) -> str:
    return options[int(rng.random() * len(options))]


def _plain(text: str) -> str:
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def _capital(text: str) -> str:
    place = 1 if text[0] == _OPEN else 0
    return text[:place] + text[place].upper() + text[place + 1 :]


def _protected(template: Template, binding: Binding) -> frozenset[str]:
    """Words that no typing error may touch, in lower case: those of the slots and of the answer's literals.

    Of an answer that is no plain Cypher query every word is one: it may name a setting or a procedure.
    """
    answer = template.render(binding)
    texts = [words for slot in binding.values() for words in (*slot.words, slot.bare)]
    cypher = template.part == "cypher"
    texts += [token.text for token in tokens(answer) if token.kind in ("string", "quoted")] if cypher else [answer]
    return frozenset(word for text in texts for word in re.findall(r"[a-z]+", text.lower()))


def _mistype(text: str, protected: frozenset[str], rng: random.Random) -> str:
    """`text` with one to three typing errors, each in another ordinary word outside the marks."""
    hidden = [match.span() for match in _MARKED.finditer(text)]
    places = [
        match.span()
        for match in _WORD.finditer(text)
        if not any(start <= match.start() < end for start, end in hidden)
        and match.group().lower() not in protected
        and (match.start() == 0 or match.group().islower())  # a capital within a sentence is a name
    ]
    ordinary = [span for span in places if text[slice(*span)].lower() not in _TELLING] or places
    if not ordinary:  # every word counts: a stray letter after the last one
        return f"{text} {rng.choice('xckm')}"
    for start, end in sorted(rng.sample(ordinary, min(len(ordinary), rng.randint(1, 3))), reverse=True):
        text = text[:start] + _mistyped(text[start:end], rng) + text[end:]
    return text


def _mistyped(word: str, rng: random.Random) -> str:
    """`word` with two letters swapped, one missing, one doubled, or one from the next key; its first letter stays."""
    place = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0 and word[place] != word[place + 1]:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == 1:
        return word[:place] + word[place + 1 :]
    if kind == 2:
        return word[: place + 1] + word[place:]
    return word[:place] + rng.choice(_NEIGHBOURS[word[place]]) + word[place + 1 :]


class _Words(dict):
    """The words of each slot between marks, looked up when a wording names it."""

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
        self[name] = f"{_OPEN}{words}{_CLOSE}"  # a slot named twice reads the same both times
        return self[name]
