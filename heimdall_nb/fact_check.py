"""Does an answer name only what a version of NornicDB knows: procedures, columns, functions, keys, flags, paths …?

An answer may be Cypher, YAML, shell, Go, JSON, prose, or prose with fenced blocks. A wrong name is allowed in prose
only when its sentence says that it does not work. `MARKS` holds the wordings that count:

    is/are [silently, …] not read, supported, accepted, known, valid, recognised, available, implemented, routed
    is/are refused, rejected, ignored, unknown, unsupported, invalid
    does/do not exist, read, know, support, accept, work, use;  does/do nothing
    has/have no effect, there is/are no, has/have/knows no, no such, no Cypher, instead of

A sentence ends at `.`, `;`, `!` or `?` with white space behind it, and at the end of a line. Names in code blocks and
in statements are never excused. BEGIN … COMMIT in one block passes when the answer says that the statements are
separate (`separate`, `one by one`, `one after`, `on its own`, `of their own`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from heimdall_nb.engines.cypher_tokens import Token, tokens
from heimdall_nb.fact_forms import ACCEPTED, NEXT, REFUSED, REFUSED_IN_PROSE, SCHEMA, SUSPECT
from heimdall_nb.fact_text import CYPHER, INLINE, segments, sentences
from heimdall_nb.facts import Fact, FactPack

MARKS = re.compile(
    r"\b(?:(?:is|are|was|were|being) (?:\w+ ){0,2}?(?:not (?:\w+ )?(?:read|supported|accepted|known|valid|recognised|"
    r"available|implemented|routed)|refused|rejected|ignored|unknown|unsupported|invalid)"
    r"|(?:does|do) (?:not (?:exist|read|know|support|accept|work|use)|nothing)"
    r"|(?:there is|there are|has|have|knows) no|no such|no Cypher|instead of)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Unknown:
    """One thing that an answer names and the pack does not know as working."""

    kind: str  # procedure, column, function, statement, setting, variable, flag, command, endpoint or action
    name: str
    what: str


def unknown(answer: str, pack: FactPack) -> list[Unknown]:
    """What `answer` names and `pack` does not know, each once, in the answer's order by kind of text. Never raises."""
    return list(dict.fromkeys(_walk(answer, pack).unknown))


def used(answer: str, pack: FactPack) -> list[str]:
    """The ids of the facts that `answer` names (procedures, functions, keys, variables, flags …), each once."""
    return list(dict.fromkeys(_walk(answer, pack).used))


# --- what the pack knows, in the form that the checks need

_DOTTED = re.compile(
    r"(?<![\w./@$-])(?:db|dbms|apoc|gds|tx|nornicdb|algo|kalman|vector)(?:\.[A-Za-z]\w*)+(?P<end>\(|\.\*)?"
)
_FILES = frozenset(
    "yaml yml go md json log gguf txt so db py crt key com org io dev exe service sh svg html css csv ts js".split()
)
_VARIABLE = re.compile(r"\bNORNICDB_[A-Z0-9_]*[A-Z0-9]\b(?!_?\*|<|\{)")
_ACTION = re.compile(r"\bheimdall(?:\.watcher\.|_watcher_)\w+")
_PATH = re.compile(
    r"(?:\b(?:GET|POST|PUT|PATCH|DELETE) +|https?://(?:localhost|127\.0\.0\.1)(?::(?!11434)\d+)?|(?<![\w:./-]))(/[\w{}<>$.:-]+(?:/[\w{}<>$.:-]*)*)"
)
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_OTHER_TOOLS = re.compile(
    r"\b(?:docker|curl|git|pip|python|kubectl|make|cmake|llama\S*|go (?:build|run|test)|heimdall [a-z]+)\b"
)
_APART = re.compile(r"\bseparate|\bone by one\b|\bone after\b|\bon its own\b|\bof (?:its|their) own\b")
_NORNICDB = re.compile(
    r"(?:^|[;&|(]|\$|\b(?:sudo|exec))[ \t]*(?:\w+=\S*[ \t]+)*(?:[./~]\S*/)?nornicdb[ \t]+([^\n|&;`)]+)", re.MULTILINE
)


class _Index:
    """A pack's names by what they are looked up for."""

    def __init__(self, pack: FactPack) -> None:
        self.pack = pack
        self.procedures, self.functions = pack.names("procedure"), pack.names("function")
        self.plain = {name.lower(): fact for name, fact in self.functions.items() if "." not in name}
        names = [*self.procedures, *self.functions]
        names += [str(choice) for fact in pack.of_kind("statement") for choice in fact.choices]
        self.prefixes = {name[:place] for name in names for place in _dots(name)}
        self.options = {str(choice) for fact in pack.of_kind("statement") for choice in fact.choices}
        self.not_read, self.settings = pack.names("not_read"), pack.names("setting")
        self.sections = {key[:place] for key in self.settings for place in _dots(key)}
        self.parents = self.sections | {key[:place] for key in self.not_read for place in _dots(key)}
        sections = {key.partition(".")[0] for key in [*self.settings, *self.not_read] if "." in key}
        self.key = re.compile(rf"(?<![\w./$-])(?:{'|'.join(sorted(sections))})(?:\.[a-z][a-z0-9_]*)+(?![\w(])")
        self.endpoints = [
            (re.compile(re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(path)) + "/?"), fact)
            for fact in pack.of_kind("endpoint")
            for path in [str(fact.value).partition(" ")[2]]
        ]
        roots = {str(fact.value).partition(" /")[2].partition("/")[0] for fact in pack.of_kind("endpoint")}
        self.roots = roots - {"", "health", "status", "metrics"}
        self.shows = {
            words[1] if words[1] != "COMPOSITE" else "COMPOSITE DATABASES": fact
            for fact in pack.of_kind("statement")
            for form in (str(fact.value), *map(str, fact.choices))
            if (words := form.split())[0] == "SHOW"
        }
        self.commands = {str(fact.value).split(" <")[0].split(" --")[0]: fact for fact in pack.of_kind("command")}
        self.flags = {(fact.of, fact.name): fact for fact in pack.of_kind("flag")}
        self.refused = {name: fact for name, fact in pack.names("refused").items()}


def _dots(name: str) -> list[int]:
    return [place for place, letter in enumerate(name) if letter == "."]


@lru_cache(maxsize=8)
def _index(pack: FactPack) -> _Index:
    return _Index(pack)


def _walk(answer: str, pack: FactPack) -> _Walk:
    walk = _Walk(_index(pack), apart="BEGIN" in answer and _APART.search(answer) is not None)
    for language, text in segments(answer):
        walk.segment(language, text)
    return walk


class _Walk:
    """One pass over an answer: what it names, known and unknown."""

    def __init__(self, index: _Index, apart: bool = False) -> None:
        self.index = index
        self.apart = apart  # the answer says that its statements are sent one by one
        self.unknown: list[Unknown] = []
        self.used: list[str] = []

    def segment(self, language: str, text: str) -> None:
        """Check one part of an answer."""
        if language == "prose":
            self.prose(text)
            return
        if language == "cypher":
            self.cypher(text)
        elif language == "yaml":
            self.yaml(text)
        elif language == "json":
            self.json(text)
        elif language in ("shell", "text"):
            self.commands(text)
            self.statements_in_json(text)
        if language != "cypher":
            self.anywhere(text, language)

    def known(self, fact: Fact | None, kind: str, name: str, what: str) -> None:
        if fact is None:
            self.unknown.append(Unknown(kind, name, what))
        else:
            self.used.append(fact.id)

    # --- names that look the same in every language

    def anywhere(self, text: str, language: str) -> None:
        """Environment variables, actions and HTTP paths."""
        if "NORNICDB_" in text:
            for match in _VARIABLE.finditer(text):
                self.not_read_or(self.index.pack.variables.get(match.group()), "variable", match.group())
        if "heimdall" in text:
            for match in _ACTION.finditer(text):
                name = match.group()
                self.known(self.index.pack.names("action").get(name), "action", name, "is no action of Heimdall")
        if "/" in text and language != "yaml":
            for match in _PATH.finditer(text):
                self.path(match)

    def not_read_or(self, fact: Fact | None, kind: str, name: str) -> None:
        ignored = self.index.not_read.get(name) if fact is None else None
        instead = f"; instead: {ignored.instead}" if ignored and ignored.instead else ""
        self.known(fact, kind, name, "is not read by the server" + instead if ignored else "is not known to the pack")

    def path(self, match: re.Match[str]) -> None:
        path = match.group(1).rstrip(".:")
        named = match.group()[0] != "/"  # with a method or a host
        if path == "/" or (not named and path[1:].partition("/")[0] not in self.index.roots):
            return
        fact = next((fact for form, fact in self.index.endpoints if form.fullmatch(path)), None)
        self.known(fact, "endpoint", path, "is no HTTP path of the server")

    # --- prose

    def prose(self, text: str) -> None:
        """Names in sentences and in inline code; a name whose sentence says that it does not work is let through."""
        inner = _Walk(self.index, self.apart)
        for sentence in sentences(text):
            inner.unknown.clear()
            inner.sentence(sentence)
            self.used += inner.used
            inner.used.clear()
            if inner.unknown and not MARKS.search(sentence):
                self.unknown += inner.unknown

    def sentence(self, text: str) -> None:
        plain = text
        if "`" in text:
            for match in INLINE.finditer(text):
                code = match.group(1)
                if CYPHER.match(code) and re.search(r"[({]|\s", code):
                    self.cypher(code)
                    plain = plain.replace(match.group(), " ")
        self.anywhere(plain, "prose")
        if "." in plain:
            for match in _DOTTED.finditer(plain):
                self.dotted(match)
            for match in self.index.key.finditer(plain):
                self.key(match.group())
        if "--" in plain:
            self.prose_flags(plain)
        self.forms(plain, REFUSED_IN_PROSE)
        for match in re.finditer(r"\bSHOW +([A-Z]+(?: DATABASES)?)\b", plain):
            self.show(match.group(1))
        if "nornicdb " in text:
            for match in INLINE.finditer(text):
                self.commands(match.group(1))

    def dotted(self, match: re.Match[str]) -> None:
        name = match.group().rstrip("(").removesuffix(".*")
        if name.rpartition(".")[2] in _FILES or name in self.index.options:
            return
        fact = self.index.procedures.get(name) or self.index.functions.get(name)
        if fact is None and match["end"] != "(" and name in self.index.prefixes:
            return
        if fact is None and name.startswith(("nornicdb.", "vector.", "tx.", "db.")) and match["end"] != "(":
            if name.count(".") == 1 or name.startswith("vector."):
                return  # a file, a host or an attribute
        self.known(fact, "procedure" if fact is None else fact.kind, name, "is no procedure or function of the server")

    def key(self, key: str) -> None:
        if key in self.index.sections or key.rpartition(".")[2] in _FILES:
            return
        if key.startswith("heimdall.") and key.count(".") == 2 and key not in self.index.not_read:
            return  # an action: heimdall.<plugin>.<name>
        self.not_read_or(self.index.settings.get(key), "setting", key)

    def prose_flags(self, text: str) -> None:
        names = {name: fact for (_, name), fact in self.index.flags.items()}
        if _OTHER_TOOLS.search(text):
            return
        for match in _FLAG.finditer(text):
            self.not_read_or(names.get(match.group()), "flag", match.group())

    # --- shell

    def commands(self, text: str) -> None:
        """Sub-commands and flags of `nornicdb`."""
        for match in _NORNICDB.finditer(text.replace("\\\n", " ")):
            words = match.group(1).split("#")[0].split()
            if words and words[0].startswith("--config"):
                self.not_read_or(self.index.flags.get(("nornicdb", "--config")), "flag", "--config")
                words = words[1 if "=" in words[0] else 2 :]
            plain = list(takewhile(lambda word: not word.startswith("-"), words[:2]))
            command = f"nornicdb {' '.join(plain)}".rstrip()
            if command not in self.index.commands and plain:
                command = f"nornicdb {plain[0]}"
            if plain and (command != "nornicdb decay" or len(plain) > 1):
                self.known(self.index.commands.get(command), "command", command, "is no command")
            of = plain[0] if plain else "nornicdb"
            for word in words:
                name = word.partition("=")[0].rstrip(",.")
                if name.startswith("--") and len(name) > 2 and name != "--help":
                    fact = self.index.flags.get((of, name)) or self.index.flags.get(("nornicdb", name))
                    self.not_read_or(fact, "flag", name)

    def statements_in_json(self, text: str) -> None:
        if '"statement"' in text or '"cypher"' in text:
            for match in re.finditer(r'"(?:statement|cypher)"\s*:\s*"((?:\\.|[^"\\])*)"', text):
                self.cypher(match.group(1).replace('\\"', '"').replace("\\n", "\n"))

    # --- JSON

    def json(self, text: str) -> None:
        """An action of Heimdall with its parameters, or a request body with statements."""
        self.statements_in_json(text)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return
        name = value.get("action") if isinstance(value, dict) else None
        if not isinstance(name, str):
            return
        fact = self.index.pack.names("action").get(name)
        if fact is None and not name.startswith("heimdall."):
            self.known(None, "action", name, "is no action of Heimdall")
        parameters = value.get("params")
        if fact is not None and isinstance(parameters, dict):
            allowed = {argument.rstrip("?") for argument in fact.arguments}
            for parameter in parameters:
                if parameter not in allowed:
                    self.known(None, "action", f"{name} {parameter}", f"{name} has no parameter {parameter}")

    # --- YAML

    def yaml(self, text: str) -> None:
        """Keys of the server's configuration; files of other tools (compose, Kubernetes) are left alone."""
        stack: list[tuple[int, str]] = []
        keys: list[str] = []
        below = None  # the indent of an unknown section, whose keys are not reported one by one
        for match in re.finditer(r"^([ \t]*)([A-Za-z_][\w.-]*):(?=[ \t]|$)[ \t]*([^\n#]*)", text, re.MULTILINE):
            indent, key, value = len(match[1]), match[2], match[3].strip()
            if below is not None and indent > below:
                continue
            while stack and stack[-1][0] >= indent:
                stack.pop()
            if not stack and key in _FOREIGN:
                return
            path = ".".join([*(name for _, name in stack), key])
            below = None if value or path in self.index.parents else indent
            if value or below is not None or path in self.index.settings:
                keys.append(path)
            stack.append((indent, key))
        for path in keys:
            self.not_read_or(self.index.settings.get(path), "setting", path)

    # --- Cypher

    def cypher(self, text: str) -> None:
        """Procedures with their columns, functions, SHOW and DDL of Cypher statements."""
        items = tokens(text)
        self.forms(text if not re.search(r"['\"`/]", text) else _masked(items))
        place, size = 0, len(items)
        while place < size:
            token = items[place]
            if token.kind != "word":
                place += 1
                continue
            upper = token.text.upper()
            if upper == "CALL" and place + 1 < size and items[place + 1].name:
                name, place = _dotted_name(items, place + 1)
                fact = self.index.procedures.get(name)
                self.known(fact, "procedure", name, "is no procedure of the server")
                if fact is not None:
                    self.columns(items, place, fact)
                continue
            if upper == "SHOW" and (place == 0 or items[place - 1].text == ";") and place + 1 < size:
                words = " ".join(item.text.upper() for item in items[place + 1 : place + 3])
                self.show(words if words == "COMPOSITE DATABASES" else words.partition(" ")[0])
                place += 2
                continue
            start = place
            name, place = _dotted_name(items, place)
            if place < size and items[place].text == "(" and items[place].kind == "symbol":
                before = items[start - 1] if start else None
                if before is None or before.kind != "symbol" or before.text not in (":", "|", "&", "!", "."):
                    self.function(name)

    def function(self, name: str) -> None:
        if "." in name:
            fact = self.index.functions.get(name)
        else:
            fact = self.index.plain.get(name.lower())
            if fact is None and name.upper() in _KEYWORDS:
                return
        self.known(fact, "function", name, "is no function of the server")

    def columns(self, items: tuple[Token, ...], place: int, fact: Fact) -> None:
        """The names of YIELD after the call that ends before `place` or has its arguments there."""
        depth = 0
        while place < len(items) and (depth or items[place].text == "(" or items[place].text == ")"):
            depth += {"(": 1, ")": -1}.get(items[place].text, 0) if items[place].kind == "symbol" else 0
            place += 1
        if place >= len(items) or not items[place].is_word("YIELD"):
            return
        expected = True
        for item in items[place + 1 :]:
            if item.kind == "symbol" and item.text == ",":
                expected = True
            elif item.kind == "symbol" or item.is_word("RETURN", "WHERE", "WITH", "MATCH", "ORDER", "CALL", "UNWIND"):
                return
            elif expected:
                expected = False
                if fact.yields and item.text not in fact.yields:
                    columns = ", ".join(fact.yields)
                    self.known(None, "column", item.text, f"is no column of {fact.id}, which gives {columns}")

    def show(self, words: str) -> None:
        self.known(self.index.shows.get(words), "statement", f"SHOW {words}", "is no SHOW statement of the server")

    def forms(self, text: str, patterns: Mapping[str, re.Pattern[str]] = REFUSED) -> None:
        """Statements that this version refuses or ignores, and schema statements of an unknown form."""
        if not SUSPECT.search(text):
            return
        found = False
        for name, pattern in patterns.items():
            fact = self.index.refused.get(name)
            if fact is None or not pattern.search(text) or (self.apart and name == "transaction_in_one_query"):
                continue
            found = True
            self.unknown.append(Unknown("statement", str(fact.value), f"{fact.note}; instead: {fact.instead}"))
        if not found and patterns is REFUSED:
            for statement in NEXT.split(text):
                self.schema_statement(statement.strip())

    def schema_statement(self, text: str) -> None:
        if not SCHEMA.match(text) or "(" not in text:
            return
        for name, pattern in ACCEPTED.items():
            if pattern.fullmatch(text):
                self.used.append(f"statement.{name}")
                return
        self.unknown.append(
            Unknown("statement", " ".join(text.split())[:60], "is no form of the statement that is accepted")
        )


def _dotted_name(items: tuple[Token, ...], place: int) -> tuple[str, int]:
    """The name a.b.c that starts at `place`, and the place after it."""
    parts = [items[place].text]
    place += 1
    while place + 1 < len(items) and items[place].text == "." and items[place + 1].name:
        parts.append(items[place + 1].text)
        place += 2
    return ".".join(parts), place


def _masked(items: Iterable[Token]) -> str:
    """The query with its strings emptied and its comments gone, so that words inside them are not read as keywords."""
    parts = []
    for item in items:
        if item.kind == "string":
            parts.append("''")
        elif item.kind == "quoted":
            parts.append("`" + (item.text if item.text.startswith("vector.") else re.sub(r"\W", "_", item.text)) + "`")
        else:
            parts.append(item.text)
    return re.sub(r" ?\. ?", ".", " ".join(parts))


_KEYWORDS = frozenset(
    """MATCH CREATE MERGE WHERE AND OR XOR NOT IN WITH RETURN ON FOR DELETE THEN ELSE WHEN CASE UNWIND DISTINCT BY SET
    REMOVE ASSERT REQUIRE AS EXISTS COUNT COLLECT ALL ANY NONE SINGLE REDUCE FOREACH CALL YIELD OPTIONAL EACH CONTAINS
    STARTS ENDS UNION LIMIT SKIP ASC DESC IS EXPLAIN PROFILE FROM SHORTESTPATH ALLSHORTESTPATHS FILTER USING LET
    EXTRACT""".split()
)
_FOREIGN = frozenset(
    "services version environment env apiVersion kind jobs scrape_configs groups global image networks volumes".split()
)
