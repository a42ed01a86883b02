"""The documentation builds as a site: no dead link, no page outside the navigation, no unknown name in a docstring."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from gliomap.evaluation._canvas import contrast
from support import PROJECT


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=PROJECT,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "site" / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    assert 'id="gliomap.engine.Engine.classify_frame"' in reference


def test_links_of_pages_outside_the_site_lead_to_files() -> None:
    """README and CONTRIBUTING are read in the repository; links within the site are checked when it is built."""
    for name in ("README.md", "CONTRIBUTING.md", "benchmarks/results.md"):
        page = PROJECT / name
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{name} links to {target}"


def test_text_on_the_site_has_sufficient_contrast() -> None:
    style = (PROJECT / "docs" / "stylesheets" / "extra.css").read_text(encoding="utf-8")
    teal, link = (
        [int(found[2 * k : 2 * k + 2], 16) / 255 for k in range(3)]
        for found in (
            re.search(rf"--md-{name}: #(\w{{6}})", style)[1] for name in ("primary-fg-color", "typeset-a-color")
        )
    )
    assert contrast(teal, (1, 1, 1)) >= 4.5, "white on the header, and links on white"
    assert contrast(link, (0x1E / 255, 0x21 / 255, 0x29 / 255)) >= 4.5, "links on the background of the dark scheme"
