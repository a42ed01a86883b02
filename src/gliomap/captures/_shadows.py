"""Where a raw frame has hardly any light; the part of its check for which a stream has time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.captures._exposures import Exposures, dark_of_raw, dark_of_white
from gliomap.captures._finding import Finding
from gliomap.sensors import MosaicSensor

__all__ = ["inspect_shadows", "shadow_floor"]

_UInt16 = npt.NDArray[np.uint16]

SHADOW, SHADOW_WARN = 0.02, 0.01
"""Under this share of the white's light a spectrum is mostly noise (docs/explanation/preprocessing.md, 'Shadows')."""


def shadow_floor(
    white: _UInt16,
    dark: _UInt16,
    sensor: MosaicSensor,
    exposures: Exposures | None = None,
    *,
    white_dark: _UInt16 | None = None,
) -> _UInt16:
    """What each pixel of a raw frame reaches where it is not in shadow; made once per pair of references.

    Parameters
    ----------
    white, dark
        uint16 frames.
    sensor
        Whose frames they are.
    exposures
        Exposure times, if they differ.
    white_dark
        A second dark of the white's exposure; each frame is held against the dark that `plan_darks` gives it.

    Returns
    -------
    ndarray
        uint16, in the frame's shape.
    """
    ratio = 1.0 if exposures is None else exposures.raw_ms / exposures.white_ms
    # In whole numbers, so the share is rounded to one part of so many; of a smaller part nothing would be left.
    parts = np.uint16(min(max(1, round(1 / (SHADOW * ratio))), np.iinfo(np.uint16).max))
    black = dark_of_raw(dark, white_dark, sensor, exposures)
    own = dark_of_white(dark, white_dark, sensor, exposures)
    light = np.maximum(white, own) - own
    # Of a sum beyond 16 bits only the low ones would be left.
    floor: _UInt16 = black + np.minimum(light // parts, np.iinfo(np.uint16).max - black)
    return floor


def inspect_shadows(raw: _UInt16, floor: _UInt16, sensor: MosaicSensor) -> tuple[Finding, ...]:
    """What `inspect_raw` finds of shadows, at a fraction of its time.

    Parameters
    ----------
    raw
        uint16 frame.
    floor
        Of its references, from `shadow_floor`.
    sensor
        Whose frames they are.

    Returns
    -------
    tuple of Finding
        A warning where more than 1 % of the pixels lie in shadow; else nothing.
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
            "Light the shadows, or set min_brightness in study.toml, which masks them.",
        ),
    )
