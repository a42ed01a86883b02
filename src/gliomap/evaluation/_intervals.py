"""Means over patients with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_BOOTSTRAP", "LEAST_INTERVAL", "ROUNDING", "SHARE", "Interval", "interval_over_patients"]

LEAST_INTERVAL, LEAST_BOOTSTRAP = 6, 20
"""Fewest patients for an interval (Student's t), and fewest for a bootstrap."""

SHARE = (0.0, 1.0)
"""Bounds of an accuracy, a sensitivity, …"""

ROUNDING = 1e-12
"""Figures closer to each other than this are equal: the same counts, summed in another order."""

_COVERAGE = 0.95
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean over patients with its 95 % interval.

    Attributes
    ----------
    mean
        Mean of the patients' values; each patient counts once.
    low, high
        The interval; None with fewer than six patients, whose few values say more than an interval could.
    patients
        Number of patients with a value.
    method
        'bootstrap' (bias-corrected and accelerated, over patients) with 20 patients or more, 't' (Student's t) with 6
        to 19, 'values' with fewer.
    values
        The patients' values in ascending order if there is no interval; otherwise empty.
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
    """Mean over patients and its 95 % interval; None if no patient has a value.

    A result must generalise to new patients, so patients are counted and resampled, not pixels. Undefined values are
    left out. docs/explanation/honest-numbers.md simulates what the intervals really cover.

    Parameters
    ----------
    values
        One per patient; None if not defined.
    bounds
        Smallest and largest possible value; the interval is clipped to them.
    seed
        Seed of the bootstrap.
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
    """Bias-corrected and accelerated bootstrap (Efron 1987), the variant that skewed values need."""
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
