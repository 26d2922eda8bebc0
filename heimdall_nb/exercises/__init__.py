"""Exercises check themselves: `check("01.2", answer, …)` says whether the answer is right, and hints when it is not."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def check(name: str, answer: Any, *context: Any) -> bool | None:
    """Check the answer of exercise `name` (notebook.number) against what `context` holds, and print the verdict.

    Each notebook's checks are functions `check_<number>(answer, *context)` of `exercises/nb<notebook>.py`, which
    return None for a right answer and a hint for a wrong one. An unanswered exercise (None) returns None.
    """
    if answer is None:
        print(f"Exercise {name}: not answered yet. Set `answer` in this cell and run it again.")
        return None
    notebook, number = name.split(".")
    hint = getattr(import_module(f"heimdall_nb.exercises.nb{notebook}"), f"check_{number}")(answer, *context)
    print(f"Exercise {name}: right." if hint is None else f"Exercise {name}: not yet. {hint}")
    return hint is None
