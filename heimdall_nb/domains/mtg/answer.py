"""The answer of a judge: numbered steps with the numbers of the rules, then the outcome in a form that is read back."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping

from heimdall_nb.domains.mtg.cards import table
from heimdall_nb.domains.mtg.situation import Log
from heimdall_nb.domains.mtg.voice import Voice, sentence

_LINE = re.compile(r"^\W*outcome\W*:\s*(.+)$", re.IGNORECASE | re.MULTILINE)


Line = tuple[str, list[str]]  # a sentence of the reason, and the numbers of the rules that decide it


def explained(log: Log, voice: Voice, wording: int) -> list[Line]:
    """The steps of a simulation in words; `wording` draws among the sentences of a step."""
    rng, lines = random.Random(f"answer {wording}"), list[Line]()
    for step, values in log:
        sentences, *rules = table("steps")[step]
        lines.append((voice.fill(rng.choice(sentences), values), [str(rule) for rule in rules]))
    return lines


def write(lines: Iterable[Line], facts: Mapping[str, str], voice: Voice) -> str:
    """The whole answer: numbered steps, outcome, rules. A step that repeats is said once."""
    said = list(dict.fromkeys(f"{sentence(text)} ({', '.join(rules)})." for text, rules in lines))
    cited = sorted({rule for _, rules in lines for rule in rules}, key=order)
    steps = [f"{number}. {line}" for number, line in enumerate(said, 1)]
    return "\n".join([*steps, f"Outcome: {stated(facts, voice)}", f"Rules: {', '.join(cited)}"])


def order(rule: str) -> tuple[int, int, str]:
    """A key that sorts rule numbers as the rules do: 702.9b before 702.19b. Tournament documents come last."""
    found = re.fullmatch(r"(?:(?:MTR|IPG) )?(\d+)\.(\d+)(\w*)", rule)
    if found is None:
        return 10**6, 0, rule
    return int(found[1]) + (10**5 if " " in rule else 0), int(found[2]), found[3]


def stated(facts: Mapping[str, str], voice: Voice) -> str:
    """Facts as one line: `Sablewick Asp: in the graveyard; Nadia: 17 life`. `voice` is that of the answer."""
    named = {voice.people(voice.names.get(subject, subject)): voice.people(value) for subject, value in facts.items()}
    return "; ".join(f"{subject}: {value}" for subject, value in named.items()) + "."


def read(answer: str) -> dict[str, frozenset[str]]:
    """The facts that an answer states in its outcome line, by subject; empty where it has none.

    Case, order, spaces and the full stop do not matter. A subject that is named twice with different values is
    no statement, and the result is empty.
    """
    lines = _LINE.findall(answer)
    if len(lines) != 1:
        return {}
    facts: dict[str, frozenset[str]] = {}
    for part in lines[0].strip().rstrip(".").split(";"):
        subject, colon, value = part.rpartition(":")
        key = " ".join(subject.lower().split())
        parts = frozenset(" ".join(item.lower().split()) for item in value.split(","))
        if not colon or facts.setdefault(key, parts) != parts:
            return {}
    return facts
