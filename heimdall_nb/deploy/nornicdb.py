"""The folder that NornicDB uses: the model file, a configuration with only keys that the server reads, and texts.

What the server reads and does comes from a versioned fact pack (`heimdall_nb.facts`), not from its documents.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from heimdall_nb import actions, prompts
from heimdall_nb.deploy import bundle, texts
from heimdall_nb.errors import BadInput
from heimdall_nb.facts import FactPack, load_pack
from heimdall_nb.models.protocol import Completion
from heimdall_nb.run import atomic_text, write_json

IGNORED = ("heimdall.", "llm.", "NORNICDB_HEIMDALL_", "NORNICDB_MODELS_")  # names that the configuration explains
USER_SHARE = 0.25  # of the prompt budget; the rest is for the system message with the schema


def settings(
    model: str,
    context_size: int,
    max_tokens: int,
    characters_per_token: float,
    facts: FactPack,
) -> dict[str, Any]:
    """The server's settings as `section.key: value`, each checked against the fact pack.

    The server does not count tokens for its prompt budgets, it multiplies characters by a constant. `budget` is the
    context less the longest answer, turned into that estimate with the model's own `characters_per_token`, so that a
    small vocabulary cannot overflow the context. Raises BadInput for a context without room for a prompt.
    """
    if context_size <= max_tokens:
        raise BadInput(f"{context_size} leaves no room beside {max_tokens} new tokens", "context_size", "Raise it.")
    estimate = characters_per_token * facts.fact("limit.tokens_per_character").value
    budget = int((context_size - max_tokens) * estimate)
    user = int(budget * USER_SHARE)
    chosen = {
        "heimdall.enabled": True,
        "heimdall.model": model,
        "heimdall.context_size": context_size,
        "heimdall.batch_size": min(context_size, facts.fact("heimdall.batch_size").value),
        "heimdall.max_tokens": max_tokens,
        "heimdall.temperature": facts.fact("heimdall.temperature").value,
        "heimdall.max_context_tokens": budget,
        "heimdall.max_system_tokens": budget - user,
        "heimdall.max_user_tokens": user,
    }
    return check(chosen, facts)


def check(chosen: Mapping[str, Any], facts: FactPack) -> dict[str, Any]:
    """The settings, unchanged. Raises BadInput that names each key which this version of the server does not read."""
    faults = [f"{key} {fault}" for key, value in chosen.items() if (fault := facts.setting_fault(key, value))]
    if faults:
        raise BadInput("; ".join(faults), "nornicdb.yaml", f"Use settings of pack {facts.name}.")
    return dict(chosen)


def yaml_text(chosen: Mapping[str, Any], facts: FactPack) -> str:
    """The settings as the server's YAML file. Raises BadInput for a key that it does not read."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in check(chosen, facts).items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    header = (
        f"# For NornicDB as of {facts.repository} {facts.commit}; every key below is one that this version reads.\n"
    )
    return header + yaml.safe_dump(sections, sort_keys=False) + ignored_text(facts)


def ignored_text(facts: FactPack) -> str:
    """Comments for whoever looks for a key that guides show: what this version does not read, and what works."""
    lines = ["# Not here, because this version does not read them, though guides show them:"]
    for item in facts.of_kind("not_read"):
        if item.name.startswith(IGNORED):
            nothing, _, why = item.instead.partition("nothing")
            use = f"use {item.instead}" if nothing else why.removeprefix(": ") or "nothing takes its place"
            lines.append(f"#   {item.name}: {item.note or use}")
    return "\n".join(lines) + "\n"


def environment_text(chosen: Mapping[str, Any], facts: FactPack) -> str:
    """The same settings as environment variables, which win over the YAML file; no secrets in it."""
    lines = ["# An example. Environment variables win over nornicdb.yaml. Keep secrets out of files that you commit."]
    for key, value in check(chosen, facts).items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(f"{facts.fact(key).env}={text}")
    return "\n".join([*lines, "# NORNICDB_AUTH=user/password"]) + "\n" + ignored_text(facts)


def build(
    run_name: str,
    gguf: Path,
    folder: Path,
    context_size: int,
    scores: Mapping[str, str],
    question: prompts.Conversation,
    facts: FactPack | None = None,
    max_tokens: int = 192,
    characters_per_token: float = 4.0,
    origin: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the deployment folder and return its files: model, configuration, what other programs need, texts, sums.

    `scores` are lines of the model card (what: measured value), `question` is a request to try, `origin` is what
    `origin_of` found. The model file is linked, or copied where links are not possible, under a temporary name first.
    A file that is added later needs `bundle.seal` again. Raises BadInput when the model is missing or is not GGUF.
    """
    facts = facts or load_pack()
    name = f"heimdall-{run_name}"
    model = folder / "models" / f"{name}.gguf"
    chosen = settings(name, context_size, max_tokens, characters_per_token, facts)
    place(gguf, model)
    fill = {
        "name": name,
        "run": run_name,
        "base": (origin or {}).get("base") or "not stated in the file",
        "licence": (origin or {}).get("licence") or "not stated in the file: that of the base model applies",
        "source_file": gguf.name,
        "megabytes": f"{model.stat().st_size / 1e6:.1f}",
        "context": context_size,
        "max_tokens": max_tokens,
        "facts": facts,
        "scores": scores,
    }
    files = [
        model,
        atomic_text(folder / "nornicdb.yaml", yaml_text(chosen, facts)),
        atomic_text(folder / "nornicdb.env.example", environment_text(chosen, facts)),
        write_json(folder / "question.json", {"messages": question}),
        atomic_text(folder / "actions.gbnf", actions.grammar(max(max_tokens, actions.SHORTEST))),
        atomic_text(folder / "Modelfile", texts.modelfile(**fill)),
        atomic_text(folder / "serve.sh", texts.serve_script(**fill)),
        atomic_text(folder / "LICENSE", bundle.licence_text((origin or {}).get("licence", ""))),
        atomic_text(folder / "README.md", texts.readme(**fill)),
        atomic_text(folder / "MODEL_CARD.md", texts.model_card(**fill)),
    ]
    return [*files, bundle.seal(folder)]


def origin_of(gguf_file: Path) -> dict[str, str]:
    """What a GGUF file says of its base model and licence, empty texts where it says nothing.

    Raises BadInput when it cannot be read.
    """
    import gguf

    try:
        fields = gguf.GGUFReader(str(gguf_file)).fields
    except Exception:  # the reader has no error of its own
        raise BadInput("is not a complete GGUF file", str(gguf_file), "Run stage 04 again.") from None
    keys = {"base": "general.base_model.0.name", "licence": "general.license"}
    return {name: str(fields[key].contents()) if key in fields else "" for name, key in keys.items()}


def place(source: Path, target: Path) -> Path:
    """Put a GGUF file at `target`: a hard link, or a copy; what stood there is replaced at once.

    Raises BadInput when `source` is missing or does not begin as a GGUF file.
    """
    try:
        with source.open("rb") as handle:
            magic = handle.read(4)
    except OSError as problem:
        raise BadInput(f"cannot be read ({problem.strerror})", str(source), "Run stage 04 first.") from None
    if magic != b"GGUF":
        raise BadInput("is not a GGUF file", str(source), "Run stage 04 again.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(source):
        return target
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    return target


def answer(
    gguf: Path, question: str, schema: str, context_size: int, max_tokens: int = 192, task: str = "cypher"
) -> Completion:
    """One question answered by the deployed file, with the context it is deployed with: the smoke test."""
    from heimdall_nb.models.llamacpp import LlamaCppModel

    model = LlamaCppModel(gguf, context=context_size)
    try:
        return model.complete([prompts.conversation(question, schema, task)], max_new_tokens=max_tokens)[0]
    finally:
        model.close()
