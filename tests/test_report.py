"""Tables, figures, the HTML report and the cards of scored items: complete, escaped, without network or script."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb import browser
from heimdall_nb.engines.graph import Rows
from heimdall_nb.evaluation import cards, claims, page, report
from heimdall_nb.evaluation.errors import analyse
from heimdall_nb.evaluation.metrics import ItemScore, summary

BAD = "<script>alert('x')</script>"
VOID = {"meta", "br", "img", "link"}


def score(number: int, answer: str = "", cause: str = "right", **changes: Any) -> ItemScore:
    gold = f"MATCH (a:Movie) WHERE a.released > {number} RETURN a.title AS title"
    rows = Rows(("title",), (("Alien",), ("Brazil",)))
    values: dict[str, Any] = {
        "id": f"{number:04}", "graph": "movies", "part": "cypher", "category": "filter", "context_size": "small",
        "style": "order", "template": "t", "question": f"Movies after {number}?", "gold": gold,
        "answer": answer or gold,
        "va": cause in ("right", "wrong result"), "ex": cause == "right", "em": False, "cause": cause, "message": "",
        "seconds": 0.25, "prompt_tokens": 10, "new_tokens": 5, "gold_rows": rows, "rows": rows, "ts": cause == "right",
    }  # fmt: skip
    return ItemScore(**(values | changes))


WRONG = "MATCH (a:Movie) WHERE a.released >= 2 RETURN a.title AS title"
LUCKY = "MATCH (a:Movie) WHERE a.released > 4 RETURN DISTINCT a.title AS title"
SCORES = [
    score(1),
    score(2, WRONG, "wrong result", rows=Rows(("title",), (("Alien",), ("Casablanca",)))),
    score(3, "MATCH (", "syntax", rows=None, message="no viable alternative"),
    score(4, LUCKY, ts=False, hints=("missing_limit: Every Movie can be returned.",)),
]


class Reader(HTMLParser):
    """Collects the tags and the text of a page, and notes a tag that is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert not reader.faults and not reader.open, (reader.faults, reader.open)
    return reader


def written(scores: list[ItemScore], path: Path, **more: Any) -> str:
    return page.write(scores, summary(scores) | more, path / "report.html").read_text(encoding="utf-8")


def test_the_page_holds_scores_claims_groups_errors_and_every_item(tmp_path: Path) -> None:
    found = read(written(SCORES, tmp_path, model="tiny", examples="iid", perplexity={"all": 1.5}))
    text = " ".join(" ".join(found.text).split())
    assert "Evaluation of tiny on iid" in text
    for said in ("75.0 % (30.1-95.4)", "50.0 %", "94.2 %", "88.7 %", "7.3", "180 ms", "1.50", "250 ms"):
        assert said in text, said
    assert claims.source() in text and "These are claims" in text
    for name in ("part", "category", "context size", "style", "graph"):
        assert f"By {name}" in text
    for kind in ("wrong comparison", "syntax", "extra DISTINCT"):
        assert kind in text
    assert "right by luck" in text and "missing_limit" in text and "Every Movie can be returned." in text
    wrong = len([s for s in SCORES if cards.verdict(s) != "right"])
    details = [tag for tag, _ in found.tags if tag == "details"]
    assert len(details) == len(SCORES) + wrong, "every item once, and each kind of error with its example"
    items = text[text.index("What is not right comes first") :]
    assert items.index("Movies after 4?") < items.index("Movies after 1?")


def test_the_page_needs_no_network_and_no_script(tmp_path: Path) -> None:
    found = read(written(SCORES, tmp_path))
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in found.tags}
    links = [a[name] for _, a in found.tags for name in ("href", "src", "action") if a.get(name)]
    assert links and all(str(link).startswith("#") for link in links)
    ids = {a["id"] for _, a in found.tags if a.get("id")}
    assert {str(link)[1:] for link in links} <= ids, "each link leads somewhere"
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


def test_everything_is_escaped(tmp_path: Path) -> None:
    fields = dict.fromkeys(("id", "graph", "category", "style", "question", "gold", "answer", "message"), BAD)
    bad = score(1, cause="wrong result", **(fields | {"part": BAD, "hints": (f"{BAD}: {BAD}",)}),
                gold_rows=Rows((BAD,), ((BAD,),)), rows=Rows((BAD,), (({BAD: [BAD]},),)))  # fmt: skip
    text = written([bad], tmp_path, model=BAD, examples=BAD, split=BAD, similarity={"reason": BAD})
    assert "<script" not in text and text.count("&lt;script&gt;") > 20
    read(text)
    assert "<script" not in cards.card(bad)


def test_the_same_scores_give_the_same_bytes(tmp_path: Path) -> None:
    assert written(SCORES, tmp_path) == written(list(SCORES), tmp_path)


@given(st.text(max_size=40), st.text(max_size=40))
def test_marks_lose_no_letter(first: str, second: str) -> None:
    import html

    bare = html.unescape(re.sub(r"</?mark>", "", cards.marked(first, second)))
    assert bare == html.unescape(html.escape(first))
    assert "<mark>" not in cards.marked(first, first)


def test_results_show_what_differs_in_words() -> None:
    text = " ".join(read(cards.results(SCORES[1])).text)
    assert "1 only gold, 1 only answer, 1 both" in text and "Casablanca" in text and "Brazil" in text
    swapped = Rows(("title",), (("Brazil",), ("Alien",)))
    assert "Their order differs" in cards.results(score(1, cause="wrong result", rows=swapped))
    assert "Only the gold has a result" in cards.results(SCORES[2])
    assert "another one on a second" in cards.results(SCORES[3])
    state = Rows(("graph",), (({"labels": ["A"]},),) * 3)
    assert "graph of 3 nodes and relationships" in cards.results(score(1, gold_rows=state, rows=None))
    assert cards.results(score(1, gold_rows=None)) == ""


def test_the_browser_of_scores_filters_by_verdict_and_kind() -> None:
    def chosen(**fields: str) -> list[str]:
        return [s.id for s in browser.matching(SCORES, cards.VIEW, fields)]

    assert chosen(verdict="right") == ["0001"] and chosen(verdict="right by luck") == ["0004"]
    assert chosen(kind="wrong comparison", graph="movies") == ["0002"] and chosen(kind="syntax", graph="shop") == []
    assert [s.id for s in browser.matching(SCORES, cards.VIEW, {}, "distinct")] == ["0004"]
    shown = cards.browse(SCORES)  # no front end here
    assert shown._repr_html_().count("<article") == 4 and repr(shown) == "4 items, one of each kind"


def test_the_widget_of_scores() -> None:
    pytest.importorskip("ipywidgets")
    filters, controls, view = browser._widget(SCORES, cards.VIEW).children
    assert [item.description for item in filters.children] == ["verdict", "kind", "graph", "category", "part"]
    filters.children[0].value = "wrong"
    assert controls.children[-1].value == "1 of 2" and "Movies after 2?" in view.value


def test_claims_are_beside_what_is_measured() -> None:
    found = {c.title: c for c in claims.beside(summary(SCORES) | {"perplexity": {"all": 7.2}})}
    assert {c.claimed for c in found.values()} == {"94.2 %", "88.7 %", "7.3", "180 ms"}
    assert found["perplexity"].verdict == "lower" and found["response time"].verdict == "not lower"
    assert found["Cypher syntax accuracy"].verdict == "within the interval", "four items say little"
    many = summary([score(n, "MATCH (", "syntax") for n in range(50)])
    assert {c.verdict for c in claims.beside(many)} == {"below", "not measured", "not lower"}
    assert list(report.claims(many).columns)[0] == claims.source()


def test_tables_and_the_heat_map(tmp_path: Path) -> None:
    analysis = analyse(SCORES)
    kinds = report.error_kinds(analysis)
    assert kinds["counts for"].sum() == 3 and kinds.loc["syntax", "shown by"] == 1
    assert list(report.examples_of_kinds(analysis)["kind of error"]) == ["syntax", "wrong comparison", "extra DISTINCT"]
    frame = report.confusion(analysis)
    assert frame.loc["filter", "questions"] == 4 and frame.loc["filter", "wrong"] == 3
    fig = report.confusion_figure(frame)
    axes = fig.axes[0]
    numbers = sorted(text.get_text() for text in axes.texts)
    assert numbers == sorted(str(n) for n in frame.drop(columns=["questions", "wrong"]).to_numpy().ravel() if n)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["syntax", "wrong comparison", "extra DISTINCT"]
    fig.savefig(tmp_path / "figure.png")
    assert "filter: 3 of 4 wrong" in report.confusion_text(frame)
    none = report.confusion(analyse(SCORES[:1]))
    assert report.confusion_text(none) == "No answer is wrong."
    report.confusion_figure(none).savefig(tmp_path / "none.png")
    assert report.hint_rows(SCORES) == [("missing_limit", 1, "Every Movie can be returned.")]
    assert "TS" in report.table({"a": summary(SCORES)}).columns and report.percent(None) == "-"
