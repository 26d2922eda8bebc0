"""The base's corpus: nothing of the benchmark is in it, names are without bound, and the tokenizer keeps them."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heimdall_nb.baselines.fewshot import skeleton
from heimdall_nb.dataset import corpus, questions
from heimdall_nb.dataset.benchmark import SETS, benchmark
from heimdall_nb.dataset.corpus import base_corpus, cypher_corpus, other_texts
from heimdall_nb.dataset.coverage import canonical
from heimdall_nb.dataset.domains import domains, read_domains
from heimdall_nb.dataset.example import Example, normalise
from heimdall_nb.dataset.graphs import GraphSchema, load_schema, schema_names
from heimdall_nb.dataset.invent import SMALL, Inventor, Size, invent_schema
from heimdall_nb.dataset.slots import NoBinding, SampledValues
from heimdall_nb.dataset.templates import PARTS, Template, bind, templates
from heimdall_nb.dataset.verified import FreshArcadeDB
from heimdall_nb.dataset.words import split_identifier
from heimdall_nb.engines.sqlite import SQLite
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.react_protocol import INSTRUCTIONS, read_action
from heimdall_nb.run import ROOT
from heimdall_nb.training.sequences import read_corpus, texts, write_corpus
from heimdall_nb.training.tokenizer import train_tokenizer

SEED, DRAWN, SMALL_ONES, MIXED = 7, 2000, 500, 40
SHIPPED = ROOT / "data" / "models" / "heimdall-nano-base"
Record = dict[str, Any]


@pytest.fixture(scope="module")
def drawn() -> list[tuple[GraphSchema, Record]]:
    return list(cypher_corpus(DRAWN, SEED, easy=SMALL_ONES, composed_from=2 * SMALL_ONES))


@pytest.fixture(scope="module")
def mixed() -> list[Record]:
    """The whole corpus, small: Cypher, SQL and ReAct traces."""
    with FreshArcadeDB() as graph:
        return list(base_corpus(MIXED, SEED, graph, SQLite()))


# what the benchmark reserves, and whether something holds it


@lru_cache(maxsize=1)
def reserved_graphs() -> tuple[GraphSchema, ...]:
    found = tuple(load_schema(name) for name in schema_names(True))
    assert len(found) >= 4 and all(schema.benchmark for schema in found)
    return found


@lru_cache(maxsize=1)
def items() -> tuple[Example, ...]:
    return tuple(item for name in SETS for item in benchmark(name))


def shape_faults(labels: Iterable[str], links: Iterable[tuple[str, str, str]]) -> list[str]:
    """What labels and relationships (type, start, end) have in common with a graph of the benchmark."""
    labels, faults = set(labels), []
    for schema in reserved_graphs():
        faults += [f"two labels of {schema.name}"] if len(labels & set(schema.labels)) > 1 else []
        known = {(item.type, item.start, item.end) for item in schema.relationships}
        faults += [f"relationship of {schema.name}"] if known & set(links) else []
    return faults


@lru_cache(maxsize=1)
def schema_texts() -> frozenset[str]:
    lines = {line for schema in reserved_graphs() for line in schema.text().splitlines()}
    return frozenset({item.schema for item in items() if item.schema} | lines)


def text_faults(schema_text: str) -> list[str]:
    """A whole schema of a benchmark item, or a line of a schema that the benchmark reserves."""
    return [text for text in (schema_text, *schema_text.splitlines()) if text in schema_texts()]


@lru_cache(maxsize=1)
def reserved_templates() -> tuple[Template, ...]:
    return tuple(template for part in PARTS for template in templates(part).values() if template.benchmark)


@lru_cache(maxsize=1)
def structures() -> dict[frozenset[tuple[str, str]], str]:
    """The structures that reserved templates give on many schemas, and those of the benchmark's items of them."""
    names, found = {template.name for template in reserved_templates()}, {}
    graphs = [load_schema(name) for name in schema_names()] + [invent_schema(random.Random(n)) for n in range(20)]
    for template in templates().values():
        for turn, schema in enumerate(graphs if template.benchmark else ()):
            try:
                binding = bind(template, schema, SampledValues(), random.Random(turn))
            except NoBinding:
                continue
            found[skeleton(template.render(binding))] = template.name
    assert set(found.values()) == {name for name in names if name in templates()}
    return found | {skeleton(item.output): item.template for item in items() if item.template in names}


@lru_cache(maxsize=1)
def reserved_texts() -> frozenset[str]:
    """Questions and queries of the benchmark; queries that name nothing of their graph are the same on every graph."""
    queries = [
        item.output for item in items() if item.part != "cypher" or re.search(r"\bname\b", canonical(item.output))
    ]
    return frozenset(map(normalise, [*queries, *(item.input for item in items())]))


@lru_cache(maxsize=1)
def frames() -> re.Pattern[str]:
    """The reserved styles: a question that is one of their frames around anything."""
    known = [f for style in questions.BENCHMARK_STYLES for kind in questions._FRAMES[style].values() for f in kind]
    return re.compile("|".join(re.escape(frame).replace(r"\{\}", ".+") for frame in known), re.IGNORECASE | re.DOTALL)


def turn_faults(question: str, answer: str) -> list[str]:
    """What a turn has of the benchmark: a question, a query, a reserved structure or a reserved style."""
    question, queries = question.removeprefix(INSTRUCTIONS), {answer, read_action(answer)[1]}
    faults = ["text of the benchmark"] if {normalise(t) for t in (question, *queries)} & reserved_texts() else []
    faults += [f"structure of {structures()[s]}" for q in queries if q and (s := skeleton(q)) in structures()]
    return faults + (["reserved style"] if frames().fullmatch(question) else [])


# the exclusion, and that each check sees what it is for


def test_nothing_of_the_benchmark_is_in_the_domains() -> None:
    assert len(domains()) >= 100
    for domain in domains():
        assert not shape_faults(domain.entities, [(x.name, x.start, x.end) for x in domain.links]), domain.name
    names = {name for schema in reserved_graphs() for name in schema.labels}
    assert not names & {name for domain in domains() for name in domain.entities}


def test_no_schema_of_the_benchmark_is_in_the_corpus(
    drawn: list[tuple[GraphSchema, Record]], mixed: list[Record]
) -> None:
    for schema, record in drawn:
        faults = shape_faults(schema.labels, [(x.type, x.start, x.end) for x in schema.relationships])
        assert not faults + text_faults(record["schema"]), record["schema"]
    for record in mixed:
        assert not text_faults(record["schema"])


def test_no_structure_style_or_text_of_the_benchmark_is_in_the_corpus(
    drawn: list[tuple[GraphSchema, Record]], mixed: list[Record]
) -> None:
    assert {record["kind"] for record in mixed} == {"cypher", "sql", "react"}
    for record in [*(record for _, record in drawn), *mixed]:
        for question, answer in record["turns"]:
            assert not turn_faults(question, answer), (question, answer)


def test_the_tokenizers_other_texts_have_nothing_of_the_benchmark() -> None:
    reserved = {w for t in reserved_templates() for w in (t.query, *t.phrases, *t.questions)}
    seen = set(other_texts())
    assert len(seen) > 500 and not seen & reserved
    # A template without slots has one answer, which the benchmark's operations may ask for too.
    assert not {fault for text in seen for fault in turn_faults(text, text)} - {"text of the benchmark"}


@pytest.mark.parametrize("name", schema_names(True))
def test_the_checks_see_a_graph_of_the_benchmark(name: str) -> None:
    schema = load_schema(name)
    links = [(item.type, item.start, item.end) for item in schema.relationships]
    assert shape_faults(schema.labels, []) == [f"two labels of {name}"]
    assert shape_faults([], links[-1:]) == [f"relationship of {name}"]
    assert text_faults("(:X {a: STRING KEY})\n" + schema.text().splitlines()[0]) and text_faults(schema.text())
    own = next(cypher_corpus(1, SEED, draw=lambda rng, size: schema))[1]  # a corpus drawn from it is found out
    assert text_faults(own["schema"])


def test_the_checks_see_every_item_of_the_benchmark() -> None:
    for item in items():
        named = item.part != "cypher" or re.search(r"\bname\b", canonical(item.output))
        assert "text of the benchmark" in turn_faults(item.input, "RETURN 1 AS new")
        assert not named or "text of the benchmark" in turn_faults("Something else?", item.output)
    for item in benchmark("template"):
        assert f"structure of {item.template}" in turn_faults("Something else?", item.output)
        step = f"Thought: I run it.\nAction: run_query[{item.output}]"
        assert f"structure of {item.template}" in turn_faults(INSTRUCTIONS + "Something else?", step)
    for item in benchmark("style"):
        assert "reserved style" in turn_faults(f"{item.input[:-1]} or so{item.input[-1]}", "RETURN 1 AS new")
    assert not turn_faults("How many lamps are there?", "MATCH (a:Lamp) RETURN count(a) AS number")


def test_reserved_templates_are_not_drawn() -> None:
    assert len(reserved_templates()) >= 18
    names = {template.name for longest in (corpus.SHORT, 0) for group in corpus._groups(longest) for template in group}
    assert len(names) >= 150 and not names & {template.name for template in reserved_templates()}


# the order and the independence of the records


def test_a_record_depends_on_the_seed_and_its_number_alone(drawn: list[tuple[GraphSchema, Record]]) -> None:
    first = [record for _, record in drawn[:12]]
    for number in random.Random("another order").sample(range(DRAWN), 12):
        own, small = random.Random(f"corpus {SEED} {number}"), number < SMALL_ONES
        composed = corpus.COMPOSED if number >= 2 * SMALL_ONES else 0.0
        size = (SMALL, corpus.FEW) if small else (Size(), 8)
        schema, turns = corpus._record(invent_schema, *size, own, composed)
        assert drawn[number][1] == {"task": "cypher", "schema": schema.text(), "turns": turns}
    longer = [record for _, record in islice(cypher_corpus(DRAWN + 100, SEED, easy=SMALL_ONES), 12)]
    assert longer == first != [record for _, record in islice(cypher_corpus(DRAWN, SEED + 1, easy=SMALL_ONES), 12)]
    assert len({record["schema"] for _, record in drawn}) > 0.995 * DRAWN  # schemas that were not seen before


DIGEST = """
import hashlib, json
from heimdall_nb.dataset.corpus import cypher_corpus
from heimdall_nb.dataset.relational_corpus import relational_corpus
records = [record for _, record in cypher_corpus(60, 7)] + list(relational_corpus(5, 7))
print(hashlib.sha256(json.dumps(records).encode()).hexdigest())
"""


def test_the_same_bytes_in_every_process() -> None:
    """Set order and `hash()` differ from process to process; the records do not."""
    found = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-c", DIGEST]
        run = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        found.add(run.stdout)
    assert len(found) == 1


def test_the_whole_corpus_begins_with_cypher_alone_and_then_mixes(mixed: list[Record]) -> None:
    kinds = [record["kind"] for record in mixed]
    easy = int(corpus.EASY_SHARE * MIXED)
    assert set(kinds[:easy]) == {"cypher"} and set(kinds[easy:]) == {"cypher", "sql", "react"}
    assert [r["schema"] for r in mixed if r["kind"] == "cypher"] == [
        record["schema"] for _, record in islice(cypher_corpus(MIXED, SEED, easy=easy), kinds.count("cypher"))
    ]
    assert {r["kind"]: r["task"] for r in mixed} == {"cypher": "cypher", "sql": "sql", "react": "cypher"}


def test_the_whole_corpus_is_the_same_again_and_can_be_read(mixed: list[Record], tmp_path: Path) -> None:
    with FreshArcadeDB() as graph:
        assert list(base_corpus(MIXED, SEED, graph, SQLite())) == mixed
    read = list(read_corpus(write_corpus(tmp_path / "corpus.jsonl", mixed)))
    assert [len(messages) for messages in read] == [1 + 2 * len(record["turns"]) for record in mixed]


def test_a_query_that_the_engine_refuses_is_an_error(
    drawn: list[tuple[GraphSchema, Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, record = drawn[0]
    broken = (schema, record | {"turns": [["How?", "MATCH (a RETURN a"]]})
    monkeypatch.setattr(corpus, "cypher_corpus", lambda sequences, seed, **_: iter([broken]))
    with FreshArcadeDB() as graph, pytest.raises(HeimdallError, match="refused a query"):
        list(base_corpus(2, SEED, graph, SQLite()))  # the first of two is Cypher


# names


def names_of(schema: GraphSchema) -> set[str]:
    labels = {name for label in schema.labels.values() for name in (label.name, *label.properties)}
    return labels | {name for item in schema.relationships for name in (item.type, *item.properties)}


@pytest.fixture(scope="module")
def schemas() -> list[GraphSchema]:
    return [invent_schema(random.Random(f"names {n}")) for n in range(1000)]


def test_names_are_without_bound(schemas: list[GraphSchema]) -> None:
    """Measured: 10,029 identifiers in 1,000 schemas; of a schema's names 35 % were in none of the 900 before."""
    seen: set[str] = set()
    unseen = []
    for schema in schemas:
        names = names_of(schema)
        unseen.append(len(names - seen) / len(names))
        seen |= names
    assert len(seen) > 9000
    assert sum(unseen[900:]) / 100 > 0.28


def test_a_share_of_the_names_is_in_no_list() -> None:
    """Measured where names come from words: 44 % of a schema's names were in none of 900 schemas before."""
    seen, unseen = set(), []
    for n in range(1000):
        names = names_of(Inventor(random.Random(f"words {n}"), "words").schema())
        unseen.append(len(names - seen) / len(names))
        seen |= names
    assert sum(unseen[900:]) / 100 > 0.38


STYLES = {
    "upper": r"[^\W\d_a-z]{2,}(?:_[^\W_a-z]+)*",
    "snake": r"[^\W_A-Z]+(?:_[^\W_A-Z]+)+",
    "lower": r"[^\W_A-Z]+",
    "pascal": r"[^\W\d_a-z][^\W_]*",
    "camel": r"[^\W_A-Z][^\W_]*[A-Z][^\W_]*",
    "spaces": r".* .*",
}


def test_names_come_in_every_style(schemas: list[GraphSchema]) -> None:
    found: dict[str, Counter[str]] = {"label": Counter(), "property": Counter(), "type": Counter()}
    for schema in schemas:
        names = {
            "label": list(schema.labels),
            "property": [name for label in schema.labels.values() for name in label.properties],
            "type": [item.type for item in schema.relationships],
        }
        for kind, texts_ in names.items():
            found[kind].update(next((s for s, p in STYLES.items() if re.fullmatch(p, n)), n) for n in texts_)
    shares = {kind: {name: n / counts.total() for name, n in counts.items()} for kind, counts in found.items()}
    assert shares["label"]["pascal"] > 0.6 and shares["type"]["upper"] > 0.6 and shares["property"]["lower"] > 0.4
    for kind, style in (
        ("label", "upper"),
        ("label", "snake"),
        ("type", "camel"),
        ("type", "snake"),
    ):
        assert shares[kind][style] > 0.001, (kind, style, shares[kind])
    for kind, style in (("type", "spaces"), ("property", "spaces"), ("property", "snake"), ("property", "pascal")):
        assert shares[kind][style] > 0.005, (kind, style, shares[kind])
    assert shares["property"]["camel"] > 0.1


def test_names_with_spaces_stand_in_back_ticks(drawn: list[tuple[GraphSchema, Record]]) -> None:
    """In 3 to 5 % of the schemas, and in queries about them."""
    ticked = [record for _, record in drawn if "`" in record["schema"]]
    assert 0.02 < len(ticked) / len(drawn) < 0.08
    assert sum(any("`" in query for _, query in record["turns"]) for record in ticked) > 0.8 * len(ticked)
    for schema, record in drawn:
        spaced = {name for name in names_of(schema) if " " in name}
        assert all(f"`{name}`" in record["schema"] for name in spaced)
        assert not [name for _, query in record["turns"] for name in spaced if f":{name}" in query]


# the files of domains


GOOD = """
bakery:
  Baker: name!:s, since=working since:i
  Oven: code!:s, heat:f
  relationships:
    - "USES {day:d}; Baker; Oven; uses; is used by"
"""


def test_a_file_of_domains_is_read(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (domain,) = read_domains(tmp_path / "good.yaml")
    assert list(domain.entities) == ["Baker", "Oven"]
    assert [(a.name, a.words, a.kind, a.key) for a in domain.entities["Baker"].attributes] == [
        ("name", "name", "STRING", True),
        ("since", "working since", "INTEGER", False),
    ]
    assert [(x.name, x.says, x.back, x.attributes[0].kind) for x in domain.links] == [
        ("USES", "uses", "is used by", "DATE")
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name!:s", "name:s", "Baker has not one key"),
        ("heat:f", "heat!:f", "Oven has not one key"),
        ("heat:f", "heat:x", "`heat:x` is no property"),
        ("heat:f", "the heat:f", "is no property"),
        ("Baker; Oven;", "Baker; Stove;", "is no relationship"),
        ("; is used by", "", "is no relationship"),
        ("USES {day:d}", "USES IT {day:d}", "is no relationship"),
        ("{day:d}", "{day:q}", "`day:q` is no property"),
    ],
)
def test_a_faulty_file_of_domains_is_bad_input(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    (tmp_path / "faulty.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(BadInput, match=re.escape(message)) as caught:
        read_domains(tmp_path / "faulty.yaml")
    assert "faulty.yaml, bakery" in str(caught.value)


def test_what_the_domains_say_reads_as_words() -> None:
    for domain in domains():
        for entity in domain.entities.values():
            assert entity.words and entity.attributes[0].key and entity.words == entity.words.strip()
            assert len({item.name for item in entity.attributes}) == len(entity.attributes), (domain.name, entity.name)
        for link in domain.links:
            assert link.says and link.back and split_identifier(link.name), (domain.name, link.name)


# the tokenizer


@pytest.fixture(scope="module")
def tokenizer(drawn: list[tuple[GraphSchema, Record]], tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = write_corpus(tmp_path_factory.mktemp("corpus") / "c.jsonl", [record for _, record in drawn[::4]])
    return train_tokenizer(texts(read_corpus(path)), 2048)


def cut(tokenizer: Any, before: str, name: str) -> tuple[str, ...]:
    """The tokens of `name` behind `before`; a common word that takes its space along counts as the word."""
    pieces = tokenizer.tokenize(f"a{before}{name}")
    start = "Ġ" if before == " " else before
    assert pieces[0] == "a" and pieces[1].startswith(start), pieces
    return tuple(filter(None, [pieces[1].removeprefix(start), *pieces[2:]]))


def test_a_name_is_cut_in_the_same_tokens_wherever_it_stands(tokenizer: Any) -> None:
    joined = Counter()

    @given(st.integers(0, 10**9))
    @example(1)
    def alike(seed: int) -> None:
        for name in sorted(names_of(invent_schema(random.Random(seed)))):
            ways = {before: cut(tokenizer, before, name) for before in " :.(`"}
            assert len(set(ways.values())) == 1, (name, ways)
            joined[tokenizer.tokenize(f"a {name}")[1] != "Ġ"] += 1

    alike()
    assert joined.total() > 500 and joined[True] < 0.2 * joined.total()  # measured: an eighth


def test_only_common_words_take_the_space_along_and_no_token_joins_words(tokenizer: Any) -> None:
    vocabulary = tokenizer.get_vocab()
    spaced = [token for token in vocabulary if re.fullmatch("Ġ[A-Za-z]+", token)]
    assert 100 < len(spaced) <= 240 and {"ĠMATCH", "Ġthe", "ĠRETURN"} <= set(spaced)
    ascii_only = [token for token in vocabulary if re.fullmatch("[!-~ĠĊ]+", token) and not token.startswith("<|")]
    words = [token for token in ascii_only if re.search("[A-Za-z]", token) and token not in spaced]
    assert len(words) > 1000
    assert not [token for token in words if not re.fullmatch("[A-Z]?[a-z]*|[A-Z]+", token)]


def test_a_name_never_seen_costs_few_tokens(tokenizer: Any) -> None:
    names = [name for n in range(60) for name in sorted(names_of(invent_schema(random.Random(f"other {n}"))))]
    assert sum(len(cut(tokenizer, ":", name)) for name in names) < 0.6 * sum(map(len, names))


def test_round_trip_of_any_text(tokenizer: Any) -> None:
    import unicodedata

    @given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=80))
    @example("MATCH (a:`größe 東京`)\r\n\t  WHERE a.x = 'it''s' <|im_end|>")
    def lossless(text: str) -> None:
        text = unicodedata.normalize("NFC", text)
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text

    lossless()


def test_llama_cpp_cuts_the_corpus_as_transformers_does(
    drawn: list[tuple[GraphSchema, Record]], mixed: list[Record], tmp_path: Path
) -> None:
    """The shipped tokenizer, through both, on conversations of the corpus."""
    from heimdall_nb.export.gguf_file import write_gguf
    from heimdall_nb.models.llamacpp import LlamaCppModel
    from heimdall_nb.models.transformers_model import TransformersModel
    from heimdall_nb.prompts import render

    other = [record for record in mixed if record["kind"] != "cypher"]
    path = write_corpus(tmp_path / "corpus.jsonl", [*(record for _, record in drawn[:: DRAWN // 190]), *other][:200])
    compared = [render(messages, generation_prompt=False) for messages in read_corpus(path)]
    reference, model = TransformersModel(SHIPPED), LlamaCppModel(write_gguf(SHIPPED, tmp_path / "base.gguf"))
    try:
        ids = [reference.tokens(text) for text in compared]
        assert len(compared) == 200 and len({token for row in ids for token in row}) > 1000
        assert [model.tokens(text) for text in compared] == ids
    finally:
        model.close()
        reference.close()
