"""Personal and secret values in a query, replaced by neutral ones of the same type, the same ones each time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heimdall_nb.dataset.describe_words import text_of
from heimdall_nb.dataset.slots import literal
from heimdall_nb.dataset.words import split_identifier
from heimdall_nb.engines.cypher_tokens import Token, quoted, tokens

LONGEST_LIST = 8  # elements of a list that is put in for a parameter; vectors are longer

# Kind of value -> its pattern, in the order of search; what a pattern finds may stand within a longer text.
_PATTERNS = {
    "url with credentials": r"\b[a-zA-Z][\w+.-]*://[^\s/:@']+:[^\s/@']+@[^\s']*",
    "email": r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+",
    "token": r"\beyJ[\w-]{5,}\.[\w-]{5,}\.?[\w-]*",
    "key": r"\b(?:sk-|sk_|pk_|rk_|ghp_|gho_|ghs_|"
    r"github_pat_|glpat-|hf_|xox[abprs]-|AKIA|ASIA|AIza|Bearer )[\w./+-]{8,}",
    "uuid": r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b",
    "iban": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",
    "card": r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.])",
    "ip address": r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"
    r"|(?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F:]*[0-9a-fA-F]{1,4}\b"
    r"|(?<![\w:])(?:[0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}\b",
    "ssn": r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)",
    "long hex": r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{24,}\b",
    "base64": r"(?<![\w/+-])(?=[\w/+-]*\d)(?=[\w/+-]*[a-z])(?=[\w/+-]*[A-Z])[\w/+-]{24,}={0,2}",
    "phone": r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{1,5}\)[ .-]?)?\d{2,5}(?:[ ./-]?\d{2,5}){1,5}(?![\w.])",
}
_FOUND = {kind: re.compile(pattern) for kind, pattern in _PATTERNS.items()}

# Kind of value -> words of the property that holds it (whole words of the name, in lower case).
_BY_NAME = {
    "password": "password passwd pwd secret token credential credentials passphrase pin apikey otp salt",
    "ssn": "ssn passport nationalid taxid socialsecurity insurancenumber",
    "email": "email mail emails",
    "phone": "phone mobile telephone fax msisdn phones",
    "card": "creditcard cardnumber cvv cvc",
    "iban": "iban accountnumber bic",
    "birth": "birth birthday birthdate dob born",
    "address": "street postcode zipcode address homeaddress",
    "person": "firstname lastname surname forename fullname givenname familyname username nickname maidenname "
    "customername employeename patientname contactname middlename login",
}
_KIND_OF_NAME = {name: kind for kind, names in _BY_NAME.items() for name in names.split()}
_SECRET = frozenset(("password", "token", "key", "card", "iban", "ssn", "url with credentials", "long hex", "base64"))
_PEOPLE = frozenset(
    "person user customer employee author patient student teacher member contact people actor director client doctor "
    "manager friend owner seller buyer guest passenger reader lecturer colleague".split()
)

# Kind -> a neutral text with {} for a number. None of them is found again as another kind.
_TEXT = {
    "url with credentials": "https://example.com/{}",
    "email": "user{}@example.com",
    "token": "TOKEN-{}",
    "key": "KEY-{}",
    "uuid": "00000000-0000-4000-8000-{:012d}",
    "iban": "IBAN-{}",
    "card": "CARD-{}",
    "ip address": "192.0.2.{}",
    "ssn": "SSN-{}",
    "long hex": "HEX-{}",
    "base64": "BASE64-{}",
    "phone": "PHONE-{}",
    "password": "SECRET-{}",
    "birth": "1970-01-{:02d}",
    "address": "ADDRESS-{}",
    "person": "Person {}",
}
_PLACEHOLDER = {kind: re.compile(re.sub(r"\\\{.*?\\\}", r"\\d+", re.escape(form))) for kind, form in _TEXT.items()}
_NUMBERS = {"birth": 1970}  # the first neutral number; for others 1000001
_JOINS = frozenset("= <> < > <= >= =~ + += [ , ( : ) -".split())
_JOIN_WORDS = frozenset("IN STARTS ENDS WITH CONTAINS NOT".split())


@dataclass(frozen=True)
class Masked:
    """A query with neutral values, without comments, with single spaces; how many values of each kind went."""

    query: str
    counts: Counter[str]
    sound: bool = True  # false where a name itself looks personal or secret: nothing can be taken from the query


def mask(
    query: str,
    known: Collection[Any] = (),
    secrets_only: bool = False,
    parameters: Mapping[str, Any] | None = None,
) -> Masked:
    """Replace the values of `query` that look personal or secret, the same value by the same placeholder.

    `known` are values of a graph made for this course, which may stay where only the property's name speaks against
    them. With `secrets_only`, personal values stay and passwords, keys, cards and the like go. `parameters` are put
    in as literals; long lists, such as vectors, stay parameters.
    """
    items, masker = tokens(query), _Masker(known, secrets_only, parameters or {})
    texts = [masker.text(items, place) for place in range(len(items))]
    names = [item.text for item in items if item.kind in ("quoted", "word", "parameter")]
    sound = not any(_looks(name) for name in names)
    return Masked(_rebuilt(query, items, texts), masker.counts, sound)


def _looks(name: str) -> bool:
    return any(_FOUND[kind].search(name) and kind != "phone" for kind in _FOUND if kind != "base64")


def _rebuilt(query: str, items: Sequence[Token], texts: Sequence[str]) -> str:
    """The query with other token texts; comments and runs of white space become one space."""
    parts, end = [], 0
    for item, text in zip(items, texts, strict=True):
        parts.append(" " if item.start > end and end else "")
        parts.append(text)
        end = item.start + len(_raw(item))
    return "".join(parts)


def _raw(item: Token) -> str:
    if item.kind == "string":
        return f"'{item.text}'"
    return "`" + item.text.replace("`", "``") + "`" if item.kind == "quoted" else item.text


class _Masker:
    def __init__(self, known: Collection[Any], secrets_only: bool, parameters: Mapping[str, Any]) -> None:
        self.known, self.secrets_only, self.parameters = known, secrets_only, parameters
        self.counts: Counter[str] = Counter()
        self.given: dict[tuple[str, Any], str] = {}

    def text(self, items: Sequence[Token], place: int) -> str:
        """The token's text in the masked query."""
        item = items[place]
        if item.kind == "number":
            return self._number(item.text, self._kind(items, place, item.text))
        if item.kind == "string":
            value = text_of(item)
            masked = self._string(value, self._kind(items, place, value))
            return literal(masked) if masked != value else "'" + _single_quoted(item) + "'"
        name = item.text[1:].strip("`")
        if item.kind == "parameter" and name in self.parameters and _short(self.parameters[name]):
            return self._value(self.parameters[name], lambda v: self._kind(items, place, str(v)) or _named_kind(name))
        return _raw(item)

    def _value(self, value: Any, kind_of: Callable[[Any], str]) -> str:
        """The value of a parameter as a masked literal."""
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, list):
            return "[" + ", ".join(self._value(item, kind_of) for item in value) + "]"
        if isinstance(value, dict):
            said = (f"{quoted(k)}: {self._value(v, lambda _, k=k: _kind_in_map(k))}" for k, v in value.items())
            return "{" + ", ".join(said) + "}"
        if isinstance(value, str):
            return literal(self._string(value, kind_of(value)))
        return self._number(repr(value), kind_of(value))

    def _string(self, value: str, kind: str) -> str:
        if kind and not self._keeps(kind) and value.strip():
            return self._neutral(kind, value)
        pieces = [(value, False)]  # text, and whether it is a placeholder, which is not searched again
        for kind in _FOUND:
            if not self._keeps(kind):
                pieces = [new for text, done in pieces for new in ([(text, True)] if done else self._cut(kind, text))]
        return "".join(text for text, _ in pieces)

    def _cut(self, kind: str, text: str) -> list[tuple[str, bool]]:
        """The text cut at what the pattern of a kind finds, which is replaced."""
        pieces, end = [], 0
        for match in _FOUND[kind].finditer(text):
            if _is(kind, match.group()):
                pieces += [(text[end : match.start()], False), (self._neutral(kind, match.group()), True)]
                end = match.end()
        return [*pieces, (text[end:], False)]

    def _keeps(self, kind: str) -> bool:
        return self.secrets_only and kind not in _SECRET

    def _neutral(self, kind: str, value: str) -> str:
        key = (kind, value)
        if key not in self.given:
            number = sum(1 for known, _ in self.given if known == kind) + 1
            self.given[key] = _TEXT[kind].format(number)
        if not _PLACEHOLDER[kind].fullmatch(value):
            self.counts[kind] += 1
        return self.given[key]

    def _number(self, text: str, kind: str) -> str:
        digits = text if text.isdecimal() and len(text) < 20 else ""
        kind = kind or ("card" if 13 <= len(digits) <= 19 and _luhn(digits) else "")
        if not digits or not kind or self._keeps(kind) or kind in ("person", "address"):
            return text
        first = _NUMBERS.get(kind, 1000001)
        if (kind, int(text)) not in self.given:
            number = sum(1 for known, value in self.given if known == kind and isinstance(value, int))
            self.given[kind, int(text)] = str(first + number)
        self.counts[kind] += 1
        return self.given[kind, int(text)]

    def _kind(self, items: Sequence[Token], place: int, value: str) -> str:
        """The kind that the name of the literal's property tells; empty for none, or where the value is known."""
        name, variable = _property(items, place)
        kind = _named_kind(name)
        if not kind and name.lower() == "name" and items[place].kind != "number":
            labels = _labels(items, place, variable)
            kind = "person" if not labels or any(_PEOPLE & set(split_identifier(x).split()) for x in labels) else ""
        number = int(value) if value.isdecimal() and len(value) < 20 else value
        return "" if kind in ("person", "birth") and (value in self.known or number in self.known) else kind


def _short(value: Any) -> bool:
    return len(value) <= LONGEST_LIST if isinstance(value, list) else True


def _kind_in_map(name: str) -> str:
    return _named_kind(name) or ("person" if name.lower() == "name" else "")


def _named_kind(name: str) -> str:
    words = split_identifier(name).split()
    tries = [*words, *("".join(pair) for pair in zip(words, words[1:], strict=False)), "".join(words)]
    return next((_KIND_OF_NAME[text] for text in tries if text in _KIND_OF_NAME), "")


def _property(items: Sequence[Token], place: int) -> tuple[str, str]:
    """The property that the literal at `place` is compared with or set to, and the variable before it."""
    at = place - 1
    while at >= 0:
        item = items[at]
        if item.name and at and items[at - 1].text == "." and items[at - 1].kind == "symbol":
            return item.text, items[at - 2].text if at > 1 else ""
        if item.name and at + 1 < len(items) and items[at + 1].text == ":" and items[at - 1].text in ("{", ","):
            return item.text, ""
        joins = (item.kind == "symbol" and item.text in _JOINS) or item.kind in ("string", "number")
        function = item.kind == "word" and items[at + 1].text == "("
        if not joins and not function and not item.is_word(*_JOIN_WORDS):
            break
        at -= 1
    after = items[place + 1 : place + 8]
    if after and (after[0].is_word("IN") or after[0].text in ("=", "<>", "<", ">", "<=", ">=")):
        for k, item in enumerate(after[:-1]):
            if item.text == "." and item.kind == "symbol" and after[k + 1].name:
                return after[k + 1].text, after[k - 1].text
    return "", ""


def _labels(items: Sequence[Token], place: int, variable: str) -> list[str]:
    """The labels of a variable, or of the node whose map the literal stands in."""
    found = []
    for k in range(1, len(items) - 1):
        if items[k].text == ":" and items[k].kind == "symbol" and items[k + 1].name:
            if variable and items[k - 1].text == variable:
                found.append(items[k + 1].text)
    if not variable:
        at = place
        while at > 0 and items[at].text != "{":
            at -= 1
        if at > 1 and items[at - 1].name and items[at - 2].text == ":":
            found.append(items[at - 1].text)
    return found


def _is(kind: str, found: str) -> bool:
    """Whether a text that has the form of a kind is one."""
    digits = re.sub(r"\D", "", found)
    if kind == "card":
        return _luhn(digits)
    if kind == "iban":
        return _iban(found.replace(" ", ""))
    if kind == "phone":
        date = re.fullmatch(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}", found)
        return not date and (len(digits) >= 9 or (found[0] == "+" and len(digits) >= 7)) and len(digits) <= 16
    if kind == "ip address" and "." in found:
        return all(int(part) < 256 for part in found.split("."))
    return True


def _luhn(digits: str) -> bool:
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [int(d) * 2 for d in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(n - 9 if n > 9 else n for n in doubled)) % 10 == 0


def _iban(text: str) -> bool:
    moved = text[4:] + text[:4]
    return 15 <= len(text) <= 34 and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _single_quoted(item: Token) -> str:
    """The text of a string token for single quotation marks."""
    return re.sub(r"\\.|'", lambda m: "\\'" if m.group() == "'" else m.group(), item.text, flags=re.DOTALL)
