"""Tumour against everything else, at every threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["SPECIFICITIES", "TumourCurve", "WorkingPoint", "tumour_curve"]

SPECIFICITIES = (0.90, 0.95)
"""At which the sensitivity is told."""

_MOST_POINTS = 100


@dataclass(frozen=True, slots=True)
class WorkingPoint:
    """The threshold with the highest sensitivity among those that keep a specificity.

    Attributes
    ----------
    wanted
        Least specificity.
    sensitivity, specificity
        That are reached there.
    threshold
        Least probability of tumour that is called tumour; above 1 where only calling nothing tumour keeps the
        specificity.
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
        Under the curve.
    points
        (1 − specificity, sensitivity) from (0, 0) to (1, 1), at most 100 of them.
    working
        At 90 % and at 95 % specificity. They are chosen on the very pixels that they are told for, so that a threshold fixed
        beforehand would do worse.
    """

    area: float
    points: tuple[tuple[float, float], ...]
    working: tuple[WorkingPoint, ...]


def tumour_curve(is_tumour: npt.NDArray[np.bool_], probability: npt.NDArray[np.floating]) -> TumourCurve | None:
    """The operating curve; None where all pixels are tumour or none is.

    Parameters
    ----------
    is_tumour
        (N,) truth.
    probability
        (N,) summed over the tumour classes.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    if is_tumour.all() or not is_tumour.any():
        return None
    # Of every threshold: one between two corners of the curve may be the best that keeps a specificity.
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
