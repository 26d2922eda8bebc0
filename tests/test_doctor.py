"""The doctor finds what is there, and says what to do about what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from heimdall_nb import doctor, prompts
from heimdall_nb.engines import mariadb_server
from heimdall_nb.exercises import nb00


def test_this_machine_can_run_the_course() -> None:
    found = doctor.checks()
    assert [check.name for check in found if not check.ok] == []
    assert {"Python", "packages", "graph engine (ArcadeDB)", "llama.cpp", "threads"} <= {check.name for check in found}
    assert all(check.detail for check in found)


def test_text_shows_state_and_remedy() -> None:
    lines = doctor.text([doctor.Check("good", True, "found", "no need"), doctor.Check("bad", False, "gone", "get it")])
    assert lines.splitlines()[0].startswith("[ok]") and "no need" not in lines
    assert "[missing] bad" in lines and "-> get it" in lines
    assert lines.endswith("1 of 2 checks are ok.")
    assert doctor.table([doctor.Check("bad", False, "gone", "get it")])[0]["state"] == "missing"


def test_a_sql_server_is_no_must_and_one_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mariadb_server, "missing", lambda: "MariaDB is not installed")
    absent = doctor.sql_server()
    assert absent.ok and "SQLite" in absent.detail and "apt-get" in absent.detail
    monkeypatch.setattr(mariadb_server, "missing", lambda: "")
    monkeypatch.setattr(doctor, "_child", lambda code: (False, "it does not start"))
    broken = doctor.sql_server()
    assert not broken.ok and broken.detail == "it does not start" and "SQL_URL" in broken.remedy


def test_requirements_are_the_projects(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "x"\ndependencies = ["torch>=2"]\n')
    assert doctor.requirements(project) == ["torch>=2"]
    assert any(line.startswith("torch") for line in doctor.requirements())


def test_absent_and_outdated_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "requirements", lambda: ["numpy>=1", "numpy>=99", "no-such-package-here>=1", "x; python_version<'3'"]
    )
    found = {check.name: check for check in doctor.packages()}
    assert found["packages"].detail == "1 of 3 within their ranges"
    assert "wanted >=99" in found["package numpy"].detail and not found["package numpy"].ok
    assert found["package no-such-package-here"].detail.startswith("not installed")
    assert 'pip install "no-such-package-here>=1"' == found["package no-such-package-here"].remedy


def test_absent_is_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requirements", lambda: ["numpy>=99", "no-such-package-here>=1"])
    assert doctor.absent() == ["no-such-package-here>=1"]


def test_a_missing_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor, "_installed", lambda name: False)
    check = doctor.build_tools()
    assert not check.ok and "no C++ compiler, no cmake" in check.detail and "build-essential" in check.remedy


def test_a_process_that_fails_gives_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._child("raise SystemExit('the engine is gone')") == (False, "the engine is gone")
    monkeypatch.setattr(doctor, "SUBPROCESS_SECONDS", 0.2)
    assert doctor._child("import time; time.sleep(30)") == (False, "no answer within 0.2 seconds")


def test_little_disk_and_memory_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEIMDALL_REPORTS", str(tmp_path / "not" / "there" / "yet"))
    assert doctor.disk().ok
    monkeypatch.setattr(doctor, "DISK_GB", 1e9)
    monkeypatch.setattr(doctor, "MEMORY_GB", 1e9)
    assert not doctor.disk().ok and not doctor.memory().ok


def test_importing_the_doctor_is_cheap() -> None:
    code = "import sys, heimdall_nb.doctor; print([m for m in ('torch', 'jpype', 'llama_cpp') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_exercises_of_the_start_notebook() -> None:
    import pandas as pd

    needs = pd.DataFrame({"weights_16_bit": [1.0, 4.9], "cache": [0.1, 0.2]}, index=["small", "large"])
    assert nb00.check_1({"small"}, needs) is None and nb00.check_1({"small", "large"}, needs) and nb00.check_1(3, needs)
    own = prompts.conversation("How many studios are there?", "(:Studio)")
    assert nb00.check_2(own, "Which?", "(:Studio)") is None
    assert nb00.check_2(own, "How many studios are there?", "(:Studio)") and nb00.check_2("text", "Which?", "(:Studio)")
    assert nb00.check_2(own, "Which?", "(:Movie)")


@pytest.mark.usefixtures("arcadedb")
def test_the_query_of_the_start_notebook_is_run() -> None:
    from heimdall_nb.dataset.graphs import load_schema

    schema = load_schema("movies")
    assert nb00.check_3("MATCH (m:Movie) WHERE m.released > 2000 RETURN count(m)", schema, 7) is None
    assert nb00.check_3("MATCH (m:Movie) RETURN count(m)", schema, 7)
    assert "refuses" in (nb00.check_3("MATCH (m:Movie RETURN count(m)", schema, 7) or "")
