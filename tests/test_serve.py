"""`heimdall serve`: over HTTP, the answers that the model gives in process; a clean end; nothing said in the log."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny_model

from heimdall_nb import prompts
from heimdall_nb.deploy import serve
from heimdall_nb.errors import BadInput
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.run import ROOT

KEY = "key-of-the-test"
QUESTIONS = list(tiny_model.ANSWERS)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tiny_model.trained(tmp_path_factory), tmp_path_factory.mktemp("serve") / "tiny.gguf")


@dataclass
class Server:
    address: str
    process: subprocess.Popen[str]

    def post(self, messages: prompts.Conversation, key: str = KEY, **settings: Any) -> bytes:
        body = json.dumps({"messages": messages} | settings).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        request = urllib.request.Request(f"{self.address}/chat/completions", body, headers)
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.read()

    def said(self, messages: prompts.Conversation, **settings: Any) -> str:
        return json.loads(self.post(messages, **settings))["choices"][0]["message"]["content"]


def started(gguf: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "heimdall_nb", "serve", "--model", str(gguf), "--context", "512", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, **pipes)


@pytest.fixture(scope="module")
def server(gguf: Path) -> Iterator[Server]:
    # What other programs call PORT, SEED or CONFIG_FILE must not reach the server.
    others = {"HOST": "0.0.0.0", "PORT": "1", "SEED": "none", "CONFIG_FILE": "/nowhere"}
    process = started(gguf, "--port", "0", HEIMDALL_SERVE_API_KEY=KEY, **others)
    try:
        line = process.stdout.readline()
        assert line.startswith("tiny answers at http://127.0.0.1:"), line + process.stderr.read()
        yield Server(line.split()[3], process)
    finally:
        process.kill()
        process.communicate()


def test_answers_are_those_of_the_model_in_process(server: Server, gguf: Path) -> None:
    model = LlamaCppModel(gguf, context=512)
    asked = [*tiny_model.conversations(), prompts.conversation("Who?", "(:Other {a: STRING})")]
    here = [answer.text for answer in model.complete(asked, max_new_tokens=40)]
    model.close()
    assert here[: len(QUESTIONS)] == list(tiny_model.ANSWERS.values())
    assert [server.said(messages, max_tokens=40) for messages in asked] == here  # greedy without being told so


def test_decomposed_characters_are_composed(server: Server) -> None:
    messages = prompts.conversation(QUESTIONS[1], tiny_model.SCHEMA)
    question = unicodedata.normalize("NFD", messages[-1]["content"])
    assert question != messages[-1]["content"]
    said = server.said([messages[0], {"role": "user", "content": question}])
    assert said == tiny_model.ANSWERS[QUESTIONS[1]]


def test_stops_of_a_request_are_added_to_ours(server: Server) -> None:
    first = tiny_model.conversations()[0]
    assert server.said(first, stop=" RETURN") == tiny_model.ANSWERS[QUESTIONS[0]].split(" RETURN")[0]
    assert server.said(first, stop=["never"]) == tiny_model.ANSWERS[QUESTIONS[0]]


def test_a_stream_says_the_same(server: Server) -> None:
    lines = server.post(tiny_model.conversations()[2], stream=True).decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    said = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert said == tiny_model.ANSWERS[QUESTIONS[2]] and lines[-1 if lines[-1] else -2] == "data: [DONE]"


@pytest.mark.parametrize("key", ["wrong", ""])
def test_the_key_is_needed(server: Server, key: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.post(tiny_model.conversations()[0], key=key)
    assert caught.value.code == 401


def test_models_are_named_without_their_folder(server: Server) -> None:
    request = urllib.request.Request(f"{server.address}/models", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert [model["id"] for model in json.load(response)["data"]] == ["tiny"]


def test_it_ends_cleanly_and_has_logged_no_request(server: Server) -> None:  # the last one: the server is gone after it
    server.process.send_signal(signal.SIGTERM)
    out, err = server.process.communicate(timeout=60)
    assert (server.process.returncode, out, err) == (0, "", "")


def test_a_damaged_file_and_a_small_context_are_one_sentence(gguf: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(gguf.read_bytes()[:5000])
    with pytest.raises(BadInput, match=r"damaged\.gguf: is damaged"):
        serve._app(damaged, *serve._settings(damaged, 512))
    with pytest.raises(BadInput, match="cannot be read"):
        serve.check_gguf(tmp_path / "none.gguf")


def test_a_wrong_variable_is_named_without_its_value(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_SERVE_CACHE", "secret")
    with pytest.raises(BadInput, match="^HEIMDALL_SERVE_CACHE: ") as caught:
        serve._settings(gguf, 512)
    assert "secret" not in str(caught.value)


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"127.0.0.1:{port}: cannot be listened on"):
            serve._listening("127.0.0.1", port)
    with pytest.raises(BadInput, match="no-such-host.invalid:0: cannot be listened on"):
        serve._listening("no-such-host.invalid", 0)
