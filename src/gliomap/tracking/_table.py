"""Runs as rows: what a list shows, and the thesis's table of experiments.

Listing five hundred runs is fast: a row takes a few values from run.json and summary.json, which are read as plain JSON,
and nothing but the standard library is imported.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gliomap.errors import RunError
from gliomap.tracking._folder import is_trained_now, no_run
from gliomap.tracking._names import BUNDLE, EVALUATION, FOLDS, METRICS, RECORD, RUNNING, RUNS, SUMMARY

__all__ = ["THESIS_COLUMNS", "Figures", "RunRow", "find_runs", "read_row", "thesis_csv"]

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
"""The columns of the thesis's table of experiments, in its order."""

_TEXT_COLUMNS = 2


TRAINING_TIMES = ("loading_arguments", "preparing_train_data", "training")
TEST_TIMES = ("preparing_test_data", "predicting", "generating_maps")


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of an evaluation that tables show; None if undefined.

    Attributes
    ----------
    tested
        The test patients.
    overall_accuracy
        Over all tested pixels together, as are all that follow.
    tumour_accuracy, tumour_sensitivity, tumour_specificity
        Tumour against everything else.
    """

    tested: tuple[str, ...]
    overall_accuracy: float | None
    tumour_accuracy: float | None
    tumour_sensitivity: float | None
    tumour_specificity: float | None


@dataclass(frozen=True, eq=False)
class RunRow:
    """A run in one line.

    Attributes
    ----------
    path
        The run folder.
    name, model, protocol, study, fingerprint, status, started_at, folds
        As in run.json; `model` and `study` are names, and `fingerprint` is that of the study's files.
    figures
        The figures of its evaluation; None before it is evaluated.
    times
        Stage → seconds, for the known stages.
    bundle
        Whether it has its own bundle.
    held
        Whether a process was training it when it was read.
    """

    path: Path
    name: str
    model: str
    protocol: str
    study: str
    fingerprint: str
    status: str
    started_at: datetime
    folds: tuple[str, ...]
    figures: Figures | None
    times: Mapping[str, float]
    bundle: bool
    held: bool = False

    @property
    def unfinished(self) -> bool:
        """Whether its training has not finished: it is still going on, or was interrupted."""
        return self.status == "running" or self.path.name.startswith(RUNNING)

    @property
    def state(self) -> str:
        """'training', 'interrupted', 'trained', 'evaluated' or 'bundled'."""
        if self.unfinished:
            return "training" if self.held else "interrupted"
        if self.bundle:
            return "bundled"
        return "trained" if self.figures is None else "evaluated"


def find_runs(place: Path) -> list[Path]:
    """Run folders in a study or in a folder of runs, or `place` itself if it is a run; sorted by name.

    Raises
    ------
    RunError
        `place` does not exist, or is a file.
    """
    if not place.is_dir():
        raise no_run(place, "Name a study, a folder of runs, or run folders.")
    if (place / RECORD).is_file():
        return [place]
    inside = place / RUNS if (place / RUNS).is_dir() else place
    return sorted(path.parent for path in inside.glob(f"*/{RECORD}") if not path.parent.name.startswith("."))


def read_row(folder: Path) -> RunRow:
    """Read what a list shows of a run.

    Raises
    ------
    RunError
        The folder is not a run, or is damaged.
    """
    if not folder.is_dir():
        raise no_run(folder)
    held = is_trained_now(folder)  # checked first: a training that ends in between was not interrupted
    record = _read(folder / RECORD, "Train again.")
    summary = _summary(folder)
    try:
        return RunRow(
            path=folder,
            name=record["name"],
            model=record["model"]["name"],
            protocol=record["protocol"],
            study=record["study"]["name"],
            fingerprint=record["study"]["fingerprint"],
            status=record["status"],
            started_at=datetime.fromisoformat(record["started_at"]).astimezone(UTC),
            folds=tuple(record["folds"]),
            figures=None if summary is None else _figures(summary),
            times=_times(record.get("times"), (summary or {}).get("times")),
            bundle=(folder / BUNDLE).is_dir(),
            held=held,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            folder / RECORD, f"or its summary is damaged or of another format ({error})", "Train or evaluate again."
        ) from error


def thesis_csv(rows: Iterable[RunRow], *, by_fold: bool = False) -> str:
    """The thesis's table: one row per run or per fold, then mean, standard deviation and standard error.

    Parameters
    ----------
    rows
        Runs; those that were not evaluated have no figures.
    by_fold
        Write one row for each fold of a run that has several.

    Returns
    -------
    str
        CSV. The standard deviation is that of a sample (n − 1), and the standard error is that divided by √n; both are
        empty for fewer than two values.
    """
    lines = [line for row in rows for line in (_fold_lines(row) if by_fold else [_line(row)])]
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\r\n")
    table.writerow(THESIS_COLUMNS)
    table.writerows([_plain(cell) for cell in line] for line in lines)
    numbers = range(_TEXT_COLUMNS, len(THESIS_COLUMNS))
    known = [[value for line in lines if isinstance(value := line[column], float)] for column in numbers]
    table.writerow(["Mean", "", *(_plain(statistics.fmean(values) if values else None) for values in known)])
    table.writerow(["Std", "", *(_plain(_deviation(values)) for values in known)])
    table.writerow(["Std error", "", *(_plain(_error(values)) for values in known)])
    return buffer.getvalue()


Cell = str | float | None


def _line(row: RunRow) -> list[Cell]:
    return _cells(row.name, row.figures, row.times)


def _fold_lines(row: RunRow) -> Iterator[list[Cell]]:
    """One line per tested fold; one for the run itself if it has a single fold or was not evaluated."""
    if not row.folds or row.figures is None:
        yield _line(row)
        return
    from gliomap.evaluation import EvaluationSummary, read_evaluation
    from gliomap.tracking._run import open_run

    evaluation = read_evaluation(row.path / EVALUATION / METRICS)
    for fold in evaluation.folds:
        trained = open_run(row.path / FOLDS / fold.name).record.times
        summary = EvaluationSummary.of(fold.metrics, evaluation.classes, fold.tested, fold.times)
        found = summary.model_dump(mode="json")
        times = {**({} if trained is None else trained.model_dump()), **(found["times"] or {})}
        yield _cells(f"{row.name} {fold.name}", _figures(found), times)


def _cells(name: str, figures: Figures | None, times: Mapping[str, float]) -> list[Cell]:
    found: list[Cell] = ["", None, None, None, None]
    if figures is not None:
        found = [
            " ".join(figures.tested),
            figures.overall_accuracy,
            figures.tumour_accuracy,
            figures.tumour_sensitivity,
            figures.tumour_specificity,
        ]
    return [name, *found, *(times.get(stage) for stage in (*TRAINING_TIMES, *TEST_TIMES))]


def _plain(cell: Cell) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else f"{cell:.6g}"


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _error(values: Sequence[float]) -> float | None:
    spread = _deviation(values)
    return None if spread is None else spread / len(values) ** 0.5


def _figures(summary: Mapping[str, Any]) -> Figures:
    tumour = summary["tumour"]
    return Figures(
        tuple(summary["tested"]),
        _number(summary["overall_accuracy"]),
        _number(tumour["accuracy"]),
        _number(tumour["sensitivity"]),
        _number(tumour["specificity"]),
    )


def _number(value: object) -> float | None:
    """The value as a float, or None; TypeError if it is not a number."""
    if value is None or isinstance(value, int | float):
        return None if value is None else float(value)
    raise TypeError(f"{value!r} is not a number")


def _times(*parts: Mapping[str, object] | None) -> dict[str, float]:
    """The known stages, in the thesis's order."""
    told = {stage: _number(value) for part in parts for stage, value in (part or {}).items()}
    order = [stage for stage in (*TRAINING_TIMES, *TEST_TIMES) if stage in told]
    return {stage: value for stage in order if (value := told[stage]) is not None}


def _summary(folder: Path) -> Mapping[str, Any] | None:
    """The content of summary.json; for an older evaluation without it, computed from all its metrics."""
    path = folder / EVALUATION / SUMMARY
    if path.is_file():
        return _read(path, "Evaluate the run again.")
    if not (folder / EVALUATION / METRICS).is_file():
        return None
    from gliomap.evaluation import read_evaluation, summarise

    return summarise(read_evaluation(folder / EVALUATION / METRICS)).model_dump(mode="json")


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(path.parent, f"holds no {path.name}", "Give a run folder made by `gliomap train`.") from error
    except OSError as error:
        raise RunError(path, f"cannot be read: {error.strerror}", "Check the path and its permissions.") from error
    except ValueError as error:
        raise RunError(path, f"is damaged: {error}", remedy) from error
    if not isinstance(content, dict) or content.get("format") != 1:
        raise RunError(path, "is damaged or of a newer format", remedy)
    return content
