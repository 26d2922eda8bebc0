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
from itertools import takewhile

from heimdall_nb.fact_cypher import CypherNames
from heimdall_nb.fact_forms import REFUSED_IN_PROSE
from heimdall_nb.fact_index import Unknown, index_of
from heimdall_nb.fact_text import CYPHER, INLINE, segments, sentences
from heimdall_nb.facts import Fact, FactPack

MARKS = re.compile(
    r"\b(?:(?:is|are|was|were|being) (?:\w+ ){0,2}?(?:not (?:\w+ )?(?:read|supported|accepted|known|valid|recognised|"
    r"available|implemented|routed)|refused|rejected|ignored|unknown|unsupported|invalid)"
    r"|(?:does|do) (?:not (?:exist|read|know|support|accept|work|use)|nothing)"
    r"|(?:there is|there are|has|have|knows) no|no such|no Cypher|instead of)\b",
    re.IGNORECASE,
)


def unknown(answer: str, pack: FactPack) -> list[Unknown]:
    """What `answer` names and `pack` does not know, each once, in the answer's order by kind of text. Never raises."""
    return list(dict.fromkeys(_walk(answer, pack).unknown))


def used(answer: str, pack: FactPack) -> list[str]:
    """The ids of the facts that `answer` names (procedures, functions, keys, variables, flags …), each once."""
    return list(dict.fromkeys(_walk(answer, pack).used))


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


def _walk(answer: str, pack: FactPack) -> _Walk:
    walk = _Walk(index_of(pack), apart="BEGIN" in answer and _APART.search(answer) is not None)
    for language, text in segments(answer):
        walk.segment(language, text)
    return walk


class _Walk(CypherNames):
    """One pass over an answer: what it names, known and unknown."""

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


_FOREIGN = frozenset(
    "services version environment env apiVersion kind jobs scrape_configs groups global image networks volumes".split()
)
