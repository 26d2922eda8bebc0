"""Executed notebooks as pages: stamped with where they ran, small, readable without JavaScript, with an index."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import nbformat

from heimdall_nb.run import ROOT, STAGES, Run, atomic_text, notebook_path

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><a class="skip" href="#main">Skip to the content</a>{navigation}
<main id="main">{body}</main>{navigation}</body></html>
"""


def stamp(path: Path, number: str, commit: str, machine: dict[str, Any], versions: dict[str, str]) -> None:
    """Write into an executed notebook which commit, machine and versions made it, and leave local paths out."""
    notebook = nbformat.read(path, as_version=4)
    made = {"commit": commit, "machine": machine, "versions": versions, "source": notebook_path(number).name}
    notebook.metadata["heimdall"] = made
    papermill = notebook.metadata.get("papermill", {})
    papermill.update(input_path=f"notebooks/{notebook_path(number).name}", output_path=notebook_path(number).name)
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    gpu = "no GPU" if machine["gpu"] == "none" else f"{machine['gpu']} ({machine['vram_gb']} GB)"
    text = (
        f"*Executed copy: commit `{commit}`; {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['ram_gb']} GB, {gpu}, {machine['system']}, Python {machine['python']}; {names}.*"
    )
    cell = nbformat.v4.new_markdown_cell(text, id=f"{number}-stamp")
    notebook.cells = [c for c in notebook.cells if c.get("id") != cell["id"]]
    notebook.cells.insert(1, cell)
    atomic_text(path, nbformat.writes(notebook).replace(f"{ROOT}/", "") + "\n")


def write_page(run: Run, number: str) -> Path:
    """The HTML page of an executed notebook, beside it."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    executed = run.path / notebook_path(number).name
    body, _ = HTMLExporter(template_name="basic").from_filename(str(executed))
    body = re.sub(r'(href=")(\d\d_\w+)\.ipynb', r"\1\2.html", body)  # links between notebooks lead to their pages
    title = f"{number} {STAGES[number]} ({run.name})"
    style = STYLE + HtmlFormatter(style="default").get_style_defs(".highlight")
    return atomic_text(
        executed.with_suffix(".html"),
        PAGE.format(title=html.escape(title), style=style, navigation=_navigation(number), body=body),
    )


def _navigation(number: str) -> str:
    numbers = list(STAGES)
    place = numbers.index(number)
    links = ['<a href="index.html">All pages</a>']
    for word, other in (("Before", place - 1), ("Next", place + 1)):
        if 0 <= other < len(numbers):
            name = STAGES[numbers[other]]
            links.append(f'<a href="{notebook_path(numbers[other]).stem}.html">{word}: {name}</a>')
    return f'<nav aria-label="Notebooks">{"".join(links)}</nav>'


def write_index(run: Run) -> Path:
    """`index.html` of a run: its scores, its pages with seconds and memory, and the machine it ran on."""
    stages = run.manifest()["stages"]
    rows = "".join(
        f'<tr><td><a href="{notebook_path(n).stem}.html">{n} {STAGES[n]}</a></td><td>{entry["seconds"]:.0f}</td>'
        f"<td>{entry['peak_memory_mb']:.0f}</td><td>{entry['commit']}</td><td>{entry['finished']}</td></tr>"
        for n, entry in stages.items()
    )
    scores = "".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in run.headline().items())
    last = next(reversed(stages.values()), {"machine": {}})
    where = ", ".join(f"{key} {value}" for key, value in last["machine"].items())
    body = (
        f"<h1>Heimdall: run {html.escape(run.name)}</h1><h2>Scores</h2>"
        f'<table class="scores"><thead><tr><th>what</th><th>measured</th></tr></thead><tbody>{scores}</tbody></table>'
        "<h2>Pages</h2><table><thead><tr><th>notebook</th><th>seconds</th><th>peak memory, MiB</th><th>commit</th>"
        f"<th>finished (UTC)</th></tr></thead><tbody>{rows}</tbody></table><h2>Machine</h2><p>{html.escape(where)}</p>"
    )
    title = f"Heimdall: run {run.name}"
    return atomic_text(
        run.path / "index.html", PAGE.format(title=html.escape(title), style=STYLE, navigation="", body=body)
    )


def shown(path: Path) -> str:
    """A path as messages show it: relative to the project where it is inside."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
