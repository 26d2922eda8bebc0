"""ReAct traces: they are what ReAct shows and reads, each observation is the engine's, and what they say is true."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from heimdall_nb.baselines import react
from heimdall_nb.dataset import traces
from heimdall_nb.dataset.corpus import cypher_corpus
from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.generate import degenerate
from heimdall_nb.dataset.graphs import GraphSchema, Label, Property, load_schema
from heimdall_nb.dataset.traces import KINDS, react_traces
from heimdall_nb.dataset.verified import FreshArcadeDB, runs
from heimdall_nb.engines.cypher_tokens import writes
from heimdall_nb.engines.graph import GraphInstance, Node, Refusal, Relationship, Rows
from heimdall_nb.errors import BadInput
from heimdall_nb.models.protocol import Completion
from heimdall_nb.prompts import conversation, render
from heimdall_nb.react_protocol import INSTRUCTIONS, demonstration, read_action

RECORDS = 60


class Keeping(FreshArcadeDB):
    """Keeps the graphs that it was given."""

    def __init__(self):
        super().__init__()
        self.graphs = []

    def load(self, graph):
        self.graphs.append(graph)
        super().load(graph)


@pytest.fixture(scope="module")
def engine():
    with FreshArcadeDB() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def made():
    """Records, each with its graph."""
    with Keeping() as keeping:
        records = list(react_traces(RECORDS, 3, keeping))
        return list(zip(records, keeping.graphs, strict=True))


def apart(record):
    """The traces of a record: turns from one question to before the next; a place of the first turn each."""
    starts = [place for place, (user, _) in enumerate(record["turns"]) if user.startswith(INSTRUCTIONS)]
    ends = [*starts[1:], len(record["turns"])]
    return [(start, record["turns"][start:end]) for start, end in zip(starts, ends, strict=True)]


def kind(record, start, turns):
    tools = [read_action(reply)[0] for _, reply in turns]
    queries = [read_action(reply)[1] for _, reply in turns]
    if start in record["slips"]:
        assert tools == ["run_query", "run_query", "finish"] and queries[1] == queries[2] != queries[0]
        return "mend"
    if tools == ["finish"]:
        return "finish"
    assert tools == ["run_query", "finish"]
    return "run" if queries[0] == queries[1] else "look_up"


def all_traces(made):
    for record, graph in made:
        for start, turns in apart(record):
            yield record, graph, start, turns


class Scripted:
    """Gives the replies of a trace one after the other, and keeps what it was shown."""

    name = "scripted"

    def __init__(self, replies):
        self.replies, self.seen = iter(replies), []

    def complete(self, conversations, **_):
        self.seen += conversations
        return [Completion(next(self.replies), 1, 1, 0.0, "ok") for _ in conversations]


def solved(turns, record, graph, engine, path, pool=()):
    """ReAct's own run with a model that replies as the trace does."""
    example = exampled(turns, record)
    model = Scripted([reply for _, reply in turns])
    (trace,) = react.solve(model, [example], engine, lambda name: graph, path, pool)
    return trace, model.seen


def exampled(turns, record):
    question, query = turns[0][0].removeprefix(INSTRUCTIONS), read_action(turns[-1][1])[1]
    return Example("Write", question, query, "c", "small", graph="invented", schema=record["schema"]).with_id()


def test_react_shows_the_same_turns_and_gets_the_same_observations(made, engine, tmp_path):
    for number, (record, graph, _, turns) in enumerate(list(all_traces(made))[:40]):
        trace, seen = solved(turns, record, graph, engine, tmp_path / f"{number}.jsonl")
        assert trace.finished and trace.malformed == 0 and len(seen) == len(turns)
        for place, (user, _) in enumerate(turns):
            assert seen[place] == conversation(user, record["schema"], "cypher", exemplars=turns[:place])


def test_a_demonstration_is_the_one_that_react_shows(made, engine, tmp_path):
    found = 0
    for number, (record, graph) in enumerate(made):
        (_, shown), *rest = apart(record)
        example = exampled(shown, record)
        observation = shown[-1][0].removeprefix("Observation: ")
        if len(rest) == 1 and demonstration(example.input, example.output, observation) == [tuple(t) for t in shown]:
            found += 1
            _, seen = solved(rest[0][1], record, graph, engine, tmp_path / f"{number}.jsonl", [example])
            (*earlier, (user, _)) = record["turns"]
            assert seen[-1] == conversation(user, record["schema"], "cypher", exemplars=earlier)
    assert found > 3


def test_same_seed_same_records_whatever_came_before(engine, made):
    first = [record for record, _ in made[:4]]
    assert list(react_traces(4, 3, engine)) == first
    assert list(react_traces(2, 4, engine)) != first[:2]


def test_kinds_come_in_their_shares(made):
    counts = Counter(kind(record, start, turns) for record, _, start, turns in all_traces(made))
    total = sum(counts.values())
    demonstrations = sum(start == 0 and demonstrated(turns) for _, _, start, turns in all_traces(made))
    assert total > 1.5 * RECORDS and demonstrations > 0.15 * RECORDS
    for name, share in KINDS.items():
        expected = share * total
        assert 0.4 * expected < counts[name] < 1.8 * expected, (name, counts)


def demonstrated(turns):
    return [reply.partition("\n")[0] for _, reply in turns] == [
        "Thought: The schema is known. I run the query.",
        "Thought: The rows answer the question.",
    ]


def test_records_are_short_and_their_answers_find_something(made, engine):
    for record, graph in made:
        *earlier, (user, reply) = record["turns"]
        text = render(conversation(user, record["schema"], "cypher", reply, earlier), generation_prompt=False)
        assert len(text) <= traces.LONGEST
        engine.load(graph)
        for _, turns in apart(record):
            query = read_action(turns[-1][1])[1]
            result = engine.run(query)
            assert not writes(query) and isinstance(result, Rows) and not degenerate(result), query


def test_slips_show_and_what_mends_them_is_true(made):
    mended = [(r, t) for r, _, start, t in all_traces(made) if kind(r, start, t) == "mend"]
    assert len(mended) > 8
    for record, turns in mended:
        observation, thought = turns[1][0], turns[1][1].partition("\n")[0]
        if observation.startswith("Observation: Error"):
            assert re.search("error|refused", thought), thought
        elif observation.startswith("Observation: 0 rows"):
            assert re.search("No rows|empty|Nothing was found", thought), thought
        else:
            assert re.search("null|doubtful|Only", thought), thought
        if named := re.search(r"The schema has (\w+), not (\w+)\.", thought):
            names = re.findall(r"\w+", record["schema"])
            assert named[1] in names and named[2] not in names


def test_look_ups_say_what_was_seen(made):
    found = [t for r, _, start, t in all_traces(made) if kind(r, start, t) == "look_up"]
    assert len(found) > 5
    for turns in found:
        observation, thought = turns[1][0], turns[1][1].partition("\n")[0]
        value = re.search(r"'((?:[^'\\]|\\.)*)'(?: is|\. I can| as the)", thought)
        assert value and f"'{value[1]}'" in read_action(turns[1][1])[1]
        if "among" in thought or "It is written" in thought:
            assert f'["{value[1]}"]' in observation.replace("\\", "")
        elif "is there" in thought:
            assert re.fullmatch(r"Observation: 1 row\. found\n\[[1-9]\d*\]", observation)
        else:
            example = re.search(r"like '((?:[^'\\]|\\.)*)'", thought)
            assert example and f'"{example[1]}"' in observation.replace("\\", "")


def test_results_and_direct_answers_say_what_is_so(made):
    for record, _, start, turns in all_traces(made):
        thought = turns[-1][1].partition("\n")[0]
        if found := re.search(r"(\d+) rows", thought):
            assert turns[-1][0].startswith(f"Observation: {found[1]} rows. ")
        if found := re.search(r"(?:result is|came back:) (\[.*\])\.", thought):
            assert turns[-1][0].endswith(f"\n{found[1]}")
        if kind(record, start, turns) == "finish":
            assert "'" not in read_action(turns[0][1])[1] or "names no value" not in thought


def text_less(rng):
    number = Property("size", "INTEGER", "size", range=(1, 90), additive=True)
    key = Property("code", "INTEGER", "code", range=(100, 900))
    return GraphSchema("plain", "", {"Box": Label("Box", "code", {"code": key, "size": number}, "box", "boxes")}, ())


def endless(rng):
    names = [f"property{n}" for n in range(400)]
    properties = {name: Property(name, "INTEGER", name, range=(1, 90)) for name in names}
    return GraphSchema("endless", "", {"Box": Label("Box", names[0], properties, "box", "boxes")}, ())


def test_a_schema_without_texts_has_other_traces_and_one_too_long_has_none(engine):
    records = list(react_traces(4, 1, engine, text_less))
    assert all(record["schema"] == "(:Box {code: INTEGER KEY, size: INTEGER})" for record in records)
    assert all(kind(r, start, turns) != "look_up" for r in records for start, turns in apart(r))
    with pytest.raises(BadInput, match="endless"):
        list(react_traces(1, 1, engine, endless))


def test_queries_of_the_corpus_run(engine):
    schema = load_schema("movies")
    queries = [query for _, r in cypher_corpus(6, 2, draw=lambda rng, size: schema) for _, query in r["turns"]]
    results = runs(schema, queries, engine, 1)
    assert len(results) == len(queries) > 30 and all(isinstance(result, Rows) for result in results)
    assert any(writes(query) for query in queries)


def test_what_does_not_run_is_refused_and_writes_are_undone(engine):
    queries = [
        "MATCH (m:Movie) RETURN count(m) AS n",
        "MATCH (m:Movie) DETACH DELETE m",
        "MATCH (m:Movie) RETURN count(m) AS n",
        "MATCH (m:Movie RETURN m",
        "CREATE (m:Movie {title: x})",
    ]
    before, written, after, *faults = runs(load_schema("movies"), queries, engine, 1)
    assert before == after and before.rows[0][0] > 0 and written == Rows(("one",), ((1,),))
    assert [isinstance(fault, Refusal) and fault.kind for fault in faults] == ["syntax", "syntax"]
    with pytest.raises(BadInput, match="fewer than"):
        runs(load_schema("movies"), [], engine, 1, nodes=2)


def graph_of(label, kind):
    return GraphInstance("g", (Node(1, label, {}), Node(2, label, {})), (Relationship(kind, 1, 2),))


def test_a_fresh_engine_forgets_names_and_removes_its_folder():
    with FreshArcadeDB() as fresh:
        with pytest.raises(BadInput, match="no graph"):
            fresh.run("RETURN 1")
        fresh.load(graph_of("visits", "likes"))
        fresh.load(graph_of("likes", "visits"))  # one database cannot hold both
        assert fresh.run("MATCH (a)-[r]->() RETURN labels(a) AS l, type(r) AS t").rows == ((["likes"], "visits"),)
        place = fresh._place
        assert place.is_dir() and [item.name for item in place.parent.iterdir()] == ["2"]
        assert fresh.trial("CREATE (:likes)", "MATCH (a) RETURN count(a) AS n").rows == ((3,),)
    assert not place.parent.exists()
    fresh.close()


def test_a_draw_decides_the_schema(engine):
    (record,) = react_traces(1, 9, engine, lambda rng: load_schema("library"))
    assert record["schema"] == load_schema("library").text()
