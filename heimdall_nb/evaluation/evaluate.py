"""A whole evaluation: ask a model, score every answer, and keep answers, scores and report in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heimdall_nb import actions
from heimdall_nb.actions import TASK
from heimdall_nb.dataset import graphs
from heimdall_nb.dataset.benchmark import BENCHMARK, SETS, benchmark
from heimdall_nb.dataset.example import Example, load
from heimdall_nb.dataset.generate import answer_hash
from heimdall_nb.dataset.runtime import to_runtime
from heimdall_nb.dataset.sql_curated import DATABASE_SEED
from heimdall_nb.domains import is_other
from heimdall_nb.engines.arcadedb import ArcadeDB
from heimdall_nb.engines.choose import graph_engine
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import GraphEngine
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation import domain_scores, page, parallel, runtime, sql_evaluate
from heimdall_nb.evaluation.answers import answer_examples, executable
from heimdall_nb.evaluation.errors import analyse, is_cypher
from heimdall_nb.evaluation.lint import Hint, hints, plan_hints
from heimdall_nb.evaluation.metrics import GROUPS, ItemScore, score_items, summary
from heimdall_nb.evaluation.perplexity import LogLikelihood, answer_log_likelihoods, perplexity
from heimdall_nb.evaluation.report import hint_rows, percent
from heimdall_nb.evaluation.similarity import NotComputed, similarity
from heimdall_nb.evaluation.texts import score_texts
from heimdall_nb.facts import load_pack
from heimdall_nb.models.opened import open_model
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.run import sha256, write_json

if TYPE_CHECKING:
    from heimdall_nb.evaluation.suite import Suite

BENCHMARK_SEED, OWN_SEED = 2026, 7
NO_SIMILARITY = "none"


@dataclass(frozen=True)
class Evaluation:
    """The scores of all items, in the order of the examples, and their summary, ready for JSON."""

    scores: list[ItemScore]
    summary: dict[str, Any]


def open_examples(name: str) -> tuple[list[Example], int, Path]:
    """(the examples of a benchmark set or a JSONL file, the seed of their graphs, where their suite would be).

    Raises BadInput for what is neither.
    """
    if name in SETS:
        return benchmark(name), BENCHMARK_SEED, BENCHMARK / "suites" / f"{name}.json"
    if name == sql_evaluate.SET:
        return sql_evaluate.open_set(), DATABASE_SEED, sql_evaluate.SUITE
    if not Path(name).suffix and not Path(name).exists():
        what = f"{name!r} is neither a benchmark set nor a file"
        raise BadInput(what, "--examples", f"Choose one of {', '.join([*SETS, 'sql'])}, or give a JSONL file.")
    return load(Path(name)), OWN_SEED, Path(name).with_suffix(".suite.json")


def evaluate(
    model: LanguageModel,
    examples: Sequence[Example],
    folder: Path,
    *,
    examples_name: str = "examples",
    seed: int = OWN_SEED,
    nodes: int = 60,
    suite: Suite | None = None,
    max_new_tokens: int = 192,
    version: str = "",
    with_perplexity: bool = True,
    similarity_model: str = "",
    engine: GraphEngine | None = None,
    grammar: str = "",
) -> Evaluation:
    """Ask `model` each question, score the answers, and write answers.jsonl, scores.json and report.html to `folder`.

    Graphs are those of data/graphs, made from `seed` with `nodes` nodes each. `version` is a hash of the model: what
    the same model has answered is not asked again, also after a kill. `grammar` is GBNF that all answers keep to.
    Raises BadInput for no examples, for SQL, and where the golds give other results than when the set was made;
    HeimdallError unless TS <= EX <= VA for each item.
    """
    _check(examples)
    completions = answer_examples(model, examples, folder / "answers.jsonl", max_new_tokens, version, grammar)
    scores = score(examples, completions, seed, nodes, suite, engine)
    found = summarise(scores)
    found |= {"model": model.name, "examples": examples_name, "seed": seed, "nodes": nodes}
    found["split"] = SETS.get(examples_name, "a file of examples")
    found["perplexity"] = _perplexity(model, examples) if with_perplexity else {"reason": "not asked for"}
    found["similarity"] = similarities(scores, similarity_model)
    if in_form := runtime.summary(examples, completions, scores):
        found["actions"] = in_form
    if suite is None:
        found["ts_missing"] = "TS was not computed: there is no test suite for these examples."
    elif found["ts"] is None:
        found["ts_missing"] = "TS has no single value: the suite does not have the graph of every item. See the groups."
    write_json(folder / "scores.json", {"summary": found, "items": [_record(item) for item in scores]})
    page.write(scores, found, folder / "report.html")
    return Evaluation(scores, found)


def _check(examples: Sequence[Example]) -> None:
    if not examples:
        raise BadInput("there are no items", "examples", "Give a file with examples, or more --items.")
    sql = next((example for example in examples if example.part == "sql" or example.task == "sql"), None)
    if sql:
        raise BadInput("is SQL", f"example {sql.id}", "Score SQL apart: `heimdall evaluate --examples sql`.")


def score(
    examples: Sequence[Example],
    completions: Sequence[Completion],
    seed: int = OWN_SEED,
    nodes: int = 60,
    suite: Suite | None = None,
    engine: GraphEngine | None = None,
) -> list[ItemScore]:
    """The scores of all answers, in order: executed Cypher by running it, everything else by its text; with hints.

    Examples in the server's form (`dataset.runtime`) are scored by `runtime.score`. Raises BadInput where a gold's
    result is not the one that the example was made with.
    """
    if engine is None:
        with closing(graph_engine()) as opened:
            return score(examples, completions, seed, nodes, suite, opened)
    if any(example.task == TASK for example in examples):
        plain = partial(score, seed=seed, nodes=nodes, suite=suite, engine=engine)
        return runtime.score(examples, completions, plain, suite is not None)
    schema = cache(graphs.load_schema)

    def instance_of(name: str) -> Any:
        return graphs.instantiate(schema(name), seed, nodes)

    def names_of(name: str) -> Any:
        return schema(name).names()

    runs = set(map(id, executable(examples)))
    executed = [k for k, example in enumerate(examples) if id(example) in runs]
    told = [k for k in range(len(examples)) if k not in set(executed)]
    found: dict[int, ItemScore] = {}
    if executed:
        asked, answers = [examples[k] for k in executed], [completions[k] for k in executed]
        if isinstance(engine, ArcadeDB) and len(asked) > parallel.ALONE:
            items = parallel.score(asked, answers, seed, nodes, suite)
        else:
            items = score_items(asked, answers, instance_of, names_of, engine, suite)
        check_golds(asked, items)
        found |= dict(zip(executed, items, strict=True))
    if told:
        texts = [examples[k] for k in told], [completions[k] for k in told]
        items = score_texts(*texts, load_pack(), engine, instance_of, names_of)
        found |= dict(zip(told, items, strict=True))
    return _with_hints([found[k] for k in range(len(examples))], schema, instance_of, engine)


def check_golds(examples: Sequence[Example], scores: Sequence[ItemScore]) -> None:
    """Raise BadInput where a gold query gives other rows than when the set was made: another seed, other graphs."""
    changed = [
        example.id
        for example, item in zip(examples, scores, strict=True)
        if example.answer and item.gold_rows is not None and not writes(example.output)
        if example.answer != answer_hash(item.gold_rows, " ORDER BY " in example.output)
    ]
    if changed:
        what = f"{len(changed)} of {len(examples)} gold results are not those that the set was made with"
        raise BadInput(what, f"example {changed[0]}", "Give the seed and the nodes of its graphs.")


def _with_hints(scores: Sequence[ItemScore], schema: Any, instance_of: Any, engine: GraphEngine) -> list[ItemScore]:
    """The scores with a linter's remarks on Cypher answers, and on those that run what the engine's plan shows."""
    found: dict[int, list[Hint]] = {}
    cypher = [k for k, item in enumerate(scores) if item.answer and is_cypher(item.answer)]
    for graph in dict.fromkeys(scores[k].graph for k in cypher):
        here = [k for k in cypher if scores[k].graph == graph]
        if graph:
            engine.load(instance_of(graph))
        for k in here:
            query = scores[k].answer
            found[k] = hints(query, schema(graph) if graph else None)
            found[k] += plan_hints(query, engine) if graph and scores[k].va else []
    texts = {k: tuple(dict.fromkeys(f"{h.rule}: {h.reason}" for h in items)) for k, items in found.items()}
    return [replace(item, hints=texts.get(k, ())) for k, item in enumerate(scores)]


def summarise(scores: Sequence[ItemScore]) -> dict[str, Any]:
    """`metrics.summary`, with hints counted by rule and the kinds of error."""
    found = summary(scores)
    hints_by_rule = {rule: number for rule, number, _ in hint_rows(scores)}
    return found | {"hints": hints_by_rule, "errors": analyse(scores).counts()}


def _perplexity(model: LanguageModel, examples: Sequence[Example]) -> dict[str, Any]:
    try:
        pairs = answer_log_likelihoods(model, examples)  # type: ignore[arg-type]
        return perplexities(examples, pairs)
    except BadInput as problem:
        return {"reason": problem.what}


def perplexities(examples: Sequence[Example], pairs: Sequence[LogLikelihood]) -> dict[str, Any]:
    """The perplexity of all gold answers, and of each group of `metrics.GROUPS` that has an answer which fits."""
    found: dict[str, Any] = {"all": round(perplexity(pairs), 4)}
    for name in GROUPS:
        members: dict[str, list[LogLikelihood]] = {}
        for example, pair in zip(examples, pairs, strict=True):
            if pair[1]:
                members.setdefault(str(getattr(example, name) or ""), []).append(pair)
        found[name] = {key: round(perplexity(group), 4) for key, group in sorted(members.items())}
    return found


def similarities(scores: Sequence[ItemScore], model: str = "") -> dict[str, Any]:
    """Mean cosine of answer and gold, over all items and over the wrong ones; or why it was not computed."""
    if model == NO_SIMILARITY:
        return {"reason": "not asked for"}
    found = similarity([(item.answer, item.gold) for item in scores], model)
    if isinstance(found, NotComputed):
        return {"reason": found.reason}
    wrong = [value for value, item in zip(found, scores, strict=True) if not item.ex]
    return {
        "mean": round(sum(found) / len(found), 4),
        "wrong": round(sum(wrong) / len(wrong), 4) if wrong else None,
    }


def _record(item: ItemScore) -> dict[str, Any]:
    """A score as it is kept: without the rows, which the graphs give again."""
    return {
        name: value for name, value in asdict(replace(item, rows=None, gold_rows=None)).items() if value is not None
    }


def text(found: Mapping[str, Any]) -> str:
    """The summary as text for a terminal."""
    from heimdall_nb.dataset.validation_report import table

    if "domain" in found:
        return domain_scores.text(found)
    if "level" in found:
        return sql_evaluate.text(found)
    names = {"va": "valid answers, VA", "ex": "execution accuracy, EX", "ts": "test suite, TS", "em": "exact match, EM"}
    rows = [(said, percent(found[name])) for name, said in names.items()]
    rows.append(("floor (constant answer)", percent(found["floor"])))
    rows += [(said, percent(value)) for said, value in runtime.rows(found.get("actions", {}))]
    optional = {"perplexity": ("perplexity", "all"), "similarity (no measure of truth)": ("similarity", "mean")}
    rows += [(said, found[name].get(key, "-")) for said, (name, key) in optional.items()]
    missing = [
        f"{name} was not computed: {found[name]['reason']}." for name, _ in optional.values() if "reason" in found[name]
    ]
    rows.append(("seconds, median and p95", f"{found['seconds']['median']:.3f} and {found['seconds']['p95']:.3f}"))
    rows.append(("tokens a second", found["tokens_per_second"]))
    lines = [f"{found['model']} on {found['examples']}: {found['items']} items", table(("score", "value"), rows)]
    lines += filter(None, ["\n".join([found.get("ts_missing", ""), *missing]).strip()])
    groups = [
        (name or "(none)", g["items"], percent(g["va"]), percent(g["ex"])) for name, g in found["category"].items()
    ]
    lines.append(table(("category", "items", "VA", "EX"), groups))
    if found["errors"]:
        lines.append(table(("kind of error", "items"), found["errors"].items()))
    return "\n\n".join(lines)


def _refuse_for_sql(
    examples_name: str, runtime_form: bool, seed: int | None, nodes: int = 60, similarity_model: str = "", **_: Any
) -> None:
    """Raise BadInput for an option that an evaluation of SQL would pass over without a word."""
    given = {
        "--format": runtime_form,
        "--graph-seed": seed is not None,
        "--nodes": nodes != 60,
        "--similarity": similarity_model not in ("", NO_SIMILARITY),
    }
    for option in (option for option, is_given in given.items() if is_given):
        raise BadInput("is for Cypher", option, f"{examples_name} is SQL: leave it out.")


def run(
    model_path: Path,
    examples_name: str,
    output: Path,
    items: int = 0,
    suite_path: Path | None = None,
    seed: int | None = None,
    context: int = 2048,
    engine_uri: str = "",
    runtime_form: bool = False,
    keep_to_form: bool = False,
    **settings: Any,
) -> Evaluation:
    """`evaluate` on a model's path and the name of a set or file: what the command does.

    Without `suite_path`, the suite that lies beside the set is taken, where there is one. `runtime_form` puts the
    examples into the server's form, with wordings that no training sees; `keep_to_form` lets a GGUF file write nothing
    but actions.
    """
    examples, default_seed, default_suite = open_examples(examples_name)
    if sql_evaluate.is_sql(examples):
        _refuse_for_sql(examples_name, runtime_form, seed, **settings)
        asked, tokens = examples[: items or None], settings.get("max_new_tokens", 192)
        with closing(open_model(model_path, context)) as model:
            name = Path(examples_name).name
            return Evaluation(*sql_evaluate.run(model, asked, name, output, model_path, suite_path, engine_uri, tokens))
    _check(examples)
    if any(map(is_other, examples)):
        if suite_path or engine_uri or runtime_form:
            raise BadInput("are for Cypher", "--suite, --engine, --format", f"{examples_name} has another domain.")
        asked, name = examples[: items or None], Path(examples_name).name
        with closing(open_model(model_path, context)) as model:
            tokens = settings.get("max_new_tokens", 192)
            found = domain_scores.evaluate(model, asked, output, name, tokens, sha256(model_path))
        return Evaluation([], found)
    if runtime_form:
        examples = to_runtime(examples, wordings="test")
    if keep_to_form:
        settings["grammar"] = actions.grammar(settings.get("max_new_tokens", 192))
    suite = None
    if suite_path or default_suite.exists():
        from heimdall_nb.evaluation.suite import Suite

        suite = Suite.load(suite_path or default_suite)
    with closing(open_model(model_path, context)) as model, closing(graph_engine(engine_uri)) as engine:
        return evaluate(
            model,
            examples[: items or None],
            output,
            examples_name=examples_name if examples_name in SETS else Path(examples_name).name,
            seed=default_seed if seed is None else seed,
            suite=suite,
            version=sha256(model_path),
            engine=engine,
            **settings,
        )
