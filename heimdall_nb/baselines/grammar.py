"""Cypher as a GBNF grammar of one graph: decoding under it cannot name what the graph's schema does not have.

The grammar writes the common subset of Cypher. Labels, relationship types and properties are those of the schema;
variables, aliases, functions and literals are free. Within a pattern it also keeps what the schema says of places: the
properties in a node's map are its label's, and a relationship leads where its type leads. What no context-free grammar
can know stays open: which label a variable got in an earlier clause, and whether a variable was bound at all.

llama.cpp compares every token of the vocabulary with every way in which the text may go on. So the rules leave few
ways: names share their first letters, and only what is no keyword begins with a small letter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from heimdall_nb.dataset.example import Example
from heimdall_nb.dataset.graphs import GraphSchema, load_schema
from heimdall_nb.engines.cypher_check import SchemaNames
from heimdall_nb.engines.cypher_tokens import quoted
from heimdall_nb.evaluation.answers import prompt_of
from heimdall_nb.models.answers import ask
from heimdall_nb.models.protocol import Completion, LanguageModel

# Clauses and expressions. `label`, `type`, `property` and `pattern` are made from the schema.
# `s` is a white space that must be there, `o` one that may be there.
_CYPHER = r"""
root ::= part (s "UNION" (s "ALL")? s part)* ";"?
part ::= (reading s)* (returning | updating (s part)?)
reading ::= match | with | unwind | call
match ::= ("OPTIONAL" s)? "MATCH" s paths where?
with ::= "WITH" s projection where?
unwind ::= "UNWIND" s expr s "AS" s variable
call ::= "CALL" s ("(" (variable (comma variable)*)? ")" s)? "{" s part s "}"
returning ::= "RETURN" s projection
projection ::= ("DISTINCT" s)? ("*" (comma items)? | items) order? (s "SKIP" s expr)? (s "LIMIT" s expr)?
items ::= item (comma item)*
item ::= expr (s "AS" s variable)?
order ::= s "ORDER BY" s key (comma key)*
key ::= expr (s ("DESC" | "ASC"))?
where ::= s "WHERE" s expr
paths ::= path (comma path)*
path ::= (variable o "=" o)? pattern
updating ::= "CREATE" s paths | merge | set | delete | remove
merge ::= "MERGE" s path (s "ON" s ("CREATE" | "MATCH") s set)*
set ::= "SET" s change (comma change)*
change ::= variable ("." property o "=" o expr | (":" label)+ | o "+"? "=" o (assigned | variable))
assigned ::= "{" (property ":" o expr (comma property ":" o expr)*)? "}"
delete ::= ("DETACH" s)? "DELETE" s variable (comma variable)*
remove ::= "REMOVE" s removed (comma removed)*
removed ::= variable ("." property | (":" label)+)
expr ::= sign term (operator sign term)*
sign ::= ("NOT" s | "-")*
term ::= atom ("[" slice "]" | s "IS" s ("NOT" s)? "NULL")*
slice ::= expr (".." expr?)? | ".." expr
atom ::= name | string | number | "$" variable | list | braces | "(" o expr o ")" | case | block
name ::= variable (":" label | "." property ("." component)? | call-tail)? | "duration." durations call-tail
durations ::= "between" | "inMonths" | "inDays" | "inSeconds"
call-tail ::= "(" ("*" | ("DISTINCT" s)? argument (comma argument)*)? ")" ("." (property | component))?
argument ::= expr where? (s "|" s expr)?
list ::= "[" (argument (comma argument)*)? "]"
braces ::= "{" (variable ":" o expr (comma variable ":" o expr)*)? "}"
case ::= "CASE" (s expr)? (s "WHEN" s expr s "THEN" s expr)+ (s "ELSE" s expr)? s "END"
block ::= ("EXISTS" | "COUNT" | "COLLECT") s "{" s (paths where? | part) s "}"
operator ::= o sum o | s word s
sum ::= "=" "~"? | "<" [>=]? | ">" "="? | [-+*/%^]
word ::= "AND" | "OR" | "XOR" | "IN" | "CONTAINS" | "STARTS WITH" | "ENDS WITH"
string ::= "'" ([^'\\\x00-\x1F] | "\\" [^\x00-\x1F])* "'" | "\"" ([^"\\\x00-\x1F] | "\\" [^\x00-\x1F])* "\""
number ::= [0-9]+ ("." [0-9]+)?
variable ::= [a-z_\U00000080-\U0010FFFF] [a-zA-Z0-9_\U00000080-\U0010FFFF]* | "`" [^`\x00-\x1F]+ "`"
length ::= "*" [0-9]* (".." [0-9]*)?
comma ::= "," o
s ::= " " | "\n"
o ::= s?
"""
_COMPONENTS = (
    "year quarter month week day hour minute second dayOfWeek ordinalDay epochMillis epochSeconds "
    "years months weeks days hours minutes seconds"
).split()

_NEVER = r'"\x00"'  # a rule without alternatives cannot be written; this one cannot be met


def cypher_grammar(schema: GraphSchema | SchemaNames) -> str:
    """The GBNF grammar of the queries that a graph with this schema can be asked; its first rule is `root`."""
    return _Writer(schema.names() if isinstance(schema, GraphSchema) else schema).text()


def answer(
    model: LanguageModel, examples: Sequence[Example], path: Path, max_new_tokens: int = 192, version: str = ""
) -> list[Completion]:
    """Ask `model` each example's question under the grammar of its graph; kept in `path` like all answers.

    Raises BadInput for a model without grammars.
    """
    prompts, ids = [prompt_of(example) for example in examples], [example.id for example in examples]
    grammars = [_of_graph(str(example.graph)) for example in examples]
    return ask(model, prompts, path, ids, max_new_tokens, version, grammars=grammars)


@lru_cache(maxsize=64)
def _of_graph(name: str) -> str:
    return cypher_grammar(load_schema(name))


class _Writer:
    """Collects the rules that come from the schema. A rule that others lead back to is made once."""

    def __init__(self, names: SchemaNames) -> None:
        self.names = names
        self.rules: dict[str, str] = {}
        self.nodes: dict[tuple[str, ...], str] = {}  # possible labels -> rule

    def text(self) -> str:
        labels, types = self.names.labels, self.names.relationships
        properties = [key for keys in (*labels.values(), *types.values()) for key in keys]
        for rule, names in (("label", labels), ("type", types), ("property", properties)):
            self.rules[rule] = _choice(names) or _NEVER
        self.rules["component"] = _choice(_COMPONENTS)
        self.rules["pattern"] = self.node(labels)
        return _CYPHER.lstrip() + "".join(f"{name} ::= {body}\n" for name, body in self.rules.items())

    def node(self, labels: Iterable[str]) -> str:
        """The rule of a node with one of `labels`, or none written, and of what follows it in its path."""
        possible = tuple(sorted(labels))
        if possible not in self.nodes:
            rule = self.nodes[possible] = f"node-{len(self.nodes) + 1}"
            self.rules[rule] = ""  # its place: a path may come back to it
            known = self.names.labels
            named = {label: f'{_map(known[label])} ")" {self.steps(label)}' for label in possible}
            bare = f'{_map(key for keys in known.values() for key in keys)} ")" {self.steps(None)}'
            self.rules[rule] = f'"(" variable? ({bare}{_after_colon(named)})'
        return self.nodes[possible]

    def steps(self, label: str | None) -> str:
        """The rule of what may follow a node with `label` (None: not known): nothing, or a relationship and a node."""
        rule = f"steps-{sorted(self.names.labels).index(label) + 1 if label else 0}"
        if rule in self.rules:
            return rule
        self.rules[rule] = ""
        anything = self.node(self.names.labels)
        keys = _map(key for found in self.names.relationships.values() for key in found)
        onward, backward = {}, {}
        for kind in sorted(self.names.relationships):
            ends = [(start, end) for start, name, end in sorted(self.names.ends) if name == kind]
            out = {end for start, end in ends if label in (None, start)}
            back = {start for start, end in ends if label in (None, end)}
            several = f'(("|" type)+ length? | length) {_map(self.names.relationships[kind])} "]-"'
            single = f'{_map(self.names.relationships[kind])} "]-"'
            if out | back:
                forward = f'">" {self.node(out)} | ' if out else ""
                onward[kind] = f'({single} ({forward}{self.node(out | back)}) | {several} ">"? {anything})'
            if back:
                backward[kind] = f"({single} {self.node(back)} | {several} {anything})"
        free = f'length? {keys} "]-"'
        self.rules[rule] = (
            f'("-" ("[" variable? ({free} ">"? {anything}{_after_colon(onward)}) | "-" ">"? {anything})'
            f' | "<-" ("[" variable? ({free} {anything}{_after_colon(backward)}) | "-" {anything}))?'
        )
        return rule


def _map(keys: Iterable[str]) -> str:
    """An optional map of properties in a pattern; nothing where there are no keys."""
    choice = _choice(keys)
    return f'(s? "{{" ({choice}) ":" o expr (comma ({choice}) ":" o expr)* "}}")?' if choice else ""


def _after_colon(branches: Mapping[str, str]) -> str:
    return f' | ":" ({_branches(branches)})' if branches else ""


def _choice(names: Iterable[str]) -> str:
    """One of `names`, as Cypher writes them."""
    return _branches(dict.fromkeys(sorted(set(names)), ""))


def _branches(branches: Mapping[str, str]) -> str:
    """Names, each with what follows it, as alternatives that share their first letters (a trie)."""
    return _shared(sorted((quoted(name), rest) for name, rest in branches.items()))


def _shared(branches: list[tuple[str, str]]) -> str:
    """Like `_branches`, for texts."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for text, rest in branches:
        groups.setdefault(text[:1], []).append((text, rest))
    parts = []
    for members in groups.values():
        if len(members) == 1:
            parts.append(f"{_literal(members[0][0])} {members[0][1]}".strip())
            continue
        shared = os.path.commonprefix([text for text, _ in members])
        rest = _shared([(text[len(shared) :], rest) for text, rest in members])
        parts.append(f"{_literal(shared)} ({rest})")
    return " | ".join(parts)


def _literal(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
