"""`gliomap evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliomap._text import command_line
from gliomap.cli._app import app
from gliomap.cli._options import PaletteChoice, SensorName, TrackingUri
from gliomap.cli._ui import Ui
from gliomap.cli._verb import verb

if TYPE_CHECKING:
    from gliomap.evaluation import Instrument, SanityRecord

INSTRUMENT_NAMES: tuple[Instrument, ...] = ("shuffle-labels", "oracle", "learning-curve")

_LISTED = 6
"""How many pictures are listed by name."""


@verb(
    app,
    "evaluate",
    writes=True,
    examples=(
        "gliomap evaluate run",
        "gliomap evaluate study/runs/lda_holdout_ID0003_1 --palette safe",
        "gliomap evaluate run --shuffle-labels --oracle --learning-curve",
        "gliomap evaluate run --study /data/moved-study --overwrite --json",
    ),
)
def evaluate(
    ui: Ui,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of `gliomap train`.")],
    study: Annotated[
        Path | None, typer.Option("--study", metavar="DIR", help="The study's folder, if it was moved.")
    ] = None,
    sensor: SensorName = None,
    palette: PaletteChoice = "classic",
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Also train on shuffled labels; figures must fall to chance.")
    ] = False,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Also train on each test patient's own pixels: a ceiling.")
    ] = False,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Also train on fewer and fewer patients.")
    ] = False,
    tracking: TrackingUri = None,
) -> None:
    """Test a run on its held-out data: metrics, maps, curves.

    It writes metrics.json, predictions and pictures to RUN/evaluation/. A metric
    that is undefined (no pixel of that class) is reported as undefined and is
    left out of means.

    --shuffle-labels, --oracle and --learning-curve train again and write to
    RUN/sanity/. They do not repeat an evaluation that is already there.
    """
    from gliomap.workflows import measure_sanity

    asked = {"shuffle-labels": shuffle_labels, "oracle": oracle, "learning-curve": learning_curve}
    instruments = [name for name in INSTRUMENT_NAMES if asked[name]]
    content: dict[str, Any] = {}
    if not instruments or ui.overwrite or not (run / "evaluation").exists():
        content = _evaluate(ui, run, study, sensor, palette, tracking)
    for name in instruments:
        found = measure_sanity(run, name, study=study, sensor=sensor, overwrite=ui.overwrite, track=ui.track)
        content.setdefault("sanity", {})[name] = found.model_dump(mode="json")
        _tell_sanity(ui, found)
    if ui.as_json:
        ui.result(content)
        return
    ui.text(f"Next: {command_line('report', run)}")


def _evaluate(
    ui: Ui, run: Path, study: Path | None, sensor: str | None, palette: str, tracking: str | None
) -> dict[str, Any]:
    """Evaluate the run, print the result, and return it as plain values."""
    from gliomap.evaluation import record_tables
    from gliomap.tracking import store_of_run
    from gliomap.workflows import evaluate as evaluate_run

    done = evaluate_run(
        run,
        study=study,
        sensor=sensor,
        palette=palette,
        threads=ui.threads,
        overwrite=ui.overwrite,
        track=ui.track,
        store=store_of_run(run, tracking, study),
    )
    content = {"folder": str(done.folder), **done.record.model_dump(mode="json")}
    if ui.as_json:
        return content
    ui.text(*(f"Caution: {caution}" for caution in done.record.cautions))
    for table in record_tables(done.record):
        ui.table(table.columns, table.rows, title=table.title, numbers=table.numbers)
    pictures = [*(name for one in done.record.captures.values() for name in one.pictures), *done.record.pictures]
    listed = [str(done.folder / name) for name in pictures[:_LISTED]]
    more = [f"and {len(pictures) - _LISTED} more in {done.folder}"] if len(pictures) > _LISTED else []
    ui.text(*listed, *more, done.record.notice)
    return content


def _tell_sanity(ui: Ui, found: SanityRecord) -> None:
    from gliomap.evaluation import INSTRUMENTS, interval_text

    if ui.as_json:
        return
    rows = [
        [
            "own pixels" if point.training_patients is None else str(point.training_patients),
            *(
                interval_text(one)
                for one in (point.overall_accuracy, point.balanced_accuracy, point.tumour_sensitivity)
            ),
        ]
        for point in found.points
    ]
    columns = ["training patients", "overall accuracy", "balanced accuracy", "tumour sensitivity"]
    ui.table(columns, rows, title=found.name, numbers="r   ")
    chance = [] if found.chance is None else [f"Chance: balanced accuracy {found.chance:.3f}"]
    ui.text(INSTRUMENTS[found.name], *chance, *found.notes)
