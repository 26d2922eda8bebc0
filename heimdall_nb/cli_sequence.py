"""The verb `sequence`: prompts that each see the answers before them."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from heimdall_nb.errors import HeimdallError


def sequence(
    prompts: Annotated[Path, typer.Argument(help="a prompt a line, or JSONL with the field prompt")],
    model: Annotated[Path, typer.Option(help="GGUF file")],
    output: Annotated[Path, typer.Option(help="folder of results, log and summary; a killed run goes on there")],
    settings: Annotated[str, typer.Option(help="settings of data/models.yaml: long, nano")] = "long",
    set_: Annotated[list[str] | None, typer.Option("--set", help="field=value, e.g. n_ctx=8192; repeatable")] = None,
    system: Annotated[str, typer.Option(help="system message, which every prompt begins with")] = "",
    seed: Annotated[int, typer.Option(help="seed of everything random")] = 7,
    restart: Annotated[bool, typer.Option("--restart", help="set earlier results aside and begin anew")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as JSON")] = False,
) -> None:
    """Ask a GGUF file one prompt after the other, each with the answers before it; exit status 1 when one has none."""
    from heimdall_nb.sequence.report import text
    from heimdall_nb.sequence.runner import run
    from heimdall_nb.sequence.settings import load
    from heimdall_nb.sequence.store import RESULTS, read_prompts

    chosen = load(settings, set_ or ())
    with contextlib.redirect_stdout(sys.stderr):  # progress; what is printed below can be piped
        found = run(model, read_prompts(prompts), output, chosen, system, seed, restart)
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else f"{text(found)}\n{output / RESULTS}")
    if missing := found["prompts"] - found["answered"]:
        raise HeimdallError(f"{missing} of {found['prompts']} prompts have no answer; {output / RESULTS} says why.")
