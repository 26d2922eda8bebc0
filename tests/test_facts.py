"""The fact pack's form, its look-ups, and packs by name."""

import os
from pathlib import Path

import pytest

from heimdall_nb.errors import BadInput
from heimdall_nb.facts import KINDS, Fact, load_pack, pack_names

PACK = load_pack()
HEAD = "pack: p\nsource: {repository: r, commit: c, licence: MIT}\nfacts:\n"


def test_the_pack_is_broad_and_every_fact_has_its_source() -> None:
    least = {
        "setting": 100,
        "variable": 35,
        "not_read": 30,
        "procedure": 80,
        "function": 400,
        "flag": 30,
        "endpoint": 40,
        "action": 12,
        "method": 20,
        "hook": 5,
        "statement": 25,
        "refused": 20,
        "command": 8,
        "limit": 9,
        "behaviour": 14,
    }
    for kind, number in least.items():
        assert len(PACK.of_kind(kind)) >= number, kind
    assert {fact.kind for fact in PACK.facts} == set(KINDS)
    assert all(fact.source.endswith(".go") and " " not in fact.source for fact in PACK.facts)


def test_names_that_questions_need_are_there() -> None:
    for fact in PACK.facts:
        assert fact.words or fact.kind == "not_read", fact.id
        assert fact.instead or fact.kind not in ("refused", "not_read"), fact.id
        assert all(word == word.strip() and word and not word.endswith(".") for word in fact.words)
    for kind in ("procedure", "function", "statement", "refused", "setting"):
        words = [word for fact in PACK.of_kind(kind) for word in fact.words]
        assert len(words) == len(set(words)), kind  # a phrase asks for one fact of its kind
    assert PACK.fact("db.index.vector.queryNodes").yields == ("node", "score")
    assert PACK.fact("function.vector.similarity.cosine").tags == ("vector",)
    assert PACK.fact("flag.serve.--bolt-port").value == PACK.fact("server.bolt_port").value == 7687


def test_what_is_refused_or_not_read_is_not_documented_as_working() -> None:
    working = {*PACK.names("setting"), *PACK.variables, *PACK.names("flag"), *PACK.names("procedure")}
    assert not working & set(PACK.names("not_read"))
    for fact in PACK.of_kind("not_read"):
        named = fact.instead.split(" ")[0].split("=")[0].rstrip(",:")
        assert named in working | {"nothing", "one"}, fact.id
    assert not {"db.schema.nodeTypeProperties", "algo.pageRank", "apoc.cypher.runMany"} & working


def test_looking_up_by_name_and_kind() -> None:
    assert PACK.names("function")["toUpper"] is PACK.fact("function.toUpper")
    assert PACK.names("flag")["--http-port"].of == "serve"
    assert PACK.names("not_read")["heimdall.threads"].id == "not_read.heimdall.threads"
    assert PACK.names("no such kind") == {} and PACK.of_kind("no such kind") == []
    assert PACK.variables["NORNICDB_BOLT_PORT"].id == "server.bolt_port"
    assert PACK.variables["NORNICDB_ADDRESS"].id == "NORNICDB_ADDRESS"
    assert "NORNICDB_AUTH_ENABLED" not in PACK.variables


def test_an_extended_pack_adds_and_does_not_replace() -> None:
    new = Fact("my.list", "procedure", "my.list(...)", "call.go")
    changed = Fact("db.labels", "procedure", "other", "call.go")
    extended = PACK.extended([new, changed, new])
    assert len(extended.facts) == len(PACK.facts) + 1
    assert extended.names("procedure")["my.list"] is new and "my.list" not in PACK.names("procedure")
    assert extended.fact("db.labels") is PACK.fact("db.labels")


def test_packs_are_found_by_name(tmp_path: Path) -> None:
    assert pack_names() == ["nornicdb-1.0"]
    (tmp_path / "nornicdb-1.3.yaml").write_text(HEAD + "  - {id: a, kind: limit, source: s, value: 1}\n")
    (tmp_path / "models.yaml").write_text("models: []\n")
    assert pack_names(tmp_path) == ["nornicdb-1.3"]
    assert load_pack("nornicdb-1.3", tmp_path).fact("a").value == 1


def test_a_pack_is_read_once_and_again_when_it_changed(tmp_path: Path) -> None:
    assert load_pack() is PACK
    path = tmp_path / "p.yaml"
    path.write_text(HEAD + "  - {id: a, kind: limit, source: s, value: 1}\n")
    first = load_pack("p", tmp_path)
    path.write_text(HEAD + "  - {id: a, kind: limit, source: s, value: 2}\n")
    os.utime(path, ns=(1, 1))
    assert first.fact("a").value == 1 and load_pack("p", tmp_path).fact("a").value == 2


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ("{id: a, kind: procedure, source: s, value: 'a()'}", "needs yields"),
        ("{id: a, kind: function, source: s, value: 'a()'}", "starts with function."),
        ("{id: flag.serve.port, kind: flag, of: serve, source: s, value: 1}", "flag.<command>.--<name>"),
        ("{id: 'flag.init.--port', kind: flag, of: serve, source: s, value: 1}", "flag.<command>.--<name>"),
        ("{id: refused.a, kind: refused, source: s, value: A, note: n}", "needs note .* and instead"),
        ("{id: endpoint.a, kind: endpoint, source: s, value: /a}", "GET /path"),
        ("{id: a, kind: variable, source: s, value: 1, type: text}", "needs a type"),
        ("{id: a, kind: setting, source: s, value: true, type: integer}", "needs a type"),
        ("{id: a, kind: limit, source: s, value: 1, words: one}", "needs lists"),
    ],
)
def test_a_fact_of_the_wrong_form_is_named(tmp_path: Path, fact: str, said: str) -> None:
    (tmp_path / "p.yaml").write_text(f"{HEAD}  - {fact}\n")
    with pytest.raises(BadInput, match=said):
        load_pack("p", tmp_path)


def test_a_setting_is_checked_with_its_type() -> None:
    assert PACK.setting_fault("database.transaction_timeout", "30s") is None
    assert PACK.setting_fault("compliance.retention_exempt_roles", ["admin"]) is None
    assert "must be integer" in str(PACK.setting_fault("server.bolt_port", "7687"))
    assert "does not read" in str(PACK.setting_fault("heimdall.threads", 4))
    assert "not among the keys" in str(PACK.setting_fault("heimdall.colour", "red"))
