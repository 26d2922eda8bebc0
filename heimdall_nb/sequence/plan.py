"""What of a sequence the next prompt shows: turns that fit the room, the oldest dropped first, nothing cut unsaid.

All sizes are numbers of tokens of the model's own tokenizer. A turn that was dropped stays dropped: the prompts then
begin alike, and what they begin with is read once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from heimdall_nb.sequence.settings import Settings

# Where an answer may begin when its start has to go: the first kind of place that leaves the room at least half full.
BOUNDARIES = {"paragraph": r"\n\s*\n", "line": r"\n", "sentence": r"(?<=[.!?…])\s+", "word": r"\s+"}

WORTH_SHOWING = 16  # tokens; of an answer that would keep fewer, nothing is shown

Tokens = Callable[[str], list[int]]


@dataclass
class Turn:
    """A prompt with its answer, as token ids; the text of the answer is what it would be cut by."""

    item: int  # number of the prompt, from 1
    question: list[int]
    answer: list[int]
    text: str

    @property
    def size(self) -> int:
        """Tokens of both."""
        return len(self.question) + len(self.answer)


@dataclass(frozen=True)
class Cut:
    """An answer whose start was left out: of which item, how many tokens, and at what kind of place."""

    item: int
    tokens: int
    place: str


@dataclass(frozen=True)
class Plan:
    """What a prompt shows: `seen` and `dropped` are numbers of earlier prompts, `leaving` the turns that go now."""

    fits: bool
    seen: list[int]
    dropped: list[int]
    leaving: list[Turn]
    cut: Cut | None = None


@dataclass
class History:
    """The turns so far. `head` is the system message; `tail` is what ends an answer; `summary` is of dropped turns."""

    settings: Settings
    head: list[int]
    tail: list[int]
    tokens: Tokens
    reserved: int = 0  # tokens that a summary may take
    turns: list[Turn] = field(default_factory=list)
    first: int = 0  # of the turns that are seen
    summary: list[int] = field(default_factory=list)

    def plan(self, question: Sequence[int]) -> Plan:
        """Make room for a question: drops turns, for good, and shortens the newest answer where it alone is too long.

        A plan that does not `fit` has a question (with the system message) that is longer than the room; it changes
        nothing.
        """
        before = self.first
        fixed = len(self.head) + self.reserved + len(question)
        room = self.settings.budget - fixed
        if room < 0:
            return self._plan(False, [])
        self.first = kept_from([turn.size + len(self.tail) for turn in self.turns], room, self.first, self.settings)
        cut = self._shortened(room) if self.first < len(self.turns) else None
        return self._plan(True, self.turns[before : self.first], cut)

    def _plan(self, fits: bool, leaving: list[Turn], cut: Cut | None = None) -> Plan:
        items = [turn.item for turn in self.turns]
        return Plan(fits, items[self.first :], items[: self.first], leaving, cut)

    def prompt(self, question: Sequence[int]) -> list[int]:
        """The tokens of system message, summary, turns that are seen, and question."""
        return self.shown(self.turns[self.first :], question)

    def shown(self, turns: Sequence[Turn], question: Sequence[int]) -> list[int]:
        """The tokens of system message, summary, these turns, and question."""
        ids = [*self.head, *self.summary]
        for turn in turns:
            ids += [*turn.question, *turn.answer, *self.tail]
        return [*ids, *question]

    def _shortened(self, room: int) -> Cut | None:
        """Leave out the start of the newest answer, for good, where its turn is alone and longer than the room."""
        turn = self.turns[self.first]
        over = turn.size + len(self.tail) - room
        if self.first < len(self.turns) - 1 or over <= 0:
            return None
        before = len(turn.answer)
        if before - over < WORTH_SHOWING:
            self.first += 1
            return None
        place, turn.text, turn.answer = ending(turn.text, turn.answer, before - over, self.tokens)
        return Cut(turn.item, before - len(turn.answer), place)


def kept_from(sizes: Sequence[int], room: int, first: int, settings: Settings) -> int:
    """The first of the turns that are seen, at least `first`: what is seen fits into `room`, where that can be.

    Where turns must go, so many go that the rest fills `trim_to` of the room, but the newest `keep_turns` stay while
    they fit. The newest one stays even where it alone is longer than the room, if its question leaves any for it.
    """
    count = len(sizes)
    if settings.window:
        first = max(first, count - settings.window)
    total = sum(sizes[first:])
    if total <= room:
        return first
    goal = room * settings.trim_to
    while first < count and (total > room or (total > goal and count - first > settings.keep_turns)):
        if first == count - 1 and room > 0:
            break  # alone, and too long: its start is left out
        total -= sizes[first]
        first += 1
    return first


def ending(text: str, ids: list[int], room: int, tokens: Tokens) -> tuple[str, str, list[int]]:
    """(kind of place, text, token ids) of the end of an answer that fits into `room` tokens.

    It begins at a natural boundary; where there is none, at a token.
    """
    for kind, pattern in BOUNDARIES.items():
        places = [match.end() for match in re.finditer(pattern, text) if 0 < match.end() < len(text)]
        low, high = 0, len(places)
        while low < high:  # the first place from which the rest fits
            middle = (low + high) // 2
            if len(tokens(text[places[middle] :])) <= room:
                high = middle
            else:
                low = middle + 1
        if low < len(places):
            rest = tokens(text[places[low] :])
            if len(rest) * 2 >= room:
                return kind, text[places[low] :], rest
    kept = ids[max(0, len(ids) - room) :]
    return "token", text, kept
