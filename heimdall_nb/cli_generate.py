"""The verb `generate`: the course's mix of examples, or with --domain those of another domain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from heimdall_nb.errors import BadInput

MOST = 100_000
_OF_THE_MIX = ("mix", "focus", "custom", "format")  # options that a domain does not have


def generate(
    output: Annotated[Path, typer.Option(help="JSONL file to write")],
    examples: Annotated[int, typer.Option(min=1, max=MOST, help="how many; of the course's mix at least 100")] = 5000,
    seed: Annotated[int, typer.Option(help="seed of everything random")] = 7,
    mix: Annotated[str, typer.Option(help="shares: 30/40/20/10, or cypher=50,plugins=50")] = "",
    focus: Annotated[str, typer.Option(help="optimize, plugins, cypher, operations or troubleshooting")] = "",
    graphs: Annotated[str, typer.Option(help="names in data/graphs, comma-separated; empty for all")] = "",
    nodes: Annotated[
        int | None, typer.Option(min=10, help="nodes of each graph that queries run on; 60", show_default=False)
    ] = None,
    custom: Annotated[
        Path | None, typer.Option(help="JSONL file of your own examples, added when they are valid")
    ] = None,
    repo: Annotated[
        Path | None,
        typer.Option(help="NornicDB checkout: its statements and names are added; of domain repository, its source"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="processes; 0 for as many as pay off", show_default=False)
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="answers: cypher, or nornicdb for the server's JSON actions")
    ] = "cypher",
    domain: Annotated[
        str, typer.Option(help="cypher, coding, mtg, repository or an installed one; see DOMAINS.md")
    ] = "",
    language: Annotated[
        str | None, typer.Option(help="of coding and repository: python, javascript, go or java", show_default=False)
    ] = None,
    include_advanced: Annotated[bool, typer.Option("--include-advanced", help="of mtg: the harder questions")] = False,
    licences: Annotated[
        str | None,
        typer.Option(help="of repository: allowed ones, comma-separated", show_default=False),
    ] = None,
) -> None:
    """Generate examples on an exact mix, executed or held against the facts (notebook 01); or of another domain."""
    given = dict(zip(_OF_THE_MIX, (mix, focus, custom, "" if format_ == "cypher" else format_), strict=True))
    own = {
        "language": language,
        "advanced": include_advanced or None,
        "licences": _names(licences) if licences is not None else None,
    }
    if domain:
        for name in (name for name, value in given.items() if value):
            raise BadInput("belongs to the course's mix", f"--{name}", "Leave it out, or leave out --domain.")
        own |= {"graphs": _names(graphs) or None, "repo": repo, "nodes": nodes, "workers": workers}
        of_domain(domain, output, examples, seed, own)
        return
    for name in (name for name, value in own.items() if value is not None):
        raise BadInput("needs --domain", f"--{name}".replace("advanced", "include-advanced"), "Give both.")
    if examples < 100:
        raise BadInput(f"{examples} is not in the range 100<=x<={MOST}", "--examples", "The mix needs 100 examples.")
    of_mix(output, examples, seed, mix, focus, graphs, nodes or 60, custom, repo, workers or 0, format_)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def checkout(repo: Path | None, licences: str | None) -> dict[str, Any]:
    """Domain `repository` opened on a checkout, by its name; nothing where none is given."""
    from heimdall_nb.domains import domain

    if repo is None and licences is not None:
        raise BadInput("needs --repo", "--licences", "Give both.")
    if repo is None:
        return {}
    opened = domain("repository", repo=repo, licences=_names(licences) if licences is not None else None)
    return {opened.name: opened}


def of_domain(name: str, output: Path, examples: int, seed: int, options: dict[str, object]) -> None:
    """Write the examples of a domain; prints how many there are of each category, and what the domain reports."""
    from collections import Counter

    from heimdall_nb.dataset.example import save
    from heimdall_nb.domains import domain

    chosen = domain(name, **options)
    made = list(chosen.examples(examples, seed))
    save(output, made)
    for category, number in sorted(Counter(example.category for example in made).items()):
        print(f"{category}: {number}")
    for what, number in getattr(chosen, "report", dict)().items():
        print(f"{what}: {number}")
    print(f"written: {output} ({len(made)} examples; metric: {chosen.metric})")


def of_mix(
    output: Path,
    examples: int,
    seed: int,
    mix: str,
    focus: str,
    graphs: str,
    nodes: int,
    custom: Path | None,
    repo: Path | None,
    workers: int,
    format_: str,
) -> None:
    """Write the course's mix of examples; prints how many there are of each part."""
    from heimdall_nb.dataset import extras, runtime
    from heimdall_nb.dataset import mix as mixing

    as_actions = runtime.check_format(format_)
    plan = mixing.plan(examples, seed, _names(graphs), mix, focus, nodes)
    added = extras.custom(custom) if custom else []
    if repo:
        found, report = extras.from_repository(repo)
        added += found
        print("\n".join(f"repository, {what}: {number}" for what, number in report.items()))
    counts = mixing.write(output, plan, workers, added)
    print("\n".join(f"{part}: {number}" for part, number in counts.items()))
    print(f"written: {output} ({sum(counts.values()) + len(added)} examples, {len(added)} of them your own)")
    if as_actions:
        print("\n".join(f"{name}: {number}" for name, number in runtime.rewrite(output, seed).items()))
