"""A capture: one raw frame with its white and dark references, read and checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap.captures._checks import inspect_raw, inspect_references, require_frame
from gliomap.captures._exposures import Exposures
from gliomap.captures._finding import Finding
from gliomap.captures._frames import oldest_time, read_frames
from gliomap.errors import CaptureError, ReferenceFrameError
from gliomap.sensors import MosaicSensor

__all__ = ["Capture", "inspect_capture", "read_capture", "reference_age", "untold_findings"]

_log = logging.getLogger(__name__)

_told: ContextVar[bool] = ContextVar("told", default=True)


@contextmanager
def untold_findings() -> Iterator[None]:
    """Suppress logging of findings for captures read inside the block; the caller reports the findings itself."""
    before = _told.set(False)
    try:
        yield
    finally:
        _told.reset(before)


_UInt16 = npt.NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Capture:
    """One exposure of the camera with its references.

    Attributes
    ----------
    raw, white, dark
        uint16 frames of the sensor's shape.
    sensor
        The sensor that recorded the frames.
    white_dark
        A second dark frame, at the white's exposure, or None.
    exposures
        Exposure times, or None if all are equal or unknown.
    taken_at
        When the raw frame was taken (local time of the camera's computer), or None.
    references_taken_at
        When the oldest reference was taken, or None if the time of any is unknown.
    findings
        Findings of the checks.

    Raises
    ------
    CaptureError
        A frame has another shape or type.
    """

    raw: _UInt16
    white: _UInt16
    dark: _UInt16
    sensor: MosaicSensor
    white_dark: _UInt16 | None = None
    exposures: Exposures | None = None
    taken_at: datetime | None = None
    references_taken_at: datetime | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        frames = {"raw frame": self.raw, "white reference": self.white, "dark reference": self.dark}
        if self.white_dark is not None:
            frames["dark reference of the white"] = self.white_dark
        for thing, frame in frames.items():
            require_frame(frame, self.sensor, thing)


def read_capture(
    raw: Path | str,
    white: Path | str,
    dark: Path | str,
    sensor: MosaicSensor,
    *,
    white_dark: Path | str | None = None,
    exposures: Exposures | None = None,
    msb_aligned: bool | None = None,
    strict: bool = True,
) -> Capture:
    """Read a raw frame and its references, and check them against each other.

    Parameters
    ----------
    raw, white, dark, white_dark
        TIFF files.
    sensor
        The sensor that recorded the frames.
    exposures
        Exposure times, if they differ.
    msb_aligned
        See `read_frame`; None detects it from all frames together.
    strict
        Raise the first finding that is an error. If False, errors stay findings.

    Returns
    -------
    Capture

    Raises
    ------
    CaptureError
        A file cannot be read as a frame of this sensor, or the raw frame cannot belong to these references.
    ReferenceFrameError
        The references cannot be used.
    """
    paths = [Path(path) for path in (raw, white, dark, *(() if white_dark is None else (white_dark,)))]
    frames = read_frames(paths, sensor, msb_aligned=msb_aligned)
    capture = Capture(
        raw=frames[0].data,
        white=frames[1].data,
        dark=frames[2].data,
        sensor=sensor,
        white_dark=frames[3].data if len(frames) > 3 else None,
        exposures=exposures,
        taken_at=frames[0].taken_at,
        references_taken_at=oldest_time(frames[1:]),
    )
    findings = inspect_capture(capture)
    if frames[0].eight_bit:
        coarse = f"has 8 bits for a sensor of {sensor.bit_depth}: spectra are coarser"
        findings = (*findings, Finding("warning", "raw frame", coarse))
    findings = _named(findings, paths)
    for finding in findings:
        if finding.severity != "error":
            if _told.get():
                _log.warning(str(finding))
        elif strict:
            kind = CaptureError if finding.thing == str(paths[0]) else ReferenceFrameError
            raise kind(finding.thing, finding.message, finding.remedy)
    return replace(capture, findings=findings)


def inspect_capture(capture: Capture) -> tuple[Finding, ...]:
    """All findings about a capture, including errors, without raising any."""
    references = inspect_references(
        capture.white,
        capture.dark,
        capture.sensor,
        white_dark=capture.white_dark,
        exposures=capture.exposures,
    )
    raw = inspect_raw(
        capture.raw,
        capture.white,
        capture.dark,
        capture.sensor,
        capture.exposures,
        white_dark=capture.white_dark,
    )
    return (*references, *raw)


def reference_age(capture: Capture) -> timedelta | None:
    """How much older the references are than the raw frame; negative if they are newer; None if unknown."""
    if capture.taken_at is None or capture.references_taken_at is None:
        return None
    return capture.taken_at - capture.references_taken_at


def _named(findings: tuple[Finding, ...], paths: list[Path]) -> tuple[Finding, ...]:
    """The same findings, with files named in place of roles."""
    names = {
        "raw frame": str(paths[0]),
        "white reference": str(paths[1]),
        "dark reference": str(paths[2]),
        "white and dark reference": f"{paths[1]} and {paths[2]}",
    }
    return tuple(replace(finding, thing=names.get(finding.thing, finding.thing)) for finding in findings)
