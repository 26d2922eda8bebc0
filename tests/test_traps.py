"""The traps: each fools the evaluations that it names, and none fools ours."""

import dataclasses

import pytest

from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation import traps
from heimdall_nb.evaluation.ordinary import ORDINARY, Case, _jaro_winkler
from heimdall_nb.evaluation.traps import Trap, fooled, load_traps, table, verdict

TRAPS = load_traps()[0]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_ours_is_not_fooled_and_the_others_are(trap, arcadedb):
    found = verdict(trap, arcadedb)
    assert (found.right, found.caught_by) == (trap.right, trap.caught_by), found.message
    missed = set(trap.fools) - set(fooled(trap, arcadedb))
    assert not missed, f"{sorted(missed)} judge it as it is"


def test_enough_of_each_kind():
    wrong = [trap for trap in TRAPS if not trap.right]
    assert len(wrong) >= 30 and len(TRAPS) - len(wrong) >= 15
    assert {trap.caught_by for trap in wrong} == {"VA", "EX", "TS"}
    named = {name for trap in TRAPS for name in trap.fools}
    assert named == set(ORDINARY)  # each ordinary evaluation has its trap


def test_the_gold_of_every_trap_is_right_on_all_its_graphs(arcadedb):
    for trap in TRAPS:
        itself = dataclasses.replace(trap, answer=trap.gold, right=True, caught_by="")
        assert verdict(itself, arcadedb).right, trap.name


def test_the_table_counts_what_the_traps_say(arcadedb, monkeypatch):
    few = tuple(trap for trap in TRAPS if trap.name in ("distinct added", "columns in another order"))
    monkeypatch.setattr(traps, "load_traps", lambda: (few, load_traps()[1]))
    found = table(arcadedb).set_index("evaluation")
    assert list(found.index) == ["ours", *ORDINARY] and set(found["traps"]) == {2}
    assert found.loc["ours", "fallen into"] == 0
    assert found.loc["set_of_rows"].tolist() == [1, 1, 2, 2]
    assert found.loc["exact_string"].tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"graph": "atlantis"},
        {"fools": ["nobody"]},
        {"fools": []},
        {"caught_by": "luck"},
        {"right": True},
        {"why": None},
    ],
    ids=str,
)
def test_an_entry_that_is_not_complete_is_refused(change):
    entry = {"name": "x", "graph": "crew", "gold": "RETURN 1", "answer": "RETURN 2", "right": False}
    entry |= {"caught_by": "EX", "fools": ["valid"], "why": "shows it"}
    assert isinstance(traps._trap(entry, load_traps()[1]), Trap)
    changed = {key: value for key, value in (entry | change).items() if value is not None}
    with pytest.raises(BadInput):
        traps._trap(changed, load_traps()[1])


def test_likeness_of_texts():
    # Winkler's own examples.
    assert _jaro_winkler("MARTHA", "MARHTA") == pytest.approx(0.9611, abs=1e-4)
    assert _jaro_winkler("DIXON", "DICKSONX") == pytest.approx(0.8133, abs=1e-4)
    assert _jaro_winkler("abc", "xyz") == 0 and _jaro_winkler("", "") == 1 and _jaro_winkler("", "a") == 0


def test_an_ordinary_evaluation_takes_the_gold_itself(arcadedb):
    arcadedb.load(load_traps()[1]["crew"])
    gold = "MATCH (p:Person) RETURN p.name ORDER BY p.name"
    rows = arcadedb.run(gold)
    assert all(evaluation(Case(gold, gold, rows, rows, arcadedb.run)) for evaluation in ORDINARY.values())
