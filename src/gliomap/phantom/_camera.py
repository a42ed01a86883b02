"""The camera: light, filters that deviate from their calibration, mosaic, noise, digital numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.errors import SensorError
from gliomap.phantom._difficulty import CameraSpread
from gliomap.phantom._fields import Floats
from gliomap.phantom._optics import WAVELENGTHS_NM
from gliomap.phantom._patient import CameraDraw
from gliomap.sensors import MosaicSensor

__all__ = ["Exposer", "check_phantom_sensor", "filter_weights", "mosaic", "vignetting", "white_weights"]

LAMP_KELVIN = 3200.0
"""Halogen lamp, as a black body."""

WHITE_REFLECTANCE = 0.95
"""Diffuse reference tile."""

BIAS_DN = 12.0
"""Digital number of a pixel without light (assumed)."""

FIXED_PATTERN_DN = 1.2
"""Standard deviation of the bias from pixel to pixel (assumed)."""

RESPONSE_SPREAD = 0.006
"""Standard deviation of sensitivity from pixel to pixel (assumed; the white reference removes it)."""

VIGNETTING = 0.38
"""Light lost in the corners (assumed)."""

LEAST_TILES = 24

Weights = npt.NDArray[np.float64]


def check_phantom_sensor(sensor: MosaicSensor) -> None:
    """Reject a sensor whose filters are unknown, or whose frame is too small for a scene.

    Raises
    ------
    SensorError
        The sensor has no responses, a filter has none between 600 and 1000 nm, or there are fewer than 24×24 tiles.
    """
    if min(sensor.cube_shape) < LEAST_TILES:
        raise SensorError(
            f"sensor {sensor.name!r}",
            "has {}×{} tiles".format(*sensor.cube_shape),
            f"The phantom needs at least {LEAST_TILES}×{LEAST_TILES} tiles.",
        )
    if sensor.responses is None:
        raise SensorError(
            f"sensor {sensor.name!r}",
            "has no measured responses, which the phantom's camera needs",
            "Choose 'generic-nir-5x5' or a vendor's calibration file.",
        )
    grid = sensor.responses.wavelengths_nm
    inside = (grid >= WAVELENGTHS_NM[0]) & (grid <= WAVELENGTHS_NM[-1])
    weakest = float(sensor.responses.effective()[:, inside].sum(axis=1).min()) if inside.any() else 0.0
    if weakest <= 0:
        raise SensorError(
            f"sensor {sensor.name!r}",
            "has a filter without response between 600 and 1000 nm",
            "The phantom's tissue is defined only in that range; choose a near-infrared sensor.",
        )


def filter_weights(sensor: MosaicSensor, draw: CameraDraw) -> Weights:
    """(positions, 81) weights that turn a reflectance spectrum into the signals of this patient's camera, lamp included.

    A spectrum on `WAVELENGTHS_NM` is linear between its samples, so that filters narrower than two
    samples are weighted correctly.
    """
    if sensor.responses is None:
        raise SensorError(f"sensor {sensor.name!r}", "has no responses", "Choose 'generic-nir-5x5'.")
    grid = np.arange(float(WAVELENGTHS_NM[0]), float(WAVELENGTHS_NM[-1]) + 0.5)
    known, values = sensor.responses.wavelengths_nm, sensor.responses.values
    shifted = np.stack([np.interp(grid - draw.peak_shift_nm, known, row, left=0, right=0) for row in values])
    passband = np.ones_like(grid)
    if sensor.responses.rejection_filter is not None:
        passband = np.interp(grid, known, sensor.responses.rejection_filter, left=0, right=0)
    areas = (shifted * passband).sum(axis=1, keepdims=True)
    peaks = grid[np.argmax(shifted * passband, axis=1)]
    # Flat pedestal: a share of each filter's own area, spread over the pass-band.
    flat = passband / passband.sum()
    seen = shifted * passband + draw.pedestal / (1 - draw.pedestal) * areas * flat
    # Long-wavelength filters transmit part of the short end; the longer the filter, the larger the part.
    place = np.clip((peaks - np.median(peaks)) / max(peaks.max() - np.median(peaks), 1.0), 0, 1)
    short = shifted[np.argsort(peaks)[: max(len(peaks) // 5, 1)]].mean(axis=0) * passband
    seen += draw.leak * place[:, None] ** 2 * short / short.sum() * areas
    hats = np.clip(1 - np.abs(grid[:, None] - WAVELENGTHS_NM[None, :]) / 5.0, 0, 1)
    return np.asarray((seen * _lamp(grid)) @ hats)


def white_weights(weights: Weights) -> Weights:
    """(positions,) signal of the white reference."""
    return np.asarray(weights.sum(axis=1) * WHITE_REFLECTANCE)


def light_change(draw: CameraDraw) -> npt.NDArray[np.float64]:
    """(81,) ratio of light at the exposure to light at the white reference."""
    z = (WAVELENGTHS_NM.astype(np.float64) - 812.0) / 160.0
    return np.asarray(np.exp(draw.light_tilt * z + draw.light_bend * (z**2 - 0.33)))


def _lamp(wavelengths_nm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Photon spectrum of a black body, maximum 1 (Planck; photons, not energy, hence the fourth power)."""
    metres = wavelengths_nm * 1e-9
    photons = metres**-4 / np.expm1(1.438777e-2 / (metres * LAMP_KELVIN))
    return np.asarray(photons / photons.max())


def mosaic(bands: Floats, pattern: tuple[int, int]) -> Floats:
    """Put each position's image in its place in the mosaic: (H, W, positions) → (H·rows, W·columns).

    A tile's value applies at its centre. A mosaic pixel takes the value at its own location: linear
    between the nearest tiles, constant beyond the outermost centres.
    """
    height, width, _ = bands.shape
    result = np.empty((height * pattern[0], width * pattern[1]), np.float32)
    for i in range(pattern[0]):
        for j in range(pattern[1]):
            image = np.ascontiguousarray(bands[:, :, i * pattern[1] + j])
            image = _shifted(image, (i - (pattern[0] - 1) / 2) / pattern[0], 0)
            image = _shifted(image, (j - (pattern[1] - 1) / 2) / pattern[1], 1)
            result[i :: pattern[0], j :: pattern[1]] = image
    return result


def _shifted(image: Floats, offset: float, axis: int) -> Floats:
    if offset == 0:
        return image
    size = image.shape[axis]
    neighbours = np.clip(np.arange(size) + (1 if offset > 0 else -1), 0, size - 1)
    share = np.float32(abs(offset))
    return np.asarray((1 - share) * image + share * np.take(image, neighbours, axis=axis), np.float32)


def vignetting(shape: tuple[int, int], centre: tuple[float, float]) -> Floats:
    """(rows, columns) share of light that reaches the sensor, 1 at `centre` (−0.5…0.5 of each side)."""
    rows = (np.arange(shape[0], dtype=np.float32) + 0.5) / shape[0] - 0.5 - centre[0]
    columns = (np.arange(shape[1], dtype=np.float32) + 0.5) / shape[1] - 0.5 - centre[1]
    return np.asarray(1 - VIGNETTING * 2 * (rows[:, None] ** 2 + columns[None, :] ** 2), np.float32)


@dataclass(frozen=True, eq=False)
class Exposer:
    """One sensor on one day: its fixed pattern and its conversion of electrons to digital numbers.

    Attributes
    ----------
    bias
        (rows, columns) of the frame, digital numbers without light.
    sensitivity
        (rows, columns) of the active area, about 1.
    """

    sensor: MosaicSensor
    spread: CameraSpread
    bias: Floats
    sensitivity: Floats

    @classmethod
    def make(cls, sensor: MosaicSensor, spread: CameraSpread, rng: np.random.Generator) -> Exposer:
        """Draw the fixed pattern."""
        area = sensor.active_area
        scale = sensor.saturation / 1023
        bias = np.float32(BIAS_DN * scale) + np.float32(FIXED_PATTERN_DN * scale) * _normal(rng, sensor.frame_shape)
        # Column offsets, as in real readout chains.
        bias += np.float32(0.4 * scale) * _normal(rng, (1, sensor.frame_shape[1]))
        sensitivity = 1 + np.float32(RESPONSE_SPREAD) * _normal(rng, (area.height, area.width))
        return cls(sensor, spread, bias, sensitivity)

    def expose(self, electrons: Floats | None, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
        """One frame (uint16) from the mean electrons of the active area; None for a dark frame.

        Shot noise is a normal deviate of variance N: at 100 electrons or more it is indistinguishable
        from Poisson noise, and it takes a tenth of the time.
        """
        sensor, area = self.sensor, self.sensor.active_area
        frame = np.zeros(sensor.frame_shape, np.float32)
        if electrons is not None:
            # Outside the active area there are no filters; those pixels repeat their neighbours.
            margin = (
                (area.top, sensor.frame_shape[0] - area.top - area.height),
                (area.left, sensor.frame_shape[1] - area.left - area.width),
            )
            frame = np.pad(np.minimum(electrons * self.sensitivity, 4 * self.spread.full_well), margin, mode="edge")
        noise = _normal(rng, sensor.frame_shape)
        noise *= np.sqrt(frame + np.float32(self.spread.read_noise**2))
        frame += noise
        # The full well corresponds to the highest digital number, including the bias.
        gain = (sensor.saturation - BIAS_DN * sensor.saturation / 1023) / self.spread.full_well
        frame *= np.float32(gain)
        frame += self.bias
        np.rint(frame, out=frame)
        np.clip(frame, 0, sensor.saturation, out=frame)
        return frame.astype(np.uint16)


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32)
