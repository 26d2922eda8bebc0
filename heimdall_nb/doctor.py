"""Is this machine ready? One line a check, each with what was found and, where something is missing, what to do."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from heimdall_nb import hardware
from heimdall_nb.run import ROOT, reports_root

DISK_GB, MEMORY_GB = 3.0, 4.0  # what a course at preset nano needs, with a margin
SUBPROCESS_SECONDS = 180


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `remedy` says what to do when it is not `ok`."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def checks() -> list[Check]:
    """Look at everything that the course needs, in the order in which it is needed. Takes a few seconds."""
    found: list[Check] = []
    for look in LOOKS:
        result = look()
        found += result if isinstance(result, list) else [result]
    return found


def text(found: list[Check]) -> str:
    """The checks as plain lines: [ok] or [missing], what was found, and the remedy under what is missing."""
    width = max(len(check.name) for check in found)
    lines = []
    for check in found:
        lines.append(f"{'[ok]' if check.ok else '[missing]':<10}{check.name:<{width}}  {check.detail}")
        if not check.ok and check.remedy:
            lines.append(f"{'':<10}{'':<{width}}  -> {check.remedy}")
    missing = sum(not check.ok for check in found)
    lines.append(f"{len(found) - missing} of {len(found)} checks are ok.")
    return "\n".join(lines)


def table(found: list[Check]) -> list[dict[str, str]]:
    """The checks as rows for a notebook's table."""
    return [
        {
            "check": c.name,
            "state": "ok" if c.ok else "missing",
            "found": c.detail,
            "what to do": "" if c.ok else c.remedy,
        }
        for c in found
    ]


def requirements(pyproject: Path = ROOT / "pyproject.toml") -> list[str]:
    """The packages that the project asks for, as `name>=low,<high`; from the installed package outside a checkout."""
    if pyproject.is_file():
        return list(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"])
    try:
        return [line for line in metadata.requires("heimdall-nb") or [] if "extra ==" not in line]
    except metadata.PackageNotFoundError:
        return []


def absent() -> list[str]:
    """The requirements whose package is not installed at all, whatever its version: what a Colab session lacks."""
    from packaging.requirements import Requirement

    return [line for line in requirements() if not _installed(Requirement(line).name)]


def python() -> Check:
    """Python 3.11 to 3.13."""
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check(
        "Python", ok, platform.python_version(), "Install Python 3.11, 3.12 or 3.13, and make the environment anew."
    )


def packages() -> list[Check]:
    """Every package that the project asks for, present and within its range; those in order share one line."""
    from packaging.requirements import Requirement

    wanted = [r for r in map(Requirement, requirements()) if r.marker is None or r.marker.evaluate()]
    faulty = []
    for requirement in wanted:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = ""
        if not version or not requirement.specifier.contains(version, prereleases=True):
            detail = f"{version or 'not installed'}, wanted {requirement.specifier}"
            faulty.append(Check(f"package {requirement.name}", False, detail, f'pip install "{requirement}"'))
    good = len(wanted) - len(faulty)
    return [Check("packages", bool(wanted), f"{good} of {len(wanted)} within their ranges", "Run: make setup"), *faulty]


def build_tools() -> Check:
    """A C++ compiler and cmake, or a llama-cpp-python that is already built."""
    compiler = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    cmake = shutil.which("cmake")
    detail = f"{compiler or 'no C++ compiler'}, {'cmake' if cmake else 'no cmake'}"
    if not (compiler and cmake) and _installed("llama-cpp-python"):
        return Check("build tools", True, f"{detail}; not needed, llama-cpp-python is installed")
    remedy = "Install them, e.g. apt-get install build-essential cmake; they build llama-cpp-python."
    return Check("build tools", bool(compiler and cmake), detail, remedy)


def device() -> Check:
    """Where PyTorch computes, and whether it knows bfloat16 there."""
    torch = _import("torch")
    if torch is None:
        return Check("PyTorch device", False, "torch does not import", "Run: make setup")
    if torch.cuda.is_available():
        name, bf16 = f"cuda ({torch.cuda.get_device_name(0)})", torch.cuda.is_bf16_supported()
    elif torch.backends.mps.is_available():
        name, bf16 = "mps", True
    else:
        name, bf16 = "cpu", _cpu_bf16()
    return Check("PyTorch device", True, f"{name}, bfloat16 {'in hardware' if bf16 else 'only emulated (slower)'}")


def graph_engine() -> Check:
    """The embedded graph database starts and answers; in a process of its own, since a Java machine starts but once."""
    code = (
        "from heimdall_nb.engines.arcadedb import ArcadeDB\n"
        "with ArcadeDB() as engine:\n    print('answers:', engine.run('RETURN 1 AS one').rows[0][0])"
    )
    ok, detail = _child(code)
    remedy = "pip install --force-reinstall arcadedb-embedded; its wheel holds the Java runtime."
    return Check("graph engine (ArcadeDB)", ok and detail == "answers: 1", detail, remedy)


def sql_server() -> Check:
    """A private MariaDB starts and answers. It is no must: without it, text to SQL is judged on the embedded SQLite."""
    from heimdall_nb.engines.mariadb_server import REMEDY, missing

    name = "SQL server (MariaDB)"
    if absent := missing():
        return Check(name, True, f"{absent}; not needed, SQLite stands in (apt-get install mariadb-server-core)")
    code = (
        "from heimdall_nb.dataset.classicmodels import classicmodels\n"
        "from heimdall_nb.engines.mariadb import MariaDB\n"
        "with MariaDB(classicmodels(), 'private') as engine:\n"
        "    print('answers:', engine.run('SELECT COUNT(*) FROM orders').rows[0][0])"
    )
    ok, detail = _child(code)
    return Check(name, ok and detail == "answers: 326", detail, REMEDY)


def llama_cpp() -> Check:
    """llama.cpp loads, with the version of its Python package."""
    ok, detail = _child("import llama_cpp; print('llama-cpp-python', llama_cpp.__version__)")
    return Check("llama.cpp", ok, detail, "Run: make setup (it builds llama-cpp-python; 2 to 5 minutes on two cores).")


def disk() -> Check:
    """Free space where runs are written."""
    place = reports_root()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    return Check("disk", free >= DISK_GB, f"{free:.1f} GB free", f"Free {DISK_GB:g} GB, or set HEIMDALL_REPORTS.")


def memory() -> Check:
    """Memory of the machine, and what of it is free now."""
    found = psutil.virtual_memory()
    detail = f"{found.total / 2**30:.1f} GB, {found.available / 2**30:.1f} GB of it free"
    return Check("memory", found.total / 2**30 >= MEMORY_GB, detail, f"Use a machine with {MEMORY_GB:g} GB or more.")


def threads() -> Check:
    """How many threads numeric work uses, and whether waiting threads leave the processor to others."""
    passive = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
    policy = "waiting threads sleep" if passive else "waiting threads spin: export OMP_WAIT_POLICY=passive, or use make"
    return Check("threads", True, f"{hardware.threads()} of {os.cpu_count()} cores, {policy}")


LOOKS: tuple[Callable[[], Check | list[Check]], ...] = (
    python,
    packages,
    build_tools,
    device,
    graph_engine,
    sql_server,
    llama_cpp,
    disk,
    memory,
    threads,
)


def _cpu_bf16() -> bool:
    """Whether this processor has bfloat16 instructions; PyTorch computes with it either way."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return any("avx512_bf16" in line or "amx_bf16" in line or " bf16" in line for line in lines)
    except OSError:
        return False


def _installed(distribution: str) -> bool:
    try:
        return bool(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return False


def _import(name: str):
    try:
        return __import__(name)
    except Exception:  # a broken binary package fails with OSError, ImportError or RuntimeError
        return None


def _child(code: str) -> tuple[bool, str]:
    """Run Python code in a fresh process: (whether it succeeded, its last line of output or of complaint)."""
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SUBPROCESS_SECONDS, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return False, f"no answer within {SUBPROCESS_SECONDS} seconds"
    output = done.stdout if done.returncode == 0 else done.stderr
    lines = output.strip().splitlines() or [f"ended with status {done.returncode}"]
    return done.returncode == 0, lines[-1].strip()
