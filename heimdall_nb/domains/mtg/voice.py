"""Names of players in sentences: `I`, `my opponent` or a name in a question, `you` in the answer to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PLACE = re.compile(r"\{(\w+)(?::(\w+)|('s)|(!))?\}")
_IRREGULAR = {"has": "have", "is": "are", "does": "do", "tries": "try", "passes": "pass", "put": "put", "drew": "drew"}
_ANSWERED = {"I": "you", "my opponent": "your opponent"}


@dataclass(frozen=True)
class Voice:
    """How each player (A, B) is called. A question says `I`, where its answer says `you`."""

    names: Mapping[str, str]

    def answering(self) -> Voice:
        """The same players, seen by the judge who answers."""
        return Voice({key: _ANSWERED.get(name, name) for key, name in self.names.items()})

    def fill(self, text: str, values: Mapping[str, Any]) -> str:
        """`text` with its places filled; a value that is the key of a player becomes a name, with verb or case.

        Raises KeyError for a place without a value.
        """

        def put(match: re.Match[str]) -> str:
            field, verb, possessive, objective = match.groups()
            value = str(values.get(field, field) if field in self.names else values[field])
            if value not in self.names:
                return value
            name = self.names[value]
            if verb:
                return f"{name} {_agreeing(name, verb)}"
            if possessive:
                return {"I": "my", "you": "your"}.get(name, f"{name}'s")
            return "me" if objective and name == "I" else name

        return _PLACE.sub(put, text)

    def people(self, text: str) -> str:
        """`text` with the places of players filled and all other braces left as they are, such as mana symbols."""

        def put(match: re.Match[str]) -> str:
            return self.fill(match[0], {}) if match[1] in self.names else match[0]

        return _PLACE.sub(put, text)


def _agreeing(name: str, verb: str) -> str:
    """The verb of the third person, or the form that goes with I and you."""
    if name not in ("I", "you"):
        return verb
    if name == "I" and verb == "is":
        return "am"
    return _IRREGULAR.get(verb, verb.removesuffix("s"))


def sentence(text: str) -> str:
    """With a capital at the start."""
    return text[:1].upper() + text[1:]
