"""The HELICoiD chain for push-broom cubes: smoothing, band selection, decimation, min-max.

The chain follows Fabelo et al. 2018 (doi:10.1371/journal.pone.0193721) for 826 bands over 400–1000 nm: the noisy ends
are dropped (56 and 126 bands, leaving 440–902 nm) and the rest is decimated to 128 bands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap.errors import CubeError
from gliomap.preprocessing._cube import HyperCube, Reason
from gliomap.preprocessing._steps import normalised

__all__ = ["decimate", "drop_bands", "helicoid_chain", "moving_average"]

_Float32 = npt.NDArray[np.float32]


def moving_average(data: _Float32, window: int = 5) -> _Float32:
    """Mean over `window` neighbouring bands (last axis); at the ends, over the bands that exist.

    Raises
    ------
    CubeError
        The window is even or less than 1.
    """
    if window < 1 or window % 2 == 0:
        raise CubeError("moving average", f"cannot be centred with a window of {window}", "Choose an odd window.")
    bands, half = data.shape[-1], window // 2
    padded = np.pad(data, [(0, 0)] * (data.ndim - 1) + [(half, half)])
    result = np.zeros_like(data, dtype=np.float32)
    for shift in range(window):
        result += padded[..., shift : shift + bands]
    before = np.minimum(np.arange(bands), half)
    result /= (before + 1 + before[::-1]).astype(np.float32)
    return result


def drop_bands(data: npt.NDArray[Any], first: int = 56, last: int = 126) -> npt.NDArray[Any]:
    """Drop bands at both ends of the last axis (a view); also works on wavelengths.

    Parameters
    ----------
    data
        (…, B).
    first, last
        Number of bands to drop at the start and at the end.

    Raises
    ------
    CubeError
        No band would remain.
    """
    if first < 0 or last < 0 or first + last >= data.shape[-1]:
        raise CubeError(
            "cube", f"has {data.shape[-1]} bands; dropping {first} and {last} leaves none", "Check the number of bands."
        )
    return data[..., first : data.shape[-1] - last]


def decimate(data: npt.NDArray[Any], bands: int = 128) -> npt.NDArray[Any]:
    """Keep `bands` evenly spaced bands of the last axis, including both ends; also works on wavelengths.

    Raises
    ------
    CubeError
        There are fewer than `bands` bands.
    """
    have = data.shape[-1]
    if not 1 <= bands <= have:
        raise CubeError("cube", f"has {have} bands and cannot be decimated to {bands}", "Check the number of bands.")
    kept = np.round(np.linspace(0, have - 1, bands)).astype(np.intp)
    return np.ascontiguousarray(data[..., kept])


def helicoid_chain(reflectance: _Float32, wavelengths_nm: npt.NDArray[np.float64]) -> HyperCube:
    """Moving average over 5, drop the first 56 and last 126 bands, decimate to 128, min-max per pixel.

    Parameters
    ----------
    reflectance
        (H, W, 826) float32, calibrated (see `calibrate`).
    wavelengths_nm
        (826,) nm.

    Returns
    -------
    HyperCube
        (H, W, 128). Pixels that are flat or not finite are masked.

    Raises
    ------
    CubeError
        There are too few bands, or the number of wavelengths differs from the number of bands.
    """
    if wavelengths_nm.shape != reflectance.shape[-1:] or reflectance.ndim != 3:
        raise CubeError(
            "cube", f"of shape {reflectance.shape} comes with {wavelengths_nm.size} wavelengths", "Pass one per band."
        )
    finite = np.asarray(np.isfinite(reflectance).all(axis=2), np.bool_)
    clean = np.where(finite[..., None], reflectance, np.float32(0)).astype(np.float32, copy=False)
    kept = decimate(drop_bands(moving_average(clean)))
    data, usable = normalised(kept, "minmax", 1e-6)
    reasons = np.where(usable, 0, Reason.ZERO_BRIGHTNESS).astype(np.uint8)
    reasons[~finite] = Reason.DEFECTIVE
    mask = reasons == 0
    return HyperCube(data, decimate(drop_bands(wavelengths_nm)), "reflectance scaled to 0…1", mask, reasons)
