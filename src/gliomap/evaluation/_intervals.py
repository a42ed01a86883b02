"""Means over patients with their 95 % intervals, and how far those can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_BOOTSTRAP", "LEAST_INTERVAL", "ROUNDING", "SHARE", "Interval", "interval_over_patients"]

LEAST_INTERVAL, LEAST_BOOTSTRAP = 6, 20
"""From so many patients on there is an interval: Student's t; and from so many on a bootstrap."""

SHARE = (0.0, 1.0)
"""Bounds of an accuracy, a sensitivity, …"""

ROUNDING = 1e-12
"""Figures nearer to each other than this are equal: the same counts, added up in another order."""

_COVERAGE = 0.95
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean over patients with its 95 % interval.

    Attributes
    ----------
    mean
        Of the patients' values, each patient counting once.
    low, high
        The interval; None with fewer than six patients, whose few values tell more than an interval could.
    patients
        How many have a value.
    method
        'bootstrap' (bias-corrected and accelerated, over patients) from 20 patients on, 't' (Student's t) below, 'values'
        below 6.
    values
        The patients' values in ascending order, where there is no interval; else empty.
    """

    mean: float
    low: float | None
    high: float | None
    patients: int
    method: Literal["bootstrap", "t", "values"] = "values"
    values: tuple[float, ...] = ()


def interval_over_patients(
    values: Sequence[float | None], *, bounds: tuple[float, float] = SHARE, seed: int = 0
) -> Interval | None:
    """Mean over patients and its 95 % interval; None where no patient has a value.

    Patients are the units that a result must carry over to, so they are counted and resampled, not pixels. Values
    that are not defined are left out. What the intervals really cover is simulated in
    docs/explanation/honest-numbers.md.

    Parameters
    ----------
    values
        One per patient, None where not defined.
    bounds
        Between which such values lie; an interval does not reach beyond.
    seed
        Of the bootstrap.
    """
    known = np.array([value for value in values if value is not None], np.float64)
    if known.size == 0:
        return None
    mean, count = float(known.mean()), int(known.size)
    if count < LEAST_INTERVAL:
        return Interval(mean, None, None, count, "values", tuple(np.sort(known).tolist()))
    method: Literal["bootstrap", "t"] = "t" if count < LEAST_BOOTSTRAP else "bootstrap"
    low, high = _student(known) if method == "t" else _bootstrap(known, seed)
    return Interval(mean, float(max(low, bounds[0])), float(min(high, bounds[1])), count, method)


def _student(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    from scipy.stats import t

    spread = float(values.std(ddof=1) / np.sqrt(values.size))
    reach = float(t.ppf((1 + _COVERAGE) / 2, values.size - 1)) * spread
    return float(values.mean()) - reach, float(values.mean()) + reach


def _bootstrap(values: npt.NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Bias-corrected and accelerated (Efron 1987): of the bootstraps the one that skewed values need."""
    from scipy.stats import bootstrap

    if np.ptp(values) < ROUNDING:
        return float(values.mean()), float(values.mean())
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=_COVERAGE,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)
