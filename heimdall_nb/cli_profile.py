"""The verb `profile`: notebook 06, or one of its parts for files of your own."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

profile = typer.Typer(invoke_without_command=True)
Json = Annotated[bool, typer.Option("--json", help="print the figures as JSON")]
BASE = "heimdall-nano-base"


@profile.callback()
def whole(
    context: typer.Context,
    run: Annotated[str, typer.Option("--run", help="folder under reports/ that the stage reads and writes")] = "",
    preset: Annotated[str, typer.Option(help="preset of data/presets.yaml")] = "nano",
    set_: Annotated[list[str] | None, typer.Option("--set", help="knob=value; repeatable; see CONFIG.md")] = None,
    force: Annotated[bool, typer.Option("--force", help="run although nothing changed")] = False,
) -> None:
    """Measure lengths, memory and speed against the context size (notebook 06); or one of them, of your own files."""
    if context.invoked_subcommand is None:
        from heimdall_nb.cli import stage

        stage("06", run, preset, set_, force)


@profile.command()
def lengths(
    data: Annotated[Path, typer.Argument(help="JSONL of examples, a query log, Cypher text, or a question a line")],
    tokenizer: Annotated[str, typer.Option(help="model folder, hub id or GGUF file")] = BASE,
    form: Annotated[str, typer.Option(help="auto, examples, log or lines")] = "auto",
    schema: Annotated[Path | None, typer.Option(help="text file: the schema of items that have none")] = None,
    max_length: Annotated[int, typer.Option(min=1, help="tokens of a training row")] = 1280,
    context: Annotated[int, typer.Option(min=0, help="tokens of the context in use; 0: the recommended one")] = 0,
    max_new_tokens: Annotated[int, typer.Option(min=0, help="longest answer; 0: the longest one of the file")] = 0,
    share: Annotated[float, typer.Option(min=0.5, max=1, help="of the prompts that the context must hold")] = 1.0,
    output: Annotated[Path | None, typer.Option(help="folder for table, histogram, and each item's outcome")] = None,
    as_json: Json = False,
) -> None:
    """Count the tokens of questions, schemas and answers; recommend a context; name what would be cut."""
    from heimdall_nb.context import lengths as subject
    from heimdall_nb.context.items import read
    from heimdall_nb.context.tokenise import tokeniser

    items = read(data, form, _text(schema))
    with contextlib.redirect_stdout(sys.stderr), tokeniser(tokenizer) as (tokenise, counts):  # progress goes to stderr
        declared = subject.declared_context(tokenizer)
        found = subject.measure(items, tokenise, max_length, context, max_new_tokens, share, declared, counts)
    if as_json:
        print(json.dumps(found | {"records": len(found["records"])}, indent=2, ensure_ascii=False))
    else:
        print(subject.text(found))
    if output:
        written = subject.write(found, output)
        print("written:", *written, file=sys.stderr if as_json else sys.stdout)


def _text(path: Path | None) -> str:
    from heimdall_nb.errors import BadInput

    try:
        return path.read_text(encoding="utf-8").strip() if path else ""
    except (OSError, ValueError) as problem:
        raise BadInput(f"cannot be read ({problem})", str(path), "Give a text file in UTF-8.") from None


@profile.command()
def memory(
    model: Annotated[str, typer.Argument(help="GGUF file; with --no-load also a model folder or hub id")],
    context: Annotated[str, typer.Option(help="context sizes in tokens")] = "512,1024,2048,4096",
    cache: Annotated[str, typer.Option(help="types of the cache: F16, Q8_0, Q4_0")] = "F16",
    flash: Annotated[bool, typer.Option("--flash/--no-flash", help="flash attention, as llama.cpp does it")] = True,
    load: Annotated[bool, typer.Option("--load/--no-load", help="measure by loading, or estimate alone")] = True,
    quantisation: Annotated[str, typer.Option(help="of a folder's or hub id's file: F16, Q8_0, Q4_K_M, …")] = "Q4_K_M",
    as_json: Json = False,
) -> None:
    """Memory at each context size and type of cache: the formula, beside what loading the file takes on this CPU."""
    from heimdall_nb.context import loaded
    from heimdall_nb.deploy.speed import listed, numbers

    sizes = numbers("--context", context)
    with contextlib.redirect_stdout(sys.stderr):
        rows = loaded.points(model, sizes, listed(cache.upper()), flash, load, quantisation)
    print(json.dumps(rows, indent=2) if as_json else loaded.text(rows))


@profile.command()
def speed(
    model: Annotated[Path, typer.Argument(help="GGUF file")],
    context: Annotated[str, typer.Option(help="context sizes in tokens")] = "1024,2048,4096",
    depth: Annotated[str, typer.Option(help="tokens of the prompt")] = "256,768,1536,3072",
    threads: Annotated[str, typer.Option(help="numbers of threads, the usual one first")] = "1,2",
    batch: Annotated[str, typer.Option(help="tokens of a prompt given in one call, the usual first")] = "512,64",
    micro_batch: Annotated[str, typer.Option(help="tokens computed at once, the usual first")] = "512,128",
    examples: Annotated[str, typer.Option(help="benchmark set or JSONL file with the questions")] = "iid",
    items: Annotated[int, typer.Option(min=1, help="questions a setting")] = 5,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer in tokens")] = 64,
    output: Annotated[Path | None, typer.Option(help="folder for table and figure")] = None,
    as_json: Json = False,
) -> None:
    """Tokens a second of reading and writing by depth and setting, cold and warm, beside llama.cpp's own rate."""
    from heimdall_nb.context import speeds
    from heimdall_nb.deploy.speed import numbers

    knobs = {"threads": numbers("--threads", threads), "batches": numbers("--batch", batch)}
    knobs |= {"micros": numbers("--micro-batch", micro_batch)}
    knobs |= {"contexts": numbers("--context", context), "depths": numbers("--depth", depth)}
    with contextlib.redirect_stdout(sys.stderr):
        found = speeds.run(model, examples, items, output, max_new_tokens, **knobs)
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else speeds.text(found))


@profile.command()
def quality(
    model: Annotated[Path, typer.Argument(help="GGUF file")],
    examples: Annotated[str, typer.Option(help="benchmark set (graph, iid, template, style) or JSONL file")] = "graph",
    items: Annotated[int, typer.Option(min=0, help="ask so many questions, spread over the graphs; 0 for all")] = 0,
    labels: Annotated[str, typer.Option(help="numbers of other graphs' labels in the schema")] = "8,16,32",
    place: Annotated[str, typer.Option(help="of the own lines: first, middle, last")] = "first,middle,last",
    turns: Annotated[str, typer.Option(help="numbers of earlier turns before the question")] = "8,24",
    keep: Annotated[int, typer.Option(min=0, help="labels that pruning keeps; 0 leaves pruning out")] = 4,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer in tokens")] = 128,
    output: Annotated[Path | None, typer.Option(help="folder for answers, table and figure")] = None,
    as_json: Json = False,
) -> None:
    """EX against the schema's size, the place of the needed part and the sequence's length; pruning as a remedy."""
    from heimdall_nb.context import quality as subject
    from heimdall_nb.deploy.speed import listed, numbers

    sizes, earlier = numbers("--labels", labels), numbers("--turns", turns)
    with contextlib.redirect_stdout(sys.stderr):
        found = subject.run(model, examples, output, sizes, listed(place), earlier, keep, items, max_new_tokens)
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else subject.text(found))
