"""How good a classification is, class by class and as a whole, without flattery.

What cannot be said is None, 'not defined': the sensitivity for a class that nobody labelled, the
precision of a class that was never predicted. Such a value is never 0 and never enters a mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap.errors import UsageError

__all__ = ["CALIBRATION_BINS", "ClassMetrics", "Interval", "Metrics", "interval_over_patients", "metrics"]

CALIBRATION_BINS = 15
"""Equal-width bins of confidence, as in Guo et al. 2017, 'On calibration of modern neural networks'."""

LEAST_PATIENTS = 3
RESAMPLES = 2000

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class against the rest, over the labelled pixels that were classified.

    With TP, FP, FN, TN pixels:

    Attributes
    ----------
    index
        1…C.
    labelled
        Labelled pixels of this class that were classified, TP + FN.
    predicted
        Labelled pixels that were given this class, TP + FP.
    not_classified
        Labelled pixels of this class left out, because they are masked.
    accuracy
        (TP + TN) / all.
    sensitivity
        TP / (TP + FN); None where nobody labelled the class.
    specificity
        TN / (TN + FP); None where every pixel is of this class.
    precision
        TP / (TP + FP); None where the class was never predicted.
    f1
        2 TP / (2 TP + FP + FN); None where nobody labelled the class.
    roc_auc
        Area under the receiver operating characteristic of this class's probability; None without
        probabilities, or where either side is empty.
    """

    index: int
    labelled: int
    predicted: int
    not_classified: int
    accuracy: float | None
    sensitivity: float | None
    specificity: float | None
    precision: float | None
    f1: float | None
    roc_auc: float | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """A classification as a whole.

    Attributes
    ----------
    n
        Labelled pixels that were classified; all figures are over these.
    not_classified
        Labelled pixels left out, because they are masked: quality of light, not of the model.
    overall_accuracy
        Share of pixels right (OACC); None without pixels.
    balanced_accuracy
        Mean sensitivity over the labelled classes.
    macro_f1
        Mean F1 over the labelled classes; 0 for one of them that was never predicted.
    mcc
        Matthews correlation coefficient for several classes (Gorodkin 2004), −1…1; None where only
        one class is labelled or only one predicted.
    macro_roc_auc
        Mean one-versus-rest ROC AUC over the classes that have one.
    calibration_error
        Expected calibration error over 15 equal-width bins of confidence, 0…1; None without
        probabilities.
    confusion
        C rows of C counts: row = true class, column = predicted class.
    classes
        One-versus-rest, in index order.
    """

    n: int
    not_classified: int
    overall_accuracy: float | None
    balanced_accuracy: float | None
    macro_f1: float | None
    mcc: float | None
    macro_roc_auc: float | None
    calibration_error: float | None
    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassMetrics, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None becomes null."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Metrics:
        """What `as_dict` gave.

        Raises
        ------
        UsageError
            Fields that are missing or unknown.
        """
        try:
            values = dict(content)
            values["confusion"] = tuple(tuple(row) for row in values["confusion"])
            values["classes"] = tuple(ClassMetrics(**entry) for entry in values["classes"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise UsageError(
                "metrics", f"do not have the fields of this version ({error})", "Evaluate the run again."
            ) from error


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean over patients with its 95 % interval.

    Attributes
    ----------
    mean
        Of the patients' values, each patient counting once.
    low, high
        95 % percentile bootstrap over patients; None with fewer than three patients.
    patients
        How many have a value.
    """

    mean: float
    low: float | None
    high: float | None
    patients: int


def metrics(
    true: Labels,
    predicted: Labels,
    n_classes: int,
    probabilities: npt.NDArray[np.floating] | None = None,
) -> Metrics:
    """Compare labels.

    Parameters
    ----------
    true
        (N,) classes 1…C of labelled pixels.
    predicted
        (N,) classes 0…C; 0 = not classified, counted and left out.
    n_classes
        C.
    probabilities
        (N, C), column k for class k + 1, each 0…1; for ROC AUC and the calibration error.

    Raises
    ------
    UsageError
        Lengths that differ, labels out of range, probabilities of another shape or not finite.
    """
    true, predicted = _checked(true, predicted, n_classes, probabilities)
    counted = predicted > 0
    left_out = np.bincount(true[~counted], minlength=n_classes + 1)[1:]
    true, predicted = true[counted], predicted[counted]
    scores = None if probabilities is None else probabilities[counted].astype(np.float64)
    table = _confusion(true, predicted, n_classes)
    classes = tuple(
        _one_versus_rest(table, true, scores, index, int(left_out[index - 1])) for index in range(1, n_classes + 1)
    )
    return Metrics(
        n=int(table.sum()),
        not_classified=int(left_out.sum()),
        overall_accuracy=_ratio(int(np.trace(table)), int(table.sum())),
        balanced_accuracy=_mean(entry.sensitivity for entry in classes),
        macro_f1=_mean(entry.f1 for entry in classes),
        mcc=_mcc(true, predicted, table),
        macro_roc_auc=_mean(entry.roc_auc for entry in classes),
        calibration_error=_calibration_error(true, predicted, scores),
        confusion=tuple(tuple(int(count) for count in row) for row in table),
        classes=classes,
    )


def interval_over_patients(values: Sequence[float | None], *, seed: int = 0) -> Interval | None:
    """Mean over patients and a 95 % percentile bootstrap of it (2,000 resamples of the patients).

    Patients are the units that a result must carry over to, so they are resampled, not pixels. Values
    that are not defined are left out; None where no patient has one.
    """
    known = np.array([value for value in values if value is not None], np.float64)
    if known.size == 0:
        return None
    if known.size < LEAST_PATIENTS:
        return Interval(float(known.mean()), None, None, int(known.size))
    drawn = np.random.default_rng(seed).choice(known, (RESAMPLES, known.size)).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(float(known.mean()), float(low), float(high), int(known.size))


def _checked(
    true: Labels, predicted: Labels, n_classes: int, probabilities: npt.NDArray[np.floating] | None
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    if true.ndim != 1 or true.shape != predicted.shape:
        raise UsageError("metrics", f"{true.shape} true and {predicted.shape} predicted labels", "Give one per pixel.")
    for name, labels, least in (("true", true, 1), ("predicted", predicted, 0)):
        if labels.size and (int(labels.min()) < least or int(labels.max()) > n_classes):
            raise UsageError(
                f"{name} labels", f"are {labels.min()}…{labels.max()}", f"They must be {least}…{n_classes}."
            )
    if probabilities is not None:
        if probabilities.shape != (true.size, n_classes):
            raise UsageError(
                "probabilities", f"have shape {probabilities.shape}", f"They must be ({true.size}, {n_classes})."
            )
        if probabilities.size and not (probabilities.min() >= 0 and probabilities.max() <= 1 + 1e-5):
            raise UsageError("probabilities", "are not all within 0…1", "Give the output of a softmax.")
    return true.astype(np.intp), predicted.astype(np.intp)


def _confusion(true: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp], n_classes: int) -> npt.NDArray[np.int64]:
    from sklearn.metrics import confusion_matrix

    if true.size == 0:
        return np.zeros((n_classes, n_classes), np.int64)
    return np.asarray(confusion_matrix(true, predicted, labels=range(1, n_classes + 1)), np.int64)


def _one_versus_rest(
    table: npt.NDArray[np.int64],
    true: npt.NDArray[np.intp],
    scores: npt.NDArray[np.float64] | None,
    index: int,
    not_classified: int,
) -> ClassMetrics:
    total = int(table.sum())
    hits = int(table[index - 1, index - 1])
    labelled, predicted = int(table[index - 1].sum()), int(table[:, index - 1].sum())
    rejected = total - labelled - predicted + hits
    return ClassMetrics(
        index=index,
        labelled=labelled,
        predicted=predicted,
        not_classified=not_classified,
        accuracy=_ratio(hits + rejected, total),
        sensitivity=_ratio(hits, labelled),
        specificity=_ratio(rejected, total - labelled),
        precision=_ratio(hits, predicted),
        f1=_ratio(2 * hits, labelled + predicted) if labelled else None,
        roc_auc=_roc_auc(true == index, scores, index) if 0 < labelled < total else None,
    )


def _roc_auc(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64] | None, index: int) -> float | None:
    from sklearn.metrics import roc_auc_score

    return None if scores is None else float(roc_auc_score(positive, scores[:, index - 1]))


def _mcc(true: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp], table: npt.NDArray[np.int64]) -> float | None:
    from sklearn.metrics import matthews_corrcoef

    varied = np.count_nonzero(table.sum(axis=0)) > 1 and np.count_nonzero(table.sum(axis=1)) > 1
    return float(matthews_corrcoef(true, predicted)) if varied else None


def _calibration_error(
    true: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp], scores: npt.NDArray[np.float64] | None
) -> float | None:
    """Σ over bins of |share right − mean confidence| · share of pixels."""
    if scores is None or true.size == 0:
        return None
    confidence = np.clip(scores[np.arange(true.size), predicted - 1], 0, 1)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    right = np.bincount(bins, weights=true == predicted, minlength=CALIBRATION_BINS)
    claimed = np.bincount(bins, weights=confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(right - claimed).sum() / true.size)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
