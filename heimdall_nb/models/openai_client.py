"""A model behind a server that speaks OpenAI's chat completions: llama.cpp, vLLM, Ollama, or a hosted one.

The key comes from the environment alone, so that no shell history, process list, file or message holds it.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.models.protocol import Completion
from heimdall_nb.models.stopping import cut, outcome
from heimdall_nb.prompts import STOPS, Conversation

KEYS = ("HEIMDALL_TEACHER_KEY", "OPENAI_API_KEY")  # environment variables; the first that is set is taken
LONGEST_WAIT = 300.0  # seconds; a server that asks for more is left alone, and the run ends
_LONGEST_BACK_OFF = 60.0
_PASSING = {408, 409, 425, 429}  # with 5xx: what may work when it is asked again
_LOCAL = ("localhost", "127.0.0.1", "::1")
_DUMMY_KEY = 12  # characters; shorter ones are words such as `none`, which answers may hold
_OTHER_NAME = {"max_tokens": "max_completion_tokens"}  # parameters that newer models know by another name
_SHOWN = 200  # characters of a server's message


class Unanswered(HeimdallError):
    """A question that got no answer; `server` says that the server was at fault, not the question."""

    def __init__(self, reason: str, server: bool) -> None:
        self.reason, self.server = reason, server
        super().__init__(reason)


def key_from_environment() -> str:
    """The key for the server, or empty text: servers on the own machine need none."""
    return next((key for name in KEYS if (key := os.environ.get(name, "").strip())), "")


def base_url(url: str) -> httpx2.URL:
    """The address below which `/chat/completions` lies; a bare host gets `/v1`.

    Raises BadInput for what is no http address, or holds an account or a query, which would end in reports.
    """
    remedy = "Give the base address, such as http://localhost:8080/v1."
    try:
        parsed = httpx2.URL(url.strip())
    except (httpx2.InvalidURL, TypeError):
        raise BadInput("is no address", "teacher", remedy) from None
    if parsed.userinfo or parsed.query or parsed.fragment:
        what = f"has more than an address; a key belongs in {KEYS[0]}"
        raise BadInput(what, "teacher", remedy)  # without the address: it may hold a secret
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadInput(f"{url!r} is no http address", "teacher", remedy)
    path = parsed.path.rstrip("/").removesuffix("/chat/completions")
    return parsed.copy_with(path=path or "/v1")


class OpenAIModel:
    """A model behind an OpenAI-compatible server; `ask` may be called from several threads.

    `model` may be empty where the server has one model only. `tries` is how often a question is asked before it counts
    as unanswered, with waits that double from `first_wait` seconds, or as long as the server's Retry-After says.
    `retries` counts by reason what was asked again. Raises BadInput for an address or a model that cannot be used.
    """

    def __init__(
        self,
        url: str,
        model: str = "",
        key: str | None = None,
        workers: int = 4,
        timeout: float = 120.0,
        tries: int = 6,
        first_wait: float = 1.0,
    ) -> None:
        self.url, self._key = base_url(url), key_from_environment() if key is None else key
        if self._key and self.url.scheme == "http" and self.url.host not in _LOCAL:
            raise BadInput("would get the key unencrypted", str(self.url), f"Use https, or unset {' and '.join(KEYS)}.")
        if not self._key.isascii() or any(c.isspace() for c in self._key):
            raise BadInput("holds characters that no key has", " or ".join(KEYS), "Set it anew.")
        if workers < 1 or tries < 1 or timeout <= 0:
            raise BadInput("must be positive", "workers, tries, timeout")
        self.workers, self.tries, self.first_wait = workers, tries, first_wait
        self.retries: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._names: dict[str, str | None] = {}  # parameters that this model calls otherwise, or (None) refuses
        self._pause_until = 0.0
        self._closed = threading.Event()
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=timeout,
            limits=httpx2.Limits(max_connections=workers),
        )
        self.name = self.model = model or self._only_model()

    def _only_model(self) -> str:
        try:
            listed = self._request("GET", "/models")
            names = [str(item["id"]) for item in listed["data"]]
        except (Unanswered, KeyError, TypeError) as problem:
            reason = f" ({problem})" if isinstance(problem, Unanswered) else ""
            raise BadInput(f"does not list its models{reason}", str(self.url), "Name one with --model.") from None
        if len(names) != 1:
            shown = ", ".join(names[:8]) or "none"
            raise BadInput(f"has {len(names)} models ({shown})", str(self.url), "Name one with --model.")
        return names[0]

    def complete(
        self,
        conversations: Sequence[Conversation],
        max_new_tokens: int = 192,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = STOPS,
        grammar: str | None = None,
    ) -> list[Completion]:
        """Answer each conversation, `workers` at a time; see `LanguageModel.complete`.

        What stays unanswered has the outcome `error` or `timeout`. Raises BadInput when the server refuses the key.
        """
        if grammar is not None:
            raise BadInput("cannot be given to an OpenAI-compatible server", "grammar", "Run the GGUF file itself.")

        def answer(conversation: Conversation) -> Completion:
            started = time.perf_counter()
            try:
                return self.ask(conversation, max_new_tokens, temperature, seed, stop)
            except Unanswered as problem:
                kind = "timeout" if "timeout" in problem.reason else "error"
                return Completion("", 0, 0, time.perf_counter() - started, kind)

        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(answer, conversations))

    def ask(
        self,
        conversation: Conversation,
        max_new_tokens: int = 192,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = STOPS,
    ) -> Completion:
        """One answer; token counts are 0 where the server reports none. Raises Unanswered, BadInput."""
        body = {
            "model": self.model,
            "messages": conversation,
            "max_tokens": max_new_tokens,
            "temperature": temperature,
        }
        body |= {"seed": seed} if temperature > 0 else {}
        # The usual stops are our own markers: a server puts its model's markers around the turns, and knows their end.
        body |= {"stop": list(stop)} if tuple(stop) != STOPS else {}
        started = time.perf_counter()
        answer = self._request("POST", "/chat/completions", body)
        choice, usage = answer["choices"][0], answer.get("usage")
        content = (choice["message"].get("content") or "").encode("utf-8", "replace").decode()  # no half surrogates
        text, stopped = cut(content, stop)
        ended = stopped or choice.get("finish_reason") != "length"
        counts = [_count(usage, name) for name in ("prompt_tokens", "completion_tokens")]
        return Completion(text, *counts, time.perf_counter() - started, outcome(text, ended))

    def close(self) -> None:
        """End all waiting and close the connections; the model cannot be used afterwards."""
        self._closed.set()
        self._http.close()

    def give_up(self) -> None:
        """Let nothing be asked again from now on; what is being answered is still answered."""
        self._closed.set()

    # --- one request, and what to do when it fails

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The decoded answer. Asks again after what may pass; raises Unanswered when it did not pass."""
        reason, attempt = "", 0
        while attempt < self.tries:
            self._wait(reason, attempt)
            sent = {name: value for key, value in (body or {}).items() if (name := self._names.get(key, key))}
            status, text, headers = self._send(method, path, sent)
            if status == 200 and (answer := _answer(text, path)) is not None:
                return answer
            error = _error(text)
            if status in (400, 422) and self._renamed(error, sent):
                continue  # not the question's fault
            reason = _reason(status, text, error)
            self._end_run(status, reason, error)
            if 300 <= status < 500 and status not in _PASSING:
                raise Unanswered(reason, server=False)
            self._note_retry_after(headers, reason)
            attempt += 1
        raise Unanswered(f"{reason}, {self.tries} times", server=True)

    def _wait(self, reason: str, attempt: int) -> None:
        """Before each but the first attempt, a wait that doubles; and for whatever the server asked all to wait."""
        seconds = 0.0
        if attempt:
            with self._lock:
                self.retries[reason.partition(":")[0]] += 1
            doubled = min(self.first_wait * 2 ** (attempt - 1), _LONGEST_BACK_OFF)
            seconds = doubled * random.uniform(0.7, 1.0)  # so that the workers do not come back all at once
        seconds = max(seconds, self._pause_until - time.monotonic())
        if seconds > 0 and self._closed.wait(seconds) or self._closed.is_set():
            raise Unanswered(reason or "the run was ended", server=True)

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, str, Mapping[str, str]]:
        """Status, text without the key, headers. Status 0 where there was no answer; the text then says why."""
        try:
            response = self._http.request(method, f"{self.url}{path}", json=body or None)
            return response.status_code, self._safe(response.text), response.headers
        except httpx2.TimeoutException:
            return 0, "timeout", {}
        except httpx2.HTTPError as problem:
            return 0, self._safe(f"connection: {problem or type(problem).__name__}"), {}
        except RuntimeError:  # the client was closed meanwhile
            return 0, "connection: closed", {}

    def _safe(self, text: str) -> str:
        return text.replace(self._key, "[key]") if len(self._key) >= _DUMMY_KEY else text

    def _renamed(self, error: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
        """Whether the server refuses an optional parameter that was sent; it is left out or renamed from now on."""
        name = str(error.get("param") or "")
        if name not in ("max_tokens", "temperature", "seed", "stop") or name not in sent:
            return False
        self._names[name] = _OTHER_NAME.get(name)
        return True

    def _end_run(self, status: int, reason: str, error: Mapping[str, Any]) -> None:
        """Raise for what makes every question fail: a refused key, no credit, a wrong address."""
        where = str(self.url)
        if status in (401, 403):
            given = "the key of the environment" if self._key else f"a request without a key ({' or '.join(KEYS)})"
            raise BadInput(f"refuses {given} ({reason})", where, "Set the right key and run again.")
        if status == 402 or error.get("code") == "insufficient_quota":
            raise HeimdallError(f"{where}: the account has no credit left ({reason}). What was answered is kept.")
        if status in (404, 405) or 300 <= status < 400:
            raise BadInput(f"has no such address or model ({reason})", where, "See --teacher and --model.")

    def _note_retry_after(self, headers: Mapping[str, str], reason: str) -> None:
        seconds = retry_after(headers)
        if seconds > LONGEST_WAIT:
            what = f"{self.url}: asks to wait {seconds:.0f} s ({reason}). What was answered is kept: run again later."
            raise HeimdallError(what)
        self._pause_until = max(self._pause_until, time.monotonic() + seconds)


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that a server asks to wait, given as a number or as a date; 0 where it does not ask."""
    text = headers.get("retry-after", "").strip()
    with suppress(ValueError):
        return max(0.0, float(text))
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _answer(text: str, path: str) -> dict[str, Any] | None:
    """The decoded body; None where it is no JSON, or holds no message where one was asked for."""
    try:
        answer = json.loads(text)
        if path == "/chat/completions":
            content = answer["choices"][0]["message"].get("content")
            if not isinstance(content, str | None):
                return None
        return answer if isinstance(answer, dict) else None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None


def _count(usage: Any, name: str) -> int:
    """A number of tokens that the server reports; 0 where it reports none."""
    number = usage.get(name) if isinstance(usage, dict) else None
    return number if isinstance(number, int) and number > 0 else 0


def _error(text: str) -> dict[str, Any]:
    """The `error` object of a body; empty where there is none."""
    with suppress(ValueError, RecursionError):
        decoded = json.loads(text)
        error = decoded.get("error") if isinstance(decoded, dict) else None
        return error if isinstance(error, dict) else {}
    return {}


def _reason(status: int, text: str, error: Mapping[str, Any]) -> str:
    """What went wrong, short enough for a report: `429`, `500: model is loading`, `timeout`."""
    if status == 0:
        return text[:_SHOWN]
    message = " ".join(str(error.get("message") or "").split())[:_SHOWN]
    if status == 200:
        return "200: no answer that can be read"
    return f"{status}: {message}" if message else str(status)
