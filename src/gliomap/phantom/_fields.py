"""Smooth random fields on a grid of tiles, and the grid's size in millimetres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Canvas", "Floats", "blur", "ridged_noise", "smooth_noise", "smoothstep"]

Floats: TypeAlias = npt.NDArray[np.float32]

FIELD_AREA_MM2 = 2600.0
"""Area of the field of view: about 70 mm × 37 mm at 217 × 409 tiles (assumed from the size of a craniotomy)."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A grid of tiles over the field of view. Every grid covers the same field, at its own resolution."""

    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in tiles."""
        return self.height, self.width

    @property
    def pitch_mm(self) -> float:
        """Edge of a tile on the tissue, mm."""
        return float(np.sqrt(FIELD_AREA_MM2 / (self.height * self.width)))

    @property
    def size_mm(self) -> tuple[float, float]:
        """(height, width) in mm."""
        return self.height * self.pitch_mm, self.width * self.pitch_mm

    def positions_mm(self) -> tuple[Floats, Floats]:
        """Row and column coordinate of each tile relative to the centre, mm; (H, 1) and (1, W)."""
        rows = (np.arange(self.height, dtype=np.float32) - (self.height - 1) / 2) * self.pitch_mm
        columns = (np.arange(self.width, dtype=np.float32) - (self.width - 1) / 2) * self.pitch_mm
        return rows.astype(np.float32)[:, None], columns.astype(np.float32)[None, :]


def smooth_noise(rng: np.random.Generator, canvas: Canvas, scale_mm: float) -> Floats:
    """(H, W) Gaussian field of mean 0 and variance 1 whose bumps are about `scale_mm` wide."""

    def low_pass(frequency: Floats) -> Floats:
        return np.asarray(np.exp(-0.5 * (frequency * scale_mm * 2.2) ** 2), np.float32)

    return _filtered(rng, canvas, low_pass, scale_mm)


def ridged_noise(rng: np.random.Generator, canvas: Canvas, wavelength_mm: float, bandwidth: float = 0.22) -> Floats:
    """(H, W) field of variance 1 with nearly a single wavelength: its zero lines meander like sulci.

    Parameters
    ----------
    bandwidth
        Relative width of the band; small values give even stripes, large ones blobs.
    """

    def ring(frequency: Floats) -> Floats:
        return np.asarray(np.exp(-0.5 * ((frequency * wavelength_mm - 1) / bandwidth) ** 2), np.float32)

    return _filtered(rng, canvas, ring, wavelength_mm)


def _filtered(rng: np.random.Generator, canvas: Canvas, gain: Callable[[Floats], Floats], margin_mm: float) -> Floats:
    from scipy import fft

    # A margin keeps the periodic field from continuing across opposite edges.
    margin = min(int(np.ceil(1.5 * margin_mm / canvas.pitch_mm)) + 1, 4 * max(canvas.shape))
    padded = [fft.next_fast_len(size + margin, real=True) for size in canvas.shape]
    white = rng.standard_normal(padded, dtype=np.float32)
    rows = np.fft.fftfreq(padded[0], canvas.pitch_mm).astype(np.float32)[:, None]
    columns = np.fft.rfftfreq(padded[1], canvas.pitch_mm).astype(np.float32)[None, :]
    weights = gain(np.hypot(rows, columns))
    weights[0, 0] = 0
    field = np.asarray(fft.irfft2(fft.rfft2(white) * weights, s=padded), np.float32)
    field /= max(float(field.std()), 1e-12)
    return np.ascontiguousarray(field[: canvas.height, : canvas.width])


def blur(field: Floats, canvas: Canvas, sigma_mm: float) -> Floats:
    """Gaussian blur with reflected edges."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(field, sigma_mm / canvas.pitch_mm, mode="reflect"), np.float32)


def smoothstep(value: Floats, low: float, high: float) -> Floats:
    """0 under `low`, 1 over `high`, smooth between."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
