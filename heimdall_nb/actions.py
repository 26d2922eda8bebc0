"""The answers that NornicDB's server acts on: one JSON object with an action and its parameters.

Which actions there are and how a value of each parameter looks is data (`data/actions.yaml`, held against the fact
pack). The server reads an answer from its first `{` to its last `}`; so does `read`. `grammar` is GBNF under which
every answer is such an object, and ends before the tokens run out: a token brings one byte at least, so the texts in it
are bounded in bytes, which general converters of JSON schemas cannot do (they bound characters).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from typing import Any

import yaml

from heimdall_nb.errors import BadInput
from heimdall_nb.facts import FactPack, load_pack
from heimdall_nb.run import DATA

TASK = "nornicdb"  # of prompts.TASKS: answers in this form
QUERY = "heimdall.watcher.query"
SHORTEST = 160  # new tokens below which the longest frame leaves no room for a text
LABELS = 3  # most names in a list of node types
COMMA, NOTHING = ' ", " ', '""'  # in GBNF

_TYPES: dict[str, tuple[type, ...]] = {"text": (str,), "integer": (int,), "number": (int, float), "list": (list,)}


@dataclass(frozen=True)
class Action:
    """An action and its parameters, as an answer holds them."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """The JSON that the server reads."""
        return json.dumps({"action": self.name, "params": dict(self.params)}, ensure_ascii=False)

    @property
    def cypher(self) -> str:
        """The query of a query action; empty for another action."""
        found = self.params.get("cypher", "") if self.name == QUERY else ""
        return found if isinstance(found, str) else ""


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """`data/actions.yaml`: how values look, the actions with their questions, and the values of slots."""
    return yaml.safe_load((DATA / "actions.yaml").read_text(encoding="utf-8"))


def names() -> list[str]:
    """The actions of the server, in the file's order."""
    return list(document()["actions"])


def parameters(name: str) -> list[str]:
    """The parameters that we know of an action, in their order."""
    return document()["actions"][name].get("parameters", [])


def signature(name: str) -> str:
    """An action as a list in a prompt names it: `heimdall.watcher.events(limit)`."""
    return f"{name}({', '.join(parameters(name))})"


def read(text: str) -> Action | str:
    """The action in an answer, or what is wrong with it: it holds no JSON object with `action` and `params`."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return "holds no JSON object"
    try:
        found = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return "holds no JSON object that can be read"
    if not isinstance(found, dict) or not isinstance(found.get("action"), str):
        return "names no action"
    params = found.get("params", {})
    return Action(found["action"], params) if isinstance(params, dict) else "has params that are no object"


def faults(action: Action, pack: FactPack | None = None) -> list[str]:
    """What the server would not take: an unknown action, a parameter that is missing, unknown or out of its limits."""
    if action.name not in document()["actions"]:
        return [f"there is no action {action.name!r}"]
    wanted = (pack or load_pack()).fact(action.name).arguments
    known = {argument.rstrip("?") for argument in wanted}
    missing = [name for name in wanted if not name.endswith("?") and name not in action.params]
    found = [f"{name} is missing" for name in missing]
    found += [f"there is no parameter {name!r}" for name in action.params if name not in known]
    return found + [what for name, value in action.params.items() if name in known and (what := _value(name, value))]


def _value(name: str, value: Any) -> str:
    """What is wrong with the value of a parameter; empty where nothing is, or where nothing is known of it."""
    spec = document()["parameters"].get(name)
    if spec is None:
        return ""
    if not isinstance(value, _TYPES[spec["type"]]) or isinstance(value, bool):
        return f"{name} must be {spec['type']}"
    if value not in spec.get("choices", [value]):
        return f"{name} is none of {', '.join(spec['choices'])}"
    if "most" in spec and not spec["least"] <= value <= spec["most"]:
        return f"{name} is not between {spec['least']} and {spec['most']}"
    return ""


def same(gold: Action, given: Action) -> bool:
    """Whether two actions ask for the same: name and parameters; white space at the ends of texts aside."""
    return gold.name == given.name and _plain(gold.params) == _plain(given.params)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(str, map(_plain, value)))
    return value.strip() if isinstance(value, str) else value


@lru_cache(maxsize=8)
def grammar(max_new_tokens: int) -> str:
    """GBNF of one action with all that it must have, whose end comes within `max_new_tokens` tokens for any model.

    A text counts in bytes: 1 for a plain character, 2 for an escaped one, 4 for any other. `text-n` takes up to n, and
    leads to `text-m` with what is left. Raises BadInput where the tokens leave no room.
    """
    if max_new_tokens < SHORTEST:
        raise BadInput(f"{max_new_tokens} leave no room for an action", "--max-new-tokens", f"Give {SHORTEST} or more.")
    writer = _Grammar(max_new_tokens - 1)  # the last token ends the answer
    branches = [writer.action(name) for name in names()]
    return "\n".join([f"root ::= {' | '.join(branches)}", *writer.rules()]) + "\n"


class _Grammar:
    """Writes the rules of actions whose texts share the room that the rest leaves."""

    def __init__(self, room: int) -> None:
        self.room, self.longest = room, 0

    def action(self, name: str) -> str:
        """One action: its required parameters, then any of the optional ones, in their order."""
        wanted = load_pack().fact(name).arguments
        needed = [key for key in parameters(name) if key in wanted]
        free = [key for key in parameters(name) if key not in needed]
        head = f'{{"action": "{name}", "params": {{'
        used = parameters(name)
        frame = len(head) + len("}}") + sum(map(_frame, used)) - 2 * bool(used)  # no comma before the first
        left = self.room - frame
        if needed:
            body = COMMA.join(self.parameter(key, left) for key in needed)
            body += "".join(f" ({COMMA} {self.parameter(key, left)})?" for key in free)
        else:
            ways = [some for number in range(len(free) + 1) for some in combinations(free, number)]
            body = " | ".join(COMMA.join(self.parameter(key, left) for key in way) or NOTHING for way in ways)
        return f"{_quoted(head)} ({body}) {_quoted('}}')}"

    def parameter(self, key: str, left: int) -> str:
        """A parameter with its value; texts take their share of the bytes that are `left`."""
        spec = document()["parameters"][key]
        if "choices" in spec:
            inner = f"({' | '.join(_quoted(json.dumps(choice)) for choice in spec['choices'])})"
        elif "form" in spec:
            inner = f"({spec['form']})"
        elif spec["type"] == "text":
            inner = self.text(int(left * spec["share"]))
        else:
            item = self.text(int(left * spec["share"] / LABELS))
            inner = f'"[" {item} (", " {item}){{0,{LABELS - 1}}} "]"'
        return f"{_quoted(json.dumps(key) + ': ')} {inner}"

    def text(self, size: int) -> str:
        """A JSON text of at most `size` bytes between its quotes; an empty one where there is no room."""
        self.longest = max(self.longest, size)
        return rf'"\"" text-{max(size, 0)} "\""'

    def rules(self) -> Sequence[str]:
        """The rules of texts, from none to the longest, and of the characters in them."""
        found = ["plain ::= [ !#-\\x5B\\x5D-~]", 'escaped ::= "\\\\" ["\\\\nt]', "other ::= [\\x80-\\U0010FFFF]"]
        for size in range(self.longest + 1):
            ways = [(1, "plain"), (2, "escaped"), (4, "other")]
            tails = [f"{kind} text-{size - bytes_}" for bytes_, kind in ways if bytes_ <= size]
            found.append(f"text-{size} ::= {' | '.join([NOTHING, *tails])}")
        return found


def _frame(key: str) -> int:
    """The most bytes that a parameter takes beside what its texts hold."""
    spec = document()["parameters"][key]
    around = len(json.dumps(key)) + 4  # ": " and ", "
    if "choices" in spec:
        return around + max(len(choice) for choice in spec["choices"]) + 2
    if "form" in spec:
        return around + max(len(str(spec["most"])), 4)
    return around + 2 + (2 + 4 * LABELS if spec["type"] == "list" else 0)


def _quoted(text: str) -> str:
    """A text as GBNF writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
