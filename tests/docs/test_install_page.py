"""docs/how-to/install.md names every part of GlioMap, and no other."""

from __future__ import annotations

import re
import tomllib

from docs.pages import sections
from support import PROJECT


def test_the_page_lists_every_part() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = {
        name
        for row in sections("how-to/install.md")["Install GlioMap"].rows()
        for name in re.findall(r"`([\w-]+)`", row[0])
    }
    assert parts == set(project["optional-dependencies"])
