"""Cypher expressions in plain English: every name and every literal is said, or NotUnderstood is raised."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from heimdall_nb.dataset.describe_words import (
    COMPARISONS,
    CURRENT,
    FUNCTIONS,
    PRODUCTS,
    QUANTIFIERS,
    SUMS,
    TEMPORAL_PARTS,
    Names,
    NotUnderstood,
    Ref,
    Scope,
    Spoken,
    item_at,
    pairs,
    place_of,
    text_of,
    there_is,
)
from heimdall_nb.dataset.words import listed
from heimdall_nb.engines.cypher_patterns import AGGREGATES, is_node, split
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, word


@dataclass
class Reader:
    """Reads the items of one expression from left to right. `pattern` gives the English of a pattern's items."""

    items: Sequence[Item]
    scope: Scope
    names: Names
    pattern: Callable[[Sequence[Item], Scope], str]
    place: int = 0
    aggregate: bool = field(default=False)

    def whole(self) -> Spoken:
        """The English of all items. Raises NotUnderstood when something is left over or has no English."""
        if not self.items:
            raise NotUnderstood("an empty expression")
        spoken = self.either()
        if self.place < len(self.items):
            raise NotUnderstood("an operator")
        spoken.aggregate = self.aggregate
        return spoken

    def inner(self, items: Sequence[Item], scope: Scope | None = None) -> str:
        reader = Reader(items, self.scope if scope is None else scope, self.names, self.pattern)
        spoken = reader.whole()
        self.aggregate = self.aggregate or reader.aggregate
        return spoken.text

    def at(self, ahead: int = 0) -> Item | None:
        place = self.place + ahead
        return self.items[place] if place < len(self.items) else None

    def take(self, *words: str) -> bool:
        """Step over these keywords when all of them come next."""
        if all(word(self.at(k), text) for k, text in enumerate(words)):
            self.place += len(words)
            return True
        return False

    def either(self) -> Spoken:
        return self._joined(self._exclusive, "OR", " or ")

    def _exclusive(self) -> Spoken:
        return self._joined(self._both, "XOR", " or else ")

    def _both(self) -> Spoken:
        return self._joined(self._negated, "AND", " and ")

    def _joined(self, part: Callable[[], Spoken], keyword: str, between: str) -> Spoken:
        first = part()
        if not word(self.at(), keyword):
            return first
        texts = [first.text]
        while self.take(keyword):
            texts.append(part().text)
        text = between.join(texts)
        return Spoken(text if keyword == "AND" else f"({text})")

    def _negated(self) -> Spoken:
        if self.take("NOT"):
            text = self._negated().text
            goes_on = word(self.at(), "AND", "OR", "XOR") and not text.startswith("(")
            return Spoken(f"it is not true that {f'({text})' if goes_on else text}")
        return self._compared()

    def _compared(self) -> Spoken:
        left = self._sum()
        texts: list[str] = []
        while (said := self._comparison()) is not None:
            right = self._sum().text if said.endswith(" ") else ""
            texts.append(f"{left.text} {said}{right}")
            left = Spoken(right)
        return Spoken(" and ".join(texts)) if texts else left

    def _comparison(self) -> str | None:
        """The words of the comparison that comes next, with a space behind where something follows it."""
        item = self.at()
        if isinstance(item, Token) and item.kind == "symbol" and item.text in COMPARISONS:
            self.place += 1
            return COMPARISONS[item.text] + " "
        for keywords, said in (
            (("IS", "NOT", "NULL"), "is present"),
            (("IS", "NULL"), "is missing"),
            (("STARTS", "WITH"), "starts with "),
            (("ENDS", "WITH"), "ends with "),
            (("CONTAINS",), "contains "),
        ):
            if self.take(*keywords):
                return said
        if self.take("IN"):
            literal = isinstance(group := self.at(), Group) and group.bracket == "["
            return "is one of " if literal else "is in "
        return None

    def _sum(self) -> Spoken:
        return self._operated(self._product, SUMS)

    def _product(self) -> Spoken:
        start = self.place
        spoken = self._operated(self._power, PRODUCTS)
        inside = symbol(self.at(), *SUMS) or symbol(item_at(self.items, start - 1), *SUMS)
        several = self.place > start + 1 and any(symbol(i, *PRODUCTS) for i in self.items[start : self.place])
        return Spoken(f"({spoken.text})") if inside and several and not spoken.text.startswith("(") else spoken

    def _power(self) -> Spoken:
        return self._operated(self._signed, {"^": "to the power of"})

    def _operated(self, part: Callable[[], Spoken], words: dict[str, str]) -> Spoken:
        left, joined = part(), 0
        while isinstance(item := self.at(), Token) and item.kind == "symbol" and item.text in words:
            self.place += 1
            left, joined = Spoken(f"{left.text} {words[item.text]} {part().text}"), joined + 1
        return Spoken(f"({left.text})") if joined > 1 else left

    def _signed(self) -> Spoken:
        if symbol(self.at(), "-", "+"):
            sign = self.items[self.place].text
            self.place += 1
            said = self._signed().text
            return Spoken(f"{sign}{said}" if re.fullmatch(r"[\d.]+", said) else f"{sign}({said})")
        return self._followed()

    def _followed(self) -> Spoken:
        """A value and what hangs on it: `.property`, `[place]`, `:Label`."""
        item = self.at()
        spoken = self._atom()
        variable = item.text if isinstance(item, Token) and item.name else ""
        while True:
            if symbol(self.at(), ".") and named(self.at(1)):
                spoken, variable = self._dotted(spoken, variable), ""
            elif isinstance(group := self.at(), Group) and group.bracket == "[" and variable is not None:
                self.place += 1
                spoken, variable = Spoken(self._subscript(spoken.text, group)), ""
            elif symbol(self.at(), ":") and named(self.at(1)) and variable in self.scope:
                name = self.items[self.place + 1].text
                self.place += 2
                kind = self.scope[variable].kind
                said = f"has the label {name}" if kind == "node" else f"has the type {name}"
                return Spoken(f"{spoken.text} {said}")
            else:
                return spoken

    def _dotted(self, spoken: Spoken, variable: str) -> Spoken:
        name = self.items[self.place + 1].text
        self.place += 2
        owners = self.scope[variable].names if variable in self.scope else ()
        words = self.names.property(owners, name)
        return Spoken(f"the {words} of {spoken.text}", spoken.text, words, name)

    def _subscript(self, text: str, group: Group) -> str:
        cut = next((k for k, item in enumerate(group.items) if symbol(item, "..")), None)
        if cut is None:
            return f"element {self.inner(group.items)} of {text}"
        low, high = group.items[:cut], group.items[cut + 1 :]
        start = f" from position {self.inner(low)}" if low else ""
        end = f" up to position {self.inner(high)}" if high else ""
        return f"the part of {text}{start}{end}"

    def _atom(self) -> Spoken:
        item = self.at()
        if isinstance(item, Group):
            return self._group(item)
        if item is None:
            raise NotUnderstood("an expression that ends early")
        if item.is_word("CASE"):
            return self._case()
        if item.is_word("EXISTS", "COUNT") and isinstance(block := self.at(1), Group) and block.bracket == "{":
            self.place += 2
            inside = block.items[1:] if block.starts_with("MATCH") else block.items
            said = self.pattern(inside, dict(self.scope))
            return Spoken(there_is(said) if item.is_word("EXISTS") else f"the number of times that {there_is(said)}")
        if item.name and (call := self._call()) is not None:
            return call
        self.place += 1
        return Spoken(self._plain(item))

    def _plain(self, item: Token) -> str:
        if item.kind == "string":
            return f"'{text_of(item)}'"
        if item.kind == "number":
            return item.text
        if item.kind == "parameter":
            return f"the parameter {item.text}"
        if item.is_word("TRUE", "FALSE", "NULL"):
            return item.text.lower()
        if item.name and item.text in self.scope:
            return self.scope[item.text].the
        raise NotUnderstood("a name that is not defined" if item.name else "a sign")

    def _group(self, group: Group) -> Spoken:
        if group.bracket == "(":
            before = self.items[self.place - 1] if self.place else None
            if symbol(self.at(1), "-", "<") and is_node(group, before):
                end = self.place + 1
                while symbol(self.items[end] if end < len(self.items) else None, "-", "<", ">"):
                    end += 1
                    while end < len(self.items) and isinstance(self.items[end], Group):
                        end += 1
                items, self.place = self.items[self.place : end], end
                return Spoken(there_is(self.pattern(items, dict(self.scope))))
            self.place += 1
            said = self.inner(group.items)
            return Spoken(said if said.startswith("(") or " " not in said else f"({said})")
        self.place += 1
        return Spoken(self._list(group) if group.bracket == "[" else self._map(group))

    def _list(self, group: Group) -> str:
        items = group.items
        if len(items) > 2 and named(items[0]) and word(items[1], "IN"):
            return self._comprehension(items)
        if items and isinstance(items[0], Group) and is_node(items[0], None) and symbol(item_at(items, 1), "-", "<"):
            bar = place_of(items, "|")
            inside: Scope = dict(self.scope)
            said = self.pattern(items[:bar], inside)
            return f"the list of {self.inner(items[bar + 1 :], inside)} over {said}"
        parts = [self.inner(part) for part in split(items)]
        return ", ".join(parts) if parts else "an empty list"

    def _comprehension(self, items: Sequence[Item]) -> str:
        name = items[0].text
        inside = self.scope | {name: Ref(name)}
        bar = next((k for k, item in enumerate(items) if symbol(item, "|")), len(items))
        where = next((k for k, item in enumerate(items) if word(item, "WHERE")), bar)
        said = f"each {name} in {self.inner(items[2:where])}"
        if where < bar:
            said += f" where {self.inner(items[where + 1 : bar], inside)}"
        return (
            f"the list of {self.inner(items[bar + 1 :], inside)} for {said}"
            if bar < len(items)
            else f"the list of {said}"
        )

    def _map(self, group: Group) -> str:
        said = [f"{name} {self.inner(value)}" for name, value in pairs(group)]
        return f"a map with {listed(said)}" if said else "an empty map"

    def _case(self) -> Spoken:
        self.place += 1
        subject = "" if word(self.at(), "WHEN") else self.either().text
        said = []
        while self.take("WHEN"):
            condition = self.either().text
            if not self.take("THEN"):
                raise NotUnderstood("a CASE without THEN")
            condition = f"{subject} is {condition}" if subject else condition
            said.append(f"{self.either().text} if {condition}")
        said.append(f"otherwise {self.either().text}" if self.take("ELSE") else "otherwise null")
        if not self.take("END") or len(said) < 2:
            raise NotUnderstood("a CASE without END")
        return Spoken(f"({', '.join(said)})")

    def _call(self) -> Spoken | None:
        """A function call, when one comes next."""
        end = self.place + 1
        while symbol(item_at(self.items, end), ".") and named(item_at(self.items, end + 1)):
            end += 2
        group = item_at(self.items, end)
        if not isinstance(group, Group) or group.bracket != "(":
            if isinstance(group, Group) and group.bracket == "{" and end == self.place + 1:
                return self._projection(group)
            return None
        name = "".join(item.text for item in self.items[self.place : end] if isinstance(item, Token))
        self.place = end + 1
        if name.upper() in QUANTIFIERS and len(group.items) > 2 and word(group.items[1], "IN"):
            return Spoken(self._quantified(name.upper(), group.items))
        if name.upper() in AGGREGATES:
            self.aggregate = True
        return Spoken(self._function(name, list(group.items)))

    def _function(self, name: str, items: list[Item]) -> str:
        lower = name.lower()
        distinct = bool(items) and word(items[0], "DISTINCT")
        items = items[1:] if distinct else items
        if lower == "count":
            return self._counted(items, distinct)
        if lower in CURRENT and not items:
            return CURRENT[lower]
        if lower in TEMPORAL_PARTS and len(items) == 1 and isinstance(items[0], Token) and items[0].kind == "string":
            return FUNCTIONS[lower].format(text_of(items[0]))
        arguments = [self.inner(part) for part in split(items)]
        if lower == "coalesce" and len(arguments) == 2:
            return f"{arguments[0]}, or {arguments[1]} where it is missing"
        if distinct:
            arguments = [f"the different values of {argument}" for argument in arguments]
        form = FUNCTIONS.get(lower, "")
        if form.count("{}") == len(arguments) and form:
            return form.format(*arguments)
        return f"{name} of {listed(arguments)}" if arguments else f"{name}()"

    def _counted(self, items: list[Item], distinct: bool) -> str:
        if len(items) == 1 and symbol(items[0], "*"):
            return "the number of matches"
        different = "different " if distinct else ""
        ref = self.scope.get(items[0].text) if len(items) == 1 and named(items[0]) else None
        if ref is not None and ref.kind == "node" and len(ref.names) == 1 and ref.the.startswith("the "):
            return f"the number of {different}{self.names.plural(ref.names[0])}"
        said = self.inner(items)
        if ref is not None and ref.kind == "node" and len(ref.names) == 1:
            return f"the number of {different}{self.names.plural(ref.names[0])} {said.rpartition(' ')[2]}"
        return f"the number of {different}values of {said}"

    def _quantified(self, name: str, items: Sequence[Item]) -> str:
        where = next((k for k, item in enumerate(items) if word(item, "WHERE")), None)
        if where is None:
            raise NotUnderstood("a quantifier without WHERE")
        variable = items[0].text
        said = self.inner(items[where + 1 :], self.scope | {variable: Ref(variable)})
        return f"for {QUANTIFIERS[name]} {variable} in {self.inner(items[2:where])}, {said}"

    def _projection(self, group: Group) -> Spoken:
        variable = self.items[self.place].text
        if variable not in self.scope:
            raise NotUnderstood("a name that is not defined")
        ref, said = self.scope[variable], []
        self.place += 2
        for part in split(group.items):
            if len(part) == 2 and symbol(part[0], ".") and named(part[1]):
                said.append(f"the {self.names.property(ref.names, part[1].text)}")
            elif len(part) == 2 and symbol(part[0], ".") and symbol(part[1], "*"):
                said.append("all properties")
            elif len(part) > 2 and named(part[0]) and symbol(part[1], ":"):
                said.append(f"{part[0].text}: {self.inner(part[2:])}")
            else:
                raise NotUnderstood("a map projection")
        return Spoken(f"a map of {ref.the} with {listed(said)}")
