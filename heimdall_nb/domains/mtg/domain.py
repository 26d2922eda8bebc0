"""The domain `mtg`: questions to a judge of a trading card game, with answers that the simulator computes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.sizes import context_size
from heimdall_nb.domains.mtg import answer, question, scenes_combat, scenes_complex, scenes_stack, scenes_state, topics
from heimdall_nb.domains.mtg.cards import table
from heimdall_nb.domains.mtg.draw import Draw, Scene
from heimdall_nb.domains.mtg.situation import simulate, stable
from heimdall_nb.domains.protocol import counts, drawn_seed
from heimdall_nb.errors import BadInput

Situation = dict[str, Any]
Maker = Callable[[str], Situation | None]

CHECK = "simulated:"  # what `check` begins with; the situation follows as JSON
ATTEMPTS = 60  # draws for one example before its category counts as used up

BASIC = {
    "stack_interaction": 0.25,
    "keyword_ability": 0.25,
    "card_interaction": 0.20,
    "comprehensive_rules": 0.15,
    "tournament_ruling": 0.15,
}
ADVANCED = {
    "stack_interaction": 0.18,
    "keyword_ability": 0.17,
    "card_interaction": 0.15,
    "comprehensive_rules": 0.10,
    "tournament_ruling": 0.10,
    "complex_scenario": 0.30,
}
INSTRUCTIONS = {
    "stack_interaction": "Resolve this MTG stack interaction",
    "keyword_ability": "Decide this MTG combat with its keyword abilities",
    "card_interaction": "Resolve this MTG card interaction",
    "comprehensive_rules": "Answer this question about the MTG rules",
    "tournament_ruling": "Give the MTG tournament ruling",
    "complex_scenario": "Work out this complex MTG scenario",
}
SCENES: dict[str, tuple[Scene, ...]] = {
    "stack_interaction": scenes_stack.SCENES,
    "keyword_ability": scenes_combat.SCENES,
    "card_interaction": scenes_state.SCENES,
    "complex_scenario": scenes_complex.SCENES,
}
AREAS = {"comprehensive_rules": "rules", "tournament_ruling": "tournament"}


@dataclass(frozen=True)
class Mtg:
    """Questions to a judge; `advanced` adds layers, replacement effects, copies, control and APNAP order."""

    advanced: bool = False

    name = "mtg"
    title = "questions to a judge of Magic: The Gathering, answered by a rules simulator"
    metric = "simulator agrees"

    @property
    def shares(self) -> Mapping[str, float]:
        """The share of each category."""
        return ADVANCED if self.advanced else BASIC

    def examples(self, number: int, seed: int) -> Iterator[Example]:
        """`number` examples in the exact shares, no question and no situation twice, mixed by the seed.

        Raises BadInput where a category has no more different situations.
        """
        plan = [category for category, size in counts(number, self.shares).items() for _ in range(size)]
        random.Random(drawn_seed("mtg", seed, number, self.advanced)).shuffle(plan)
        seen, done = set[str](), dict.fromkeys(self.shares, 0)
        for category in plan:
            example = self._new(category, done[category], seed, seen)
            if example is None:
                what = f"there are only {done[category]} different examples of {category} for this seed"
                raise BadInput(what, "--examples", f"Ask for at most {int(done[category] / self.shares[category])}.")
            done[category] += 1
            yield example

    def _new(self, category: str, index: int, seed: int, seen: set[str]) -> Example | None:
        """The next example of a category that repeats none; scenes take turns, and a used-up one is passed over."""
        makers = _makers(category)
        for attempt in range(ATTEMPTS):
            name, make = makers[(index + attempt // 8) % len(makers)]
            key = drawn_seed("mtg", seed, category, index, attempt, self.advanced)
            situation = make(f"{name} {key}")
            if situation is None:
                continue
            situation |= {"scene": name, "category": category, "wording": key % 10**9}
            example = _example(situation)
            marks = {_fingerprint(situation), normalise(example.input)}
            if not marks & seen:
                seen |= marks
                return example
        return None

    def faults(self, example: Example) -> list[str]:
        """What is wrong with an example: its situation, kept in `check`, is simulated and worded again."""
        try:
            situation = json.loads(example.check.removeprefix(CHECK))
            true = _example(situation)
        except (ValueError, KeyError, TypeError, IndexError, StopIteration, AttributeError) as problem:
            return [f"check: holds no situation that can be simulated ({type(problem).__name__}: {problem})"]
        found = []
        if answer.read(example.output) != answer.read(true.output):
            found.append(f"output: the outcome is not {true.answer!r}, which the simulator finds")
        elif example.output != true.output:
            found.append("output: the steps or rule numbers are not those of the simulation")
        if example.input != true.input:
            found.append("input: is not the question of the situation in check")
        for field in ("answer", "category", "instruction", "context_size"):
            if getattr(example, field) != getattr(true, field):
                found.append(f"{field}: is not {getattr(true, field)!r}")
        return found

    def score(self, example: Example, answer_text: str) -> float:
        """1 where the outcome that the answer states is the simulator's, subject by subject, and 0 otherwise."""
        stated = answer.read(answer_text)
        wanted = answer.read(f"Outcome: {example.answer}" if example.answer else example.output)
        return float(bool(stated) and stated == wanted)


def _makers(category: str) -> list[tuple[str, Maker]]:
    """The scenes or topics of a category by name."""
    if category in AREAS:
        area = AREAS[category]
        return [(topic, lambda seed, topic=topic: topics.pose(area, topic, seed)) for topic in table("topics")[area]]
    return [(scene.__name__, lambda seed, scene=scene: _played(scene, seed)) for scene in SCENES[category]]


def _played(scene: Scene, seed: str) -> Situation | None:
    """A situation of a scene; None where it makes no sense: its start is unstable, or a spell may not be cast."""
    situation = scene(Draw(seed))
    if not stable(situation):
        return None
    outcome = simulate(situation)
    facts = outcome.facts
    situation["ordered"] = any(step == "own_order" for step, _ in outcome.log)
    casts = [action for action in situation["actions"] if action["do"] == "cast"]
    tried = {action.get("as", action["card"]): action.get("tries", False) for action in casts}
    if any((facts.get(spell) == "not cast") != tries for spell, tries in tried.items()):
        return None
    return situation


def _fingerprint(situation: Situation) -> str:
    """What two situations share when they differ in words only, and games in the names of players."""
    kept = {key: value for key, value in situation.items() if key not in ("wording", "players")}
    states = [player["state"] for player in situation.get("players", {}).values()]
    return json.dumps([kept, states], sort_keys=True)


def _example(situation: Situation) -> Example:
    """The example of a situation: question, answer and outcome, all from the simulator and the word lists."""
    category = situation["category"]
    if category in AREAS:
        facts, lines = topics.solve(situation)
        voice, asked = topics.voice_of(situation), topics.ask(situation)
    else:
        outcome, voice = simulate(situation), question.voice_of(situation)
        facts, asked = outcome.facts, question.ask(situation)
        voice = voice.answering()
        lines = answer.explained(outcome.log, voice, situation["wording"])
    output = answer.write(lines, facts, voice)
    return Example(
        instruction=INSTRUCTIONS[category],
        input=asked,
        output=output,
        category=category,
        context_size=context_size(len(asked) + len(output)),
        part="mtg",
        template=situation["scene"],
        style="first person" if "I" in voice.names.values() or "you" in voice.names.values() else "names",
        check=CHECK + json.dumps(situation, ensure_ascii=False, separators=(",", ":")),
        answer=answer.stated(facts, voice),
    ).with_id()
