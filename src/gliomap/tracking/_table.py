"""Runs as rows: what a list shows, and the table that the thesis made of its experiments."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gliomap.errors import RunError
from gliomap.evaluation import EvaluationSummary, read_evaluation, read_summary, summarise
from gliomap.tracking._record import RunRecord, TrainingTimes
from gliomap.tracking._run import (
    BUNDLE,
    EVALUATION,
    FOLDS,
    METRICS,
    RECORD,
    RUNS,
    SUMMARY,
    open_run,
    read_record,
)

__all__ = ["THESIS_COLUMNS", "RunRow", "find_runs", "read_row", "thesis_csv"]

THESIS_COLUMNS = (
    "Experiment Name",
    "Patients used for testing",
    "OACC",
    "ACC_tumor",
    "SEN_tumor",
    "SPE_tumor",
    "Time loading arguments (s)",
    "Time preparing train data (s)",
    "Time training (s)",
    "Time preparing test data (s)",
    "Time predicting (s)",
    "Time generating maps (s)",
)
"""Of the thesis's table of experiments, in its order."""

_TEXT_COLUMNS = 2


@dataclass(frozen=True, eq=False)
class RunRow:
    """A run in one line.

    Attributes
    ----------
    path
        Its folder.
    record
        Its run.json.
    summary
        What its evaluation found; None before it is evaluated.
    bundle
        Whether it has a bundle of its own.
    """

    path: Path
    record: RunRecord
    summary: EvaluationSummary | None
    bundle: bool

    @property
    def state(self) -> str:
        """'training', 'trained', 'evaluated' or 'bundled'."""
        if self.record.status == "running":
            return "training"
        if self.bundle:
            return "bundled"
        return "trained" if self.summary is None else "evaluated"

    @property
    def started_at(self) -> datetime:
        """When training began."""
        return self.record.started_at


def find_runs(place: Path) -> list[Path]:
    """Run folders in a study or in a folder of runs, or the one run that `place` is; sorted by name.

    Raises
    ------
    RunError
        There is no such folder.
    """
    if not place.is_dir():
        raise RunError(place, "is no folder", "Name a study, a folder of runs, or run folders.")
    if (place / RECORD).is_file():
        return [place]
    inside = place / RUNS if (place / RUNS).is_dir() else place
    return sorted(path.parent for path in inside.glob(f"*/{RECORD}") if not path.parent.name.startswith("."))


def read_row(folder: Path) -> RunRow:
    """Read what a list shows of a run.

    Raises
    ------
    RunError
        The folder is no run, or damaged.
    """
    return RunRow(folder, read_record(folder), _summary(folder), (folder / BUNDLE).is_dir())


def thesis_csv(rows: Iterable[RunRow], *, by_fold: bool = False) -> str:
    """The thesis's table: a row per run, or per fold, and then mean, standard deviation and standard error.

    Parameters
    ----------
    rows
        Runs; those that were not evaluated have no figures.
    by_fold
        A row for each fold of a run that has several.

    Returns
    -------
    str
        CSV. The standard deviation is that of a sample (n − 1), the standard error that by √n; both are empty for fewer
        than two values.
    """
    lines = [line for row in rows for line in (_fold_lines(row) if by_fold else [_line(row)])]
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\r\n")
    table.writerow(THESIS_COLUMNS)
    table.writerows([_plain(cell) for cell in line] for line in lines)
    columns = list(zip(*(line[_TEXT_COLUMNS:] for line in lines), strict=True)) or [()] * (
        len(THESIS_COLUMNS) - _TEXT_COLUMNS
    )
    known = [[float(value) for value in column if isinstance(value, float)] for column in columns]
    table.writerow(["Mean", "", *(_plain(statistics.fmean(values) if values else None) for values in known)])
    table.writerow(["Std", "", *(_plain(_deviation(values)) for values in known)])
    table.writerow(["Std error", "", *(_plain(_error(values)) for values in known)])
    return buffer.getvalue()


Cell = str | float | None


def _line(row: RunRow) -> list[Cell]:
    return _cells(row.record.name, row.summary, row.record.times)


def _fold_lines(row: RunRow) -> Iterator[list[Cell]]:
    """One per fold that was tested; the run itself where it has one fold only or was not evaluated."""
    if not row.record.folds or row.summary is None:
        yield _line(row)
        return
    evaluation = read_evaluation(row.path / EVALUATION / METRICS)
    for fold in evaluation.folds:
        times = open_run(row.path / FOLDS / fold.name).record.times
        summary = EvaluationSummary.of(fold.metrics, evaluation.classes, fold.tested, fold.times)
        yield _cells(f"{row.record.name} {fold.name}", summary, times)


def _cells(name: str, summary: EvaluationSummary | None, times: TrainingTimes | None) -> list[Cell]:
    trained = [None] * 3 if times is None else [times.loading_arguments, times.preparing_train_data, times.training]
    if summary is None:
        return [name, "", None, None, None, None, *trained, None, None, None]
    tumour, tested = summary.tumour, summary.times
    after = [None] * 3 if tested is None else [tested.preparing_test_data, tested.predicting, tested.generating_maps]
    return [
        name,
        " ".join(summary.tested),
        summary.overall_accuracy,
        tumour.accuracy,
        tumour.sensitivity,
        tumour.specificity,
        *trained,
        *after,
    ]


def _plain(cell: Cell) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else f"{cell:.6g}"


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _error(values: Sequence[float]) -> float | None:
    spread = _deviation(values)
    return None if spread is None else spread / len(values) ** 0.5


def _summary(folder: Path) -> EvaluationSummary | None:
    """From summary.json; of an evaluation of before there was one, from all its metrics."""
    try:
        return read_summary(folder / EVALUATION / SUMMARY)
    except FileNotFoundError:
        path = folder / EVALUATION / METRICS
        return summarise(read_evaluation(path)) if path.is_file() else None
