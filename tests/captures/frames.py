"""A small camera and the frames that it takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.sensors import get_sensor, resized

SENSOR = resized(get_sensor("nemesis"), 8, 10)
SHAPE = SENSOR.frame_shape
Frames = dict[str, npt.NDArray[np.uint16]]
