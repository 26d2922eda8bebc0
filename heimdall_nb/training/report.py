"""How a training shows itself while it runs, and how its result comes to its folder: all at once or not at all."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from heimdall_nb import progress


class Report:
    """Shows a training's step, loss, tokens a second and seconds left: a bar for a person, plain lines in a log."""

    def __init__(self, label: str, steps: int, done: int = 0, every: float = 10.0) -> None:
        self.label, self.steps, self.first, self.every = label, steps, done, every
        self.start = self.last = time.monotonic()
        self.tokens = 0
        self.bar = None
        if not progress.plain():
            from tqdm.auto import tqdm

            self.bar = tqdm(desc=label, total=steps, initial=done)

    def update(self, step: int, loss: float, tokens: int) -> None:
        """Show that `step` is done with this `loss`, after `tokens` more tokens were read."""
        self.tokens += tokens
        now = time.monotonic()
        if self.bar is not None:
            self.bar.set_postfix_str(self._rate(now, loss), refresh=False)
            self.bar.update(step - self.bar.n)
        elif now - self.last >= self.every or step == self.steps:
            self.last = now
            left = (now - self.start) / max(1, step - self.first) * (self.steps - step)
            share = 100 * step / self.steps
            done = f"{self.label}: step {step}/{self.steps} ({share:.0f} %)"
            print(f"{done}, {self._rate(now, loss)}, {left:.0f} s left", flush=True)

    def _rate(self, now: float, loss: float) -> str:
        return f"loss {loss:.3f}, {self.tokens / max(now - self.start, 1e-9):,.0f} tokens/s"

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()


def temporary_folder(output: Path) -> Path:
    """An empty folder beside `output`, to be filled and then given to `move_into_place`."""
    temporary = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    return temporary


def move_into_place(temporary: Path, output: Path) -> None:
    """Give a finished folder its name: whoever looks sees a whole folder, old or new, or for an instant none."""
    old = output.with_name(f".{output.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        os.replace(output, old)
    os.replace(temporary, output)
    shutil.rmtree(old, ignore_errors=True)


def quiet() -> None:
    """Switch off the bars of the libraries, which show steps that are over at once, and their notices."""
    import logging
    import warnings

    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # transformers and TRL still use each other's deprecated names.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl|peft")
