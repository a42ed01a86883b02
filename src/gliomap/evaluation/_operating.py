"""Tumour against everything else, at every threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["SPECIFICITIES", "TumourCurve", "WorkingPoint", "tumour_curve"]

SPECIFICITIES = (0.90, 0.95)
"""Specificities at which the sensitivity is reported."""

_MOST_POINTS = 100


@dataclass(frozen=True, slots=True)
class WorkingPoint:
    """The threshold with the highest sensitivity among those that reach a given specificity.

    Attributes
    ----------
    wanted
        The required specificity.
    sensitivity, specificity
        Values at this threshold.
    threshold
        Lowest probability of tumour that is called tumour; above 1 if the specificity is reached only by calling
        nothing tumour.
    """

    wanted: float
    sensitivity: float
    specificity: float
    threshold: float


@dataclass(frozen=True, slots=True)
class TumourCurve:
    """Receiver operating characteristic of the probability of tumour.

    Attributes
    ----------
    area
        Area under the curve.
    points
        (1 − specificity, sensitivity) from (0, 0) to (1, 1), at most 100 points.
    working
        Operating points at 90 % and 95 % specificity. They are chosen on the same pixels for which they are reported,
        so a threshold fixed beforehand would do worse.
    """

    area: float
    points: tuple[tuple[float, float], ...]
    working: tuple[WorkingPoint, ...]


def tumour_curve(is_tumour: npt.NDArray[np.bool_], probability: npt.NDArray[np.floating]) -> TumourCurve | None:
    """The operating curve; None if all pixels are tumour or none is.

    Parameters
    ----------
    is_tumour
        (N,) ground truth.
    probability
        (N,) probabilities summed over the tumour classes.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    if is_tumour.all() or not is_tumour.any():
        return None
    # Keep every threshold: the best one for a specificity may lie between two corners of the curve.
    alarms, hits, thresholds = roc_curve(is_tumour, probability, drop_intermediate=False)
    working = []
    for wanted in SPECIFICITIES:
        kept = np.flatnonzero(alarms <= 1 - wanted + 1e-12)
        best = int(kept[np.argmax(hits[kept])])
        # scikit-learn's first threshold is infinite: nothing is called tumour.
        threshold = float(min(thresholds[best], 2.0))
        working.append(WorkingPoint(wanted, float(hits[best]), float(1 - alarms[best]), threshold))
    corners = np.stack(roc_curve(is_tumour, probability)[:2], axis=1)
    chosen = np.unique(np.linspace(0, len(corners) - 1, min(len(corners), _MOST_POINTS)).round().astype(np.intp))
    return TumourCurve(
        float(roc_auc_score(is_tumour, probability)),
        tuple((float(alarm), float(hit)) for alarm, hit in corners[chosen]),
        tuple(working),
    )
