"""The rules of the linter for Cypher: one walk over a query's clauses, one over all its expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import yaml

from heimdall_nb.dataset.graphs import GraphSchema
from heimdall_nb.engines.cypher_patterns import Clause, Hop, Part, aggregates, clauses, is_relationship, split
from heimdall_nb.engines.cypher_tokens import Group, Item, Token, named, symbol, word
from heimdall_nb.evaluation.query_parts import (
    COMPARES,
    SHORTEST,
    Condition,
    Path,
    Stage,
    aggregates_all,
    at,
    collects_all,
    conditions,
    flat,
    has_call,
    limit,
    linked,
    names,
    null_test,
    pairs,
    read_path,
    sliced,
    starts_distinct,
    tail,
    title,
)
from heimdall_nb.run import DATA

MANY_HOPS = 5
DEEP = 3  # sub-queries within sub-queries

_BLOCKS = ("EXISTS", "COUNT", "COLLECT", "CALL")
_HIDING = """TOLOWER TOUPPER LOWER UPPER TRIM LTRIM RTRIM TOSTRING TOINTEGER TOFLOAT SUBSTRING LEFT RIGHT REPLACE
REVERSE""".split()


@dataclass(frozen=True)
class Hint:
    """One remark: `rule` is a key of data/lint.yaml, `reason` its sentence about the query at hand."""

    rule: str
    reason: str


@lru_cache(maxsize=1)
def rules() -> dict[str, str]:
    """The rules and their sentences, in the order of data/lint.yaml."""
    return yaml.safe_load((DATA / "lint.yaml").read_text(encoding="utf-8"))


def hint(rule: str, **values: object) -> Hint:
    """The hint of a rule about the names of a query."""
    return Hint(rule, rules()[rule].format(**values))


class Linter:
    def __init__(self, schema: GraphSchema | None) -> None:
        self.schema = schema
        self.found: list[Hint] = []
        self.labels: dict[str, str] = {}
        self.nodes: set[str] = set()  # variables of nodes
        self.optional: set[str] = set()
        self.patterns: set[tuple[str, ...]] = set()

    def note(self, rule: str, **values: object) -> None:
        self.found.append(hint(rule, **values))

    # --- a query or sub-query

    def block(self, items: Sequence[Item], bound: set[str], depth: int) -> None:
        """Follow the clauses of a (sub-)query; `bound` are the variables from outside."""
        stage, optional, before = Stage(bound=set(bound)), False, ""
        source: Stage | None = None  # the patterns whose rows come out, where nothing has made them fewer
        filtered, parts = False, clauses(items)
        for place, clause in enumerate(parts):
            if clause.keyword == "OPTIONAL":
                optional = True
                continue
            if clause.keyword == "MATCH":
                self.match(clause, stage, optional)
            elif clause.keyword == "WHERE":
                self.where(clause, stage, before)
            elif clause.keyword in ("UNWIND", "CALL", "LOAD"):
                self.stage(stage)
                source, filtered = (stage if stage.paths else source), filtered or stage.filtered
                passed = stage.bound | {name for path in stage.paths for name in path.variables}
                stage = Stage(many=True, bound=passed | {item.text for item in clause.items if named(item)})
            elif clause.keyword in ("WITH", "RETURN"):
                rest = tail(parts[place + 1 :])
                filtered |= stage.filtered or any(c.keyword == "WHERE" for c in rest)
                self.stage(stage)
                self.projection(clause, stage, filtered)
                source = stage if stage.paths else source
                fewer = aggregates(clause.items) or starts_distinct(clause.items) or limit(rest) is not None
                if clause.keyword == "RETURN" and depth == 0:
                    self.returned(clause, rest, None if fewer or filtered else source)
                source = None if fewer else source
                single = aggregates_all(clause.items) or limit(rest) == 1
                everything = any(symbol(item, "*") for item in clause.items)
                passed = {item.text for item in clause.items if named(item)} | (stage.bound if everything else set())
                stage = Stage(many=not single and (stage.many or self.scans(stage)), bound=passed)
            elif clause.keyword == "UNION":
                self.stage(stage)
                stage, filtered = Stage(bound=set(bound)), True
            optional, before = False, clause.keyword
        self.stage(stage)

    def match(self, clause: Clause, stage: Stage, optional: bool) -> None:
        """Note the paths of a MATCH and what their maps test."""
        bound = stage.bound | {name for path in stage.paths for name in path.variables}
        for items in split(clause.items):
            path = read_path(items)
            stage.paths.append(path)
            for part in path.nodes:
                if part.names and part.variable:
                    self.labels.setdefault(part.variable, part.names[0])
                stage.filtered |= bool(part.keys)
                # a value that names another variable joins the two; a literal does not
                others = frozenset(t.text for t in flat(part.values) if t.name and t.text in bound)
                stage.conditions += [Condition(part.variable or "", key, "=", others) for key in part.keys]
            self.nodes |= {part.variable for part in path.nodes if part.variable}
            if optional:
                self.optional |= path.variables - bound
            elif used := sorted(path.variables & self.optional):
                self.note("optional_dropped", variable=used[0])
                self.optional -= set(used)
            if path.hops and path.tokens in self.patterns:
                self.note("repeated_pattern", pattern="".join(path.tokens))
            self.patterns.add(path.tokens)

    def where(self, clause: Clause, stage: Stage, before: str) -> None:
        """Note what a WHERE tests; one behind WITH removes the rows that an OPTIONAL MATCH kept."""
        items = clause.items
        stage.filtered = True
        found = list(conditions(items))
        either = any(word(item, "OR", "XOR", "NOT") for item in items)
        stage.alternatives |= either
        stage.conditions += found
        for k, item in enumerate(items):
            if named(item) and symbol(at(items, k + 1), ":") and named(label := at(items, k + 2)):
                self.labels.setdefault(item.text, label.text)
        if before in ("WITH", "RETURN", "ORDER", "LIMIT", "SKIP") and not either:
            kept = {item.text for k, item in enumerate(items) if named(item) and null_test(items, k)}
            for name in sorted({c.variable for c in found} & self.optional - kept):
                self.note("optional_dropped", variable=name)

    # --- a run of MATCH clauses

    def stage(self, stage: Stage) -> None:
        """The hints about the patterns of a run of MATCH clauses, and their filters."""
        if not stage.paths:
            return
        for path in stage.paths:
            self.label_of(path, stage)
            for hop in path.hops:
                self.direction(hop)
        groups = self.groups(stage)
        wide = [g for g in groups if not self.anchored(g, stage)]
        if stage.many and stage.bound and not any(names(g) & stage.bound or self.joined(g, stage) for g in groups):
            wide = [None, *wide] if wide else []
        if len(wide) > 1:
            first, second = (title(g) for g in wide[:2])
            self.note("cartesian_product", first=first, second=second)
        for group in groups:
            if not self.anchored(group, stage) and not names(group) & stage.bound:
                self.scan(group, stage)

    def groups(self, stage: Stage) -> list[list[Path]]:
        """The paths of a stage, those together that share a variable or are joined by =."""
        found: list[list[Path]] = []
        links = [c.other | {c.variable} for c in stage.conditions if c.operator == "=" and c.other]
        for path in stage.paths:
            touching = [g for g in found if linked(names(g), path.variables, links)]
            found = [g for g in found if not any(g is other for other in touching)]
            found.append([p for g in touching for p in g] + [path])
        return found

    def joined(self, group: list[Path], stage: Stage) -> bool:
        """True when any comparison ties a group to the rows that came in."""
        links = [c.other | {c.variable} for c in stage.conditions if c.other]
        return linked(names(group), stage.bound, links)

    def anchored(self, group: list[Path], stage: Stage) -> bool:
        """True when a node of the group is found by its key."""
        for path in group:
            for part in path.nodes:
                if any(self.is_key(part, c.property) for c in self.tests(part, stage) if c.operator in ("=", "IN")):
                    return True
        return False

    def tests(self, part: Part, stage: Stage) -> list[Condition]:
        """The conditions that surely hold for a node."""
        inline = [Condition(part.variable or "", key, "=") for key in part.keys]
        if stage.alternatives or not part.variable:
            return inline
        return inline + [c for c in stage.conditions if c.variable == part.variable and not c.other]

    def is_key(self, part: Part, name: str) -> bool:
        if self.schema is None:
            return True
        label = self.schema.labels.get(self.label(part))
        return label is None or label.key == name

    def label(self, part: Part) -> str:
        return part.names[0] if part.names else self.labels.get(part.variable or "", "")

    def scans(self, stage: Stage) -> bool:
        """True when more than a few rows can come out of a stage's patterns."""
        return any(not self.anchored(group, stage) for group in self.groups(stage)) or any(p.hops for p in stage.paths)

    def label_of(self, path: Path, stage: Stage) -> None:
        if any(self.label(part) or part.variable in stage.bound for part in path.nodes):
            return
        if path.nodes and not any(hop.relationship.names for hop in path.hops) and len(path.nodes) > len(path.hops):
            others = {name for other in stage.paths if other is not path for name in other.variables}
            if not path.variables & others:
                self.note("missing_label", variable=path.nodes[0].variable or "()")

    def direction(self, hop: Hop) -> None:
        if hop.direction:
            return
        ends = [self.label(part) or f"({part.variable or ''})" for part in (hop.left, hop.right)]
        if not hop.relationship.names:
            if not hop.relationship.many and any(self.label(part) for part in (hop.left, hop.right)):
                self.note("untyped", start=ends[0], end=ends[1])
        elif self.schema is not None:
            used = [r for r in self.schema.relationships if r.type in hop.relationship.names]
            if used and not hop.relationship.many and all(r.start != r.end for r in used):
                types = " or ".join(hop.relationship.names)
                self.note("undirected", types=types, start=used[0].start, end=used[0].end)

    def scan(self, group: list[Path], stage: Stage) -> None:
        """A filter by properties none of which is a key."""
        if self.schema is None:
            return
        for path in group:
            for part in path.nodes:
                label = self.schema.labels.get(self.label(part))
                for test in self.tests(part, stage) if label else ():
                    if test.operator in ("=", "IN", "STARTS", "<", ">", "<=", ">="):
                        self.note("property_scan", label=label.name, property=test.property)
                        return

    # --- WITH and RETURN

    def projection(self, clause: Clause, stage: Stage, filtered: bool) -> None:
        """The hints about what a WITH or RETURN computes."""
        items, label = clause.items, self.first_label(stage)
        lone = len(stage.paths) == 1 and not stage.paths[0].hops and not stage.many and not stage.bound
        self.distinct(items, label, lone)
        if lone and not filtered and aggregates_all(items) and collects_all(items) and not sliced(items):
            self.note("collect_unbounded", label=label)

    def returned(self, clause: Clause, rest: Sequence[Clause], source: Stage | None) -> None:
        """The hints about what the query returns; `source` are patterns whose rows all come out."""
        for entry in split(clause.items):
            plain = [item for item in entry if not word(item, "DISTINCT")]
            alone = len(plain) == 1 or (len(plain) == 3 and word(plain[1], "AS"))
            if alone and named(plain[0]) and plain[0].text in self.nodes:
                known = self.schema.labels.get(self.labels.get(plain[0].text, "")) if self.schema else None
                self.note("whole_nodes", variable=plain[0].text, property=known.key if known else "name")
        if source is None or any(self.anchored(group, source) for group in self.groups(source)):
            return
        ordered = any(part.keyword == "ORDER" for part in rest)
        self.note("order_without_limit" if ordered else "missing_limit", label=self.first_label(source))

    def first_label(self, stage: Stage) -> str:
        return next((self.label(part) for path in stage.paths for part in path.nodes if self.label(part)), "node")

    def distinct(self, items: Sequence[Item], label: str, lone: bool) -> None:
        """DISTINCT over what is different for each node of a lone pattern."""
        if not lone:
            return
        known = self.schema.labels.get(label) if self.schema else None
        for before, after in pairs(items):
            if not word(before, "DISTINCT"):
                continue
            name = after[0].text if after and named(after[0]) else ""
            key = after[2].text if len(after) > 2 and symbol(after[1], ".") and named(after[2]) else ""
            if name in self.nodes and ((not key and not symbol(at(after, 1), ".")) or (known and key == known.key)):
                self.note("distinct_key", what=f"{name}.{key}" if key else name, label=label)

    # --- the same wherever it stands

    def everywhere(self, items: Sequence[Item], depth: int, shortest: bool) -> None:
        """Paths of variable length, text searches, functions on properties, nested sub-queries; in all groups."""
        for place, item in enumerate(items):
            before, after = at(items, place - 1), at(items, place + 1)
            if isinstance(item, Group):
                nested = depth
                if item.bracket == "{" and word(before, *_BLOCKS):
                    nested += 1
                    if nested == DEEP:
                        self.note("deep_nesting", depth=DEEP)
                    self.block(item.items, self.nodes, nested)
                if is_relationship(item, before, after) and not shortest:
                    self.length(item)
                if word(before, "SIZE") and has_call(item.items, "COLLECT") and len(item.items) == 2:
                    self.note("count_collected")
                self.everywhere(item.items, nested, shortest or word(before, *SHORTEST))
                self.hiding(items, place)
            elif named(item) and symbol(after, ".") and named(key := at(items, place + 2)):
                self.text_search(items, place, key)

    def length(self, group: Group) -> None:
        star = next((k for k, item in enumerate(group.items) if symbol(item, "*")), None)
        if star is None:
            return
        path = "[" + "".join(t.text for t in flat(group.items)) + "]"
        bounds = [item for item in group.items[star + 1 :] if isinstance(item, Token)][:3]
        upper = bounds[-1] if bounds and bounds[-1].kind == "number" else None
        if upper is None:
            self.note("unbounded_path", path=path)
        elif upper.text.isdigit() and int(upper.text) > MANY_HOPS:
            self.note("many_hops", path=path, hops=upper.text)

    def text_search(self, items: Sequence[Item], place: int, key: Token) -> None:
        operator = at(items, place + 3)
        pattern = at(items, place + 4)
        said = {"variable": items[place].text, "property": key.text}
        if word(operator, "CONTAINS"):
            self.note("text_search", operator="CONTAINS", **said)
        elif word(operator, "ENDS"):
            self.note("text_search", operator="ENDS WITH", **said)
        elif symbol(operator, "=~") and isinstance(pattern, Token) and re.match(r"(?:\(\?i\))?\.[*+]", pattern.text):
            self.note("text_search", operator="=~", **said)

    def hiding(self, items: Sequence[Item], place: int) -> None:
        """`toLower(n.name) = …`: a function of a property on the left of a comparison."""
        group, function, after = items[place], at(items, place - 1), at(items, place + 1)
        if not word(function, *_HIDING) or not (symbol(after, *COMPARES) or word(after, "IN", "STARTS")):
            return
        inner = group.items
        if len(inner) >= 3 and named(inner[0]) and symbol(inner[1], ".") and named(inner[2]):
            self.note("function_on_property", function=function.text, variable=inner[0].text, property=inner[2].text)
