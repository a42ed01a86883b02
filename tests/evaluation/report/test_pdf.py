"""A report is printed as a PDF; software that is missing for this is named."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from evaluation.report.scenes import evaluation, reported
from gliomap.errors import MachineError, MissingExtraError
from gliomap.evaluation.report import render_report, require_pdf, write_pdf


def pdf_or_skip() -> None:
    try:
        require_pdf()
    except MachineError as error:
        pytest.skip(str(error))


def test_a_page_is_written_as_pdf(tmp_path: Path) -> None:
    pdf_or_skip()
    write_pdf(render_report([reported(evaluation(("ID0001", "ID0002")))]), tmp_path / "report.pdf")
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert len(content) > 20_000


def test_a_fetcher_of_data_urls_reads_no_local_file(tmp_path: Path) -> None:
    pdf_or_skip()
    from weasyprint.urls import URLFetcher, FatalURLFetchingError  # isort: skip

    (tmp_path / "secret.png").write_bytes(b"x")
    with pytest.raises((ValueError, FatalURLFetchingError)):
        URLFetcher(allowed_protocols=("data",)).fetch((tmp_path / "secret.png").as_uri())


def test_missing_weasyprint_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(MissingExtraError, match=r"gliomap\[pdf\]"):
        require_pdf()


def test_missing_pango_names_the_system_package(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
            if name == "weasyprint":
                raise OSError("cannot load library 'libpango-1.0-0'\nand more lines")
            return None

    for name in [name for name in sys.modules if name.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(MachineError, match=r"apt-get install libpango-1\.0-0") as caught:
        require_pdf()
    assert "cannot load library 'libpango-1.0-0')" in str(caught.value)
