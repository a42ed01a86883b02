"""`gliomap runs list|show|compare|export|sync`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliomap._text import command_line, counted
from gliomap.cli._app import app
from gliomap.cli._options import TrackingUri
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb
from gliomap.errors import RunError, UsageError

if TYPE_CHECKING:
    from gliomap.tracking import RunRow

runs_app = group(app, "runs", "Runs: list, show, compare, export, send to MLflow.")

MIXING = ("double-cv", "pooled")
"""Protocols that test patients who also train; repeated here so that listing runs need not load another package."""

Places = Annotated[
    list[Path] | None,
    typer.Argument(metavar="STUDY|RUN...", help="Studies, folders of runs, or runs; this folder by default."),
]
Table = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="File for the table; stdout by default.")]


@verb(
    runs_app,
    "list",
    within="runs",
    examples=("gliomap runs list study", "gliomap runs list study --sort accuracy --json"),
)
def list_runs(
    ui: Ui,
    places: Places = None,
    sort: Annotated[str, typer.Option("--sort", metavar="KEY", help="time, name, accuracy or sensitivity.")] = "time",
) -> None:
    """List runs with their main figures, read from their folders.

    Figures are over all tested pixels together; `runs show` has those over
    patients. A damaged run is named on stderr and left out. On a narrow terminal
    model, protocol and date are left out; --json has them.
    """
    if sort not in _ORDERS:
        raise UsageError(f"--sort {sort}", "is not a sort key", f"Choose one of: {', '.join(_ORDERS)}.")
    rows = sorted(_rows(ui, places), key=_ORDERS[sort])
    if ui.as_json:
        ui.result({"runs": [_described(row) for row in rows]})
        return
    if not rows:
        ui.text(_no_runs(places))
        return
    cells = [
        (
            row.name,
            row.model,
            row.protocol,
            _tested(row),
            *_told_figures(row),
            f"{row.started_at:%Y-%m-%d}",
        )
        for row in rows
    ]
    columns = ["run", "model", "protocol", "tested", "OACC", "sens.", "spec.", "started"]
    ui.table(
        columns, cells, title=counted(len(rows), "run"), numbers="    rrr ", spare=("model", "protocol", "started")
    )
    ui.text("OACC: overall accuracy; sens., spec.: sensitivity and specificity for tumour.")
    if any(row.figures is not None and row.protocol in MIXING for row in rows):
        ui.text(f"Figures of {' and '.join(MIXING)} are too high: their test patients also trained.")


@verb(runs_app, "show", within="runs", examples=("gliomap runs show run", "gliomap runs show run --json"))
def show(ui: Ui, run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Show a run: what was trained, its figures and its times."""
    from gliomap.evaluation import interval_text, read_evaluation
    from gliomap.tracking import EVALUATION, METRICS, read_record, read_row, unfinished_folder

    if not run.exists():
        run = unfinished_folder(run) or run
    row, record, found = read_row(run), read_record(run), None
    if (run / EVALUATION / METRICS).is_file():
        found = read_evaluation(run / EVALUATION / METRICS)
    intervals = {} if found is None else found.intervals
    if ui.as_json:
        mean = {
            name: None
            if one is None
            else {"mean": one.mean, "low": one.low, "high": one.high, "patients": one.patients}
            for name, one in intervals.items()
        }
        ui.result({**_described(row), "intervals": mean, "record": record.model_dump(mode="json")})
        return
    # A model that is fitted in one step has one epoch.
    best = f", best {record.best_epoch}" if record.chose_epoch else ""
    trained = f"{record.epochs} epochs{best}" if record.epochs > 1 else ""
    ui.facts(
        [
            ("Run", record.name),
            ("State", row.state),
            ("Model", f"{record.model.title} ({record.model.name}), preset {record.training.preset}"),
            ("Protocol", record.protocol),
            ("Study", f"{record.study.name}, fingerprint {record.study.fingerprint[:12]}"),
            ("Tested", _tested(row)),
            ("Folds", ", ".join(record.folds)),
            ("Training", trained),
            ("Stopped", record.stopped),
            ("Commit", record.environment.commit),
            ("Notes", "; ".join((*record.hints, *record.notes))),
            ("Tracking", "" if record.tracked else "none, unless a command names a store"),
            ("Folder", run),
        ]
    )
    if found is not None:
        rows = [(name, interval_text(one)) for name, one in intervals.items()]
        ui.table(["figure", "mean over patients"], rows, title="Figures", numbers="  ")
    times = [(stage.replace("_", " "), f"{seconds:.2f}") for stage, seconds in row.times.items()]
    if times:
        ui.table(["stage", "seconds"], times, title="Times", numbers=" r")
    if row.state == "interrupted":
        ui.text("Next: repeat the training command with --resume.")
    elif row.state == "trained":
        ui.text(f"Next: {command_line('evaluate', run)}")


@verb(
    runs_app,
    "compare",
    within="runs",
    writes=True,
    examples=("gliomap runs compare study -o compare.png", "gliomap runs compare first second -o compare.png --json"),
)
def compare(
    ui: Ui,
    places: Places = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The picture, a PNG.")] = Path("runs.png"),
) -> None:
    """Draw evaluated runs side by side, patient by patient.

    Each test patient is a dot, beside the mean and its interval. Runs that were
    not evaluated are left out and named.

    `gliomap report RUN... --compare` tests whether two runs differ, patient by
    patient.
    """
    from gliomap._files import refuse_existing, require_suffix
    from gliomap.evaluation import equal_names, read_evaluation, runs_figure
    from gliomap.tracking import EVALUATION, METRICS

    require_suffix(out, "a PNG picture", ".png")
    refuse_existing(out, overwrite=ui.overwrite)
    found_rows = _rows(ui, places)
    rows = [row for row in found_rows if row.figures is not None]
    left_out = [row for row in found_rows if row.figures is None]
    names = _distinct([row.name for row in rows], [str(row.path) for row in rows])
    found = {name: read_evaluation(row.path / EVALUATION / METRICS) for name, row in zip(names, rows, strict=True)}
    runs_figure(found, out)
    warnings = [f"{name}: {caution}" for name, record in found.items() for caution in record.cautions]
    warnings += equal_names((row.fingerprint, found[name].patients) for name, row in zip(names, rows, strict=True))
    if ui.as_json:
        ui.result(
            {
                "picture": str(out),
                "runs": [_described(row) for row in rows],
                "not_evaluated": [str(row.path) for row in left_out],
                "warnings": warnings,
            }
        )
        return
    ui.text(*(f"Caution: {warning}" for warning in warnings))
    if left_out:
        ui.text(f"Left out, not evaluated: {', '.join(str(row.path) for row in left_out)}")
    ui.text(f"Picture of {counted(len(rows), 'run')}: {out}")


@verb(
    runs_app,
    "export",
    within="runs",
    writes=True,
    examples=("gliomap runs export study --csv runs.csv", "gliomap runs export run --folds --csv folds.csv"),
)
def export(
    ui: Ui,
    places: Places = None,
    csv: Table = None,
    folds: Annotated[bool, typer.Option("--folds", help="One row per fold instead of one per run.")] = False,
) -> None:
    """Write the thesis's table of experiments as CSV.

    It has the experiment, the tested patients, overall accuracy, accuracy,
    sensitivity and specificity for tumour, and the six times, followed by the
    rows Mean, Std and Std error.
    """
    from gliomap._files import refuse_existing

    if csv is not None:
        refuse_existing(csv, overwrite=ui.overwrite)
    tell_thesis_table(ui, _rows(ui, places), csv, by_fold=folds)


def tell_thesis_table(ui: Ui, rows: list[RunRow], csv: Path | None, *, by_fold: bool) -> None:
    """Write the table to a file, or print it."""
    from gliomap._files import write_text
    from gliomap.tracking import THESIS_COLUMNS, thesis_csv

    text = thesis_csv(rows, by_fold=by_fold)
    if csv is not None:
        write_text(csv, text)
    if ui.as_json:
        ui.result({"csv": None if csv is None else str(csv), "columns": list(THESIS_COLUMNS), "runs": len(rows)})
    elif csv is None:
        ui.text(text.replace("\r\n", "\n").rstrip("\n"))
    else:
        ui.text(f"Table of {counted(len(rows), 'run')}: {csv}")


@verb(
    runs_app,
    "sync",
    within="runs",
    examples=("gliomap runs sync study", "gliomap runs sync run --tracking http://127.0.0.1:5000"),
)
def sync(
    ui: Ui,
    places: Places = None,
    tracking: TrackingUri = None,
    again: Annotated[
        bool, typer.Option("--again", help="Check even complete runs with the store; send files again.")
    ] = False,
) -> None:
    """Send to MLflow what it does not hold yet.

    It is safe to repeat, and to stop at any time. A run that is still training
    is sent as far as it has got. One that was killed and not resumed is sent as
    killed. One that was trained with --tracking none is sent only if it is named
    itself.
    """
    from gliomap.tracking import Sender, find_store, is_held, read_record, study_folder

    rows = _rows(ui, places)
    named = {place.resolve() for place in places or [Path()]}
    sent: list[dict[str, Any]] = []
    damaged: list[str] = []
    left_out: list[str] = []
    senders: dict[str, Sender] = {}
    for row in ui.track(rows, "sending runs", len(rows)):
        try:
            record = read_record(row.path)
            if not record.tracked and row.path.resolve() not in named:
                left_out.append(str(row.path))
                continue
            store = find_store(tracking, study_folder(row.path, record))
            if store is None:
                raise UsageError("runs sync", "there is no store to send to", "Name one with --tracking URI.")
            sender = senders.setdefault(store.uri, Sender(store))
            stopped = row.unfinished and not is_held(row.path)
            done = sender.send(row.path, again=again, stopped=stopped)
        except RunError as error:
            if len(rows) == 1:
                raise
            ui.warn(f"{error}")
            damaged.append(str(row.path))
            continue
        sent.append({"run": str(row.path), "store": store.name, "run_id": done.run_id, "changed": done.changed})
    if ui.as_json:
        ui.result({"runs": sent, "damaged": damaged, "left_out": left_out})
    else:
        changed = sum(one["changed"] for one in sent)
        ui.text(f"Sent {counted(changed, 'run')}; {len(sent) - changed} already up to date.")
        ui.text(*(f"Left out, trained with --tracking none (name it to send it): {run}" for run in left_out))
    if damaged:
        raise RunError(
            ", ".join(damaged), "could not be sent", "See the warnings; all other runs that may be sent were sent."
        )


def _rows(ui: Ui, places: list[Path] | None) -> list[RunRow]:
    """The runs in these places, each once; a damaged run is named and left out, unless it was given itself."""
    from gliomap.tracking import find_runs, read_row

    found: dict[Path, RunRow] = {}
    for place in places or [Path()]:
        for folder in find_runs(place):
            try:
                found.setdefault(folder.resolve(), read_row(folder))
            except RunError as error:
                if folder == place:
                    raise
                ui.warn(f"{error}")
    return list(found.values())


def _no_runs(places: list[Path] | None) -> str:
    where = ", ".join(map(str, places)) if places else "this folder"
    return f"No runs in {where}. Train one with `gliomap train STUDY`, or name the folder that holds them."


def _figures(row: RunRow) -> tuple[float | None, float | None, float | None]:
    """Overall accuracy, sensitivity and specificity for tumour."""
    found = row.figures
    if found is None:
        return None, None, None
    return found.overall_accuracy, found.tumour_sensitivity, found.tumour_specificity


def _best_first(value: float | None) -> float:
    return 1.0 if value is None else -value


_ORDERS: dict[str, Callable[[RunRow], Any]] = {
    "time": lambda row: row.started_at,
    "name": lambda row: row.name,
    "accuracy": lambda row: _best_first(_figures(row)[0]),
    "sensitivity": lambda row: _best_first(_figures(row)[1]),
}


def _told_figures(row: RunRow) -> list[str]:
    """Figures as text; empty before there are any."""
    if row.figures is None:
        return ["", "", ""]
    return ["none" if value is None else f"{value:.3f}" for value in _figures(row)]


def _tested(row: RunRow) -> str:
    """The patients who were tested or, before any were, the run's state."""
    if row.figures is None:
        return row.state if row.unfinished else "not yet"
    patients = row.figures.tested
    return patients[0] if len(patients) == 1 else f"{len(patients)} patients"


def _described(row: RunRow) -> dict[str, Any]:
    return {
        "run": str(row.path),
        "name": row.name,
        "model": row.model,
        "protocol": row.protocol,
        "study": row.study,
        "state": row.state,
        "started_at": row.started_at.isoformat(),
        "figures": None if row.figures is None else asdict(row.figures),
        "times": dict(row.times),
    }


def _distinct(names: list[str], paths: list[str]) -> list[str]:
    """Names, or paths if two runs have the same name."""
    return names if len(set(names)) == len(names) else paths
