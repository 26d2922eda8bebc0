"""A question for a query, from the query's own structure: what it returns, from where, under which conditions.

Every literal and every name is said. A query that is not understood as a whole gets no question, never a vague one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heimdall_nb.dataset.agreement import missing_literals
from heimdall_nb.dataset.describe_patterns import Patterns
from heimdall_nb.dataset.describe_words import Names, NotUnderstood, Ref, Scope, Spoken, merged
from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.dataset.words import listed
from heimdall_nb.engines.cypher_patterns import Clause, clauses, split
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, tree, word

LONGEST = 700  # characters of a question that a person would still ask


def describe(query: str, schema: GraphSchema | None = None) -> tuple[str, str] | None:
    """Two questions for `query`, an order and a question, in the words of `schema` or with the names as they stand.

    None where the query is not understood, where its question would be longer than 700 characters, or where a
    literal or (without a schema) a name would be left unsaid.
    """
    try:
        parts = [_Part(items, Names(schema)).read() for items in _union(tree(query))]
    except (NotUnderstood, RecursionError):
        return None
    if not parts or (len(parts) > 1 and any(part.shown is None for part, _ in parts)):
        return None
    order, question = (_together([(say(part), joined) for part, joined in parts]) for say in (_order, _question))
    names = [] if schema else _names(tree(query))
    said = all(name in text for name in names for text in (order, question))
    fits = len(order) <= LONGEST and not missing_literals(order, query) and not missing_literals(question, query)
    return (order, question) if said and fits else None


def _names(items: Sequence[Item]) -> Iterator[str]:
    """Labels, relationship types and properties: the names behind `:` and `.`."""
    for place, item in enumerate(items):
        if isinstance(item, Group):
            yield from _names(item.items)
        elif item.name and place and symbol(items[place - 1], ":", "."):
            yield item.text


def _union(items: Sequence[Item]) -> list[tuple[Item, ...]]:
    parts: list[list[Item]] = [[]]
    for place, item in enumerate(items):
        if word(item, "UNION") and place:
            parts.append([item])
        else:
            parts[-1].append(item)
    return [tuple(part) for part in parts]


@dataclass
class _Said:
    """One query between UNIONs: what happens step by step, what is shown at the end, and how it is cut."""

    steps: list[str]
    shown: str | None = None
    tail: str = ""
    staged: bool = False  # something is done, or taken on, before the end
    does: bool = False  # something is written or called


def _order(said: _Said) -> str:
    steps = "; then ".join(said.steps)
    if said.shown is None:
        return _capital(f"{steps}.")
    if not said.staged:
        return f"Show {said.shown}{', ' if steps else ''}{steps}{said.tail}."
    return _capital(f"{steps}; then show {said.shown}{said.tail}.")


def _question(said: _Said) -> str:
    steps = "; then ".join(said.steps)
    if said.shown is None:
        return f"Which query does the following: {steps}?"
    if not steps:
        return f"What is {said.shown}{said.tail}?"
    if said.does:
        return f"Which query does the following: {steps}; then show {said.shown}{said.tail}?"
    return _capital(f"{steps}, what is {said.shown}{said.tail}?")


def _together(texts: list[tuple[str, str]]) -> str:
    said = texts[0][0]
    for text, joined in texts[1:]:
        said += f" Put below that, {joined}: {text[0].lower()}{text[1:]}"
    return said


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


class _Part(Patterns):
    """Reads one query between UNIONs, clause by clause."""

    def __init__(self, items: Sequence[Item], names: Names) -> None:
        self.joined = ""
        if items and word(items[0], "UNION"):
            keep = len(items) > 1 and word(items[1], "ALL")
            self.joined = "keeping duplicates" if keep else "without duplicates"
            items = items[2 if keep else 1 :]
        super().__init__(items, names)
        self.clauses = clauses(items)
        self.said = _Said([])
        self.source = ""  # the patterns and conditions since the last step

    def read(self) -> tuple[_Said, str]:
        """What the part says, and how it is joined to the part before."""
        place = 0
        while place < len(self.clauses):
            clause = self.clauses[place]
            read = getattr(self, f"_{clause.keyword.lower()}", None) if clause.keyword else None
            if read is None or self.said.shown is not None:
                raise NotUnderstood(f"clause {clause.keyword}")
            place += read(clause.items, place) or 1
        if self.source:
            if self.said.shown is None:
                raise NotUnderstood("a query that returns nothing")
            self.said.steps.append(self.source)
        if not self.said.steps and self.said.shown is None:
            raise NotUnderstood("no clause")
        return self.said, self.joined

    def add(self, text: str) -> None:
        """Add to what the rows come from."""
        self.source = f"{self.source}, {text}" if self.source else text

    def step(self, text: str) -> None:
        """What is done for each row of the source."""
        self.said.staged = self.said.does = True
        if self.source:
            text, self.source = f"{self.source}, {text}", ""
            self.said.steps.append(text)
        elif self.said.steps:
            self.said.steps[-1] += f" and {text}"
        else:
            self.said.steps.append(text)

    def _match(self, items: Sequence[Item], place: int) -> None:
        said = listed([self.path(path, "every") for path in split(items)])
        self.add(f"for {said}" if not self.source else f"for {said} in combination")

    def _optional(self, items: Sequence[Item], place: int) -> int:
        following = self._following(place)
        if items or following is None or following.keyword != "MATCH":
            raise NotUnderstood("clause OPTIONAL")
        said = listed([self.path(path, "every") for path in split(following.items)])
        self.add(f"and, kept without it where there is none, for {said}")
        return 2

    def _where(self, items: Sequence[Item], place: int) -> None:
        if not self.source:
            raise NotUnderstood("clause WHERE")
        self.source += f" where {self.value(items).text}"

    def _unwind(self, items: Sequence[Item], place: int) -> None:
        if len(items) < 3 or not word(items[-2], "AS") or not named(items[-1]):
            raise NotUnderstood("clause UNWIND")
        literal = isinstance(items[0], Group) and items[0].bracket == "["
        said = self.value(items[:-2]).text
        name = items[-1].text
        self.add(f"for each {name} of {'the list ' if literal else ''}{said}")
        self.scope[name] = Ref(name)

    def _with(self, items: Sequence[Item], place: int) -> int:
        taken = self._cuts(place)
        after = self.clauses[place + taken] if place + taken < len(self.clauses) else None
        said, scope = self.columns(items)
        before = dict(self.scope)
        self.scope = scope
        words = f"{self.source + ', ' if self.source else ''}take {said}"
        if taken > 1:
            self.scope = before | scope
            words += self._tail(place)
        self.source = ""
        if after is not None and after.keyword == "WHERE":
            self.scope = before | scope
            words += f", and keep only the rows where {self.value(after.items).text}"
            taken += 1
        self.scope = scope
        self.said.steps.append(words)
        self.said.staged = True
        return taken

    def _return(self, items: Sequence[Item], place: int) -> int:
        taken = self._cuts(place)
        said, scope = self.columns(items)
        self.scope = self.scope | scope
        self.said.tail = self._tail(place)
        self.said.shown = said
        return taken

    def _cuts(self, place: int) -> int:
        """How many clauses RETURN or WITH and its ORDER BY, SKIP and LIMIT are."""
        taken = 1
        while (clause := self._following(place + taken - 1)) is not None and clause.keyword in _CUTS:
            taken += 1
        return taken

    def _tail(self, place: int) -> str:
        said = ""
        while (clause := self._following(place)) is not None and clause.keyword in _CUTS:
            place += 1
            if clause.keyword == "ORDER":
                said += f", sorted by {listed([self._sorted(key) for key in split(clause.items[1:])])}"
            else:
                said += _CUTS[clause.keyword].format(self.value(clause.items).text)
        return said

    def _sorted(self, items: Sequence[Item]) -> str:
        down = word(items[-1], "DESC", "DESCENDING")
        up = word(items[-1], "ASC", "ASCENDING")
        said = self.value(items[:-1] if down or up else items).text
        return f"{said} in {'descending' if down else 'ascending'} order"

    def _following(self, place: int) -> Clause | None:
        return self.clauses[place + 1] if place + 1 < len(self.clauses) else None

    def columns(self, items: Sequence[Item]) -> tuple[str, Scope]:
        """The English of RETURN or WITH items, and the scope behind them."""
        distinct = bool(items) and word(items[0], "DISTINCT")
        scope: Scope = {}
        said: list[tuple[Spoken, str]] = []
        for item in split(items[1:] if distinct else items):
            if len(item) == 1 and symbol(item[0], "*"):
                said.append((Spoken("everything"), ""))
                scope |= self.scope
                continue
            alias = item[-1].text if len(item) > 2 and word(item[-2], "AS") and named(item[-1]) else ""
            spoken = self.value(item[:-2] if alias else item)
            plain = item[0].text if len(item) in (1, 3) and named(item[0]) else ""
            if plain and (alias or plain) in (plain,):
                scope[plain] = self.scope[plain] if plain in self.scope else Ref(plain)
            elif alias:
                known = self.scope.get(plain) if len(item) == 3 else None
                scope[alias] = Ref(alias, known.names, known.kind) if known else Ref(alias)
            said.append((spoken, "" if alias in ("", spoken.name, plain) else f" (as {alias})"))
        if not said:
            raise NotUnderstood("nothing returned")
        groups = [spoken.text for spoken, _ in said if not spoken.aggregate]
        text = listed(merged(said))
        if distinct:
            text = f"each different {'combination' if len(said) > 1 else 'value'} of {text}"
        if groups and len(groups) < len(said):
            text += f" for each {_bare(listed(groups))}"
        return text, scope

    def _create(self, items: Sequence[Item], place: int) -> None:
        if items and isinstance(items[0], Token):
            raise NotUnderstood("a schema statement")
        self.step(f"create {listed([self.path(path, 'a', new=True) for path in split(items)])}")

    def _merge(self, items: Sequence[Item], place: int) -> int:
        head = next((k for k, item in enumerate(items) if word(item, "ON")), len(items))
        self.step(f"make sure that there is {self.path(items[:head], 'a', new=True)}")
        taken, tail = 1, items[head:]
        while tail:
            following = self._following(place + taken - 1)
            when = {"CREATE": "created", "MATCH": "found"}.get(following.keyword if following else "")
            if len(tail) != 1 or when is None or following is None or following.items:
                raise NotUnderstood("clause MERGE")
            change = self._following(place + taken)
            if change is None or change.keyword != "SET":
                raise NotUnderstood("clause MERGE")
            cut = next((k for k, item in enumerate(change.items) if word(item, "ON")), len(change.items))
            self.said.steps[-1] += f"; when it is {when}, {self._changes(change.items[:cut])}"
            tail = change.items[cut:]
            taken += 2
        return taken

    def _set(self, items: Sequence[Item], place: int) -> None:
        self.step(self._changes(items))

    def _changes(self, items: Sequence[Item]) -> str:
        said = []
        for change in split(items):
            cut = next((k for k, item in enumerate(change) if symbol(item, "=", "+=")), None)
            if cut is None:
                if len(change) != 3 or not named(change[0]) or not symbol(change[1], ":") or not named(change[2]):
                    raise NotUnderstood("clause SET")
                said.append(f"the label {change[2].text} on {self.value(change[:1]).text}")
                continue
            target, value = self.value(change[:cut]), self.value(change[cut + 1 :]).text
            adds = symbol(change[cut], "+=")
            what = target.text if target.words else f"all properties of {target.text}"
            said.append(f"{what} to {value}" if not adds else f"more properties of {target.text} from {value}")
        return f"set {listed(said)}"

    def _remove(self, items: Sequence[Item], place: int) -> None:
        said = []
        for change in split(items):
            if len(change) == 3 and symbol(change[1], ":") and named(change[2]):
                said.append(f"the label {change[2].text} from {self.value(change[:1]).text}")
            else:
                said.append(self.value(change).text)
        self.step(f"remove {listed(said)}")

    def _delete(self, items: Sequence[Item], place: int) -> None:
        self.step(f"delete {listed([self.value(item).text for item in split(items)])}")

    def _detach(self, items: Sequence[Item], place: int) -> int:
        following = self._following(place)
        if items or following is None or following.keyword != "DELETE":
            raise NotUnderstood("clause DETACH")
        self.step(f"delete {listed([self.value(i).text for i in split(following.items)])} with all relationships")
        return 2

    def _call(self, items: Sequence[Item], place: int) -> None:
        end = next((k for k, item in enumerate(items) if word(item, "YIELD")), len(items))
        group = items[end - 1] if end and isinstance(items[end - 1], Group) else None
        name = items[: end - 1] if group else items[:end]
        if not name or not all(isinstance(i, Token) and (i.name or symbol(i, ".")) for i in name):
            raise NotUnderstood("clause CALL")
        if group is not None and group.bracket != "(":
            raise NotUnderstood("a sub-query")
        said = "".join(item.text for item in name if isinstance(item, Token))
        arguments = [self.value(part).text for part in split(group.items)] if group else []
        text = f"call the procedure {said}" + (f" with {listed(arguments)}" if arguments else "")
        taken = []
        for part in split(items[end + 1 :]):
            alias = part[-1].text if named(part[-1]) else ""
            if not alias or (len(part) != 1 and not (len(part) == 3 and word(part[1], "AS") and named(part[0]))):
                raise NotUnderstood("clause YIELD")
            taken.append(alias if len(part) == 1 else f"{part[0].text} (as {alias})")
            self.scope[alias] = Ref(alias)
        text += f" and take its {listed(taken)}" if taken else ""
        if self._following(place) is None and not self.source:
            self.step(text)
        else:
            self.add(text)
            self.said.staged = self.said.does = True


_CUTS = {
    "ORDER": "",
    "SKIP": ", leaving out the first {}",
    "OFFSET": ", leaving out the first {}",
    "LIMIT": ", at most {}",
}


def _bare(text: str) -> str:
    return text.removeprefix("the ")
