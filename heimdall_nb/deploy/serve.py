"""A model file behind an OpenAI-compatible address, by llama-cpp-python's own server."""

from __future__ import annotations

import os
import signal
import socket
import sys
import unicodedata
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from heimdall_nb.errors import BadInput
from heimdall_nb.models.llamacpp import check_gguf, threads_for
from heimdall_nb.prompts import STOPS, chat_template

FORMAT = "heimdall"  # the name of our chat format in llama-cpp-python
PREFIX = "HEIMDALL_SERVE_"  # of environment variables that set what the command has no option for
API_KEY = f"{PREFIX}API_KEY"
# The server's own defaults draw at temperature 0.8 and punish repetition, which a query that repeats the schema's
# names cannot take. A request may still ask for both.
DEFAULTS = {"temperature": 0.0, "repeat_penalty": 1.0}
_PATIENCE = 5  # seconds that an open request has to finish when the server is told to end


def serve(model: Path, host: str = "127.0.0.1", port: int = 8080, context: int = 2048) -> None:
    """Answer on http://host:port/v1 until SIGINT or SIGTERM; port 0 takes a free one. The address is printed.

    Prompts are made by the file's chat template, answers end at `prompts.STOPS`, and greedy is the default. With
    HEIMDALL_SERVE_API_KEY in the environment, requests must carry that key. Requests are not logged. Raises BadInput
    for a file that is no model, for an address that cannot be listened on, and where the server's packages lack.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn ends by itself, and then sends the signal again
    model = check_gguf(model)
    uvicorn = _uvicorn()
    with _listening(host, port) as listening:
        settings = _settings(model, context)
        address = listening.getsockname()
        if not ip_address(address[0]).is_loopback and not settings[0].api_key:
            print(f"heimdall: whoever reaches {host} can ask this model; {API_KEY} sets a key", file=sys.stderr)
        config = uvicorn.Config(
            _app(model, *settings), log_level="warning", access_log=False, timeout_graceful_shutdown=_PATIENCE
        )
        shown = f"[{host}]" if ":" in host else host
        print(f"{model.stem} answers at http://{shown}:{address[1]}/v1 (Ctrl-C ends)", flush=True)
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            pass


def _uvicorn() -> Any:
    try:
        import llama_cpp.server.settings  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as problem:
        what, remedy = f"is not installed ({problem.name})", "Run: pip install 'llama-cpp-python[server]>=0.3.36,<0.4'"
        raise BadInput(what, "the server of llama-cpp-python", remedy) from None
    return uvicorn


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family)
    except (OSError, OverflowError) as problem:
        what = f"cannot be listened on ({getattr(problem, 'strerror', None) or problem})"
        raise BadInput(what, f"{host}:{port}", "Choose another --host or --port.") from None


def _settings(model: Path, context: int) -> tuple[Any, Any]:
    """The server's settings and the model's, with other names in the environment than HOST, SEED or CACHE."""
    from llama_cpp.server.settings import ModelSettings, ServerSettings

    os.environ.pop("CONFIG_FILE", None)  # create_app would take it for all settings
    threads = threads_for(model)
    chosen = {
        "model": str(model),
        "model_alias": model.stem,
        "n_ctx": context,
        "n_threads": threads,
        "n_threads_batch": threads,
        "n_gpu_layers": -1,
        "use_mlock": False,
        "logits_all": False,
        "chat_format": FORMAT,
        "verbose": False,
    }
    try:
        # Else a second request would cut off the stream of the first.
        for_server = ServerSettings(_env_prefix=PREFIX, interrupt_requests=False)
        return for_server, ModelSettings(_env_prefix=PREFIX, **chosen)
    except ValueError as problem:  # pydantic's, which names the field; its message would show the value as well
        names = sorted({str(fault["loc"][0]) for fault in problem.errors()})
        raise BadInput("has a value that does not fit", PREFIX + names[0].upper(), "Correct or unset it.") from None


def _app(model: Path, for_server: Any, for_model: Any) -> Any:
    """The server's application, with our chat format and our defaults for what a request leaves out."""
    from llama_cpp.llama_chat_format import register_chat_completion_handler
    from llama_cpp.server import types

    for request in (types.CreateChatCompletionRequest, types.CreateCompletionRequest):
        for name, value in DEFAULTS.items():
            request.model_fields[name].default = value
        request.model_rebuild(force=True)
    from llama_cpp.server.app import create_app  # its routes take the defaults as they are now

    register_chat_completion_handler(FORMAT)(_complete)
    try:
        return create_app(server_settings=for_server, model_settings=[for_model])
    except ValueError:
        what = "is damaged, not for this llama.cpp, or has no room for this context"
        raise BadInput(what, str(model), "Run notebook 04 again, or choose a smaller --context.") from None


def _complete(*, llama: Any, messages: list[dict[str, Any]], stop: Any = None, **settings: Any) -> Any:
    """A chat completion as `LlamaCppModel.complete` makes it: composed characters, the file's template, our stops."""
    composed = [
        message | {"content": unicodedata.normalize("NFC", message["content"])}
        if isinstance(message.get("content"), str)
        else message
        for message in messages
    ]
    stops = [stop] if isinstance(stop, str) else list(stop or ())
    return _handler(llama)(llama=llama, messages=composed, stop=[*stops, *STOPS], **settings)


@lru_cache(maxsize=1)
def _handler(llama: Any) -> Any:
    """What turns messages into a prompt by the template in the file; ChatML for a file without one."""
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    def spelled(token: int) -> str:
        return llama.detokenize([token], special=True).decode("utf-8", "replace") if token >= 0 else ""

    template = llama.metadata.get("tokenizer.chat_template") or chat_template(generation_markers=False)
    return Jinja2ChatFormatter(template, spelled(llama.token_eos()), spelled(llama.token_bos())).to_chat_handler()
