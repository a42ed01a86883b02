"""Camera-like frames and cubes made of smooth random fields, on which exported graphs are checked.

No two inputs are alike, so a graph that mixes up or merges white, dark and raw returns different results here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.preprocessing import HyperCube, PreprocessingConfig, cube_to_mosaic, normalise
from gliomap.sensors import MosaicSensor

__all__ = ["FrameScene", "cube_scene", "frame_scene"]

_Float64 = npt.NDArray[np.float64]
_UInt16 = npt.NDArray[np.uint16]

_KNOT = 8
"""Pixels between independent values of a field."""
_NOISE = 0.01


@dataclass(frozen=True, eq=False)
class FrameScene:
    """Raw, white and dark frames (uint16) with a saturated, a dark and a zero-brightness tile if there is room."""

    raw: _UInt16
    white: _UInt16
    dark: _UInt16


def frame_scene(sensor: MosaicSensor, seed: int = 0) -> FrameScene:
    """A scene under a vignetted lamp: reflectance 0.1…0.9, shot-like noise, a dark of 3 % with a pattern."""
    generator = np.random.default_rng(seed)
    full, frame = sensor.saturation, sensor.frame_shape
    height, width = sensor.cube_shape
    reflectance = 0.1 + 0.8 * _fields(generator, height, width, sensor.n_positions)
    tiles = cube_to_mosaic(reflectance, sensor.pattern)

    dark = 0.03 * full * (1 + 0.3 * generator.random(frame))
    rows, columns = np.linspace(-1, 1, frame[0])[:, None], np.linspace(-1, 1, frame[1])
    lamp = 0.75 - 0.12 * (rows**2 + columns**2)
    light = full * lamp * (1 + 0.05 * generator.standard_normal(frame)).clip(0.7, 1.2)
    position = generator.uniform(0.7, 1.0, sensor.pattern)
    sensor.active(light)[:] *= np.tile(position, sensor.cube_shape)
    white = (dark + light).clip(0, full - 1)
    raw = dark.copy()
    sensor.active(raw)[:] += sensor.active(white - dark) * tiles
    raw += _NOISE * full * generator.standard_normal(frame)

    scene = FrameScene(*(np.rint(one.clip(0, full - 1)).astype(np.uint16) for one in (raw, white, dark)))
    _spoil(scene, sensor)
    return scene


def cube_scene(n_bands: int, config: PreprocessingConfig, seed: int = 0) -> HyperCube:
    """A preprocessed cube from an unknown camera, with one masked pixel."""
    generator, shape = np.random.default_rng(seed), (61, 83)
    reflectance = 0.05 + 0.9 * _fields(generator, *shape, n_bands)
    reflectance += _NOISE * generator.standard_normal(reflectance.shape)
    reasons = np.zeros(shape, np.uint8)
    reasons[shape[0] // 2, shape[1] // 3] = 1
    data = normalise(reflectance.astype(np.float32), config.normalisation, min_brightness=config.min_brightness)
    data[reasons != 0] = 0
    return HyperCube(data, None, config.units, reasons == 0, reasons)


def _spoil(scene: FrameScene, sensor: MosaicSensor) -> None:
    """Add one saturated pixel in the raw frame, one tile with an unlit pixel, and one tile as dark as the dark."""
    (height, width), (rows, columns) = sensor.cube_shape, sensor.pattern
    if height * width < 12:
        return
    area = sensor.active_area
    tiles = [(height // 2, width // 2), (height // 3, width // 4), (2 * height // 3, 3 * width // 4)]
    corners = [(area.top + row * rows, area.left + column * columns) for row, column in tiles]
    (top, left), (dark_top, dark_left), (dim_top, dim_left) = corners
    scene.raw[top + 1, left] = sensor.saturation
    scene.white[dark_top, dark_left] = scene.dark[dark_top, dark_left]
    whole = (slice(dim_top, dim_top + rows), slice(dim_left, dim_left + columns))
    scene.raw[whole] = scene.dark[whole]


def _fields(generator: np.random.Generator, height: int, width: int, channels: int) -> _Float64:
    """Random values (height, width, channels), 0…1, smooth in all three directions."""
    coarse = generator.random((height // _KNOT + 2, width // _KNOT + 2, channels // 4 + 2))
    for axis, size in enumerate((height, width, channels)):
        coarse = _stretched(coarse, axis, size)
    return coarse


def _stretched(values: _Float64, axis: int, size: int) -> _Float64:
    """Linear interpolation to `size` samples along one axis."""
    places = np.linspace(0, values.shape[axis] - 1, size)
    low = np.minimum(places.astype(np.intp), values.shape[axis] - 2)
    share = (places - low).reshape([-1 if one == axis else 1 for one in range(values.ndim)])
    result: _Float64 = values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share
    return result
