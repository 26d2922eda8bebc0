"""The domain `mtg`: shares, determinism, the check that simulates again, the score, and what its data must hold."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from heimdall_nb.dataset.example import faults as form_faults
from heimdall_nb.dataset.example import normalise
from heimdall_nb.domains import domain
from heimdall_nb.domains.mtg import answer, calculations, tournament
from heimdall_nb.domains.mtg import domain as module
from heimdall_nb.domains.mtg.cards import FOLDER, cards, describe, table
from heimdall_nb.domains.mtg.draw import RESOLVE, Draw, cast, on
from heimdall_nb.domains.mtg.situation import simulate, stable
from heimdall_nb.domains.mtg.topics import SOLVERS
from heimdall_nb.domains.mtg.voice import Voice
from heimdall_nb.domains.protocol import counts
from heimdall_nb.errors import BadInput

SEED = 11


@pytest.fixture(scope="module", params=[False, True], ids=["basic", "advanced"])
def made(request):
    mtg = domain("mtg", advanced=request.param)
    return mtg, list(mtg.examples(160, SEED))


def test_the_shares_are_exact_and_nothing_repeats(made):
    mtg, examples = made
    assert sum(mtg.shares.values()) == pytest.approx(1)
    assert Counter(example.category for example in examples) == counts(160, mtg.shares)
    assert len({normalise(example.input) for example in examples}) == 160
    assert len({example.id for example in examples}) == 160


def test_every_example_is_well_formed_and_true(made):
    mtg, examples = made
    for example in examples:
        assert form_faults(json.loads(example.to_json())) == []
        assert mtg.faults(example) == []
        assert mtg.score(example, example.output) == 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(made):
    mtg, examples = made
    first = [example.to_json() for example in mtg.examples(25, 3)]
    assert first == [example.to_json() for example in mtg.examples(25, 3)]
    assert not set(first) & {example.to_json() for example in mtg.examples(25, 4)}


def test_only_the_advanced_domain_has_complex_scenarios():
    assert "complex_scenario" in domain("mtg", advanced=True).shares
    assert "complex_scenario" not in domain("mtg").shares


def test_questions_say_what_their_situation_holds(made):
    """Read without the code that words them: each card with its text, each life total, each number of a topic."""
    for example in made[1]:
        situation = json.loads(example.check.removeprefix("simulated:"))
        if "area" in situation:
            continue
        named = [entry["card"] for entry in situation["permanents"]] + [
            action["card"] for action in situation["actions"] if "card" in action
        ]
        for name in named:
            assert name in example.input and describe(cards()[name]) in example.input
        for player in situation["players"].values():
            assert re.search(rf"\b{player['state']['life']}\b", example.input)


def test_answers_state_an_outcome_and_cite_rules(made):
    for example in made[1]:
        *steps, outcome, rules = example.output.split("\n")
        assert outcome.startswith("Outcome: ") and rules.startswith("Rules: ")
        cited = set(rules.removeprefix("Rules: ").split(", "))
        in_steps = {rule for step in steps for rule in re.search(r"\(([^()]*)\)\.$", step)[1].split(", ")}
        assert cited == in_steps
        assert all(re.fullmatch(r"\d{3}\.\d+[a-z]?|(MTR|IPG) .+", rule) for rule in cited)


def test_a_changed_example_has_faults(made):
    mtg, examples = made
    game = next(example for example in examples if " life" in example.output and "players" in example.check)
    number = re.search(r"(\d+) life", game.answer)[1]
    untrue = game.output.replace(f"{number} life", "77 life")
    assert any("output: the outcome" in fault for fault in mtg.faults(replace(game, output=untrue)))
    more = replace(game, input=game.input + " Also, I draw a card.")
    assert any("input: is not the question" in fault for fault in mtg.faults(more))
    cited = replace(game, output=game.output + ", 999.1")
    assert any("output: the steps or rule numbers" in fault for fault in mtg.faults(cited))
    assert any("category: is not" in fault for fault in mtg.faults(replace(game, category="tournament_ruling")))
    assert any("check: holds no situation" in fault for fault in mtg.faults(replace(game, check="executed")))
    other = game.check.replace('"life":', '"life":9')
    assert mtg.faults(replace(game, check=other))


def test_the_score_reads_the_outcome_and_nothing_else(made):
    mtg, examples = made
    example = next(item for item in examples if item.answer.count(";") > 1)
    facts = example.answer.rstrip(".").split("; ")
    assert mtg.score(example, f"I think so.\noutcome:  {'; '.join(reversed(facts)).upper()}") == 1
    assert mtg.score(example, f"Outcome: {'; '.join(facts[1:])}") == 0
    assert mtg.score(example, f"Outcome: {'; '.join([*facts, facts[0] + ', tapped'])}") == 0
    assert mtg.score(example, f"Outcome: {example.answer}\nOutcome: {example.answer}") == 0
    assert mtg.score(example, "It depends.") == mtg.score(example, "") == 0


def test_no_constant_answer_is_worth_much(made):
    """The floor: what the most frequent outcome would score."""
    mtg, examples = made
    common, _ = Counter(example.answer for example in examples).most_common(1)[0]
    assert sum(mtg.score(example, f"Outcome: {common}") for example in examples) / len(examples) < 0.1


def test_a_used_up_category_says_how_many_there_are(monkeypatch):
    def alone(d: Draw):
        scene = d.scene(
            [on("A", "Quorvath Tusker")], [cast("A", "Cinderquill Lash", "B")], A={"life": 9}, B={"life": 9}
        )
        return scene

    monkeypatch.setitem(module.SCENES, "stack_interaction", (alone,))
    with pytest.raises(BadInput, match="only 1 different examples of stack_interaction"):
        list(domain("mtg").examples(40, 1))


@pytest.mark.parametrize("category", module.SCENES)
def test_every_scene_makes_playable_situations(category):
    for scene in module.SCENES[category]:
        played = [module._played(scene, f"{scene.__name__} {number}") for number in range(12)]
        assert any(played), scene.__name__


def test_an_unstable_position_is_no_start():
    state = {key: {"name": key, "state": {"life": 20}} for key in "AB"}
    board = [on("A", "Ysolt Lanternhand"), on("B", "Pall of Lesser Days")]
    situation = {"players": state, "permanents": board, "actions": [RESOLVE]}
    assert not stable(situation)
    assert stable(situation | {"permanents": [on("A", "Quorvath Tusker")]})


def test_unknown_cards_and_actions_are_errors():
    state = {key: {"name": key, "state": {"life": 20}} for key in "AB"}
    with pytest.raises(KeyError):
        simulate({"players": state, "permanents": [on("A", "No Such Card")], "actions": []})
    with pytest.raises(KeyError):
        simulate({"players": state, "permanents": [], "actions": [{"do": "dance"}]})


def test_card_texts_say_the_numbers_that_the_simulator_uses():
    words = {"one": 1, "two": 2, "twice": 2, "double": 2}
    for card in cards().values():
        text = " ".join(str(words.get(word, word)) for word in re.findall(r"[\w']+", card.text))
        for part in (*card.ops, *card.replaces, *(op for trigger in card.triggers for op in trigger["ops"])):
            if "amount" in part:
                assert str(part["amount"]) in text.split(), card.name
        changes = [op["change"] for op in card.ops if "change" in op] + [static["change"] for static in card.statics]
        for change in changes:
            for power, toughness in (change[layer] for layer in ("7b", "7c") if layer in change):
                signed = f"{power:+d}/{toughness:+d}".replace("+0/-", "-0/-")
                assert signed in card.text or f"{power}/{toughness}" in card.text, card.name


def test_every_step_and_topic_has_rules_and_words():
    for step, (sentences, *rules) in table("steps").items():
        assert sentences and rules, step
    for area, solver in SOLVERS.items():
        drawn = {name.removeprefix("draw_") for name in vars(solver) if name.startswith("draw_")}
        assert drawn == set(table("topics")[area])
        assert all(topic["asks"] and topic["outcome"] for topic in table("topics")[area].values())
    assert calculations.cost(0, "") == "{0}" and tournament.LEVELS


def test_rule_numbers_that_yaml_would_shorten_are_quoted():
    """`707.10` without quotes is the number 707.1."""
    for name in ("steps", "topics"):
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        assert not re.findall(r'(?<!["\d.])\d{3}\.\d*0(?![\w"])', text)


def test_all_sections_of_the_rules_are_asked_about():
    found = {
        str(rule)[0] for topic in table("topics")["rules"].values() for _, *rules in topic["steps"] for rule in rules
    }
    assert set("123456789") <= found


def test_voices_agree_with_their_verbs():
    voice = Voice({"A": "I", "B": "my opponent"})
    text = "{A:is} here, {B:has} {A's} card and {B's} own; {B:gives} it to {A!}"
    assert (
        voice.fill(text, {}) == "I am here, my opponent has my card and my opponent's own; my opponent gives it to me"
    )
    assert voice.answering().fill("{A:loses}, {B:loses}", {}) == "you lose, your opponent loses"
    assert voice.people("{W}{A!}{2}") == "{W}me{2}"
    with pytest.raises(KeyError):
        voice.fill("{missing}", {})


def test_rules_are_sorted_as_in_the_rules():
    rules = ["702.19b", "MTR 2.4", "702.9b", "104.3b", "IPG 3.1", "704.5g", "MTR Appendix C"]
    assert sorted(rules, key=answer.order)[:4] == ["104.3b", "702.9b", "702.19b", "704.5g"]
