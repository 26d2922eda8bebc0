"""The texts of the deployment folder, filled from the fact pack and the run's measured values."""

from __future__ import annotations

from collections.abc import Mapping

from heimdall_nb import prompts
from heimdall_nb.facts import FactPack

_README = """# {name}: how to use this folder

Made by run `{run}` from `{source_file}`, for NornicDB as of {repository} commit `{commit}` (fact pack `{pack}`).

| file | what it is |
|---|---|
| `models/{name}.gguf` | the model, {megabytes} MB |
| `nornicdb.yaml` | the server's configuration; every key is one that this version reads |
| `nornicdb.env.example` | the same as environment variables, which win over the file |
| `question.json` | a request to try: a graph's schema as system message, and a question |
| `actions.gbnf` | a grammar under which llama.cpp writes nothing but actions of the server |
| `Modelfile` | the same model for Ollama, with the same prompt format and stops |
| `serve.sh` | the same model behind llama.cpp's own server |
| `MODEL_CARD.md` | what the model is, its scores, its limits |
| `CHECKLIST.md` | what this run has measured, and which programs it has tried with this folder |
| `LICENSE` | the licence of the weights |
| `SHA256SUMS` | `sha256sum -c SHA256SUMS` tells whether all files are as they were written |

## Place it

The server looks for the file in these folders, and takes the first that has it:

{folders}

Copy `models/{name}.gguf` to one of them, or start the server from this folder: the last one is relative to it.

## Start it

```bash
{serve}
curl http://localhost:{http_port}{status}
```

The status answers with the model's name when Heimdall is on.

## Ask it

```bash
curl http://localhost:{http_port}{chat} -H 'Content-Type: application/json' -d @question.json
```

The model needs the schema to answer well, so `question.json` sends it as system message. Whether the server passes a
caller's system message on unchanged was not tried. With authentication on, sign in first and send the token.

## Other programs

CHECKLIST.md says which of these were tried with this folder by the run that wrote it, and which were not.

- llama.cpp: `sh serve.sh` answers at `http://localhost:8080/v1`. With `--grammar-file actions.gbnf` behind it, every
  answer is one JSON action, whatever the question.
- Ollama: `ollama create {name} -f Modelfile`, then `ollama run {name}`.
- LM Studio looks for models two folders deep, publisher and model:
  `mkdir -p ~/.lmstudio/models/heimdall/{name} && cp models/{name}.gguf ~/.lmstudio/models/heimdall/{name}/`.
  It takes the prompt format from the file. Set the temperature to 0 there.
- This project: `heimdall serve --model models/{name}.gguf --context {context}`, and
  `heimdall ask --model models/{name}.gguf --graph GRAPH "your question"` at the terminal.

## What to expect at run time

- The prompt is {prompt_format} for every model. This model was trained on exactly that format.
- The server puts its own system message in front, and asks for one JSON action, such as `{action}`.
  A model that was trained on Cypher alone answers with the query. The server shows such an answer as text and does not
  run it: read it, then run it yourself. `heimdall train --format nornicdb` trains on actions instead.
- The server's system message may be longer than this model's context of {context} tokens. Past the budgets in
  `nornicdb.yaml` it falls back to a short prompt. The budgets are in the server's estimate ({per_character} tokens a
  character) and are already converted for this model's vocabulary.
- Temperature 0 counts as unset and becomes {temperature}; so the same question can get two answers.
- Read-only is {read_only}: {read_only_note}.
- No cache helps repeated questions: {cache_note}.
- One request has {seconds} seconds.

Nothing in this folder was tried on a running NornicDB by this run; what was tried is in the checklist of notebook 09.
"""

_CARD = """# Model card: {name}

| | |
|---|---|
| Task | a question about a graph, with the graph's schema, to one Cypher query |
| Base | {base} |
| File | `models/{name}.gguf`, {megabytes} MB, from `{source_file}` |
| Prompt | ChatML; system: the task and the schema; user: the question |
| Context | {context} tokens, of which {max_tokens} for the answer |

## Scores of run `{run}`

{scores}

All of them were measured by the run that made this file; scores are on questions held out of its training.

## Limits

- It knows the question types and the schema notation it was trained on. Other wordings get worse answers.
- It can name things that the schema does not have, and write queries that run and mean something else.
  Show a query to a person before it changes data.
- It does not converse. It was trained on one form of answer, and other forms are worse: whether it writes the JSON
  actions that NornicDB asks for is measured in CHECKLIST.md.

## Licence

Weights: {licence}. The code that made them: MIT.
"""

_MODELFILE = """# ollama create {name} -f Modelfile
FROM ./models/{name}.gguf
TEMPLATE \"\"\"{{{{ range .Messages }}}}<|im_start|>{{{{ .Role }}}}
{{{{ .Content }}}}<|im_end|>
{{{{ end }}}}<|im_start|>assistant
\"\"\"
PARAMETER temperature 0
PARAMETER repeat_penalty 1
PARAMETER num_ctx {context}
PARAMETER num_predict {max_tokens}
{stops}
LICENSE \"\"\"{licence}\"\"\"
"""

# A query repeats the names of its schema, so repetition must not be punished.
_SERVE = """#!/bin/sh
# llama.cpp's server on this folder's model: http://localhost:8080/v1, or at another PORT. More options may follow.
cd "$(dirname "$0")" || exit 1
exec llama-server --model models/{name}.gguf --ctx-size {context} --n-predict {max_tokens} --temp 0 \\
  --repeat-penalty 1.0 --port "${{PORT:-8080}}" "$@"
"""


def readme(name: str, facts: FactPack, **fill: object) -> str:
    """How to place, start and ask the model, and what to expect, from the fact pack."""

    def value(identifier: str) -> object:
        return facts.fact(identifier).value

    return _README.format(
        name=name,
        pack=facts.name,
        repository=facts.repository,
        commit=facts.commit,
        folders="\n".join(f"{n}. `{folder}`" for n, folder in enumerate(value("model.folders"), start=1)),
        serve=value("command.serve"),
        status=str(value("endpoint.status")).split()[1],
        chat=str(value("endpoint.chat")).split()[1],
        http_port=value("server.http_port"),
        prompt_format=value("prompt.format"),
        action=value("prompt.answer"),
        per_character=value("limit.tokens_per_character"),
        temperature=value("heimdall.temperature"),
        read_only=value("behaviour.read_only"),
        read_only_note=facts.fact("behaviour.read_only").note,
        cache_note=facts.fact("behaviour.cache").note,
        seconds=value("limit.request_seconds"),
        **fill,
    )


def model_card(scores: Mapping[str, str], facts: FactPack, **fill: object) -> str:
    """What the model is, with the run's scores; says so where nothing was measured."""
    lines = [f"| {what} | {value} |" for what, value in scores.items()]
    table = "\n".join(["| measured | value |", "|---|---|", *lines]) if lines else "Nothing was measured."
    return _CARD.format(scores=table, **fill)


def modelfile(name: str, context: int, max_tokens: int, licence: str, **_: object) -> str:
    """An Ollama Modelfile with the same prompt format, stops and limits."""
    stops = "\n".join(f'PARAMETER stop "{stop}"' for stop in prompts.STOPS)
    return _MODELFILE.format(name=name, context=context, max_tokens=max_tokens, stops=stops, licence=licence)


def serve_script(name: str, context: int, max_tokens: int, **_: object) -> str:
    """A shell script that starts llama.cpp's server with the same limits."""
    return _SERVE.format(name=name, context=context, max_tokens=max_tokens)
