"""docs/reference/api.md has the public face of every room, and of the modules that are public beside it."""

from __future__ import annotations

import re

from docs.pages import page
from support import PROJECT

ELSEWHERE = {"cli", "learning.convert_legacy", "serving.azure_scoring", "tracking.pyfunc"}
"""Run by their names, not called: the command line, and what a converter's command, Azure and MLflow load."""


def test_the_page_has_every_public_module() -> None:
    source = PROJECT / "src" / "gliomap"
    packages = {path.parent for path in source.rglob("__init__.py")} - {source}
    modules = {path.with_suffix("") for path in source.rglob("*.py") if path.name[0] != "_"}
    public = {".".join(path.relative_to(source).parts) for path in packages | modules}
    told = set(re.findall(r"^::: gliomap\.([\w.]+)$", page("reference/api.md"), re.M))
    assert told == public - ELSEWHERE
