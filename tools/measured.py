"""Write what the reference run measured into the notebooks' tables of needs (source and executed) and the README's map.

`python tools/measured.py` writes; `--check` only says whether everything is up to date (exit status 1 when not).
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import nbformat

from heimdall_nb import pages
from heimdall_nb.run import ROOT, STAGES, Run, atomic_text, notebook_path

REFERENCE = Run("nano", root=ROOT / "reports")
VERBS = dict(
    zip(
        STAGES,
        "doctor generate validate train export evaluate profile baselines sql deploy base generate".split(),
        strict=True,
    )
)


def duration(seconds: float) -> str:
    """Seconds as people say them: rounded up to five seconds, in minutes from two on."""
    rounded = max(5, math.ceil(seconds / 5) * 5)
    return f"{rounded} s" if rounded < 120 else f"{rounded / 60:.1f} min"


def memory(megabytes: float) -> str:
    """MiB as GB with one decimal."""
    return f"{megabytes / 1024:.1f} GB"


def needs(text: str, seconds: float, megabytes: float) -> str:
    """A markdown cell with the time and memory rows of its table of needs filled in."""
    row = r"^\| ({}[^|]*?) \| [^|]* \|$"
    text = re.sub(row.format("time"), lambda m: f"| {m[1]} | {duration(seconds)} |", text, flags=re.M | re.I)
    return re.sub(row.format("memory"), lambda m: f"| {m[1]} | {memory(megabytes)} |", text, flags=re.M | re.I)


def readme_map() -> str:
    """The README's map of notebooks, with verb, time and memory."""
    lines = ["| notebook | what it does | verb | time | memory |", "|---|---|---|---|---|"]
    for number, entry in REFERENCE.manifest()["stages"].items():
        path = notebook_path(number)
        title = nbformat.read(path, 4).cells[0].source.splitlines()[0].removeprefix("# ").split(" · ", 1)[-1]
        lines.append(
            f"| [`{path.stem}`](notebooks/{path.name}) | {title} | `{VERBS[number]}` "
            f"| {duration(entry['seconds'])} | {memory(entry['peak_memory_mb'])} |"
        )
    return "\n".join(lines)


def documents() -> dict[Path, str]:
    """Each file that holds measured figures, with the text that it should have."""
    texts = {}
    for number, entry in REFERENCE.manifest()["stages"].items():
        for path in (notebook_path(number), REFERENCE.path / notebook_path(number).name):
            notebook = nbformat.read(path, 4)
            for cell in notebook.cells[:4]:  # the executed copies have a stamp before it
                cell.source = needs(cell.source, entry["seconds"], entry["peak_memory_mb"])
            texts[path] = nbformat.writes(notebook) + "\n"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start, end = "<!-- measured: map -->\n", "<!-- end measured -->"
    before, rest = readme.split(start, 1)
    texts[ROOT / "README.md"] = before + start + readme_map() + "\n" + end + rest.split(end, 1)[1]
    return texts


def main() -> int:
    """Write or check; returns the exit status."""
    texts = documents()
    stale = [path for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'stale' if '--check' in sys.argv else 'written'}: {path.relative_to(ROOT)}")
        if "--check" not in sys.argv:
            atomic_text(path, texts[path])
            if path.parent == REFERENCE.path:
                pages.write_page(REFERENCE, path.name[:2])
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
