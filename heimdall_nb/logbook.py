"""The logbook: one entry a run, newest first, written by the run itself from its manifest and metrics."""

from __future__ import annotations

from pathlib import Path

from heimdall_nb.run import ROOT, STAGES, Run, atomic_text

HEADER = """# Logbook

One entry a run, newest first, written by the run from what it measured. Results that were not hoped for stay in.
"""
MARK = "<!-- run {name} -->"


def logbook_path(run: Run) -> Path:
    """LOGBOOK.md of the project for runs in its own `reports/`; beside the runs where they live elsewhere."""
    own = run.path.parent == ROOT / "reports"
    return ROOT / "LOGBOOK.md" if own else run.path.parent / "LOGBOOK.md"


def record(run: Run) -> Path:
    """Write the run's entry, in place of its earlier one; nothing is written when nothing changed."""
    path = logbook_path(run)
    old = path.read_text(encoding="utf-8") if path.exists() else HEADER
    start = MARK.format(name=run.name)
    new = f"{start}\n{entry(run)}{start.replace('run', 'end', 1)}\n"
    end = start.replace("run", "end", 1) + "\n"
    if start in old:
        before, rest = old.split(start, 1)
        text = before + new + rest.split(end, 1)[1]
    else:
        head, mark, rest = old.partition("<!-- run ")
        text = head.rstrip("\n") + "\n\n" + new + (f"\n{mark}{rest}" if mark else "")
    return path if text == old else atomic_text(path, text)


def entry(run: Run) -> str:
    """The entry's text: machine, seeds, dataset hash, seconds and memory a stage, scores."""
    manifest = run.manifest()
    stages = manifest["stages"]
    if not stages:
        return "no stage has finished\n"
    last = max(stages.values(), key=lambda e: e["finished"])
    machine, versions = last["machine"], last["versions"]
    gpu = "no GPU" if machine["gpu"] == "none" else f"GPU {machine['gpu']}, VRAM {machine['vram_gb']} GB"
    data = stages.get("02", stages.get("01", {"outputs": {}}))["outputs"]
    digest = next((v for k, v in data.items() if k.endswith(("train.jsonl", "all.jsonl"))), "not made")
    seeds = ", ".join(sorted({str(e["parameters"]["seed"]) for e in stages.values() if "seed" in e["parameters"]}))
    lines = [
        f"## {last['finished'][:10]} · run `{run.name}`, preset `{manifest.get('preset', 'by hand')}`, "
        f"commit `{last['commit']}`",
        "",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, RAM {machine['ram_gb']} GB, {gpu}, "
        f"{machine['system']}, Python {machine['python']}.",
        f"- Peak memory: {max(e['peak_memory_mb'] for e in stages.values()):.0f} MiB. "
        f"Seconds in all: {sum(e['seconds'] for e in stages.values()):.0f}. Seeds: {seeds}.",
        f"- Dataset (training part), SHA-256: `{digest[:16]}`.",
        f"- Versions: {', '.join(f'{k} {v}' for k, v in versions.items())}.",
        "",
        "| stage | seconds | peak memory, MiB |",
        "|---|---|---|",
        *(f"| {n} {STAGES[n]} | {e['seconds']:.0f} | {e['peak_memory_mb']:.0f} |" for n, e in stages.items()),
        "",
        *_memory(run),
        "| measured | value |",
        "|---|---|",
        *(f"| {what} | {value} |" for what, value in run.headline().items()),
    ]
    return "\n".join(lines) + "\n"


def _memory(run: Run) -> list[str]:
    """A table of the peaks that stages measured beside their estimate (metrics `memory`: `memory.record.beside`)."""
    stages = run.manifest()["stages"]
    found = [(n, each) for n in stages for each in run.metrics(n).get("memory", {}).values()]
    rows = [
        f"| {n} {each['what']} | {each['estimate_mb']:.0f} | {each['measured_mb']:.0f} | {each['error']:+.1%} |"
        for n, each in found
    ]
    return ["| memory | estimate, MiB | measured, MiB | error |", "|---|---|---|---|", *rows, ""] if rows else []
