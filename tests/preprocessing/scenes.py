"""Small sensors of both orders of correction, and frames of them without anything to mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from gliomap.preprocessing import PreprocessingConfig
from gliomap.sensors import ActiveArea, MosaicSensor, SpectralCorrection, get_sensor, resized

AFTER = resized(get_sensor("nemesis"), 3, 4)
"""Correction after the division, as in the thesis."""
_MATRIX = get_sensor("nemesis").band_matrix() * np.linspace(0.002, 0.067, 25)[:, None]
BEFORE = replace(
    AFTER,
    name="before",
    frame_shape=(20, 22),
    active_area=ActiveArea(3, 1, 15, 20),
    correction=SpectralCorrection(_MATRIX, after_division=False),
)
"""Rows that do not sum to 1, and an active area that does not begin at the corner."""
SENSORS = pytest.mark.parametrize("sensor", [AFTER, BEFORE], ids=["after", "before"])
PLAIN = PreprocessingConfig(normalisation="none")

UInt16 = npt.NDArray[np.uint16]


def scene(sensor: MosaicSensor, seed: int = 0) -> tuple[UInt16, UInt16, UInt16]:
    """raw, white, dark without anything to mask."""
    rng = np.random.default_rng(seed)
    shape = sensor.frame_shape
    return (
        rng.integers(100, 500, shape).astype(np.uint16),
        rng.integers(600, 900, shape).astype(np.uint16),
        rng.integers(10, 40, shape).astype(np.uint16),
    )


def pixel(sensor: MosaicSensor, row: int, column: int, position: int = 0) -> tuple[int, int]:
    """Frame coordinates of one mosaic position of a tile."""
    area, (rows, columns) = sensor.active_area, sensor.pattern
    return area.top + rows * row + position // columns, area.left + columns * column + position % columns
