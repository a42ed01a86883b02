"""Accuracy by distance from the nearest training pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DISTANCES", "DistanceBin", "distance_accuracy", "pooled_distances"]

DISTANCES = (0.0, 1.5, 2.5, 4.5, 8.5, 16.5, 32.5)
"""Bin edges in pixels: direct neighbours, the next ones, …; the last bin is open."""


@dataclass(frozen=True, slots=True)
class DistanceBin:
    """Test pixels in one range of distances.

    Attributes
    ----------
    least, most
        Distance in pixels, least ≤ distance < most; `most` is None in the last bin.
    pixels
        Number of classified pixels.
    right
        Number of correctly classified pixels.
    """

    least: float
    most: float | None
    pixels: int
    right: int


def distance_accuracy(
    tested: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]
) -> tuple[DistanceBin, ...]:
    """Accuracy by distance from the nearest reference pixel of the same capture.

    Parameters
    ----------
    tested, right, reference
        (H, W): pixels that were tested and classified, those of them that are right, and pixels that were trained on
        or clicked.

    Returns
    -------
    tuple of DistanceBin
        Empty if the capture has no reference pixels.
    """
    from scipy.ndimage import distance_transform_edt

    if not reference.any():
        return ()
    distances = np.asarray(distance_transform_edt(~reference), np.float64)[tested]
    hits = right[tested]
    numbers = np.digitize(distances, DISTANCES[1:])
    return tuple(
        DistanceBin(
            least=DISTANCES[number],
            most=DISTANCES[number + 1] if number + 1 < len(DISTANCES) else None,
            pixels=int(np.count_nonzero(numbers == number)),
            right=int(np.count_nonzero(hits[numbers == number])),
        )
        for number in range(len(DISTANCES))
    )


def pooled_distances(parts: Sequence[tuple[DistanceBin, ...]]) -> tuple[DistanceBin, ...]:
    """Sum the bins of several captures; captures without bins are left out."""
    filled = [part for part in parts if part]
    return tuple(
        DistanceBin(bins[0].least, bins[0].most, sum(one.pixels for one in bins), sum(one.right for one in bins))
        for bins in zip(*filled, strict=True)
    )
