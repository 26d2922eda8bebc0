"""The domain `repository`: examples from a checkout of source code, each proven against the source it came from."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.domains.protocol import counts, drawn_seed
from heimdall_nb.domains.repository_code import correct, same, unfenced
from heimdall_nb.domains.repository_drafts import Draft, drafts
from heimdall_nb.domains.repository_extract import Extraction, extract, one_source
from heimdall_nb.domains.repository_files import Counts, Found, LeftOut, walk
from heimdall_nb.domains.repository_report import flat
from heimdall_nb.domains.repository_rules import Rules, left_out, rules, tables
from heimdall_nb.domains.repository_secrets import secret_lines
from heimdall_nb.domains.repository_source import Source, Unit
from heimdall_nb.errors import BadInput

_REMEMBERED = 256  # files that the check keeps read
_CHECK = re.compile(r"source:(?P<file>.+)#L(?P<first>\d+)-L(?P<last>\d+)")


def _shares() -> dict[str, float]:
    return {name: category["share"] for name, category in tables()["categories"].items()}


@dataclass
class Repository:
    """Examples from the checkout at `repo`, in one language, of files under one of `licences` (empty: permissive ones).

    A category that has fewer different examples than its share gives them all; the others make up for it, and `report`
    and `short` say so. Licence `none` allows files without any, `unknown` those whose licence text is not recognised.
    """

    repo: Path | str = ""
    language: str = "python"
    licences: tuple[str, ...] = ()
    workers: int = 0

    name: ClassVar[str] = "repository"
    title: ClassVar[str] = "functions, types, tests, calls, errors and completions of a checkout of source code"
    metric: ClassVar[str] = "exact match"
    shares: ClassVar[Mapping[str, float]] = _shares()

    @cached_property
    def rules(self) -> Rules:
        return rules(self.language)

    @cached_property
    def extraction(self) -> Extraction:
        """What the checkout holds; read once. Raises BadInput for a folder or language that is none."""
        return extract(self.repo, self.language, tuple(self.licences), self.workers)

    def examples(self, number: int, seed: int) -> Iterator[Example]:
        """Exactly `number` examples, each once; the same from the same checkout and seed.

        No two share a question or an answer. Raises BadInput where the checkout gives fewer.
        """
        self._asked = number, seed
        pool, _ = self._pool(seed)
        quotas = self._quotas(number, {category: len(made) for category, made in pool.items()})
        chosen: list[Example] = []
        for category, quota in quotas.items():
            chosen += random.Random(drawn_seed("repository", seed, category)).sample(pool[category], quota)
        random.Random(drawn_seed("repository order", seed)).shuffle(chosen)
        yield from chosen

    def faults(self, example: Example) -> list[str]:
        """What the source, read again now, says against an example; empty when it is as the source has it.

        Without a checkout (`repo` is empty), only that code in its answer is correct source is checked.
        """
        match = _CHECK.fullmatch(example.check)
        if match is None or example.category not in self.shares:
            return ["check: does not say which lines of which file it was read from"]
        if not self.repo:
            return self._code_faults(example)
        if example.dialect != self.language and example.dialect in tables()["languages"]:
            return self._in(example.dialect).faults(example)
        try:
            source = self._read_again(match["file"])
        except LeftOut as reason:
            return [f"check: {match['file']} is left out now: {reason}"]
        first, last = int(match["first"]), int(match["last"])
        units = [unit for unit in source.units if (unit.first, unit.last) == (first, last)]
        if not units:
            return [f"check: {match['file']} has no function, type or test in lines {first} to {last}"]
        return self._differences(example, [draft for unit in units for draft in self._all(example.category, unit)])

    @property
    def unchecked(self) -> str:
        """What `faults` does not see without a checkout."""
        return "" if self.repo else "only code was checked, that it parses; --repo PATH holds all against the checkout"

    def _in(self, language: str) -> Repository:
        """This domain for another language of the same checkout."""
        if language not in self._others:
            self._others[language] = replace(self, language=language)
        return self._others[language]

    def score(self, example: Example, answer: str) -> float:
        """1 when the answer is the example's, else 0. In code, white space and a Markdown fence make no difference."""
        answer = unfenced(answer)
        if example.category not in tables()["code_categories"]:
            return float(answer.split() == example.output.split())
        before = _shown(example) if example.category == "completion" else ""
        return float(same(self._rules_of(example), example.output, answer, before))

    def found(self, seed: int = 0) -> dict[str, Any]:
        """What was read, what was left out and why, and how many different examples each category has."""
        found = self.extraction
        pool, unused = self._pool(seed)
        return {
            "repository": found.root.name,
            "language": self.language,
            "files": len(found.sources),
            "lines": found.lines,
            "units": dict(sorted(Counter(unit.kind for source in found.sources for unit in source.units).items())),
            "examples": {category: len(made) for category, made in pool.items()},
            "encodings": found.encodings.to_dict(),
            "left out": found.left.to_dict(),
            "secrets": found.secrets.to_dict(),
            "not used": unused.to_dict(),
        }

    def report(self) -> dict[str, str]:
        """What `heimdall generate` prints of the examples that were drawn last: the figures of `found`, one a line."""
        number, seed = getattr(self, "_asked", (0, 0))
        return flat(self.found(seed), self.short(number, seed))

    def short(self, number: int, seed: int = 0) -> dict[str, tuple[int, int]]:
        """Category -> (asked, there were) of those that have fewer examples than their share of `number`."""
        pool, _ = self._pool(seed)
        asked = counts(number, self.shares)
        return {name: (asked[name], len(made)) for name, made in pool.items() if len(made) < asked[name]}

    def _all(self, category: str, unit: Unit) -> Iterator[Draft]:
        for alternatives in drafts(category, unit, self.rules, self.extraction.links):
            yield from alternatives

    def _pool(self, seed: int) -> tuple[dict[str, list[Example]], Counts]:
        """All different examples of each category, in the order of the source, and the counts of those not used."""
        if getattr(self, "_pools", (None,))[0] != seed:
            self._pools = seed, *self._make_pool(seed)
        return self._pools[1:]

    def _make_pool(self, seed: int) -> tuple[dict[str, list[Example]], Counts]:
        seen: set[str] = set()
        unused = Counts()
        pool: dict[str, list[Example]] = {category: [] for category in self.shares}
        for category, made in pool.items():
            for source in self.extraction.sources:
                for unit in source.units:
                    for alternatives in drafts(category, unit, self.rules, self.extraction.links):
                        example = self._chosen(alternatives, seed, bool(source.secrets), unused)
                        if example is None:
                            continue
                        keys = {f"? {normalise(example.input)}", f"! {normalise(example.output)}"}
                        if keys & seen:
                            unused.add("same question or answer as another", f"{category}: {example.check}")
                            continue
                        seen |= keys
                        made.append(example)
        return pool, unused

    def _chosen(self, alternatives: list[Draft], seed: int, careful: bool, unused: Counts) -> Example | None:
        """One example of a draft's alternatives, drawn by the seed; None where it may not be used."""
        first = alternatives[0]
        place = f"{first.category}: {first.unit.file}, line {first.unit.first}"
        fitting = [draft for draft in alternatives if not draft.too_long()]
        if not fitting:
            unused.add("too long", place)
            return None
        draft = random.Random(drawn_seed(seed, first.question)).choice(fitting) if len(fitting) > 1 else fitting[0]
        if careful and secret_lines(f"{draft.question}\n{draft.answer}"):
            unused.add("holds a secret", place)
            return None
        return draft.example(self.language)

    def _quotas(self, number: int, there: Mapping[str, int]) -> dict[str, int]:
        """How many examples each category gives: its share, or all it has where that is less."""
        if number > sum(there.values()):
            listed = ", ".join(f"{category} {size}" for category, size in there.items())
            left = self.extraction.left.counts
            reasons = ", ".join(f"{reason} {size}" for reason, size in left.most_common(5))
            what = (
                f"gives {sum(there.values())} different examples of {self.rules.table['title']}, not {number}: {listed}"
            )
            remedy = "Ask for fewer." if sum(there.values()) else "Name another --language or checkout."
            if left["licence unclear"] or left["licence not allowed"]:
                remedy += " Say with `licences` which licences are allowed (`none`: files without one)."
            raise BadInput(what + (f"; left out: {reasons}" if reasons else ""), str(self.repo), remedy)
        quotas = counts(number, self.shares)
        while over := {name: size - there[name] for name, size in quotas.items() if size > there[name]}:
            room = {name: share for name, share in self.shares.items() if quotas[name] < there[name]}
            quotas |= {name: there[name] for name in over}
            for name, more in counts(sum(over.values()), room).items():
                quotas[name] += more
        return quotas

    def _read_again(self, file: str) -> Source:
        """The source of a file as it is now; read once for as long as the file does not change."""
        root = self.extraction.root
        found = next((item for item in self._found if item.file == file), None)
        if found is None:
            raise LeftOut("no source file of that name is used")
        try:
            state = (root / file).stat()
        except OSError as problem:
            raise LeftOut(f"unreadable ({problem.strerror})") from None
        key = (file, state.st_mtime_ns, state.st_size)
        if key not in self._again:
            if len(self._again) >= _REMEMBERED:
                self._again.clear()
            self._again[key] = one_source(root, self.language, tuple(self.licences) or _permissive(), found)[0]
        return self._again[key]

    @cached_property
    def _others(self) -> dict[str, Repository]:
        return {}

    @cached_property
    def _again(self) -> dict[tuple[str, int, int], Source]:
        return {}

    @cached_property
    def _found(self) -> list[Found]:
        return walk(self.extraction.root, tuple(self.rules.table["endings"]))[0]

    def _differences(self, example: Example, candidates: list[Draft]) -> list[str]:
        found = self._code_faults(example)
        same_question = [draft for draft in candidates if draft.question == example.input]
        if not same_question:
            found.append("input: is no question that the source gives")
        elif all(draft.answer != example.output for draft in same_question):
            found.append("output: is not what the source says")
        return found

    def _code_faults(self, example: Example) -> list[str]:
        if example.category not in tables()["code_categories"]:
            return []
        code = f"{_shown(example)}\n{example.output}" if example.category == "completion" else example.output
        return [] if correct(self._rules_of(example), code) else ["output: is no correct source"]

    def _rules_of(self, example: Example) -> Rules:
        """The rules of an example's own language: `faults` and `score` are asked without options, too."""
        return rules(example.dialect if example.dialect in tables()["languages"] else self.language)


def _permissive() -> tuple[str, ...]:
    return tuple(left_out()["licences"]["allowed"])


def _shown(example: Example) -> str:
    """The beginning of a function that a completion is asked for."""
    return example.input.partition("\n\n")[2]
