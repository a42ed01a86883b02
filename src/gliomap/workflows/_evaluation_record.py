"""metrics.json of a run, assembled from its folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gliomap import __version__
from gliomap.evaluation import (
    CaptureRecord,
    DistanceBin,
    EvaluationRecord,
    EvaluationTimes,
    FalseTumour,
    FoldRecord,
    Interval,
    Judged,
    Metrics,
    distance_accuracy,
    interval_over_patients,
    pooled_distances,
    pooled_metrics,
    tumour_indices,
)
from gliomap.studies import PROTOCOLS, Folds
from gliomap.taxonomy import ClassSet
from gliomap.tracking import Run
from gliomap.workflows._fold_test import FoldTest, TestedCapture
from gliomap.workflows._test_pictures import PREDICTIONS

SIGNED = ("MCC", "Cohen's kappa")
"""Figures that can be negative."""


__all__ = ["CaptureFinding", "evaluation_record", "fold_record", "merged", "patient_intervals"]


@dataclass(frozen=True, eq=False)
class CaptureFinding:
    """The findings about one capture, from every fold that tests part of it.

    Attributes
    ----------
    judged, distances, reference_distances
        One entry per fold; distances from the pixels trained on, and from the pixels that the labels grew from.
    pictures
        Files beside metrics.json.
    """

    judged: tuple[Judged, ...] = ()
    distances: tuple[tuple[DistanceBin, ...], ...] = ()
    reference_distances: tuple[tuple[DistanceBin, ...], ...] = ()
    pictures: tuple[str, ...] = ()

    def with_test(self, tested: TestedCapture) -> CaptureFinding:
        """A copy with the test of one more fold."""
        judged = tested.judged
        right, counted = (np.zeros(tested.truth.shape, np.bool_) for _ in range(2))
        counted[judged.rows, judged.columns] = judged.predicted > 0
        right[judged.rows, judged.columns] = judged.predicted == judged.true
        return replace(
            self,
            judged=(*self.judged, judged),
            distances=(*self.distances, distance_accuracy(counted, right, tested.trained_pixels)),
            reference_distances=(
                *self.reference_distances,
                distance_accuracy(counted, right, tested.reference_pixels),
            ),
        )


def merged(parts: Sequence[Judged], classes: ClassSet) -> Judged:
    """The findings of several folds on different pixels of one capture, merged in column-major order."""
    if len(parts) == 1:
        return parts[0]
    rows, columns = (np.concatenate([getattr(one, axis) for one in parts]) for axis in ("rows", "columns"))
    order = np.lexsort((rows, columns))
    return replace(
        parts[0],
        rows=rows[order],
        columns=columns[order],
        true=np.concatenate([one.true for one in parts])[order],
        predicted=np.concatenate([one.predicted for one in parts])[order],
        probabilities=np.concatenate([one.probabilities for one in parts])[order],
        metrics=pooled_metrics(parts, classes),
        false_tumour=_false_tumour([one.false_tumour for one in parts if one.false_tumour is not None]),
    )


def _false_tumour(parts: Sequence[FalseTumour]) -> FalseTumour | None:
    """False tumour in one capture: labelled pixels from all folds, each tested once; the whole frame from the first fold."""
    if not parts:
        return None
    labelled, marked = sum(one.labelled for one in parts), sum(one.labelled_marked for one in parts)
    return replace(
        parts[0], labelled=labelled, labelled_marked=marked, labelled_share=marked / labelled if labelled else None
    )


def fold_record(fold: FoldTest, judged: Sequence[Judged]) -> FoldRecord:
    """The record of one fold."""
    record, split = fold.run.record, fold.split
    return FoldRecord(
        name=fold.name,
        trained=fold.run.learned(),
        validated=split.patients_of("validation"),
        tested=split.patients_of("test"),
        graph=fold.graph,
        metrics=pooled_metrics(judged, record.classes),
        seconds=record.seconds,
        times=EvaluationTimes(
            preparing_test_data=fold.watch["preparing"],
            predicting=fold.watch["predicting"],
            generating_maps=fold.watch["drawing"],
        ),
        notes=record.notes,
    )


def evaluation_record(
    run: Run,
    folds: Folds,
    tested: Sequence[FoldRecord],
    captures: Mapping[str, Judged],
    findings: Mapping[str, CaptureFinding],
    version: int,
) -> EvaluationRecord:
    """The record of the whole run; the caller that draws the run's pictures adds them."""
    classes = run.record.classes
    by_patient: dict[str, list[Judged]] = {}
    for one in captures.values():
        by_patient.setdefault(one.patient, []).append(one)
    patients = {patient: pooled_metrics(ones, classes) for patient, ones in sorted(by_patient.items())}
    shared = {patient for split in folds.splits.values() for patient in split.shared_patients}
    doubled = {str(one) for split in folds.splits.values() for one in split.leaking_duplicates}
    return EvaluationRecord(
        gliomap=__version__,
        run=run.record.name,
        model=run.record.model.title,
        graph=tested[0].graph if len(tested) == 1 else None,
        protocol=folds.protocol,
        warning=PROTOCOLS[folds.protocol].warning,
        split=folds.fingerprint if run.record.folds else folds.first.fingerprint,
        same_patient=tuple(sorted(shared)),
        duplicates=tuple(sorted(doubled)),
        classes=classes,
        version=version,
        pooled=pooled_metrics(list(captures.values()), classes),
        patients=patients,
        intervals=patient_intervals(list(patients.values()), classes),
        folds=tuple(tested),
        captures={
            capture: CaptureRecord(
                patient=one.patient,
                metrics=one.metrics,
                false_tumour=one.false_tumour,
                distance=pooled_distances(findings[capture].distances),
                reference_distance=pooled_distances(findings[capture].reference_distances),
                predictions=f"{PREDICTIONS}/{capture}.npz",
                pictures=findings[capture].pictures,
            )
            for capture, one in captures.items()
        },
        pictures=(),
    )


def patient_intervals(patients: Sequence[Metrics], classes: ClassSet) -> dict[str, Interval | None]:
    """Metric → mean and interval over patients, for the most important figures."""
    values = {
        "overall accuracy": [found.overall_accuracy for found in patients],
        "balanced accuracy": [found.balanced_accuracy for found in patients],
        "macro F1": [found.macro_f1 for found in patients],
        "MCC": [found.mcc for found in patients],
        "Cohen's kappa": [found.cohen_kappa for found in patients],
    }
    for index in tumour_indices(classes):
        values[f"{classes.names[index - 1]} sensitivity"] = [found.classes[index - 1].sensitivity for found in patients]
    return {
        name: interval_over_patients(found, bounds=(-1, 1)) if name in SIGNED else interval_over_patients(found)
        for name, found in values.items()
    }
