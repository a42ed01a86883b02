"""Where a raw frame has hardly any light: the part of its check that is fast enough for a stream."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.captures._exposures import Exposures, dark_of_raw, dark_of_white
from gliomap.captures._finding import Finding
from gliomap.sensors import MosaicSensor

__all__ = ["inspect_shadows", "shadow_floor"]

_UInt16 = npt.NDArray[np.uint16]

SHADOW, SHADOW_WARN = 0.02, 0.01
"""Below this share of the white's light, a spectrum is mostly noise (docs/explanation/preprocessing.md, 'Shadows')."""


def shadow_floor(
    white: _UInt16,
    dark: _UInt16,
    sensor: MosaicSensor,
    exposures: Exposures | None = None,
    *,
    white_dark: _UInt16 | None = None,
) -> _UInt16:
    """The value that each pixel of a raw frame reaches if it is not in shadow; computed once per pair of references.

    Parameters
    ----------
    white, dark
        uint16 frames.
    sensor
        The sensor that recorded the frames.
    exposures
        Exposure times, if they differ.
    white_dark
        A second dark, at the white's exposure; each frame is compared with the dark that `plan_darks` selects.

    Returns
    -------
    ndarray
        uint16, of the frame's shape.
    """
    ratio = 1.0 if exposures is None else exposures.raw_ms / exposures.white_ms
    # The share is rounded to one over an integer, to keep integer arithmetic; uint16 limits that integer.
    parts = np.uint16(min(max(1, round(1 / (SHADOW * ratio))), np.iinfo(np.uint16).max))
    black = dark_of_raw(dark, white_dark, sensor, exposures)
    own = dark_of_white(dark, white_dark, sensor, exposures)
    light = np.maximum(white, own) - own
    # A sum beyond 16 bits would wrap around.
    floor: _UInt16 = black + np.minimum(light // parts, np.iinfo(np.uint16).max - black)
    return floor


def inspect_shadows(raw: _UInt16, floor: _UInt16, sensor: MosaicSensor) -> tuple[Finding, ...]:
    """The shadow findings of `inspect_raw`, in a fraction of its time.

    Parameters
    ----------
    raw
        uint16 frame.
    floor
        Result of `shadow_floor` for its references.
    sensor
        The sensor that recorded the frames.

    Returns
    -------
    tuple of Finding
        A warning if more than 1 % of the pixels lie in shadow; otherwise empty.
    """
    dark = sensor.active(raw) < sensor.active(floor)
    dim = np.count_nonzero(dark) / dark.size
    if dim <= SHADOW_WARN:
        return ()
    return (
        Finding(
            "warning",
            "raw frame",
            f"{dim:.1%} of its pixels have hardly any light, under {SHADOW:.0%} of the white's: a map says nothing there,"
            " whatever its colours",
            "Light the shadows, or mask them with min_brightness in study.toml.",
        ),
    )
