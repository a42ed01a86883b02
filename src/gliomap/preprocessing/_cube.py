"""A hyperspectral cube with its wavelengths, units and validity."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from gliomap.errors import CubeError

__all__ = ["HyperCube", "Reason", "reason_counts"]


class Reason(IntFlag):
    """Why a pixel is invalid; the bits of `HyperCube.reasons` and `TissueMap.reasons`.

    A single such sensor pixel makes its whole tile invalid. `SATURATED`: the raw frame or the white reference reaches
    the saturation value. `DARK`: white − dark is too small to divide by. `OUTSIDE`: outside the active area, for
    example where a crop extends beyond the cube.
    """

    SATURATED = 1
    DARK = 2
    ZERO_BRIGHTNESS = 4
    OUTSIDE = 8
    DEFECTIVE = 16

    @property
    def text(self) -> str:
        """Human-readable text."""
        return {
            Reason.SATURATED: "saturated",
            Reason.DARK: "too little light: white − dark",
            Reason.ZERO_BRIGHTNESS: "zero brightness",
            Reason.OUTSIDE: "outside the active area",
            Reason.DEFECTIVE: "defective sensor pixel",
        }[self]


def reason_counts(reasons: npt.NDArray[np.uint8]) -> dict[str, int]:
    """Reason (lower-case name) → number of pixels, for reasons that occur; a pixel can have several."""
    if not reasons.any():
        return {}
    counts = {reason.name.lower(): int(np.count_nonzero(reasons & reason)) for reason in Reason if reason.name}
    return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True, eq=False)
class HyperCube:
    """A cube of spectra.

    Attributes
    ----------
    data
        (H, W, B) float32, finite; 0 where `mask` is False.
    wavelengths_nm
        (B,) nm, or None if the sensor is unknown.
    units
        Meaning of the values: 'reflectance', 'brightness-normalised reflectance', …
    mask
        (H, W) bool, True = valid.
    reasons
        (H, W) uint8, bits of `Reason`; 0 where valid.

    Raises
    ------
    CubeError
        Shapes or types do not match, or a value is not finite.
    """

    data: npt.NDArray[np.float32]
    wavelengths_nm: npt.NDArray[np.float64] | None
    units: str
    mask: npt.NDArray[np.bool_]
    reasons: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or self.data.dtype != np.float32:
            raise CubeError(
                "cube", f"is {self.data.dtype} {self.data.shape}", "A cube is float32 and has shape (H, W, B)."
            )
        for name, array, kind in (("mask", self.mask, "bool"), ("reasons", self.reasons, "uint8")):
            if array.dtype != kind or array.shape != self.data.shape[:2]:
                raise CubeError(
                    "cube",
                    f"has {name} of {array.dtype} {array.shape} for data of {self.data.shape}",
                    f"Pass {kind} of shape (H, W).",
                )
        if self.wavelengths_nm is not None and self.wavelengths_nm.shape != self.data.shape[2:]:
            raise CubeError(
                "cube", f"{self.wavelengths_nm.size} wavelengths for {self.data.shape[2]} bands", "Pass one per band."
            )
        if not np.isfinite(self.data).all():
            raise CubeError("cube", "holds NaN or infinite values", "Mask such pixels and set them to 0.")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.data.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.data.shape[1])

    @property
    def n_bands(self) -> int:
        """Bands."""
        return int(self.data.shape[2])

    def cropped(self, row: int, column: int, height: int, width: int) -> HyperCube:
        """A window of the cube; pixels beyond its edges are 0 and `OUTSIDE`.

        Parameters
        ----------
        row, column
            Position of the window's first pixel in this cube; may be negative.
        height, width
            Size of the window.

        Raises
        ------
        CubeError
            The window is empty or lies entirely outside the cube.
        """
        top, left = max(row, 0), max(column, 0)
        bottom, right = min(row + height, self.height), min(column + width, self.width)
        if bottom <= top or right <= left:
            raise CubeError(
                "crop",
                f"{height}×{width} at row {row}, column {column} misses the cube of {self.height}×{self.width}",
                "Correct the crop in study.toml.",
            )
        data = np.zeros((height, width, self.n_bands), np.float32)
        reasons = np.full((height, width), Reason.OUTSIDE, np.uint8)
        inside = np.s_[top - row : bottom - row, left - column : right - column]
        data[inside] = self.data[top:bottom, left:right]
        reasons[inside] = self.reasons[top:bottom, left:right]
        mask = np.zeros((height, width), np.bool_)
        mask[inside] = self.mask[top:bottom, left:right]
        return HyperCube(data, self.wavelengths_nm, self.units, mask, reasons)

    def invalid_counts(self) -> dict[str, int]:
        """See `reason_counts`."""
        return reason_counts(self.reasons)
