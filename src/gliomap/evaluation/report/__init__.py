"""The report of an evaluation: one self-contained HTML page, and the same as PDF."""

from gliomap.evaluation.report._content import Fact, MapPicture, ReportedRun
from gliomap.evaluation.report._page import render_report
from gliomap.evaluation.report._pdf import require_pdf, write_pdf

__all__ = ["Fact", "MapPicture", "ReportedRun", "render_report", "require_pdf", "write_pdf"]
