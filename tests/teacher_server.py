"""A real HTTP server that speaks as much of OpenAI's protocol as a teacher needs, and fails as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Failure = tuple[int, dict[str, str], str] | float  # status, headers, body; or seconds of silence


class Teacher:
    """What the server knows and does: `answers` by question, `failures` that come first, each once, in their order."""

    def __init__(
        self,
        answers: Mapping[str, str] | Callable[[str], str],
        failures: Sequence[Failure] = (),
        seconds: float = 0.0,
        usage: bool = True,
        refuses: Sequence[str] = (),
        models: Sequence[str] = ("tutor",),
    ) -> None:
        self.answers = answers if callable(answers) else answers.__getitem__
        self.failures, self.seconds, self.usage = list(failures), seconds, usage
        self.refuses, self.models = refuses, models
        self.asked: Counter[str] = Counter()  # questions that were answered
        self.requests: list[tuple[float, dict[str, Any], str]] = []  # time, body, key
        self.lock = threading.Lock()
        self.url = ""

    def failure(self) -> Failure | None:
        with self.lock:
            return self.failures.pop(0) if self.failures else None

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, str], str]:
        for name in self.refuses:
            if name in body:
                error = {"message": f"Unsupported parameter: {name}", "param": name, "code": "unsupported_parameter"}
                return 400, {}, json.dumps({"error": error})
        failure = self.failure()
        if isinstance(failure, tuple):
            return failure
        time.sleep(failure or self.seconds)
        question = body["messages"][-1]["content"]
        text = self.answers(question)
        with self.lock:
            self.asked[question] += 1
        reason = "length" if text.endswith("…") else "stop"
        answer: dict[str, Any] = {
            "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": reason}]
        }
        if self.usage:
            answer["usage"] = {"prompt_tokens": 100, "completion_tokens": 10}
        return 200, {}, json.dumps(answer)


@contextmanager
def serving(teacher: Teacher) -> Iterator[Teacher]:
    """The server at a free port of this machine, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/v1/models"
            self.send(200 if found else 404, {}, json.dumps({"data": [{"id": name} for name in teacher.models]}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with teacher.lock:
                teacher.requests.append((time.monotonic(), body, self.headers.get("authorization", "")))
            self.send(*(teacher.reply(body) if self.path == "/v1/chat/completions" else (404, {}, "")))

        def send(self, status: int, headers: dict[str, str], text: str) -> None:
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())
            except OSError:
                pass  # the client did not wait, or was killed

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    teacher.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield teacher
    finally:
        server.shutdown()
        server.server_close()
