"""Execution accuracy against the length of the prompt: labels that no question needs, their place, earlier turns.

Each condition asks the same questions of a benchmark set, so that two conditions are compared item by item. A gold is
executed on its own graph: an answer that names a label of another graph is wrong.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from heimdall_nb.context import schemas
from heimdall_nb.context.profile import SIZES
from heimdall_nb.context.tokenise import tokeniser
from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.choose import graph_engine
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation import evaluate
from heimdall_nb.evaluation.answers import executable
from heimdall_nb.evaluation.metrics import ItemScore, summary
from heimdall_nb.evaluation.report import percent
from heimdall_nb.evaluation.statistics import paired_bootstrap
from heimdall_nb.models.answers import ask
from heimdall_nb.models.protocol import LanguageModel
from heimdall_nb.progress import track
from heimdall_nb.prompts import Conversation, conversation, render
from heimdall_nb.run import atomic_text, sha256, write_json

DRAWS = 3  # sets of other labels for each graph, so that the choice of labels does not decide a score
_NAMED = re.compile(r":\s*(`[^`]+`|\w+)")


@dataclass(frozen=True)
class Condition:
    """How a question is asked: beside how many other labels, where its own stand, behind how many earlier turns.

    `keep` above 0 leaves that many labels in the schema, chosen by `schemas.pruned`.
    """

    labels: int = 0
    place: str = "mixed"
    turns: int = 0
    keep: int = 0

    @property
    def name(self) -> str:
        """The condition in words, as tables have it."""
        if self.turns:
            return f"{self.turns} earlier turns"
        if not self.labels:
            return "own schema"
        said = f"{self.labels} other labels" + ("" if self.place == "mixed" else f", own {self.place}")
        return said + (f", pruned to {self.keep}" if self.keep else "")


def conditions(labels: Sequence[int], places: Sequence[str], turns: Sequence[int], keep: int) -> list[Condition]:
    """The own schema alone; each number of other labels, mixed in, whole and pruned; the places; the earlier turns.

    The places are tried with the middle one of the numbers. A `keep` of 0 leaves out pruning. Raises BadInput for an
    unknown place.
    """
    for place in places:
        schemas.check_place(place)
    sizes = sorted({number for number in labels if number})
    found = [Condition()]
    found += [Condition(number, keep=kept) for number in sizes for kept in dict.fromkeys((0, keep))]
    if sizes:
        found += [Condition(sizes[(len(sizes) - 1) // 2], place) for place in places]
    return list(dict.fromkeys([*found, *(Condition(turns=number) for number in sorted(turns) if number)]))


def schema_of(example: Example, condition: Condition) -> str:
    """The schema that a question is asked with; the items of a graph share `DRAWS` sets of other labels."""
    draw = int(example.id[:8], 16) % DRAWS
    whole = schemas.with_others(example.schema, condition.labels, condition.place, f"{example.graph} {draw}")
    return schemas.pruned(whole, example.question, condition.keep) if condition.keep and condition.labels else whole


def asked(example: Example, condition: Condition, pool: Sequence[Example]) -> Conversation:
    """The conversation of a question; earlier turns are questions of `pool` about its graph, of other templates."""
    turns: Sequence[Example] = ()
    if condition.turns:
        turns = [e for e in pool if e.graph == example.graph and e.template != example.template][: condition.turns]
        if len(turns) < condition.turns:
            raise BadInput(f"{condition.turns} are more than there are for {example.graph}", "--turns", "Give fewer.")
    earlier = [(turn.question, turn.output) for turn in turns]
    return conversation(example.question, schema_of(example, condition), example.task, exemplars=earlier)


def kept_names(example: Example, condition: Condition) -> bool:
    """Whether the schema still has every label and relationship type of its own that the gold names."""
    needed = {name.strip("`") for name in _NAMED.findall(example.output)} & schemas.names_in(example.schema)
    return needed <= schemas.names_in(schema_of(example, condition))


def measure(
    path: Path,
    examples: Sequence[Example],
    folder: Path,
    wanted: Sequence[Condition],
    seed: int,
    items: int = 0,
    max_new_tokens: int = 128,
    nodes: int = 60,
) -> dict[str, Any]:
    """EX of a GGUF file under each condition, with intervals, and what follows for the context; ready for JSON.

    `items` asks so many, spread over the graphs; 0 all. `seed` is that of the graphs. The window is as large as the
    longest prompt needs, also beyond what the model was made for. Answers are kept in `folder`, so that what was asked
    is not asked again. Raises BadInput where nothing can be executed.
    """
    pool = executable(examples)
    if not pool:
        raise BadInput("holds no query on a graph of data/graphs", "--examples", "Give a set such as graph or iid.")
    chosen, mixed = spread(pool, items), random.Random("turns").sample(pool, len(pool))
    prompts = {
        condition: [asked(example, condition, mixed) for example in chosen]
        for condition in track(wanted, "prompts of conditions")
    }
    with tokeniser(str(path)) as (tokenise, _):
        tokens = {
            condition: [len(tokenise(render(turns))) for turns in found]
            for condition, found in track(prompts.items(), "token lengths")
        }
    longest = max(max(found) for found in tokens.values())
    window = _size(longest + max_new_tokens)
    with closing(evaluate.open_model(path, context=window)) as model:
        answers = _answers(model, chosen, prompts, folder / "answers.jsonl", max_new_tokens, sha256(path))
    with closing(graph_engine()) as engine:
        scores = {
            condition: evaluate.score(chosen, answers[condition], seed, nodes, engine=engine)
            for condition in track(list(wanted), "scores of conditions")
        }
    return _found(path, chosen, tokens, scores, window, max_new_tokens)


def spread(examples: Sequence[Example], items: int) -> list[Example]:
    """So many of the examples, the graphs in turn; 0 for all."""
    if not items or items >= len(examples):
        return list(examples)
    seen: dict[str | None, int] = {}
    order = []
    for place, example in enumerate(examples):
        seen[example.graph] = seen.get(example.graph, 0) + 1
        order.append((seen[example.graph], place))
    return [examples[place] for _, place in sorted(sorted(order)[:items], key=lambda pair: pair[1])]


def _size(tokens: int) -> int:
    return next((size for size in SIZES if size >= tokens), tokens)


def _answers(
    model: LanguageModel,
    chosen: Sequence[Example],
    prompts: Mapping[Condition, Sequence[Conversation]],
    path: Path,
    max_new_tokens: int,
    version: str,
) -> dict[Condition, Any]:
    """The answers of all conditions: one list of prompts, so that those which begin alike are asked together."""
    every = [turns for found in prompts.values() for turns in found]
    names = [f"{example.id} {condition.name}" for condition in prompts for example in chosen]
    answers = ask(model, every, path, names, max_new_tokens, version)
    return {c: answers[k * len(chosen) : (k + 1) * len(chosen)] for k, c in enumerate(prompts)}


def _found(
    path: Path,
    chosen: Sequence[Example],
    tokens: Mapping[Condition, Sequence[int]],
    scores: Mapping[Condition, Sequence[ItemScore]],
    window: int,
    max_new_tokens: int,
) -> dict[str, Any]:
    right = {condition: [float(item.ex) for item in found] for condition, found in scores.items()}
    plain = next(iter(scores))
    rows = []
    for condition, found in right.items():
        row = {"condition": condition.name, **vars(condition), "items": len(found)}
        row |= {"tokens": round(mean(tokens[condition])), "longest": max(tokens[condition])}
        row |= {"ex": summary(scores[condition])["ex"]}
        row |= {"difference": _difference(found, right[plain]) if condition != plain else None}
        whole = Condition(condition.labels, condition.place)
        if condition.keep and whole in right:
            row |= {"remedy": _difference(found, right[whole])}
            row |= {"kept": round(mean(kept_names(example, condition) for example in chosen), 4)}
        rows.append(row)
    floor = summary(scores[plain])["floor"]
    return {
        "model": path.stem,
        "items": len(chosen),
        "floor": floor,
        "window": window,
        "max_new_tokens": max_new_tokens,
        "rows": rows,
        "recommended": recommended(rows, max_new_tokens),
    }


def _difference(found: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    low, high = paired_bootstrap(found, other)
    return {"mean": round(mean(found) - mean(other), 4), "low": round(low, 4), "high": round(high, 4)}


def recommended(rows: Sequence[Mapping[str, Any]], max_new_tokens: int) -> dict[str, Any]:
    """The longest prompt at which EX is not shown to be lower than with the own schema, and the context it needs.

    Only prompts that grow by other labels count. Lower is shown where the 95 % interval of the difference, item by
    item, lies below zero; the first such size ends what holds.
    """
    sizes = [row for row in rows if not row["turns"] and not row["keep"] and row["place"] == "mixed"]
    holds, breaks = sizes[0], None
    for row in sizes[1:]:
        if row["difference"]["high"] < 0:
            breaks = row
            break
        holds = row
    context = _size(holds["longest"] + max_new_tokens)
    if holds is sizes[0]:
        said = f"With prompts of {holds['tokens']:,} tokens ({holds['condition']}) EX is {percent(holds['ex'])}."
    else:
        said = (
            f"Up to prompts of {holds['tokens']:,} tokens ({holds['condition']}) EX is not shown to be lower than with "
            f"the own schema: {percent(holds['ex'])}, {_points(holds['difference'])} points."
        )
    reason = f"{said} {context:,} is the smallest size that holds them and {max_new_tokens} tokens of answer."
    if breaks:
        reason += (
            f" At {breaks['tokens']:,} tokens ({breaks['condition']}) it is lower: {percent(breaks['ex'])}, "
            f"{_points(breaks['difference'])} points."
        )
    elif len(sizes) > 1:
        reason += " No larger schema was tried."
    found = {"tokens": holds["tokens"], "longest": holds["longest"], "lower_at": breaks and breaks["tokens"]}
    return found | {"context": context, "reason": reason}


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows for a reader: EX with its interval, and the differences in points with theirs."""
    shown = []
    for row in found["rows"]:
        line = {"condition": row["condition"], "tokens": row["tokens"], "EX (95 %)": percent(row["ex"])}
        line |= {"against own schema": _points(row["difference"]), "against unpruned": _points(row.get("remedy"))}
        shown.append(line | {"has what the gold names": f"{row['kept']:.0%}" if "kept" in row else "-"})
    return shown


def _points(change: Mapping[str, float] | None) -> str:
    if change is None:
        return "-"
    return f"{100 * change['mean']:+.1f} ({100 * change['low']:+.1f} to {100 * change['high']:+.1f})"


def text(found: Mapping[str, Any]) -> str:
    """The figures as a table and the sentence about the context."""
    from heimdall_nb.memory.parts import markdown

    head = f"{found['model']}: {found['items']} questions, EX; a constant answer gets {percent(found['floor'])}."
    return "\n\n".join([head, markdown(table(found)), found["recommended"]["reason"]])


def figure(found: Mapping[str, Any]) -> tuple[Any, str]:
    """(EX against the tokens of the prompt as a figure, with intervals, its alternative text).

    A pruned schema stands where its whole one stands, so that the remedy is seen above what it mends.
    """
    from heimdall_nb import plots

    rows = found["rows"]
    sizes = [row for row in rows if not row["turns"] and not row["keep"] and row["place"] == "mixed"]
    before = {row["labels"]: row["tokens"] for row in sizes}
    lines = {
        "other labels": [(row["tokens"], row["ex"]) for row in sizes],
        "pruned, by tokens before": [(before[row["labels"]], row["ex"]) for row in rows if row["keep"]],
        "earlier turns": [(row["tokens"], row["ex"]) for row in rows if row["turns"] or row is rows[0]],
    }
    fig, axes = plots.figure("EX against the length of the prompt", "tokens of the prompt, mean", "EX, %", (7.0, 3.4))
    for (name, points), colour, marker in zip(lines.items(), plots.COLOURS, plots.MARKERS, strict=False):
        if points:
            ends = [(ex["value"] - ex["low"], ex["high"] - ex["value"]) for _, ex in points]
            spread = [[100 * part for part in side] for side in zip(*ends, strict=True)]
            style = {"color": colour, "marker": marker, "capsize": 3, "label": name}
            axes.errorbar([x for x, _ in points], [100 * ex["value"] for _, ex in points], spread, **style)
    axes.set_ylim(bottom=0)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    said = [
        f"{name}: " + ", ".join(f"{100 * ex['value']:.0f} at {x}" for x, ex in points)
        for name, points in lines.items()
        if points
    ]
    return fig, f"EX in percent by tokens of the prompt. {'; '.join(said)}."


def run(
    path: Path,
    examples: str = "graph",
    output: Path | None = None,
    labels: Sequence[int] = (8, 16, 32),
    places: Sequence[str] = ("first", "middle", "last"),
    turns: Sequence[int] = (8, 24),
    keep: int = 4,
    items: int = 0,
    max_new_tokens: int = 128,
) -> dict[str, Any]:
    """`measure` by the name of a set or JSONL file; `quality.json`, `quality.md`, `quality.png` go to `output`."""
    import tempfile

    from heimdall_nb import plots
    from heimdall_nb.models.gguf_path import check_gguf

    chosen, seed, _ = evaluate.open_examples(examples)
    wanted = conditions(labels, places, turns, keep)
    with tempfile.TemporaryDirectory(prefix="heimdall-quality-") as folder:
        place = output or Path(folder)
        found = measure(check_gguf(path), chosen, place, wanted, seed, items, max_new_tokens)
    found = {"examples": examples} | found
    if output:
        picture, alt = figure(found)
        write_json(output / "quality.json", found)
        plots.save(picture, output / "quality.png")
        atomic_text(output / "quality.md", f"# Quality by length\n\n![{alt}](quality.png)\n\n{text(found)}\n")
    return found
