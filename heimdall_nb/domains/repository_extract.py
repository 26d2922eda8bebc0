"""All units of a checkout, read in several processes and always in the order of the paths, with what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from heimdall_nb.domains import repository_files as files
from heimdall_nb.domains.repository_files import Counts, Found, LeftOut
from heimdall_nb.domains.repository_licences import CLOSED, NONE, UNKNOWN, allowed, header_licence
from heimdall_nb.domains.repository_links import Links, prefix_of
from heimdall_nb.domains.repository_rules import left_out, rules
from heimdall_nb.domains.repository_source import Source, read_source
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.hardware import die_with_parent, threads
from heimdall_nb.progress import track

ALONE = 150  # files that one process reads sooner than a second one has started
_BATCH = 32  # files of one job

Job = tuple[str, str, tuple[str, ...], list[Found]]
Outcome = tuple[Source | str, str]  # what the file holds, or why it is left out; its encoding or licence


@dataclass
class Extraction:
    """The sources of a checkout, how its calls lead to definitions, and the counts of what was found and left out."""

    root: Path
    sources: list[Source]
    links: Links
    left: Counts = field(default_factory=Counts)
    encodings: Counts = field(default_factory=Counts)
    secrets: Counts = field(default_factory=Counts)

    @property
    def lines(self) -> int:
        return sum(source.lines for source in self.sources)


def extract(repo: Path | str, language: str, licences: tuple[str, ...] = (), workers: int = 0) -> Extraction:
    """Read the checkout at `repo`. `licences` are those allowed (empty: the permissive ones of the tables).

    `workers` processes read it (0: as many as pay off). Raises BadInput when there is no such folder or language.
    """
    table = rules(language).table
    root = _root(repo)
    found, left = files.walk(root, tuple(table["endings"]))
    wanted = licences or tuple(left_out()["licences"]["allowed"])
    jobs = [(str(root), language, wanted, found[at : at + _BATCH]) for at in range(0, len(found), _BATCH)]
    result = Extraction(root, [], Links((), ()), left)
    outcomes = (
        outcome for batch in _run(jobs, workers or (threads() if len(found) > ALONE else 1)) for outcome in batch
    )
    for item, (outcome, about) in zip(found, outcomes, strict=True):
        if isinstance(outcome, str):
            left.add(outcome, f"{item.file} ({about})" if about else item.file)
            continue
        result.sources.append(outcome)
        result.encodings.add(about, item.file)
        for line, kind in outcome.secrets.items():
            result.secrets.add(kind, f"{item.file}, line {line}")
    result.links = Links(result.sources, prefix_of(root.name, _root_texts(root, table), table))
    return result


def _root(repo: Path | str) -> Path:
    remedy = "Give --repo the folder of a checkout."
    if not str(repo):
        raise BadInput("no checkout is named", "--repo", remedy)
    try:
        root = Path(repo).expanduser().resolve()
        if not root.exists():
            raise BadInput("there is no such folder", str(repo), remedy)
        if not root.is_dir():
            raise BadInput("is no folder", str(repo), remedy)
    except (OSError, ValueError, RuntimeError) as problem:
        raise BadInput(f"cannot be read ({problem})", ascii(str(repo)), remedy) from None
    return root


def _root_texts(root: Path, table: dict[str, object]) -> dict[str, str]:
    """The file that names the module, where the language has one."""
    wanted = table.get("prefix")
    if not isinstance(wanted, dict):
        return {}
    try:
        return {wanted["file"]: files.read(root, wanted["file"])[0]}
    except LeftOut:
        return {}


def _run(jobs: list[Job], workers: int) -> Iterator[list[Outcome]]:
    with ExitStack() as stack:
        execute = map
        if workers > 1:
            pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=die_with_parent)
            execute = stack.enter_context(pool).map
        try:
            yield from track(execute(_job, jobs), f"groups of {_BATCH} files", len(jobs))
        except BrokenProcessPool:
            raise HeimdallError(
                "A process that read files was ended from outside. Try again with one worker."
            ) from None


def _job(job: Job) -> list[Outcome]:
    root, language, licences, found = job
    return [_outcome(Path(root), language, licences, item) for item in found]


def _outcome(root: Path, language: str, licences: tuple[str, ...], item: Found) -> Outcome:
    try:
        return one_source(root, language, licences, item)
    except LeftOut as reason:
        return reason.reason, reason.about


def one_source(root: Path, language: str, licences: tuple[str, ...], item: Found) -> tuple[Source, str]:
    """The source of one file and its encoding. Raises LeftOut with the reason where it may or can not be used."""
    text, encoding = files.read(root, item.file)
    if reason := files.generated_reason(text):
        raise LeftOut(reason)
    licence = header_licence(text) or item.licence
    if not allowed(licence, licences):
        unclear = licence in (NONE, UNKNOWN) or UNKNOWN in licence
        raise LeftOut("licence unclear" if unclear else "licence not allowed", _said(licence))
    return read_source(rules(language), item.file, text), encoding


def _said(licence: str) -> str:
    words = {NONE: "no licence file", UNKNOWN: "a text that is not recognised", CLOSED: "all rights reserved"}
    return words.get(licence.strip("()"), licence.strip("()"))
