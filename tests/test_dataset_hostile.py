"""Over 200 malformed files: each ends in an error with its place, and changes nothing on disk."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heimdall_nb.dataset.correct import correct
from heimdall_nb.dataset.production import add_queries
from heimdall_nb.dataset.validate import validate
from heimdall_nb.errors import BadInput

LINES = 7
SEEDS = (1, 2)
Record = dict[str, Any]


def record(number: int) -> Record:
    return {
        "instruction": "Write.",
        "input": f"Give the title of the first {number} movies",
        "output": f"MATCH (a:Movie) RETURN a.title AS title LIMIT {number}",
        "category": "filter",
        "context_size": "small",
        "graph": "movies",
    }


def line(number: int, **changes: Any) -> bytes:
    return json.dumps(record(number) | changes).encode()


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in record(9).items() if name != field}).encode()


def raw(field: str, json_text: str) -> bytes:
    """A line whose field holds this JSON text, which json.dumps would not write."""
    return line(9, **{field: "@"}).replace(b'"@"', json_text.encode())


FIELDS = ("instruction", "input", "output", "category", "context_size")
TEXTS = ("instruction", "output", "category")

# What stands in the place of one good line. Each gets a random number generator: its seed chooses field and place.
LINE_KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "cut off": lambda rng: line(9)[: rng.randint(5, 90)],
    "begun late": lambda rng: line(9)[rng.randint(1, 40) :],
    "prose": lambda rng: b"this is no JSON at all",
    "comma at the end": lambda rng: line(9)[:-1] + b",}",
    "comma after the object": lambda rng: line(9) + b",",
    "single quotes": lambda rng: str(record(9)).encode(),
    "two objects": lambda rng: line(9) + line(10),
    "array": lambda rng: b"[" + line(9) + b"]",
    "text": lambda rng: b'"only a text"',
    "number": lambda rng: str(rng.randint(-5, 5)).encode(),
    "null": lambda rng: b"null",
    "true": lambda rng: b"true",
    "empty object": lambda rng: b"{}",
    "NaN": lambda rng: raw(rng.choice(FIELDS), "NaN"),
    "infinity": lambda rng: raw(rng.choice(FIELDS), rng.choice(["Infinity", "-Infinity"])),
    "number of 10,000 digits": lambda rng: raw(rng.choice(FIELDS), "9" * 10_000),
    "key twice": lambda rng: line(9)[:-1] + f', "{rng.choice(FIELDS)}": "again"}}'.encode(),
    "deep arrays": lambda rng: raw(rng.choice(FIELDS), "[" * 20_000 + "]" * 20_000),
    "deep objects": lambda rng: raw(rng.choice(FIELDS), '{"a":' * 20_000 + "1" + "}" * 20_000),
    "unclosed deep arrays": lambda rng: b"[" * rng.randint(50_000, 90_000),
    "half of a surrogate pair": lambda rng: raw(rng.choice(TEXTS), rng.choice(['"a \\ud83d b"', '"\\udc00"'])),
    "surrogate in a key": lambda rng: b'{"\\ud83d": "x"}',
    "NUL escaped": lambda rng: raw(rng.choice(TEXTS), '"a\\u0000b"'),
    "NUL byte": lambda rng: line(9).replace(b"title", b"ti\0tle"),
    "control character": lambda rng: line(9).replace(b"title", b"ti\x07tle"),
    "tab in a text": lambda rng: line(9).replace(b"the title", b"the\ttitle"),
    "latin-1": lambda rng: line(9).replace(b"Write", "Schreibe für".encode("latin-1")),
    "windows-1252": lambda rng: line(9).replace(b"Write", "“Write”".encode("cp1252")),
    "UTF-16 line": lambda rng: line(9).decode().encode("utf-16-be"),
    "overlong UTF-8": lambda rng: line(9).replace(b"Write", b"Wr\xc0\xaf"),
    "surrogates in UTF-8": lambda rng: line(9).replace(b"Write", b"\xed\xa0\x80"),
    "bytes above 0xf4": lambda rng: line(9).replace(b"Write", bytes([rng.randint(0xF5, 0xFF)])),
    "cut character": lambda rng: line(9)[:-2] + "é".encode()[:1],
    "longer than 1 MB": lambda rng: line(9, input="x" * rng.randint(1_100_000, 2_500_000)),
    "1 MB of brackets": lambda rng: b"{" * 1_200_000,
    "no instruction": lambda rng: without("instruction"),
    "no output": lambda rng: without("output"),
    "no category": lambda rng: without("category"),
    "another format's fields": lambda rng: b'{"question": "Which?", "query": "MATCH (n) RETURN n"}',
    "whole number": lambda rng: line(9, **{rng.choice(FIELDS): rng.randint(0, 9)}),
    "fraction": lambda rng: line(9, **{rng.choice(FIELDS): 0.5}),
    "boolean": lambda rng: line(9, **{rng.choice(FIELDS): rng.random() < 0.5}),
    "null in a field": lambda rng: line(9, **{rng.choice(FIELDS): None}),
    "list in a field": lambda rng: line(9, **{rng.choice(FIELDS): ["Write."]}),
    "object in a field": lambda rng: line(9, **{rng.choice(FIELDS): {"text": "Write."}}),
    "number in an optional field": lambda rng: line(9, **{rng.choice(["id", "graph", "style", "answer"]): 7}),
    "empty text": lambda rng: line(9, **{rng.choice(TEXTS): ""}),
    "blanks": lambda rng: line(9, **{rng.choice(TEXTS): " \n\t "}),
    "bad escape": lambda rng: raw(rng.choice(FIELDS), '"a \\x41"'),
    "comment": lambda rng: b"// " + line(9),
    "CSV": lambda rng: b"Write.,Give the titles,MATCH (a) RETURN a,filter,small",
    "YAML": lambda rng: b"- instruction: Write.",
    "XML": lambda rng: b"<example><input>Give</input></example>",
}


def files(tmp_path: Path) -> Iterator[tuple[str, Path, int | None]]:
    """Every malformed file with its name and, where a line is at fault, the line."""
    for kind, make in LINE_KINDS.items():
        for seed in SEEDS:
            for place in (0, LINES // 2, LINES - 1):
                lines = [line(number) for number in range(2, 2 + LINES)]
                lines[place] = make(random.Random(f"{kind} {seed}"))
                path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
                path.write_bytes(b"\n".join(lines) + (b"\n" if seed == 1 else b""))
                yield f"{kind}, line {place + 1}, seed {seed}", path, place + 1
                path.unlink()


def other_formats() -> dict[str, bytes]:
    """Whole files that are no JSONL in UTF-8."""
    text = b"".join(line(number) + b"\n" for number in range(2, 30)).decode()
    return {
        "gzip": gzip.compress(text.encode()),
        "bzip2": bz2.compress(text.encode()),
        "xz": lzma.compress(text.encode()),
        "UTF-16": text.encode("utf-16"),
        "UTF-16 big-endian": b"\xfe\xff" + text.encode("utf-16-be"),
        "UTF-16 without a mark": text.encode("utf-16-le"),
        "UTF-32": text.encode("utf-32"),
        "random bytes": random.Random("bytes").randbytes(5000),
        "zeros": bytes(5000),
        "empty": b"",
        "blank lines": b"\n \n\t\n",
        "only a byte order mark": b"\xef\xbb\xbf",
        "an array over many lines": json.dumps([record(n) for n in range(2, 5)], indent=2).encode(),
        "EBCDIC": text.encode("cp500"),
    }


# Each takes the path of a malformed file, and returns what the user is told. add-queries belongs here, too.
def told_by_validate(path: Path) -> str:
    try:
        report = validate(path)
    except BadInput as problem:
        return str(problem)
    assert not report.ok and json.dumps(report.to_json(), ensure_ascii=False).encode()
    return report.text()


def told_by_correct(path: Path) -> str:
    with pytest.raises(BadInput) as refused:
        correct(path)
    return str(refused.value)


def told_by_add_queries(path: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "good.log"
        log.write_text("MATCH (n:City) WHERE n.name = 'Oslo' RETURN n.size AS size\n", encoding="utf-8")
        with pytest.raises(BadInput) as refused:
            add_queries(log, path)
    return str(refused.value)


VERBS: list[Callable[[Path], str]] = [told_by_validate, told_by_correct, told_by_add_queries]


@pytest.mark.parametrize("tell", VERBS)
def test_each_malformed_line_is_located_and_nothing_changes(tmp_path: Path, tell: Callable[[Path], str]) -> None:
    number = 0
    for name, path, place in files(tmp_path):
        before = path.read_bytes()
        said = tell(path)
        said.encode()  # nothing that a terminal cannot print
        assert f"{path.name}, line {place}" in said, (name, said[:300])
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path], name
        number += 1
    assert number >= 200


@pytest.mark.parametrize("tell", VERBS)
@pytest.mark.parametrize("name", other_formats())
def test_a_file_of_another_format_is_refused(tmp_path: Path, name: str, tell: Callable[[Path], str]) -> None:
    if name in ("empty", "blank lines", "only a byte order mark") and tell is told_by_add_queries:
        pytest.skip("queries may be added to an empty dataset")
    path = tmp_path / "data.jsonl"
    path.write_bytes(content := other_formats()[name])
    assert "data.jsonl" in tell(path)
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("tell", VERBS)
def test_what_is_no_file_is_refused(tmp_path: Path, tell: Callable[[Path], str]) -> None:
    folder, archive = tmp_path / "folder.jsonl", tmp_path / "zip.jsonl"
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as handle:
        handle.writestr("data.jsonl", line(2))
    (tmp_path / "dangling.jsonl").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    names = {path: path.name for path in tmp_path.iterdir()}
    for path in [*names, tmp_path / "missing.jsonl", tmp_path / ("long" * 100), Path("/dev/zero")]:
        assert str(path)[:60] in tell(path)
    assert "cannot be read" in tell(Path("a\0b.jsonl"))
    assert {path: path.name for path in tmp_path.iterdir()} == names


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
@pytest.mark.parametrize("tell", VERBS)
def test_an_unreadable_file_is_refused(tmp_path: Path, tell: Callable[[Path], str]) -> None:
    path = tmp_path / "secret.jsonl"
    path.write_bytes(line(2))
    path.chmod(0)
    assert "secret.jsonl" in tell(path) and "denied" in tell(path)


SAMPLE = ("cut off", "key twice", "NaN", "half of a surrogate pair", "longer than 1 MB", "latin-1", "deep arrays")


@pytest.mark.parametrize("verb", ["validate", "correct"])
def test_the_command_line_says_so_and_ends_with_status_2(tmp_path: Path, verb: str) -> None:
    malformed = [LINE_KINDS[kind](random.Random(kind)) for kind in SAMPLE]
    contents = [line(2) + b"\n" + bad + b"\n" for bad in malformed] + [other_formats()["gzip"], b""]
    code = (
        "import sys; from heimdall_nb.cli import main\n"
        "for path in sys.argv[2:]:\n"
        "    sys.argv = ['heimdall', sys.argv[1], path]\n"
        "    try: main()\n"
        "    except SystemExit as ended: print('STATUS', ended.code, path, flush=True)\n"
    )
    paths = [tmp_path / f"{number}.jsonl" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    done = subprocess.run([sys.executable, "-c", code, verb, *map(str, paths)], capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said[-2000:]
    assert [f"STATUS 2 {path}" in said for path in paths] == [True] * len(paths), said[-2000:]
    assert all(f"{path}, line 2" in said for path in paths[: len(SAMPLE)]), said[-2000:]
    assert [path.read_bytes() for path in paths] == contents and sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + line(2) + b"\n" + line(3) + b"\n",
        line(2) + b"\r\n" + line(3) + b"\r\n",
        b"\n\n" + line(2) + b"\n   \n" + line(3),
        line(2) + b"   \n\t" + line(3) + b" \t \n",
        line(2) + b"\n\xef\xbb\xbf" + line(3) + b"\n",
        line(2) + b"\n" + line(3, style="x" * 900_000) + b"\n",
    ],
    ids=["byte order mark", "CRLF", "blank lines", "blanks around", "files put together", "long and good"],
)
def test_what_only_looks_odd_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    assert validate(path).fault_lines() == [] and validate(path).examples == 2
    assert correct(path, min_category_size=0)["after"] == 2 and validate(path).ok
    assert correct(path, min_category_size=0)["backup"] is None
