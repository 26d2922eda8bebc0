"""The command `heimdall`: one verb a stage. Exit status 0 done, 1 a run failed, 2 bad input."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from heimdall_nb import __version__
from heimdall_nb.errors import HeimdallError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From nothing to a small language model that writes Cypher and SQL. Each verb is a stage of the course.",
)

RunName = Annotated[str, typer.Option("--run", help="folder under reports/ that the stage reads and writes")]
Seed = Annotated[int, typer.Option(help="seed of everything random")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="knob=value or 03.knob=value; repeatable; see CONFIG.md")]
Preset = Annotated[str, typer.Option(help="preset of data/presets.yaml")]
Force = Annotated[bool, typer.Option("--force", help="run although nothing changed")]


def main() -> None:
    """Entry point: run the verb, and turn errors into one sentence and an exit status."""
    if os.environ.get("HEIMDALL_DIE_WITH_PARENT"):
        from heimdall_nb.hardware import die_with_parent

        die_with_parent()
    try:
        sys.exit(app(standalone_mode=False) or 0)  # outside standalone mode, typer.Exit becomes the returned status
    except HeimdallError as problem:
        print(f"heimdall: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as problem:
        if hasattr(problem, "format_message"):  # click's usage errors
            print(f"heimdall: {problem.format_message()} Try: heimdall --help", file=sys.stderr)
            sys.exit(2)
        raise


def _version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


@app.command()
def doctor(
    write_config: Annotated[bool, typer.Option("--write-config", help="write CONFIG.md from the presets")] = False,
) -> None:
    """Check this machine: Python, packages, compiler, engines, memory; exit status 1 when something is missing."""
    from heimdall_nb import doctor as checks
    from heimdall_nb import presets
    from heimdall_nb.run import ROOT, atomic_text

    if write_config:
        print(f"written: {atomic_text(ROOT / 'CONFIG.md', presets.config_markdown())}")
        return
    found = checks.checks()
    print(checks.text(found))
    if not all(check.ok for check in found):
        raise typer.Exit(1)


@app.command()
def run(
    preset: Preset = "nano",
    run: RunName = "",
    only: Annotated[list[str] | None, typer.Option(help="only this stage, e.g. 03; repeatable")] = None,
    set_: Sets = None,
    force: Force = False,
) -> None:
    """Run the notebooks 00 to 09 of a preset; unchanged stages are skipped, interrupted ones resume."""
    from heimdall_nb import course

    done = course.run_course(preset, run, only or (), set_ or (), force)
    print(course.summary(done))


def _stage(number: str, run: str, preset: str, set_: list[str] | None, force: bool) -> None:
    from heimdall_nb import course, pages

    done = course.run_course(preset, run, [number], set_ or (), force)
    for what, value in done.metrics(number).get("headline", {}).items():
        print(f"{what}: {value}")
    print(f"report: {pages.shown(done.path / 'index.html')}")


def _stage_verb(name: str, number: str, summary: str) -> None:
    def verb(run: RunName = "", preset: Preset = "nano", set_: Sets = None, force: Force = False) -> None:
        _stage(number, run, preset, set_, force)

    app.command(name, help=f"{summary} (notebook {number}).")(verb)


for _name, _number, _summary in (
    ("train", "03", "Train the base where there is none, and fine-tune it with QLoRA"),
    ("export", "04", "Merge, write GGUF, quantise, and prove that the file is the model that was trained"),
    ("evaluate", "05", "Score the exported model on held-out questions"),
    ("profile", "06", "Measure lengths, memory and speed against the context size"),
    ("baselines", "07", "Compare zero-shot, few-shot and ReAct with the fine-tuned model"),
    ("sql", "08", "Train and score the text-to-SQL track"),
    ("deploy", "09", "Write the folder that NornicDB uses"),
):
    _stage_verb(_name, _number, _summary)


@app.command()
def generate(
    output: Annotated[Path, typer.Option(help="JSONL file to write")],
    examples: Annotated[int, typer.Option(min=1, help="how many")] = 2400,
    seed: Seed = 7,
    graphs: Annotated[str, typer.Option(help="names in data/graphs, comma-separated; empty for all")] = "",
) -> None:
    """Generate execution-verified examples (notebook 01)."""
    from heimdall_nb.dataset.example import save
    from heimdall_nb.dataset.generate import generate as make
    from heimdall_nb.dataset.graphs import schema_names
    from heimdall_nb.engines.arcadedb import ArcadeDB

    chosen = [name.strip() for name in graphs.split(",") if name.strip()] or schema_names()
    with ArcadeDB() as engine:
        made = list(make(examples, seed, chosen, engine))
    print(f"written: {save(output, made)} ({len(made)} examples, each executed)")


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="JSONL file")],
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Check a dataset: format, duplicates, balance, literals; exit status 2 when a line is wrong (notebook 02)."""
    from heimdall_nb.dataset.validate import validate as check

    report = check(file)
    found = report.to_json()
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print("\n".join([*report.fault_lines(), *(f"{what}: {value}" for what, value in _figures(found))]))
    if not report.ok:
        raise typer.Exit(2)


def _figures(found: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers of a report as flat (name, value) pairs."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _figures(value, f"{prefix}{name} ")
        elif not isinstance(value, list):
            yield prefix + name, value


@app.command()
def correct(
    file: Annotated[Path, typer.Argument(help="JSONL file, edited in place after a timestamped backup")],
    min_category_size: Annotated[int, typer.Option(min=0)] = 50,
    max_category_ratio: Annotated[float, typer.Option(min=1.0)] = 3.0,
    seed: Seed = 7,
) -> None:
    """Remove invalid lines and duplicates, and balance the categories (notebook 02)."""
    from heimdall_nb.dataset.correct import correct as mend

    for what, value in mend(file, min_category_size, max_category_ratio, seed).items():
        print(f"{what}: {value}")


@app.command()
def split(
    file: Annotated[Path, typer.Argument(help="JSONL file")],
    output: Annotated[Path, typer.Option(help="folder for train, validation, fewshot and test")],
    validation: Annotated[int, typer.Option(min=0)] = 150,
    test: Annotated[int, typer.Option(min=0)] = 200,
    fewshot: Annotated[int, typer.Option(min=0)] = 40,
    seed: Seed = 7,
) -> None:
    """Split a dataset so that no question and no query is on two sides (notebook 02)."""
    from heimdall_nb.dataset.example import load, save
    from heimdall_nb.dataset.split import split as divide

    for name, part in divide(load(file), seed, validation, test, fewshot).items():
        print(f"written: {save(output / f'{name}.jsonl', part)} ({len(part)} examples)")
