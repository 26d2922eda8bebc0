"""Words for queries in plain English: of functions, comparisons and names; and small helpers for lists and maps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.dataset.words import listed, plural
from heimdall_nb.engines.cypher_patterns import split
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol

# Function in lower case -> its English with {} for each argument. Others are named as they stand.
FUNCTIONS = {
    "sum": "the total of {}",
    "avg": "the average of {}",
    "min": "the lowest of {}",
    "max": "the highest of {}",
    "collect": "the list of {}",
    "size": "the size of {}",
    "length": "the length of {}",
    "toupper": "{} in upper case",
    "tolower": "{} in lower case",
    "trim": "{} without spaces around it",
    "tointeger": "{} as an integer",
    "tofloat": "{} as a float",
    "tostring": "{} as text",
    "toboolean": "{} as a boolean",
    "labels": "the labels of {}",
    "type": "the type of {}",
    "id": "the id of {}",
    "elementid": "the element id of {}",
    "keys": "the property keys of {}",
    "properties": "all properties of {}",
    "nodes": "the nodes of {}",
    "relationships": "the relationships of {}",
    "startnode": "the start node of {}",
    "endnode": "the end node of {}",
    "head": "the first element of {}",
    "last": "the last element of {}",
    "tail": "all but the first element of {}",
    "reverse": "{} reversed",
    "abs": "the absolute value of {}",
    "round": "{} rounded",
    "ceil": "{} rounded up",
    "floor": "{} rounded down",
    "sqrt": "the square root of {}",
    "sign": "the sign of {}",
    "rand": "a random number",
    "timestamp": "the current timestamp",
    "exists": "{} exists",
    "date": "the date {}",
    "datetime": "the date and time {}",
    "duration": "the duration {}",
}
CURRENT = {"date": "today's date", "datetime": "the current date and time"}
COMPARISONS = {
    "=": "is",
    "<>": "is not",
    ">": "is greater than",
    "<": "is less than",
    ">=": "is at least",
    "<=": "is at most",
    "=~": "matches the regular expression",
}
SUMS = {"+": "plus", "-": "minus", "||": "joined with"}
PRODUCTS = {"*": "times", "/": "divided by", "%": "modulo"}
QUANTIFIERS = {"ALL": "every", "ANY": "at least one", "NONE": "no", "SINGLE": "exactly one"}
TEMPORAL_PARTS = ("date", "datetime", "duration")


class NotUnderstood(Exception):
    """The query holds something that has no English here. The message names no literal."""


@dataclass(frozen=True)
class Ref:
    """What a variable stands for: its noun with article (`the person`, `person A`, `n`) and its labels or types."""

    the: str
    names: tuple[str, ...] = ()
    kind: str = "value"  # node, link or value


Scope = dict[str, Ref]


@dataclass(frozen=True)
class Names:
    """The words for names: those of the schema, or the names as they stand where there is none."""

    schema: GraphSchema | None = None

    def label(self, name: str) -> str:
        label = self.schema.labels.get(name) if self.schema else None
        return label.words if label else name

    def plural(self, name: str) -> str:
        label = self.schema.labels.get(name) if self.schema else None
        return label.plural if label else plural(name)

    def property(self, owners: Sequence[str], name: str) -> str:
        """The words of a property: of its owner where that is known, else the name."""
        if self.schema:
            holders = [self.schema.labels[o] for o in owners if o in self.schema.labels]
            links = [r for r in self.schema.relationships if r.type in owners]
            for holder in (*holders, *links):
                if name in holder.properties:
                    return holder.properties[name].words
        return name


@dataclass
class Spoken:
    """The English of an expression; `owner` and `words` where it is one property, `aggregate` where it sums up."""

    text: str
    owner: str = ""
    words: str = ""
    name: str = ""
    aggregate: bool = False


def pairs(group: Group) -> list[tuple[str, Sequence[Item]]]:
    """The keys and values of a map. Raises NotUnderstood where an entry has no key."""
    found = []
    for part in split(group.items):
        if len(part) < 3 or not named(part[0]) or not symbol(part[1], ":"):
            raise NotUnderstood("a map")
        found.append((part[0].text, part[2:]))
    return found


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def text_of(token: Token) -> str:
    """The value of a string token: its escapes undone."""

    def undo(match: re.Match[str]) -> str:
        code = match.group(1)
        return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPES.get(code, code)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", undo, token.text, flags=re.DOTALL)


def there_is(pattern: str) -> str:
    """A pattern as a condition: one that starts with a new node needs a verb."""
    return f"there is {pattern}" if pattern.startswith(("a ", "an ")) else pattern


def item_at(items: Sequence[Item], place: int) -> Item | None:
    """The item at a place; None outside."""
    return items[place] if 0 <= place < len(items) else None


def place_of(items: Sequence[Item], text: str) -> int:
    """Where the symbol `text` stands. Raises NotUnderstood where it does not."""
    found = next((k for k, item in enumerate(items) if symbol(item, text)), None)
    if found is None:
        raise NotUnderstood(f"a list without {text}")
    return found


def merged(said: list[tuple[Spoken, str]]) -> list[str]:
    """The columns as texts; neighbours that are properties of one thing share its name: `the name and age of x`."""
    texts: list[str] = []
    run: list[Spoken] = []
    for spoken, alias in [*said, (Spoken(""), "")]:
        if run and (spoken.owner != run[0].owner or alias):
            texts.append(f"the {listed([item.words for item in run])} of {run[0].owner}")
            run = []
        if spoken.owner and not alias:
            run.append(spoken)
        elif spoken.text:
            texts.append(f"{spoken.text}{alias}")
    return texts
