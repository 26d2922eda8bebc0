"""Where an answer ends, told the same way by every model that runs in this process."""

from __future__ import annotations

from collections.abc import Sequence

from heimdall_nb.models.protocol import Outcome


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """`text` up to the first stop string in it, and whether there was one."""
    found = [at for at in (text.find(stop) for stop in stops if stop) if at >= 0]
    return (text[: min(found)], True) if found else (text, False)


def outcome(text: str, stopped: bool) -> Outcome:
    """ok, empty (it stopped without a visible character), or truncated (it ran into a limit before it stopped)."""
    if not stopped:
        return "truncated"
    return "ok" if text.strip() else "empty"
