"""The command `heimdall`: one verb a stage. Exit status 0 done, 1 a run failed, 2 bad input."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from heimdall_nb import __version__
from heimdall_nb.cli_export import export
from heimdall_nb.cli_generate import generate
from heimdall_nb.cli_ladder import ladder
from heimdall_nb.cli_memory import estimate
from heimdall_nb.cli_profile import profile
from heimdall_nb.cli_query import query
from heimdall_nb.cli_recommend import recommend
from heimdall_nb.cli_sequence import sequence
from heimdall_nb.cli_train import train
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
Format = Annotated[str, typer.Option("--format", help="answers: cypher, or nornicdb for the server's JSON actions")]


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
    strategy: Annotated[str, typer.Option(help="of the fine-tuning: memory, speed or quality; see CONFIG.md")] = "",
) -> None:
    """Run the notebooks 00 to 11 of a preset; unchanged stages are skipped, interrupted ones resume."""
    from heimdall_nb import course

    done = course.run_course(preset, run, only or (), set_ or (), force, strategy)
    print(course.summary(done))


def stage(number: str, run: str, preset: str, set_: list[str] | None, force: bool, strategy: str = "") -> None:
    """Run one notebook, and print its main figures and where its report is."""
    from heimdall_nb import course, pages

    done = course.run_course(preset, run, [number], set_ or (), force, strategy)
    for what, value in done.metrics(number).get("headline", {}).items():
        print(f"{what}: {value}")
    print(f"report: {pages.shown(done.path / 'index.html')}")


def _stage_verb(name: str, number: str, summary: str) -> None:
    def verb(run: RunName = "", preset: Preset = "nano", set_: Sets = None, force: Force = False) -> None:
        stage(number, run, preset, set_, force)

    app.command(name, help=f"{summary} (notebook {number}).")(verb)


app.command()(train)
app.command()(estimate)
app.command()(recommend)
app.command()(export)

for _name, _number, _summary in (
    ("baselines", "07", "Compare prompting, ReAct, voting and grammars with the fine-tuned model, on one leader board"),
    ("sql", "08", "Train and score the text-to-SQL track"),
    ("deploy", "09", "Write the folder that NornicDB uses"),
):
    _stage_verb(_name, _number, _summary)

app.command()(ladder)
app.add_typer(profile, name="profile")


@app.command()
def base(
    output: Annotated[Path, typer.Option(help="folder of the finished model")],
    minutes: Annotated[float, typer.Option(min=0.1, help="time for the training on this machine")] = 170.0,
    steps: Annotated[int, typer.Option(min=0, help="exactly so many steps, so that the result can be repeated")] = 0,
    work: Annotated[
        Path | None, typer.Option(help="folder for corpus and checkpoints; beside the output by default")
    ] = None,
    seed: Seed = 7,
) -> None:
    """Make a base model from nothing: corpus, tokenizer, training, model card; goes on where it was killed."""
    from heimdall_nb.training.recipe import make_base

    made = make_base(output, work or output.with_name(f"{output.name}-work"), minutes, steps, seed)
    print(f"written: {output} ({made['parameters']:,} parameters, {made['tokens']:,} tokens read)")


@app.command()
def evaluate(
    model: Annotated[
        Path | None,
        typer.Option(help="GGUF file, or folder of a model or of an adapter; without it, notebook 05 runs"),
    ] = None,
    examples: Annotated[
        str, typer.Option(help="benchmark set (iid, template, graph, style, operations, sql) or JSONL file")
    ] = "iid",
    suite: Annotated[Path | None, typer.Option(help="test suite for TS; the committed one where there is one")] = None,
    items: Annotated[int, typer.Option(min=0, help="ask only the first so many; 0 for all")] = 0,
    nodes: Annotated[int, typer.Option(min=10, help="nodes of each graph")] = 60,
    graph_seed: Annotated[
        int | None, typer.Option(help="seed of the graphs; 2026 for benchmark sets, else 7", show_default=False)
    ] = None,
    output: Annotated[Path | None, typer.Option(help="folder for answers, scores and report")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer in tokens")] = 192,
    context: Annotated[int, typer.Option(min=64, help="window of a GGUF file in tokens")] = 2048,
    perplexity: Annotated[bool, typer.Option(help="perplexity of the gold answers")] = True,
    similarity: Annotated[
        str, typer.Option(help="embedding model: folder or hub name; empty for the usual one, none for no similarity")
    ] = "",
    engine: Annotated[
        str,
        typer.Option(
            help="bolt://… of a scratch database (Neo4j, NornicDB, Memgraph); for SQL mysql://…, private or sqlite; "
            "empty for our own"
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as JSON")] = False,
    format_: Format = "cypher",
    grammar: Annotated[bool, typer.Option("--grammar", help="with --format nornicdb: nothing but actions")] = False,
    run: RunName = "",
    preset: Preset = "nano",
    set_: Sets = None,
    force: Force = False,
) -> None:
    """Score a model on held-out questions, by execution: VA, EX, TS, errors, report (notebook 05, or --model)."""
    from heimdall_nb.dataset.runtime import check_format
    from heimdall_nb.errors import BadInput

    as_actions = check_format(format_)
    if grammar and not as_actions:
        raise BadInput("needs --format nornicdb", "--grammar", "Give both.")
    if model is None:
        if examples != "iid" or suite or items or output or as_json or engine or as_actions:
            options = "--examples, --suite, --items, --output, --engine, --format, --json"
            raise BadInput("need --model", options, "Give it, or --set items=N.")
        stage("05", run, preset, set_, force)
        return
    from heimdall_nb.evaluation import evaluate as evaluation
    from heimdall_nb.run import reports_root

    if run or set_ or force:
        raise BadInput("belong to notebook 05", "--run, --set, --force", "Leave them out, or leave out --model.")
    name = "-".join([model.stem, Path(examples).stem, *[format_] * as_actions, *["grammar"] * grammar])
    folder = output or reports_root() / "evaluate" / "artifacts" / name
    with contextlib.redirect_stdout(sys.stderr):  # progress; what is printed below can be piped
        done = evaluation.run(
            model,
            examples,
            folder,
            items,
            suite,
            graph_seed,
            context,
            engine,
            nodes=nodes,
            max_new_tokens=max_new_tokens,
            with_perplexity=perplexity,
            similarity_model=similarity,
            runtime_form=as_actions,
            keep_to_form=grammar,
        )
    print(json.dumps(done.summary, indent=2, ensure_ascii=False) if as_json else evaluation.text(done.summary))
    if not as_json:
        print(f"\nreport: {folder / 'report.html'}")


@app.command()
def ask(
    model: Annotated[Path, typer.Option(help="GGUF file, or folder of a Hugging Face model or of an adapter")],
    question: Annotated[str | None, typer.Argument(help="one question; without it, a prompt that `quit` ends")] = None,
    graph: Annotated[str, typer.Option(help="name in data/graphs that questions are about")] = "",
    schema: Annotated[Path | None, typer.Option(help="YAML file of another schema, instead of --graph")] = None,
    run: Annotated[bool, typer.Option("--run", help="run the query, read-only, on the generated graph")] = False,
    grammar: Annotated[bool, typer.Option("--grammar", help="only the graph's names, or only actions")] = False,
    context: Annotated[int, typer.Option(min=64, help="window in tokens")] = 2048,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer in tokens")] = 192,
    as_json: Annotated[bool, typer.Option("--json", help="print a line of JSON for each answer")] = False,
    format_: Format = "cypher",
) -> None:
    """Ask a model a question: prints its query and, with --run, the rows; without a question, interactively."""
    from heimdall_nb import actions
    from heimdall_nb.dataset.runtime import check_format
    from heimdall_nb.deploy import ask as asking
    from heimdall_nb.errors import BadInput
    from heimdall_nb.models.opened import open_model

    chosen, as_actions = asking.chosen_schema(graph, schema), check_format(format_)
    if chosen is None and (run or (grammar and not as_actions)):
        raise BadInput("need a graph", "--run, --grammar", "Give --graph or --schema.")
    rules = actions.grammar(max_new_tokens) if grammar and as_actions else None

    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(contextlib.closing(open_model(model, context)))
        engine = None
        if chosen and run:
            from heimdall_nb.engines.arcadedb import ArcadeDB

            engine = stack.enter_context(ArcadeDB())
        if chosen and grammar and not as_actions:
            from heimdall_nb.baselines.grammar import cypher_grammar

            rules = cypher_grammar(chosen)
        asker = asking.Asker(opened, chosen, engine, rules, max_new_tokens, as_actions)
        if question is None:
            asking.talk(asker, as_json)
        else:
            asking.once(asker, question, as_json)


@app.command()
def serve(
    model: Annotated[Path, typer.Option(help="GGUF file")],
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one")] = 8080,
    context: Annotated[int, typer.Option(min=64, help="window in tokens")] = 2048,
) -> None:
    """Answer at an OpenAI-compatible address until Ctrl-C; HEIMDALL_SERVE_API_KEY sets a key that requests need."""
    from heimdall_nb.deploy.serve import serve as answer

    answer(model, host, port, context)


@app.command()
def benchmark(
    model: Annotated[Path, typer.Option(help="GGUF file")],
    examples: Annotated[
        str, typer.Option(help="benchmark set (iid, template, graph, style, operations) or JSONL file")
    ] = "iid",
    items: Annotated[int, typer.Option(min=0, help="ask only the first so many; 0 for all")] = 40,
    threads: Annotated[str, typer.Option(help="numbers of threads, comma-separated")] = "1,2",
    batch: Annotated[str, typer.Option(help="tokens of a prompt read in one call, comma-separated")] = "64,512",
    context: Annotated[int, typer.Option(min=64, help="window in tokens")] = 2048,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer in tokens")] = 192,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
    output: Annotated[Path | None, typer.Option(help="folder for speed.json and speed.txt")] = None,
) -> None:
    """Measure latency, tokens a second and prefix reuse, beside llama.cpp's own rate on the same file."""
    from heimdall_nb.deploy import speed

    counts, sizes = speed.numbers("--threads", threads), speed.numbers("--batch", batch)
    with contextlib.redirect_stdout(sys.stderr):  # progress; what is printed below can be piped
        found = speed.run(model, examples, items, counts, sizes, output, context=context, max_new_tokens=max_new_tokens)
    print(json.dumps(found, indent=2, ensure_ascii=False) if as_json else speed.text(found))


app.command()(sequence)

app.command()(query)

app.command()(generate)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="JSONL file; of several, what they share is reported as well")],
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
    tokenizer: Annotated[str, typer.Option(help="folder of a tokenizer: lengths in tokens, too")] = "",
    repo: Annotated[Path | None, typer.Option(help="checkout that examples of domain repository come from")] = None,
    licences: Annotated[
        str | None, typer.Option(help="with --repo: as they were given to generate", show_default=False)
    ] = None,
) -> None:
    """Check datasets: form, duplicates, balance, agreement, facts, leaks; exit status 2 when something is wrong."""
    from heimdall_nb.cli_generate import checkout
    from heimdall_nb.dataset.validate import compare
    from heimdall_nb.dataset.validate import validate as check

    opened = checkout(repo, licences)
    report = check(files[0], tokenizer, opened) if len(files) == 1 else compare(files, tokenizer, opened)
    print(json.dumps(report.to_json(), indent=2, ensure_ascii=False) if as_json else report.text())
    if not report.ok:
        raise typer.Exit(2)


@app.command()
def correct(
    file: Annotated[Path, typer.Argument(help="JSONL file, edited in place after a timestamped backup")],
    min_category_size: Annotated[int, typer.Option(min=0, help="smaller categories are filled up")] = 50,
    max_category_ratio: Annotated[float, typer.Option(min=1.0, help="most times the smallest category")] = 3.0,
    seed: Seed = 7,
    drop_invalid: Annotated[bool, typer.Option("--drop-invalid", help="drop lines that are no examples")] = False,
) -> None:
    """Repair or drop invalid rows, remove duplicates, and balance the categories (notebook 02)."""
    from heimdall_nb.dataset.correct import correct as mend
    from heimdall_nb.dataset.correct import graph_generator, summary

    print(summary(mend(file, min_category_size, max_category_ratio, seed, graph_generator(seed), drop_invalid)))


@app.command("add-queries")
def add_queries(
    log: Annotated[Path, typer.Argument(help="query log of NornicDB or Neo4j, JSON lines or plain queries; .gz too")],
    dataset: Annotated[Path, typer.Argument(help="JSONL file to add to, after a timestamped backup")],
    graph: Annotated[str, typer.Option(help="name in data/graphs that the queries are about")] = "",
    schema: Annotated[Path | None, typer.Option(help="YAML file of another schema, instead of --graph")] = None,
    format_: Annotated[str, typer.Option("--format", help="auto, nornicdb, neo4j or text")] = "auto",
    limit: Annotated[int, typer.Option(min=0, help="add at most so many queries; 0 for all")] = 0,
    output: Annotated[Path | None, typer.Option(help="file to write instead of the dataset")] = None,
    keep_literals: Annotated[
        bool, typer.Option("--keep-literals", help="mask only passwords, keys and cards, not personal values")
    ] = False,
) -> None:
    """Add queries from a production log as examples: masked, checked, each with a question (notebook 02)."""
    from heimdall_nb.dataset.production import add_queries as add
    from heimdall_nb.errors import BadInput

    if graph and schema:
        raise BadInput("cannot both be given", "--graph, --schema", "Give one of them.")
    if schema and (schema.suffix != ".yaml" or not schema.is_file()):
        raise BadInput("is no YAML file", str(schema), "Give the path of a schema, as in data/graphs.")
    done = add(log, dataset, graph or str(schema or ""), format_, limit, output, keep_literals)
    print(done.table())
    if done.backup:
        print(f"backup: {done.backup}")
    if done.written:
        print(f"written: {done.written}")


@app.command()
def distil(
    prompts: Annotated[Path, typer.Option(help="questions: JSONL with input (and graph), or one a line with --graph")],
    teacher: Annotated[str, typer.Option(help="address of an OpenAI-compatible server, e.g. http://localhost:8080/v1")],
    output: Annotated[Path, typer.Option(help="JSONL file to write; answers, refusals and report go beside it")],
    model: Annotated[str, typer.Option(help="the teacher's name there; empty where it has one model only")] = "",
    graph: Annotated[str, typer.Option(help="graph of questions that name none: in data/graphs, or a YAML file")] = "",
    workers: Annotated[int, typer.Option(min=1, max=256, help="questions asked at the same time")] = 4,
    limit: Annotated[int, typer.Option(min=0, help="ask only the first so many; 0 for all")] = 0,
    price_in: Annotated[float | None, typer.Option(help="price of a million tokens of prompts")] = None,
    price_out: Annotated[float | None, typer.Option(help="price of a million tokens of answers")] = None,
    max_cost: Annotated[float | None, typer.Option(help="end before all answers together can cost more")] = None,
    system: Annotated[
        str | None, typer.Option(help="what the teacher is told after task and schema, instead of the usual hint")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer in tokens")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 for the likeliest answer")] = 0.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds of silence before a question is asked again")] = 120,
    tries: Annotated[int, typer.Option(min=1, help="how often a question is asked before it stays unanswered")] = 6,
    writes: Annotated[bool, typer.Option("--writes", help="let in statements that change the graph, too")] = False,
    nodes: Annotated[int, typer.Option(min=10, help="nodes of each graph that answers run on")] = 60,
    seed: Seed = 7,
) -> None:
    """Let a larger model answer questions, and keep the answers that pass the checks; goes on where it was ended.

    The key is read from HEIMDALL_TEACHER_KEY or OPENAI_API_KEY.
    """
    from heimdall_nb.dataset import teacher as teaching
    from heimdall_nb.dataset.teacher_check import AnswerCheck
    from heimdall_nb.dataset.teacher_prompts import read_prompts
    from heimdall_nb.models.openai_client import OpenAIModel

    asking = teaching.Asking(max_new_tokens, temperature, seed, system, price_in, price_out, max_cost)
    asked = read_prompts(prompts, graph)[: limit or None]
    server = OpenAIModel(teacher, model, workers=workers, timeout=timeout, tries=tries)
    with contextlib.closing(server), AnswerCheck(seed, nodes, writes) as check:
        done = teaching.distil(asked, server, output, asking, check)
    print(done.table())
    if done.stopped:
        print(f"ended early: {done.stopped}")
    for line, reason in sorted(done.unanswered.items()):
        print(f"unanswered, to be asked by another run: line {line} ({reason})")
    for what in ("answers", "refused", "report"):
        print(f"{what}: {teaching.beside(output, what)}")
    if not done.entered:
        raise HeimdallError(f"{output}: no answer passed the checks; {teaching.beside(output, 'refused')} says why.")
    print(f"written: {output} ({done.entered} examples)")


@app.command()
def split(
    file: Annotated[Path, typer.Argument(help="JSONL file")],
    output: Annotated[Path, typer.Option(help="folder; a file for each part")],
    validation: Annotated[int, typer.Option(min=0)] = 150,
    test: Annotated[int, typer.Option(min=0, help="like training: same graphs, templates and styles")] = 200,
    fewshot: Annotated[int, typer.Option(min=0)] = 40,
    template_test: Annotated[int, typer.Option(min=0, help="with templates that no other part has; 0 for none")] = 0,
    graph_test: Annotated[int, typer.Option(min=0, help="with graphs that no other part has; 0 for none")] = 0,
    style_test: Annotated[int, typer.Option(min=0, help="in a style that no other part has; 0 for none")] = 0,
    reads_only: Annotated[bool, typer.Option(help="tests and few-shot pool hold executed reads only")] = True,
    seed: Seed = 7,
) -> None:
    """Split a dataset so that no question and no query is on two sides (notebook 02)."""
    from heimdall_nb.dataset.example import load, save
    from heimdall_nb.dataset.split import leakage, left_out, overview
    from heimdall_nb.dataset.split import split as divide
    from heimdall_nb.dataset.validation_report import table

    examples = load(file)
    parts = divide(examples, seed, validation, test, fewshot, template_test, graph_test, style_test, reads_only)
    for name, part in parts.items():
        save(output / f"{name}.jsonl", part)
    print(table(["part", "examples", "templates", "graphs", "styles"], overview(parts)))
    print(f"{left_out(examples, parts)} examples are in no part: what is held out costs them")
    print(f"{len(leakage(parts))} leaks; written to {output}")
