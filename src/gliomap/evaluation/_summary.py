"""The few figures of an evaluation shown in tables of runs; small, because five hundred of them are read at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from gliomap._fields import Fields
from gliomap._files import write_json
from gliomap.evaluation._metrics import Metrics
from gliomap.evaluation._record import EvaluationRecord, EvaluationTimes
from gliomap.evaluation._tables import tumour_indices
from gliomap.taxonomy import ClassSet

__all__ = ["EvaluationSummary", "TumourFigures", "summarise", "tumour_figures"]


class TumourFigures(Fields):
    """Tumour against everything else; null if not defined."""

    accuracy: float | None
    sensitivity: float | None
    specificity: float | None


class EvaluationSummary(Fields):
    """Content of RUN/evaluation/summary.json: figures over all tested pixels together."""

    format: Literal[1] = 1
    tested: tuple[str, ...] = Field(description="Patients.")
    pixels: int = Field(description="Labelled pixels that were classified.")
    overall_accuracy: float | None
    balanced_accuracy: float | None
    macro_f1: float | None
    tumour: TumourFigures
    times: EvaluationTimes | None = None

    @classmethod
    def of(
        cls, metrics: Metrics, classes: ClassSet, tested: Sequence[str], times: EvaluationTimes | None
    ) -> EvaluationSummary:
        """The figures of a run, or of one of its folds.

        Parameters
        ----------
        metrics
            Metrics over all tested pixels together.
        classes
            The classes of the test.
        tested
            The tested patients.
        times
            Times of the test; None if they were not measured.
        """
        return cls(
            tested=tuple(tested),
            pixels=metrics.n,
            overall_accuracy=metrics.overall_accuracy,
            balanced_accuracy=metrics.balanced_accuracy,
            macro_f1=metrics.macro_f1,
            tumour=tumour_figures(metrics, classes),
            times=times,
        )

    def save(self, path: Path) -> None:
        """Write the summary as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))


def summarise(record: EvaluationRecord) -> EvaluationSummary:
    """The summary of an evaluation; its times are the sums over all folds."""
    times = [fold.times for fold in record.folds if fold.times is not None]
    together = {
        stage: round(sum(getattr(one, stage) for one in times), 3) for stage in EvaluationTimes.model_fields if times
    }
    tested = sorted(record.patients)
    return EvaluationSummary.of(
        record.pooled, record.classes, tested, EvaluationTimes(**together) if together else None
    )


def tumour_figures(metrics: Metrics, classes: ClassSet) -> TumourFigures:
    """Figures of all tumour classes together against the rest."""
    tumour = [index - 1 for index in tumour_indices(classes)]
    if not tumour or not metrics.n:
        return TumourFigures(accuracy=None, sensitivity=None, specificity=None)
    confusion = np.asarray(metrics.confusion)
    labelled, marked = int(confusion[tumour].sum()), int(confusion[:, tumour].sum())
    right = int(confusion[np.ix_(tumour, tumour)].sum())
    others = metrics.n - labelled
    rejected = others - (marked - right)
    return TumourFigures(
        accuracy=(right + rejected) / metrics.n,
        sensitivity=right / labelled if labelled else None,
        specificity=rejected / others if others else None,
    )
