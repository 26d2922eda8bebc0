"""Queries that no template has, put together from pieces: conditions, columns, totals, an order, a limit, a write.

A template teaches one structure; a model that has only seen templates answers a question of another structure with the
nearest template. Here each structure is drawn anew, and the question is built from the words of the same pieces. What
the benchmark keeps apart is left out by structure.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.dataset.templates import Template, slot_rule
from heimdall_nb.dataset.words import listed
from heimdall_nb.run import DATA

PIECES = DATA / "compose.yaml"
KINDS = {"rows": 5, "totals": 4, "linked": 4, "paths": 2, "writes": 2}  # of query, with their weights
COMPOSED = "composed"  # the family of such a template
_LOCAL = r"\{{(a_)?{0}(s?)(_as|_back)?\}}"  # a slot of a piece, with what may stand around its name
_VERB = re.compile(r"\[(R\d+)(_back)?\]")  # `[R3]`: the verb as the number of the nodes before it asks for

Piece = Mapping[str, Any]


@dataclass
class _Draft:
    """A template in the making: slots bound so far, and whether its key must be a text."""

    rng: random.Random
    bind: list[str]
    text_key: bool = False
    count: int = 0

    def take(self, piece: Piece) -> dict[str, str]:
        """The texts of a piece, one of its wordings chosen, its slots numbered; its rules join `bind`."""
        self.count += 1
        self.text_key |= bool(piece.get("text_key"))
        texts = {name: text for name, text in piece.items() if isinstance(text, str)}
        texts["words"] = self.rng.choice(piece["words"])
        rules = [rule.partition("=")[::2] for rule in filter(None, texts.pop("bind").split(", "))]
        own = [slot for slot, _ in rules]
        if how := next((how for _, how in rules if how.startswith("cross ")), ""):
            own += set(how.split()[1:]) - {"A"}
        for slot, how in rules:
            numbered = " ".join(f"{word}{self.count}" if word in own else word for word in how.split())
            self.bind.append(f"{slot}{self.count}={numbered}")
        for slot in own:
            name = re.compile(_LOCAL.format(slot))
            texts = {key: name.sub(rf"{{\g<1>{slot}{self.count}\g<2>\g<3>}}", text) for key, text in texts.items()}
            texts["words"] = re.sub(rf"\[{slot}(_back)?\]", rf"[{slot}{self.count}\1]", texts["words"])
        return texts

    def several(self, pieces: Mapping[str, Piece], number: int, sorts: bool = False) -> list[dict[str, str]]:
        """`number` different pieces; the first can be sorted by where `sorts` asks for it."""
        names = list(pieces)
        weights = [pieces[name].get("weight", 1) for name in names]
        chosen: list[str] = []
        while len(chosen) < number:
            name = self.rng.choices(names, weights)[0]
            fits = not sorts or chosen or pieces[name].get("sorts")
            again = name in chosen and not pieces[name]["bind"]
            if fits and not again:
                chosen.append(name)
        return [self.take(pieces[name]) for name in chosen]

    def template(self, kind: str, query: str, phrases: list[str], question: str, keywords: str, frame: str) -> Template:
        key = "k=text_key A" if self.text_key else "k=key A"
        rules = tuple(slot_rule(rule) for rule in (self.bind[0], key, *self.bind[1:]))
        return Template(
            f"composed_{kind}",
            "cypher",
            COMPOSED,
            rules,
            query,
            tuple(phrases),
            (question,),
            (keywords,),
            verify="RETURN 1" if frame == "do" else "",
            frame=frame,
        )


def compose(rng: random.Random) -> Template:
    """A template drawn from the pieces; the same state of `rng` gives the same."""
    kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    return _MAKERS[kind](_Draft(rng, ["A=label"]))


def _rows(draft: _Draft) -> Template:
    rng = draft.rng
    where, conditions = _conditions(draft, rng.choices((0, 1, 2, 3), (2, 5, 3, 1))[0])
    ordered = rng.random() < 0.4
    items = draft.several(pieces()["items"], rng.choices((1, 2, 3), (4, 4, 1))[0], ordered)
    sort, sort_words, sort_keys = _order(draft, items[0], items[0]["value"], "a.{k}") if ordered else ("", "", "")
    columns = [_column(item) for item in items]
    texts, keys = [item["words"] for item in items], [item["keywords"] for item in items]
    if rng.random() < 0.85:
        columns, texts, keys = ["a.{k} AS {k}", *columns], ["the {k}", *texts], ["{k}", *keys]
    one, many, short = _subject(conditions)
    of = "of" if all(text.startswith("the ") and "," not in text for text in texts) else "for"
    phrases = [f"{listed(texts)} {of} every {one}{sort_words}", f"{listed(texts)} {of} all {many}{sort_words}"]
    query = f"MATCH (a:{{A}}){where} RETURN {', '.join(columns)}{sort}"
    question = f"Which {many} are there? Give for each {listed(texts)}{sort_words}."
    return draft.template("rows", query, phrases, question, f"{{A}} {', '.join(keys)}{short}{sort_keys}", "show")


def _totals(draft: _Draft) -> Template:
    rng = draft.rng
    where, conditions = _conditions(draft, rng.choices((0, 1, 2), (3, 4, 2))[0])
    groups = [f"g{n}" for n in range(rng.choices((0, 1, 2), (3, 5, 1))[0])]
    draft.bind += [f"{group}=group A" for group in groups]
    cut = bool(groups) and rng.random() < 0.4
    totals = draft.several(pieces()["totals"], rng.choices((1, 2, 3), (4, 4, 1))[0], cut)
    one, many, short = _subject(conditions)
    texts, keys = listed([item["words"] for item in totals]), ", ".join(item["keywords"] for item in totals)
    per = " and ".join(f"{{{group}}}" for group in groups)
    columns = [*(f"a.{{{group}}} AS {{{group}}}" for group in groups), *map(_column, totals)]
    names = [*(f"{{{group}}}" for group in groups), *(item["as"] for item in totals)]
    head, tail, tail_words, tail_keys = "", "", "", ""
    if cut and rng.random() < 0.5:
        head, tail, tail_words, tail_keys = _kept(draft, totals[0], columns, names)
    elif cut:
        then = ", ".join(names[: len(groups)])
        tail, tail_words, tail_keys = _order(draft, totals[0], totals[0]["as"], then)
        tail_words = tail_words.replace("{k}", per, 1)
        tail_keys = tail_keys.replace("{k}", per, 1)
    query = f"MATCH (a:{{A}}){where} {head or 'RETURN ' + ', '.join(columns)}{tail}"
    each = f" for each {per}" if groups else ""
    phrases = [f"{texts}{each}, over all {many}{tail_words}"]
    if groups:
        phrases += [f"each {per} of {many}, with {texts}{tail_words}"]
    question = f"Taking all {many}, what {'are' if len(totals) > 1 else 'is'} {texts}{each}{tail_words}?"
    keywords = f"{keys}, {{As}}{short}{', per ' + per if groups else ''}{tail_keys}"
    return draft.template("totals", query, phrases, question, keywords, "show")


def _linked(draft: _Draft) -> Template:
    rng = draft.rng
    back = rng.random() < 0.5
    draft.bind[0] = "R=cross B A" if back else "R=cross A B"
    draft.bind.append("m=key B")
    where, conditions = _conditions(draft, rng.choices((0, 1, 2), (4, 4, 1))[0], ("and",))
    optional = rng.random() < 0.3
    totals = draft.several(pieces()["linked_totals"], rng.choices((1, 2, 3), (3, 4, 1))[0], not optional)
    one, many, short = _subject(conditions)
    texts, keys = listed([item["words"] for item in totals]), ", ".join(item["keywords"] for item in totals)
    columns = ["a.{k} AS {k}", *map(_column, totals)]
    arrow, verb = ("<-[:{R}]-", "{R_back}") if back else ("-[:{R}]->", "{R}")
    path = f"(a:{{A}}){arrow}(b:{{B}}){where}"
    if optional:
        path = f"(a:{{A}}){where} OPTIONAL MATCH (a){arrow}(b:{{B}})"
    head, tail, tail_words, tail_keys = "", "", "", ""
    if not optional and (choice := rng.random()) < 0.6:
        if choice < 0.25:
            head, tail, tail_words, tail_keys = _kept(draft, totals[0], columns, ["{k}", *(t["as"] for t in totals)])
        else:
            tail, tail_words, tail_keys = _order(draft, totals[0], totals[0]["as"], "{k}")
    query = f"MATCH {path} {head or 'RETURN ' + ', '.join(columns)}{tail}"
    if optional:
        about = f"the {{A}} {verb}, {{As}} without any included"
        phrases = [f"the {{k}} of every {one}, with {texts} that {about}"]
        question = f"For each {one}, what are the {{k}} and {texts} that {about}?"
        keywords = f"{{A}} {{k}}{short}, {keys}, {{A}} {verb} {{B}}, none included"
    else:
        joined = "and" if conditions else "that"
        who = f"{one} {joined} {'that ' if conditions else ''}{verb} some {{B}}"
        phrases = [
            f"the {{k}} of every {who}, with {texts}{tail_words}",
            f"for each {who}, the {{k}} and {texts}{tail_words}",
        ]
        question = f"What are the {{k}} and {texts}, for each {who}{tail_words}?"
        keywords = f"{{A}} {{k}}{short}, {keys}, {{A}} {verb} {{B}}{tail_keys}"
    return draft.template("linked", query, phrases, question, keywords, "show")


def _paths(draft: _Draft) -> Template:
    """Two steps to a node that is named; what is shown is about the first node."""
    rng, turned = draft.rng, [draft.rng.random() < 0.5 for _ in range(2)]
    draft.bind[0] = "R=cross B A" if turned[0] else "R=cross A B"
    draft.bind += ["S=cross C B" if turned[1] else "S=cross B C", "l=key C", "w=value l"]
    where, conditions = _conditions(draft, rng.choices((0, 1), (3, 2))[0])
    one, many, short = _subject(conditions)
    first, second = ("<-[:{R}]-" if turned[0] else "-[:{R}]->"), ("<-[:{S}]-" if turned[1] else "-[:{S}]->")
    verbs = [f"{{{name}_back}}" if back else f"{{{name}}}" for name, back in zip("RS", turned, strict=True)]
    way = f"{'and ' if conditions else ''}that {verbs[0]} {{a_B}} that {verbs[1]} the {{C}} {{w}}"
    counted = rng.random() < 0.4
    shown = "a.{k} AS {k}, count(DISTINCT b) AS n" if counted else "DISTINCT a.{k} AS {k}"
    also = ", with the number of different {Bs} between them" if counted else ""
    query = f"MATCH (a:{{A}}){first}(b:{{B}}){second}(c:{{C}}) WHERE c.{{l}} = {{w}}"
    query += f"{where.replace(' WHERE ', ' AND ', 1)} RETURN {shown}"
    a_one = one.replace("{A}", "{a_A}", 1)
    phrases = [f"the {{k}} of every {one} {way}{also}", f"each {{k}} of {a_one} {way}, once{also}"]
    keywords = f"{{A}} {{k}}{short}, {{A}} {verbs[0]} {{B}}, {{B}} {verbs[1]} {{C}} {{w}}"
    keywords += ", count distinct {Bs}" if counted else ", distinct"
    return draft.template("paths", query, phrases, f"What is the {{k}} of each {one} {way}{also}?", keywords, "show")


def _writes(draft: _Draft) -> Template:
    rng = draft.rng
    where, conditions = _conditions(draft, rng.choices((1, 2), (3, 2))[0])
    (write,) = draft.several(pieces()["writes"], 1)
    one, many, short = _subject(conditions)
    words = write["words"].replace("[every]", f"every {one}" if rng.random() < 0.5 else f"all {many}")
    query = f"MATCH (a:{{A}}){where} {write['query']}"
    return draft.template("writes", query, [words], f"Can you {words}?", f"{{As}}{short}: {write['keywords']}", "do")


_MAKERS = {"rows": _rows, "totals": _totals, "linked": _linked, "paths": _paths, "writes": _writes}


def _conditions(
    draft: _Draft, number: int, joints: Sequence[str] = ("and", "and", "and", "or")
) -> tuple[str, list[dict[str, str]]]:
    """(WHERE clause, the conditions with what joins them in `joint`); two of them are sometimes joined by OR."""
    found = draft.several(pieces()["conditions"], number)
    joint = draft.rng.choice(joints) if number == 2 else "and"
    for condition in found:
        condition["joint"] = joint
    return (" WHERE " + f" {joint.upper()} ".join(item["where"] for item in found) if found else ""), found


def _subject(conditions: Sequence[Mapping[str, str]]) -> tuple[str, str, str]:
    """The nodes in words, one and many, and their conditions in the style of keywords."""
    joint = f" {conditions[0]['joint']} " if conditions else ""
    words = joint.join(item["words"] for item in conditions)
    one = _VERB.sub(r"{\1\2}", words)
    many = _VERB.sub(r"{\1s\2}", words)
    short = joint.replace(" and ", ", ").join(item["keywords"] for item in conditions)
    return f"{{A}} {one}".strip(), f"{{As}} {many}".strip(), f", {short}" if short else ""


def _column(item: Mapping[str, str]) -> str:
    return f"{item['value']} AS {item['as']}"


def _order(draft: _Draft, item: Mapping[str, str], by: str, then: str) -> tuple[str, str, str]:
    """(ORDER BY, in words, in keywords): by the column `item`, ties by `then`, and sometimes the first few only."""
    draft.bind.append("dir=direction")
    query = f" ORDER BY {by}{{dir}}, {then}"
    words, keys = (
        f", sorted by {item['words']} in {{dir}} order, ties by {{k}}",
        f", by {item['keywords']} {{dir}}, then {{k}}",
    )
    if draft.rng.random() < 0.5:
        draft.bind.append("few=count 2 9")
        query, words, keys = f"{query} LIMIT {{few}}", f"{words}, the first {{few}} only", f"{keys}, first {{few}}"
    return query, words, keys


def _kept(
    draft: _Draft, item: Mapping[str, str], columns: Sequence[str], names: Sequence[str]
) -> tuple[str, str, str, str]:
    """(WITH, WHERE … RETURN, in words, in keywords): only the groups in which the column `item` is large enough."""
    draft.bind.append("least=count 2 5")
    head, tail = f"WITH {', '.join(columns)}", f" WHERE {item['as']} >= {{least}} RETURN {', '.join(names)}"
    return head, tail, f", only where {item['words']} is at least {{least}}", f", {item['keywords']} >= {{least}}"


@lru_cache(maxsize=1)
def pieces() -> Mapping[str, Mapping[str, Piece]]:
    """The pieces of data/compose.yaml by section and name."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(PIECES.read_text(encoding="utf-8"), Loader=loader)
