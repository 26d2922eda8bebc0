"""Repairs of a dataset's records that need no judgement: what is missing follows from what is there."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from functools import lru_cache
from typing import Any

from heimdall_nb.dataset.example import REQUIRED, Example, has_own_id
from heimdall_nb.dataset.sizes import CONTEXT_SIZES, context_size
from heimdall_nb.dataset.templates import PARTS, templates
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS, conversation, render

_DEFAULTS = {field.name: field.default for field in fields(Example) if field.default is not MISSING}
_NULLABLE = ("graph", "answer")


def repaired(record: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A record with what can be mended, and the names of the repairs.

    white space: at the ends of texts. input: missing, where the instruction holds the question. category: missing,
    where the template is known. context_size: missing or unknown. null: in an optional text. unknown field: taken out,
    unless a required field is missing, which it may be meant for. Anything else stays as it is.
    """
    found, done = dict(record), []
    complete = all(name in found for name in REQUIRED)
    for name, value in record.items():
        if complete and name not in REQUIRED and name not in _DEFAULTS:
            del found[name]
            done.append("unknown field")
        elif value is None and name in _DEFAULTS and name not in _NULLABLE:
            del found[name]
            done.append("null")
        elif isinstance(value, str) and (stripped := _stripped(name, value)) != value:
            found[name] = stripped
            done.append("white space")
    instruction = found.get("instruction")
    if "input" not in found and isinstance(instruction, str) and instruction and instruction not in TASKS.values():
        found["input"] = ""
        done.append("input")
    family = _families().get(found.get("template", "")) if isinstance(found.get("template"), str) else None
    if found.get("category", "") == "" and family:
        found["category"] = family
        done.append("category")
    texts = [found.get(name) for name in ("instruction", "input", "output", "category")]
    if all(isinstance(text, str) for text in texts) and _no_size(found.get("context_size", "")):
        found["context_size"] = CONTEXT_SIZES[0]
        done.append("context_size")  # its value follows in `refreshed`
    return found, list(dict.fromkeys(done))


def refreshed(example: Example, repairs: list[str]) -> Example:
    """The example with a context size that was missing, and with an id that fits; `repairs` gains `id` where it did
    not."""
    if "context_size" in repairs:
        prompt = conversation(example.question, example.schema, example.task, example.output)
        query = example.output if example.task == "cypher" else ""
        size = context_size(len(render(prompt, generation_prompt=False)), query)
        example = replace(example, context_size=size)
    if has_own_id(example) and example.id != (fresh := example.with_id()).id:
        repairs.append("id")
        return fresh
    return example


def _stripped(name: str, value: str) -> str:
    return value.lstrip("\r\n").rstrip() if name in ("output", "schema") else value.strip()


def _no_size(value: Any) -> bool:
    return isinstance(value, str) and value not in CONTEXT_SIZES


@lru_cache(maxsize=1)
def _families() -> dict[str, str]:
    """Template -> family, for the names that one family has."""
    found: dict[str, set[str]] = {}
    for part in PARTS:
        try:
            for template in templates(part).values():
                found.setdefault(template.name, set()).add(template.family)
        except BadInput:
            continue  # a part without templates
    return {name: min(names) for name, names in found.items() if len(names) == 1}
