"""The engine's result: a tissue map with everything needed to judge it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.taxonomy import ClassSet

__all__ = ["TissueMap"]


@dataclass(frozen=True, eq=False)
class TissueMap:
    """A map of tissue classes. It marks what spectra resemble; it never says 'no tumour'.

    Attributes
    ----------
    labels
        (H, W) uint8: class 1…C, 0 = not classified.
    probabilities
        (H, W, C) float32, 0…1; channel k belongs to class k + 1; 0 where not classified.
    confidence
        (H, W) float32: the highest probability, 0 where not classified.
    mask
        (H, W) bool, True = classified.
    reasons
        (H, W) uint8, bits of `preprocessing.Reason`; 0 where classified.
    classes
        The classes that the labels stand for.
    timings
        Seconds per stage: 'check' (masks, saturation), 'graph' (from frame or cube to probabilities), 'finish'
        (masking, layout), 'total'.
    blanked
        Why nothing at all was classified; None if the map is not blank.
    bundle
        Identity of the bundle (SHA-256 of its manifest).
    """

    labels: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    reasons: npt.NDArray[np.uint8]
    classes: ClassSet
    timings: dict[str, float]
    blanked: str | None
    bundle: str

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.labels.shape[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.labels.shape[1])

    def pixel_counts(self) -> dict[str, int]:
        """Pixels of each class by name, including classes without any. 0 means 'not found', not 'absent'."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes) + 1)
        return {name: int(counts[index]) for index, name in enumerate(self.classes.names, start=1)}
