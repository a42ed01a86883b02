"""docs/reference/api.md lists every public module, and the functions in them document parameters and errors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from docs.pages import page
from support import PROJECT

SOURCE = PROJECT / "src" / "gliomap"
TOLD = sorted(re.findall(r"^::: gliomap\.([\w.]+)$", page("reference/api.md"), re.M))
ELSEWHERE = {"cli", "learning.convert_legacy", "serving.azure_scoring", "tracking.pyfunc"}
"""Run by their names, not called: the command line, and what a converter's command, Azure and MLflow load."""

POINTS_ELSEWHERE = re.compile(r"\bas of\b|\bAs `|GlioMapError", re.I)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_the_page_lists_every_public_module() -> None:
    packages = {path.parent for path in SOURCE.rglob("__init__.py")} - {SOURCE}
    modules = {path.with_suffix("") for path in SOURCE.rglob("*.py") if path.name[0] != "_"}
    public = {".".join(path.relative_to(SOURCE).parts) for path in packages | modules}
    assert set(TOLD) == public - ELSEWHERE


@pytest.mark.parametrize("module", TOLD)
def test_public_functions_document_their_parameters_and_errors(module: str) -> None:
    lacking = []
    for name, function in functions(module):
        told = ast.get_docstring(function) or ""
        arguments = function.args
        taken = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)} - {"self", "cls"}
        if len(taken) > 2 and "Parameters\n---" not in told and not POINTS_ELSEWHERE.search(told):
            lacking.append(f"{name} takes {', '.join(sorted(taken))}")
        missing = {error for error in _raised(function) if error not in told}
        if missing and not POINTS_ELSEWHERE.search(told):
            lacking.append(f"{name} raises {', '.join(sorted(missing))}")
    assert lacking == []


def functions(module: str) -> Iterator[tuple[str, Function]]:
    """Every public function of a module, and every public method of its classes, as syntax trees."""
    path = SOURCE.joinpath(*module.split("."))
    home = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    places = {
        alias.asname or alias.name: SOURCE.joinpath(*node.module.split(".")[1:]).with_suffix(".py")
        for node in ast.walk(_tree(home))
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("gliomap.")
        for alias in node.names
    }
    for name in _exported(home):
        for node in _tree(places.get(name, home)).body if places.get(name, home).is_file() else []:
            if isinstance(node, Function) and node.name == name:
                yield name, node
            elif isinstance(node, ast.ClassDef) and node.name == name:
                for method in node.body:
                    if isinstance(method, Function) and not method.name.startswith("_"):
                        yield f"{name}.{method.name}", method


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _exported(path: Path) -> list[str]:
    (listed,) = (
        node.value
        for node in _tree(path).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    )
    names: list[str] = ast.literal_eval(listed)
    return names


def _raised(function: Function) -> set[str]:
    """GlioMap's errors that the function raises itself."""
    raised = (node.exc for node in ast.walk(function) if isinstance(node, ast.Raise))
    return {
        call.func.id
        for call in raised
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.endswith("Error")
    } - {"ValueError"}
