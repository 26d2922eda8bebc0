"""Does a question say what its answer uses? An audit that knows the graph's words, and neither templates nor slots.

Whoever reads a question must be able to write its answer. So each value and each name of a query has to be said: a
value word for word, a label, a property or a relationship type as its identifier or in the words of the graph.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import GraphSchema, load_schema
from heimdall_nb.dataset.query_names import Names, used_names
from heimdall_nb.dataset.words import plural, plural_verb, split_identifier
from heimdall_nb.engines.cypher_tokens import tokens
from heimdall_nb.errors import BadInput

_NOT_WORDS = re.compile(r"[^\w]+")
_QUERY = re.compile(r"\s*(?:MATCH|OPTIONAL|CREATE|MERGE|UNWIND|CALL|WITH|SET|REMOVE|DELETE|DETACH|RETURN)\s")
_MANY = ("every", "each", "all", "which", "many", "any", "different", "distinct")


def disagreements(example: Example, schema: GraphSchema | None) -> list[str]:
    """What question and Cypher answer do not agree on, as sentences that follow "the question"; empty when they do.

    Without a schema only the values are compared. An answer that is no Cypher query is not looked at.
    """
    if example.task != "cypher":
        return []
    queries = list(_statements(example.output))
    missing = [item for query in queries for item in missing_literals(example.input, query)]
    if schema is not None:
        missing = [item for item in missing if not _said_names(item, example.input, schema)]
    found = [f"does not say {item}, which the query uses" for item in dict.fromkeys(missing)]
    if schema is not None:
        found += name_disagreements(example.input, " ; ".join(queries), schema)
    return found


def _statements(query: str) -> Iterator[str]:
    """A query with `''` for each text that is a query itself, as procedures take them; then these queries."""
    inner = [token for token in tokens(query) if token.kind == "string" and _QUERY.match(token.text)]
    outer = query
    for token in reversed(inner):
        end = token.start + len(token.text) + 2
        outer = f"{outer[: token.start]}''{outer[end:]}"
    yield outer
    for token in inner:
        yield from _statements(_text(token.text))


def _said_names(literal: str, question: str, schema: GraphSchema) -> bool:
    """Whether a text literal names labels, types or properties (`'Person'`, `'+Person|-Film'`) that are all said."""
    known = _vocabulary(schema)
    names = [name for name in re.split(r"[^\w ]+", literal) if name.strip()]
    phrases = [(*known.labels.get(n, ()), *known.types.get(n, ()), *known.properties(n, Names())) for n in names]
    text = _Text(question, ())
    return bool(names) and all(found and text.says(found, name) for found, name in zip(phrases, names, strict=True))


def missing_literals(question: str, query: str) -> list[str]:
    """The text and number literals of `query` that `question` does not contain word for word.

    The 1 of `*1..3` is what a path starts with where nothing else is said, and need not be said.
    """
    missing = []
    items = tokens(query)
    for before, token in zip((None, *items), items, strict=False):
        if token.text == "1" and before is not None and before.text == "*" and query.startswith("1..", token.start):
            continue
        if token.kind == "string":
            if _text(token.text) not in question and token.text not in question:
                missing.append(repr(token.text))
        elif token.kind == "number" and not _says_number(question, token.text):
            missing.append(token.text)
    return list(dict.fromkeys(missing))


def _text(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal)


def _says_number(question: str, number: str) -> bool:
    if number == "1" and re.search(r"\b(?:more than|at least) once\b", question):
        return True
    # Not within another number; but `1..3` says 1 and 3.
    return re.search(rf"(?<!\w)(?<!(?<!\.)\.){re.escape(number)}(?!\w|\.\d)", question) is not None


def name_disagreements(question: str, query: str, schema: GraphSchema) -> list[str]:
    """Names of the query that the question does not say, and labels that it says and the query does not use."""
    used = used_names(query)
    known = _vocabulary(schema)
    values = (_text(token.text) for token in tokens(query) if token.kind == "string")
    text = _Text(question, values, {*used.labels, *used.types, *used.properties})
    unsaid = [("relationship type", name) for name in used.types if not text.says(known.types.get(name, ()), name)]
    implied = _implied_labels(schema, [name for name in used.types if ("relationship type", name) not in unsaid])
    unsaid += [("label", n) for n in used.labels if n not in implied and not text.says(known.labels.get(n, ()), n)]
    keys = {schema.labels[label].key for label in used.labels if label in schema.labels} - used.shown
    for name in used.properties:  # `the book 'Emma'`: a key that is only compared with a value need not be named
        if name not in keys and not text.says(known.properties(name, used), name):
            unsaid.append(("property", name))
    unsaid += [("name", name) for name in used.objects if not text.says((), name)]
    found = [f"does not say the {kind} {name}, which the query uses" for kind, name in unsaid]
    texts = {name for token in tokens(query) if token.kind == "string" for name in re.split(r"[^\w ]+", token.text)}
    if any(token.is_word("CALL") for token in tokens(query)):
        return found  # the index or the text that a procedure is given stands for a label
    extra = (name for name in _extra(text, used, known) if name not in texts)
    found += [f"names the label {name}, which the query does not use" for name in extra]
    return found


def _implied_labels(schema: GraphSchema, types: Iterable[str]) -> set[str]:
    """Labels at the ends of a relationship type that has only these ends: to name the type names them too."""
    implied: set[str] = set()
    for kind in types:
        same = [item for item in schema.relationships if item.type == kind]
        for ends in ({item.start for item in same}, {item.end for item in same}):
            implied |= ends if len(ends) == 1 else set()
    return implied


def _extra(text: _Text, used: Names, known: _Vocabulary) -> Iterator[str]:
    """Labels that are counted or listed beside everything that the query accounts for.

    Only what a quantifier stands before is taken for a label: "for the team" may be politeness, "every team" is not.
    """
    accounted = [phrase for name in used.labels for phrase in known.labels.get(name, ())]
    accounted += [phrase for name in used.types for phrase in known.types.get(name, ())]
    accounted += [phrase for name in used.properties for phrase in known.properties(name, used)]
    accounted += [_flat(split_identifier(name)) for name in used.variables]
    rest = text.without(accounted)
    for name, phrases in known.labels.items():
        if (
            name not in used.labels
            and "node" not in phrases
            and any(  # every label's nodes are nodes
                f" {many} {stems} " in rest for stems in map(_stemmed, phrases) for many in _MANY
            )
        ):
            yield name


class _Vocabulary:
    """The phrases by which a question can name what a graph has."""

    def __init__(self, schema: GraphSchema) -> None:
        self.labels = {
            name: _phrases(name, label.words, label.plural, plural(label.words))
            for name, label in schema.labels.items()
        }
        self.types: dict[str, tuple[str, ...]] = {}
        for item in schema.relationships:
            forms = (form for says in (item.says, item.back) for form in (says, plural_verb(says)))
            self.types[item.type] = (*self.types.get(item.type, ()), *_phrases(item.type, *forms))
        owners = [*schema.labels.items(), *((item.type, item) for item in schema.relationships)]
        self.owned = {
            (owner, prop.name): _phrases(prop.name, prop.words, plural(prop.words))
            for owner, holder in owners
            for prop in holder.properties.values()
        }

    def properties(self, name: str, used: Names) -> list[str]:
        """The phrases of a property for the labels and types of a query; where none of them has it, of all."""
        owners = {owner for owner, prop in self.owned if prop == name}
        fitting = owners & {*used.labels, *used.types} or owners
        return [phrase for owner in sorted(fitting) for phrase in self.owned[owner, name]]


_VOCABULARIES: dict[int, tuple[GraphSchema, _Vocabulary]] = {}  # by identity: a schema holds mappings


def _vocabulary(schema: GraphSchema) -> _Vocabulary:
    if id(schema) not in _VOCABULARIES:
        _VOCABULARIES[id(schema)] = schema, _Vocabulary(schema)
    return _VOCABULARIES[id(schema)][1]


def _phrases(name: str, *words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(_flat, (name, split_identifier(name), *words)))))


@lru_cache(maxsize=50_000)
def _flat(text: str) -> str:
    """Lower case, single spaces, no punctuation: `Movie's` gives `movie s`."""
    return _NOT_WORDS.sub(" ", text.casefold()).strip()


class _Text:
    """A question to look phrases up in. Where it says a text value, it says no name."""

    def __init__(self, question: str, literals: Iterable[str], names: Collection[str] = ()) -> None:
        for literal in sorted(filter(str.strip, literals), key=len, reverse=True):
            if f"'{literal}'" in question:
                question = question.replace(f"'{literal}'", " , ")
            elif literal not in names:  # without quotation marks: the last mention is the value, others may be names
                said = list(re.finditer(rf"(?<!\w){re.escape(literal)}(?!\w)", question))
                question = f"{question[: said[-1].start()]} , {question[said[-1].end() :]}" if said else question
        self.flat = f" {_flat(question)} "
        self.stems = f" {_stemmed(self.flat)} "

    def says(self, phrases: Sequence[str], name: str) -> bool:
        """Whether one of the phrases (of the name itself, where there are none) is said, in any regular form."""
        forms = phrases or (_flat(name), _flat(split_identifier(name)))
        return any(f" {form} " in self.flat or f" {_stemmed(form)} " in self.stems for form in forms)

    def without(self, phrases: Iterable[str]) -> str:
        """The question as stems without these phrases."""
        rest = self.stems
        for stems in sorted({_stemmed(phrase) for phrase in phrases}, key=len, reverse=True):
            while f" {stems} " in rest:
                rest = rest.replace(f" {stems} ", " , ")
        return rest


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    """A word without its regular endings; both sides of a comparison are stemmed, so a wrong stem does no harm."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _stemmed(text: str) -> str:
    return " ".join(map(_stem, text.split()))


@lru_cache(maxsize=256)
def _load(graph: str) -> GraphSchema:
    return load_schema(graph)


def schema_of(example: Example) -> GraphSchema | None:
    """The schema of an example's graph; None where there is no graph, or none of that name in data/graphs."""
    try:
        return _load(example.graph) if example.graph else None
    except BadInput:
        return None
