"""Mends a dataset file: faults and duplicates out, categories balanced, the original kept beside it."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import Example, Fault, normalise, save, scan_lines
from heimdall_nb.dataset.validate import COPY_MARK, content_faults
from heimdall_nb.errors import BadInput

# Makes up to `number` new examples of a category, given those that there are.
Generator = Callable[[str, int, list[Example]], list[Example]]


def correct(
    path: Path | str,
    min_category_size: int = 50,
    max_category_ratio: float = 3.0,
    seed: int = 7,
    generator: Generator | None = None,
) -> dict[str, Any]:
    """Correct a JSONL file in place, after copying it to `<name>.<time>.bak` beside it; returns what was done.

    Lines with faults and repeated pairs go. A category with fewer than `min_category_size` examples is filled up by
    `generator`, and by marked copies where that is not enough. No category keeps more than `max_category_ratio` times
    the examples of the smallest. A second run changes nothing and makes no backup.
    Raises BadInput when the file cannot be read or holds no good example.
    """
    path = Path(path)
    if max_category_ratio < 1 or min_category_size < 0:
        raise BadInput("must be at least 1 (ratio) and 0 (size)", "max_category_ratio, min_category_size")
    examples, faulty = _good_lines(path)
    unique = _without_duplicates(examples)
    filled, added = _filled(unique, min_category_size, generator)
    balanced, dropped = _down_sampled(filled, max_category_ratio, seed)
    done = {
        "before": len(examples) + faulty,
        "faulty_lines_removed": faulty,
        "duplicates_removed": len(examples) - len(unique),
        "added": added,
        "down_sampled": dropped,
        "after": len(balanced),
        "backup": None,
    }
    content = "".join(example.to_json() + "\n" for example in balanced).encode()
    if content != path.read_bytes():
        done["backup"] = str(_back_up(path))
        save(path, balanced)
    return done


def _good_lines(path: Path) -> tuple[list[Example], int]:
    """The examples without faults, and the number of lines that have some."""
    examples, faulty = [], set()
    for line, item in scan_lines(path):
        if isinstance(item, Fault) or any(content_faults(line, item)):
            faulty.add(line)
        else:
            examples.append(item)
    if not examples:
        raise BadInput("holds no good example, and is left as it is", str(path), "See `heimdall validate`.")
    return examples, len(faulty)


def pair_key(example: Example) -> str:
    """MD5 of the normalised pair of question and answer; a marked copy has a key of its own."""
    copy = example.id.partition(COPY_MARK)[2]
    parts = (example.instruction, example.graph or "", normalise(example.input), normalise(example.output), copy)
    return hashlib.md5("\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()


def _without_duplicates(examples: list[Example]) -> list[Example]:
    """The first of each pair; a question that comes again with another answer is dropped as well."""
    seen: set[str] = set()
    answers: dict[tuple[str, str, str], str] = {}
    kept = []
    for example in examples:
        question = (example.instruction, example.graph or "", normalise(example.input))
        contradicts = answers.setdefault(question, normalise(example.output)) != normalise(example.output)
        if pair_key(example) not in seen and not contradicts:
            kept.append(example)
        seen.add(pair_key(example))
    return kept


def _filled(
    examples: list[Example], least: int, generator: Generator | None
) -> tuple[list[Example], dict[str, dict[str, int]]]:
    """All categories with at least `least` examples; how many of the new ones were generated, and how many copied."""
    result, added = list(examples), {}
    for category, size in sorted(Counter(example.category for example in examples).items()):
        if size >= least:
            continue
        have = [example for example in examples if example.category == category]
        new = generator(category, least - size, have) if generator else []
        new = _without_duplicates([*result, *(item for item in new if item.category == category)])[len(result) :]
        new = new[: least - size]
        copies = _copies(have + new, least - size - len(new))
        result += new + copies
        added[category] = {"generated": len(new), "copied": len(copies)}
    return result, added


def _copies(examples: list[Example], number: int) -> list[Example]:
    """`number` copies, one example after the other; the mark in the id tells the next correction to keep them."""
    taken = {example.id for example in examples}
    originals = [example for example in examples if COPY_MARK not in example.id]
    found: list[Example] = []
    turn = 0
    while len(found) < number:
        turn += 1
        for example in originals[: number - len(found)]:
            copy = Example(**{**vars(example), "id": f"{example.id}{COPY_MARK}{turn}"})
            if copy.id not in taken:
                found.append(copy)
    return found


def _down_sampled(examples: list[Example], ratio: float, seed: int) -> tuple[list[Example], dict[str, int]]:
    """No category larger than `ratio` times the smallest; the seed chooses who stays, the order is kept."""
    sizes = Counter(example.category for example in examples)
    limit = int(ratio * min(sizes.values()))
    dropped: set[int] = set()
    for category, size in sorted(sizes.items()):
        places = [place for place, example in enumerate(examples) if example.category == category]
        dropped.update(random.Random(f"{seed} {category}").sample(places, max(0, size - limit)))
    kept = [example for place, example in enumerate(examples) if place not in dropped]
    return kept, {category: size - limit for category, size in sorted(sizes.items()) if size > limit}


def _back_up(path: Path) -> Path:
    """Copy `path` to a timestamped name; a backup that already holds the same bytes is used again."""
    content = path.read_bytes()
    for existing in sorted(path.parent.glob(f"{path.name}.*.bak")):
        if existing.read_bytes() == content:
            return existing
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    backup = path.with_name(f"{path.name}.{stamp}.bak")
    temporary = path.with_name(f".{backup.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, backup)
    return backup
