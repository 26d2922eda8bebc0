"""Several answers to one question, and the choice among them by running them: never by looking at the gold query.

Self-consistency (Wang et al. 2022, arXiv 2203.11171) takes a majority, here of the results and not of the texts. Best
of n takes the first answer that runs, names only what the schema has, and finds something. All tokens count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from heimdall_nb.baselines.fewshot import total
from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.cypher_check import SchemaNames, name_faults
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import GraphEngine, GraphInstance, Refusal, Rows
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.answers import prompt_of
from heimdall_nb.evaluation.compare import ordered, same_result
from heimdall_nb.evaluation.execute import Executor
from heimdall_nb.models.answers import ask, query_of
from heimdall_nb.models.protocol import Completion, LanguageModel
from heimdall_nb.progress import track

SEED_STEP = 1000  # the seeds of a run's samples are seed * SEED_STEP + 0, 1, …: runs share none

Results = dict[str, Rows | Refusal]
Choose = Callable[[Example, Sequence[Completion], Results], Completion]


def sample(
    model: LanguageModel,
    examples: Sequence[Example],
    path: Path,
    n: int,
    seed: int,
    temperature: float = 0.7,
    max_new_tokens: int = 192,
    version: str = "",
) -> list[list[Completion]]:
    """`n` answers to each example's question, drawn at `temperature`; kept in `path` and resumed like all answers.

    The same model, seed and settings draw the same answers. Raises BadInput for a temperature that draws nothing, or
    more samples than SEED_STEP.
    """
    if temperature <= 0 or not 1 <= n <= SEED_STEP:
        what = f"{n} samples at temperature {temperature} cannot be drawn"
        raise BadInput(what, "sample", f"Give 1 to {SEED_STEP} samples and a temperature above 0, such as 0.7.")
    places = [(example, k) for example in examples for k in range(n)]
    prompts, ids = [prompt_of(example) for example, _ in places], [f"{example.id}#{k}" for example, k in places]
    seeds = [seed * SEED_STEP + k for _, k in places]
    drawn = ask(model, prompts, path, ids, max_new_tokens, version, temperature, seeds)
    return [drawn[start : start + n] for start in range(0, len(drawn), n)]


def majority(
    examples: Sequence[Example],
    samples: Sequence[Sequence[Completion]],
    engine: GraphEngine,
    instance_of: Callable[[str], GraphInstance],
) -> list[Completion]:
    """Self-consistency: for each example the answer whose result most of its samples give; at a tie the first one.

    What the engine refuses has no vote; where all are refused, the first sample stands.
    """
    return _choose(examples, samples, engine, instance_of, lambda _, answers, results: _majority(answers, results))


def best_of(
    examples: Sequence[Example],
    greedy: Sequence[Completion],
    samples: Sequence[Sequence[Completion]],
    engine: GraphEngine,
    instance_of: Callable[[str], GraphInstance],
    names_of: Callable[[str], SchemaNames],
) -> list[Completion]:
    """Best of n: for each example the first of the greedy answer and its samples that stands up to being run.

    It runs, names only what the schema has, and finds something. Where none does, the greedy answer stands.
    """
    candidates = [[first, *others] for first, others in zip(greedy, samples, strict=True)]

    def first_sound(example: Example, answers: Sequence[Completion], results: Results) -> Completion:
        names = names_of(str(example.graph))
        sound = (a for a in answers if _finds(results[query_of(a.text)]) and not name_faults(query_of(a.text), names))
        return next(sound, answers[0])

    return _choose(examples, candidates, engine, instance_of, first_sound)


def _choose(
    examples: Sequence[Example],
    candidates: Sequence[Sequence[Completion]],
    engine: GraphEngine,
    instance_of: Callable[[str], GraphInstance],
    choose: Choose,
) -> list[Completion]:
    """Run each example's candidates, every text once, and choose; the seconds of running count as well."""
    if len(examples) != len(candidates):
        raise BadInput(
            f"{len(candidates)} lists of answers to {len(examples)} questions", "vote", "Sample all of them."
        )
    executor = Executor(engine, instance_of)
    chosen: dict[int, Completion] = {}
    order = sorted(range(len(examples)), key=lambda k: (str(examples[k].graph), k))  # each graph is loaded once
    for k in track(order, "running the candidates"):
        executor.use(str(examples[k].graph))
        started = time.perf_counter()
        queries = dict.fromkeys(query_of(answer.text) for answer in candidates[k])
        results = {query: executor.result(query, writes(query)) for query in queries}
        answer = total(choose(examples[k], candidates[k], results), candidates[k])
        chosen[k] = replace(answer, seconds=answer.seconds + time.perf_counter() - started)
    return [chosen[k] for k in range(len(examples))]


def _majority(answers: Sequence[Completion], results: Results) -> Completion:
    groups: list[list[Completion]] = []
    for answer in answers:
        query = query_of(answer.text)
        if isinstance(results[query], Refusal):
            continue
        group = next((g for g in groups if _agree(query, query_of(g[0].text), results)), None)
        if group is None:
            groups.append([answer])
        else:
            group.append(answer)
    return max(groups, key=len)[0] if groups else answers[0]  # max takes the first of equals


def _agree(query: str, other: str, results: Results) -> bool:
    """Whether two answers give the same rows; in the same order where both say an order."""
    a, b = results[query], results[other]
    if isinstance(a, Refusal) or isinstance(b, Refusal) or writes(query) != writes(other):
        return False
    return query == other or same_result(a, b, ordered(query) and ordered(other))


def _finds(result: Rows | Refusal) -> bool:
    return isinstance(result, Rows) and bool(result.rows)
