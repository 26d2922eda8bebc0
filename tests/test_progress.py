"""Progress lines: when they come, what they say, and that inner work does not drown outer work."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from heimdall_nb import progress
from heimdall_nb.progress import INNER, line, track


class Clock:
    """A clock that goes on by a second for each item of `slowly`."""

    now = 0.0

    def slowly(self, number: int) -> Iterator[int]:
        for item in range(number):
            self.now += 1
            yield item


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Plain lines, and time that passes only where the test lets it."""
    made = Clock()
    monkeypatch.setenv("HEIMDALL_PLAIN", "1")
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_a_line_says_how_far_it_is() -> None:
    assert line("training", 120, 400, 30.0) == "training: 120/400 (30 %), 4.0/s, 70 s left"
    assert line("reading", 7, None, 3.5) == "reading: 7, 2.0/s"


def test_lines_come_now_and_then_and_the_items_as_they_are(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(clock.slowly(7), "numbers", 7, every=3.0)) == list(range(7))
    assert capsys.readouterr().out.splitlines() == [
        "numbers: 3/7 (43 %), 1.0/s, 4 s left",
        "numbers: 6/7 (86 %), 1.0/s, 1 s left",
    ]
    assert list(track("abc", "quick", every=3.0)) == ["a", "b", "c"]
    assert capsys.readouterr().out == ""


def test_inner_work_speaks_up_less_often(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track(range(2), "outer", every=2.0):
        assert list(track(clock.slowly(4 * INNER), "inner", every=2.0)) == list(range(4 * INNER))
    told = capsys.readouterr().out.splitlines()
    assert [text.split(":")[0] for text in told] == ["inner", "inner", "outer"] * 2


def test_work_that_is_left_early_is_not_counted_as_outer(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track(range(5), "left"):
        break
    with pytest.raises(RuntimeError):
        for _ in track(range(5), "failed"):
            raise RuntimeError
    list(zip(track(range(3), "one"), track(range(2), "two"), strict=False))
    list(track(clock.slowly(4), "after", every=2.0))  # an inner one would wait for 12 seconds
    assert capsys.readouterr().out.splitlines() == ["after: 2, 1.0/s", "after: 4, 1.0/s"]
