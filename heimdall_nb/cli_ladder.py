"""The verb `ladder`: all forms of a run's model on held-out questions, and which file to take."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def ladder(
    run: Annotated[str, typer.Option("--run", help="folder under reports/ in which notebook 04 has run")] = "nano",
    examples: Annotated[
        str, typer.Option(help="benchmark set (iid, template, graph, style, operations) or JSONL file")
    ] = "iid",
    items: Annotated[int, typer.Option(min=0, help="ask only the first so many; 0 for all")] = 0,
    graph_seed: Annotated[
        int | None, typer.Option(help="seed of the graphs; 2026 for benchmark sets, else 7", show_default=False)
    ] = None,
    nodes: Annotated[int, typer.Option(min=10, help="nodes of each graph")] = 60,
    texts: Annotated[int, typer.Option(min=1, help="questions on which two models' probabilities are compared")] = 50,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer in tokens")] = 128,
    context: Annotated[int, typer.Option(min=64, help="window of a GGUF file in tokens")] = 2048,
    output: Annotated[Path | None, typer.Option(help="folder of the rows; in the run's artifacts by default")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Climb the ladder: adapter, merged and each GGUF file of a run on the same questions; goes on where it ended."""
    from heimdall_nb.evaluation.evaluate import open_examples
    from heimdall_nb.export import ladder as climbing
    from heimdall_nb.export import ladder_report
    from heimdall_nb.run import Run

    questions, seed, _ = open_examples(examples)
    seed = seed if graph_seed is None else graph_seed
    asked = climbing.Questions(questions[: items or None], seed, nodes, texts, max_new_tokens, context)
    here = Run(run)
    with contextlib.redirect_stdout(sys.stderr):  # progress; what is printed below can be piped
        steps = climbing.of_run(here)
        rows = climbing.climb(steps, asked, output or here.artifact(f"ladder-{Path(examples).stem}"))
    found = ladder_report.findings(rows)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    print(ladder_report.text(rows))
    if found["warning"]:
        typer.secho(found["warning"], fg=typer.colors.RED)
