"""What the documents say is what was measured, and what they name exists."""

from __future__ import annotations

import importlib.util
import json
import re
from types import ModuleType

import pytest

from heimdall_nb.run import ROOT, STAGES, notebook_path


@pytest.fixture(scope="module")
def measured() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measured", ROOT / "tools" / "measured.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_and_notebooks_hold_the_reference_figures(measured: ModuleType) -> None:
    stale = [p.name for p, text in measured.documents().items() if p.read_text(encoding="utf-8") != text]
    assert not stale, "run: python tools/measured.py"


def test_filling_changes_the_two_rows_only(measured: ModuleType) -> None:
    table = "| needs | |\n|---|---|\n| time, nano | TIME |\n| Memory | MEMORY |\n| before | 01 |"
    filled = measured.needs(table, 200.2, 1536)
    assert filled == table.replace("TIME", "3.4 min").replace("MEMORY", "1.5 GB")
    assert measured.needs(filled, 31, 700) == table.replace("TIME", "35 s").replace("MEMORY", "0.7 GB")


def test_the_reference_run_is_complete_and_small() -> None:
    folder = ROOT / "reports" / "nano"
    files = [path for path in folder.rglob("*") if path.is_file() and "artifacts" not in path.parts]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    missing = " ".join(f"--only {number}" for number in STAGES if number not in manifest["stages"])
    assert not missing, f"stages are missing, run: heimdall run --preset nano {missing}"
    assert set(manifest["stages"]) <= set(STAGES) and manifest["preset"] == "nano"
    for number in STAGES:
        name = notebook_path(number).stem
        assert {folder / f"{name}.ipynb", folder / f"{name}.html", folder / f"metrics/{number}.json"} <= set(files)
    assert sum(path.stat().st_size for path in files) < 5 * 2**20
    assert not [path for path in files if path.suffix in (".gguf", ".safetensors", ".pt")]


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)\)", text.replace("\n", " ")) if "://" not in target]
    assert len(targets) > 10
    assert not [target for target in targets if not (ROOT / target).exists()]
