"""The name check finds what the schema lacks, and never accuses a right query."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_nb.engines.cypher_check import SchemaNames, name_faults
from heimdall_nb.engines.cypher_tokens import loads_files, tokens, tree, writes

SCHEMA = SchemaNames(
    labels={
        "Person": {"name", "born", "a b", "score"},
        "Company": {"name", "founded"},
        "City Hall": {"title"},
        "Order": {"total", "date"},
    },
    relationships={"WORKS_AT": {"since"}, "KNOWS": {"since", "weight"}, "IN": set(), "PLACED": set()},
    ends={
        ("Person", "WORKS_AT", "Company"),
        ("Person", "KNOWS", "Person"),
        ("Company", "IN", "City Hall"),
        ("Person", "PLACED", "Order"),
    },
)

RIGHT = [
    "MATCH (c:Company)-[:IN]->(x:`City Hall` {title: 'a'}) WHERE EXISTS { (x)<-[:`IN`]-(:Company) } RETURN x.`title`",
    "MATCH (p:Person) WHERE p.`a b` IS NOT NULL WITH p.`a b` AS `a b`, p RETURN `a b`, p {.`a b`}, {`x y`: p.`a b`}",
    "MATCH (p:`Person`)-[r:`KNOWS`*1..2]->(q) SET p.`a b` = 1, p += {`a b`: 2} REMOVE q.`a b`",
    "MATCH (`p q`:Person) RETURN `p q`.born AS `end`, `p q`.`a b` ORDER BY `p q`.`a b` DESC",
    "MATCH (p:Person)-[r:WORKS_AT]->(c:Company) WHERE r.since > 2000 RETURN p.name, c.founded",
    "MATCH (c:Company)<-[:WORKS_AT]-(:Person {name: 'Ann', `a b`: 3}) RETURN c.name",
    "MATCH (a:Person)-[:KNOWS]-(b:Person) RETURN a.name, b.born.year",
    "MATCH (a:Person)-[:KNOWS*1..3]->(b)-[:WORKS_AT]->(c)-[:IN]->(h:`City Hall`) RETURN h.title, c.founded",
    "MATCH p = shortestPath((a:Person)-[:KNOWS*]-(b:Person)) RETURN length(p), [n IN nodes(p) | n.anything]",
    "MATCH (p:Person) RETURN CASE WHEN p.born > date('1990-01-01') THEN 'young' ELSE 'old' END AS group, count(*) AS n",
    "MATCH (p:Person) RETURN {name: p.name, colour: 'red', nested: {title: 1}} AS card",
    "MATCH (p:Person) WITH p.name AS n, collect({x: p.born}) AS rows UNWIND rows AS row RETURN n, row.x, row.y",
    "UNWIND [{label: 'a'}] AS n RETURN n.label",
    "MATCH (n:Person) WITH count(n) AS c MATCH (n:Company) WHERE n.founded > c RETURN n.name",
    "MATCH (n:Person) RETURN n.born AS x UNION MATCH (n:Company) RETURN n.founded AS x",
    "MATCH (p:Person) WHERE EXISTS { (p)-[:WORKS_AT]->(n:Company) WHERE n.founded = 1 } RETURN p.name",
    "MATCH (p:Person) WHERE EXISTS { MATCH (p)-[:KNOWS]->(n) WHERE n.born IS NOT NULL } RETURN COUNT { (p)-->() }",
    "MATCH (p:Person) RETURN [(p)-[:WORKS_AT]->(x:Company) | x.founded], [(p)-[:KNOWS]->(x:Person) | x.born]",
    "MATCH (p:Person) WHERE NOT (p)-[:WORKS_AT]->(:Company) RETURN p.name",
    "MATCH (p:Person) WHERE any(x IN p.score WHERE x > 1) RETURN reduce(s = 0, x IN p.score | s + x)",
    "MATCH (n) WHERE n:Person OR n:Company RETURN n.name, n.founded",
    "MATCH (n:Person|Company) RETURN n.born, n.founded",
    "MATCH (n:!Person) RETURN n.founded",
    "MATCH (p:Person) RETURN p {.name, .born, extra: 1}, p.name STARTS WITH 'A' // (x:Nope {z: 1})",
    "MATCH (p:Person) WHERE p.name = '(x:Nope)-[:NOPE]->()' /* n:Nope */ RETURN p.name + \"it's (:Nope)\"",
    "MATCH (order:Order)<-[:PLACED]-(match:Person) WITH order, match RETURN match.name ORDER BY order.date",
    "MATCH (p:Person) WITH p ORDER BY p.name LIMIT 3 MATCH (p)-[:KNOWS]->(q) RETURN p.born, q.score",
    "MATCH (p:Person) CALL { WITH p MATCH (p)-[:PLACED]->(o:Order) RETURN sum(o.total) AS t } RETURN p.name, t",
    "MATCH (p:Person) CALL (p) { MATCH (p)-[:PLACED]->(o:Order) RETURN o } RETURN p.name, o.total",
    "CALL db.labels() YIELD label RETURN label",
    "CALL db.index.fulltext.queryNodes('i', 'x') YIELD node, score RETURN node.whatever, score",
    "MATCH (p:Person) RETURN date.truncate('month', p.born) AS m, duration.between(p.born, date()).years",
    "MATCH (p:Person) WHERE (p.score) - (p.born) > 0 AND (p:Person) RETURN (p).name",
    "MATCH (p:Person) WHERE p.name IN ['a'] AND p.score[1..2] = $x.y RETURN p.name AS `City.Hall`",
    "MATCH (a)-[r]->(b) WHERE type(r) = 'KNOWS' RETURN r.weight, a.name",
    "MATCH (p:Person) WITH p AS q, head(collect(p)) AS h RETURN q.name, h.anything",
    "MATCH ((a:Person)-[:KNOWS]->(b:Person)){1,3} RETURN count(*)",
]

WRONG = [
    ("MATCH (p:Persn) RETURN p.name", "label Persn is not in the schema"),
    ("MATCH (:Person)-[:WORKZ]->() RETURN 1", "relationship type WORKZ is not in the schema"),
    ("MATCH (p:Person) RETURN p.nam", "property nam is not a property of Person"),
    ("MATCH (p:Person {nam: 1}) RETURN p.name", "property nam is not a property of Person"),
    ("MATCH (p:Person) WHERE p.founded > 1 RETURN p.name", "property founded is not a property of Person"),
    ("MATCH (p) RETURN p.nope", "property nope is not a property of any label"),
    ("MATCH ()-[r:WORKS_AT]->() RETURN r.weight", "property weight is not a property of WORKS_AT"),
    ("MATCH ()-[r]->() RETURN r.nope", "property nope is not a property of any relationship type"),
    (
        "MATCH (c:Company)-[:WORKS_AT]->(p:Person) RETURN c.name",
        "relationship type WORKS_AT does not lead from Company to Person",
    ),
    (
        "MATCH (p:Person)<-[:WORKS_AT]-(c:Company) RETURN c.name",
        "relationship type WORKS_AT does not lead from Company to Person",
    ),
    (
        "MATCH (p:Person)-[:KNOWS]-(c:Company) RETURN 1",
        "relationship type KNOWS does not lead between Person and Company",
    ),
    (
        "MATCH (c:Company) MATCH (c)-[:KNOWS]->() RETURN 1",
        "relationship type KNOWS does not lead from Company to any label",
    ),
    ("MATCH (n) WHERE n:Nope RETURN n.name", "label Nope is not in the schema"),
    ("MATCH (p:Person) WITH p AS q RETURN q.nope", "property nope is not a property of Person"),
    ("MATCH (p:Person) WITH p WHERE p.nope = 1 RETURN p.name", "property nope is not a property of Person"),
    ("MATCH (p:Person) WHERE EXISTS { (p)-[:KNOWS]->(:Nope) } RETURN 1", "label Nope is not in the schema"),
    ("MATCH (p:Person) RETURN [(p)-[:KNOWS]->(x) | x.nope]", "property nope is not a property of any label"),
    ("MATCH (p:Person) RETURN p {.name, .nope}", "property nope is not a property of Person"),
    ("MATCH (p:Person) RETURN max(toUpper(p.nope))", "property nope is not a property of Person"),
    ("MATCH (p:Person) RETURN {a: p.nope}", "property nope is not a property of Person"),
    (
        "MATCH (n:Person) RETURN n.name UNION MATCH (n:Company) RETURN n.born",
        "property born is not a property of Company",
    ),
    ("MATCH (p:Person) RETURN p.`b a`", "property b a is not a property of Person"),
    ("MATCH (`p q`:Person) RETURN `p q`.nope", "property nope is not a property of Person"),
    ("MATCH (p:Person) RETURN p {.`b a`}", "property b a is not a property of Person"),
    ("MATCH (:`Hall City`) RETURN 1", "label Hall City is not in the schema"),
    ("MATCH ()-[:`PART OF`]->() RETURN 1", "relationship type PART OF is not in the schema"),
    (
        "MATCH (:`City Hall`)-[:`IN`]->(:Company) RETURN 1",
        "relationship type IN does not lead from City Hall to Company",
    ),
    ("CREATE (n:Nope {x: 1})", "label Nope is not in the schema"),
    ("MATCH (n:person) RETURN 1", "label person is not in the schema"),
]


@pytest.mark.parametrize("query", RIGHT)
def test_right_queries_have_no_faults(query):
    assert name_faults(query, SCHEMA) == []


@pytest.mark.parametrize(("query", "fault"), WRONG)
def test_wrong_names_are_reported_once(query, fault):
    assert name_faults(query, SCHEMA) == [fault]


def test_right_queries_parse(arcadedb):
    """The list of right queries is right in the engine's eyes too."""
    refused = {query: arcadedb.parse(query) for query in RIGHT}
    assert {query: r for query, r in refused.items() if r is not None and r.kind != "engine"} == {}


names = st.sampled_from(["Person", "Company", "Order", "City Hall"])


def quote(name):
    return name if name.isidentifier() else f"`{name}`"


@st.composite
def right_queries(draw):
    """Queries put together from the schema: a chain of hops, conditions, an optional WITH, a projection."""
    label = draw(names)
    parts, variables = [f"(v0:{quote(label)})"], [("v0", label)]
    for number in range(1, draw(st.integers(1, 3))):
        options = sorted(e for e in SCHEMA.ends if label in (e[0], e[2]))
        start, kind, end = draw(st.sampled_from(options))
        outward = start == label and (end != label or draw(st.booleans()))
        label = end if outward else start
        shown = f":{quote(label)}" if draw(st.booleans()) else ""
        arrow = draw(st.sampled_from([("-", "->"), ("-", "-")])) if outward else ("<-", "-")
        parts.append(f"{arrow[0]}[:{kind}]{arrow[1]}(v{number}{shown})")
        variables.append((f"v{number}", label))
    items = [f"{v}.{quote(draw(st.sampled_from(sorted(SCHEMA.labels[k]))))}" for v, k in variables]
    text = draw(st.text(max_size=8)).replace("\\", "").replace("'", "")
    where = f" WHERE {items[0]} <> '{text}'" if draw(st.booleans()) else ""
    keep = f" WITH {', '.join(v for v, _ in variables)}" if draw(st.booleans()) else ""
    shape = draw(st.sampled_from(["{0}", "count({0})", "{{x: {0}}}", "[{0}, 1]", "CASE WHEN {0} = 1 THEN {0} END"]))
    returned = ", ".join(f"{shape.format(item)} AS c{k}" for k, item in enumerate(items))
    return f"MATCH {''.join(parts)}{where}{keep} RETURN {returned} ORDER BY c0"


@settings(max_examples=150, deadline=None)
@given(right_queries())
def test_generated_right_queries_have_no_faults(query):
    assert name_faults(query, SCHEMA) == []


@settings(max_examples=100, deadline=None)
@given(right_queries(), st.sampled_from(["Persn", "Nope"]))
def test_a_changed_label_is_found(query, wrong):
    label = next(name for name in SCHEMA.labels if f"(v0:{quote(name)})" in query)
    changed = query.replace(f"(v0:{quote(label)})", f"(v0:{wrong})", 1)
    assert f"label {wrong} is not in the schema" in name_faults(changed, SCHEMA)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="()[]{}<>-:.,|'\"`*$ \nnRETUMACHWI1=/", max_size=60))
def test_any_text_is_survived(text):
    assert isinstance(name_faults(text, SCHEMA), list)
    assert "".join(t.text for t in tokens(text)) is not None and tree(text) is not None


def test_deep_nesting_is_survived():
    assert isinstance(name_faults("RETURN " + "(" * 5000, SCHEMA), list)


def test_tokens():
    kinds = [(t.kind, t.text) for t in tokens("n.`a``b` =~ 'it\\'s' // x\n + 1.5e3 [1..2] $p <> /* y */ 0x1F")]
    assert kinds == [
        ("word", "n"), ("symbol", "."), ("quoted", "a`b"), ("symbol", "=~"), ("string", "it\\'s"), ("symbol", "+"),
        ("number", "1.5e3"), ("symbol", "["), ("number", "1"), ("symbol", ".."), ("number", "2"), ("symbol", "]"),
        ("parameter", "$p"), ("symbol", "<>"), ("number", "0x1F"),
    ]  # fmt: skip


def test_writes_and_files():
    assert writes("MATCH (n) SET n.x = 1") and writes("create (n)") and writes("MATCH (n) DETACH DELETE n")
    assert not writes("MATCH (n:Create {set: 1}) WHERE n.delete = 'CREATE' RETURN n.name AS merge // SET")
    assert loads_files("load /* x */ csv FROM 'a' AS l RETURN l") and not loads_files("RETURN 'LOAD CSV'")
