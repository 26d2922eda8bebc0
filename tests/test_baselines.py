"""Few-shot and ReAct: what is shown to the model, what its actions do, and that nothing leaks."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from heimdall_nb.baselines import fewshot, react
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.errors import BadInput
from heimdall_nb.exercises import nb07
from heimdall_nb.models.protocol import Completion
from heimdall_nb.react_protocol import SHOWN_CHARACTERS, read_action


def example(graph, question, query, template=""):
    schema = load_schema(graph).text()
    return Example(
        "Write Cypher.",
        question,
        query,
        "count",
        "small",
        graph=graph,
        schema=schema,
        template=template,
        check="executed",
    ).with_id()


POOL = [
    example(
        "movies", "How many movies were released after 1999?", "MATCH (m:Movie) WHERE m.released > 1999 RETURN count(m)"
    ),
    example("movies", "Which studios are in 'Paris'?", "MATCH (s:Studio) WHERE s.city = 'Paris' RETURN s.name"),
    example("movies", "List the countries of all people.", "MATCH (p:Person) RETURN DISTINCT p.country"),
    example("movies", "Set the awards of all people to 0.", "MATCH (p:Person) SET p.awards = 0"),
    example("library", "How many books are there?", "MATCH (b:Book) RETURN count(b)"),
]
ITEMS = [
    example(
        "movies", "How many movies were released after 2010?", "MATCH (m:Movie) WHERE m.released > 2010 RETURN count(m)"
    ),
    example("library", "How many authors are there?", "MATCH (a:Author) RETURN count(a)"),
    example("movies", "Which studios are in 'Osaka'?", "MATCH (s:Studio) WHERE s.city = 'Osaka' RETURN s.name"),
]


def instance_of(graph):
    return instantiate(load_schema(graph), 7)


class Scripted:
    """Answers each conversation by a function of it, and remembers the sizes of its batches."""

    name = "scripted"

    def __init__(self, reply):
        self.reply, self.batches, self.seen = reply, [], []

    def complete(self, conversations, max_new_tokens=192, temperature=0.0, seed=0, stop=(), grammar=None):
        self.batches.append(len(conversations))
        self.seen += conversations
        return [Completion(self.reply(c), 100, 7, 0.25, "ok") for c in conversations]

    def close(self):
        pass


def asked(conversation):
    """The question of a ReAct conversation: the last one that the instructions introduce."""
    turns = [m["content"] for m in conversation if m["role"] == "user" and "Question: " in m["content"]]
    return turns[-1].rpartition("Question: ")[2]


def steps_so_far(conversation):
    """The observations since the question was asked."""
    contents = [m["content"] for m in conversation]
    last = max(k for k, text in enumerate(contents) if "Question: " in text)
    return [text for text in contents[last + 1 :] if text.startswith("Observation: ")]


def test_exemplars_come_from_the_same_graph_most_similar_last():
    chosen = fewshot.exemplars(POOL, ITEMS[0], 3, "similar")
    assert {e.graph for e in chosen} == {"movies"} and chosen[-1] == POOL[0]
    assert fewshot.exemplars(POOL, ITEMS[2], 1, "similar") == [POOL[1]]  # the quoted city does not matter
    assert fewshot.exemplars(POOL, ITEMS[1], 3, "similar") == [POOL[4]]


def test_fixed_exemplars_are_the_same_for_every_question():
    first = fewshot.exemplars(POOL, ITEMS[0], 2, "fixed")
    assert first == fewshot.exemplars(POOL[::-1], ITEMS[2], 2, "fixed") and len(first) == 2
    with pytest.raises(BadInput, match="fixed, similar"):
        fewshot.exemplars(POOL, ITEMS[0], 2, "random")


def test_a_question_is_never_its_own_exemplar():
    twin = replace(ITEMS[0], output="MATCH (m:Movie) RETURN 1").with_id()
    assert twin not in fewshot.exemplars([*POOL, twin], ITEMS[0], 9, "similar")


def test_masking_removes_values():
    assert fewshot.masked("Books after 2010 by 'Ann'?") == fewshot.masked("books after 1,999 by 'Bob'")


def test_a_skeleton_masks_names_and_values():
    one = fewshot.skeleton("MATCH (m:Movie {title: 'Up'}) WHERE m.released > 2000 RETURN count(m) AS n LIMIT 3")
    two = fewshot.skeleton("match (b:`ORDER` {Limit: 'x'}) where b.count > 7.5 return count(b) as total limit $k")
    assert one == two and ("COUNT", "(") in one and (">", "□") in one and (":", "_") in one
    assert fewshot.skeleton("MATCH (m:Movie) RETURN m.title") != fewshot.skeleton("MATCH (m:Movie) RETURN max(m.title)")
    assert ("=", "_") in fewshot.skeleton("RETURN a = b") and not fewshot.skeleton("")


def test_structure_follows_the_draft_and_falls_back_on_the_question():
    asked = ITEMS[0]  # how many movies were released after 2010?
    draft = "MATCH (x:Person) RETURN DISTINCT x.name"
    assert fewshot.exemplars(POOL, asked, 1, "structure", draft) == [POOL[2]]
    assert fewshot.exemplars(POOL, asked, 1, "structure", "```cypher\n" + draft + "\n```") == [POOL[2]]
    assert fewshot.exemplars(POOL, asked, 2, "structure", "") == fewshot.exemplars(POOL, asked, 2, "similar")


def test_structure_pays_for_its_drafts(tmp_path):
    model, settings = Scripted(lambda c: "RETURN 1"), {"how": "structure"}
    drafts = [Completion("MATCH (x:Person) RETURN DISTINCT x.name", 40, 5, 0.5, "ok")] * 3
    answers = fewshot.answer(model, ITEMS, POOL, 1, tmp_path / "a.jsonl", drafts=drafts, **settings)
    assert [(a.text, a.prompt_tokens, a.new_tokens, a.seconds) for a in answers] == [("RETURN 1", 140, 12, 0.75)] * 3
    assert any(POOL[2].output in str(c) for c in model.seen)
    again = fewshot.answer(model, ITEMS, POOL, 1, tmp_path / "a.jsonl", drafts=drafts, **settings)
    assert again == answers and sum(model.batches) == 3
    with pytest.raises(BadInput, match="0 drafts for 3"):
        fewshot.answer(model, ITEMS, POOL, 1, tmp_path / "a.jsonl", **settings)


def test_few_shot_prompts_hold_the_exemplars_as_turns(tmp_path):
    model = Scripted(lambda c: "RETURN 1")
    answers = fewshot.answer(model, ITEMS, POOL, 2, tmp_path / "a.jsonl", how="similar")
    assert [a.text for a in answers] == ["RETURN 1"] * 3
    conversation = next(c for c in model.seen if c[-1]["content"] == ITEMS[0].input)
    assert [m["role"] for m in conversation] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert conversation[4]["content"] == POOL[0].output and ITEMS[0].output not in str(conversation)
    fewshot.answer(model, ITEMS, POOL, 2, tmp_path / "a.jsonl", how="similar")
    assert sum(model.batches) == 3


def test_the_test_set_must_not_be_in_the_pool(tmp_path, arcadedb):
    model = Scripted(lambda c: "")
    with pytest.raises(BadInput, match="few-shot pool"):
        fewshot.answer(model, ITEMS, [*POOL, ITEMS[0]], 2, tmp_path / "a.jsonl")
    with pytest.raises(BadInput, match="few-shot pool"):
        react.solve(model, ITEMS, arcadedb, instance_of, tmp_path / "b.jsonl", [*POOL, ITEMS[0]])


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        (
            "Thought: x\nAction: run_query[MATCH (n)-[:R]->(m) RETURN [1, 2][0]]",
            ("run_query", "MATCH (n)-[:R]->(m) RETURN [1, 2][0]"),
        ),
        ("Action: finish[RETURN 1;]\n", ("finish", "RETURN 1")),
        ("Action: schema[]", ("schema", "")),
        ("Action:run_query[```cypher\nRETURN 1\n```]", ("run_query", "RETURN 1")),
        ("Action: finish[RETURN 1]\nThought: again\nAction: finish[RETURN 2]", ("finish", "RETURN 1")),
        ("Action: drop_everything[now]", ("", "")),
        ("Action: run_query MATCH (n) RETURN n", ("", "")),
        ("MATCH (n) RETURN n", ("", "")),
        ("", ("", "")),
    ],
)
def test_actions_are_read(reply, action):
    assert read_action(reply) == action


def good_agent(conversation):
    gold = next(e.output for e in ITEMS if e.input == asked(conversation))
    done = len(steps_so_far(conversation))
    if done == 0 and "authors" in asked(conversation):
        return "Thought: look\nAction: schema[]"
    if done < 2 and "finish" not in gold:
        return f"Thought: try\nAction: run_query[{gold}]"
    return f"Thought: good\nAction: finish[{gold}]"


def test_react_runs_tools_in_lockstep_and_finishes(arcadedb, tmp_path):
    model, path = Scripted(good_agent), tmp_path / "react.jsonl"
    traces = react.solve(model, ITEMS, arcadedb, instance_of, path, POOL, max_steps=4)
    assert [t.answer for t in traces] == [e.output for e in ITEMS] and all(t.finished for t in traces)
    assert model.batches == [3, 3, 3]
    assert traces[1].steps[0].observation == ITEMS[1].schema
    arcadedb.load(instance_of("library"))
    authors = arcadedb.run(ITEMS[1].output).rows[0][0]
    assert traces[1].steps[1].observation == f"1 row. count(a)\n[{authors}]"
    total = traces[0].completion
    assert (total.prompt_tokens, total.new_tokens, total.seconds, total.outcome) == (300, 21, 0.75, "ok")
    assert "Action: finish[" in traces[0].text() and traces[0].malformed == 0


def test_react_shows_one_solved_question_of_the_pool(arcadedb, tmp_path):
    model = Scripted(good_agent)
    react.solve(model, ITEMS, arcadedb, instance_of, tmp_path / "react.jsonl", POOL)
    for conversation in model.seen:
        pool_turn = conversation[1]["content"].rpartition("Question: ")[2]
        shown = next(e for e in POOL if e.input == pool_turn)
        assert f"Action: run_query[{shown.output}]" in conversation[2]["content"] and "SET" not in shown.output
        assert re.match(r"Observation: \d+ rows?\. ", conversation[3]["content"])


def test_malformed_actions_are_counted_and_answered(arcadedb, tmp_path):
    def clumsy(conversation):
        return "MATCH (n) RETURN count(n)" if not steps_so_far(conversation) else "Action: finish[RETURN 1]"

    traces = react.solve(Scripted(clumsy), ITEMS, arcadedb, instance_of, tmp_path / "r.jsonl")
    assert [t.malformed for t in traces] == [1, 1, 1] and [t.answer for t in traces] == ["RETURN 1"] * 3
    assert traces[0].steps[0].observation.startswith("Error: no action was found")


def test_writes_and_errors_come_back_as_observations(arcadedb, tmp_path):
    replies = [
        "Action: run_query[MATCH (n) DETACH DELETE n]",
        "Action: run_query[MATCH (n]",
        "Action: run_query[RETURN 7]",
    ]
    model = Scripted(lambda c: replies[min(2, len(steps_so_far(c)))])
    trace = react.solve(model, ITEMS[:1], arcadedb, instance_of, tmp_path / "r.jsonl", max_steps=4)[0]
    observations = [s.observation for s in trace.steps]
    assert observations[0].startswith("Error (write)") and observations[1].startswith("Error (syntax)")
    assert observations[2] == "1 row. 7\n[7]"
    assert not trace.finished and trace.answer == "RETURN 7" and len(trace.steps) == 4
    assert arcadedb.run("MATCH (n:Movie) RETURN count(n) > 0").rows == ((True,),)


def test_react_begins_no_step_past_its_tokens(arcadedb, tmp_path):
    model = Scripted(lambda c: "Action: run_query[RETURN 7]")  # 107 tokens a step
    limit = {"max_steps": 9, "max_tokens": 300}
    trace = react.solve(model, ITEMS[:1], arcadedb, instance_of, tmp_path / "r.jsonl", **limit)[0]
    assert len(trace.steps) == 3 and trace.tokens == 321
    assert trace.answer == "RETURN 7" and not trace.finished and trace.outcome == "ok"


def test_without_any_action_the_last_reply_is_the_answer(arcadedb, tmp_path):
    model = Scripted(lambda c: "Thought: MATCH (n) RETURN n")
    trace = react.solve(model, ITEMS[:1], arcadedb, instance_of, tmp_path / "r.jsonl", max_steps=2)[0]
    assert trace.answer == "MATCH (n) RETURN n" and trace.malformed == 2
    silent = react.solve(Scripted(lambda c: ""), ITEMS[:1], arcadedb, instance_of, tmp_path / "s.jsonl", max_steps=2)[0]
    assert silent.completion.outcome == "empty"


def test_traces_are_kept_and_resumed(arcadedb, tmp_path):
    model, path = Scripted(good_agent), tmp_path / "react.jsonl"
    first = react.solve(model, ITEMS, arcadedb, instance_of, path, POOL)
    asked_once = sum(model.batches)
    assert react.solve(model, ITEMS, arcadedb, instance_of, path, POOL) == first and sum(model.batches) == asked_once
    lines = path.read_text().splitlines()
    path.write_text(lines[0] + "\n" + lines[1][:40])  # killed while writing
    assert react.solve(model, ITEMS, arcadedb, instance_of, path, POOL) == first
    assert sum(model.batches) == asked_once + sum(len(t.steps) for t in first[1:])
    assert json.loads(lines[0])["steps"][0]["action"] == "run_query"
    react.solve(model, ITEMS, arcadedb, instance_of, path, POOL, version="other")
    assert sum(model.batches) > 2 * asked_once


def test_long_observations_are_cut(arcadedb, tmp_path):
    query = "UNWIND range(1, 100) AS x RETURN x, 'long text number ' + toString(x) + repeat('.', 200) AS t"
    query = query.replace("repeat('.', 200)", "reduce(s = '', y IN range(1, 200) | s + '.')")
    model = Scripted(lambda c: f"Action: run_query[{query}]")
    trace = react.solve(model, ITEMS[:1], arcadedb, instance_of, tmp_path / "r.jsonl", max_steps=1)[0]
    observation = trace.steps[0].observation
    assert observation.startswith("100 rows. x, t") and len(observation) <= SHOWN_CHARACTERS + 2


def test_exercises_of_notebook_07():
    traces = [
        react.Trace("a", "k", prompt_tokens=100, new_tokens=20),
        react.Trace("b", "l", prompt_tokens=50, new_tokens=5),
    ]
    assert nb07.check_1(87.5, traces) is None and "divide" in nb07.check_1(175, traces)
    assert nb07.check_2(POOL[4].input, ITEMS, POOL) is None and "exemplars" in nb07.check_2(POOL[0].input, ITEMS, POOL)
    right, wrong = SimpleNamespace(ex=True), SimpleNamespace(ex=False)
    assert nb07.check_3(1, [right, right, wrong], [right, wrong, right]) is None
    assert "count" in nb07.check_3(2, [right, right, wrong], [right, wrong, right])
