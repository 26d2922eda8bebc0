"""The course as one command: run the notebooks in order, skip what is unchanged, keep executed copies as pages."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heimdall_nb import hardware, logbook, pages, presets
from heimdall_nb.errors import BadInput, HeimdallError
from heimdall_nb.run import ROOT, STAGES, Run, git_commit, notebook_path, source_digest, write_json

# A kernel that is told to end may find its own messages cancelled, and would print a traceback about them.
_QUIET_END = "--IPKernelApp.exec_lines=__import__('logging').getLogger('tornado.general').setLevel('CRITICAL')"


class StageFailed(HeimdallError):
    """A notebook stopped with an error; the exit status tells bad input from a failed run."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run_course(
    preset: str = "nano",
    run_name: str = "",
    only: Sequence[str] = (),
    assignments: Sequence[str] = (),
    force: bool = False,
    strategy: str = "",
) -> Run:
    """Run the notebooks of a preset into `reports/<run>/`; finished stages whose inputs are unchanged are skipped.

    Raises BadInput for unknown presets, strategies, stages and parameters, StageFailed when a notebook stops.
    """
    values = presets.override(presets.with_strategy(presets.preset(preset), strategy), assignments)
    chosen = _stages(only)
    run = Run(run_name or preset)
    lock = run.lock()
    try:
        prepare_environment()
        for number in chosen:
            _run_stage(run, number, {"run": run.name, **values[number]}, force)
        if run.manifest().get("preset") != preset:
            write_json(run.manifest_path, {"run": run.name, "preset": preset, "stages": run.manifest()["stages"]})
        pages.write_index(run)
        logbook.record(run)
    finally:
        lock.close()
    return run


def _stages(only: Sequence[str]) -> list[str]:
    unknown = [number for number in only if number not in STAGES]
    if unknown:
        raise BadInput(f"{unknown[0]!r} is not a stage", "--only", f"Choose from {', '.join(STAGES)}.")
    return [number for number in STAGES if number in only or not only]


def _run_stage(run: Run, number: str, parameters: dict[str, Any], force: bool) -> None:
    title = f"{number} {STAGES[number]}"
    executed = run.path / notebook_path(number).name
    if not force and executed.exists() and run.fresh(number, parameters, source_digest(number)):
        print(f"== {title}: unchanged since {run.manifest()['stages'][number]['finished']}, skipped", flush=True)
        if not executed.with_suffix(".html").exists():
            pages.write_page(run, number)
        return
    print(f"== {title}: running", flush=True)
    started = time.monotonic()
    execute(number, executed, parameters)
    pages.write_page(run, number)
    print(f"== {title}: done in {time.monotonic() - started:.0f} s", flush=True)


def prepare_environment() -> None:
    """Settings that the kernels inherit: quiet threads, plain progress, an end with their parent, this environment."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("PYTHONHASHSEED", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel named python3 is this environment's, not the user's
    os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", "")
    # tqdm asks for a widget, which no one would see here; the path in its warning is this machine's.
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), "ignore:IProgress")))
    os.environ["HEIMDALL_COURSE"] = os.environ["HEIMDALL_PLAIN"] = "1"


def execute(number: str, output: Path, parameters: dict[str, Any]) -> None:
    """Execute a notebook with papermill into `output`, which appears only when all cells have run.

    Raises BadInput for a parameter that the notebook does not have, StageFailed when a cell stops.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    source = notebook_path(number)
    unknown = sorted(set(parameters) - set(papermill.inspect_notebook(str(source))))
    if unknown:
        raise BadInput(f"{unknown[0]!r} is not a parameter of this notebook", source.name, "See CONFIG.md.")
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".failed.ipynb")
    try:
        with tempfile.TemporaryDirectory(prefix="heimdall-kernel-") as folder:
            # Files in a folder of this run instead of ports: two runs at once cannot take the same ones.
            sockets = Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})
            papermill.execute_notebook(
                str(source),
                str(partial),
                parameters=parameters,
                kernel_name="python3",
                cwd=str(ROOT),
                progress_bar=False,
                stdout_file=_CellLines(),
                start_timeout=120,
                extra_arguments=[_QUIET_END],
                config=sockets,
            )
    except PapermillExecutionError as problem:
        failed = partial.relative_to(ROOT) if partial.is_relative_to(ROOT) else partial
        message = f"{source.name} stopped: {problem.ename}: {problem.evalue} (cells up to there: {failed})"
        raise StageFailed(message, 2 if problem.ename == "BadInput" else 1) from None
    pages.stamp(partial, number, git_commit(), hardware.machine(), hardware.versions())
    os.replace(partial, output)


def summary(run: Run) -> str:
    """What a finished run leaves: report, evaluated GGUF file, scores, and a held-out question that it answers."""
    lines = ["", f"Report:  {pages.shown(run.path / 'index.html')}"]
    evaluated = run.manifest()["stages"].get("05", {}).get("parameters", {}).get("model_file", "")
    file = run.path / "artifacts/gguf" / evaluated
    if file.is_file():
        lines.append(f"GGUF:    {pages.shown(file)} ({file.stat().st_size / 2**20:.1f} MiB)")
    lines += [f"{what}: {value}" for what, value in run.headline().items()]
    test = run.path / "artifacts/dataset/test.jsonl"
    return "\n".join(lines + (_answered(file, test) if file.is_file() and test.exists() else []))


def _answered(model_file: Path, test: Path) -> list[str]:
    from heimdall_nb.dataset.example import load
    from heimdall_nb.models.llamacpp import LlamaCppModel
    from heimdall_nb.prompts import conversation

    example = load(test)[0]
    model = LlamaCppModel(model_file)
    answer = model.complete([conversation(example.input, example.schema, example.task)])[0]
    model.close()
    return [f"Question ({example.graph}): {example.input}", f"Answer:  {answer.text}"]


class _CellLines:
    """Where papermill writes what cells print: to our standard output, indented under their stage."""

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                print(f"   {line}")

    def flush(self) -> None:
        sys.stdout.flush()
