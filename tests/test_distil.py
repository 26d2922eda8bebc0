"""Distillation: asked as often as needed and not more, checked before it enters, and no key anywhere."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from teacher_server import Teacher, serving

from heimdall_nb.dataset.benchmark import benchmark
from heimdall_nb.dataset.example import load
from heimdall_nb.dataset.graphs import load_schema
from heimdall_nb.dataset.teacher import Asking, Distilled, beside, distil
from heimdall_nb.dataset.teacher_check import AnswerCheck, one_line
from heimdall_nb.dataset.teacher_prompts import names_of, read_prompts
from heimdall_nb.dataset.validate import validate
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.models.openai_client import OpenAIModel, Unanswered, retry_after
from heimdall_nb.prompts import TASKS, conversation
from heimdall_nb.run import DATA, ROOT, read_json

KEY = "sk-test-0123456789abcdefghij"
RIGHT = {  # question: graph, answer as a teacher writes it, query that enters
    "Which people have the country 'Brazil' or 'Japan'? Give the name.": (
        "movies",
        "Here:\n```cypher\nMATCH (a:Person)\nWHERE a.country IN ['Brazil', 'Japan']\nRETURN a.name AS name;\n```\nEnd.",
        "MATCH (a:Person) WHERE a.country IN ['Brazil', 'Japan'] RETURN a.name AS name",
    ),
    "Return the codes of all airports that are not international.": (
        "flights",
        "<think>Airports… MATCH?</think>\nMATCH (a:Airport) WHERE a.international = false RETURN a.code AS code",
        "MATCH (a:Airport) WHERE a.international = false RETURN a.code AS code",
    ),
    "How many customers are there?": (
        "classicmodels",
        "SELECT COUNT(*) AS customers FROM customers",
        "SELECT COUNT(*) AS customers FROM customers",
    ),
    "Which procedure lists the labels?": (
        "",
        "Call `db.labels()`: it yields the column `label`.",
        "Call `db.labels()`: it yields the column `label`.",
    ),
}
WRONG = {  # question: graph, answer, reason
    "Return the title of every movie.": ("movies", "MATCH (a:Film) RETURN a.title AS title", "schema does not have"),
    "Return the name of every person.": ("movies", "MATCH (a:Person RETURN a.name AS name", "no Cypher that parses"),
    "Return the title of the movie 'Zardoz'.": (
        "movies",
        "MATCH (a:Movie) WHERE a.title = 'Zardoz' RETURN a.title AS title",
        "finds nothing",
    ),
    "Delete every movie.": ("movies", "MATCH (a:Movie) DETACH DELETE a", "changes the graph"),
    "Return the genre of every movie.": ("movies", "I cannot do that.", "no Cypher that parses"),
    "How many movies are there?": ("movies", "MATCH (a:Movie) RETURN count(a) AS n; RETURN 1", "more than one"),
    "How many people are there?": ("movies", "MATCH (a:Person) WHERE…", "was cut off"),
    "Return the score of every movie.": ("movies", " ", "says nothing"),
    "Return the country of every person.": ("movies", "MATCH (a:Person) RETURN a.awards AS awards", "do not agree"),
    "Load the movies.": ("movies", "LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row", "reads files"),
    "Which offices are there?": ("classicmodels", "SELECT town FROM offices", "does not run"),
    "Which procedure lists all labels?": ("", "Call `db.allLabels()`.", "NornicDB does not have"),
    "Does it work?": ("", "It works.", "facts could confirm"),
}
FACTS = {f"What lists the labels, in words number {n}?": "Call `db.labels()`." for n in range(40)}


def prompts_file(path: Path, asked: dict[str, str]) -> Path:
    lines = [json.dumps({"input": question, "graph": graph}) for question, graph in asked.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def facts_file(path: Path) -> Path:
    path.write_text("# one a line\n" + "\n".join(FACTS) + "\n", encoding="utf-8")
    return path


def model(teacher: Teacher, **settings: Any) -> OpenAIModel:
    return OpenAIModel(teacher.url, **({"key": "", "first_wait": 0.01, "timeout": 5.0} | settings))


def run(teacher: Teacher, prompts: Path, output: Path, asking: Asking | None = None, **settings: Any) -> Distilled:
    engine = settings.pop("engine", None)
    with AnswerCheck(engine=engine) as check:
        return distil(read_prompts(prompts), model(teacher, **settings), output, asking or Asking(), check)


@pytest.fixture()
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEIMDALL_TEACHER_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_right_answers_enter_and_wrong_ones_are_refused(tmp_path: Path, arcadedb: Any) -> None:
    known = {q: (graph, text) for q, (graph, text, _) in [*WRONG.items(), *RIGHT.items()]}
    prompts = prompts_file(tmp_path / "prompts.jsonl", {q: graph for q, (graph, _) in known.items()})
    with serving(Teacher({q: text for q, (_, text) in known.items()})) as teacher:
        done = run(teacher, prompts, tmp_path / "made.jsonl", Asking(price_in=1.0, price_out=10.0), engine=arcadedb)
        again = run(teacher, prompts, tmp_path / "made.jsonl", Asking(price_in=1.0, price_out=10.0), engine=arcadedb)
    made = load(tmp_path / "made.jsonl")
    assert {e.input: e.output for e in made} == {q: query for q, (_, _, query) in RIGHT.items()}
    assert [e.check for e in made] == ["executed"] * 3 + ["fact:db.labels"]
    assert {e.style for e in made} == {e.category for e in made} == {"distilled"}
    assert [e.graph for e in made] == ["movies", "flights", "classicmodels", None]
    assert made[0].schema == load_schema("movies").text() and made[0].answer
    assert validate(tmp_path / "made.jsonl").ok
    refused = [json.loads(line) for line in beside(tmp_path / "made.jsonl", "refused").read_text().splitlines()]
    reasons = {item["input"]: f"{item['reason']} {item['detail']}" for item in refused}
    assert set(reasons) == set(WRONG)
    assert not [q for q, (_, _, why) in WRONG.items() if why not in reasons[q]], reasons
    assert teacher.asked.total() == len(known) and again.asked == 0 and again.kept == len(known)
    asked = len(known)
    assert done.tokens == {"prompt": 100 * asked, "new": 10 * asked}
    assert done.cost == pytest.approx(asked * (100 + 100) / 1e6)
    assert read_json(beside(tmp_path / "made.jsonl", "report"))["cost"] == done.cost
    assert "Use only names of the graph" in teacher.requests[0][1]["messages"][0]["content"]


def test_what_fails_for_a_while_is_asked_again(tmp_path: Path) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1))
    failures = [(429, {"Retry-After": "1"}, ""), (500, {}, "oh"), (200, {}, "<html>"), (200, {}, "{}"), 3.0]
    with serving(Teacher(FACTS, failures)) as teacher:
        started = time.monotonic()
        client = model(teacher, timeout=1.0, workers=1, tries=8)
        answer = client.ask(conversation(next(iter(FACTS)), "", "text"))
        client.close()
    assert answer.text == "Call `db.labels()`." and (answer.prompt_tokens, answer.new_tokens) == (100, 10)
    assert client.retries == {"429": 1, "500": 1, "200": 2, "timeout": 1}
    assert time.monotonic() - started >= 2.0  # a second that it was asked to wait, and one of silence
    assert teacher.requests[1][0] - teacher.requests[0][0] >= 1.0
    assert 0 <= retry_after({"retry-after": soon}) <= 1 and retry_after({"retry-after": "soon"}) == 0


def test_a_server_that_is_down_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    prompts, output = facts_file(tmp_path / "p.txt"), tmp_path / "made.jsonl"
    teacher = Teacher(FACTS)
    with serving(teacher):
        first = model(teacher, workers=1, tries=2)
        teacher.failures = [*[0.0] * 5, *[(503, {}, "")] * 99]
        with AnswerCheck() as check, pytest.raises(HeimdallError, match="3 questions in a row.*503"):
            distil(read_prompts(prompts), first, output, Asking(), check)
        assert len(load(output)) == 5 and teacher.asked.total() == 5 and len(teacher.requests) == 5 + 3 * 2
        teacher.failures = [(429, {"Retry-After": "9999"}, "")]
        with pytest.raises(HeimdallError, match="wait 9999 s"):
            run(teacher, prompts, output, workers=1)
        assert len(load(output)) == 5
        teacher.failures = [(500, {}, "")] * 2
        with pytest.raises(HeimdallError, match="gives no answer .500, 2 times"):
            with AnswerCheck() as check:
                left = read_prompts(prompts)[5:6]
                distil(left, model(teacher, tries=2), tmp_path / "other.jsonl", Asking(), check)
        teacher.failures = [(413, {}, '{"error": {"message": "too long"}}')]  # one question's fault, not the server's
        done = run(teacher, prompts, output)
        assert list(done.unanswered.values()) == ["413: too long"] and done.entered == len(FACTS) - 1
        assert run(teacher, prompts, output).entered == len(FACTS)
    assert set(teacher.asked.values()) == {1}


def heimdall(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OPENAI_API_KEY": KEY, "PYTHONPATH": str(ROOT), "HEIMDALL_PLAIN": "1"}
    environment.pop("HEIMDALL_TEACHER_KEY", None)
    command = [sys.executable, "-m", "heimdall_nb", "distil", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd, env=environment
    )


def test_a_killed_run_goes_on_asks_nothing_twice_and_no_key_leaks(tmp_path: Path) -> None:
    prompts, output = facts_file(tmp_path / "p.txt"), tmp_path / "made.jsonl"
    leak = {"error": {"message": f"wrong key Bearer {KEY}"}}
    teacher = Teacher({q: f"{a} {KEY}" for q, a in FACTS.items()}, [(500, {}, json.dumps(leak))], seconds=0.1)
    with serving(teacher):
        command = ("--prompts", str(prompts), "--teacher", teacher.url, "--output", str(output), "--model", "tutor")
        first = heimdall(*command, "--workers", "2", cwd=tmp_path)
        answers = beside(output, "answers")
        while first.poll() is None and (not answers.exists() or answers.read_bytes().count(b"\n") < 7):
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        said = first.communicate()[0]
        kept = answers.read_bytes().count(b"\n")
        assert first.returncode == -signal.SIGKILL and 7 <= kept < 20 and not output.exists(), said
        time.sleep(0.3)  # the server ends what was under way
        before = teacher.asked.copy()
        assert before.total() <= kept + 2
        answers.write_bytes(answers.read_bytes() + b'{"id": "line 9", "ke')  # a line that the kill has torn
        second = heimdall(*command, cwd=tmp_path)
        said += second.communicate()[0]
        assert second.returncode == 0, said
        assert len(teacher.asked) == len(FACTS) and teacher.asked.total() <= len(FACTS) + 2
        assert teacher.requests[0][2] == f"Bearer {KEY}"
    third = run(teacher, prompts, output, model="tutor")  # the server is gone, and is not needed
    assert (third.kept, third.asked, third.entered) == (len(FACTS), 0, len(FACTS))
    assert {e.input for e in load(output)} == set(FACTS) and validate(output).ok
    line = next(line for line in said.splitlines() if line.startswith("answers kept from before"))
    assert int(line.split()[-1]) == kept
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 5 and not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in said and "[key]" in output.read_text()


def test_the_cost_stays_below_its_limit(tmp_path: Path) -> None:
    prompts, output = facts_file(tmp_path / "p.txt"), tmp_path / "made.jsonl"
    asking = Asking(max_new_tokens=20, price_in=10.0, price_out=100.0, max_cost=0.03)  # 0.002 an answer
    with serving(Teacher(FACTS, seconds=0.01)) as teacher:
        done = run(teacher, prompts, output, asking)
        assert done.cost is not None and 0.02 < done.cost <= 0.03
        assert "--max-cost" in done.stopped and done.not_asked == len(FACTS) - done.asked > 0
        assert len(load(output)) == done.asked == teacher.asked.total()
        assert run(teacher, prompts, output, asking).asked == 0  # what earlier runs cost counts
        teacher.usage = False
        with pytest.raises(HeimdallError, match="no token counts"):
            run(teacher, prompts, tmp_path / "other.jsonl", asking)
    for wrong in ({"max_cost": 1.0}, {"price_in": 1.0}, {"price_in": -1.0, "price_out": 1.0}):
        with pytest.raises(BadInput, match="price"):
            Asking(**wrong)


def test_keys_and_addresses_that_must_not_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general-0000000000")
    monkeypatch.setenv("HEIMDALL_TEACHER_KEY", KEY)
    with serving(Teacher(FACTS)) as teacher:
        client = model(teacher, key=None)
        client.ask(conversation("What lists the labels, in words number 1?", "", "text"))
        assert teacher.requests[-1][2] == f"Bearer {KEY}"
        teacher.failures = [(401, {}, json.dumps({"error": {"message": f"bad key {KEY}"}}))]
        with pytest.raises(BadInput, match="refuses the key") as caught:
            run(teacher, facts_file(tmp_path / "p.txt"), tmp_path / "made.jsonl", key=None, workers=1)
        assert KEY not in str(caught.value) and not (tmp_path / "made.jsonl").exists()
        teacher.models = ("a", "b")
        with pytest.raises(BadInput, match=r"2 models \(a, b\)"):
            model(teacher)
        with pytest.raises(BadInput, match="no such address or model"):
            OpenAIModel(f"{teacher.url}/elsewhere", "x", key="").ask([])
    for url, words in {
        "http://example.org/v1": "unencrypted",
        "https://me:secret@example.org": "more than an address",
        "https://example.org/v1?key=secret": "more than an address",
        "ftp://example.org": "no http address",
    }.items():
        with pytest.raises(BadInput, match=words) as caught:
            OpenAIModel(url, "x")
        assert "secret" not in str(caught.value) and KEY not in str(caught.value)
    assert str(OpenAIModel("https://example.org/v1/chat/completions/", "x").url) == "https://example.org/v1"
    assert str(OpenAIModel("http://localhost:8080", "x").url) == "http://localhost:8080/v1"


def test_parameters_that_a_model_refuses_are_left_out_or_renamed() -> None:
    with serving(Teacher(FACTS, refuses=("max_tokens", "temperature"))) as teacher:
        client = model(teacher)
        answers = client.complete([conversation(question, "", "text") for question in FACTS], max_new_tokens=9)
        client.close()
    assert [answer.text for answer in answers] == list(FACTS.values())
    body = teacher.requests[-1][1]
    assert body["max_completion_tokens"] == 9 and not {"max_tokens", "temperature", "stop"} & set(body)
    assert len(teacher.requests) <= len(FACTS) + 2 * client.workers and not client.retries


def test_what_a_model_answers_as_a_language_model() -> None:
    with serving(Teacher({"a": "one. two", "b": "long…"}, [(400, {}, '{"error": {"message": "no"}}')])) as teacher:
        client = model(teacher, workers=1)
        with pytest.raises(Unanswered, match="400: no"):
            client.ask(conversation("a", "", "text"))
        found = client.complete([conversation(q, "", "text") for q in "ab"], stop=["."])
        assert [(a.text, a.outcome) for a in found] == [("one", "ok"), ("long…", "truncated")]
        assert teacher.requests[-1][1]["stop"] == ["."]
        with pytest.raises(BadInput, match="grammar"):
            client.complete([], grammar='root ::= "a"')
        teacher.failures = [2.0] * 9
        slow = model(teacher, tries=2, timeout=0.1)
        assert slow.complete([conversation("a", "", "text")])[0].outcome == "timeout"


def test_prompts_of_all_forms(tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("# a comment\nHow many movies are there?\n\nhow many  movies are there?\n", encoding="utf-8")
    one, two = read_prompts(plain, "movies")
    assert one.example.task == "cypher" and one.example.graph == "movies" and "line 2" in two.fault
    assert read_prompts(plain)[0].example.task == "text"
    own = read_prompts(plain, str(DATA / "graphs" / "movies.yaml"))[0]
    assert own.example.graph is None and own.example.schema == one.example.schema and own.names == one.names
    full = tmp_path / "full.jsonl"
    held = benchmark("iid")[0]
    records = [
        {"input": "Who?", "schema": "(:Cat {name: STRING KEY})\n(:Cat)-[:SEES {day: DATE}]->(:Cat)", "output": "old"},
        vars(held) | {"graph": held.graph},
    ]
    full.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    cat, item = read_prompts(full)
    assert (
        cat.names is not None and cat.names.labels == {"Cat": {"name"}} and cat.names.relationships == {"SEES": {"day"}}
    )
    assert not cat.example.output and cat.conversation("")[0]["content"].endswith("->(:Cat)")
    assert cat.conversation("Be brief.")[0]["content"].endswith("\nBe brief.")
    assert item.fault == "is in the benchmark"
    for graph in ("movies", "flights", "hospital"):
        schema = load_schema(graph)
        assert names_of(schema.text()) == schema.names()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no question"),
        ('{"question": "Who?"}', "line 1.*question"),
        ('{"input": "Who?"}\n{"input": 3}', "line 2.*input"),
        ('{"input": "Who?"}\n{"input": "Who', "line 2.*not JSON"),
        ('{"input": "Who?", "graph": "atlantis"}', "line 1.*atlantis"),
        ('{"input": "Who?", "schema": "people and cities"}', "line 1.*schema"),
        (
            '{"input": "Who?", "graph": "movies", "part": "sql", "instruction": "' + TASKS["sql"] + '"}',
            "line 1.*no database",
        ),
    ],
)
def test_prompts_that_are_none_are_located(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=words):
        read_prompts(path)


def test_graphs_of_the_benchmark_are_not_taught(tmp_path: Path) -> None:
    from heimdall_nb.dataset.graphs import schema_names

    path = prompts_file(tmp_path / "p.jsonl", {"How many nodes are there?": schema_names(True)[0]})
    with pytest.raises(BadInput, match="reserved for the benchmark"):
        read_prompts(path)


def test_statements_of_nornicdb_are_held_against_the_facts_alone(tmp_path: Path) -> None:
    index = (
        "CREATE VECTOR INDEX titles FOR (n:Movie) ON (n.embedding) "
        "OPTIONS {indexConfig: {vector.dimensions: 1536, vector.similarity_function: 'cosine'}}"
    )  # the engine has no such statement
    asked = {
        "Create the vector index titles on the movie property embedding, with 1536 dimensions and cosine.": index,
        "Rank them.": "CALL algo.pageRank()",
    }
    records = [{"input": q, "graph": "movies", "part": "nornicdb"} for q in asked]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, records)))
    with serving(Teacher(asked)) as teacher:
        with AnswerCheck(with_writes=True) as check:
            done = distil(read_prompts(tmp_path / "p.jsonl"), model(teacher), tmp_path / "made.jsonl", Asking(), check)
    (made,) = load(tmp_path / "made.jsonl")
    assert made.output == index and made.check.startswith("fact:statement.") and made.dialect == "nornicdb"
    assert done.refused() == {"names what NornicDB does not have": 1} and validate(tmp_path / "made.jsonl").ok


def test_a_dataset_is_not_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "train.jsonl"
    mine.write_text("mine\n")
    with serving(Teacher(FACTS)) as teacher, pytest.raises(BadInput, match="not of a distillation"):
        run(teacher, facts_file(tmp_path / "p.txt"), mine)
    assert mine.read_text() == "mine\n" and not teacher.asked
    beside(tmp_path / "made.jsonl", "answers").touch()
    with beside(tmp_path / "made.jsonl", "answers").open() as other, serving(Teacher(FACTS)) as teacher:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="another process"):
            run(teacher, tmp_path / "p.txt", tmp_path / "made.jsonl")
        assert not teacher.asked


def test_queries_on_one_line_say_the_same() -> None:
    assert one_line("MATCH (a)\n  RETURN a") == "MATCH (a) RETURN a"
    for kept in ("RETURN 'a\n  b' AS x", "MATCH (a) // all\nRETURN a"):
        assert one_line(kept) == kept


@pytest.fixture(scope="module")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """llama.cpp's own server with the shipped nano base, and the file that it runs."""
    pytest.importorskip("fastapi", reason="needs the extra `server` of llama-cpp-python")
    from heimdall_nb.export.gguf_file import write_gguf
    from heimdall_nb.export.quantise import quantise

    folder = tmp_path_factory.mktemp("llama")
    write_gguf(DATA / "models" / "heimdall-nano-base", folder / "nano-f16.gguf")
    quantise(folder / "nano-f16.gguf", folder / "nano.gguf", "Q8_0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(folder / "nano.gguf"), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--n_ctx", "2048", "--n_threads", "1", "--verbose", "False"]
    log = (folder / "log").open("w")
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", folder / "nano.gguf"
    finally:
        server.kill()
        server.wait()
        log.close()


def test_the_nano_model_behind_llama_cpp_is_a_teacher_that_is_not_believed(
    llama_server: tuple[str, Path], tmp_path: Path, arcadedb: Any, no_key: None
) -> None:
    from heimdall_nb.models.llamacpp import LlamaCppModel

    url, file = llama_server
    asked = {q: graph for q, (graph, *_) in [*RIGHT.items(), *WRONG.items()] if graph in ("movies", "flights")}
    prompts, output = prompts_file(tmp_path / "p.jsonl", asked), tmp_path / "made.jsonl"
    client = OpenAIModel(url, timeout=60)
    with AnswerCheck(engine=arcadedb) as check:
        done = distil(read_prompts(prompts), client, output, Asking(64, system=""), check)
    assert client.model == str(file) and done.asked == len(asked) and not done.unanswered
    answers = [json.loads(line) for line in beside(output, "answers").read_text().splitlines()]
    assert all(item["prompt_tokens"] > 50 and item["new_tokens"] > 0 for item in answers)
    here = LlamaCppModel(file)  # the same file in this process, asked in our own words
    said = here.complete([p.conversation("") for p in read_prompts(prompts)], max_new_tokens=64)
    here.close()
    heard = {item["id"]: item["text"] for item in answers}
    same = sum(heard[f"line {n}"].strip() == item.text.strip() for n, item in enumerate(said, start=1))
    assert same >= 0.8 * len(said), (heard, said)
    # Whatever the small model said: what entered is sound, and what did not has a reason.
    made = load(output)
    assert done.entered == len(made) and done.entered + done.refused().total() == len(asked)
    assert done.refused().total() > 0 and (not made or validate(output).ok)
