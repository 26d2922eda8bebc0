"""Scores of answers in the form that NornicDB's server asks for: does it parse, is the action known, and is it right?

A query in an answer is scored like any other (`evaluate.score`): by execution, or by its text where it cannot run. Of
another action, valid (VA) means that the server would take it, and right (EX) that name and parameters are the
gold's; no graph changes that, so it passes a test suite as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from heimdall_nb import actions
from heimdall_nb.actions import QUERY, TASK, Action
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.runtime import inner
from heimdall_nb.evaluation.metrics import ItemScore, item_score, share
from heimdall_nb.models.protocol import Completion

Score = Callable[[Sequence[Example], Sequence[Completion]], list[ItemScore]]


def score(
    examples: Sequence[Example], completions: Sequence[Completion], score_plain: Score, suite: bool = False
) -> list[ItemScore]:
    """The scores of all answers, in order. Those to examples in the server's form are read as actions.

    `score_plain` scores plain examples, and the queries in actions; with a `suite`, an action that is right has passed
    it. Raises BadInput for an example in the server's form whose own answer is no action.
    """
    golds = {k: inner(example) for k, example in enumerate(examples) if example.task == TASK}
    given = {k: actions.read(completions[k].text) for k in golds}
    others = [k for k, (_, gold) in golds.items() if gold.name != QUERY]
    rest = [k for k in range(len(examples)) if k not in set(others)]
    plain = [golds[k][0] if k in golds else examples[k] for k in rest]
    answers = [replace(completions[k], text=_query(given[k])) if k in golds else completions[k] for k in rest]
    found = dict(zip(rest, score_plain(plain, answers) if rest else [], strict=True))
    for k, (_, gold) in golds.items():
        if k in found:
            found[k] = found[k] if _query(given[k]) else replace(found[k], **_verdict(gold, given[k], completions[k]))
        else:
            verdict = _verdict(gold, given[k], completions[k])
            passed = {"ts": verdict["ex"]} if suite else {}
            found[k] = item_score(examples[k], completions[k], **verdict, **passed)
    return [found[k] for k in range(len(examples))]


def _query(given: Action | str) -> str:
    """The query of an answer that the server would run; empty for any other answer."""
    return "" if isinstance(given, str) or actions.faults(given) else given.cypher


def _verdict(gold: Action, given: Action | str, completion: Completion) -> dict[str, Any]:
    """What there is to say of an answer that is not judged by its query."""
    text = completion.text.strip()
    found: dict[str, Any] = {"answer": text, "va": False, "ex": False, "em": text == gold.text()}
    if not text:
        return found | {"cause": "no answer", "message": f"the model's outcome is {completion.outcome}"}
    if isinstance(given, str):
        cause = "truncated" if completion.outcome == "truncated" else "syntax"
        return found | {"cause": cause, "message": f"the answer {given}"}
    if wrong := actions.faults(given):
        invented = any(what.startswith("there is no") for what in wrong)
        return found | {"cause": "invented name" if invented else "wrong result", "message": "; ".join(wrong)}
    if actions.same(gold, given):
        return found | {"va": True, "ex": True, "cause": "right", "message": ""}
    return found | {"va": True, "cause": "wrong result", "message": f"the answer is {given.text()}"}


def summary(
    examples: Sequence[Example], completions: Sequence[Completion], scores: Sequence[ItemScore]
) -> dict[str, Any]:
    """Of the items in the server's form: how many parse, name a known action, and name the right one, with intervals.

    `by_action` has these for each action that the golds name, and `constant` is the share of the gold that occurs most
    among the actions without a query: what one fixed answer reaches. Empty where no item has that form.
    """
    asked = [k for k, example in enumerate(examples) if example.task == TASK]
    if not asked:
        return {}
    golds = {k: inner(examples[k])[1] for k in asked}
    given = {k: actions.read(completions[k].text) for k in asked}
    fixed = Counter(gold.text() for gold in golds.values() if gold.name != QUERY)
    groups = {name: [k for k in asked if golds[k].name == name] for name in actions.names()}
    return {
        **_shares(asked, golds, given, scores),
        "constant": share(max(fixed.values(), default=0), len(asked)),
        "by_action": {name: _shares(group, golds, given, scores) for name, group in groups.items() if group},
    }


def _shares(
    asked: Sequence[int], golds: Mapping[int, Action], given: Mapping[int, Action | str], scores: Sequence[ItemScore]
) -> dict[str, Any]:
    read = {k: action for k in asked if isinstance(action := given[k], Action)}
    known = [action for action in read.values() if action.name in actions.names()]
    return {
        "items": len(asked),
        "parses": share(len(read), len(asked)),
        "known": share(len(known), len(asked)),
        "right_action": share(sum(action.name == golds[k].name for k, action in read.items()), len(asked)),
        "ex": share(sum(scores[k].ex for k in asked), len(asked)),
    }


def rows(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The shares for a table: what is measured, and its value."""
    said = {"parses": "answers that parse", "known": "name a known action", "right_action": "name the right action"}
    return [(text, found[name]) for name, text in said.items() if name in found]
