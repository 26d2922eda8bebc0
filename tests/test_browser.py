"""The browser of examples: filters, paging, the plain twin, and escaping."""

from __future__ import annotations

import html
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_nb import browser
from heimdall_nb.dataset.example import Example
from heimdall_nb.errors import BadInput
from heimdall_nb.prompts import TASKS


def make(number: int, category: str = "filter", answer: str = "MATCH (n) RETURN n", part: str = "cypher") -> Example:
    task = "cypher" if part == "cypher" else "text"
    return Example(
        TASKS[task], f"Question {number}?", answer, category, "small", part=part, style="order", check="parsed"
    )


SOME = [make(n, "filter" if n % 3 else "path", f"MATCH (n {{k: {n}}}) RETURN n") for n in range(1, 31)]
VIEW = browser.of_examples()


def test_a_page_is_a_table_with_the_numbers_of_its_rows() -> None:
    table = browser.page(SOME, 2, 12)
    assert list(table.index) == list(range(13, 25))
    assert table.loc[13, "input"] == "Question 13?"
    assert len(browser.page(SOME, 3, 12)) == 6 and browser.page(SOME, 4, 12).empty


@pytest.mark.parametrize(("number", "size"), [(0, 10), (1, 0), (-1, 5)])
def test_pages_are_counted_from_one(number: int, size: int) -> None:
    with pytest.raises(BadInput, match="1 or more"):
        browser.page(SOME, number, size)


def test_filters_and_the_search_are_combined() -> None:
    assert len(browser.matching(SOME, VIEW, {"category": "path"})) == 10
    assert [e.input for e in browser.matching(SOME, VIEW, {"category": "path"}, "K: 3}")] == ["Question 3?"]
    assert browser.matching(SOME, VIEW, {"category": browser.ALL, "part": "cypher"}) == SOME
    with pytest.raises(BadInput, match="not a field"):
        browser.browse(SOME, fields=("categories",))


def test_without_a_front_end_one_example_of_each_category_is_shown() -> None:
    shown = browser.browse(SOME)
    assert not browser.interactive()  # pytest is no notebook
    assert shown._repr_html_().count("<pre") == 2 == int(repr(shown).split()[0])
    assert "Question 1?" in shown._repr_html_() and "Question 3?" in shown._repr_html_()
    assert "No example" in browser.plain([], VIEW)


@given(st.text(max_size=60))
def test_the_coloured_answer_is_the_escaped_answer(answer: str) -> None:
    coloured = browser.coloured_answer(answer)
    bare = re.sub(r"<span style='color:#\w{6}'>|</span>", "", coloured)
    assert "<" not in bare and html.unescape(bare) == html.unescape(html.escape(answer))


def test_everything_is_escaped() -> None:
    bad = "<script>alert('x')</script>"
    example = Example(TASKS["text"], bad, bad, bad, "small", part="nornicdb", graph=bad, style=bad, check=bad)
    assert "<script" not in browser.card(example) and browser.card(example).count("&lt;script&gt;") == 6
    query = Example(TASKS["cypher"], bad, f'RETURN "{bad}" AS x', "c", "small")
    assert "<script" not in browser.card(query)


def test_keywords_texts_and_numbers_are_coloured() -> None:
    coloured = browser.coloured_answer("MATCH (n:Order) WHERE n.x = 'a' RETURN 5")
    assert coloured.count(browser._COLOURS["keyword"]) == 3  # the label is none
    assert f"color:{browser._COLOURS['string']}'>&#x27;a&#x27;<" in coloured
    assert f"color:{browser._COLOURS['number']}'>5<" in coloured


def test_the_widget_filters_searches_and_steps() -> None:
    widgets = pytest.importorskip("ipywidgets")
    box = browser._widget(SOME, VIEW)
    filters, controls, view = box.children
    category = next(item for item in filters.children if item.description == "category")
    search, back, forward, place = controls.children
    assert isinstance(box, widgets.VBox) and place.value == "1 of 30" and back.disabled
    forward.click()
    assert place.value == "2 of 30" and "Question 2?" in view.value
    category.value = "path"
    assert place.value == "1 of 10" and "Question 3?" in view.value
    search.value = "Question 30"
    assert place.value == "1 of 1" and forward.disabled and back.disabled
    search.value = "nothing has this"
    assert place.value == "no example" and view.value == ""


def test_a_missing_package_gives_the_plain_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    class ZMQInteractiveShell:
        kernel = None

    class IPython:
        get_ipython = staticmethod(lambda: ZMQInteractiveShell())

    pytest.importorskip("ipywidgets")
    monkeypatch.setitem(sys.modules, "IPython", IPython)
    assert browser.interactive()
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # an import of it fails
    assert not browser.interactive()
    assert browser.browse(SOME)._repr_html_().count("<pre") == 2
    ZMQInteractiveShell.kernel = type("Kernel", (), {"_allow_stdin": False})()
    monkeypatch.delitem(sys.modules, "ipywidgets")
    assert not browser.interactive()
