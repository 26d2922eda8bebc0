"""A browser of records for notebooks: with ipywidgets where there is a front end, else plain paragraphs or a table.

`browse` shows examples; `show` takes any records, e.g. scores (`evaluation.cards`).
"""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from heimdall_nb.dataset.example import Example
from heimdall_nb.engines.cypher_tokens import tokens
from heimdall_nb.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

FIELDS = ("part", "category", "graph", "style")
COLUMNS = ("part", "category", "graph", "style", "input", "output", "check")
ALL = "(all)"
_KEYWORDS = frozenset(
    "MATCH OPTIONAL WHERE RETURN WITH ORDER BY SKIP LIMIT UNWIND CREATE MERGE SET DELETE DETACH REMOVE CALL YIELD "
    "UNION ALL AND OR XOR NOT IN IS NULL AS DISTINCT CASE WHEN THEN ELSE END EXISTS STARTS ENDS CONTAINS ASC DESC ON "
    "FOREACH SELECT FROM JOIN LEFT INNER GROUP HAVING LIKE BETWEEN".split()
)
T = TypeVar("T")
_COLOURS = {"keyword": "#8250df", "string": "#0a6b2d", "number": "#0550ae", "parameter": "#953800"}


@dataclass(frozen=True)
class View(Generic[T]):
    """How records are browsed: the value of each filter, the texts that are searched, and a record as HTML.

    `noun` names one record; `first_of` gives what the plain twin shows one record of.
    """

    fields: Mapping[str, Callable[[T], str]]
    texts: Callable[[T], Sequence[str]]
    card: Callable[[T], str]
    first_of: Callable[[T], object]
    noun: str


def show(records: Sequence[T], view: View[T]) -> Any:
    """Show a browser of `records`: a filter for each field of `view`, a text search, previous and next.

    Without ipywidgets, or where a notebook runs without a front end, the first record of each kind is shown as plain
    HTML. Returns the widget or the HTML, as the last value of a cell shows it.
    """
    return _widget(list(records), view) if interactive() else _Plain(plain(records, view), view.noun)


def browse(examples: Sequence[Example], fields: Sequence[str] = FIELDS) -> Any:
    """Show a browser of `examples`: a filter for each of `fields`, a text search, previous and next.

    Without ipywidgets, or where a notebook runs without a front end, the first example of each category is shown as
    plain HTML. Returns the widget or the HTML, as the last value of a cell shows it. Raises BadInput for an unknown
    field.
    """
    return show(examples, of_examples(fields))


def of_examples(fields: Sequence[str] = FIELDS) -> View[Example]:
    """The view of examples with these filters. Raises BadInput for an unknown field."""
    _known(fields)
    return View(
        {name: lambda example, name=name: _shown(example, name) for name in fields},
        lambda example: (example.input, example.output),
        card,
        lambda example: (example.part, example.category),
        "example",
    )


def interactive() -> bool:
    """True where widgets can be used: ipywidgets is installed, and a notebook runs with a front end."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or type(shell).__name__ not in ("ZMQInteractiveShell", "Shell"):  # `Shell` is Colab's
        return False
    # papermill and nbconvert ask with allow_stdin off: there is nobody at the keyboard.
    if not getattr(getattr(shell, "kernel", None), "_allow_stdin", True):
        return False
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        return False
    return True


def page(examples: Sequence[Example], number: int = 1, size: int = 10) -> pd.DataFrame:
    """Page `number` (from 1) of the examples as a table of `size` rows; empty past the end. Raises BadInput below 1."""
    if number < 1 or size < 1:
        raise BadInput("must be 1 or more", "number, size", "Pages are counted from 1.")
    import pandas as pd

    chosen = list(examples)[(number - 1) * size : number * size]
    index = range((number - 1) * size + 1, (number - 1) * size + 1 + len(chosen))
    return pd.DataFrame([[getattr(e, name) for name in COLUMNS] for e in chosen], columns=list(COLUMNS), index=index)


def matching(records: Sequence[T], view: View[T], chosen: Mapping[str, str] | None = None, text: str = "") -> list[T]:
    """The records whose fields have the chosen values and whose texts hold `text` (any case).

    Raises BadInput for a field that the view does not have.
    """
    wanted, chosen = text.strip().lower(), chosen or {}
    for name in chosen:
        if name not in view.fields:
            raise BadInput(f"{name!r} is not a field", "fields", f"Choose among: {', '.join(view.fields)}.")
    return [
        record
        for record in records
        if all(value == ALL or view.fields[name](record) == value for name, value in chosen.items())
        and any(wanted in said.lower() for said in view.texts(record))
    ]


def plain(records: Sequence[T], view: View[T]) -> str:
    """HTML with the first record of each kind."""
    first: dict[object, T] = {}
    for record in records:
        first.setdefault(view.first_of(record), record)
    return "\n".join(map(view.card, first.values())) or f"<p>No {view.noun}.</p>"


def card(example: Example) -> str:
    """One example as HTML: its fields, the question, the answer with its words coloured, the check."""
    fields = " · ".join(html.escape(_shown(example, name)) for name in FIELDS if _shown(example, name))
    coloured = coloured_answer(example.output) if example.task in ("cypher", "sql") else html.escape(example.output)
    check = f"<div><small>check: {html.escape(example.check)}</small></div>" if example.check else ""
    return (
        f"<article style='margin:0 0 1em 0'><small>{fields}</small><p><b>{html.escape(example.question)}</b></p>"
        f"<pre style='white-space:pre-wrap'>{coloured}</pre>{check}</article>"
    )


def coloured_answer(answer: str) -> str:
    """A query as HTML with its keywords, texts, numbers and parameters coloured; everything is escaped."""
    said, end, before = [], 0, ""
    for token in tokens(answer):
        keyword = token.is_word(*_KEYWORDS) and before not in (":", ".")
        kind, before = "keyword" if keyword else token.kind, token.text
        if kind not in _COLOURS:
            continue
        length = len(token.text) + (2 if token.kind == "string" else 0)
        said.append(html.escape(answer[end : token.start]))
        text = html.escape(answer[token.start : token.start + length])
        said.append(f"<span style='color:{_COLOURS[kind]}'>{text}</span>")
        end = token.start + length
    return "".join([*said, html.escape(answer[end:])])


class _Plain:
    """HTML that a notebook shows as such, and that prints as text elsewhere."""

    def __init__(self, content: str, noun: str) -> None:
        self.content, self.noun = content, noun

    def _repr_html_(self) -> str:
        return self.content

    def __repr__(self) -> str:
        return f"{self.content.count('<article')} {self.noun}s, one of each kind"


def _shown(example: Example, name: str) -> str:
    return str(getattr(example, name) or "")


def _known(fields: Any) -> None:
    for name in fields:
        if name not in Example.__dataclass_fields__:
            raise BadInput(f"{name!r} is not a field of an example", "fields", f"Choose among: {', '.join(FIELDS)}.")


def _widget(records: list[T], view_of: View[T]) -> Any:
    import ipywidgets as widgets

    filters = {}
    for name, value_of in view_of.fields.items():
        options = [ALL, *sorted({value_of(record) for record in records})]
        filters[name] = widgets.Dropdown(options=options, value=ALL, description=name)
    search = widgets.Text(description="search", placeholder="in the texts", continuous_update=False)
    back, forward = widgets.Button(description="previous"), widgets.Button(description="next")
    place, view = widgets.Label(), widgets.HTML()
    state = {"found": records, "at": 0}

    def show() -> None:
        found, at = state["found"], state["at"]
        place.value = f"{at + 1} of {len(found)}" if found else f"no {view_of.noun}"
        view.value = view_of.card(found[at]) if found else ""
        back.disabled, forward.disabled = at == 0, at >= len(found) - 1

    def refresh(_: Any = None) -> None:
        chosen = {name: item.value for name, item in filters.items()}
        state.update(found=matching(records, view_of, chosen, search.value), at=0)
        show()

    def step(by: int) -> Callable[[Any], None]:
        def move(_: Any) -> None:
            state["at"] = max(0, min(len(state["found"]) - 1, state["at"] + by))
            show()

        return move

    for item in (*filters.values(), search):
        item.observe(refresh, names="value")
    back.on_click(step(-1))
    forward.on_click(step(1))
    show()
    return widgets.VBox([widgets.HBox(list(filters.values())), widgets.HBox([search, back, forward, place]), view])
