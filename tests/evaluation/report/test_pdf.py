"""A report is printed as a PDF; software that is missing for this is named."""

from __future__ import annotations

import base64
import socket
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from PIL import Image

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


def test_no_last_page_holds_the_footer_alone() -> None:
    pdf_or_skip()
    from weasyprint import HTML

    head, _, rest = render_report([reported(evaluation(("ID0001",)))]).partition("<main>")
    footer = rest.partition("</main>")[2].replace("<footer>", '<footer id="footer">')
    lengths = set()
    for filled in range(150, 235, 5):
        main = f'<main><div style="height: {filled}mm"></div><p id="last">The last line.</p></main>'
        pages = HTML(string=head + main + footer).render().pages
        assert {"last", "footer"} <= pages[-1].anchors.keys(), f"after {filled} mm"
        lengths.add(len(pages))
    assert lengths == {1, 2}


def test_a_page_that_names_a_file_or_a_server_is_printed_without_reading_them(tmp_path: Path) -> None:
    pdf_or_skip()
    picture = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(picture)

    def printed(source: str) -> bytes:
        attached = f'<link rel="attachment" href="{source}">'
        head = f'<head><title>A page</title>{attached}<link rel="stylesheet" href="{source}"></head>'
        write_pdf(f'<html lang="en">{head}<body><img alt="" src="{source}"></body></html>', tmp_path / "out.pdf")
        return (tmp_path / "out.pdf").read_bytes()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        for source in (picture.as_uri(), f"http://127.0.0.1:{listener.getsockname()[1]}/secret.png"):
            found = printed(source)
            assert b"/Image" not in found
            assert b"/EmbeddedFile" not in found
        with pytest.raises(BlockingIOError):
            listener.accept()
    data = base64.b64encode(picture.read_bytes()).decode()
    assert b"/Image" in printed(f"data:image/png;base64,{data}"), "data in the page itself is shown"


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
