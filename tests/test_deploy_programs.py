"""The deployed folder with the programs that run it: what they read of it, and those that are installed, for real."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_model import ANSWERS, SCHEMA, trained

from heimdall_nb import actions, prompts
from heimdall_nb.deploy import nornicdb, trials
from heimdall_nb.export.gguf_file import write_gguf
from heimdall_nb.models.llamacpp import LlamaCppModel
from heimdall_nb.models.openai_client import OpenAIModel

ASKED = [prompts.conversation(question, SCHEMA) for question in ANSWERS]
LLAMA_SERVER = next(program for program in trials.PROGRAMS if program.executable == "llama-server")
needs_llama_server = pytest.mark.skipif(
    not shutil.which(LLAMA_SERVER.executable), reason=f"{LLAMA_SERVER.executable} is not on the PATH"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployed folder with the tiny model, which has learnt ANSWERS."""
    folder = tmp_path_factory.mktemp("programs")
    source = write_gguf(
        trained(tmp_path_factory), folder / "heimdall-F16.gguf", licence="MIT", base_model="heimdall-nano-base"
    )
    origin = nornicdb.origin_of(source)
    assert origin == {"base": "heimdall-nano-base", "licence": "MIT"}
    nornicdb.build("nano", source, folder / "deploy", 512, {}, ASKED[0], origin=origin)
    return folder / "deploy"


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return folder / "models" / "heimdall-nano.gguf"


# --- Modelfile

# What Ollama takes, and of which kind the values of parameters are.
COMMANDS = "from license template system adapter draft renderer parser parameter message requires".split()
PARAMETERS = {"temperature": float, "repeat_penalty": float, "num_ctx": int, "num_predict": int, "stop": str}
ENDS = {'"""': re.compile(r'"""[ \t]*$'), '"': re.compile(r'"[ \t]*$')}


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a Modelfile as Ollama reads them: a name of letters, a value to the end of the line.

    A value in quotes, one or three, goes on to the first line that ends with them. Parameters are named by their own
    names. AssertionError for what Ollama refuses.
    """
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, value = line.lstrip().partition(" ")
        assert name.lower() in COMMANDS, f"{name!r} is no command"
        if name.lower() == "parameter":
            name, _, value = value.partition(" ")
            assert re.fullmatch("[A-Za-z0-9_]+", name), f"{name!r} is no parameter"
        value = value.lstrip()
        quotes = next((each for each in ENDS if value.startswith(each)), "")
        if quotes:
            value = value[len(quotes) :]
            while not ENDS[quotes].search(value):
                value += "\n" + next(lines, '"""\0')
                assert "\0" not in value, f"the quotes of {name} are never closed"
            value = ENDS[quotes].sub("", value)
        assert value, f"{name} has no value"
        yield name.lower(), value


def test_the_rules_of_a_modelfile_catch_faults() -> None:
    good = '# x\nFROM ./m\nSYSTEM """a\n"b"\n"""\nPARAMETER stop "<|x|>"\n'
    assert list(commands(good)) == [("from", "./m"), ("system", 'a\n"b"\n'), ("stop", "<|x|>")]
    for bad in ("FORM ./m", 'SYSTEM """a', "PARAMETER num-ctx 1", "FROM", 'SYSTEM "a\nb'):
        with pytest.raises(AssertionError):
            list(commands(bad))


def test_the_modelfile_is_one_that_ollama_reads(folder: Path, model: Path) -> None:
    found = list(commands((folder / "Modelfile").read_text()))
    names = [name for name, _ in found]
    assert set(names) == {"from", "template", "license", *PARAMETERS} and names.count("from") == 1
    values = dict(found)
    # Where there is no such file, Ollama takes the value for the name of a model to download.
    assert (folder / values["from"]).samefile(model) and values["license"] == "MIT"
    read = {name: kind(values[name]) for name, kind in PARAMETERS.items()}
    assert (read["temperature"], read["repeat_penalty"], read["num_ctx"], read["num_predict"]) == (0, 1, 512, 192)
    assert tuple(value for name, value in found if name == "stop") == tuple(prompts.STOPS)


def test_the_template_of_the_modelfile_makes_the_prompt_of_the_training(folder: Path) -> None:
    template = dict(commands((folder / "Modelfile").read_text()))["template"]
    assert set(re.findall(r"{{.*?}}", template)) == {
        "{{ range .Messages }}",
        "{{ .Role }}",
        "{{ .Content }}",
        "{{ end }}",
    }
    loop, tail = template.removeprefix("{{ range .Messages }}").split("{{ end }}")
    for asked in ASKED:
        turns = (loop.replace("{{ .Role }}", m["role"]).replace("{{ .Content }}", m["content"]) for m in asked)
        assert "".join(turns) + tail == prompts.render(asked)


# --- llama.cpp's server


def test_the_script_starts_llama_server_with_its_options(folder: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "llama-server"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\npwd\necho "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    arguments = ["sh", str(folder / "serve.sh"), "--grammar-file", "actions.gbnf"]
    done = subprocess.run(arguments, env=os.environ | {"PATH": path, "PORT": "9"}, capture_output=True, text=True)
    where, options = done.stdout.splitlines()
    assert where == str(folder)
    assert options.endswith("--port 9 --grammar-file actions.gbnf")


def answers(folder: Path, model: Path, *options: str) -> list[str]:
    """What llama.cpp's server says to each question, started as the folder says, with more `options`."""
    program = replace(LLAMA_SERVER, command=(*LLAMA_SERVER.command, *options))
    with (
        trials.running(program, folder, model, 512) as address,
        closing(OpenAIModel(address, model.stem, key="", workers=1, timeout=60, tries=8, first_wait=0.5)) as server,
    ):
        return [server.ask(asked, max_new_tokens=192).text for asked in ASKED]


@needs_llama_server
def test_llama_server_answers_as_the_file_does(folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(LlamaCppModel(model, context=512)) as ours:
        said = [answer.text for answer in ours.complete(ASKED)]
    assert answers(folder, model) == said == list(ANSWERS.values())
    monkeypatch.setattr(trials, "PROGRAMS", (LLAMA_SERVER,))
    found = trials.try_all(folder, model, 512, ASKED[0], said[0], 48)[0]
    assert (found.state, found.note, found.command) == ("same answer", said[0], "sh serve.sh")
    assert any(map(str.isdigit, found.version))


@needs_llama_server
def test_llama_server_keeps_to_the_grammar_of_the_folder(folder: Path, model: Path) -> None:
    said = answers(folder, model, "--grammar-file", "actions.gbnf")
    assert all(isinstance(actions.read(text), actions.Action) for text in said)


# --- trials


def test_the_deployed_file_answers_and_so_does_our_server(folder: Path, model: Path) -> None:
    card = (folder / "MODEL_CARD.md").read_text()
    assert "| Base | heimdall-nano-base |" in card and "Weights: MIT." in card
    question, learnt = next(iter(ANSWERS.items()))
    found = nornicdb.answer(model, question, SCHEMA, 512, 48)
    assert (found.outcome, found.text) == ("ok", learnt)
    tried = {t.program: t for t in trials.try_all(folder, model, 512, ASKED[0], found.text, 48)}
    assert (tried["heimdall serve"].state, tried["heimdall serve"].note) == ("same answer", found.text)
    assert re.fullmatch(r"\d+\.\d+\S*", tried["heimdall serve"].version)
    assert tried["LM Studio"].state == tried["NornicDB"].state == "untried"
    assert tried["heimdall serve"].command.startswith("heimdall serve --model models/heimdall-nano.gguf")


def tried(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *command: str,
    executable: str = "sh",
    about: tuple[str, ...] = ("no-such-program",),
) -> trials.Trial:
    """What `try_all` says of one program, started by `command`."""
    monkeypatch.setattr(trials, "PROGRAMS", (trials.Program("other", executable, about, command),))
    monkeypatch.setattr(trials, "BY_HAND", ())
    [found] = trials.try_all(folder, folder / "m.gguf", 512, ASKED[0], "RETURN 1", 48)
    return found


ANSWERER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(b'{"choices": [{"message": {"content": "%s"}, "finish_reason": "stop"}]}')
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_programs_are_tried_for_real_or_said_to_be_untried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tried(monkeypatch, tmp_path, "x", executable="no-such-program")
    assert (missing.state, missing.version) == ("untried", "")
    assert missing.note == "no-such-program is not installed here"
    for said, state in (("RETURN 1", "same answer"), ("RETURN 2", "other answer")):
        (tmp_path / "server.py").write_text(ANSWERER % said)
        found = tried(monkeypatch, tmp_path, sys.executable, "server.py", "{port}")
        assert (found.state, found.note, found.version) == (state, said, "")
    failed = tried(monkeypatch, tmp_path, "sh", "-c", "exit 3")
    assert failed.state == "failed" and "status 3" in failed.note


@pytest.mark.parametrize(
    ("printed", "version"),
    [("0.1.0", "0.1.0"), ("found 2 devices\nversion: 77 (abc)\nbuilt by 12", "version: 77 (abc)"), ("none", "")],
)
def test_the_line_with_the_version_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, version: str
) -> None:
    about = (sys.executable, "-c", f"import sys; print({printed!r}, file=sys.stderr)")
    assert tried(monkeypatch, tmp_path, "sh", "-c", "exit 3", about=about).version == version
