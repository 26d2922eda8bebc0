"""The domains, measured: what each generator gives, and what the small base learns of two; writes reports/domains.md.

    python benchmarks/bench_domains.py generators [--only mtg,cypher]
    python benchmarks/bench_domains.py models [--only coding] [--work FOLDER] [--part train]

Everything runs by the commands that a reader types; the page lists them. What is measured goes into
reports/domains.json, where it takes the place of an earlier figure of the same name. `--part` runs one step of a model
at a time (data, train, base, adapter). A --work folder is kept, and a generated file that it has is not made again.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from heimdall_nb import hardware
from heimdall_nb.cli_generate import checkout
from heimdall_nb.dataset.example import OWN_PARTS, Example, load, normalise
from heimdall_nb.dataset.validate import validate
from heimdall_nb.domains import domain, scores_of
from heimdall_nb.domains.coding_check import code_in
from heimdall_nb.domains.coding_facts import parses
from heimdall_nb.domains.mtg.answer import read
from heimdall_nb.domains.protocol import counts
from heimdall_nb.evaluation.domain_scores import rate
from heimdall_nb.evaluation.report import percent
from heimdall_nb.memory.parts import markdown
from heimdall_nb.models import shipped
from heimdall_nb.run import ROOT, atomic_text, read_json, sha256, write_json

FIGURES, PAGE = ROOT / "reports" / "domains.json", ROOT / "reports" / "domains.md"
SEED = 7
GENERATORS: dict[str, tuple[dict[str, Any], int]] = {
    "cypher": ({}, 2000),
    "coding python": ({"language": "python"}, 1200),
    "coding javascript": ({"language": "javascript"}, 1200),
    "coding java": ({"language": "java"}, 1200),
    "coding go": ({"language": "go"}, 1200),
    "mtg": ({}, 2000),
    "mtg advanced": ({"advanced": True}, 1000),
    "repository": ({"repo": ".", "language": "python"}, 1000),
}
FLAGS = {"advanced": "--include-advanced"}
BASE = shipped.MODELS / "heimdall-nano-base"
# Domain -> how many examples, what the split holds out, the knobs of the training, how many examples it draws (0: all),
# the longest answer in tokens. Each training takes at most seven minutes on two cores.
MODELS: dict[str, dict[str, Any]] = {
    "coding": {
        "generate": "--language python --examples 1200",
        "split": "--validation 60 --test 100 --fewshot 0 --template-test 60",
        "train": "questions_per_row=1 batch_size=4 learning_rate=0.003 epochs=2 evaluations=4 watched=0",
        "learnt": 800,
        "longest": 256,
    },
    "mtg": {
        "generate": "--examples 2000",
        "split": "--validation 60 --test 100 --fewshot 0 --template-test 60",
        "train": "questions_per_row=1 batch_size=2 max_length=1024 learning_rate=0.003 evaluations=3 watched=0",
        "learnt": 900,
        "longest": 896,
    },
}
TESTS = ("test", "test_template")
STEPS = ("data", "train", "base", "adapter")
BASE_ITEMS = 16  # of the test: the untouched base seldom ends its answers, and takes long


def main() -> None:
    """Measure what is asked for, and write figures and page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("generators", "models"))
    parser.add_argument("--only", default="", help="names, comma-separated; all without it")
    parser.add_argument("--work", type=Path, help="folder for datasets and models; a temporary one without it")
    parser.add_argument("--part", choices=STEPS, action="append", help="only this step of a model; repeatable")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heimdall-domains-") as temporary:
        folder = given.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        names = GENERATORS if given.what == "generators" else MODELS
        wanted = [name.strip() for name in given.only.split(",") if name.strip()]
        for name in (name for name in names if not wanted or name in wanted or name.split()[0] in wanted):
            made = generated(name, folder) if given.what == "generators" else trained(name, folder, given.part or STEPS)
            keep(given.what, name, made)
    print(f"written: {PAGE}")


def keep(what: str, name: str, made: dict[str, Any]) -> None:
    """Put a measurement among the figures, with machine and date, and write the page."""
    found = read_json(FIGURES) if FIGURES.exists() else {"generators": {}, "models": {}}
    here = hardware.machine()
    stamp = {"date": date.today().isoformat(), "machine": f"{here['cpu']}, {here['cores']} cores"}
    found[what][name] = found[what].get(name, {}) | made | stamp
    write_json(FIGURES, found)
    atomic_text(PAGE, page(found))


def heimdall(command: str, seed_of_hashes: int = 0) -> str:
    """Run a command in a process of its own, and return what it prints. It ends this program where it fails."""
    print(f"$ heimdall {command}", flush=True)
    environment = os.environ | {"PYTHONHASHSEED": str(seed_of_hashes), "HEIMDALL_PLAIN": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "heimdall_nb", *shlex.split(command)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stdout + f"exit status {done.returncode}")
    return done.stdout


def generate_command(name: str, file: Path | str) -> str:
    """The command that generates a set."""
    options, number = GENERATORS[name]
    told = " ".join(FLAGS.get(key, f"--{key} {value}") for key, value in options.items())
    return " ".join(f"generate --domain {name.split()[0]} {told} --examples {number} --output {file}".split())


def generated(name: str, folder: Path) -> dict[str, Any]:
    """One generator: made twice by two processes, checked again, counted."""
    options, number = GENERATORS[name]
    files = [folder / f"{place}-{name.replace(' ', '-')}.jsonl" for place in ("first", "second")]
    for seed_of_hashes, file in enumerate(files, 1):
        if not file.exists():  # in a --work folder
            heimdall(generate_command(name, file), seed_of_hashes)
    opened = domain(name.split()[0], **options)
    report = validate(files[0], opened=checkout(ROOT, None) if opened.name == "repository" else None)
    examples = load(files[0])
    # Of the course's own parts `validate` reads the form only; here the domain runs the queries once more.
    again = sum(bool(opened.faults(e)) for e in examples) if opened.name in OWN_PARTS else 0
    shares = counts(number, opened.shares)
    there = Counter(e.category if e.category in shares else "other families" for e in examples)
    return {
        "asked": number,
        "examples": len(examples),
        "questions": len({(e.graph, normalise(e.input)) for e in examples}),
        "duplicates": report.duplicates["normalised"],
        "checked": dict(sorted(report.checks.items())),
        "not_checked": report.remarks,
        "faults": len(report.faults) + again,
        "shares": {category: [there[category], wanted] for category, wanted in shares.items()},
        "same_bytes": files[0].read_bytes() == files[1].read_bytes(),
        "sha256": sha256(files[0])[:16],
    }


def commands(name: str, work: Path | str = "work") -> dict[str, list[str]]:
    """The commands of each step of a model."""
    of, knobs = MODELS[name], " ".join(f"--set {knob}" for knob in MODELS[name]["train"].split())
    data, parts = f"{work}/{name}.jsonl", f"{work}/{name}-parts"
    files = f"--dataset {parts}/train.jsonl --validation {parts}/validation.jsonl"
    files += f" --examples {of['learnt']}" * bool(of["learnt"])

    def evaluation(model: str, label: str, test: str, items: str = "") -> str:
        asked = f"--examples {parts}/{test}.jsonl --max-new-tokens {of['longest']}{items}"
        return f"evaluate --model {model} {asked} --output {work}/{name}-{label}-{test}"

    return {
        "data": [
            f"generate --domain {name} {of['generate']} --output {data}",
            f"validate {data}",
            f"split {data} --output {parts} {of['split']}",
        ],
        "train": [f"train {files} {knobs} --output {work}/{name}-adapter"],
        "base": [evaluation(str(BASE.relative_to(ROOT)), "base", TESTS[0], f" --items {BASE_ITEMS}")],
        "adapter": [
            f"export --adapter {work}/{name}-adapter --output {work}/{name}.gguf",
            *(evaluation(f"{work}/{name}.gguf", "adapter", test) for test in TESTS),
        ],
    }


def trained(name: str, work: Path, steps: Sequence[str]) -> dict[str, Any]:
    """The steps of a model that are asked for, and the figures of all that are done."""
    for step in steps:
        for command in commands(name, work)[step]:
            heimdall(command)
    found: dict[str, Any] = {"scores": {}}
    if "train" in steps:  # else the adapter may be one of an earlier base
        found["base"] = sha256(BASE / "model.safetensors")
    told = work / f"{name}-adapter" / "training.json"
    if told.exists():
        training = read_json(told)
        names = ("evaluations", "steps", "best_step", "trainable", "total", "settings")
        found["training"] = {key: training[key] for key in names}
        found["training"]["questions"] = len(load(work / f"{name}-adapter-data" / "train.jsonl"))
    for test in TESTS:
        examples = load(work / f"{name}-parts" / f"{test}.jsonl")
        learnt = load(work / f"{name}-parts" / "train.jsonl")
        found["scores"][test] = {"items": len(examples), "floors": floors(examples, learnt)}
        for label in ("base", "adapter"):
            file = work / f"{name}-{label}-{test}" / "scores.json"
            if file.exists():
                found["scores"][test][label] = scored(examples, read_json(file))
    return found


def floors(examples: Sequence[Example], learnt: Sequence[Example]) -> dict[str, Any]:
    """What answers reach that no model is needed for: the most frequent one in training, of all, and of each kind.

    A kind is a template; where training has none of it, the most frequent answer of the category is given.
    """
    by: dict[Any, Counter[str]] = defaultdict(Counter)
    for example in learnt:
        for key in ("all", example.category, (example.template,)):
            by[key][example.output] += 1

    def most(key: Any, other: str) -> str:
        return by[key if by[key] else other].most_common(1)[0][0]

    one = scores_of(examples, [most("all", "all")] * len(examples))
    kinds = scores_of(examples, [most((e.template,), e.category) for e in examples])
    return {"constant": rate(one), "constant of its kind": rate(kinds)}


def scored(examples: Sequence[Example], told: dict[str, Any]) -> dict[str, Any]:
    """The scores of an evaluation, with exact match and readable answers of each category."""
    gold = {example.id: example for example in examples}
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in told["items"]:
        groups[item["category"]].append(item)
    categories = {}
    for category, items in sorted(groups.items()):
        exact = [float(normalise(item["gold"]) == normalise(item["answer"])) for item in items]
        form = [float(readable(gold[item["id"]], item["answer"])) for item in items]
        score = rate([item["score"] for item in items])
        categories[category] = {"items": len(items), "score": score, "em": rate(exact), "readable": rate(form)}
    form = [float(readable(gold[item["id"]], item["answer"])) for item in told["items"]]
    summary = told["summary"]
    kept = {key: summary[key] for key in ("items", "metric", "score", "em", "outcomes")}
    return kept | {"readable": rate(form), "category": categories}


def readable(example: Example, answer: str) -> bool:
    """Whether an answer has the form that the check reads: an outcome (mtg), code that parses, lines of facts."""
    if example.part == "mtg":
        return bool(read(answer))
    if example.category == "explanation":
        return "`" in answer and any(line.startswith(("Parameters of `", "`")) for line in answer.split("\n"))
    return parses(code_in(answer), example.dialect)


def page(found: dict[str, Any]) -> str:
    """reports/domains.md."""
    text = [
        "# The domains, measured",
        "Written by `benchmarks/bench_domains.py`; the figures are in [domains.json](domains.json). "
        "[DOMAINS.md](../DOMAINS.md) says what the domains are.",
    ]
    if found["generators"]:
        text += ["## The generators", generators_table(found["generators"]), GENERATORS_NOTE]
    for name, of in ((name, found["models"][name]) for name in MODELS if name in found["models"]):
        text += [f"## The small base, fine-tuned on `{name}`", *model_text(name, of)]
    if found["models"]:
        text += ["## What to make of it", MODELS_NOTE]
    return "\n\n".join(text) + "\n"


GENERATORS_NOTE = """\
- Each set was generated twice with seed 7, by two processes with other hash seeds: `bytes` says whether both wrote the
  same.
- Duplicates are pairs of question and answer that occur twice, white space and case aside. `checked` is how many
  examples were held against their truth again, and how: executed, parsed, simulated or read from the source. It is
  `heimdall validate` that does it; the queries of `cypher` are run again by their domain.
- The proportions are in the order of the domain's categories: for `cypher`, the enumeration and all other families.
- Go is not installed on this machine: its code is parsed, and its results are those of the same problem in Python."""
MODELS_NOTE = """\
- `floor` is the score of one answer, given to every question: the most frequent one of the training part. `constant of
  its kind` gives each question the most frequent training answer of its own template, or else of its category.
- `readable` answers have the form that the check reads. One that is cut off at the longest length is seldom readable.
- `base` is the untouched base, on the first items of the test. `adapter` is its fine-tuned Q8_0 file.
- Intervals are 95 %, by bootstrap. An interval without width means that all items scored alike; it proves no 0 %.
- `test` has items like those of training, none of them in it; `test_template` has kinds of item that training never
  saw."""


def generators_table(generators: dict[str, Any]) -> str:
    """A row for each generator."""
    rows = []
    for name in (name for name in GENERATORS if name in generators):
        of = generators[name]
        exact = all(there == wanted for there, wanted in of["shares"].values())
        checks = ", ".join(f"{how} {number:,}" for how, number in of["checked"].items())
        rows.append(
            {
                "generator": name,
                "examples": f"{of['examples']:,} of {of['asked']:,}",
                "duplicates": of["duplicates"],
                "faults": of["faults"],
                "checked": checks,
                "proportions": ("exact: " if exact else "not exact: ")
                + "/".join(str(there) for there, _ in of["shares"].values()),
                "bytes": ("the same, " if of["same_bytes"] else "NOT the same, ") + f"`{of['sha256'][:8]}`",
                "measured": f"{of['date']}, {of['machine']}",
            }
        )
    return markdown(rows)


def model_text(name: str, of: dict[str, Any]) -> list[str]:
    """The commands of a model, how its training went, and its scores."""
    shown = [f"heimdall {command}" for step in STEPS for command in commands(name)[step]]
    text = ["```\n" + "\n".join(shown) + "\n```"]
    if training := of.get("training"):
        losses = ", ".join(f"{row['loss']:.3f}" for row in training["evaluations"])
        text.append(
            f"{training['questions']:,} training questions, {training['steps']:,} steps; "
            f"{training['trainable']:,} of {training['total']:,} parameters trained. Validation loss: {losses}. "
            f"Measured on {of['date']}, {of['machine']}, {base_text(of['base'])}."
        )
    text += [of["remark"]] if "remark" in of else []
    rows, groups = [], []
    for test, scores in of["scores"].items():
        for floor, value in scores["floors"].items():
            rows.append({"test": test, "who": f"floor ({floor})", "items": scores["items"], "score": percent(value)})
        for label in (label for label in ("base", "adapter") if label in scores):
            own = scores[label]
            row = {"test": test, "who": label, "items": own["items"], "score": percent(own["score"])}
            rows.append(row | {"exact": percent(own["em"]), "readable": percent(own["readable"])})
            if label == "adapter":
                for category, group in own["category"].items():
                    values = {key: percent(group[key]) for key in ("score", "em", "readable")}
                    groups.append({"test": test, "category": category, "items": group["items"], **values})
    whole = ("test", "who", "items", "score", "exact", "readable")
    text.append(markdown([{key: row.get(key, "-") for key in whole} for row in rows]))
    return text + ([f"The adapter by category ({domain(name).metric}):", markdown(groups)] if groups else [])


def base_text(used: str) -> str:
    """Which base was fine-tuned, by the hash of its weights, and whether it is still the one in data/models."""
    now = "" if used == sha256(BASE / "model.safetensors") else ", which the project shipped before the present one"
    return f"on the base `{used[:8]}`{now}"


if __name__ == "__main__":
    main()
