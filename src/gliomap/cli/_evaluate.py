"""`gliomap evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliomap.cli._app import app
from gliomap.cli._options import PaletteChoice, PaletteName, SensorName
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb

_LISTED = 6
"""Pictures that are listed by name."""


@verb(
    app,
    "evaluate",
    writes=True,
    examples=(
        "gliomap evaluate run",
        "gliomap evaluate study/runs/lda_holdout_ID0003_1 --palette safe",
        "gliomap evaluate run --study /data/moved-study --overwrite --json",
    ),
)
def evaluate(
    ui: Ui,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of `gliomap train`.")],
    study: Annotated[
        Path | None, typer.Option("--study", metavar="DIR", help="Where the study is now, if it was moved.")
    ] = None,
    sensor: SensorName = None,
    palette: PaletteChoice = PaletteName.classic,
) -> None:
    """Test a run on what it held out: metrics, maps, curves.

    Writes RUN/evaluation/: metrics.json, predictions and pictures. A metric that
    is not defined (no pixel of that class) says so and is in no mean.
    """
    from gliomap.evaluation import record_tables
    from gliomap.workflows import evaluate as evaluate_run

    done = evaluate_run(
        run,
        study=study,
        sensor=sensor,
        palette=palette.value,
        threads=ui.threads,
        overwrite=ui.overwrite,
        track=ui.track,
    )
    if ui.as_json:
        ui.result({"folder": str(done.folder), **done.record.model_dump(mode="json")})
        return
    if done.record.warning is not None:
        ui.text(f"Mind: {done.record.warning}")
    for table in record_tables(done.record):
        ui.table(table.columns, table.rows, title=table.title, numbers=table.numbers)
    pictures = [*(name for one in done.record.captures.values() for name in one.pictures), *done.record.pictures]
    listed = [str(done.folder / name) for name in pictures[:_LISTED]]
    more = [f"and {len(pictures) - _LISTED} more in {done.folder}"] if len(pictures) > _LISTED else []
    ui.text(*listed, *more, done.record.notice, f"Next: gliomap bundle create {run}")
