"""Scores of texts: the gold is right, a gold with one fault is wrong, other words around the same facts are right."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb import facts
from heimdall_nb.dataset.example import load
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.engines.cypher_tokens import tokens
from heimdall_nb.errors import BadInput
from heimdall_nb.evaluation.canonical import canonical
from heimdall_nb.evaluation.statements import Statement, read_answer, same_statement, split_cypher, unbalanced
from heimdall_nb.evaluation.texts import invented, prose_facts, score_texts
from heimdall_nb.models.protocol import Completion
from heimdall_nb.run import DATA

PACK = facts.load_pack()
ITEMS = load(DATA / "benchmark" / "operations.jsonl")
BY_TEMPLATE = {e.template: e for e in reversed(ITEMS)}  # the first of each


def completion(text: str, outcome: str = "ok") -> Completion:
    return Completion(text, 10, 5, 0.1, outcome)


def scores(answers, items=ITEMS, **engine):
    return score_texts(items, [completion(a) for a in answers], PACK, **engine)


def share_right(answers, items=ITEMS) -> float:
    found = scores(answers, items)
    return sum(s.ex for s in found) / len(found)


@cache
def names_of(graph: str):
    return load_schema(graph).names()


def test_every_gold_is_right_against_itself():
    found = score_texts(ITEMS, [completion(e.output) for e in ITEMS], PACK, names_of=names_of)
    assert [(s.id, s.message) for s in found if not (s.va and s.ex and s.em)] == []
    assert len(found) == 300 and all(s.cause == "right" and s.ts is None and s.hints == () for s in found)


# --- one fault


def change_number(text: str, rng: random.Random) -> str:
    found = list(re.finditer(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)", text))
    if not found:
        return text
    match = rng.choice(found)
    return text[: match.start()] + str(int(match[0].split(".")[0]) + 1) + text[match.end() :]


def change_name(text: str, rng: random.Random) -> str:
    """Another name in the place of one: a label, type, property, procedure, column, key, variable, flag or path."""
    form = r"(?<=[.:_/$])[A-Za-z]\w+(?=\b)|(?<=[{ ])[a-z]\w*(?=: [\w\[{'])|\b(?:[a-z]+[A-Z]\w*|[A-Z]+_\w+|\w+_\w+)\b"
    found = [m for m in re.finditer(form, text) if not re.match(r"\s*(?:://|MATCH|\.$)", text[m.end() :])]
    aliases = set(re.findall(r"\bAS (\w+)", text))
    found = [m for m in found if m[0] not in aliases or text[m.start() - 1] in ".:"]
    if not found:
        return text
    match = rng.choice(found)
    other = rng.choice([m[0] for m in found if m[0] != match[0]] or [match[0] + "x"])
    return text[: match.start()] + other + text[match.end() :]


def swap_arguments(text: str, rng: random.Random) -> str:
    """The first two arguments of a call with at least two different ones, changed in their order."""
    argument = r"(?:\[[^\]\[]*\]|'[^']*'|\"[^\"]*\"|[\w.$]+)"
    form = re.compile(rf"(?<=[\w]\()({argument}), ({argument})(?=[,)])")
    found = [m for m in form.finditer(text) if m[1] != m[2]]
    if not found:
        return text
    match = rng.choice(found)
    return text[: match.start()] + f"{match[2]}, {match[1]}" + text[match.end() :]


def drop_last_line(text: str, rng: random.Random) -> str:
    return text.rstrip().rpartition("\n")[0].rstrip()


@pytest.mark.parametrize(
    ("mutate", "at_least"), [(change_number, 120), (change_name, 280), (swap_arguments, 50), (drop_last_line, 300)]
)
def test_one_fault_makes_an_answer_wrong(mutate, at_least):
    pairs = [(e, mutate(e.output, random.Random(f"{mutate.__name__} {e.id}"))) for e in ITEMS]
    pairs = [(e, text) for e, text in pairs if text != e.output]
    assert len(pairs) >= at_least
    found = scores([text for _, text in pairs], [e for e, _ in pairs])
    right = [(e.output, text) for (e, text), s in zip(pairs, found, strict=True) if s.ex]
    print(f"{mutate.__name__}: {len(pairs) - len(right)} of {len(pairs)} wrong", right)
    assert len(right) <= 0.03 * len(pairs), right


def test_the_gold_of_another_item_is_wrong():
    for step in (1, 50):
        answers = [ITEMS[(k + step) % len(ITEMS)].output for k in range(len(ITEMS))]
        assert share_right(answers) <= 0.01
    some = ITEMS[::3]
    for answer in ("MATCH (n) RETURN n", "No. That does not work in this version."):
        assert share_right([answer] * len(some), some) == 0
    assert share_right([e.question for e in some], some) <= 0.01


# --- other words, the same facts

FILLERS = ["Here is the answer to your question.", "This works in your version.", "I hope this helps!", "Sure."]
WORDS = {
    "Send": "Give",
    "needs": "wants",
    "Find": "Look for",
    "find": "look up",
    "find the": "look up the",
    "look at": "see",
    "Look at": "See",
    "stays": "remains",
    "make": "create",
    "Make": "Create",
    "made": "created",
    "does nothing": "has no effect",
    "is parsed and": "is read but",
    "accepted": "taken",
    "comes first": "stands first",
    "misspelt": "written wrongly",
    "would": "will",
    "Without": "Lacking",
    "before you": "until you",
    "joined": "put together",
    "keeps": "retains",
    "drops": "loses",
    "every": "each",
    "lacks": "misses",
    "Use": "Take",
    "fit": "match",
    "anew": "again",
    "separated": "divided",
    "Write": "Put",
    "whole": "entire",
    "Check": "Inspect",
}


def other_words(text: str) -> str:
    """The answer with synonyms of words that are no facts, in its prose only."""
    lines = []
    for line in text.split("\n"):
        statements, prose = read_answer(line)
        lines.append(line if statements or not prose else _replaced(line))
    return "\n".join(lines)


def _replaced(line: str) -> str:
    for old, new in WORDS.items():
        line = re.sub(rf"(?<![\w.]){re.escape(old)}\b(?!\w)", new, line)
    return line


def fenced(text: str) -> str:
    """Each statement in a code fence of its own kind, with a sentence before."""
    statements, prose = read_answer(text)
    if not statements or "\n" in prose.strip() or re.search(r": [A-Z]{4,} ", text):
        return text
    languages = {one.language for one in statements}
    if len(languages) > 1:
        return text
    body = "\n".join(one.text for one in statements)
    return f"{prose.strip()}\n\n```{languages.pop()}\n{body}\n```\n"


def other_layout(text: str) -> str:
    """Other variables, keywords in lower case, JSON with spaces, curl with its options in another order."""
    if text.startswith("{") and text.endswith("}"):
        import json

        return json.dumps(dict(reversed(json.loads(text).items())), indent=2, ensure_ascii=False)
    if text.startswith("curl -X POST "):
        return "curl " + text.removeprefix("curl -X POST ") + " -X POST"
    if re.match(r"(?:MATCH|OPTIONAL)\b", text) and "\n" not in text and "'" not in text and '"' not in text:
        renamed = re.sub(r"(?<![\w.:$])([ab])(?=[.:),\s\-\]]|$)", r"\1node", text)
        return renamed.replace(" WHERE ", "\nwhere ").replace(" RETURN ", "\n  Return ") + ";"
    return text


PARAPHRASES = {
    "filler before": lambda e, rng: f"{rng.choice(FILLERS)}\n\n{e.output}",
    "filler behind": lambda e, rng: f"{e.output}\n\n{rng.choice(FILLERS)}",
    "other words": lambda e, rng: other_words(e.output),
    "fenced": lambda e, rng: fenced(e.output),
    "other layout": lambda e, rng: other_layout(e.output),
}


@pytest.mark.parametrize("name", PARAPHRASES)
def test_other_words_around_the_same_facts_stay_right(name):
    pairs = [(e, PARAPHRASES[name](e, random.Random(f"{name} {e.id}"))) for e in ITEMS]
    pairs = [(e, text) for e, text in pairs if text != e.output]
    assert len(pairs) >= 30
    found = scores([text for _, text in pairs], [e for e, _ in pairs])
    wrong = [(s.message, text) for (_, text), s in zip(pairs, found, strict=True) if not s.ex]
    print(f"{name}: {len(pairs) - len(wrong)} of {len(pairs)} right", wrong)
    assert len(wrong) <= 0.01 * len(pairs), wrong


def test_lines_in_another_order_are_right_only_where_the_order_is_free():
    free, fixed = BY_TEMPLATE["optimize_advice"], BY_TEMPLATE["vector_dimensions"]
    head, *lines = free.output.split("\n")
    assert scores(["\n".join([head, *reversed(lines)])], [free])[0].ex
    *head, first, second = fixed.output.split("\n")
    assert not scores(["\n".join([*head, second, first])], [fixed])[0].ex
    transaction = BY_TEMPLATE["transaction_link"]
    head, begin, statement, commit = transaction.output.split("\n")
    assert not scores(["\n".join([head, begin, commit, statement])], [transaction])[0].ex


FREE_WORDS = {
    "profile_write_warning": {
        "PROFILE runs the write, so yes, data changes. EXPLAIN shows the plan and runs nothing. With BEGIN first and "
        "ROLLBACK afterwards, each sent as a statement of its own, the change is undone.": True,
        "No: PROFILE runs nothing, so no change is made. Use EXPLAIN to see the plan alone, or send BEGIN before and "
        "ROLLBACK after it as separate statements.": False,
    },
    "drop_constraint": {
        "DROP CONSTRAINT has no effect here: project_code_unique remains.": True,
        "Use DROP CONSTRAINT project_code_unique.": False,
        "Yes: DROP CONSTRAINT removes project_code_unique, nothing stays.": False,
    },
    "typed_property": {
        "No, type constraints are not accepted; only the uniqueness of a property is. Query for wrong values of "
        "deadline.": True,
        "Yes, constraints on the type of a property are accepted. Check the values of deadline.": False,
        "No, type constraints are not accepted; only the uniqueness of a property is. Query for wrong values of "
        "budget.": False,
        "No.": False,
    },
    "embeddings_off": {
        "No vectors are made, as embeddings are off.\n```bash\nexport NORNICDB_EMBEDDING_ENABLED=true\n```": True,
        "Embeddings are off by default.\n\nexport NORNICDB_EMBEDDING_ENABLED=false": False,
        "Embeddings are off by default.\n\nexport NORNICDB_EMBEDDINGS=true": False,
        "Turn embeddings on in the configuration.": False,
    },
    "vector_dimensions": {
        "Use a new index.\n\nCALL db.index.vector.drop('index_student_all')\nCALL db.index.vector.createNodeIndex("
        "'index_student_all', 'Student', 'vector', 1536, 'cosine')": True,
        "The index has 385 dimensions.\n\nCALL db.index.vector.drop('index_student_all')\nCALL "
        "db.index.vector.createNodeIndex('index_student_all', 'Student', 'vector', 1536, 'cosine')": False,
    },
}


@pytest.mark.parametrize(
    ("template", "answer", "right"),
    [(t, a, right) for t, answers in FREE_WORDS.items() for a, right in answers.items()],
)
def test_answers_in_free_words(template, answer, right):
    found = scores([answer], [BY_TEMPLATE[template]])[0]
    assert found.ex is right, found.message
    assert found.va or not found.ex


def test_what_is_not_valid():
    item = next(e for e in ITEMS if "12, $queryEmbedding) YIELD node, score WHERE node.enrolled" in e.output)
    causes = {
        item.output.replace("queryNodes", "searchNodes"): "invented name",
        item.output.replace("YIELD node", "YIELD nodes"): "invented name",
        item.output.replace("$queryEmbedding)", "$queryEmbedding"): "syntax",
        "Use a vector index.": "syntax",
        "": "no answer",
        item.output.replace("12", "13"): "wrong result",
        item.output.replace("node.enrolled", "node.enroled"): "wrong result",
    }
    for answer, cause in causes.items():
        found = scores([answer], [item])[0]
        assert (found.cause, found.va) == (cause, cause == "wrong result"), (answer, found.message)
        assert found.message and not found.ex
    wrong = "MATCH (a:Parcel) RETURN a.size AS size, count(*) AS n GROUP BY a.size"
    assert scores([wrong], [BY_TEMPLATE["group_by"]])[0].cause == "invented name"
    of_schema = BY_TEMPLATE["or_to_in"]
    found = scores([of_schema.output.replace("a.category", "a.kategory")], [of_schema], names_of=names_of)[0]
    assert found.cause == "schema" and "kategory" in found.message
    cut = score_texts([item], [completion(item.output[:40], "truncated")], PACK)[0]
    assert cut.cause == "truncated"
    with pytest.raises(BadInput):
        score_texts([item], [], PACK)


def test_another_query_with_the_same_result_is_right_where_it_can_be_run(arcadedb):
    with_engine = {
        "engine": arcadedb,
        "instance_of": lambda graph: instantiate(load_schema(graph), 2026, 60),
        "names_of": names_of,
    }
    item = BY_TEMPLATE["or_to_in"]
    other = "MATCH (c:Concept) WHERE c.category = 'method' OR c.category = 'process' RETURN c.name"
    assert not scores([other], [item])[0].ex
    assert scores([other], [item], **with_engine)[0].ex
    assert not scores([other.replace("'method'", "'role'")], [item], **with_engine)[0].ex
    limited = BY_TEMPLATE["limit_rows"]  # no other number is right, though the graph may have too few rows to show it
    assert not scores([re.sub(r"LIMIT (\d+)", "LIMIT 100", limited.output)], [limited], **with_engine)[0].ex
    # EXPLAIN is part of the answer, and what cannot be parsed is not valid
    explain = BY_TEMPLATE["explain_lookup"]
    swapped = explain.output.replace("a.path = 'tunnel'", "'tunnel' = a.path")
    assert scores([swapped], [explain], **with_engine)[0].ex
    assert not scores([swapped.replace("EXPLAIN ", "")], [explain], **with_engine)[0].ex
    broken = scores([item.output.replace("RETURN a.name", "RETURN missing.name")], [item], **with_engine)[0]
    assert (broken.va, broken.cause) == (False, "syntax")
    action = BY_TEMPLATE["action_query_count"]
    inner = action.output.replace("a.latency >= 236.6", "236.6 <= a.latency")
    assert not scores([inner], [action])[0].ex and scores([inner], [action], **with_engine)[0].ex
    write = BY_TEMPLATE["merge_whole_path"]
    other = "Match both first.\n\nMATCH (l:Line {code: 'M7'}), (s:Stop {name: 'Market Gate'}) MERGE (l)-[:SERVES]->(s)"
    assert [scores([other], [write])[0].ex, *(s.va for s in scores([other], [write], **with_engine))] == [False, True]


def test_invented_names():
    assert invented("CALL db.index.vector.queryNodes('i', 5, $v) YIELD node, score RETURN node.name", PACK) == []
    assert invented("CALL algo.pageRank('X') YIELD node RETURN node", PACK) == [
        "procedure algo.pageRank is no procedure of the server"
    ]
    (column,) = invented("CALL apoc.algo.wcc(['X']) YIELD node, community RETURN node", PACK)
    assert column.startswith("column community")
    (function,) = invented("MATCH (a:X) RETURN apoc.text.toUpperCase(a.name)", PACK)
    assert "apoc.text.toUpperCase" in function
    assert "RANGE INDEX" in invented("CREATE RANGE INDEX i FOR (n:X) ON (n.a)", PACK)[0].upper()
    assert invented("MATCH (a:X) WHERE a.text = 'CALL algo.pageRank()' RETURN a.name // algo.wcc()", PACK) == []


@pytest.mark.parametrize("name", ["iid", "template", "graph", "style", "operations"])
def test_no_gold_names_anything_invented(name):
    for example in load(DATA / "benchmark" / f"{name}.jsonl"):
        statements, _ = read_answer(example.output)
        for one in statements:
            if one.language == "cypher":
                assert invented(one.text, PACK) == [], example.output


# --- statements


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("MATCH (a:X) RETURN a.n AS n ORDER BY n", "match (x:X) return x.n order by x.n asc;", True),
        ("MATCH (a:X) RETURN a.n", "MATCH (a:X) RETURN a.m", False),
        ("MATCH (a:X)-[:R]->(b) RETURN a.n", "MATCH (b:X)-[:R]->(a) RETURN b.n", True),
        ("MATCH (a:X)-[:R]->(b) RETURN a.n", "MATCH (a:X)-[:R]->(b) RETURN b.n", False),
        ("RETURN 1 / 2", "RETURN 1.0 / 2", False),
        ("RETURN 0.5", "RETURN 0.50", True),
        ("RETURN 'it''s'", 'RETURN "its"', False),
        ("RETURN 'a'", 'RETURN "a"', True),
        ("CALL x.y({a: 1, b: 2})", "CALL x.y({b: 2, a: 1})", True),
        ("CALL x.y({a: 1, b: 2})", "CALL x.y({b: 1, a: 2})", False),
        ("CALL x.y('MATCH (a) RETURN a.n AS n')", 'CALL x.y("MATCH (a)  RETURN a.n AS n")', True),
        ("CALL x.y('MATCH (a) RETURN a.n AS n')", "CALL x.y('MATCH (a) RETURN a.n AS m')", False),
        ("CALL d.e() YIELD a, b RETURN a", "CALL d.e() YIELD b, a RETURN a", False),
        ("MATCH (a:`X`) RETURN a.n", "MATCH (a:X) RETURN a.n", True),
    ],
)
def test_same_cypher(one, other, same):
    assert same_statement(Statement("cypher", one), Statement("cypher", other)) is same


@pytest.mark.parametrize(
    ("language", "one", "other", "same"),
    [
        ("json", '{"a": 1, "b": [1, 2]}', '{"b":[1,2],"a":1}', True),
        ("json", '{"b": [1, 2]}', '{"b":[2,1]}', False),
        ("json", '{"a": 1}', '{"a": true}', False),
        ("shell", "curl -X POST http://h:1/p -d '{\"a\": 1}'", "curl http://h:1/p -d '{\"a\":1}' -X POST", True),
        ("shell", "curl -X POST http://h:1/p", "curl -X GET http://h:1/p", False),
        ("shell", "export A=1", "$ A=1  # on", True),
        ("shell", "export A=1", "export A=2", False),
        ("yaml", "a:\n  b: 1\n  c: 2", "a:\n    c: 2   # two\n    b: 1", True),
        ("yaml", "a:\n  b: 1", "a:\n  b: '1'", False),
        ("go", "func f() { return }", "func f() {\n\treturn // done\n}", False),
        ("go", "func f() { return }", "func f() {\n\t// done\n\treturn\n}", True),
    ],
)
def test_same_statement_in_other_languages(language, one, other, same):
    assert same_statement(Statement(language, one), Statement(language, other)) is same


def test_statements_of_a_block():
    block = "BEGIN\nMATCH (a:X {n: 1})\nSET a.m = 2\nMATCH (a:X {n: 2}) SET a.m = 3\nCOMMIT"
    assert split_cypher(block) == [
        "BEGIN",
        "MATCH (a:X {n: 1})\nSET a.m = 2",
        "MATCH (a:X {n: 2}) SET a.m = 3",
        "COMMIT",
    ]
    assert split_cypher("MATCH (a)\nMATCH (b)\nMERGE (a)-[:R]->(b)") == ["MATCH (a)\nMATCH (b)\nMERGE (a)-[:R]->(b)"]
    assert split_cypher("RETURN 1; RETURN ';'") == ["RETURN 1", "RETURN ';'"]
    assert len(split_cypher("MATCH (a) RETURN a.n\nUNION\nMATCH (b) RETURN b.n")) == 1
    assert len(split_cypher("CALL a.b('x')\nCALL a.c('y')")) == 2


def test_the_facts_of_prose():
    text = "Set NORNICDB_HTTP_PORT to 7475 (not 7474.0), or use --http-port with 'x y'. Labels are Home, not home."
    assert prose_facts(text) == {"NORNICDB_HTTP_PORT", "7475", "7474", "--http-port", "x y", "Home"}
    assert prose_facts("Send these as three separate statements. Cypher has no such form.") == set()


def test_brackets_without_a_partner_are_named():
    assert unbalanced("MATCH (a {n: ')'}) RETURN [1]") == ""
    assert "(" in unbalanced("MATCH (a RETURN a") and "]" in unbalanced("RETURN 1]")
    assert "'" in unbalanced("RETURN 'open")


def test_canonical_never_fails_on_torn_queries():
    for item in ITEMS[:60]:
        for k in range(0, len(item.output), 9):
            canonical(item.output[:k])
            read_answer(item.output[k:])
    assert canonical("(" * 40) and tokens("((")


@given(st.sampled_from(ITEMS), st.sampled_from([" ", "\n", "  // note\n", " /* x */ "]))
def test_layout_and_comments_do_not_matter(item, space):
    for one in read_answer(item.output)[0]:
        if one.language == "cypher" and "//" not in one.text:
            spaced = "".join(_with_space(one.text, space))
            assert canonical(spaced) == canonical(one.text), spaced


def _with_space(query: str, space: str):
    """The query with other white space before each token that has some."""
    end = 0
    for token in [*tokens(query), None]:
        start = token.start if token else len(query)
        gap = query[end:start]
        raw = len(token.text) + 2 * (token.kind in ("string", "quoted")) if token else 0
        yield (space if gap and not gap.strip() else gap) + query[start : start + raw]
        end = start + raw


@given(st.sampled_from(ITEMS), st.text(max_size=80))
def test_any_answer_gets_a_score(item, text):
    for answer in (text, item.output + text, f"```{text}\n{item.output}"):
        (found,) = scores([answer], [item])
        assert found.va or not found.ex
        assert bool(found.message) is not found.ex


def test_scores_do_not_depend_on_the_order_of_the_items():
    few = ITEMS[:40]
    answers = [e.output for e in ITEMS[1:41]]
    forward = {s.id: (s.va, s.ex, s.message) for s in scores(answers, few)}
    backward = {s.id: (s.va, s.ex, s.message) for s in scores(answers[::-1], few[::-1])}
    assert forward == backward
    assert scores([few[0].output], [replace(few[0], graph=None, schema="")])[0].ex
