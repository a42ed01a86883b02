"""The thesis's procedure from a raw frame to a map, reproduced as it was for comparison.

Spectral correction is a matrix product per pixel in a Python loop. Then, while pixels remain: find
all remaining ones with nonzero over the mask, draw 16 of them at random, cut their padded 7×7 patches one by
one in float64, mark them done. Then predict batch by batch. The original draws with `np.random.choice` without
replacement, which shuffles all remaining pixels; so does this module, with a seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gliomap.preprocessing import mosaic_to_cube
from gliomap.sensors import MosaicSensor

__all__ = ["thesis_map"]

Frame = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]
Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]

BATCH, WINDOW = 16, 7


def thesis_map(raw: Frame, white: Frame, dark: Frame, sensor: MosaicSensor, predict: Predict) -> npt.NDArray[np.uint8]:
    """(H, W) classes 1…C; `predict` returns probabilities (N, C) for patches (N, B, 7, 7)."""
    cube = _preprocessed(raw, white, dark, sensor)
    batches, places = _batches(cube)
    labels = np.zeros(cube.shape[:2], np.uint8)
    for batch, (rows, columns) in zip(batches, places, strict=True):
        patches = batch.transpose(0, 3, 1, 2).astype(np.float32)
        labels[rows, columns] = predict(np.ascontiguousarray(patches)).argmax(axis=1) + 1
    return labels


def _preprocessed(raw: Frame, white: Frame, dark: Frame, sensor: MosaicSensor) -> Floats:
    area, matrix = sensor.active_area, sensor.band_matrix()
    inside = (slice(area.top, area.top + area.height), slice(area.left, area.left + area.width))
    raw_, white_, dark_ = (frame.astype(np.float64) for frame in (raw, white, dark))
    light = white_ - dark_
    # The original divided by 0 here.
    calibrated = (raw_ - dark_) / np.where(light == 0, 1, light)
    tiles = mosaic_to_cube(calibrated[inside], sensor.pattern)
    cube = np.zeros((*tiles.shape[:2], matrix.shape[0]))
    for row in range(cube.shape[0]):
        for column in range(cube.shape[1]):
            cube[row, column] = matrix @ tiles[row, column]
    level = np.sqrt((cube**2).mean(axis=2, keepdims=True))
    result: Floats = cube / np.where(level == 0, 1, level)
    return result


def _batches(cube: Floats) -> tuple[list[Floats], list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]]:
    generator = np.random.RandomState(0)
    margin = WINDOW // 2
    padded = np.pad(cube, ((margin, margin), (margin, margin), (0, 0)))
    remaining = np.ones(cube.shape[:2], np.bool_)
    batches, places = [], []
    while remaining.any():
        rows, columns = np.nonzero(remaining)
        drawn = generator.choice(rows.size, min(BATCH, rows.size), replace=False)
        batch = np.zeros((drawn.size, WINDOW, WINDOW, cube.shape[2]))
        for number, index in enumerate(drawn):
            row, column = rows[index], columns[index]
            batch[number] = padded[row : row + WINDOW, column : column + WINDOW]
            remaining[row, column] = False
        batches.append(batch)
        places.append((rows[drawn], columns[drawn]))
    return batches, places
