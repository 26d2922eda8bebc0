"""The fact check: every documented name passes, every wrong teaching of the seed is found, prose may say what fails."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb.fact_check import Unknown, unknown, used
from heimdall_nb.facts import load_pack

PACK = load_pack()


def names(answer: str) -> list[str]:
    return [item.name for item in unknown(answer, PACK)]


# --- what the pack documents passes


@pytest.mark.parametrize("fact", PACK.of_kind("procedure"), ids=lambda fact: fact.id)
def test_every_procedure_passes_with_its_columns(fact) -> None:
    arguments = ", ".join(f"${argument.rstrip('?')}" for argument in fact.arguments)
    call = f"CALL {fact.id}({arguments}) YIELD {', '.join(fact.yields)}"
    assert unknown(call, PACK) == [] and used(call, PACK) == [fact.id]
    renamed = f"MATCH (n:Person)\n{call} AS other\nRETURN n, other"
    assert unknown(renamed, PACK) == []
    assert unknown(f"Call `{fact.id}` for this.", PACK) == []


def test_every_other_documented_name_passes() -> None:
    for fact in PACK.of_kind("function"):
        assert unknown(f"MATCH (n) RETURN {fact.name}(n.value)", PACK) == [], fact.id
        assert fact.id in used(f"RETURN {fact.name}(1)", PACK)
    for fact in PACK.of_kind("setting"):
        *sections, key = fact.id.split(".")
        block = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(sections))
        block += f"{'  ' * len(sections)}{key}: {json.dumps(fact.value)}\n"
        assert unknown(block, PACK) == [] and used(block, PACK) == [fact.id]
        assert unknown(f"```yaml\n{block}```", PACK) == []
        assert unknown(f"The key is {fact.id}, and the variable is {fact.env}.", PACK) == []
    for fact in PACK.of_kind("variable"):
        assert used(f"export {fact.id}=1", PACK) == [fact.id]
    for fact in PACK.of_kind("flag"):
        command = "nornicdb serve" if fact.of == "nornicdb" else f"nornicdb {fact.of}"
        assert unknown(f"{command} {fact.name} 1", PACK) == []
        assert fact.id in used(f"{command} {fact.name}=1", PACK)
        assert unknown(f"Start it with `{fact.name}`.", PACK) == []
    for fact in PACK.of_kind("command"):
        assert used(str(fact.value).replace("<directory>", "./export"), PACK)[0] == fact.id
    for fact in PACK.of_kind("endpoint"):
        method, path = str(fact.value).split(" ")
        filled = path.replace("{name}", "neo4j").replace("{id}", "12")
        assert unknown(f"Send {method} {path} to the server.", PACK) == []
        called = used(f"curl -X {method} http://localhost:7474{filled}", PACK)
        assert [PACK.fact(name).value.split(" ")[1] for name in called] == ([path] if path != "/" else [])
    for fact in PACK.of_kind("action"):
        parameters = {argument.rstrip("?"): "x" for argument in fact.arguments}
        assert unknown(json.dumps({"action": fact.id, "params": parameters}), PACK) == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE CONSTRAINT FOR (p:Person) REQUIRE p.email IS UNIQUE",
        "CREATE CONSTRAINT person_email IF NOT EXISTS FOR (p:Person) REQUIRE p.email IS UNIQUE",
        "CREATE CONSTRAINT ON (p:Person) ASSERT p.email IS UNIQUE",
        "CREATE INDEX FOR (p:Person) ON (p.name)",
        "CREATE INDEX person_name IF NOT EXISTS FOR (p:Person) ON (p.name, p.born)",
        "CREATE FULLTEXT INDEX notes FOR (n:Note) ON EACH [n.title, n.body]",
        "CREATE VECTOR INDEX v FOR (n:Note) ON (n.embedding) OPTIONS {indexConfig: {vector.dimensions: 1024}}",
        *(str(fact.value) for fact in PACK.of_kind("statement") if str(fact.value).startswith("SHOW")),
    ],
)
def test_accepted_statements_pass_and_are_counted(statement: str) -> None:
    assert unknown(statement, PACK) == []
    assert used(statement, PACK)[0].startswith("statement.")


# --- what it must not take for a name


@pytest.mark.parametrize(
    "answer",
    [
        "MATCH (server:Server {heimdall: 'x'}) WHERE server.threads IN [1, 2] AND (server.a > 1) RETURN server.memory",
        "MATCH (a:Person)-[:KNOWS|LIKES]->(b) WHERE a.note = 'CALL algo.pageRank() GROUP BY x' RETURN b",
        "MATCH (a:`GROUP BY`) // DROP INDEX x\nRETURN count(*) AS total ORDER BY total LIMIT 5",
        "MATCH p = shortestPath((a:A)-[*..3]-(b:B)) WITH (a) RETURN size(nodes(p)) AS hops",
        "MATCH (a) WHERE EXISTS { MATCH (a)-[:X]->() } RETURN [x IN a.list WHERE x > 1 | x * 2]",
        "CALL { MATCH (n) RETURN n } RETURN n",
        "package main\n\nfunc (p *Weather) Actions() map[string]heimdall.ActionFunc {\n\treturn algo.pageRank(p.x)\n}",
        "```go\nfunc main() { heimdall.threads = x.toUpperCase() }\n```",
        "The assistant groups the rows by country. It reads server.log and nornicdb.yaml in /data/models.",
        "docker run -d --name nornicdb -p 7474:7474 example/nornicdb",
        "services:\n  nornicdb:\n    image: nornicdb\n    threads: 4\n",
        'environment:\n  NORNICDB_HEIMDALL_ENABLED: "true"\n',
        "go build -buildmode=plugin -o weather.so ./weather",
        "The action is heimdall.weather.forecast, see memory.html.",
        "nornicdb --config a.yaml serve --headless",
        "Variables that start with NORNICDB_HEIMDALL_ belong to Heimdall, see NORNICDB_*.",
        "curl http://localhost:11434/api/embed",
        "Send these as three separate statements:\nBEGIN\nCREATE (p:Person)\nCOMMIT",
        "CREATE INDEX a FOR (n:A) ON (n.x)\nCREATE INDEX b FOR (n:B) ON (n.y)",
        "A full-text index is no text index; PROFILE runs it, so send BEGIN before and ROLLBACK after.",
        "No: not supported. Instead: CREATE INDEX.",
        "server.tls.enabled: for Bolt and HTTP, with a certificate.",
    ],
)
def test_other_words_are_left_alone(answer: str) -> None:
    assert unknown(answer, PACK) == []


# --- what the seed taught wrongly


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("CALL algo.pageRank('Person', 'KNOWS') YIELD nodeId, score RETURN nodeId", "algo.pageRank"),
        ("CALL algo.louvain() YIELD community", "algo.louvain"),
        ("MATCH (p:Person) RETURN apoc.text.toUpperCase(p.name)", "apoc.text.toUpperCase"),
        ("MATCH (a), (b) RETURN vector.similarity(a.e, b.e)", "vector.similarity"),
        ("Use `vector.similarity()` to compare.", "vector.similarity"),
        ("MATCH (p) RETURN p.city, count(p) GROUP BY p.city", "GROUP BY"),
        ("Add GROUP BY to the query, as in SQL.", "GROUP BY"),
        ("MATCH (p) RETURN p LIMIT 5 ORDER BY p.name", "LIMIT before ORDER BY"),
        ("BEGIN\nCREATE (p:Person {name: 'Ann'})\nCOMMIT", "BEGIN ... COMMIT in one query"),
        ("DROP INDEX person_name", "DROP INDEX"),
        ("DROP CONSTRAINT person_email IF EXISTS", "DROP CONSTRAINT"),
        ("CREATE CONSTRAINT FOR (p:Person) REQUIRE (p.a, p.b) IS NODE KEY", "REQUIRE (n.a, n.b) IS NODE KEY"),
        ("CREATE CONSTRAINT FOR (p:Person) REQUIRE p.a IS NOT NULL", "REQUIRE n.property IS NOT NULL"),
        ("CREATE CONSTRAINT FOR (p:Person) REQUIRE p.a IS :: STRING", "REQUIRE n.property IS :: TYPE"),
        ("CREATE CONSTRAINT FOR (p:Person) REQUIRE (p.a, p.b) IS UNIQUE", "REQUIRE (n.a, n.b) IS UNIQUE"),
        ("CREATE RANGE INDEX r FOR (p:Person) ON (p.a)", "CREATE RANGE INDEX"),
        ("CREATE INDEX r FOR ()-[k:KNOWS]-() ON (k.since)", "CREATE INDEX FOR ()-[r:TYPE]-() ON (r.property)"),
        ("CREATE INDEX ON :Person(name)", "CREATE INDEX ON :Person(name)"),
        (
            "CREATE VECTOR INDEX v FOR (n:N) ON (n.e) OPTIONS {indexConfig: {`vector.dimensions`: 3}}",
            "OPTIONS {indexConfig: {`vector.dimensions`: 1024}}",
        ),
        ("CALL db.schema.nodeTypeProperties() YIELD nodeType", "db.schema.nodeTypeProperties"),
        ("CALL db.index.vector.queryNodes('i', 5, $v) YIELD node, similarity", "similarity"),
        ("CALL db.labels() YIELD name AS label RETURN label", "name"),
        ("SHOW USERS", "SHOW USERS"),
        ("export NORNICDB_AUTH_ENABLED=false", "NORNICDB_AUTH_ENABLED"),
        ('environment:\n  NORNICDB_NO_AUTH: "true"\n', "NORNICDB_NO_AUTH"),
        ("Set NORNICDB_NO_AUTH=true.", "NORNICDB_NO_AUTH"),
        ("heimdall:\n  model_path: /models/a.gguf\n", "heimdall.model_path"),
        ("heimdall:\n  enabled: true\n  threads: 4\n", "heimdall.threads"),
        ("llm:\n  model_path: /models/a.gguf\n", "llm.model_path"),
        ("Set `heimdall.model_path` to the file.", "heimdall.model_path"),
        ("nornicdb serve --heimdall-test", "--heimdall-test"),
        ("nornicdb serve --bolt-port 7687 \\\n  --max-memory 2GB", "--max-memory"),
        ("nornicdb start", "nornicdb start"),
        ("Send the question to POST /api/chat.", "/api/chat"),
        ("curl http://localhost:7474/api/heimdall/query", "/api/heimdall/query"),
        ('{"action": "heimdall.watcher.restart", "params": {}}', "heimdall.watcher.restart"),
        ('{"action": "heimdall_watcher_query", "params": {"cypher": "RETURN 1"}}', "heimdall_watcher_query"),
        ('{"action": "heimdall.watcher.query", "params": {"sql": "x"}}', "heimdall.watcher.query sql"),
        ('{"action": "heimdall.watcher.query", "params": {"cypher": "CALL algo.wcc()"}}', "algo.wcc"),
    ],
)
def test_wrong_teachings_are_found(answer: str, found: str) -> None:
    assert found in names(answer)
    if answer.startswith(("CALL", "MATCH", "CREATE", "DROP")):
        assert found in names(f"Run this:\n\n```cypher\n{answer}\n```\n\nIt is not supported in other versions.")
        assert found in names(f"Run this:\n{answer}")


def test_a_name_that_is_not_read_comes_with_what_works() -> None:
    [item] = unknown("heimdall:\n  model_path: x\n", PACK)
    assert item == Unknown("setting", "heimdall.model_path", "is not read by the server; instead: heimdall.model")
    [item] = unknown("DROP INDEX a", PACK)
    assert item.kind == "statement" and "does nothing" in item.what


@pytest.mark.parametrize(
    "answer",
    [
        "NORNICDB_AUTH_ENABLED is not read; set NORNICDB_AUTH instead.",
        "`heimdall.threads` has no effect.",
        "The procedure algo.pageRank does not exist. Call apoc.algo.pageRank.",
        "`CALL algo.pageRank()` is refused.",
        "DROP INDEX is parsed and does nothing.",
        "There is no GROUP BY in Cypher.",
        "The flag --heimdall-test is not known.",
        "The path /api/chat does not exist.",
        "Do not use `CALL algo.pageRank()`.",
    ],
)
def test_prose_may_say_that_a_name_does_not_work(answer: str) -> None:
    assert unknown(answer, PACK) == []


def test_an_excuse_covers_only_its_sentence() -> None:
    assert names("NORNICDB_PASSWORD is not read. Set NORNICDB_NO_AUTH.") == ["NORNICDB_NO_AUTH"]
    assert names("GROUP BY does not exist.\n\n```cypher\nMATCH (n) RETURN n.a, count(*) GROUP BY n.a\n```") == [
        "GROUP BY"
    ]


def test_used_gives_ids_once_and_in_order() -> None:
    answer = "Set heimdall.model.\n\n```bash\nNORNICDB_HEIMDALL_MODEL=a nornicdb serve --http-port 7474\n```"
    assert used(answer, PACK) == ["heimdall.model", "command.serve", "flag.serve.--http-port"]


@given(st.text() | st.text(alphabet="`~{}()[]'\"CALSHOWDRPIEX.:-/_ \n$\\|", max_size=80))
def test_it_never_raises(text: str) -> None:
    for item in unknown(text, PACK):
        assert item.name and item.what
    used(text, PACK)


def test_it_is_fast_enough_for_every_answer_of_a_dataset() -> None:
    answers = [
        "MATCH (p:Person)-[:KNOWS]->(q:Person) WHERE p.age > %d RETURN q.name, count(*) AS n ORDER BY n DESC LIMIT 5",
        "CALL db.index.vector.queryNodes('notes', %d, $v) YIELD node, score RETURN node.title, score",
        "heimdall:\n  enabled: true\n  max_tokens: %d\n",
        "Set NORNICDB_HEIMDALL_MAX_TOKENS=%d before `nornicdb serve`. The default of heimdall.max_tokens is 1024.",
    ]
    unknown(answers[0], PACK)
    times = []
    for number in range(100):
        for answer in answers:
            filled = answer % number
            start = time.process_time()
            unknown(filled, PACK)
            times.append(time.process_time() - start)
    assert sorted(times)[len(times) // 2] < 0.002  # about 0.1 ms on one core of 2023; the limit is for slow machines
