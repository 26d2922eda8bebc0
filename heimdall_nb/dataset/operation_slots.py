"""Slots of administration: names of indexes, databases and files, vector options, search texts, and whole queries.

Slots that name something which is not there yet are drawn from a few forms that people use (data/operations.yaml).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import yaml

from heimdall_nb.dataset.graphs import Label, Property
from heimdall_nb.dataset.slots import Binder, Binding, NoBinding, Slot, literal, plain
from heimdall_nb.dataset.templates import Template, templates
from heimdall_nb.dataset.words import split_identifier
from heimdall_nb.engines.cypher_tokens import quoted
from heimdall_nb.run import DATA


class OperationBinder(Binder):
    """A binder with the kinds of slots that administration needs. Names also fill `<slot>_name`: as spelled."""

    def put_label(self, slot: str, label: Label) -> None:
        super().put_label(slot, label)
        self.put_text(f"{slot}_name", quoted(label.name))

    def put_property(self, slot: str, owner: str, prop: Property) -> None:
        super().put_property(slot, owner, prop)
        self.put_text(f"{slot}_name", quoted(prop.name))

    def put_literal(self, slot: str, of: str, value: Any) -> None:
        super().put_literal(slot, of, value)
        self.put_text(f"{slot}_code", literal(value))
        self.put_text(f"{slot}_json", json.dumps(plain(value), ensure_ascii=False))

    def put_text(self, slot: str, text: str) -> None:
        """A slot that reads the same in the answer and in the question."""
        self.slots[slot] = Slot(text, (text,), value=text)

    def _rel(self, slot: str, kind: str, start: str, end: str) -> None:
        super()._rel(slot, kind, start, end)
        self.put_text(f"{slot}_name", quoted(self.relationships[slot].type))

    def _draw(self, slot: str, kind: str, pool: str = "") -> None:
        """A value of a pool of data/operations.yaml; a kind such as `dimension` names its own pool."""
        self.put_text(slot, str(self.choose(_pools()[pool or kind])))

    _dimension = _similarity = _top_k = _database_name = _batch_size = _file_name = _user_name = _alias_name = _draw

    def _pick(self, slot: str, kind: str, pool: str) -> None:
        """A value of the pool that is named, and that no other slot has."""
        taken = {item.query for item in self.slots.values()}
        self.put_text(slot, str(self.choose(item for item in _pools()[pool] if str(item) not in taken)))

    def _index_name(self, slot: str, kind: str, owner: str, *properties: str) -> None:
        """A name for an index on these properties of the label or relationship type in slot `owner`."""
        holder = self.labels.get(owner) or self.relationships[owner]
        words = holder.words if isinstance(holder, Label) else holder.type.lower()
        plural = holder.plural if isinstance(holder, Label) else holder.type.lower()
        props = "_".join(_snake(self.properties[name][1].name) for name in properties) or "all"
        form = self.choose(_pools()[kind])
        self.put_text(slot, _snake(form.format(label=_snake(words), labels=_snake(plural), property=props)))

    _constraint_name = _vector_index = _fulltext_index = _graph_name = _index_name

    def _vector_property(self, slot: str, kind: str, owner: str) -> None:
        """A property for vectors that the schema does not have yet; its name must be said."""
        holder = self.labels.get(owner) or self.relationships[owner]
        self.put_text(slot, self.choose(n for n in _pools()[kind] if n not in holder.properties))

    def _text_property(self, slot: str, kind: str, owner: str) -> None:
        """The property of a label that holds text: `text` of the label where it has one, else a key that is text."""
        label = self.labels[owner]
        name = getattr(label, "text", "") or label.key
        prop = label.properties.get(name)
        if prop is None or prop.type != "STRING":
            raise NoBinding
        self.put_property(slot, owner, prop)

    def _search_text(self, slot: str, kind: str, of: str) -> None:
        """A phrase to search for, of the values that the property in slot `of` has."""
        pool = [str(value) for value in self.pool(of)]
        words = self.choose(pool).split()
        text = " ".join(words[: self.rng.randint(1, 3)]) if self.rng.random() < 0.7 else words[-1]
        if self.rng.random() < 0.3:
            text = f"{text} {self.choose(pool).split()[-1]}"
        self.put_literal(slot, of, text)

    def _one_way(self, slot: str, kind: str, of: str) -> None:
        """No slot but a condition: the relationship type in slot `of` never goes from its end to its start."""
        rel = self.relationships[of]
        if any((i.type, i.start, i.end) == (rel.type, rel.end, rel.start) for i in self.schema.relationships):
            raise NoBinding

    def _form(self, slot: str, kind: str, name: str) -> None:
        """A query as a user brings it, slow or wrong: an entry of data/forms.yaml, with the slots drawn so far."""
        self.put_text(slot, _forms()[name].format_map({known: item.query for known, item in self.slots.items()}))

    def _read(self, slot: str, kind: str, *families: str) -> None:
        """A whole Cypher query that reads, of some families or any: `{q}` is the query, `{q_asks}` what it asks for.

        It also comes as a Cypher literal (`{q_literal}`), as the body of an HTTP request (`{q_json}`, `{q_body}` for
        a shell), and as Heimdall's action (`{q_action}`).
        """
        template, binding = self._bound_read(families)
        query = template.render(binding)
        body = json.dumps({"statements": [{"statement": query}]}, ensure_ascii=False)
        action = {"action": "heimdall.watcher.query", "params": {"cypher": query}}
        self.put_text(slot, query)
        self.put_text(f"{slot}_literal", literal(query))
        self.put_text(f"{slot}_json", body)
        self.put_text(f"{slot}_body", shlex.quote(body))
        self.put_text(f"{slot}_action", json.dumps(action, ensure_ascii=False))
        phrase = template.phrases[int(self.rng.random() * len(template.phrases))]
        words = {name: item.words[0] for name, item in binding.items() if item.words}
        self.put_text(f"{slot}_asks", phrase.format_map(words))

    def _bound_read(self, families: tuple[str, ...]) -> tuple[Template, Binding]:
        for _ in range(10):  # not every template finds something in every schema
            template = self.choose(_reads(families))
            try:
                return template, Binder(self.schema, self.values, self.rng).bind(template.bind)
            except NoBinding:
                continue
        raise NoBinding


@lru_cache(maxsize=64)
def _reads(families: tuple[str, ...]) -> tuple[Template, ...]:
    """The Cypher templates that read, whose dialect is common and that are not kept for the benchmark."""
    usable = (t for t in templates("cypher").values() if not (t.benchmark or t.writes) and t.dialect == "common")
    return tuple(t for t in usable if t.phrases and t.needs_schema and (not families or t.family in families))


@lru_cache(maxsize=1)
def _pools() -> Mapping[str, list[Any]]:
    return yaml.safe_load((DATA / "operations.yaml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _forms() -> Mapping[str, str]:
    return yaml.safe_load((DATA / "forms.yaml").read_text(encoding="utf-8"))


def _snake(text: str) -> str:
    """A name of letters, digits and underscores in lower case: `credit limit` and `creditLimit` give `credit_limit`."""
    spaced = split_identifier("".join(c if c.isalnum() else "_" for c in text))
    return "_".join(spaced.split())
