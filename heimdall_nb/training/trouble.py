"""What ends a training from outside, in one sentence: memory that is too small, a disk that is full."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heimdall_nb.errors import HeimdallError
from heimdall_nb.training.config import FinetuneConfig

MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
DISK = ("no space left", "os error 28", "disk quota", "file write failed")


@contextmanager
def explained(config: FinetuneConfig, folder: Path) -> Iterator[None]:
    """Turn a lack of memory, or of space on the disk of `folder`, into a HeimdallError with advice."""
    try:
        yield
    except HeimdallError:
        raise
    except Exception as problem:  # safetensors, torch and the system each have errors of their own for this
        said = [f"{type(part).__name__} {part}".lower() for part in _chain(problem)]
        full = any(text in part for part in said for text in DISK)
        if full or any(getattr(part, "errno", None) == errno.ENOSPC for part in _chain(problem)):
            free = shutil.disk_usage(folder).free / 2**20
            what = f"The disk of {folder} is full ({free:.0f} MiB free). What was written whole is kept:"
            raise HeimdallError(f"{what} make room and run it again, it goes on from its last checkpoint.") from problem
        if isinstance(problem, MemoryError) or any(text in part for part in said for text in MEMORY):
            tried = "; or ".join(smaller(config))
            advice = f"Try {tried}." if tried else "Nothing is left to make smaller: take a smaller base model."
            raise HeimdallError(f"The memory is too small for these settings. {advice}") from problem
        raise


def smaller(config: FinetuneConfig) -> list[str]:
    """The next smaller settings as options of the command, those that cost the least first."""
    half = f"--set batch_size={config.batch_size // 2} --set accumulation={2 * config.accumulation}"
    steps = {
        f"{half} (the same training in less memory)": config.batch_size > 1,
        "--set checkpointing=true (a third more time)": not config.checkpointing,
        "--set load_in_4bit=true (QLoRA)": not config.load_in_4bit,
        f"--set max_length={config.max_length // 2} (longer rows are cut)": config.max_length > 512,
        f"--set lora_rank={config.lora_rank // 2} --set lora_alpha={config.lora_alpha // 2}": config.lora_rank > 8,
    }
    return [text for text, possible in steps.items() if possible]


def _chain(problem: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = problem
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
