"""Model of a snapshot mosaic sensor: geometry, bands, responses, spectral correction."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gliomap.errors import SensorError

__all__ = ["ActiveArea", "MosaicSensor", "Responses", "SpectralCorrection", "bands_by_peak", "resized"]

ROW_SUM_TOLERANCE = 1e-4
"""Correction after the division is allowed only if each row sums to 1 within this tolerance."""

LEAST_LOBE = 0.25
"""Share of a response's highest sample: a lower peak is noise or leaking light, not the filter's own."""

NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""Names allowed in a registry, where a sensor's name is also a file name."""

_Scalar = TypeVar("_Scalar", bound=np.generic)

CHECK_NAME = "Check the path, or use a name from `gliomap sensor list`."
_CHECK_FILE = "Check the calibration file."


def _freeze(owner: object, *names: str) -> None:
    """Replace arrays of a frozen dataclass with read-only copies, so that sensors can be shared."""
    for name in names:
        array = getattr(owner, name)
        if array is not None and (array.flags.writeable or array.base is not None):
            array = array.copy()
            array.setflags(write=False)
            object.__setattr__(owner, name, array)


@dataclass(frozen=True, slots=True)
class ActiveArea:
    """The part of a frame that has filters: row and column of its first pixel, and its size, in sensor pixels."""

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
        (N,) transmission of the mounted band-pass filter, or None if unknown.
    """

    wavelengths_nm: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    rejection_filter: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        grid, values, filter_ = self.wavelengths_nm, self.values, self.rejection_filter
        if grid.ndim != 1 or grid.size < 2 or values.ndim != 2 or values.shape[1] != grid.size:
            raise SensorError("responses", f"have shape {values.shape} on a grid of {grid.shape}", _CHECK_FILE)
        if filter_ is not None and filter_.shape != grid.shape:
            raise SensorError("rejection filter", f"has {filter_.size} samples on a grid of {grid.size}", _CHECK_FILE)
        if not all(np.isfinite(a).all() for a in (grid, values, filter_) if a is not None) or np.any(
            np.diff(grid) <= 0
        ):
            raise SensorError("responses", "are not finite on an ascending grid of wavelengths", _CHECK_FILE)
        if not self.effective().max(initial=0) > 0:
            raise SensorError("responses", "pass no light through the rejection filter", _CHECK_FILE)
        _freeze(self, "wavelengths_nm", "values", "rejection_filter")

    def effective(self) -> npt.NDArray[np.float64]:
        """(positions, N) responses, multiplied by the rejection filter if it is known."""
        return self.values if self.rejection_filter is None else self.values * self.rejection_filter

    def peaks_nm(self, bands_nm: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.float64]:
        """(positions,) wavelength of each effective response's highest sample, nm.

        If the rejection filter is unknown, the highest sample may belong to a lobe that the mounted filter blocks.
        `bands_nm`, the wavelengths (nm) of the bands made from the responses, then restricts the search to the range of
        these bands, extended by their mean spacing. If that range has no peak, the highest sample overall counts.
        """
        curves, grid = self.effective(), self.wavelengths_nm
        tops = curves.argmax(axis=1)
        if bands_nm is not None and bands_nm.size > 1 and self.rejection_filter is None:
            margin = np.ptp(bands_nm) / (bands_nm.size - 1)
            first = int(np.searchsorted(grid, bands_nm.min() - margin))
            end = int(np.searchsorted(grid, bands_nm.max() + margin, side="right"))
            if first < end:
                among = first + curves[:, first:end].argmax(axis=1)
                # A maximum where the range cuts the curve is the flank of a lobe outside; a very low one is not a lobe.
                flank = ((among == first) & (first > 0)) | ((among == end - 1) & (end < grid.size))
                lit = curves[np.arange(len(curves)), among] > LEAST_LOBE * curves.max(axis=1)
                tops = np.where(lit & ~flank, among, tops)
        peaks: npt.NDArray[np.float64] = grid[tops]
        return peaks


@dataclass(frozen=True, eq=False)
class SpectralCorrection:
    """Matrix from mosaic positions to output bands.

    Attributes
    ----------
    matrix
        (bands, positions) float64; row = output band in wavelength order, column = mosaic position.
    bandpass
        The band-pass filter for which it was made, or 'unknown'.
    after_division
        True: the matrix is applied to reflectance; allowed only if rows sum to 1 within 1e-4. False:
        raw − dark and white − dark are each corrected, then divided.

    Raises
    ------
    SensorError
        The matrix is not 2-D or not finite, or `after_division` is True and rows do not sum to 1.
    """

    matrix: npt.NDArray[np.float64]
    bandpass: str = "unknown"
    after_division: bool = False

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or not np.isfinite(self.matrix).all():
            raise SensorError("correction matrix", "is not a finite 2-D table", _CHECK_FILE)
        worst = float(np.abs(self.matrix.sum(axis=1) - 1).max(initial=0))
        if self.after_division and worst > ROW_SUM_TOLERANCE:
            raise SensorError(
                "correction matrix",
                f"its rows sum to 1 only within {worst:.2g}, and correction after division requires {ROW_SUM_TOLERANCE:g}",
                "Set after_division to false under [correction].",
            )
        _freeze(self, "matrix")


@dataclass(frozen=True, eq=False)
class MosaicSensor:
    """A snapshot mosaic sensor, as described by a camera's calibration.

    Mosaic position p = pattern_columns · (row mod pattern_rows) + (column mod pattern_columns),
    counted from the first pixel of the active area.

    Attributes
    ----------
    name
        Identifier in the registry.
    description
        One line: camera and origin of the data.
    frame_shape
        (rows, columns) of a raw frame.
    active_area
        Part of the frame that has filters; height and width are whole tiles.
    pattern
        (rows, columns) of the filter mosaic, (5, 5) for 25 bands.
    bit_depth
        Bits per pixel as delivered.
    saturation
        Digital number at which a pixel counts as saturated.
    wavelengths_nm
        (bands,) ascending wavelengths of the output bands; without correction, the sorted peaks of the positions.
    wavelengths_nominal
        True if the wavelengths were not measured; every display of them must say so.
    band_of_position
        (positions,) output band that each mosaic position mainly feeds; a permutation if there are as
        many bands as positions. Its order is the wavelength order of the uncorrected channels.
    correction
        Spectral correction; if None, channels are the mosaic positions in wavelength order.
    responses
        Measured responses, or None.
    peaks_nm
        (positions,) wavelength of each filter's own peak as stated by the vendor, or None. A response may have a
        second lobe that is higher.
    has_bias_offset
        True if dark frames have a part that does not depend on exposure, so that they cannot be scaled by time.
    defective_pixels
        (n, 2) rows and columns in the frame, possibly empty.
    source
        Origin of the data.
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
    peaks_nm: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        area, (rows, columns) = self.active_area, self.frame_shape
        if area.top < 0 or area.left < 0 or area.top + area.height > rows or area.left + area.width > columns:
            raise self._fault(f"its active area {area} extends beyond the frame of {rows}×{columns}")
        if area.height % self.pattern[0] or area.width % self.pattern[1] or min(area.height, area.width) < 1:
            raise self._fault(f"its active area {area.height}×{area.width} is not whole tiles of {self.pattern}")
        if not 1 <= self.bit_depth <= 16 or not 0 < self.saturation < 2**self.bit_depth:
            raise self._fault(f"saturation {self.saturation} does not fit {self.bit_depth} bits")
        self._check_bands()
        defects = self.defective_pixels
        if defects.ndim != 2 or defects.shape[1] != 2 or np.any(defects < 0) or np.any(defects >= (rows, columns)):
            raise self._fault(f"a defective pixel lies outside the frame of {rows}×{columns}")
        _freeze(self, "wavelengths_nm", "defective_pixels", "peaks_nm")

    def _check_bands(self) -> None:
        expected = self.correction.matrix.shape[0] if self.correction else self.n_positions
        if self.correction and self.correction.matrix.shape[1] != self.n_positions:
            raise self._fault(
                f"its matrix has {self.correction.matrix.shape[1]} columns for {self.n_positions} positions"
            )
        waves = self.wavelengths_nm
        if waves.shape != (expected,) or not np.isfinite(waves).all() or np.any(np.diff(waves) < 0):
            raise self._fault(f"it needs {expected} wavelengths in ascending order")
        if len(self.band_of_position) != self.n_positions:
            raise self._fault(
                f"band_of_position has {len(self.band_of_position)} entries, the pattern has {self.n_positions} positions"
            )
        if not all(0 <= band < expected for band in self.band_of_position):
            raise self._fault(f"band_of_position names a band outside 0…{expected - 1}")
        if expected == self.n_positions and len(set(self.band_of_position)) != expected:
            raise self._fault("band_of_position names a band twice")
        if self.responses and self.responses.values.shape[0] != self.n_positions:
            raise self._fault(f"its responses have shape {self.responses.values.shape}")
        peaks = self.peaks_nm
        if peaks is not None and (peaks.shape != (self.n_positions,) or not np.isfinite(peaks).all()):
            raise self._fault(f"it needs {self.n_positions} peaks, one for each mosaic position, or none")

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
        """(height, width) of a cube, which has one pixel per tile."""
        return self.active_area.height // self.pattern[0], self.active_area.width // self.pattern[1]

    def active(self, frame: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        """The active area of a frame (rows, columns), as a view: whole tiles, (height, width)."""
        area = self.active_area
        return frame[area.top : area.top + area.height, area.left : area.left + area.width]

    @property
    def correction_after_division(self) -> bool:
        """Whether reflectance itself is corrected; also True without a correction."""
        return self.correction is None or self.correction.after_division

    def band_matrix(self) -> npt.NDArray[np.float64]:
        """(bands, positions) matrix from mosaic positions to bands.

        The correction matrix; without one, the permutation that sorts positions by wavelength.
        """
        if self.correction is not None:
            return self.correction.matrix
        return np.eye(self.n_positions)[np.argsort(self.band_of_position, kind="stable")]

    def uncorrected(self) -> MosaicSensor:
        """The same camera without spectral correction: its channels are the positions in wavelength order.

        Each channel has the peak wavelength of its own position: the vendor's if known, else that of the response. If
        neither is known, or the peaks contradict the order of `band_of_position`, each channel has the wavelength of
        the band that it feeds, marked nominal.

        Raises
        ------
        SensorError
            The numbers of bands and positions differ, and no peaks are known.
        """
        if self.correction is None:
            return self
        bands, peaks = np.array(self.band_of_position), self.filter_peaks_nm()
        if peaks is None and self.n_bands != self.n_positions:
            raise self._fault(f"its {self.n_positions} positions have no known wavelengths")
        # The order is that of the bands, which is all a bundle has; peaks only order positions that feed the same band.
        order = np.lexsort([bands if peaks is None else peaks, bands])
        waves, nominal = self.wavelengths_nm[bands[order]], True
        if peaks is not None and (np.diff(peaks[order]) >= 0).all():
            waves, nominal = peaks[order], self.wavelengths_nominal
        return replace(
            self,
            wavelengths_nm=waves,
            wavelengths_nominal=nominal,
            band_of_position=tuple(int(rank) for rank in np.argsort(order)),
            correction=None,
        )

    def filter_peaks_nm(self) -> npt.NDArray[np.float64] | None:
        """(positions,) peak wavelength of each filter, nm: the vendor's, else that of its response; None if unknown."""
        if self.peaks_nm is None and self.responses is not None:
            return self.responses.peaks_nm(self.wavelengths_nm)
        return self.peaks_nm

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of everything that affects a cube; name, texts, responses and peaks do not count."""
        area = self.active_area
        facts = {
            "frame": self.frame_shape,
            "active_area": (area.top, area.left, area.height, area.width),
            "pattern": self.pattern,
            "bit_depth": self.bit_depth,
            "saturation": self.saturation,
            "bands": self.band_of_position,
            "after_division": self.correction_after_division,
            "has_bias_offset": self.has_bias_offset,
            "corrected": self.correction is not None,
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for array in (self.wavelengths_nm, self.band_matrix(), self.defective_pixels):
            # Nine significant digits: the same TOML gives the same fingerprint on every platform.
            digest.update(",".join(f"{value:.9g}" for value in array.ravel()).encode())
        return digest.hexdigest()

    def _fault(self, fault: str) -> SensorError:
        return SensorError(f"sensor {self.name!r}", fault, "Correct its description; see `gliomap sensor show`.")


def bands_by_peak(peaks_nm: npt.NDArray[np.float64], wavelengths_nm: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """Band that each position feeds: by rank of its peak, or the nearest band if their numbers differ."""
    # With no bands at all, none is nearest; the sensor itself rejects that case.
    if wavelengths_nm.size in (0, peaks_nm.size):
        bands = np.argsort(np.argsort(peaks_nm, kind="stable"))
    else:
        bands = np.abs(peaks_nm[:, None] - wavelengths_nm).argmin(axis=1)
    return tuple(int(band) for band in bands)


def resized(sensor: MosaicSensor, tiles_high: int, tiles_wide: int) -> MosaicSensor:
    """The same camera with a smaller or larger frame, for tests and quick phantoms.

    The active area starts at the same pixel, measures `tiles_high` × `tiles_wide` whole tiles, and
    keeps the margin around it. Defective pixels outside the new frame are dropped.

    Parameters
    ----------
    sensor
        The camera.
    tiles_high, tiles_wide
        Rows and columns of its cube.

    Raises
    ------
    SensorError
        A size is less than 1 tile.
    """
    area, (rows, columns) = sensor.active_area, sensor.frame_shape
    height, width = tiles_high * sensor.pattern[0], tiles_wide * sensor.pattern[1]
    frame = (rows - area.height + height, columns - area.width + width)
    inside = (sensor.defective_pixels < frame).all(axis=1)
    return replace(
        sensor,
        frame_shape=frame,
        active_area=ActiveArea(area.top, area.left, height, width),
        defective_pixels=sensor.defective_pixels[inside],
    )
