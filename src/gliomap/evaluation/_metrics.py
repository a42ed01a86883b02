"""How good a classification is, class by class and as a whole, without flattery.

Values that cannot be determined are None, 'not defined': the sensitivity for a class that nobody labelled, or
the precision of a class that was never predicted. Such a value is never 0 and never enters a mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap.errors import UsageError
from gliomap.evaluation._operating import TumourCurve, tumour_curve

__all__ = ["CALIBRATION_BINS", "ClassMetrics", "Metrics", "ReliabilityBin", "metrics"]

CALIBRATION_BINS = 15
"""Equal-width bins of confidence, as in Guo et al. 2017, 'On calibration of modern neural networks'."""

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
        Labelled pixels that were predicted as this class, TP + FP.
    not_classified
        Labelled pixels of this class that were left out because they are masked.
    accuracy
        (TP + TN) / all.
    sensitivity
        TP / (TP + FN); None if nobody labelled the class.
    specificity
        TN / (TN + FP); None if every pixel is of this class.
    precision
        TP / (TP + FP); None if the class was never predicted.
    f1
        2 TP / (2 TP + FP + FN); None if the class is neither labelled nor predicted.
    roc_auc
        Area under the receiver operating characteristic of this class's probability; None without
        probabilities, or if either side is empty.
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
class ReliabilityBin:
    """Pixels whose confidence lies in one bin.

    Attributes
    ----------
    pixels
        Number of pixels, at least one.
    confidence
        Their mean confidence.
    accuracy
        Share of them that is correct.
    """

    pixels: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """A classification as a whole.

    Attributes
    ----------
    n
        Labelled pixels that were classified; all figures are over these.
    not_classified
        Labelled pixels left out because they are masked: a matter of the light, not of the model.
    overall_accuracy
        Share of pixels that are correct (OACC); None without pixels.
    balanced_accuracy
        Mean sensitivity over the labelled classes (macro sensitivity).
    macro_specificity, macro_precision
        Means over the classes for which they are defined.
    macro_f1
        Mean F1 over every class that is labelled or predicted; a class that is only one of the two counts as 0.
    mcc
        Matthews correlation coefficient for several classes (Gorodkin 2004), −1…1; None if only
        one class is labelled or only one is predicted.
    cohen_kappa
        Agreement beyond chance (Cohen 1960), −1…1; None if only one class is labelled, when it would
        be 0 whatever is predicted.
    macro_roc_auc
        Mean one-versus-rest ROC AUC over the classes that have one.
    calibration_error
        Expected calibration error over 15 equal-width bins of confidence, 0…1; None without
        probabilities.
    reliability
        The non-empty bins from which the calibration error is computed; empty without probabilities.
    tumour
        Tumour against the rest at every threshold; None without probabilities or tumour classes, or if either side
        is empty.
    confusion
        C rows of C counts: row = true class, column = predicted class.
    classes
        One class against the rest, in index order.
    """

    n: int
    not_classified: int
    overall_accuracy: float | None
    balanced_accuracy: float | None
    macro_specificity: float | None
    macro_precision: float | None
    macro_f1: float | None
    mcc: float | None
    cohen_kappa: float | None
    macro_roc_auc: float | None
    calibration_error: float | None
    reliability: tuple[ReliabilityBin, ...]
    tumour: TumourCurve | None
    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassMetrics, ...]

    def as_dict(self) -> dict[str, Any]:
        """The metrics as plain values for JSON; None becomes null."""
        return asdict(self)


def metrics(
    true: Labels,
    predicted: Labels,
    n_classes: int,
    probabilities: npt.NDArray[np.floating] | None = None,
    tumour: Sequence[int] = (),
) -> Metrics:
    """Compare predicted labels with true ones.

    Parameters
    ----------
    true
        (N,) classes 1…C of labelled pixels.
    predicted
        (N,) classes 0…C; pixels with 0 (not classified) are counted and left out.
    n_classes
        C.
    probabilities
        (N, C), column k for class k + 1, each 0…1; for ROC AUC, calibration and the tumour curve.
    tumour
        Indices of the classes that are tumour.

    Raises
    ------
    UsageError
        Lengths differ, labels are out of range, or probabilities have another shape or are not all within 0…1.
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
    reliability = _reliability(true, predicted, scores)
    return Metrics(
        n=int(table.sum()),
        not_classified=int(left_out.sum()),
        overall_accuracy=_ratio(int(np.trace(table)), int(table.sum())),
        balanced_accuracy=_mean(entry.sensitivity for entry in classes),
        # A class that is neither labelled nor predicted is rejected everywhere, which says nothing.
        macro_specificity=_mean(entry.specificity for entry in classes if entry.labelled or entry.predicted),
        macro_precision=_mean(entry.precision for entry in classes),
        macro_f1=_mean(entry.f1 for entry in classes),
        mcc=_mcc(true, predicted, table),
        cohen_kappa=_kappa(table),
        macro_roc_auc=_mean(entry.roc_auc for entry in classes),
        calibration_error=_calibration_error(reliability),
        reliability=reliability,
        tumour=_tumour(true, scores, tumour),
        confusion=tuple(tuple(int(count) for count in row) for row in table),
        classes=classes,
    )


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
        f1=_ratio(2 * hits, labelled + predicted),
        roc_auc=_roc_auc(true == index, scores, index) if 0 < labelled < total else None,
    )


def _roc_auc(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64] | None, index: int) -> float | None:
    from sklearn.metrics import roc_auc_score

    return None if scores is None else float(roc_auc_score(positive, scores[:, index - 1]))


def _mcc(true: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp], table: npt.NDArray[np.int64]) -> float | None:
    from sklearn.metrics import matthews_corrcoef

    varied = np.count_nonzero(table.sum(axis=0)) > 1 and np.count_nonzero(table.sum(axis=1)) > 1
    return float(matthews_corrcoef(true, predicted)) if varied else None


def _kappa(table: npt.NDArray[np.int64]) -> float | None:
    """(observed agreement − expected agreement) / (1 − expected agreement)."""
    if np.count_nonzero(table.sum(axis=1)) < 2:
        return None
    total = int(table.sum())
    expected = float(table.sum(axis=0) @ table.sum(axis=1)) / total**2
    return (float(np.trace(table)) / total - expected) / (1 - expected)


def _tumour(
    true: npt.NDArray[np.intp], scores: npt.NDArray[np.float64] | None, tumour: Sequence[int]
) -> TumourCurve | None:
    if scores is None or not tumour:
        return None
    columns = [index - 1 for index in tumour]
    return tumour_curve(np.isin(true, tumour), scores[:, columns].sum(axis=1))


def _reliability(
    true: npt.NDArray[np.intp], predicted: npt.NDArray[np.intp], scores: npt.NDArray[np.float64] | None
) -> tuple[ReliabilityBin, ...]:
    if scores is None or true.size == 0:
        return ()
    confidence = np.clip(scores[np.arange(true.size), predicted - 1], 0, 1)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    pixels = np.bincount(bins)
    right, claimed = np.bincount(bins, weights=true == predicted), np.bincount(bins, weights=confidence)
    return tuple(
        ReliabilityBin(int(pixels[k]), float(claimed[k] / pixels[k]), float(right[k] / pixels[k]))
        for k in np.flatnonzero(pixels)
    )


def _calibration_error(reliability: Sequence[ReliabilityBin]) -> float | None:
    """Σ over bins of |share correct − mean confidence| · share of pixels."""
    total = sum(one.pixels for one in reliability)
    if not total:
        return None
    return sum(abs(one.accuracy - one.confidence) * one.pixels for one in reliability) / total


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
