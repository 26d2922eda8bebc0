"""What machine this is, how much memory was used, and how processes share two cores."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import psutil

PACKAGES = (
    "torch transformers trl peft bitsandbytes datasets accelerate tokenizers gguf llama-cpp-python "
    "arcadedb-embedded sqlglot papermill nbconvert matplotlib numpy"
).split()


def cpu_model() -> str:
    """The processor's own name, or the architecture where the system does not tell."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def gpu() -> tuple[str, float]:
    """(name, memory in GB) of the first NVIDIA GPU; ("none", 0.0) where there is none."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        line = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "none", 0.0
    name, megabytes = line.rsplit(",", 1)
    return name.strip(), round(float(megabytes) / 1024, 1)


def machine() -> dict[str, object]:
    """The machine as manifests and the logbook name it; memory in GB."""
    gpu_name, vram = gpu()
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "ram_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu_name,
        "vram_gb": vram,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Installed version of each package that a result may depend on; absent ones are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes.

    Linux carries the peak that getrusage tells over from the process that started this one; VmHWM begins anew with the
    program. Elsewhere getrusage is asked, which counts KiB, and bytes on macOS.
    """
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii", errors="replace").splitlines() if status.exists() else []
    if found := [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]:  # some sandboxes leave it out
        return 1024 * found[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_memory_mb() -> float:
    """`peak_memory` in MiB, to one decimal."""
    return round(peak_memory() / 2**20, 1)


def threads() -> int:
    """Threads for numeric work: HEIMDALL_THREADS, or the cores this process may use."""
    wanted = os.environ.get("HEIMDALL_THREADS")
    if wanted:
        return max(1, int(wanted))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, so that `kill -9` leaves no orphan (Linux only)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def fast_bf16() -> bool:
    """True where bf16 arithmetic is done by the hardware: a GPU that supports it, or a CPU with AVX512_BF16 or AMX.

    Elsewhere bf16 is emulated, a hundred times slower than fp32.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
