"""Speed against depth, context size, threads, batch and micro-batch, each beside llama.cpp's own rate.

The figures are those of `deploy.speed`, which `heimdall benchmark` prints: real questions, answered with a cold and
with a warm prefix, and llama.cpp's bare loop on as many tokens right after. Here the schema is filled up with labels of
other graphs until the prompt has the wanted number of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.context.profile import Tokenise
from heimdall_nb.context.schemas import lines_of
from heimdall_nb.context.tokenise import tokeniser
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import schema_names
from heimdall_nb.deploy import speed
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.answers import prompt_of
from heimdall_nb.models.llamacpp import BATCH, LlamaCppModel
from heimdall_nb.prompts import Conversation, render
from heimdall_nb.run import atomic_text, sha256, write_json


@dataclass(frozen=True)
class Setting:
    """How a file is run: tokens of context and of the prompt, threads, tokens given and computed at once."""

    context: int
    depth: int
    threads: int
    batch: int = BATCH
    micro: int = BATCH


def settings(
    contexts: Sequence[int],
    depths: Sequence[int],
    threads: Sequence[int],
    batches: Sequence[int] = (BATCH,),
    micros: Sequence[int] = (),
    answer: int = 192,
) -> list[Setting]:
    """Every depth in every context that has room for it; then the other knobs, one at a time.

    The first of threads, batches and micro-batches is the usual one; the others are tried in the largest context, at
    its middle depth. A micro-batch is no larger than its batch. Raises BadInput where no context has room for a depth.
    """
    usual = Setting(max(contexts), 0, threads[0], batches[0], min([*micros[:1], batches[0]]))
    found = [replace(usual, context=c, depth=d) for c in sorted(contexts) for d in sorted(depths) if d + answer <= c]
    if not found:
        raise BadInput(f"no context has room for {min(depths)} tokens and {answer} of answer", "--context", "Raise it.")
    deepest = [one for one in found if one.context == found[-1].context]
    middle = deepest[(len(deepest) - 1) // 2]
    found += [replace(middle, threads=count) for count in threads[1:]]
    found += [replace(middle, batch=size, micro=min(size, middle.micro)) for size in batches[1:]]
    found += [replace(middle, micro=size) for size in micros[1:] if size <= middle.batch]
    return list(dict.fromkeys(found))


def at_depth(example: Example, depth: int, tokenise: Tokenise) -> Conversation:
    """An example's conversation whose prompt has `depth` tokens or a few less; its own length where that is more."""
    lines = [example.schema]
    left = depth - len(tokenise(render(prompt_of(example))))
    others = [name for name in schema_names(None) if name != example.graph]
    for line in cycle([line for name in others for line in lines_of(name)]):
        left -= len(tokenise(f"\n{line}"))
        if left < 0:
            return prompt_of(replace(example, schema="\n".join(lines)))
        lines.append(line)
    raise AssertionError("cycle ends")  # pragma: no cover


def measure(
    path: Path, examples: Sequence[Example], wanted: Sequence[Setting], max_new_tokens: int = 192
) -> dict[str, Any]:
    """One row a setting: tokens a second of reading and writing, llama.cpp's own, milliseconds of the prefix.

    Rates are medians over the examples. Raises BadInput for a damaged file, no examples, or a context without room.
    """
    if not examples:
        raise BadInput("there are no questions", "--examples", "Give a file with examples, or more --items.")
    with tokeniser(str(path)) as (tokenise, _):
        depths = {one.depth for one in wanted}
        prompts = {depth: [at_depth(example, depth, tokenise) for example in examples] for depth in depths}
    rows = [asdict(one) | _row(path, one, prompts[one.depth], max_new_tokens) for one in wanted]
    return {
        "model": path.stem,
        "sha256": sha256(path),
        "own_rate": speed.OWN,
        "machine": hardware.machine(),
        "versions": hardware.versions(),
        "rows": rows,
    }


def _row(path: Path, one: Setting, prompts: Sequence[Conversation], max_new_tokens: int) -> dict[str, Any]:
    with (
        closing(
            LlamaCppModel(path, one.context, one.threads, batch=one.batch, options={"n_ubatch": one.micro})
        ) as model,
        closing(speed.Bare(path, one.context, one.threads, one.batch, one.micro)) as bare,
    ):
        speed.timings(model, bare, prompts[:1], max_new_tokens)  # touches memory and warms caches
        found = speed.summary(speed.timings(model, bare, prompts, max_new_tokens))
    row: dict[str, Any] = {"prompt_tokens": found["prompt_tokens"]}
    for group, name in (("prompt", "read"), ("generation", "write")):
        row |= {name: found[group]["per_second"], f"{name}_own": found[group]["own_per_second"]}
        row |= {f"{name}_share": found[group]["ratio"]}
    prefix = found["prefix"]
    return row | {"cold_ms": prefix["cold_ms"], "warm_ms": prefix["warm_ms"], "times_cheaper": prefix["times_cheaper"]}


NAMES = {  # of our figure: its column, and its decimals
    "context": ("context", 0),
    "prompt_tokens": ("depth", 0),
    "threads": ("threads", 0),
    "batch": ("batch", 0),
    "micro": ("micro-batch", 0),
    "read": ("read, tokens/s", 0),
    "read_own": ("llama.cpp reads", 0),
    "read_share": ("share read", 2),
    "write": ("write, tokens/s", 0),
    "write_own": ("llama.cpp writes", 0),
    "write_share": ("share written", 2),
    "cold_ms": ("cold prefix, ms", 1),
    "warm_ms": ("warm prefix, ms", 1),
    "times_cheaper": ("times cheaper", 0),
}


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows by names for a reader; `-` for what no answer was long enough for."""
    return [{said: _shown(row[name], places) for name, (said, places) in NAMES.items()} for row in found["rows"]]


def _shown(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def text(found: Mapping[str, Any]) -> str:
    """The figures as a table, with the machine and what llama.cpp's own rate is."""
    from heimdall_nb.memory.parts import markdown

    machine = found["machine"]
    lines = [f"{found['model']}: tokens a second by depth and setting", markdown(table(found))]
    return "\n\n".join([*lines, f"llama.cpp's own rate: {found['own_rate']}", f"machine: {machine}"])


def by_depth(found: Mapping[str, Any]) -> dict[int, list[Mapping[str, Any]]]:
    """The rows with the usual threads, batch and micro-batch, by context size."""
    first = found["rows"][0]
    usual = [r for r in found["rows"] if all(r[k] == first[k] for k in ("threads", "batch", "micro"))]
    return {size: [r for r in usual if r["context"] == size] for size in sorted({r["context"] for r in usual})}


def figure(found: Mapping[str, Any]) -> tuple[Any, str]:
    """(tokens a second of reading and writing against depth, in the largest context, its alternative text)."""
    from matplotlib.ticker import LogLocator, NullFormatter

    from heimdall_nb import plots

    context, rows = list(by_depth(found).items())[-1]
    fig, axes = plots.figure(f"Speed by depth, context {context:,}", "tokens before", "tokens a second", (7.0, 3.2))
    said = []
    for (name, label), colour, marker in zip(
        {"read": "reading", "write": "writing"}.items(), plots.COLOURS, plots.MARKERS, strict=False
    ):
        points = [(r["prompt_tokens"], r[name], r[f"{name}_own"]) for r in rows if r[name] is not None]
        depths, ours, own = zip(*points, strict=True) if points else ((), (), ())
        axes.plot(depths, ours, color=colour, marker=marker, label=label)
        axes.plot(depths, own, color=colour, linestyle=":", label=f"{label}, llama.cpp's own")
        said.append(f"{label} " + ", ".join(f"{rate:,.0f} at {depth:,.0f}" for depth, rate, _ in points))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    return fig, f"Tokens a second by tokens before, in a context of {context:,}: {'; '.join(said)}."


def run(
    path: Path,
    examples: str = "iid",
    items: int = 5,
    output: Path | None = None,
    max_new_tokens: int = 192,
    **knobs: Sequence[int],
) -> dict[str, Any]:
    """`measure` by the name of a set or JSONL file; `speeds.json`, `.md` and `.png` go to `output`.

    `knobs` are those of `settings`: contexts, depths, threads, batches, micros.
    """
    from heimdall_nb import plots
    from heimdall_nb.evaluation.evaluate import open_examples
    from heimdall_nb.models.gguf_path import check_gguf

    chosen = open_examples(examples)[0][: items or None]
    found = measure(check_gguf(path), chosen, settings(answer=max_new_tokens, **knobs), max_new_tokens)
    found = {"examples": examples, "items": len(chosen)} | found
    if output:
        picture, alt = figure(found)
        write_json(output / "speeds.json", found)
        plots.save(picture, output / "speeds.png")
        atomic_text(output / "speeds.md", f"# Speed by depth\n\n![{alt}](speeds.png)\n\n{text(found)}\n")
    return found
