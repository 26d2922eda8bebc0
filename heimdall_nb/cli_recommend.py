"""The verb `recommend`: model, file and context for a machine and a use."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def recommend(
    hardware: Annotated[str, typer.Option(help="a machine of data/hardware.yaml, e.g. 'RTX 3060 12GB'")] = "CPU only",
    use_case: Annotated[str, typer.Option(help="a use of data/hardware.yaml, e.g. autocomplete")] = "query generation",
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Recommend preset, kind of file and context for a machine and a use; tables by hardware, use and target."""
    from heimdall_nb.memory import recommend as subject

    found = subject.recommend(hardware, use_case)
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else subject.text(found))
