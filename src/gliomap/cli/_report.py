"""`gliomap report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliomap.cli._app import app
from gliomap.cli._options import PaletteChoice, TrackingUri
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb


@verb(
    app,
    "report",
    writes=True,
    examples=(
        "gliomap report run",
        "gliomap report run -o report.html --pdf",
        "gliomap report run -o report.pdf",
        "gliomap report lda-lopo forest-lopo --compare -o comparison.html",
    ),
)
def report(
    ui: Ui,
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Evaluated run folders.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="FILE.html or FILE.pdf; RUN/report.html by default."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare the first run with each of the others, patient by patient.")
    ] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write FILE.pdf beside the page.")] = False,
    palette: PaletteChoice = "safe",
    tracking: TrackingUri = None,
) -> None:
    """Write a report on evaluated runs as one HTML page.

    The page is self-contained and loads nothing. It shows who trained and who
    was tested, figures with their intervals, maps, limits, and the commands that
    reproduce it.
    """
    from gliomap.tracking import store_of_run
    from gliomap.workflows import report as write_report

    done = write_report(
        runs,
        out,
        compare=compare,
        pdf=pdf,
        palette=palette,
        overwrite=ui.overwrite,
        track=ui.track,
        store=store_of_run(runs[0], tracking) if out is None else None,
    )
    if ui.as_json:
        ui.result(
            {
                "html": None if done.html is None else str(done.html),
                "pdf": None if done.pdf is None else str(done.pdf),
                "runs": [one.evaluation.run for one in done.runs],
                "notice": done.runs[0].evaluation.notice,
            }
        )
        return
    written = [f"Report: {path}" for path in (done.html, done.pdf) if path is not None]
    ui.text(*written, done.runs[0].evaluation.notice)
