"""One run: its folder, its manifest, and whether a stage's earlier result still stands."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.errors import BadInput

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"

STAGES = {
    "00": "start_here",
    "01": "dataset_generation",
    "02": "dataset_validation",
    "03": "qlora_training",
    "04": "export_gguf",
    "05": "evaluation",
    "06": "context_profiling",
    "07": "baselines",
    "08": "text_to_sql",
    "09": "deploy_nornicdb",
    "10": "from_scratch",
    "11": "your_own_domain",
}


def reports_root() -> Path:
    """Where runs live: HEIMDALL_REPORTS, or `reports/` of the project."""
    return Path(os.environ.get("HEIMDALL_REPORTS") or ROOT / "reports").resolve()


def atomic_text(path: Path, text: str) -> Path:
    """Write text to a temporary name beside `path`, then rename: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    return path


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """Write one line after the other to a temporary name beside `path`, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as handle:
        handle.writelines(f"{line}\n" for line in lines)
    os.replace(temporary, path)
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as indented JSON, atomically."""
    return atomic_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON. Raises BadInput when the file is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput("is missing", str(path), "Run the stage that writes it first.") from None
    except json.JSONDecodeError as problem:
        raise BadInput(f"is not JSON ({problem})", str(path), "Delete it and run its stage again.") from None


def lock(folder: Path, option: str) -> Any:
    """Take a folder's lock for as long as the returned handle lives.

    Raises BadInput when another process has it; `option` is what the user can choose another folder with.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("a+")
    except OSError as problem:
        raise BadInput(f"cannot be written ({problem.strerror})", str(folder), f"Choose another {option}.") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise BadInput("is in use by another process", str(folder), f"Wait for it, or choose {option}.") from None
    return handle


def sha256(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder with their names; empty text where there is nothing."""
    digest = hashlib.sha256()
    if path.is_dir():
        for item in sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            digest.update(f"{item.relative_to(path)}\0{sha256(item)}\0".encode())
        return digest.hexdigest()
    if not path.is_file():
        return ""
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def git_commit() -> str:
    """The project's commit, with `+changes` when tracked files differ from it; `unknown` outside a checkout."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        status = ["git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!reports", ":!LOGBOOK.md"]
        dirty = subprocess.run(status, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return "unknown"
    return (head.stdout.strip() + ("+changes" if dirty else "")) if head.returncode == 0 else "unknown"


class Run:
    """A folder `reports/<name>/`: manifest, metrics, figures, executed notebooks, and artifacts (ignored by git)."""

    def __init__(self, name: str = "nano", root: Path | None = None) -> None:
        if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
            raise BadInput(f"{name!r} is no run name", "run", "Use letters, digits, '-', '_' and '.'.")
        self.name = name
        self.path = (root or reports_root()) / name

    def artifact(self, relative: str) -> Path:
        """The path of an artifact, e.g. `dataset/train.jsonl`; its folder is made."""
        path = self.path / "artifacts" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def need(self, relative: str, stage: str) -> Path:
        """The path of an artifact that `stage` writes. Raises BadInput when it is not there yet."""
        path = self.path / "artifacts" / relative
        if not path.exists():
            remedy = f"Run stage {stage} first: heimdall run --run {self.name} --only {stage}"
            raise BadInput("is missing", str(path), remedy)
        return path

    def figure(self, name: str) -> Path:
        """The path of a figure, e.g. `01_mix.png`; its folder is made."""
        path = self.path / "figures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def metrics(self, stage: str) -> dict[str, Any]:
        """The metrics that a finished stage wrote. Raises BadInput when it has not run."""
        return read_json(self.path / "metrics" / f"{stage}.json")

    def headline(self) -> dict[str, str]:
        """The run's main figures as text, from the metrics of the stages that have finished."""
        found: dict[str, str] = {}
        for stage in self.manifest()["stages"]:
            found |= self.metrics(stage).get("headline", {})
        return found

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    def manifest(self) -> dict[str, Any]:
        """The manifest: `run` and, for each finished stage, how it came about."""
        if not self.manifest_path.exists():
            return {"run": self.name, "stages": {}}
        return read_json(self.manifest_path)

    def lock(self) -> Any:
        """Take the run's lock for as long as the returned handle lives. Raises BadInput when another process has it."""
        return lock(self.path, "--run")

    def fresh(self, stage: str, parameters: Mapping[str, Any], source: str) -> bool:
        """True when the stage finished with these parameters and source, and inputs and outputs are unchanged."""
        entry = self.manifest()["stages"].get(stage)
        if not entry or entry["parameters"] != dict(parameters) or entry["source"] != source:
            return False
        recorded = entry["inputs"] | entry["outputs"]
        return all(digest and sha256(self._resolve(name)) == digest for name, digest in recorded.items())

    def _resolve(self, name: str) -> Path:
        return self.path / name[4:] if name.startswith("run:") else ROOT / name

    def label(self, path: Path) -> str:
        """A path as the manifest writes it: `run:…` inside the run's folder, else relative to the project."""
        path = Path(path).resolve()
        if path.is_relative_to(self.path):
            return f"run:{path.relative_to(self.path)}"
        return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


class Stage:
    """A stage in progress: `begin` starts it, `finish` records it in the manifest."""

    def __init__(self, run: Run, number: str, parameters: Mapping[str, Any], inputs: Iterable[Path]) -> None:
        self.run, self.number, self.parameters = run, number, dict(parameters)
        self.inputs = {run.label(path): sha256(Path(path)) for path in inputs}
        self.source = source_digest(number)
        self.started = time.monotonic()

    def finish(self, outputs: Iterable[Path] = (), metrics: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Write `metrics/<stage>.json` and the manifest's entry; returns the entry."""
        files = [*outputs, write_json(self.run.path / "metrics" / f"{self.number}.json", dict(metrics or {}))]
        # The stamp is not in git, so a fresh clone never takes the committed reference run for its own work.
        files.append(write_json(self.run.artifact(f"stamps/{self.number}.json"), {"finished": _now()}))
        entry = {
            "name": STAGES[self.number],
            "parameters": self.parameters,
            "source": self.source,
            "inputs": self.inputs,
            "outputs": {self.run.label(path): sha256(Path(path)) for path in files},
            "seconds": round(time.monotonic() - self.started, 1),
            "peak_memory_mb": hardware.peak_memory_mb(),
            "machine": hardware.machine(),
            "versions": hardware.versions(),
            "commit": git_commit(),
            "finished": _now(),
        }
        manifest = self.run.manifest()
        manifest["stages"][self.number] = entry
        manifest["stages"] = dict(sorted(manifest["stages"].items()))
        write_json(self.run.manifest_path, manifest)
        return entry


def begin(run: str | Run, number: str, parameters: Mapping[str, Any], inputs: Iterable[Path] = ()) -> Stage:
    """Start a stage. `parameters` are the notebook's; `inputs` are the files or folders that the result depends on."""
    if os.environ.get("HEIMDALL_COURSE"):
        hardware.die_with_parent()
    unknown = sorted(injected_names() - set(parameters))
    if unknown:
        known = ", ".join(parameters)
        raise BadInput(f"{unknown[0]!r} is not a parameter of this notebook", STAGES[number], f"Known are: {known}.")
    return Stage(run if isinstance(run, Run) else Run(run), number, parameters, inputs)


def injected_names() -> set[str]:
    """Names that papermill assigned in this kernel: papermill itself only logs those that a notebook does not have."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    cells = shell.user_ns.get("In", []) if shell else []
    injected = [ast.parse(cell) for cell in cells if cell.startswith("# Parameters\n")]
    targets = (t for tree in injected for node in tree.body if isinstance(node, ast.Assign) for t in node.targets)
    return {target.id for target in targets if isinstance(target, ast.Name)}


def notebook_path(number: str) -> Path:
    """The source notebook of a stage."""
    return ROOT / "notebooks" / f"{number}_{STAGES[number]}.ipynb"


def source_digest(number: str) -> str:
    """Hash of what a stage runs: its notebook's cells and the package's modules."""
    digest = hashlib.sha256(sha256(ROOT / "heimdall_nb").encode())
    if notebook_path(number).exists():
        for cell in json.loads(notebook_path(number).read_text(encoding="utf-8"))["cells"]:
            digest.update("".join(cell["source"]).encode() + b"\0")
    return digest.hexdigest()[:16]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
