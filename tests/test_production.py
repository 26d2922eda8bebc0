"""Queries from logs: reading, masking, shapes, questions, and a dataset that changes whole or not at all."""

from __future__ import annotations

import gzip
import json
import random
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.dataset.agreement import missing_literals
from heimdall_nb.dataset.describe import describe
from heimdall_nb.dataset.example import Example, load, save
from heimdall_nb.dataset.graphs import instantiate, load_schema
from heimdall_nb.dataset.masking import mask
from heimdall_nb.dataset.production import add_queries, shape
from heimdall_nb.dataset.query_log import LONGEST_LINE, SAMPLE, read_log
from heimdall_nb.dataset.slots import Binder, InstanceValues, NoBinding
from heimdall_nb.dataset.templates import templates
from heimdall_nb.dataset.validate import validate
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS

SESSION = "bolt-session\tbolt\tneo4j\tpy/5\t\tclient/127.0.0.1:50000\tserver/127.0.0.1:7687>\tneo4j"
HEAD = f"2025-12-01 10:00:00.000+0000 INFO  12 ms: {SESSION} - "


def queries(tmp_path: Path, text: str, form: str = "auto") -> list[str]:
    path = tmp_path / "some.log"
    path.write_text(text, encoding="utf-8")
    return [entry.query for entry in read_log(path, form) if entry.query]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    first = Example(TASKS["cypher"], "All nodes?", "MATCH (n) RETURN n", "filter", "small").with_id()
    return save(tmp_path / "data" / "set.jsonl", [first])


# Reading


def test_neo4j_lines_old_and_new_and_over_several_lines(tmp_path: Path) -> None:
    new = f"2025-12-01 10:00:00.000+0000 INFO  id:1 - transaction id:3 - 2 ms: 0 B - 0 page hits - {SESSION} - neo4j - "
    text = f"{HEAD}MATCH (n)\nWHERE n.a - 1 > 2\nRETURN n - {{a: 1}} - runtime=pipelined - {{app: 'x'}}\n"
    text += f"{new}MATCH (m) RETURN m - {{}} - runtime=null - {{}}\n2025-12-01 10:00:01.000+0000 INFO  other\n"
    assert queries(tmp_path, text) == ["MATCH (n)\nWHERE n.a - 1 > 2\nRETURN n", "MATCH (m) RETURN m"]
    entries = list(read_log(tmp_path / "some.log"))
    assert entries[0].parameters == {"a": 1} and [e.line for e in entries] == [1, 4, 5]


def test_nornicdb_lines(tmp_path: Path) -> None:
    text = (
        "starting up\n[BOLT] admin@127.0.0.1:5: MATCH (n {name: $name})\n"
        "  RETURN n.x (params: map[age:3 name:Ada Novak])\n"
        "[HTTP] GET /health 200 1ms\n"
        '2025/12/01 10:00:00 [SLOW QUERY] duration=2s status=OK query="MATCH (m {t: \\"a\\"})\\nRETURN m" '
        'params={"a":1}\n'
        '2025/12/01 10:00:00 [SLOW QUERY] duration=2s status=OK query="MATCH (m) RETU..." params=\n'
        '2025/12/01 10:00:00 [SLOW QUERY] duration=2s status=ERROR: no query="MATCH (q) RETURN q" params=\n'
        'time=2025-12-01 level=WARN msg="slow query" query="MATCH (k) RETURN k"\n[query] 12ms RETURN 1\n'
    )
    path = tmp_path / "n.log"
    path.write_text(text)
    entries = [entry for entry in read_log(path) if entry.query]
    assert entries[0].query == "MATCH (n {name: $name})\n  RETURN n.x" and entries[0].parameters == {
        "name": "Ada Novak"
    }
    assert entries[1].query == 'MATCH (m {t: "a"})\nRETURN m'
    assert [e.fault for e in entries] == ["", "", "cut off in the log", "failed in the log", "", ""]
    assert [e.query for e in entries[4:]] == ["MATCH (k) RETURN k", "RETURN 1"]


def test_json_lines_of_both_servers(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"event": "success", "query": "MATCH (n {a: $a}) RETURN n", "queryParameters": "{a: -2, l: [1, 'x']}"},
        {"msg": "slow", "cypher": "RETURN $b", "params": {"b": 1.5}},
        {"event": "fail", "query": "RETURN 2"},
        {"msg": "no query here"},
    ]
    path = tmp_path / "n.json"
    path.write_text("\n".join(map(json.dumps, rows)))
    entries = list(read_log(path))
    assert [e.parameters for e in entries] == [{"a": -2, "l": [1, "x"]}, {"b": 1.5}, None, None]
    assert [e.fault for e in entries] == ["", "", "failed in the log", ""] and not entries[3].query


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MATCH (n) RETURN n\nMATCH (m) RETURN m\n", ["MATCH (n) RETURN n", "MATCH (m) RETURN m"]),
        ("CREATE (a:A)\nCREATE (b:B)\n", ["CREATE (a:A)", "CREATE (b:B)"]),
        ("MATCH (n)\nRETURN n;\nRETURN ';' AS x;", ["MATCH (n)\nRETURN n", "RETURN ';' AS x"]),
        ("// a note\n:param x => 1\nMATCH (n)\n  RETURN n\n\nRETURN 2", ["MATCH (n)\n  RETURN n", "RETURN 2"]),
        ("MATCH (n)\nRETURN n\nUNION\nMATCH (m)\nRETURN m", ["MATCH (n)\nRETURN n\nUNION\nMATCH (m)\nRETURN m"]),
        ("RETURN 1; RETURN 2;\nSELECT 3;", ["RETURN 1", "RETURN 2"]),
    ],
)
def test_plain_queries(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert queries(tmp_path, text) == expected


def test_every_line_of_a_long_gzip_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.gz"
    lines = [f"{HEAD}MATCH (n) RETURN {number} - {{}}" for number in range(3 * SAMPLE)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert [e.query for e in read_log(path)] == [f"MATCH (n) RETURN {number}" for number in range(3 * SAMPLE)]


# Masking

SECRETS = {
    "email": "bob.smith+x@corp.example.org",
    "card": "4111 1111 1111 1111",
    "iban": "DE89370400440532013000",
    "ip address": "10.20.30.40",
    "uuid": "8b7a0000-aaaa-4bbb-8ccc-1234567890ab",
    "token": "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "key": "sk-abcdefghijk123456",
    "url with credentials": "postgres://root:pw@db.internal/x",
    "long hex": "0123456789abcdef0123456789abcdef",
    "base64": "QWxhZGRpbjpvcGVuIHNlc2FtZTEyMzQ1Ng==",
    "phone": "+49 170 1234567",
    "ssn": "078-05-1120",
}


@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_values_that_look_secret_go_wherever_they_stand(kind: str) -> None:
    secret = SECRETS[kind]
    masked = mask(f"MATCH (n:Thing) WHERE n.a = '{secret}' OR n.b = 'see {secret} now' RETURN n // {secret}")
    assert secret not in masked.query and masked.counts == {kind: 2}
    first, second = (masked.query.split("'")[place] for place in (1, 3))
    assert f"see {first} now" == second
    assert mask(masked.query).query == masked.query


@pytest.mark.parametrize(
    ("query", "kind", "secret"),
    [
        ("MATCH (n {password: 'hunter2'}) RETURN n", "password", "hunter2"),
        ("MATCH (n) WHERE 'hunter2' = n.apiKey RETURN n", "password", "hunter2"),
        ('MATCH (n) SET n.user_secret = "h\'2" RETURN n', "password", "h'2"),
        ("MATCH (n) WHERE toLower(n.lastName) STARTS WITH 'okafor' RETURN n", "person", "okafor"),
        ("MATCH (n:Person) WHERE n.name IN ['Jane Doe', 'x'] RETURN n", "person", "Jane Doe"),
        ("MATCH (n:Person {name: 'Jane Doe'}) RETURN n", "person", "Jane Doe"),
        ("MATCH (n) WHERE n.phoneNumber = 5551234 RETURN n", "phone", "5551234"),
        ("MATCH (n) WHERE n.birthDate = date('1984-03-02') RETURN n", "birth", "1984-03-02"),
        ("MATCH (n) WHERE n.birthYear = 1984 RETURN n", "birth", "1984"),
        ("MATCH (n) WHERE n.x = 4111111111111111 RETURN n", "card", "4111111111111111"),
    ],
)
def test_values_of_telling_properties_go(query: str, kind: str, secret: str) -> None:
    masked = mask(query)
    assert secret not in masked.query and masked.counts[kind] >= 1
    assert mask(masked.query).query == masked.query


def test_what_is_harmless_or_known_stays() -> None:
    query = "MATCH (m:Movie {name: 'Alien'}) WHERE m.year = 1979 AND m.day = '2024-01-02' RETURN m.title LIMIT 10"
    assert mask(query).query == query and not mask(query).counts
    person = "MATCH (p:Person {name: 'Ada Novak'}) RETURN p"
    assert mask(person, known={"Ada Novak"}).query == person != mask(person).query


def test_parameters_become_masked_literals_and_vectors_stay() -> None:
    query = "MATCH (n:User {email: $e, age: $a}) WHERE n.v = $v SET n += $props RETURN n"
    values = {"e": "x@y.org", "a": 3, "v": [0.5] * 100, "props": {"password": "p", "ok": True, "tags": ["a"]}}
    assert mask(query, parameters=values).query == (
        "MATCH (n:User {email: 'user1@example.com', age: 3}) WHERE n.v = $v "
        "SET n += {password: 'SECRET-1', ok: true, tags: ['a']} RETURN n"
    )


def test_odd_numbers_do_no_harm(tmp_path: Path) -> None:
    digits = "9" * 5_000
    assert mask(f"MATCH (n {{phone: '{digits}', name: '²', k: {digits}}}) RETURN n").counts["phone"] == 1
    text = f"{HEAD}MATCH (n {{a: $a}}) RETURN n - {{a: 007}} - runtime=x - {{}}\n"
    assert queries(tmp_path, text) == ["MATCH (n {a: $a}) RETURN n"]


def test_keep_literals_keeps_people_and_masks_secrets() -> None:
    query = "MATCH (p:Person {name: 'Jane Doe', email: 'j@d.org', password: 'x1'}) RETURN p"
    assert mask(query, secrets_only=True).query == query.replace("x1", "SECRET-1")


@given(st.text(alphabet="ab'\\\"`{}()[]$/*.:@-0123456789 nMATCH", max_size=50))
def test_masking_is_stable_for_any_text(query: str) -> None:
    once = mask(query).query
    assert mask(once).query == mask(mask(once).query).query


# Shapes and questions


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MATCH (n:A) WHERE n.x = 1 RETURN n.y AS y", "match (m:A)  where m.x = 'q' return m.y as z"),
        ("MATCH (n) WHERE n.x IN [1, 2] RETURN n", "MATCH (n) WHERE n.x IN [1, 2, 3, 4] RETURN n"),
        ("MATCH (a)-[r:R]->(b) RETURN r", "MATCH (x)-[y:R]->(z) RETURN y"),
    ],
)
def test_queries_of_one_shape(one: str, other: str) -> None:
    assert shape(one) == shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MATCH (n:A) RETURN n", "MATCH (n:B) RETURN n"),
        ("MATCH (n:A) RETURN n.x", "MATCH (n:A) RETURN n.y"),
        ("MATCH (a)-[r:R]->(b) RETURN a", "MATCH (a)-[r:R]->(b) RETURN b"),
        ("MATCH (a:A {x: 1}) RETURN a", "MATCH (a:A {y: 1}) RETURN a"),
    ],
)
def test_queries_of_different_shapes(one: str, other: str) -> None:
    assert shape(one) != shape(other)


@pytest.mark.parametrize("with_schema", [True, False])
def test_most_template_queries_are_described_with_all_literals(with_schema: bool) -> None:
    total, described, asked = 0, 0, {}
    for graph in ("movies", "shop", "flights"):
        schema = load_schema(graph)
        values = InstanceValues(instantiate(schema, 7))
        for name, template in templates("cypher").items():
            try:
                query = template.render(Binder(schema, values, random.Random(f"describe {name}")).bind(template.bind))
            except NoBinding:
                continue
            total += 1
            said = describe(query, schema if with_schema else None)
            described += said is not None
            for question in said or ():
                assert not missing_literals(question, query)
                assert asked.setdefault((graph, question), query) == query
    assert total > 150 and described / total > 0.9


def test_one_shape_with_other_values_is_asked_differently() -> None:
    first, second = (
        describe(f"MATCH (n:Person) WHERE n.awards > {n} RETURN n.name", load_schema("movies")) for n in (3, 4)
    )
    assert first and second and not set(first) & set(second)


def test_a_question_in_the_words_of_the_schema_and_without_one() -> None:
    query = (
        "MATCH (p:Person)-[:ACTED_IN]->(m:Movie) WHERE m.released >= 1999 RETURN p.name ORDER BY p.name DESC LIMIT 3"
    )
    assert describe(query, load_schema("movies"))[0] == (
        "Show the name of the person, for every person that acted in a movie where the release year of the movie is at "
        "least 1999, sorted by the name of the person in descending order, at most 3."
    )
    assert "every Person that has a relationship ACTED_IN to a Movie" in describe(query)[0]
    assert (
        describe("MATCH (p:Person)<-[:ADMIRES]-(q:Person) RETURN q.name")[0]
        != (describe("MATCH (p:Person)-[:ADMIRES]->(q:Person) RETURN q.name")[0])
    )


@pytest.mark.parametrize(
    "query",
    [
        "MATCH (n) RETURN",
        "MATCH (n)",
        "RETURN reduce(s = 0, x IN [1] | s + x)",
        "CALL { MATCH (n) RETURN n } RETURN n",
        "MATCH (n) RETURN m",
        "MATCH (n RETURN n",
        "CREATE INDEX i FOR (n:A) ON (n.x)",
        "MATCH (a)((x)-[:R]->(y)){1,3}(b) RETURN a",
        "",
    ],
)
def test_what_is_not_understood_gets_no_question(query: str) -> None:
    assert describe(query) is None


@given(st.text(alphabet="()[]{}-<>:=.,*|$'1aAnN MATCHRETURNWHERE", max_size=60))
def test_describing_never_fails(query: str) -> None:
    said = describe("MATCH (n) " + query)
    assert said is None or len(said) == 2


# The whole


def log(tmp_path: Path, *texts: str) -> Path:
    path = tmp_path / "query.log"
    path.write_text("".join(f"{HEAD}{text} - {{}} - runtime=pipelined - {{}}\n" for text in texts), encoding="utf-8")
    return path


def test_queries_become_sound_examples_and_a_second_run_adds_nothing(
    tmp_path: Path, dataset: Path, arcadedb: Any
) -> None:
    source = log(
        tmp_path,
        "MATCH (m:Movie) WHERE m.score > 5 RETURN m.title",
        "match (x:Movie) where x.score > 7 return x.title",
        "MATCH (p:Person {name: 'Jane Doe'}) SET p.awards = 3",
        "MATCH (p:Persn) RETURN p.name",
        "MATCH (p:Person RETURN p.name",
        "CALL no.such.thing() YIELD x RETURN x",
        "MATCH (n) RETURN n",
        "MATCH (p:Person) RETURN reduce(s = 0, x IN [1] | s + x)",
        "LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row",
    )
    before = dataset.read_bytes()
    done = add_queries(source, dataset, "movies", engine=arcadedb)
    assert done.counts == {"read": 9, "recognised": 9, "duplicates": 2, "undescribed": 1, "queries": 2, "added": 4}
    assert sorted(done.refused.values()) == [1, 1, 1, 1] and done.masked == {"person": 1}
    assert dataset.read_bytes().startswith(before) and done.backup.read_bytes() == before
    made = load(dataset)[1:]
    assert [e.check for e in made] == ["executed"] * 2 + ["parsed"] * 2 and {e.style for e in made} == {
        "order",
        "question",
    }
    assert all(e.category == "production" and e.graph == "movies" and e.template == "" for e in made)
    assert validate(dataset).ok and "Jane" not in dataset.read_text() + done.table()
    written = dataset.read_bytes()
    again = add_queries(source, dataset, "movies", engine=arcadedb)
    assert again.counts["added"] == 0 and again.written is None and dataset.read_bytes() == written


def test_without_a_graph_names_stand_as_they_are(tmp_path: Path, dataset: Path, arcadedb: Any) -> None:
    output, before = tmp_path / "new.jsonl", dataset.read_bytes()
    source = log(tmp_path, "MATCH (o:OrderLine) RETURN o.unitPrice", "MATCH (o:Order) RETURN o.total")
    done = add_queries(source, dataset, limit=1, output=output, engine=arcadedb)
    made = load(output)[1:]
    assert done.counts["queries"] == 1 and len(made) == 2 and made[0].graph is None and made[0].schema == ""
    assert "unitPrice of the OrderLine" in made[0].input and dataset.read_bytes() == before and done.backup is None


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    peaks = []
    for size in (1_000, 20_000):
        source = log(tmp_path, *(f"MATCH (m:Movie) WHERE m.score > {n} RETURN m.title" for n in range(size)))
        tracemalloc.start()
        assert sum(bool(entry.query) for entry in read_log(source)) == size
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000  # the longer log is 3 MB long


# Malformed input: (name, bytes of the log, what the message says)

GOOD = f"{HEAD}MATCH (n:A) RETURN n.x - {{}}\n".encode()
JSON = b'{"query": "MATCH (n:A) RETURN n.x"}\n'
GZIP = gzip.compress(GOOD * 50)
BROKEN_JSON = [
    b"{", b"[1]", b"1", b"null", b'"text"', b'{"query": }', b'{"query": "a"', b"{'query': 'a'}", b"nonsense",
    b'{"query": "x",}', b"[" * 100_000, b'{"a": 1}{"b": 2}', b"true", b'{"query": "\t"}', b"\xef\xbb\xbf{}",
]  # fmt: skip
NOTHING = [
    b"", b"\n", b"\n\n\n", b"   \n\t\n", b"// only a comment\n", b":param x => 1\n", b"SELECT 1;\n", b"hello world\n",
    b"[HTTP] GET /health 200 1ms\n", b"2025-12-01 10:00:00.000+0000 INFO  Started.\n", b"{}\n", b'{"a": 1}\n',
    b'{"query": 5}\n', b'{"query": ""}\n', b"query=\n", b"[BOLT] ERROR: boom\n", b"[BOLT] a@b: SELECT 1\n", b";;;;\n",
    b"/* never closed\n", b"<html></html>\n", b"a,b,c\n1,2,3\n", b"\xef\xbb\xbf", b"MATCHED nothing\n",
    b'[SLOW QUERY] query="not cypher"\n', b"%PDF-1.4\n",
]  # fmt: skip
NOT_TEXT = [
    b"\0", b"MATCH (n)\0 RETURN n\n", "MATCH (n) RETURN n".encode("utf-16"), "MATCH (n) RETURN n".encode("utf-16-le"),
    "MATCH (n) RETURN n".encode("utf-32"), b"\x89PNG\r\n\x1a\n\0\0", b"\x7fELF\x02\x01\x01\0", b"PK\x03\x04\x14\0\0\0",
    b"\xff", "RETURN 'é'".encode("latin-1"), b"\xc3\x28", b"RETURN '\xf0\x28\x8c\x28'", b"\x80abc", b"\xed\xa0\x80",
    b"x" * (LONGEST_LINE + 1), b"RETURN '" + b"y" * (2 * LONGEST_LINE) + b"'\n",
]  # fmt: skip
CASES = [
    *((f"nothing {n}", text, "no query") for n, text in enumerate(NOTHING)),
    *((f"json {n}", JSON * 2 + text + b"\n", "line 3") for n, text in enumerate(BROKEN_JSON)),
    *((f"text {n}", text, "line 1") for n, text in enumerate(NOT_TEXT)),
    *((f"later {n}", GOOD * 300 + text, "line 301") for n, text in enumerate(NOT_TEXT)),
    ("cut gzip", GZIP[:-12], "cannot be read"),
    ("cut gzip header", GZIP[:5], "cannot be read"),
    ("damaged gzip", GZIP[:20] + b"\xff" * 10 + GZIP[30:], "cannot be read"),
    ("gzip of nothing", gzip.compress(b""), "no query"),
    ("gzip of binary", gzip.compress(b"\0\1\2"), "line 1"),
    ("gzip magic alone", b"\x1f\x8b", "cannot be read"),
]


def refused(dataset: Path, *arguments: Any, **options: Any) -> str:
    """The message of the BadInput; the dataset and its folder are as before."""
    before = {path: path.read_bytes() for path in dataset.parent.iterdir() if path.is_file()}
    with pytest.raises(BadInput) as caught:
        add_queries(*arguments, **options)
    assert {path: path.read_bytes() for path in dataset.parent.iterdir() if path.is_file()} == before
    return str(caught.value)


@pytest.mark.parametrize(("content", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_malformed_log_changes_nothing(
    tmp_path: Path, dataset: Path, arcadedb: Any, content: bytes, says: str
) -> None:
    source = tmp_path / "bad.log"
    source.write_bytes(content)
    message = refused(dataset, source, dataset, engine=arcadedb)
    assert says in message and str(source) in message and len(message) < 400


@pytest.mark.parametrize("content", [b"{", b'{"input": 1}\n', b"\xff\xfe\n", b"[]\n", b"\0\0\n"])
def test_a_malformed_dataset_is_left_alone(tmp_path: Path, arcadedb: Any, content: bytes) -> None:
    dataset = tmp_path / "data" / "bad.jsonl"
    dataset.parent.mkdir()
    dataset.write_bytes(content)
    assert str(dataset) in refused(dataset, log(tmp_path, "MATCH (n:A) RETURN n.x"), dataset, engine=arcadedb)


def test_wrong_paths_and_options_are_refused(tmp_path: Path, dataset: Path, arcadedb: Any) -> None:
    good = log(tmp_path, "MATCH (n:A) RETURN n.x")
    assert "missing.log" in refused(dataset, tmp_path / "missing.log", dataset, engine=arcadedb)
    assert str(tmp_path) in refused(dataset, tmp_path, dataset, engine=arcadedb)
    assert "missing.jsonl" in refused(dataset, good, tmp_path / "missing.jsonl", engine=arcadedb)
    assert str(dataset.parent) in refused(dataset, good, dataset.parent, engine=arcadedb)
    assert "nosuch" in refused(dataset, good, dataset, "nosuch", engine=arcadedb)
    assert "--format" in refused(dataset, good, dataset, form="xml", engine=arcadedb)


def test_the_command_prints_the_table_and_its_status(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arcadedb: Any
) -> None:
    from heimdall_nb import cli

    def status(*arguments: Any) -> int:
        monkeypatch.setattr(sys, "argv", ["heimdall", "add-queries", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    source = log(
        tmp_path, "MATCH (p:Person {email: 'bob@corp.org'}) RETURN p.name", "MATCH (p {email: 'bob@corp.org' RETURN"
    )
    assert status(source, dataset) == 0
    said = capsys.readouterr()
    figures = Counter(
        {line[:34].strip(): int(line[34:]) for line in said.out.splitlines() if line[34:].strip().isdigit()}
    )
    assert figures["read"] == 2 and figures["added"] == 2 and figures["email"] == 2 and figures["syntax"] == 1
    assert "bob" not in said.out + said.err + dataset.read_text()
    assert status(tmp_path / "missing.log", dataset) == 2
    assert status(source, dataset, "--graph", "movies", "--schema", "x.yaml") == 2
    assert status(source, dataset, "--schema", "x.yaml") == 2
