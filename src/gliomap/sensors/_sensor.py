"""What a snapshot mosaic sensor is: geometry, bands, responses, spectral correction."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gliomap.errors import SensorError

__all__ = ["ActiveArea", "MosaicSensor", "Responses", "SpectralCorrection"]

ROW_SUM_TOLERANCE = 1e-4
"""Correction after the division is allowed only where each row sums to 1 within this."""


@dataclass(frozen=True, slots=True)
class ActiveArea:
    """The part of a frame that has filters, in sensor pixels; row and column of its first pixel."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Responses:
    """Measured spectral responses of the filters.

    Attributes
    ----------
    wavelengths_nm
        (N,) sampling grid, nm, ascending.
    values
        (positions, N) response at each mosaic position, without the rejection filter.
    rejection_filter
        (N,) transmission of the mounted band-pass filter, or None where unknown.
    """

    wavelengths_nm: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    rejection_filter: npt.NDArray[np.float64] | None = None

    def effective(self) -> npt.NDArray[np.float64]:
        """(positions, N) responses with the rejection filter, where one is known."""
        return self.values if self.rejection_filter is None else self.values * self.rejection_filter


@dataclass(frozen=True, eq=False)
class SpectralCorrection:
    """Matrix from mosaic positions to output bands.

    Attributes
    ----------
    matrix
        (bands, positions) float64; row = output band in wavelength order, column = mosaic position.
    bandpass
        The band-pass filter it was made for, or 'unknown'.
    after_division
        True: applied to reflectance; allowed only where rows sum to 1 within 1e-4. False:
        raw − dark and white − dark are corrected each, then divided.

    Raises
    ------
    SensorError
        A matrix that is not 2-D or not finite; `after_division` with rows that do not sum to 1.
    """

    matrix: npt.NDArray[np.float64]
    bandpass: str = "unknown"
    after_division: bool = False

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or not np.isfinite(self.matrix).all():
            raise SensorError("correction matrix", "is not a finite 2-D table", "Check the calibration file.")
        worst = float(np.abs(self.matrix.sum(axis=1) - 1).max())
        if self.after_division and worst > ROW_SUM_TOLERANCE:
            raise SensorError(
                "correction matrix",
                f"its rows sum to 1 only within {worst:.2g}, and correction_after_division needs {ROW_SUM_TOLERANCE:g}",
                "Set correction_after_division to false.",
            )
        self.matrix.setflags(write=False)


@dataclass(frozen=True, eq=False)
class MosaicSensor:
    """A snapshot mosaic sensor, as a camera's calibration describes it.

    Mosaic position p = pattern_columns · (row mod pattern_rows) + (column mod pattern_columns),
    counted from the first pixel of the active area.

    Attributes
    ----------
    name
        Identifier in the registry.
    description
        One line: camera and origin of the figures.
    frame_shape
        (rows, columns) of a raw frame.
    active_area
        Its height and width are whole tiles.
    pattern
        (rows, columns) of the filter mosaic, (5, 5) for 25 bands.
    bit_depth
        Bits per pixel as delivered.
    saturation
        Digital number at which a pixel counts as saturated.
    wavelengths_nm
        (bands,) of the output bands, ascending; of the positions' peaks, sorted, without correction.
    wavelengths_nominal
        True where the wavelengths were not measured: say so wherever they are shown.
    band_of_position
        (positions,) output band that each mosaic position mainly feeds; a permutation only where
        the calibration makes it one.
    correction
        Spectral correction, or None: then channels are the mosaic positions in wavelength order.
    responses
        Measured responses, or None.
    has_bias_offset
        True where a dark frame has an exposure-independent part, so that it cannot be scaled.
    defective_pixels
        (n, 2) rows and columns in the frame, possibly empty.
    source
        Where the figures come from.
    """

    name: str
    description: str
    frame_shape: tuple[int, int]
    active_area: ActiveArea
    pattern: tuple[int, int]
    bit_depth: int
    saturation: int
    wavelengths_nm: npt.NDArray[np.float64]
    wavelengths_nominal: bool
    band_of_position: tuple[int, ...]
    correction: SpectralCorrection | None = None
    responses: Responses | None = None
    has_bias_offset: bool = True
    defective_pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    source: str = ""

    def __post_init__(self) -> None:
        area, (rows, columns) = self.active_area, self.frame_shape
        if area.top < 0 or area.left < 0 or area.top + area.height > rows or area.left + area.width > columns:
            raise self._fault(f"its active area {area} leaves the frame of {rows}×{columns}")
        if area.height % self.pattern[0] or area.width % self.pattern[1] or min(area.height, area.width) < 1:
            raise self._fault(f"its active area {area.height}×{area.width} is not whole tiles of {self.pattern}")
        if not 1 <= self.bit_depth <= 16 or not 0 < self.saturation < 2**self.bit_depth:
            raise self._fault(f"saturation {self.saturation} does not fit {self.bit_depth} bits")
        if len(self.band_of_position) != self.n_positions:
            raise self._fault(
                f"{len(self.band_of_position)} mosaic positions are named, the pattern has {self.n_positions}"
            )
        expected = self.correction.matrix.shape[0] if self.correction else self.n_positions
        if self.wavelengths_nm.shape != (expected,) or np.any(np.diff(self.wavelengths_nm) < 0):
            raise self._fault(f"it needs {expected} wavelengths in ascending order")
        if self.correction and self.correction.matrix.shape[1] != self.n_positions:
            raise self._fault(
                f"its matrix has {self.correction.matrix.shape[1]} columns for {self.n_positions} positions"
            )
        if self.responses and self.responses.values.shape != (self.n_positions, self.responses.wavelengths_nm.size):
            raise self._fault(f"its responses have shape {self.responses.values.shape}")

    @property
    def n_positions(self) -> int:
        """Filters per tile."""
        return self.pattern[0] * self.pattern[1]

    @property
    def n_bands(self) -> int:
        """Bands of a preprocessed cube."""
        return int(self.wavelengths_nm.size)

    @property
    def cube_shape(self) -> tuple[int, int]:
        """(height, width) of a cube: one pixel per tile."""
        return self.active_area.height // self.pattern[0], self.active_area.width // self.pattern[1]

    @property
    def correction_after_division(self) -> bool:
        """Whether reflectance itself is corrected; True also where nothing is corrected."""
        return self.correction is None or self.correction.after_division

    def band_matrix(self) -> npt.NDArray[np.float64]:
        """(bands, positions) matrix from mosaic positions to bands.

        The correction matrix; without one, the permutation that sorts positions by wavelength.
        """
        if self.correction is not None:
            return self.correction.matrix
        matrix = np.zeros((self.n_bands, self.n_positions))
        matrix[list(self.band_of_position), np.arange(self.n_positions)] = 1.0
        return matrix

    def _fault(self, fault: str) -> SensorError:
        return SensorError(f"sensor {self.name!r}", fault, "Correct its description; see `gliomap sensor show`.")
