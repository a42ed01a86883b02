"""docs/how-to/report.md names the sections of a report as the report does, in its order."""

from __future__ import annotations

from docs.pages import sections
from gliomap.evaluation.report._page import _SECTIONS


def test_the_page_lists_every_section() -> None:
    assert [row[0] for row in sections("how-to/report.md")["What it shows"].rows()] == list(_SECTIONS.values())
