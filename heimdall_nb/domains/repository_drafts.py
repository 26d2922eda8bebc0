"""The questions that a unit of a repository gives, each with the answer that its source holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.sizes import context_size
from heimdall_nb.domains.repository_links import Links
from heimdall_nb.domains.repository_rules import Rules, pattern, tables
from heimdall_nb.domains.repository_source import ErrorSite, Unit


@dataclass(frozen=True)
class Draft:
    """A question and its answer, before one of several is chosen: `unit` is what the answer was read from."""

    category: str
    form: str
    question: str
    answer: str
    unit: Unit

    def example(self, language: str) -> Example:
        """The record. `template` is the file, so that a test of held-out templates is one of unseen files."""
        instruction = tables()["categories"][self.category]["instruction"]
        return Example(
            instruction=instruction,
            input=self.question,
            output=self.answer,
            category=self.category,
            context_size=context_size(len(instruction) + len(self.question) + len(self.answer)),
            part="repository",
            template=self.unit.file,
            style=self.form,
            dialect=language,
            check=f"source:{self.unit.file}#L{self.unit.first}-L{self.unit.last}",
        ).with_id()

    def too_long(self) -> bool:
        return len(self.question) + len(self.answer) > tables()["limits"]["example_characters"]


def drafts(category: str, unit: Unit, rules: Rules, links: Links) -> Iterator[list[Draft]]:
    """The drafts of a category that a unit gives. Each list holds alternatives, of which one example is made."""
    if unit.secret or unit.last - unit.first >= tables()["limits"]["unit_lines"]:
        return
    for form, alternatives in _MAKERS[category](unit, rules, links):
        question = tables()["categories"][category]["forms"][form]
        about = {
            "title": rules.table["title"],
            "noun": "method" if unit.owner else "function",
            "name": unit.title,
            "file": unit.file,
            "signature": unit.signature,
            "code": unit.code,
            "doc": unit.doc,
            "bare": unit.bare,
        }
        yield [Draft(category, form, question.format(**about | more), answer, unit) for more, answer in alternatives]


Made = Iterator[tuple[str, list[tuple[dict[str, str], str]]]]  # form -> alternatives: more of the question, the answer


def _implementation(unit: Unit, rules: Rules, links: Links) -> Made:
    if _documented(unit, rules):
        yield "write", [({}, unit.code)]


def _documentation(unit: Unit, rules: Rules, links: Links) -> Made:
    if _documented(unit, rules) and unit.bare:
        yield "describe", [({}, unit.doc)]


def _types(unit: Unit, rules: Rules, links: Links) -> Made:
    if unit.kind != "type" or unit.in_test_file:
        return
    for form, parts in (("fields", unit.fields), ("methods", unit.methods)):
        if parts:
            yield form, [({}, "\n".join((f"The {form} of `{unit.title}`:", *(f"- `{part}`" for part in parts))))]


def _tests(unit: Unit, rules: Rules, links: Links) -> Made:
    """A test of the function that its name speaks of, else of the first that it calls."""
    if unit.kind != "test":
        return
    called = [target for call in unit.calls if _usable(target := links.find(call.path, call.exact))]
    if called:
        name = _letters(unit.name)
        named = [target for target in called if len(target.name) > 2 and _letters(target.name) in name]
        target = max(named, key=lambda item: len(item.name)) if named else called[0]
        more = {"name": target.title, "code": target.code}
        yield "test", [({"test": unit.name, "test_file": unit.file} | more, unit.code)]


def _usage(unit: Unit, rules: Rules, links: Links) -> Made:
    """The first call of each function and each constructor that a function or test calls itself."""
    seen = {unit.path}
    for call in unit.calls if unit.kind != "type" else ():
        target = links.find(call.path, call.exact) if call.own and call.statement else None
        if _usable(target) and target.path not in seen:
            seen.add(target.path)
            about = {"caller": unit.title, "caller_file": unit.file}
            more = {"name": target.title, "file": target.file, "signature": target.signature}
            yield "call", [(about | more, call.statement)]


def _errors(unit: Unit, rules: Rules, links: Links) -> Made:
    if unit.errors and unit.kind == "function" and not unit.in_test_file:
        yield "errors", [({}, "\n".join(map(_error, unit.errors)))]


def _completion(unit: Unit, rules: Rules, links: Links) -> Made:
    """After each line of the body but the last ones: what follows is at least two lines."""
    if not _does_something(unit, rules):
        return
    lines = unit.code.split("\n")
    cuts = [cut for cut in range(unit.head + 1, len(lines) - 1) if lines[cut].strip() and lines[cut - 1].strip()]
    if cuts:
        yield "complete", [({"shown": "\n".join(lines[:cut])}, "\n".join(lines[cut:])) for cut in cuts]


_MAKERS: dict[str, Callable[[Unit, Rules, Links], Made]] = {
    "function_implementation": _implementation,
    "documentation": _documentation,
    "type_definition": _types,
    "test_pattern": _tests,
    "api_usage": _usage,
    "error_handling": _errors,
    "completion": _completion,
}


def _does_something(unit: Unit, rules: Rules) -> bool:
    """A function whose body stands on lines of its own and is more than a place-holder."""
    if unit.kind != "function" or unit.in_test_file or unit.head < 1:
        return False
    body = "\n".join(unit.code.split("\n")[unit.head :]).strip().rstrip("};").strip()
    return bool(body) and pattern(rules.table["trivial"]).match(body) is None


def _documented(unit: Unit, rules: Rules) -> bool:
    return _does_something(unit, rules) and len(unit.doc.split()) >= tables()["limits"]["doc_words"]


def _usable(target: Unit | None) -> bool:
    return target is not None and not target.secret and not target.in_test_file


def _letters(name: str) -> str:
    """A name in any style of writing: `test_add_all`, `TestAddAll` and `adds all` share their letters."""
    return "".join(filter(str.isalnum, name)).lower()


def _error(site: ErrorSite) -> str:
    what = f"`{site.what}`" if site.what else "again what was caught"
    return f"- line {site.line}: {site.verb} {what}" + (f", under `{site.condition}`" if site.condition else "")
