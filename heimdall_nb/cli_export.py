"""The verb `export`: notebook 04, or with --adapter one file of an adapter of one's own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from heimdall_nb.errors import BadInput


def export(
    adapter: Annotated[
        Path | None, typer.Option(help="folder that `train --dataset` wrote; without it, notebook 04 runs")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="with --adapter: GGUF file to write")] = None,
    quantisation: Annotated[
        str, typer.Option(help="with --adapter: F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_K_S or Q2_K")
    ] = "Q8_0",
    run: Annotated[str, typer.Option("--run", help="folder under reports/ that the stage reads and writes")] = "",
    preset: Annotated[str, typer.Option(help="preset of data/presets.yaml")] = "nano",
    set_: Annotated[list[str] | None, typer.Option("--set", help="knob=value; repeatable; see CONFIG.md")] = None,
    force: Annotated[bool, typer.Option("--force", help="run although nothing changed")] = False,
) -> None:
    """Merge, write GGUF, quantise, and prove that the file is the model that was trained (notebook 04).

    With --adapter: write one GGUF file of it into --output, without the proof.
    """
    if adapter is None:
        if output:
            raise BadInput("needs --adapter", "--output", "Give both.")
        from heimdall_nb import cli

        cli.stage("04", run, preset, set_, force)
        return
    if output is None:
        raise BadInput("is missing", "--output", "Give the GGUF file to write.")
    if run or set_ or force:
        raise BadInput("belong to notebook 04", "--run, --set, --force", "Leave them out, or leave out --adapter.")
    print(f"written: {of_adapter(adapter, output, quantisation)} ({output.stat().st_size:,} bytes, {quantisation})")


def of_adapter(adapter: Path, output: Path, kind: str) -> Path:
    """Merge an adapter into its base as it was trained, and write that as a GGUF file of `kind`.

    Raises BadInput for what is no adapter, and for an unknown kind.
    """
    from heimdall_nb.export.gguf_file import write_gguf
    from heimdall_nb.export.merge import merge
    from heimdall_nb.export.quantise import KINDS, quantise
    from heimdall_nb.models.opened import base_of, in_4bit

    if kind not in KINDS:
        raise BadInput(f"{kind!r} is not a quantisation", "--quantisation", f"Choose from {', '.join(KINDS)}.")
    if not (adapter / "adapter_config.json").is_file():
        raise BadInput("is not an adapter (no adapter_config.json)", str(adapter), "Give what `train` wrote.")
    base = base_of(adapter)
    with tempfile.TemporaryDirectory(prefix="heimdall-export-") as folder:
        merged = merge(base, adapter, Path(folder) / "merged", in_4bit(adapter))
        whole = output if kind == "F16" else Path(folder) / "F16.gguf"
        write_gguf(merged, whole, name=output.stem, base_model=Path(str(base)).name)
        if kind != "F16":
            quantise(whole, output, kind)
    return output
