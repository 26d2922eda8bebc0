"""The source notebooks keep the course's form: stripped, ordered, short cells, aims and exercises."""

from __future__ import annotations

import re
from statistics import median

import nbformat
import pytest

from heimdall_nb.run import ROOT, STAGES, notebook_path

EACH = pytest.mark.parametrize("number", STAGES)


def cells(number: str, kind: str) -> list[str]:
    return [c.source for c in nbformat.read(notebook_path(number), 4).cells if c.cell_type == kind]


@EACH
def test_stripped_with_kernel_and_ids(number: str) -> None:
    notebook = nbformat.read(notebook_path(number), 4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3" and "widgets" not in notebook.metadata
    assert all(not c.outputs and c.execution_count is None for c in notebook.cells if c.cell_type == "code")
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)
    assert all(c.id.startswith(f"{number}-") for c in notebook.cells)


@EACH
def test_headings_and_parts(number: str) -> None:
    text = "\n".join(cells(number, "markdown"))
    levels = [len(match) for match in re.findall(r"^(#{1,6}) ", text, re.M)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    for part in ("In this notebook you will", "## You now have", "## Exercises"):
        assert part in text, part
    assert "TIME" not in text and "MEMORY" not in text, "the table of needs holds measured figures"


@EACH
def test_code_cells_are_short(number: str) -> None:
    lengths = [len(source.splitlines()) for source in cells(number, "code")]
    assert median(lengths) <= 8 and max(lengths) <= 30


@EACH
def test_three_exercises_with_a_check_each(number: str) -> None:
    code = "\n".join(cells(number, "code"))
    assert all(f'check("{number}.{k}", answer' in code for k in (1, 2, 3))
    assert not re.search(r"^[!%]", code, re.M), "no shell or magic commands"
    assert "begin(" in code and ".finish(" in code


def test_nothing_names_a_local_path() -> None:
    pattern = re.compile(r"/work/|/root/|/home/\w+/")
    sources = [
        *ROOT.glob("notebooks/*"),
        *ROOT.glob("heimdall_nb/**/*.py"),
        *ROOT.glob("data/**/*.yaml"),
        ROOT / "README.md",
    ]
    assert len(sources) > 50
    assert not [str(path) for path in sources if pattern.search(path.read_text(encoding="utf-8"))]
