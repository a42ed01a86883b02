"""Exposure times, and which dark frame belongs to which exposure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gliomap.errors import CaptureError, ReferenceFrameError
from gliomap.sensors import MosaicSensor

__all__ = ["LONGEST_MS", "SHORTEST_MS", "DarkPlan", "Exposures", "dark_of_raw", "dark_of_white", "plan_darks"]

_UInt16 = npt.NDArray[np.uint16]

_SAME = 1e-3
"""Exposures that differ by less than this share count as equal: cameras round to their line time."""

SHORTEST_MS, LONGEST_MS = 1e-3, 3.6e6
"""Limits of an exposure time in ms; the longest is one hour."""


@dataclass(frozen=True, slots=True)
class Exposures:
    """Exposure times in ms; `white_dark_ms` belongs to a second dark taken for the white.

    Raises
    ------
    CaptureError
        A time is outside 0.001 ms … 1 h.
    """

    raw_ms: float
    white_ms: float
    dark_ms: float
    white_dark_ms: float | None = None

    def __post_init__(self) -> None:
        for name in ("raw_ms", "white_ms", "dark_ms", "white_dark_ms"):
            value = getattr(self, name)
            if value is not None and not SHORTEST_MS <= value <= LONGEST_MS:
                raise CaptureError(f"exposure {name}", f"is {value}", "Use milliseconds, from 0.001 ms to one hour.")

    @property
    def white_over_raw(self) -> float:
        """Factor on reflectance for a white and a raw frame with different exposures."""
        return self.white_ms / self.raw_ms


@dataclass(frozen=True, slots=True)
class DarkPlan:
    """Which dark frame to subtract, and the factor by which to scale it."""

    white_dark: bool
    factor: float

    def frame(self, dark: _UInt16, white_dark: _UInt16 | None) -> _UInt16:
        """The selected dark frame, as recorded."""
        return white_dark if self.white_dark and white_dark is not None else dark

    def of(self, dark: _UInt16, white_dark: _UInt16 | None) -> npt.NDArray[np.float32]:
        """The scaled dark to subtract, in digital numbers."""
        return self.frame(dark, white_dark).astype(np.float32) * np.float32(self.factor)


def plan_darks(exposures: Exposures | None, sensor: MosaicSensor, *, has_white_dark: bool) -> tuple[DarkPlan, DarkPlan]:
    """Choose the dark for the raw frame and the dark for the white.

    A dark of the same exposure is used if there is one. Otherwise a dark is scaled by time, which is correct only
    if the camera has no bias offset.

    Parameters
    ----------
    exposures
        If None, all frames count as equally exposed, and a second dark belongs to the white.
    sensor
        Determines whether darks may be scaled.
    has_white_dark
        Whether there is a second dark frame. If its exposure is not stated, it counts as that of the white.

    Returns
    -------
    tuple of DarkPlan
        For the raw frame and for the white.

    Raises
    ------
    ReferenceFrameError
        No dark has the required exposure, and the camera has a bias offset.
    """
    return _plan_raw(exposures, sensor, has_white_dark), _plan_white(exposures, sensor, has_white_dark)


def dark_of_raw(
    dark: _UInt16, white_dark: _UInt16 | None, sensor: MosaicSensor, exposures: Exposures | None
) -> _UInt16:
    """The dark for a raw frame, in whole numbers; if none fits, the first dark as recorded.

    Parameters
    ----------
    dark, white_dark, sensor, exposures
        As in `plan_darks`, which selects the frame.
    """
    try:
        plan = _plan_raw(exposures, sensor, white_dark is not None)
    except ReferenceFrameError:
        plan = DarkPlan(white_dark=False, factor=1.0)
    return _whole(plan, dark, white_dark)


def dark_of_white(
    dark: _UInt16, white_dark: _UInt16 | None, sensor: MosaicSensor, exposures: Exposures | None
) -> _UInt16:
    """The dark for a white, in whole numbers; if none fits, the second dark as recorded, or the first if it is alone.

    Parameters
    ----------
    dark, white_dark, sensor, exposures
        As in `plan_darks`, which selects the frame.
    """
    try:
        plan = _plan_white(exposures, sensor, white_dark is not None)
    except ReferenceFrameError:
        plan = DarkPlan(white_dark=white_dark is not None, factor=1.0)
    return _whole(plan, dark, white_dark)


def _whole(plan: DarkPlan, dark: _UInt16, white_dark: _UInt16 | None) -> _UInt16:
    # Return the frame itself if nothing is scaled: a service does this for each frame.
    if plan.factor == 1.0:
        return plan.frame(dark, white_dark)
    return np.rint(plan.of(dark, white_dark)).clip(max=np.iinfo(np.uint16).max).astype(np.uint16)


def _plan_raw(exposures: Exposures | None, sensor: MosaicSensor, has_white_dark: bool) -> DarkPlan:
    if exposures is None:
        return DarkPlan(white_dark=False, factor=1.0)
    return _plan("raw frame", exposures.raw_ms, _times(exposures, has_white_dark), sensor)


def _plan_white(exposures: Exposures | None, sensor: MosaicSensor, has_white_dark: bool) -> DarkPlan:
    if exposures is None:
        return DarkPlan(white_dark=has_white_dark, factor=1.0)
    # The white's own dark takes precedence.
    return _plan("white", exposures.white_ms, _times(exposures, has_white_dark), sensor, own_first=True)


def _times(exposures: Exposures, has_white_dark: bool) -> tuple[float, float | None]:
    """Exposures of the two darks; None for a missing second dark."""
    return exposures.dark_ms, (exposures.white_dark_ms or exposures.white_ms) if has_white_dark else None


def _plan(
    what: str, wanted: float, darks: tuple[float, float | None], sensor: MosaicSensor, *, own_first: bool = False
) -> DarkPlan:
    matching = [
        index for index, time in enumerate(darks) if time is not None and math.isclose(time, wanted, rel_tol=_SAME)
    ]
    if matching:
        return DarkPlan(white_dark=matching[-1 if own_first else 0] == 1, factor=1.0)
    if sensor.has_bias_offset:
        have = " and ".join(f"{time:g} ms" for time in darks if time is not None)
        raise ReferenceFrameError(
            "dark reference",
            f"was exposed for {have}, the {what} for {wanted:g} ms, and sensor {sensor.name!r} has a bias offset, "
            "so a dark cannot be scaled by time",
            f"Record a dark of {wanted:g} ms.",
        )
    own = own_first and darks[1] is not None
    time = darks[1] if own and darks[1] is not None else darks[0]
    return DarkPlan(white_dark=own, factor=wanted / time)
