"""Questions and answers of domain `coding`, from functions, cases and mistakes that are proven."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.sizes import context_size
from heimdall_nb.domains.coding_facts import facts, function_name, functions, parse
from heimdall_nb.domains.coding_problems import CODING, LANGUAGES
from heimdall_nb.domains.coding_prove import Proven, Wrong
from heimdall_nb.domains.coding_tests import Case, test_file, test_name
from heimdall_nb.domains.coding_values import call, result_literal
from heimdall_nb.prompts import conversation, render

INSTRUCTION = "Write, correct, explain or test a function."
TESTED = 4  # cases of a file of tests


def example(category: str, item: Proven, wrong: Sequence[Wrong], turn: int) -> Example | None:
    """The example of a category; None where it needs a mistake and there is none. `turn` chooses the style."""
    styles = asks()[category]
    style = list(styles)[turn % len(styles)]
    given: dict[str, str] = {"code": fenced(item.code, item.language)}
    if category == "generation":
        output = item.code
    elif category == "bug fixing":
        shown = next((w for w in wrong if w.fails), None) or next(iter(wrong), None)
        if shown is None:
            return None
        style = style if shown.fails else "review"  # what it returns is not known where it cannot be run
        output, given["code"] = item.code, fenced(shown.code, item.language)
        place = min(shown.fails, default=0)
        item = _first(item, place)
        given["wrong"] = result_literal(shown.fails.get(place), item.language)
    elif category == "explanation":
        output = explanation(item.code, item.task.says(), item.function, item.types, item.cases, item.language, style)
    else:
        kept = _killing(item, wrong)
        if not kept:
            return None
        output = test_file(item.code, item.function, item.types, kept, item.language)
    question = styles[style].format_map(_words(item) | given)
    return _record(category, style, item, question, output)


def explanation(
    code: str, says: str, function: str, types: Sequence[str], cases: Sequence[Case], language: str, style: str
) -> str:
    """An answer of a style: what the function does, what can be counted in it, and what it returns."""
    lines = []
    for part in asks()["answers"][style]:
        if part == "says":
            lines.append(f"`{function}` {says}.")
        elif part == "facts":
            lines += [f"{name} of `{function}`: {value}" for name, value in facts(code, language).items()]
        else:
            lines += [
                f"`{call(function, given, types, language)}` returns `{result_literal(result, language)}`"
                for given, result in cases[:part]
            ]
    return "\n".join(lines)


def fenced(code: str, language: str) -> str:
    """Code as a block of a question."""
    return f"```{language}\n{code}\n```"


def signature(code: str, language: str) -> str:
    """The head of the first function, without what only marks it as one."""
    node = next(functions(parse(code, language)))
    head = code.encode()[node.start_byte : node.child_by_field_name("body").start_byte].decode().strip()
    return head.removeprefix("def ").removeprefix("function ").removeprefix("func ").removesuffix(":").rstrip()


@lru_cache(maxsize=1)
def asks() -> dict[str, Any]:
    """The wordings of data/coding/asks.yaml."""
    return yaml.safe_load((CODING / "asks.yaml").read_text(encoding="utf-8"))


def _words(item: Proven) -> dict[str, str]:
    """What a question can be filled with."""
    name = test_name(function_name(item.code, item.language), item.language)
    found = {
        "language": LANGUAGES[item.language],
        "signature": signature(item.code, item.language),
        "says": item.task.says(),
        "form": asks()["forms"][item.language].format(test=name),
    }
    for place, suffix in enumerate(("", "2", "3")[: len(item.cases)]):
        found[f"call{suffix}"] = item.call(place)
        found[f"result{suffix}"] = result_literal(item.cases[place][1], item.language)
    return found


def _first(item: Proven, place: int) -> Proven:
    """The same with the case at `place` in front."""
    cases = (item.cases[place], *item.cases[:place], *item.cases[place + 1 :])
    return Proven(item.task, item.language, item.code, item.function, item.types, cases, item.check)


def _killing(item: Proven, wrong: Sequence[Wrong]) -> list[Case]:
    """TESTED cases, of which at least one fails for the first mistakes; none where there is no mistake."""
    if not wrong:
        return []
    first = dict.fromkeys(min(w.fails) for w in wrong if w.fails)
    last = len(item.cases) - 1  # the shortest calls stand there: the empty list, 0
    return [item.cases[k] for k in dict.fromkeys([*first, 0, last, 1, *range(len(item.cases))])][:TESTED]


def _record(category: str, style: str, item: Proven, question: str, output: str) -> Example:
    expected = {"function": item.function, "types": item.types, "cases": item.cases}
    whole = render(conversation(question, task=INSTRUCTION, answer=output), generation_prompt=False)
    return Example(
        instruction=INSTRUCTION,
        input=question,
        output=output,
        category=category,
        context_size=context_size(len(whole)),
        part="coding",
        template=item.task.problem.name,
        style=style,
        dialect=item.language,
        check=item.check,
        answer=json.dumps(expected, ensure_ascii=False),
    ).with_id()
