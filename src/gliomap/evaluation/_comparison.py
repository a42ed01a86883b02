"""Two runs on the same patients."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.evaluation._intervals import ROUNDING, Interval, interval_over_patients

__all__ = ["LEAST_PAIRS", "Comparison", "compare_over_patients", "equal_names"]

LEAST_PAIRS = 6
"""Differing patients from which on a two-sided signed-rank test can have p < 0.05: 2 / 2⁶ = 0.031."""

_DIFFERENCE = (-2.0, 2.0)
"""Bounds of a difference of two figures within −1…1."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second run against the first, patient by patient.

    Attributes
    ----------
    difference
        Second − first, mean over the patients that both tested, with its interval.
    better, worse, equal
        Patients for whom the second is above, below, the same.
    p_value
        Wilcoxon's signed-rank test, two-sided, exact where it can be; None where so few patients differ that no
        outcome could be significant.
    least_p_value
        The smallest that this number of differing patients could give; None without any.
    """

    difference: Interval
    better: int
    worse: int
    equal: int
    p_value: float | None
    least_p_value: float | None


def compare_over_patients(
    first: Mapping[str, float | None], second: Mapping[str, float | None], *, seed: int = 0
) -> Comparison | None:
    """Compare a figure of two runs over the patients for whom both have it; None where there is none.

    Parameters
    ----------
    first, second
        Patient → value, None where not defined.
    """
    pairs = [
        (one, other)
        for patient in sorted(set(first) & set(second))
        if (one := first[patient]) is not None and (other := second[patient]) is not None
    ]
    differences = np.array([other - one for one, other in pairs], np.float64)
    differences[np.abs(differences) < ROUNDING] = 0
    interval = interval_over_patients(differences.tolist(), bounds=_DIFFERENCE, seed=seed)
    if interval is None:
        return None
    moved = differences[differences != 0]
    return Comparison(
        difference=interval,
        better=int(np.count_nonzero(differences > 0)),
        worse=int(np.count_nonzero(differences < 0)),
        equal=int(differences.size - moved.size),
        p_value=_signed_rank(moved) if moved.size >= LEAST_PAIRS else None,
        least_p_value=2.0 ** (1 - moved.size) if moved.size else None,
    )


def equal_names(runs: Iterable[tuple[str, Collection[str]]]) -> tuple[str, ...]:
    """A warning where runs that were made on other files tested patients of the same name; else nothing.

    Parameters
    ----------
    runs
        Of each the fingerprint of its study's files, and the patients whom it tested.
    """
    files: dict[str, str] = {}
    for fingerprint, patients in runs:
        if any(files.setdefault(patient, fingerprint) != fingerprint for patient in patients):
            return ("The runs were not made on the same files. Make sure that equal names mean the same patients.",)
    return ()


def _signed_rank(moved: npt.NDArray[np.float64]) -> float:
    from scipy.stats import wilcoxon

    return float(wilcoxon(moved).pvalue)
