"""Compare two runs on the same patients."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.evaluation._intervals import ROUNDING, Interval, interval_over_patients

__all__ = ["LEAST_PAIRS", "Comparison", "compare_over_patients", "equal_names"]

LEAST_PAIRS = 6
"""Fewest differing patients with which a two-sided signed-rank test can reach p < 0.05: 2 / 2⁶ = 0.031."""

_DIFFERENCE = (-2.0, 2.0)
"""Bounds of the difference of two figures that lie within −1…1."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second run against the first, patient by patient.

    Attributes
    ----------
    difference
        Second − first: mean over the patients that both runs tested, with its interval.
    better, worse, equal
        Number of patients for whom the second run is above, below or equal to the first.
    p_value
        From Wilcoxon's signed-rank test, two-sided, exact where possible; None if so few patients differ that no
        outcome could be significant.
    least_p_value
        The smallest p-value possible with this number of differing patients; None if none differ.
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
    """Compare a figure of two runs over the patients for whom both have a value; None if there are none.

    Parameters
    ----------
    first, second
        Patient → value; None if not defined.
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
    """A warning if runs made on different files tested patients with the same names; otherwise nothing.

    Parameters
    ----------
    runs
        For each run, the fingerprint of its study's files and the patients that it tested.
    """
    files: dict[str, str] = {}
    for fingerprint, patients in runs:
        if any(files.setdefault(patient, fingerprint) != fingerprint for patient in patients):
            return ("The runs were made on different files. Make sure that equal names mean the same patients.",)
    return ()


def _signed_rank(moved: npt.NDArray[np.float64]) -> float:
    from scipy.stats import wilcoxon

    return float(wilcoxon(moved).pvalue)
