"""Well-lit frames of any camera without tissue, for trying out a model, for examples and for benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.sensors import MosaicSensor

__all__ = ["BenchFrames", "synthetic_frames"]


@dataclass(frozen=True, eq=False)
class BenchFrames:
    """A frame and its references, uint16 arrays of the sensor's frame shape."""

    raw: npt.NDArray[np.uint16]
    white: npt.NDArray[np.uint16]
    dark: npt.NDArray[np.uint16]


def synthetic_frames(sensor: MosaicSensor) -> BenchFrames:
    """Return noise between a fifth and four fifths of a bright white; the same each time."""
    rng, full, shape = np.random.default_rng(0), sensor.saturation, sensor.frame_shape
    dark = rng.integers(full // 80, full // 30, shape, np.uint16)
    white = rng.integers(full * 6 // 10, full * 9 // 10, shape, np.uint16)
    share = rng.integers(50, 200, shape, np.uint32)
    raw = (dark + (white - dark) * share // 256).astype(np.uint16)
    return BenchFrames(raw, white, dark)
