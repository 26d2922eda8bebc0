"""What a training reads: one dataset or several in proportion, old material among it, and a part held out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from heimdall_nb.dataset.example import Example, load, normalise, save
from heimdall_nb.dataset.mixture import mixture
from heimdall_nb.dataset.replay import beside
from heimdall_nb.dataset.split import split
from heimdall_nb.errors import BadInput

HELD_OUT = 150  # most examples of the validation part, and at most a tenth of all


def sources(given: Sequence[str]) -> list[tuple[Path, float]]:
    """`FILE` or `FILE=WEIGHT`, each; the weight is 1 where none is given. Raises BadInput for another form."""
    found = []
    for text in given:
        name, equals, weight = text.rpartition("=")
        if not equals or Path(text).is_file():
            found.append((Path(text), 1.0))
            continue
        try:
            found.append((Path(name), float(weight)))
        except ValueError:
            raise BadInput(f"{weight!r} is no weight", f"--dataset {text}", "For example: mine.jsonl=0.7.") from None
    return found


def prepare(
    datasets: Sequence[str],
    folder: Path,
    seed: int,
    validation: Path | None = None,
    replay: Path | None = None,
    replay_ratio: float = 0.0,
    examples: int = 0,
) -> tuple[Path, Path]:
    """Write `train.jsonl` and `validation.jsonl` to `folder`; returns their paths.

    Several datasets are mixed by their weights, `examples` in all (0: as many as there can be). `replay_ratio` of the
    training part are drawn from the file `replay`: old material, so that it is not forgotten. Without a `validation`
    file, a part is held out that shares no question and no query with training. The same arguments write the same
    files. Raises BadInput for files and numbers that cannot be.
    """
    parts = sources(datasets)
    new = mixture(parts, examples, seed) if len(parts) > 1 or examples else load(parts[0][0])
    if validation:
        held = load(validation)
    else:
        divided = split(new, seed, min(HELD_OUT, max(1, len(new) // 10)), test=0, fewshot=0)
        new, held = divided["train"], divided["validation"]
    old = drawn(replay, beside(len(new), replay_ratio), new + held, seed) if replay else []
    return save(folder / "train.jsonl", new + old), save(folder / "validation.jsonl", held)


def drawn(replay: Path, wanted: int, others: Sequence[Example], seed: int) -> list[Example]:
    """`wanted` examples of the file `replay`, by `seed`, none with a question of `others`; all where it has fewer."""
    asked = {_question(example) for example in others}
    pool = [example for example in load(replay) if _question(example) not in asked]
    if not pool and wanted:
        raise BadInput("has no question that the training set does not have", str(replay), "Leave it out.")
    if len(pool) < wanted:
        print(f"replay: {replay} has {len(pool)} other questions, {wanted} were wanted", flush=True)
    return random.Random(f"replay {seed}").sample(pool, min(wanted, len(pool)))


def _question(example: Example) -> tuple[str, str]:
    return example.schema, normalise(example.question)
