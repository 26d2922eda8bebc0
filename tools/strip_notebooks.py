"""Strip the source notebooks: no outputs, no execution counts, kernel python3, cell ids kept."""

from __future__ import annotations

from pathlib import Path

import nbformat

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def strip(path: Path) -> bool:
    """Strip one notebook in place; True when something was removed."""
    before = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(before, as_version=4)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    after = nbformat.writes(notebook) + "\n"
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


if __name__ == "__main__":
    for source in sorted(Path(__file__).resolve().parents[1].glob("notebooks/*.ipynb")):
        if strip(source):
            print(f"stripped {source.name}")
