"""Spectral correction: a matrix from measured responses onto ideal virtual bands."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.errors import SensorError
from gliomap.sensors._sensor import Responses

__all__ = ["ResponseModel", "correction_matrix_from_responses", "modelled_responses"]

_SIGMA_PER_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))
_CHECK_RESPONSES = "Check the responses and wavelengths of the sensor's description."


@dataclass(frozen=True)
class ResponseModel:
    """The responses of a whole sensor from a few parameters, for a camera without measurements.

    Each filter is a Gaussian at its peak. As in a real Fabry–Pérot mosaic, it has a second lobe, the cavity's
    next order, at `lobe_ratio` × peak. The lobe is highest for the longest peak and falls linearly to zero for the
    shortest. A share of the light of the four neighbouring filters in the repeating pattern leaks in. Quantum
    efficiency falls linearly from 1 at the shortest peak to `efficiency_at_end` at the longest. A long-pass and a
    short-pass filter bound the range; logistic functions approximate their error-function edges.

    Attributes
    ----------
    peaks_nm, fwhm_nm
        (positions,) each, in mosaic order.
    neighbour_leak
        Share of the mean of the four neighbours that is mixed in, 0…1.
    lobe_height, lobe_ratio, lobe_fwhm_nm
        Second lobe of the longest filter: its height relative to the peak, its wavelength relative to the peak, its width.
    efficiency_at_end
        Ratio of quantum efficiency at the longest peak to that at the shortest.
    passband_nm, edge_nm
        Half-height edges of the mounted filter, and the 10–90 % width of an edge.
    grid_nm
        (first, last, step) of the sampling grid.
    """

    peaks_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...]
    neighbour_leak: float
    lobe_height: float
    lobe_ratio: float
    lobe_fwhm_nm: float
    efficiency_at_end: float
    passband_nm: tuple[float, float]
    edge_nm: float
    grid_nm: tuple[float, float, float]


def modelled_responses(model: ResponseModel, pattern: tuple[int, int]) -> Responses:
    """Sample a response model on its grid.

    Parameters
    ----------
    model
        The parameters.
    pattern
        (rows, columns) of the mosaic, which determines the neighbours.

    Returns
    -------
    Responses
        Values relative to the highest efficiency, 0…1; the pass-band is given as the rejection filter.
    """
    first, last, step = model.grid_nm
    grid = first + step * np.arange(round((last - first) / step) + 1, dtype=np.float64)
    peaks, fwhm = np.array(model.peaks_nm), np.array(model.fwhm_nm)
    place = (peaks - peaks.min()) / max(float(np.ptp(peaks)), step)  # 0 at the shortest peak, 1 at the longest
    pure = _gaussians(grid, peaks, fwhm)
    lobes = _gaussians(grid, peaks * model.lobe_ratio, np.full_like(peaks, model.lobe_fwhm_nm))
    pure += (model.lobe_height * place)[:, None] * lobes
    pure *= (1 - (1 - model.efficiency_at_end) * place)[:, None]
    tile = pure.reshape(*pattern, grid.size)
    neighbours = sum(np.roll(tile, shift, axis) for axis in (0, 1) for shift in (-1, 1)) / 4
    leaking = (1 - model.neighbour_leak) * tile + model.neighbour_leak * neighbours
    slope = 2 * np.log(9) / model.edge_nm  # a logistic edge climbs from 10 to 90 % over 2·ln 9 / slope
    low, high = model.passband_nm
    passband = _logistic(slope * (grid - low)) * _logistic(slope * (high - grid))
    return Responses(grid, leaking.reshape(-1, grid.size), passband)


def correction_matrix_from_responses(
    responses: Responses,
    wavelengths_nm: npt.NDArray[np.float64],
    fwhm_nm: float = 15.0,
    ridge: float = 0.02,
    *,
    for_reflectance: bool = False,
) -> npt.NDArray[np.float64]:
    """Matrix that converts signals of the real filters to signals of Gaussian virtual filters.

    Regularised least squares: M minimises ‖M·A − V‖² + λ‖M‖², so M = V Aᵀ (A Aᵀ + λ I)⁻¹, where A holds the
    responses with the rejection filter, V the virtual bands, and λ is `ridge` × the mean of the diagonal of A Aᵀ.

    Parameters
    ----------
    responses
        Responses of the mosaic positions.
    wavelengths_nm
        (bands,) centres of the virtual bands, nm; best placed at the real peaks.
    fwhm_nm
        Full width at half maximum of a virtual band, nm.
    ridge
        Share of the mean diagonal to add; a larger value gives less noise and less correction.
    for_reflectance
        False: virtual bands have unit area and M applies to signals. True: responses have unit area too, and each row
        of M is divided by its sum, so that M can be applied to reflectance, after the division by the white.

    Returns
    -------
    ndarray
        (bands, positions) float64.

    Raises
    ------
    SensorError
        A position without any response, a row whose sum is too small, or a width or ridge that is not positive.
    """
    if not fwhm_nm > 0 or not ridge > 0:
        raise SensorError(
            "spectral correction", f"FWHM {fwhm_nm} nm and ridge {ridge} must be positive", _CHECK_RESPONSES
        )
    grid = responses.wavelengths_nm
    weights = np.gradient(grid)  # nm per sample, so that uneven grids integrate correctly
    bands = np.asarray(wavelengths_nm, np.float64)
    real, virtual = responses.effective(), _gaussians(grid, bands, np.full(bands.shape, fwhm_nm))
    areas, virtual_areas = real @ weights, virtual @ weights
    if not (areas > 0).all() or not (virtual_areas > 0).all():
        raise SensorError("responses", "a position or virtual band has no response on the grid", _CHECK_RESPONSES)
    virtual /= virtual_areas[:, None]
    if for_reflectance:
        real = real / areas[:, None]
    gram = (real * weights) @ real.T
    gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram)
    matrix = np.linalg.solve(gram, (real * weights) @ virtual.T).T
    if for_reflectance:
        sums = matrix.sum(axis=1, keepdims=True)
        if not (sums > 0.1).all():
            raise SensorError("spectral correction", f"a row sums to {sums.min():.2g}", _CHECK_RESPONSES)
        matrix = matrix / sums
    return np.ascontiguousarray(matrix, np.float64)


def _gaussians(
    grid: npt.NDArray[np.float64], centres: npt.NDArray[np.float64], fwhm: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(centres, grid) Gaussians of height 1."""
    distance = (grid - centres[:, None]) / (fwhm[:, None] * _SIGMA_PER_FWHM)
    curves: npt.NDArray[np.float64] = np.exp(-0.5 * distance**2)
    return curves


def _logistic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    curve: npt.NDArray[np.float64] = 0.5 * (1 + np.tanh(x / 2))
    return curve
