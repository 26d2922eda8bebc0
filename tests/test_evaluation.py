"""Scores, intervals and the answers' file, on real graphs in the real engine."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation import parallel
from heimdall_nb.evaluation.answers import answer_examples, executable, prompt_of
from heimdall_nb.evaluation.execute import Executor, same_state
from heimdall_nb.evaluation.metrics import CAUSES, constant_floor, exact_match, score_items, summary
from heimdall_nb.evaluation.report import examples_of_causes, failures, groups, table, verdict
from heimdall_nb.evaluation.statistics import bootstrap, mcnemar, over_seeds, paired_bootstrap, wilson
from heimdall_nb.exercises import nb05
from heimdall_nb.models.answers import query_of
from heimdall_nb.models.protocol import Completion

QUESTIONS = [
    ("movies", "count", "How many movies are there?", "MATCH (m:Movie) RETURN count(m) AS n"),
    ("movies", "list", "The titles of all movies, by title?", "MATCH (m:Movie) RETURN m.title ORDER BY m.title"),
    ("library", "count", "How many books are there?", "MATCH (b:Book) RETURN count(b) AS n"),
    (
        "library",
        "list",
        "Which books did each author write?",
        "MATCH (a:Author)-[:WROTE]->(b:Book) RETURN a.name, b.title",
    ),
    ("movies", "count", "How many movies does the graph hold?", "MATCH (m:Movie) RETURN count(m) AS n"),
]


def example(graph, category, question, query):
    schema = load_schema(graph).text()
    return Example(
        "Write Cypher.", question, query, category, "small", graph=graph, schema=schema, check="executed"
    ).with_id()


EXAMPLES = [example(*item) for item in QUESTIONS]


class Scripted:
    """A model that answers each question as a table says, and counts what it is asked."""

    name = "scripted"

    def __init__(self, answers, dies_after=None):
        self.answers, self.dies_after, self.asked = answers, dies_after, []

    def complete(self, conversations, max_new_tokens=192, temperature=0.0, seed=0, stop=(), grammar=None):
        replies = []
        for conversation in conversations:
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(conversation[-1]["content"])
            replies.append(completion(self.answers[conversation[-1]["content"]]))
        return replies

    def close(self):
        pass


def completion(text, outcome="ok", seconds=0.5):
    return Completion(text, 10, len(text.split()), seconds, outcome)


def score(engine, texts, examples=EXAMPLES):
    completions = [item if isinstance(item, Completion) else completion(item) for item in texts]
    return score_items(
        examples, completions, lambda g: instantiate(load_schema(g), 7), lambda g: load_schema(g).names(), engine
    )


def test_scores_are_the_same_in_two_processes(arcadedb):
    texts = [EXAMPLES[0].output, "MATCH (m:Movie) RETURN m.title", EXAMPLES[2].output, "MATCH (b:Book", "RETURN 1 AS n"]
    completions = [completion(text) for text in texts]
    assert parallel.score(EXAMPLES, completions, 7, workers=2) == score(arcadedb, texts)


def test_golds_score_full_marks(arcadedb):
    result = summary(score(arcadedb, [e.output for e in EXAMPLES]))
    assert (result["va"]["value"], result["ex"]["value"], result["em"]["value"]) == (1, 1, 1)
    assert result["causes"] == {"right": 5} and result["items"] == 5
    assert result["seconds"]["median"] == 0.5 and result["seconds"]["total"] == 2.5
    assert result["graph"]["movies"]["items"] == 3 and result["category"]["list"]["items"] == 2


def test_another_way_to_say_it_is_right_but_no_exact_match(arcadedb):
    texts = [
        "```cypher\nMATCH (x:Movie) RETURN count(*);\n```",
        "MATCH (m:Movie) WITH m ORDER BY m.title RETURN m.title AS t ORDER BY t",
        "match (b:Book)  return count(b) as n;",
        "MATCH (b:Book)<-[:WROTE]-(a) RETURN b.title AS book, a.name AS who",
        "MATCH (m:Movie) RETURN size(collect(m))",
    ]
    scores = score(arcadedb, texts)
    assert [s.ex for s in scores] == [True] * 5 and [s.em for s in scores] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("answer", "cause", "valid"),
    [
        ("MATCH (m:Movie RETURN m", "syntax", False),
        ("", "no answer", False),
        (completion("MATCH (m:Movie", "truncated"), "truncated", False),
        ("CREATE (m:Movie) RETURN m", "write", False),
        ("CALL nope.nothing() YIELD x RETURN x", "invented name", False),
        ("MATCH (m:Movie) RETURN apoc.text.toUpperCase(m.title)", "invented name", False),
        ("CALL db.index.vector.queryNodes('i', 3, [0.1]) YIELD node RETURN node", "engine", False),
        ("MATCH (m:Film) RETURN count(m)", "schema", False),
        ("MATCH (m:Movie) WHERE m.title = 'no such' RETURN m.title", "empty result", True),
        ("MATCH (m:Movie) RETURN count(m) + 1", "wrong result", True),
        ("MATCH (m:Movie) RETURN m.title LIMIT 2", "wrong result", True),
        ("UNWIND range(1, 2000) AS x RETURN x", "limit", False),
    ],
)
def test_causes(arcadedb, answer, cause, valid):
    (item,) = score(arcadedb, [answer], EXAMPLES[:1])
    assert (item.cause, item.va, item.ex) == (cause, valid, False)
    assert item.cause in CAUSES and item.message


def test_a_wrong_name_is_not_valid_even_where_the_result_agrees(arcadedb):
    """`(:Film)` finds nothing, and so does the gold here: the engine sees no difference, the check does."""
    nothing = example("movies", "list", "Movies called X?", "MATCH (m:Movie {title: 'X'}) RETURN m.title")
    (item,) = score(arcadedb, ["MATCH (m:Film {title: 'X'}) RETURN m.title"], [nothing])
    assert not item.va and not item.ex


def test_a_constant_is_not_right_even_where_its_value_is(arcadedb):
    (gold,) = score(arcadedb, [EXAMPLES[0].output], EXAMPLES[:1])
    ((number,),) = gold.gold_rows.rows
    (item,) = score(arcadedb, [f"RETURN {number} AS n"], EXAMPLES[:1])
    assert item.va and not item.ex and item.rows.rows == ((number,),)
    assert (item.cause, item.message) == ("wrong result", "the answer does not read the graph")


def test_order_matters_only_where_the_gold_orders(arcadedb):
    texts = [
        EXAMPLES[0].output,
        EXAMPLES[1].output + " DESC",
        EXAMPLES[2].output,
        EXAMPLES[3].output + " ORDER BY b.title",
    ]
    assert [s.ex for s in score(arcadedb, [*texts, "x"])] == [True, False, True, True, False]


@pytest.mark.parametrize("has_json", [True, False])
def test_a_state_is_the_same_where_the_engine_has_no_json(arcadedb, has_json):
    executor = Executor(arcadedb, lambda g: instantiate(load_schema(g), 7))
    executor.use("movies")
    if not has_json:
        executor._has_json = False  # what the probe finds on a server without the function
    before = executor.write("MATCH (m:Movie) WHERE false SET m.x = 1")
    assert same_state(before, executor.write("MATCH (m:Movie) SET m.x = null"))
    assert not same_state(before, executor.write("MATCH (m:Movie) SET m.x = 1"))
    tenth = executor.write("MATCH (m:Movie) SET m.x = m.released * 0.1")
    assert same_state(tenth, executor.write("MATCH (m:Movie) SET m.x = m.released / 10.0"))
    assert same_state(before, executor.write("MATCH (m:Movie) WHERE false SET m.x = 1")), "writes were undone"


def test_writes_are_compared_by_the_graph_they_leave(arcadedb):
    gold = "MATCH (m:Movie) WHERE m.released > 2000 SET m.score = 3"
    item = example("movies", "write", "Set the rating of movies after 2000 to 3.", gold)
    texts = {
        "MATCH (x:Movie) WHERE NOT x.released <= 2000 SET x.score = 3.0 RETURN count(x)": "right",
        "MATCH (m:Movie) WHERE m.released > 2000 SET m.score = 4": "wrong result",
        "MATCH (m:Movie) SET m.score = 3": "wrong result",
        "MATCH (m:Movie) WHERE m.released > 2000 RETURN m.score": "wrong result",
        "MATCH (m:Movie) WHERE m.released > 2000 SET m.stars = 3": "schema",
        "MATCH (m:Movie) WHERE m.released > 2000 DETACH DELETE m": "wrong result",
        "MATCH (m:Movie) SET m.score = 1/0": "syntax",
        "MATCH (p:Person)-[r:DIRECTED]->(m:Movie) DELETE r": "wrong result",
        gold: "right",
    }
    assert [s.cause for s in score(arcadedb, list(texts), [item] * len(texts))] == list(texts.values())


def test_a_gold_that_does_not_run_is_the_sets_fault(arcadedb):
    with pytest.raises(BadInput, match="gold query is refused"):
        score(arcadedb, ["x"], [replace(EXAMPLES[0], output="MATCH (n")])
    with pytest.raises(BadInput, match="no graph"):
        score(arcadedb, ["x"], [replace(EXAMPLES[0], graph=None)])
    with pytest.raises(BadInput, match="1 answers to 5"):
        score(arcadedb, ["x"])


def test_floor_is_the_most_frequent_result(arcadedb):
    scores = score(arcadedb, ["x"] * 5)
    floor = constant_floor(scores)
    books, movies = scores[2].gold_rows.rows, scores[0].gold_rows.rows
    expected = 3 if books == movies else 2
    assert floor["value"] == expected / 5 and floor["rows"] == [list(row) for row in movies]
    assert floor["low"] < floor["value"] < floor["high"]


def test_ex_never_exceeds_va(arcadedb):
    texts = [EXAMPLES[0].output, "MATCH (m:Film) RETURN 1", "nonsense", "MATCH (b:Book) RETURN 1", EXAMPLES[4].output]
    result = summary(score(arcadedb, texts))
    assert result["ex"]["value"] == 0.4 and result["va"]["value"] == 0.6
    for group in (*result["graph"].values(), *result["category"].values()):
        assert group["ex"]["value"] <= group["va"]["value"]
    json.dumps(result)


def test_reports(arcadedb):
    texts = [EXAMPLES[0].output, "MATCH (m:Film) RETURN 1", "nonsense", "MATCH (b:Book) RETURN 1", EXAMPLES[4].output]
    scores = score(arcadedb, texts)
    wrong = failures(scores)
    assert [r["cause"] for r in wrong] == ["syntax", "schema", "wrong result"]
    assert failures(scores, graph="movies")[0]["message"] == "label Film is not in the schema"
    assert list(examples_of_causes(scores)["cause"]) == ["syntax", "schema", "wrong result"]
    shown = table({"one": summary(scores)})
    assert shown.loc["one", "EX"].startswith("40.0 % (") and shown.loc["one", "items"] == 5
    assert list(groups(summary(scores), "graph").index) == ["library", "movies"]


def test_verdict_names_the_better_one_only_where_it_shows(arcadedb):
    gold = [EXAMPLES[0]] * 12
    right, wrong = score(arcadedb, [EXAMPLES[0].output] * 12, gold), score(arcadedb, ["RETURN 1"] * 12, gold)
    assert "(12 only the first has right and 0 only the second; p = 0.00049): A is better" in verdict(
        "A", right, "B", wrong
    )
    assert "B is better" in verdict("A", wrong, "B", right)
    assert "do not show" in verdict("A", right[:3] + wrong[3:], "B", wrong)


def test_exercises_of_notebook_05(arcadedb):
    texts = [EXAMPLES[0].output, "MATCH (m:Film) RETURN 1", "nonsense", "MATCH (b:Book) RETURN 1", EXAMPLES[4].output]
    scores = score(arcadedb, texts)
    low, high = wilson(8, 20)
    assert nb05.check_1(100 * (high - low), scores) is None and "wilson" in nb05.check_1(1.0, scores)
    assert nb05.check_2(2 / 3, scores) is None and "Divide" in nb05.check_2(0.4, scores)
    context = (lambda g: instantiate(load_schema(g), 7), lambda g: load_schema(g).names(), arcadedb)
    assert nb05.check_3("MATCH (film:Movie) RETURN count(film)", EXAMPLES[0], *context) is None
    assert "itself" in nb05.check_3(EXAMPLES[0].output, EXAMPLES[0], *context)
    assert "EX" in nb05.check_3("RETURN -1", EXAMPLES[0], *context) and nb05.check_3(7, EXAMPLES[0], *context)


def test_exact_match_keeps_what_matters():
    assert exact_match("MATCH (n) RETURN n.a // x\n", "match (n)\n return n.a ;")
    assert not exact_match("MATCH (n:Person) RETURN n", "MATCH (n:PERSON) RETURN n")
    assert not exact_match("RETURN 'a'", "RETURN 'A'") and not exact_match("RETURN 'a'", "RETURN a")


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("MATCH (n) RETURN n", "MATCH (n) RETURN n"),
        (" RETURN 1 ; \n", "RETURN 1"),
        ("Here it is:\n```cypher\nRETURN 1;\n```\nand ```RETURN 2```", "RETURN 1"),
        ("```\nRETURN 1", "RETURN 1"),
        ("RETURN ';'", "RETURN ';'"),
    ],
)
def test_query_of(text, query):
    assert query_of(text) == query


def test_executable_leaves_out_what_cannot_be_scored():
    read = EXAMPLES[0]
    others = [
        replace(read, graph=None),
        replace(read, check="parsed"),
        replace(read, part="sql"),
    ]
    assert executable([read, *others]) == [read]


ANSWERS = {e.input: e.output for e in EXAMPLES}


def test_answers_are_kept_and_not_asked_again(tmp_path):
    path, model = tmp_path / "answers.jsonl", Scripted(ANSWERS)
    first = answer_examples(model, EXAMPLES, path)
    assert [c.text for c in first] == [e.output for e in EXAMPLES] and len(model.asked) == 5
    assert answer_examples(model, EXAMPLES, path) == first and len(model.asked) == 5
    answer_examples(model, EXAMPLES, path, version="trained again")
    answer_examples(model, EXAMPLES, path, max_new_tokens=7, version="trained again")
    assert len(model.asked) == 15
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [e.id for e in EXAMPLES]


def test_answering_goes_on_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr("heimdall_nb.models.answers.BATCH", 2)
    path = tmp_path / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answer_examples(Scripted(ANSWERS, dies_after=3), EXAMPLES, path)
    kept = path.read_bytes()
    assert kept.count(b"\n") == 2
    path.write_bytes(kept + b'{"id": "torn')
    model = Scripted(ANSWERS)
    assert [c.text for c in answer_examples(model, EXAMPLES, path)] == [e.output for e in EXAMPLES]
    assert len(model.asked) == 3


def test_a_foreign_line_is_named(tmp_path):
    path = tmp_path / "answers.jsonl"
    answer_examples(Scripted(ANSWERS), EXAMPLES, path)
    path.write_text(path.read_text() + "hello\n")
    with pytest.raises(BadInput, match="line 6"):
        answer_examples(Scripted(ANSWERS), EXAMPLES, path)


def test_perplexity_is_the_mean_over_answer_tokens(tmp_path):
    torch = pytest.importorskip("torch")
    from tiny_model import make_base

    from heimdall_nb.evaluation.perplexity import answer_perplexity
    from heimdall_nb.models.transformers_model import TransformersModel
    from heimdall_nb.prompts import TURN_END, render

    model = TransformersModel(make_base(tmp_path / "base", hidden=64, layers=1))
    few = [replace(e, schema=e.schema[:200]) for e in EXAMPLES[:2]]
    total = count = 0.0
    for e in few:
        prompt, text = render(prompt_of(e)), e.output + TURN_END
        logs = model.log_probabilities(prompt + text)
        ids = model.tokens(prompt + text)
        start = len(model.tokens(prompt))
        assert ids[start:] == model.tokens(text)
        total -= sum(float(logs[k - 1, ids[k]]) for k in range(start, len(ids)))
        count += len(ids) - start
    assert math.isclose(answer_perplexity(model, few), math.exp(total / count), rel_tol=1e-4)
    with torch.no_grad():
        model.model.get_input_embeddings().weight.zero_()  # tied: every token is equally likely
    assert math.isclose(answer_perplexity(model, few), model.model.config.vocab_size, rel_tol=1e-4)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_published_values(successes, total, low, high):
    found = wilson(successes, total)
    assert found == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


@given(st.integers(0, 300), st.integers(0, 300))
def test_wilson_holds_the_share(a, b):
    low, high = wilson(min(a, b), max(a, b))
    assert 0 <= low <= (min(a, b) / max(a, b) if max(a, b) else 0) <= high <= 1


def test_wilson_refuses_impossible_counts():
    with pytest.raises(BadInput):
        wilson(3, 2)


def test_bootstrap():
    values = [0, 1] * 50
    low, high = bootstrap(values, seed=3)
    # the normal approximation: 0.5 +- 1.96 * 0.5 / sqrt(100)
    assert (low, high) == (pytest.approx(0.402, abs=0.02), pytest.approx(0.598, abs=0.02))
    spread = [k / 7 for k in range(30)]
    assert bootstrap(spread, seed=3) == bootstrap(spread, seed=3) != bootstrap(spread, seed=4)
    assert bootstrap([2.0] * 5) == (2.0, 2.0)
    with pytest.raises(BadInput):
        bootstrap([])


def test_paired_bootstrap_is_narrower_than_two_intervals_where_items_are_hard_for_both():
    hard = [0] * 50 + [1] * 50
    better = [0] * 45 + [1] * 55  # the same items, and five more
    low, high = paired_bootstrap(better, hard, seed=1)
    assert 0 < low < 0.05 < high <= 0.1
    assert paired_bootstrap(hard, better, seed=1) == (pytest.approx(-high), pytest.approx(-low))
    assert bootstrap(better)[0] < bootstrap(hard)[1], "the two intervals overlap, the paired one is above 0"
    with pytest.raises(BadInput):
        paired_bootstrap([1.0], [])


def test_spread_over_seeds():
    assert over_seeds([0.5, 0.6, 0.7]) == (pytest.approx(0.6), pytest.approx(0.1))
    with pytest.raises(BadInput, match="spread"):
        over_seeds([0.5])


def test_mcnemar():
    # 1 and 9 discordant pairs: twice the tail of Binomial(10, 1/2) up to 1 is 22/1024
    first, second = [True] + [False] * 9 + [True] * 5, [False] + [True] * 9 + [True] * 5
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second, found.p) == (1, 9, pytest.approx(22 / 1024))
    assert mcnemar(second, first).p == found.p
    assert mcnemar([True, False], [True, False]).p == 1.0
    with pytest.raises(BadInput):
        mcnemar([True], [])
