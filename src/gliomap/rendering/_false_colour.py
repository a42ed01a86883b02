"""False-colour pictures of cubes, for orientation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.preprocessing import HyperCube

__all__ = ["bands_for_rgb", "synthetic_rgb"]

RGB_WAVELENGTHS_NM = (670.0, 770.0, 890.0)
"""Red, green, blue. Red is the visible red that the sensor still sees, so that veins, which absorb it,
turn blue and arteries stay warm. Green lies on the deoxyhaemoglobin band near 760 nm, and blue beyond the
isosbestic point near 800 nm."""
RGB_FRACTIONS = (0.05, 0.40, 0.80)
"""Positions of the three along the bands if wavelengths are unknown or do not cover the three above."""


def bands_for_rgb(n_bands: int, wavelengths_nm: npt.NDArray[np.float64] | None) -> tuple[int, int, int]:
    """Indices of the bands shown as red, green and blue.

    They are chosen by wavelength if three different bands lie within 25 nm of the three wavelengths, otherwise
    by their position along the bands.
    """
    if wavelengths_nm is not None:
        distance = np.abs(wavelengths_nm[:, None] - np.array(RGB_WAVELENGTHS_NM))
        nearest = distance.argmin(axis=0)
        if len(set(nearest.tolist())) == 3 and float(distance.min(axis=0).max()) <= 25:
            return int(nearest[0]), int(nearest[1]), int(nearest[2])
    red, green, blue = (round(fraction * (n_bands - 1)) for fraction in RGB_FRACTIONS)
    return red, green, blue


def synthetic_rgb(cube: HyperCube) -> npt.NDArray[np.uint8]:
    """False-colour picture of a cube, (H, W, 3) uint8.

    Each of three bands is stretched separately between the 1st and 99th percentiles of its valid pixels, so that a
    glint does not darken the rest. The colours are not those the eye would see, and they depend on the scene. A cube
    of reflectance (normalisation 'none') shows more than one of normalised brightness.

    Parameters
    ----------
    cube
        Any units; masked pixels are black.
    """
    picture = np.zeros((*cube.mask.shape, 3), np.uint8)
    if cube.n_bands == 0 or not cube.mask.any():
        return picture
    for channel, band in enumerate(bands_for_rgb(cube.n_bands, cube.wavelengths_nm)):
        values = cube.data[:, :, band][cube.mask].astype(np.float64)
        low, high = np.percentile(values, (1, 99))
        # A uniform band is neither dark nor bright.
        stretched = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
        picture[cube.mask, channel] = np.round(np.clip(stretched, 0, 1) * 255).astype(np.uint8)
    return picture
