"""Write the page as PDF with WeasyPrint, from the same HTML and its print style sheet, without a browser."""

from __future__ import annotations

from pathlib import Path

from gliomap._files import atomic_file
from gliomap.errors import MachineError, MissingExtraError

__all__ = ["require_pdf", "write_pdf"]

_LIBRARIES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


def require_pdf() -> None:
    """Check whether a PDF can be written here, before any work is done.

    Raises
    ------
    MissingExtraError
        WeasyPrint is not installed.
    MachineError
        Its system libraries cannot be loaded.
    """
    try:
        import weasyprint
    except ModuleNotFoundError as error:
        raise MissingExtraError("a report as PDF", "pdf") from error
    except OSError as error:
        # WeasyPrint loads Pango by name on import; the first line names the missing library.
        reason = str(error).splitlines()[0]
        raise MachineError(
            "a report as PDF",
            f"needs the Pango system libraries, which cannot be loaded ({reason})",
            f"On Debian and Ubuntu: apt-get install {_LIBRARIES}; elsewhere, print the HTML page from a browser.",
        ) from error
    del weasyprint


def write_pdf(html: str, path: Path) -> None:
    """Write a page from `render_report` as PDF, atomically.

    It reads only data in the page itself, neither files nor the network.

    Raises
    ------
    MissingExtraError, MachineError
        As for `require_pdf`.
    """
    require_pdf()
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    document = HTML(string=html, url_fetcher=URLFetcher(allowed_protocols=("data",)))
    with atomic_file(path) as temporary:
        document.write_pdf(temporary, pdf_variant="pdf/ua-1")
