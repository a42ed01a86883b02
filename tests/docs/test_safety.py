"""The safety file traces each requirement to tests that exist."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from support import PROJECT

SAFETY = (PROJECT / "docs" / "safety.md").read_text(encoding="utf-8")
TRACES = re.findall(r"`(tests/[^`:]*)::([^`]*)`", SAFETY)
HAZARDS = re.findall(r"^\| (H\d+) \|.*\| ((?:C\d+ ?)+)\|$", SAFETY, re.M)
CONTROLS = re.findall(r"^\| (C\d+) \| (.*) \| (.*) \|$", SAFETY, re.M)


@pytest.mark.parametrize(("file", "test"), TRACES, ids=[f"{file}::{test}" for file, test in TRACES])
def test_a_traced_test_exists(file: str, test: str) -> None:
    assert (PROJECT / file).is_file(), file
    assert test in _tests(PROJECT / file), f"{file} has no {test}"


def _tests(path: Path) -> set[str]:
    """The tests of a file, each by its name and, in a class, also as Class::name."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for one in [node, *getattr(node, "body", [])] if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                found |= {one.name} if one is node else {one.name, f"{node.name}::{one.name}"}
    return found


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


def test_no_text_of_the_project_says_that_there_is_no_tumour() -> None:
    shown = {".py", ".j2", ".md", ".toml"}
    texts = [
        PROJECT / "README.md",
        *(one for part in ("src", "docs", "examples") for one in (PROJECT / part).rglob("*")),
    ]
    texts = [one for one in texts if one.suffix in shown]
    assert {one.suffix for one in texts} >= {".py", ".j2", ".md"}
    for text in texts:
        words = " ".join(text.read_text(encoding="utf-8").split())
        assert not re.search(
            r"\b(no tumou?r (was |is )?(found|detected|seen|present)|tumou?r[- ]free)\b", words, re.I
        ), text


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
