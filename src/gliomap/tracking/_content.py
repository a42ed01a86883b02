"""The content of a run folder in MLflow's terms: parameters, tags, metrics by epoch, metrics, files.

The readers of evaluations and bundles are imported only if the run has one, which it has not during training.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gliomap.errors import GlioMapError
from gliomap.learning import EpochRecord
from gliomap.tracking._journal import JOURNAL, Epoch, milliseconds, read_history, read_journal
from gliomap.tracking._names import BUNDLE, EVALUATION, FOLDS, HISTORY, METRICS, RECORD, REPORT, RUNNING, SPLIT, SPLITS
from gliomap.tracking._record import RunRecord, read_record

if TYPE_CHECKING:
    from gliomap.bundles import Bundle
    from gliomap.evaluation import EvaluationRecord, Interval, Metrics

__all__ = ["RUN_TAG", "RunContent", "read_content", "settled"]

RUN_TAG = "gliomap.run"
"""The tag that holds the run's identity."""

_LONGEST = 5000
"""Characters that every store accepts in a tag."""


@dataclass(frozen=True, eq=False)
class RunContent:
    """A run folder in MLflow's terms.

    Attributes
    ----------
    record
        The content of run.json.
    params, tags
        Names and values.
    epochs
        Epochs in order, with the times at which they ended.
    refit
        Epochs of the second training, on all patients, in order.
    metrics
        Name → value and time of measurement, in milliseconds since 1970; for the run as a whole.
    files
        Path in the store → file.
    bundle
        The run's own bundle, if there is one and it is intact.
    folds
        Folders of the folds that have started.
    """

    record: RunRecord
    params: Mapping[str, str]
    tags: Mapping[str, str]
    epochs: tuple[Epoch, ...]
    refit: tuple[EpochRecord, ...]
    metrics: Mapping[str, tuple[float, int]]
    files: Mapping[str, Path]
    bundle: Bundle | None
    folds: tuple[Path, ...]

    @property
    def done(self) -> bool:
        """Whether training has ended well."""
        return self.record.status == "done"

    def stamps(self) -> dict[str, str]:
        """Path in the store → size and modification time, which reveal a changed file."""
        known = {}
        for name, path in self.files.items():
            status = path.stat()
            known[name] = f"{status.st_size} {status.st_mtime_ns}"
        return known

    def digest(self) -> str:
        """A hash that changes with anything that is mirrored."""
        told: list[object] = [
            self.record.status,
            self.params,
            self.tags,
            len(self.epochs),
            len(self.refit),
            self.metrics,
            self.stamps(),
        ]
        told.append(None if self.bundle is None else self.bundle.identity)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def read_content(folder: Path) -> RunContent:
    """Read a run folder, finished or not.

    Raises
    ------
    RunError
        The folder is not a run, or is damaged.
    """
    record = read_record(folder)
    return RunContent(
        record=record,
        params=dict(_params(record)),
        tags=dict(_tags(record)),
        epochs=_epochs(folder, record),
        refit=_refit(folder, record),
        metrics={**_training_times(record), **_measured(folder)},
        files=dict(_files(folder)),
        bundle=_bundle(folder),
        folds=tuple(sorted(path.parent for path in folder.glob(f"{FOLDS}/*/{RECORD}"))),
    )


def settled(folder: Path) -> bool:
    """Whether a run folder, or the run that it is a fold of, has its final name."""
    whole = folder.parent.parent if folder.parent.name == FOLDS else folder
    return not (folder.name.startswith(RUNNING) or whole.name.startswith(RUNNING))


def _params(record: RunRecord) -> Iterator[tuple[str, str]]:
    """What was decided before training started; MLflow never changes a parameter."""
    yield from {
        "model": record.model.name,
        "protocol": record.protocol,
        "study": record.study.name,
        "study_fingerprint": record.study.fingerprint,
        "split_fingerprint": record.split_fingerprint,
        "sensor": "" if record.sensor is None else record.sensor.name,
        "bands": str(record.model.n_bands),
        "window": str(record.model.window),
        "hidden": "" if record.model.hidden is None else str(record.model.hidden),
        "classes": ", ".join(record.classes.names),
    }.items()
    for name, value in record.training.as_dict().items():
        yield f"training.{name}", str(value)
    for name, value in asdict(record.preprocessing).items():
        yield f"preprocessing.{name}", str(value)


def _tags(record: RunRecord) -> Iterator[tuple[str, str]]:
    yield RUN_TAG, record.identity
    yield "mlflow.source.name", "gliomap"
    yield "mlflow.source.type", "LOCAL"
    if record.environment.commit is not None:
        yield "mlflow.source.git.commit", record.environment.commit
    yield "environment.python", record.environment.python
    yield "environment.platform", record.environment.platform
    for package, version in record.environment.packages.items():
        yield f"environment.{package}", version
    told = [*record.hints, *record.notes]
    if told:
        yield "mlflow.note.content", "\n\n".join(told)[:_LONGEST]
    if record.stopped:
        yield "stopped", record.stopped[:_LONGEST]


def _epochs(folder: Path, record: RunRecord) -> tuple[Epoch, ...]:
    """Epochs from the journal or, for a run older than the journal, from its history."""
    epochs = read_journal(folder)
    if epochs or record.status != "done" or not (folder / HISTORY).is_file():
        return epochs
    return tuple(_dated(read_history(folder).epochs, milliseconds(record.started_at)))


def _dated(records: tuple[EpochRecord, ...], at: int) -> Iterator[Epoch]:
    for record in records:
        at += max(1, round(record.seconds * 1000))
        yield Epoch(record, at)


def _refit(folder: Path, record: RunRecord) -> tuple[EpochRecord, ...]:
    if record.status != "done" or not (folder / HISTORY).is_file():
        return ()
    return read_history(folder).refit


def _training_times(record: RunRecord) -> dict[str, tuple[float, int]]:
    if record.times is None or record.finished_at is None:
        return {}
    at = milliseconds(record.finished_at)
    return {
        f"seconds.{stage}": (seconds, at) for stage, seconds in record.times.model_dump().items() if seconds is not None
    }


def _measured(folder: Path) -> dict[str, tuple[float, int]]:
    """What the evaluation found; empty without an evaluation."""
    path = folder / EVALUATION / METRICS
    if not path.is_file():
        return {}
    from gliomap.evaluation import read_evaluation

    evaluation, at = read_evaluation(path), path.stat().st_mtime_ns // 1_000_000
    return {name: (value, at) for name, value in _metrics(evaluation)}


def _metrics(evaluation: EvaluationRecord) -> Iterator[tuple[str, float]]:
    """Every figure with its interval: over all pixels, by class and by patient."""
    from gliomap.evaluation import summarise

    yield from _figures("", evaluation.pooled)
    for kind, name in zip(evaluation.pooled.classes, evaluation.classes.names, strict=True):
        for figure in ("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc"):
            yield from _defined(f"{_slug(name)}.{figure}", getattr(kind, figure))
    for name, interval in evaluation.intervals.items():
        yield from _interval(f"patients.{_slug(name)}", interval)
    for patient, found in evaluation.patients.items():
        yield from _figures(f"{_slug(patient)}.", found)
    summary = summarise(evaluation)
    for figure in ("accuracy", "sensitivity", "specificity"):
        yield from _defined(f"all_tumour.{figure}", getattr(summary.tumour, figure))
    if summary.times is not None:
        for stage, seconds in summary.times.model_dump().items():
            yield f"seconds.{stage}", seconds


def _figures(prefix: str, found: Metrics) -> Iterator[tuple[str, float]]:
    names = (
        "overall_accuracy",
        "balanced_accuracy",
        "macro_specificity",
        "macro_precision",
        "macro_f1",
        "mcc",
        "cohen_kappa",
        "macro_roc_auc",
        "calibration_error",
    )
    for name in names:
        yield from _defined(f"{prefix}{name}", getattr(found, name))


def _interval(name: str, interval: Interval | None) -> Iterator[tuple[str, float]]:
    if interval is not None:
        yield f"{name}.mean", interval.mean
        yield from _defined(f"{name}.low", interval.low)
        yield from _defined(f"{name}.high", interval.high)
        yield f"{name}.patients", float(interval.patients)


def _defined(name: str, value: float | None) -> Iterator[tuple[str, float]]:
    """An undefined value is left out, never sent as 0."""
    if value is not None:
        yield name, float(value)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Records, pictures, report. Pixels are not sent: predictions and maps as arrays are large and are patient data."""
    if not settled(folder):
        # Files may change or move at any moment.
        return
    for name in (RECORD, SPLIT, SPLITS, HISTORY, JOURNAL, REPORT, "report.pdf"):
        if (folder / name).is_file():
            yield name, folder / name
    for pattern in (f"{EVALUATION}/*.json", f"{EVALUATION}/*.png", "sanity/*.json"):
        for path in sorted(folder.glob(pattern)):
            yield path.relative_to(folder).as_posix(), path


def _bundle(folder: Path) -> Bundle | None:
    path = folder / BUNDLE
    if not path.is_dir() or not settled(folder):
        return None
    from gliomap.bundles import open_bundle

    try:
        return open_bundle(path)
    except GlioMapError:
        # A damaged bundle is not mirrored; whoever uses it reports the damage.
        return None


def _slug(name: str) -> str:
    """A name in the form that MLflow accepts."""
    return re.sub(r"[^\w.-]+", "_", name.replace("'", "")).strip("_")
