"""The safety file traces each requirement to tests that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support import PROJECT

SAFETY = (PROJECT / "docs" / "safety.md").read_text(encoding="utf-8")
TRACES = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", SAFETY)
HAZARDS = re.findall(r"^\| (H\d+) \|.*\| ((?:C\d+ ?)+)\|$", SAFETY, re.M)
CONTROLS = re.findall(r"^\| (C\d+) \| (.*) \| (.*) \|$", SAFETY, re.M)


@pytest.mark.parametrize(("file", "test"), TRACES, ids=[f"{file}::{test}" for file, test in TRACES])
def test_a_traced_test_exists(file: str, test: str) -> None:
    path = PROJECT / file
    assert path.is_file(), file
    assert re.search(rf"^\s*def {test}\(", path.read_text(encoding="utf-8"), re.M), f"{file} has no {test}"


def test_every_control_has_a_requirement_and_a_test() -> None:
    assert len(CONTROLS) >= 15
    for control, requirement, tests in CONTROLS:
        assert requirement, control
        assert "::" in tests, f"{control} is verified by no test"


def test_every_hazard_has_only_controls_that_the_table_lists() -> None:
    assert len(HAZARDS) >= 10
    known = {control for control, _, _ in CONTROLS}
    for hazard, controls in HAZARDS:
        assert set(controls.split()) <= known, hazard


def test_no_string_in_the_source_says_that_there_is_no_tumour() -> None:
    sources = [*Path(PROJECT, "src").rglob("*.py")]
    assert sources
    for source in sources:
        for line in source.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"['\"](?:[^'\"]*\b)?(no tumou?r found|tumou?r[- ]free)\b", line, re.I), source


def test_no_patient_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    patients = [
        name
        for name in listed.stdout.splitlines()
        if re.search(r"ID\d{4}C\w*\.(tif|mat)$|\.(mat|tiff?|hdr|raw)$", name)
    ]
    assert patients == []
