"""What `gliomap sensor show` prints: one row for each band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.sensors._sensor import MosaicSensor, Responses

__all__ = ["BandRow", "sensor_table"]


@dataclass(frozen=True, slots=True)
class BandRow:
    """One output band.

    Attributes
    ----------
    band
        From 0, in wavelength order.
    wavelength_nm, nominal
        Centre, and whether it is only nominal.
    positions
        Mosaic positions that mainly feed it; may be empty if there are more bands than positions.
    peak_nm, fwhm_nm
        Of the first such position's response with the rejection filter, at the filter's own peak even if another lobe
        is higher; None if no response is known or the position receives no light.
    noise_gain
        Euclidean norm of the matrix row; 1 without correction.
    row_sum
        Sum of the matrix row; 1 without correction.
    """

    band: int
    wavelength_nm: float
    nominal: bool
    positions: tuple[int, ...]
    peak_nm: float | None
    fwhm_nm: float | None
    noise_gain: float
    row_sum: float


def sensor_table(sensor: MosaicSensor) -> tuple[BandRow, ...]:
    """One row for each band of a sensor, in wavelength order."""
    matrix, responses = sensor.band_matrix(), sensor.responses
    rows = []
    for band in range(sensor.n_bands):
        positions = tuple(position for position, fed in enumerate(sensor.band_of_position) if fed == band)
        peak, width = None, None
        if responses is not None and positions:
            grid, curve = responses.wavelengths_nm, responses.effective()[positions[0]]
            top = _top(responses, sensor, positions[0])
            if curve[top] > 0:
                peak, width = float(grid[top]), _full_width(grid, curve, top)
        rows.append(
            BandRow(
                band=band,
                wavelength_nm=float(sensor.wavelengths_nm[band]),
                nominal=sensor.wavelengths_nominal,
                positions=positions,
                peak_nm=peak,
                fwhm_nm=width,
                noise_gain=float(np.sqrt((matrix[band] ** 2).sum())),
                row_sum=float(matrix[band].sum()),
            )
        )
    return tuple(rows)


def _top(responses: Responses, sensor: MosaicSensor, position: int) -> int:
    """The sample at which a position's filter peaks.

    If the vendor states a peak, the search is limited to the mean peak spacing around it.
    """
    grid, told = responses.wavelengths_nm, sensor.peaks_nm
    if told is None:
        return int(np.searchsorted(grid, responses.peaks_nm(sensor.wavelengths_nm)[position]))
    away = np.abs(grid - told[position])
    # The nearest sample always counts, even if the grid ends before the peak.
    near = away <= max(np.ptp(told) / max(told.size - 1, 1), away.min())
    return int(np.where(near, responses.effective()[position], -np.inf).argmax())


def _full_width(grid: npt.NDArray[np.float64], curve: npt.NDArray[np.float64], top: int) -> float:
    """Full width at half maximum around the sample `top`, interpolated, nm; limited by the ends of the grid."""
    half = curve[top] / 2
    left, right = top, top
    while left > 0 and curve[left] > half:
        left -= 1
    while right < curve.size - 1 and curve[right] > half:
        right += 1
    # A flank that does not fall to half the maximum ends at the end of the grid.
    low, high = grid[left], grid[right]
    if curve[left] <= half:
        low = np.interp(half, curve[left : left + 2], grid[left : left + 2])
    if curve[right] <= half:
        # np.interp requires ascending values, and the right flank falls
        high = np.interp(-half, -curve[right - 1 : right + 1], grid[right - 1 : right + 1])
    return float(high - low)
