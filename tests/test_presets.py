"""Presets: complete, typed, equal to the notebooks and to CONFIG.md."""

from __future__ import annotations

import nbformat
import papermill
import pytest

from heimdall_nb import presets
from heimdall_nb.errors import BadInput
from heimdall_nb.run import ROOT, STAGES, notebook_path


def test_config_is_generated_from_the_presets() -> None:
    assert (ROOT / "CONFIG.md").read_text(encoding="utf-8") == presets.config_markdown()


@pytest.mark.parametrize("number", STAGES)
def test_notebook_defaults_are_preset_nano(number: str) -> None:
    found = papermill.inspect_notebook(str(notebook_path(number)))
    wanted = {"run": "nano"} | presets.preset("nano")[number]
    scope: dict[str, object] = {}
    cell = next(c for c in nbformat.read(notebook_path(number), 4).cells if "parameters" in c.metadata.get("tags", []))
    exec(cell.source, scope)
    assert set(found) == set(wanted)
    assert {name: scope[name] for name in wanted} == wanted
    assert all(parameter["help"] for parameter in found.values()), "each parameter carries a comment"
    assert all(parameter["inferred_type_name"] != "None" for parameter in found.values())


@pytest.mark.parametrize("name", presets.names())
def test_presets_change_only_known_knobs_with_the_same_type(name: str) -> None:
    for stage, changes in presets.document()["presets"][name].get("set", {}).items():
        for knob, value in changes.items():
            like = presets.knobs(stage)[knob]["value"]
            assert isinstance(value, type(like)) or (isinstance(like, float) and isinstance(value, int)), (stage, knob)


def test_every_knob_has_help() -> None:
    specs = [spec for stage in STAGES for spec in presets.knobs(stage).values()]
    assert specs and all(len(spec["help"]) > 10 for spec in specs)


def test_override_reaches_every_stage_that_has_the_knob() -> None:
    values = presets.override(presets.preset("nano"), ["seed=9"])
    assert {stage_values["seed"] for stage_values in values.values()} == {9}
    one = presets.override(presets.preset("nano"), ["01.seed=9"])
    assert one["01"]["seed"] == 9 and one["02"]["seed"] == presets.preset("nano")["02"]["seed"]


@pytest.mark.parametrize(
    "assignment", ["exmples=3", "03.examples=3", "99.seed=1", "seed", "seed=abc", "seed=1.5", "seed=true"]
)
def test_override_refuses(assignment: str) -> None:
    with pytest.raises(BadInput, match="--set"):
        presets.override(presets.preset("nano"), [assignment])


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(BadInput, match="is not a preset"):
        presets.preset("nanno")
