"""A whole dataset on its exact mix, written to a file: graph by graph, in several processes, in constant memory.

Each graph is a job with a quota of each part; a job writes a file a part, and the files are merged so that every
beginning of the dataset has the mix of the whole. Nothing depends on the number of processes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import yaml

from heimdall_nb import progress
from heimdall_nb.dataset.benchmark import held_out
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.generate import Choice, Engines, Held, Maker, chosen
from heimdall_nb.dataset.graphs import schema_names
from heimdall_nb.dataset.templates import PARTS, Template
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.engines.java_machine import HEAP
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.hardware import die_with_parent, threads
from heimdall_nb.run import DATA

MIX = DATA / "mix.yaml"
ALONE = 1_500  # examples up to which a second process costs more than it brings
Job = tuple[str, tuple[tuple[str, int], ...]]  # graph ("" for none), number of examples of each part


@dataclass(frozen=True)
class Plan:
    """What to make: how many examples, in which shares, on which graphs."""

    examples: int
    seed: int
    graphs: tuple[str, ...]
    mix: Mapping[str, float]
    families: Mapping[str, Sequence[str]] = field(default_factory=dict)  # part -> the only families of it
    nodes: int = 60

    def quotas(self) -> dict[str, int]:
        """Examples of each part: exact in the sum, each within one of its share (largest remainder)."""
        return dict(zip(PARTS, divided(self.examples, [self.mix.get(part, 0) for part in PARTS]), strict=True))

    def templates(self, part: str) -> list[Template]:
        return chosen(part, families=self.families.get(part))


def plan(
    examples: int,
    seed: int,
    graphs: Sequence[str] = (),
    mix: str = "",
    focus: str = "",
    nodes: int = 60,
) -> Plan:
    """A plan from text: `mix` as `30/40/20/10` or `cypher=50,plugins=50`, `focus` a name in data/mix.yaml.

    Raises BadInput for a mix that is none, an unknown focus or graph.
    """
    if not 1 <= examples <= 1_000_000:
        raise BadInput(f"{examples} is not between 1 and 1,000,000", "examples")
    known = presets_of_mix()
    if focus and focus not in known:
        raise BadInput(f"there is no focus {focus!r}", "focus", f"Choose one of: {', '.join(known)}.")
    entry = known[focus or "default"]
    for graph in graphs:
        if graph not in schema_names():
            raise BadInput(f"there is no graph {graph!r}", "graphs", f"Choose from: {', '.join(schema_names())}.")
    shares = parse_mix(mix) if mix else entry["mix"]
    return Plan(examples, seed, tuple(graphs) or tuple(schema_names()), shares, entry.get("families", {}), nodes)


@lru_cache(maxsize=1)
def presets_of_mix() -> dict[str, Any]:
    """The entries of data/mix.yaml: `default`, and each focus."""
    return yaml.safe_load(MIX.read_text(encoding="utf-8"))


def parse_mix(text: str) -> dict[str, float]:
    """`30/40/20/10` (in the order of PARTS) or `cypher=30,nornicdb=40,…` as shares. Raises BadInput for other text."""
    remedy = f"Write 30/40/20/10 (for {'/'.join(PARTS)}) or cypher=50,plugins=50."
    try:
        if "=" in text:
            shares = {name.strip(): float(share) for name, share in (item.split("=") for item in text.split(","))}
        else:
            shares = dict(zip(PARTS, map(float, text.split("/")), strict=True))
    except ValueError:
        raise BadInput(f"{text!r} is no mix", "mix", remedy) from None
    if set(shares) - set(PARTS) or not all(0 <= share < 1e9 for share in shares.values()) or not sum(shares.values()):
        raise BadInput(f"{text!r} is no mix of {', '.join(PARTS)}", "mix", remedy)
    return shares


def divided(number: int, shares: Sequence[float]) -> list[int]:
    """`number` as whole numbers in proportion to `shares`, by the largest remainder; the sum is exact."""
    total = sum(shares)
    exact = [number * share / total for share in shares]
    whole = [int(value) for value in exact]
    order = sorted(range(len(shares)), key=lambda place: (whole[place] - exact[place], place))
    for place in order[: number - sum(whole)]:
        whole[place] += 1
    return whole


def write(output: Path | str, plan: Plan, workers: int = 0, extra: Sequence[Example] = ()) -> dict[str, int]:
    """Write the examples of `plan` to a JSONL file, which appears when it is whole; returns the number of each part.

    `extra` examples stand at the end, beside the number that was asked for; what they ask is not generated again.
    `workers` processes make them (0: as many as pay off). Raises BadInput when fewer examples can be made.
    """
    output = Path(output)
    held = frozenset((item.graph or "", normalise(text)) for item in extra for text in (item.input, item.output))
    folder = _folder(output)
    try:
        counts = _make_all(plan, folder, workers or (1 if plan.examples <= ALONE else threads()), held)
        quotas = plan.quotas()
        if short := {part: quotas[part] - counts[part] for part in PARTS if counts[part] < quotas[part]}:
            missing = ", ".join(f"{number} of {part}" for part, number in short.items())
            raise BadInput(f"different examples run out: {missing} are missing", "examples", "Ask for fewer.")
        merged = folder / "merged.jsonl"
        _merge(folder, quotas, merged, extra)
        os.replace(merged, output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return quotas


def _folder(output: Path) -> Path:
    """A folder beside `output` for its parts; what a killed process left behind goes."""
    for left in output.parent.glob(f".{output.name}.*.parts"):
        if not psutil.pid_exists(int(left.name.split(".")[-2])):
            shutil.rmtree(left, ignore_errors=True)
    folder = output.with_name(f".{output.name}.{os.getpid()}.parts")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as problem:
        raise BadInput(f"cannot be written ({problem.strerror})", str(output), "Choose another folder.") from None
    return folder


def _make_all(plan: Plan, folder: Path, workers: int, held: Held) -> dict[str, int]:
    """Run the jobs: first what needs no graph, whose shortfall the graphs make up; then, if need be, a second round."""
    bare = ("", tuple((part, number) for part, number in _bare_quotas(plan).items()))
    with _runner(workers) as run:
        made = {"": run([(plan, bare, folder, held)])[0]}
        wanted = {graph: dict.fromkeys(PARTS, 0) for graph in plan.graphs}
        for _ in range(3):
            changed = _assign(plan, wanted, made)
            if not changed:
                break
            jobs = [(graph, tuple(wanted[graph].items())) for graph in plan.graphs if graph in changed]
            results = run([(plan, job, folder, held) for job in jobs])
            made |= {job[0]: result for job, result in zip(jobs, results, strict=True)}
    return {part: sum(counts[part] for counts in made.values()) for part in PARTS}


def _bare_quotas(plan: Plan) -> dict[str, int]:
    """Of each part, the share of the templates that need no schema."""
    quotas = {}
    for part, number in plan.quotas().items():
        known = plan.templates(part)
        quotas[part] = number * sum(not template.needs_schema for template in known) // max(1, len(known))
    return quotas


def _assign(plan: Plan, wanted: dict[str, dict[str, int]], made: dict[str, dict[str, int]]) -> set[str]:
    """Divide what is missing among the graphs that are not used up; returns those that get a larger quota."""
    changed = set()
    for part, number in plan.quotas().items():
        missing = number - sum(counts[part] for counts in made.values())
        open_graphs = [g for g in plan.graphs if g not in made or made[g][part] == wanted[g][part]]
        if missing > 0 and open_graphs:
            for graph, more in zip(open_graphs, divided(missing, [1] * len(open_graphs)), strict=True):
                wanted[graph][part] += more
                changed.update({graph} if more else ())
    return changed


@contextmanager
def _runner(workers: int) -> Iterator[Callable[[list[Any]], list[dict[str, int]]]]:
    """A function that runs jobs, in this process or in several; the results come in the order of the jobs."""
    with ExitStack() as stack:
        execute: Callable[..., Iterator[dict[str, int]]] = map
        if workers > 1:
            pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start)
            execute = stack.enter_context(pool).map
        try:
            yield lambda jobs: list(progress.track(execute(_job, jobs), "graphs", len(jobs)))
        except BrokenProcessPool:
            raise HeimdallError(
                "A process that made examples was ended from outside. Try again with --workers 1."
            ) from None


def _start() -> None:
    """A worker ends with its parent, and its Java machine takes no more memory than small graphs need."""
    die_with_parent()
    os.environ.setdefault(HEAP, "64m")


def _job(arguments: tuple[Plan, Job, Path, Held]) -> dict[str, int]:
    """Make the examples of one graph, a file a part; returns how many there are of each."""
    plan, (graph, quotas), folder, held = arguments
    maker = Maker(graph, plan.seed, plan.nodes, engines() if graph else None)
    counts = {}
    for part, number in quotas:
        usable = tuple(t for t in plan.templates(part) if t.needs_schema == bool(graph))
        choice = Choice(usable, held_out=held_out() | held)
        with (folder / f"{part}-{graph}.jsonl").open("w", encoding="utf-8") as lines:
            counts[part] = 0
            for example in islice(maker.examples(part, choice), number) if usable else ():
                lines.write(example.to_json() + "\n")
                counts[part] += 1
    return counts


@lru_cache(maxsize=1)
def engines() -> Engines:
    """Two graph engines of this process, one for each instance of a graph."""
    return ArcadeDB(), ArcadeDB()


def _merge(folder: Path, quotas: Mapping[str, int], output: Path, extra: Sequence[Example]) -> None:
    """Join the files so that every beginning has each part's share, and each part its graphs in turn."""
    with ExitStack() as stack, output.open("w", encoding="utf-8") as lines:
        parts = {part: _in_turn(sorted(folder.glob(f"{part}-*.jsonl")), stack) for part in PARTS}
        for part in _schedule(quotas):
            lines.write(next(parts[part]))
        lines.writelines(example.to_json() + "\n" for example in extra)
        lines.flush()
        os.fsync(lines.fileno())


def _in_turn(paths: Collection[Path], stack: ExitStack) -> Iterator[str]:
    files = [stack.enter_context(path.open(encoding="utf-8")) for path in paths]
    while files:
        for file in list(files):
            line = file.readline()
            if line:
                yield line
            else:
                files.remove(file)


def _schedule(quotas: Mapping[str, int]) -> Iterator[str]:
    """The parts in an order of which every beginning is as near to the shares as whole numbers allow."""
    total, done = sum(quotas.values()), dict.fromkeys(quotas, 0)
    for turn in range(1, total + 1):
        part = max(
            quotas, key=lambda name: quotas[name] * turn / total - done[name] if done[name] < quotas[name] else -1
        )
        done[part] += 1
        yield part
