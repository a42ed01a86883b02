"""The steps of the chain as small pure functions on arrays."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gliomap.errors import CubeError
from gliomap.preprocessing._config import Normalisation, require_normalisation

__all__ = [
    "brightness",
    "calibrate",
    "correct_spectra",
    "cube_to_mosaic",
    "is_normalised",
    "mosaic_to_cube",
    "normalise",
    "normalised",
]

_Float32 = npt.NDArray[np.float32]
_Scalar = TypeVar("_Scalar", bound=np.generic)

_TINY = 1e-30
"""Smallest divisor: its reciprocal is still finite in float32."""

_CHANGED, _STRAY = 0.01, 0.01
"""Renormalising may change a spectrum by this share of its brightness, and may change this share of spectra by more."""


def calibrate(
    raw: npt.NDArray[np.generic], white: npt.NDArray[np.generic], dark: npt.NDArray[np.generic], min_light: float = 1.0
) -> _Float32:
    """Reflectance (raw − dark) / (white − dark).

    Parameters
    ----------
    raw, white, dark
        Arrays of equal or broadcastable shapes: a mosaic, a cube, or a line of a push-broom camera.
    min_light
        Smallest white − dark, in digital numbers, to divide by.

    Returns
    -------
    ndarray
        float32; 0 where there is not enough light. Finite for finite input.
    """
    black = dark.astype(np.float32)
    light = white.astype(np.float32) - black
    usable = light >= max(min_light, _TINY)
    signal = raw.astype(np.float32) - black
    reflectance: _Float32 = np.divide(
        signal, light, out=np.zeros(np.broadcast_shapes(signal.shape, light.shape), np.float32), where=usable
    )
    return reflectance


def mosaic_to_cube(mosaic: npt.NDArray[_Scalar], pattern: tuple[int, int]) -> npt.NDArray[_Scalar]:
    """One pixel per tile: (H·rows, W·columns) → (H, W, rows·columns), channels in mosaic order.

    Channel p holds the pixels of row p // columns and column p mod columns of each tile.

    Raises
    ------
    CubeError
        The mosaic does not consist of whole tiles.
    """
    rows, columns = pattern
    if mosaic.ndim != 2 or mosaic.shape[0] % rows or mosaic.shape[1] % columns:
        raise CubeError(
            "mosaic",
            f"of shape {mosaic.shape} is not whole tiles of {rows}×{columns}",
            "Cut out the active area first.",
        )
    height, width = mosaic.shape[0] // rows, mosaic.shape[1] // columns
    tiles = mosaic.reshape(height, rows, width, columns).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles).reshape(height, width, rows * columns)


def cube_to_mosaic(cube: npt.NDArray[_Scalar], pattern: tuple[int, int]) -> npt.NDArray[_Scalar]:
    """Inverse of `mosaic_to_cube`.

    Raises
    ------
    CubeError
        The cube does not have one channel per mosaic position.
    """
    rows, columns = pattern
    if cube.ndim != 3 or cube.shape[2] != rows * columns:
        raise CubeError(
            "cube",
            f"of shape {cube.shape} does not have {rows * columns} channels",
            "Pass a cube with one channel per position.",
        )
    height, width = cube.shape[:2]
    tiles = cube.reshape(height, width, rows, columns).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles).reshape(height * rows, width * columns)


def correct_spectra(data: _Float32, matrix: npt.NDArray[np.floating]) -> _Float32:
    """Spectral correction: data · matrixᵀ.

    Parameters
    ----------
    data
        (…, positions) float32.
    matrix
        (bands, positions).

    Returns
    -------
    ndarray
        (…, bands) float32.

    Raises
    ------
    CubeError
        The numbers of channels and matrix columns differ.
    """
    if data.shape[-1] != matrix.shape[1]:
        raise CubeError("cube", f"has {data.shape[-1]} channels for a matrix of {matrix.shape}", "Check the sensor.")
    # A single 2-D product: matmul on (H, W, P) would compute H small ones.
    corrected: _Float32 = data.reshape(-1, data.shape[-1]) @ matrix.T.astype(np.float32)
    return corrected.reshape(*data.shape[:-1], matrix.shape[0])


def brightness(data: _Float32) -> _Float32:
    """Root mean square over the last axis: sqrt(mean of x²)."""
    squares: _Float32 = np.einsum("...b,...b->...", data, data)
    level: _Float32 = np.sqrt(squares / np.float32(data.shape[-1]))
    return level


def normalise(data: _Float32, kind: Normalisation = "brightness", *, min_brightness: float = 1e-6) -> _Float32:
    """Normalise each spectrum.

    Parameters
    ----------
    data
        (…, bands) float32, finite.
    kind
        'brightness': x / sqrt(mean x²), called 'HELICoiD' in the thesis. 'snv': (x − mean) / standard
        deviation (of the population). 'minmax': (x − min) / (max − min). 'area': x / Σ|x|. 'none': x.
    min_brightness
        Spectra whose RMS or divisor is at most this value become 0.

    Returns
    -------
    ndarray
        float32 of the same shape; finite.

    Raises
    ------
    UsageError
        The kind is unknown.
    """
    require_normalisation(kind)
    return normalised(data, kind, min_brightness)[0]


def is_normalised(spectra: _Float32, kind: Normalisation) -> bool:
    """Whether spectra are already normalised, so that `normalise` leaves them unchanged.

    Parameters
    ----------
    spectra
        (N, bands) float32, finite.
    kind
        As in `normalise`. For 'none' the result is always True.
    """
    if kind == "none" or not len(spectra):
        return True
    change = np.abs(normalise(spectra, kind) - spectra).max(axis=-1)
    unchanged = bool(np.mean(change > _CHANGED * brightness(spectra)) <= _STRAY)
    # 'snv' spectra also have an RMS of 1, but their mean is 0, unlike that of tissue.
    return unchanged and not (kind == "brightness" and is_normalised(spectra, "snv"))


def normalised(data: _Float32, kind: Normalisation, min_brightness: float) -> tuple[_Float32, npt.NDArray[np.bool_]]:
    """Result of `normalise`, and a mask (…) of the spectra with a usable divisor."""
    level = brightness(data)
    divisor, shifted = level, data
    if kind == "snv":
        shifted = data - data.mean(axis=-1, keepdims=True)
        divisor = brightness(shifted)
    elif kind == "minmax":
        low = data.min(axis=-1, keepdims=True)
        divisor, shifted = data.max(axis=-1) - low[..., 0], data - low
    elif kind == "area":
        divisor = np.abs(data).sum(axis=-1)
    # Keeps 1 / divisor finite if min_brightness is 0.
    floor = np.float32(max(min_brightness, _TINY))
    usable: npt.NDArray[np.bool_] = (level > floor) & (divisor > floor)
    if kind == "none":
        factor = usable.astype(np.float32)
    else:
        factor = np.divide(np.float32(1), divisor, out=np.zeros_like(divisor), where=usable)
    result: _Float32 = shifted * factor[..., None]
    return result, usable
