"""Mends a dataset file: rows repaired or dropped, duplicates out, categories balanced, the original kept beside it."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from heimdall_nb.dataset.example import Example, Fault, faults, from_record, normalise
from heimdall_nb.dataset.jsonl import printable, records
from heimdall_nb.dataset.repair import refreshed, repaired
from heimdall_nb.dataset.replace import Replacement
from heimdall_nb.dataset.validate import COPY_MARK, content_faults, domain_faults
from heimdall_nb.dataset.validation_report import cut, table
from heimdall_nb.domains import is_other
from heimdall_nb.errors import BadInput

# Makes up to `number` new examples of a category, given those that there are.
Generator = Callable[[str, int, list[Example]], list[Example]]


def correct(
    path: Path | str,
    min_category_size: int = 50,
    max_category_ratio: float = 3.0,
    seed: int = 7,
    generator: Generator | None = None,
    drop_invalid: bool = False,
) -> dict[str, Any]:
    """Correct a JSONL file in place, after copying it to `<name>.<time>.bak` beside it; returns what was done.

    A row is repaired where that needs no judgement (dataset/repair.py), and an id that does not fit is made anew.
    A row that is well formed and untrue is dropped: its query names what the graph lacks, its question does not say
    what the query uses, the fact pack does not know a name. So are repeated pairs, and a second answer to a question.
    A line that is no example (bad JSON, not UTF-8, too long, a field missing or of a wrong type) ends the correction
    before anything is changed, unless `drop_invalid` drops it: it may be the sign of another kind of file.

    A category with fewer than `min_category_size` examples is filled up by `generator`, and by marked copies where
    that is not enough. No category keeps more than `max_category_ratio` times the examples of the smallest category of
    its part, so that the mix of the parts is not what is balanced.
    A second run changes nothing and makes no backup. Whatever ends the process, the file is the old or the new one.
    Raises BadInput when the file cannot be read or written, holds no good example, or is being corrected by another.
    """
    if not 1 <= max_category_ratio < 1e9 or min_category_size < 0:
        raise BadInput("must be at least 1 (ratio) and 0 (size)", "max_category_ratio, min_category_size")
    with Replacement(Path(path)) as file:
        examples, repairs, dropped = _good_rows(file.path, drop_invalid)
        unique = _without_duplicates(examples)
        filled, added = _filled(unique, min_category_size, generator)
        balanced, cut = _down_sampled(filled, max_category_ratio, seed)
        backup = file.replace(example.to_json() + "\n" for example in balanced)
    return {
        "before": len(examples) + len(dropped),
        "repaired": dict(sorted(repairs.items())),
        "faulty_lines_removed": len(dropped),
        "dropped": dropped,
        "duplicates_removed": len(examples) - len(unique),
        "added": added,
        "down_sampled": cut,
        "after": len(balanced),
        "backup": str(backup) if backup else None,
    }


def summary(done: Mapping[str, Any]) -> str:
    """What `correct` did, as tables and sentences."""
    rows = [["rows before", done["before"]]]
    rows += [[f"repaired: {name}", number] for name, number in done["repaired"].items()]
    rows += [[name, done[name.replace(" ", "_")]] for name in ("faulty lines removed", "duplicates removed")]
    for category, new in done["added"].items():
        rows += [[f"{how}: {category}", number] for how, number in new.items() if number]
    rows += [[f"down-sampled: {category}", number] for category, number in done["down_sampled"].items()]
    copied = [category for category, new in done["added"].items() if new["copied"]]
    said = [f"Copied, since nothing new can be generated: {', '.join(copied)}."] if copied else []
    said.append(f"backup: {done['backup']}" if done["backup"] else "Nothing to do: the file was not changed.")
    return "\n\n".join(
        [
            *filter(None, [cut(done["dropped"])]),
            table(["correction", "rows"], [*rows, ["rows after", done["after"]]]),
            *said,
        ]
    )


def graph_generator(seed: int) -> Generator:
    """Makes examples on the graphs that a category has already; the graph engines start when they are first needed."""

    def more(category: str, number: int, have: list[Example]) -> list[Example]:
        from heimdall_nb.dataset.benchmark import held_out
        from heimdall_nb.dataset.generate import category_generator
        from heimdall_nb.dataset.graphs import schema_names
        from heimdall_nb.dataset.mix import engines

        graphs = sorted({example.graph or "" for example in have}.intersection(schema_names()))
        return category_generator(seed, graphs, engines, held_out=held_out())(category, number, have) if graphs else []

    return more


def _good_rows(path: Path, drop_invalid: bool) -> tuple[list[Example], Counter[str], list[str]]:
    """The good examples, how often each repair was made, and each line that is dropped with the reason."""
    good: list[tuple[int, Example, list[str]]] = []
    dropped: list[str] = []
    for line, record in records(path):
        made: list[str] = []
        found = [record] if isinstance(record, Fault) else []
        if not isinstance(record, Fault):
            mended, made = repaired(record)
            found = [Fault(line, *fault) for fault in faults(mended)]
        if found and not drop_invalid:
            remedy = "Nothing was changed. Mend the line, or drop all such lines with --drop-invalid."
            raise BadInput(found[0].what, found[0].located(path), remedy)
        if not found:
            example = refreshed(from_record(mended), made)
            found = list(content_faults(line, example))
        if found:
            dropped.append(f"{found[0].located(path)}: {found[0].what}")
        else:
            good.append((line, example, made))
    untrue = {fault.line: fault for fault in domain_faults([(line, example) for line, example, _ in good])}
    dropped += [f"{fault.located(path)}: {fault.what}" for fault in untrue.values()]
    examples = [example for line, example, _ in good if line not in untrue]
    repairs = Counter(name for line, _, made in good if line not in untrue for name in made)
    if not examples:
        raise BadInput("holds no good example, and is left as it is", printable(path), "See `heimdall validate`.")
    return examples, repairs, dropped


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
    originals = [example for example in examples if COPY_MARK not in example.id] or examples
    found: list[Example] = []
    turn = 0
    while len(found) < number:
        turn += 1
        for example in originals[: number - len(found)]:
            copy = replace(example, id=f"{example.id}{COPY_MARK}{turn}")
            if copy.id not in taken:
                found.append(copy)
    return found


def _down_sampled(examples: list[Example], ratio: float, seed: int) -> tuple[list[Example], dict[str, int]]:
    """No category larger than `ratio` times the smallest of its part; the seed chooses who stays, the order is kept.

    The categories of another domain have the shares that it gives them, and keep them.
    """
    places: dict[str, dict[str, list[int]]] = {}
    for place, example in enumerate(examples):
        if is_other(example):
            continue
        places.setdefault(example.part, {}).setdefault(example.category, []).append(place)
    dropped: dict[str, list[int]] = {}
    for part, categories in sorted(places.items()):
        limit = int(ratio * min(map(len, categories.values())))
        for category, own in sorted(categories.items()):
            if len(own) > limit:
                drawn = random.Random(f"{seed} {part} {category}").sample(own, len(own) - limit)
                dropped.setdefault(category, []).extend(drawn)
    gone = {place for drawn in dropped.values() for place in drawn}
    kept = [example for place, example in enumerate(examples) if place not in gone]
    return kept, {category: len(drawn) for category, drawn in sorted(dropped.items())}
