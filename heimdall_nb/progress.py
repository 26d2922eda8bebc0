"""Progress of long work: a bar for a person, plain lines where a bar would only fill a log."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
INNER = 6  # so many times less often does inner work print a line
_shown = threading.local()  # `depth`: how many pieces of work are being shown, one within the other


def plain() -> bool:
    """True where output is kept rather than watched: under papermill, in a pipe, in CI."""
    return bool(os.environ.get("HEIMDALL_PLAIN")) or ("ipykernel" not in sys.modules and not sys.stderr.isatty())


def track(items: Iterable[T], label: str, total: int | None = None, every: float = 5.0) -> Iterator[T]:
    """Yield `items`, showing how far it is: a tqdm bar, or one plain line each `every` seconds.

    Work that ends within `every` seconds prints nothing in plain mode. Work within other work that is shown speaks up
    INNER times less often, and its bar goes when it is done.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    outer = getattr(_shown, "depth", 0)
    _shown.depth = outer + 1
    try:
        if plain():
            yield from _lines(items, label, total, every * INNER if outer else every)
        else:
            from tqdm.auto import tqdm

            yield from tqdm(items, desc=label, total=total, leave=not outer)
    finally:
        _shown.depth = max(0, getattr(_shown, "depth", 1) - 1)  # a generator may end in another thread


def _lines(items: Iterable[T], label: str, total: int | None, every: float) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= every:
            last = now
            print(line(label, done, total, now - start), flush=True)


def line(label: str, done: int, total: int | None, seconds: float) -> str:
    """One plain progress line, e.g. `training: 120/400 (30 %), 4.1/s, 68 s left`."""
    rate = done / seconds if seconds else 0.0
    if not total:
        return f"{label}: {done}, {rate:.1f}/s"
    left = f", {(total - done) / rate:.0f} s left" if rate else ""
    return f"{label}: {done}/{total} ({100 * done / total:.0f} %), {rate:.1f}/s{left}"
