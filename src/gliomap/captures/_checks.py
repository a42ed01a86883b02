"""Checks whether the references and the raw frame are plausible, with figures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.captures._exposures import DarkPlan, Exposures, dark_of_raw, plan_darks
from gliomap.captures._finding import Finding
from gliomap.captures._shadows import inspect_shadows, shadow_floor
from gliomap.errors import CaptureError, ReferenceFrameError
from gliomap.sensors import MosaicSensor

__all__ = ["check_raw", "check_references", "inspect_raw", "inspect_references", "require_frame"]

_UInt16 = npt.NDArray[np.uint16]
_Float32 = npt.NDArray[np.float32]

DARK_FRACTION = 0.02
"""White − dark below this share of full scale counts as no light (see PreprocessingConfig.dark_fraction)."""
WHITE_SATURATED_WARN, WHITE_SATURATED_REFUSE = 0.001, 0.2
WHITE_DIM_WARN, WHITE_DIM_REFUSE = 0.01, 0.5
RAW_SATURATED_WARN, RAW_SATURATED_REFUSE = 0.01, 0.5
OUTSIDE_WARN, OUTSIDE_REFUSE = 0.1, 0.5
DARK_BRIGHT_WARN = 0.25
CLIPPED_WARN = 0.01


def require_frame(frame: npt.NDArray[np.generic], sensor: MosaicSensor, thing: str) -> None:
    """Reject a frame that is not uint16 or not of the sensor's shape.

    Parameters
    ----------
    frame
        The frame as read.
    sensor
        The expected sensor.
    thing
        The frame's name in the message.

    Raises
    ------
    CaptureError
        The frame has another type or shape.
    """
    if frame.dtype != np.uint16 or frame.shape != sensor.frame_shape:
        rows, columns = sensor.frame_shape
        raise CaptureError(
            thing,
            f"is {frame.dtype} of shape {'×'.join(map(str, frame.shape))}, "
            f"sensor {sensor.name!r} delivers uint16 {rows}×{columns}",
            "Check the sensor's name and that the whole frame was saved.",
        )


def check_references(
    white: _UInt16,
    dark: _UInt16,
    sensor: MosaicSensor,
    *,
    white_dark: _UInt16 | None = None,
    exposures: Exposures | None = None,
) -> tuple[Finding, ...]:
    """Check a white and a dark reference.

    Parameters
    ----------
    white, dark, white_dark
        uint16 frames; `white_dark` is a second dark, at the white's exposure.
    sensor
        The sensor that recorded the frames.
    exposures
        Exposure times, if known.

    Returns
    -------
    tuple of Finding
        Warnings: some saturated, dim or suspicious pixels; differing exposures.

    Raises
    ------
    CaptureError
        A frame has another shape or type.
    ReferenceFrameError
        White and dark are swapped, the white is as dark as the dark at most pixels, more than a fifth of the white is
        saturated, or no dark fits the exposures.
    """
    findings = inspect_references(white, dark, sensor, white_dark=white_dark, exposures=exposures)
    return _refused(findings, ReferenceFrameError)


def check_raw(
    raw: _UInt16,
    white: _UInt16,
    dark: _UInt16,
    sensor: MosaicSensor,
    exposures: Exposures | None = None,
    *,
    white_dark: _UInt16 | None = None,
) -> tuple[Finding, ...]:
    """Like `inspect_raw`, but reject a frame that cannot belong to its references.

    Parameters
    ----------
    raw, white, dark, sensor, exposures, white_dark
        See `inspect_raw`.

    Raises
    ------
    CaptureError
        A frame has another shape or type; or more than half of the raw frame is saturated, or is darker than the dark
        or brighter than the white; or the raw frame is identical to a reference.
    """
    return _refused(inspect_raw(raw, white, dark, sensor, exposures, white_dark=white_dark), CaptureError)


def inspect_references(
    white: _UInt16,
    dark: _UInt16,
    sensor: MosaicSensor,
    *,
    white_dark: _UInt16 | None = None,
    exposures: Exposures | None = None,
) -> tuple[Finding, ...]:
    """Like `check_references`, but return errors as findings as well.

    Parameters
    ----------
    white, dark, sensor, white_dark, exposures
        See `check_references`.

    Raises
    ------
    CaptureError
        A frame has another shape or type.
    """
    frames = {"white reference": white, "dark reference": dark}
    if white_dark is not None:
        frames["dark reference of the white"] = white_dark
    for thing, frame in frames.items():
        require_frame(frame, sensor, thing)
    try:
        plans = plan_darks(exposures, sensor, has_white_dark=white_dark is not None)
        findings = _exposure_findings(exposures, plans)
    except ReferenceFrameError as error:
        # The light can still be checked.
        plans = plan_darks(None, sensor, has_white_dark=white_dark is not None)
        findings = [Finding("error", error.thing, error.fault, error.remedy)]
    bright, black = sensor.active(white), sensor.active(plans[1].of(dark, white_dark))
    return (
        *findings,
        *_light_findings(bright, black, sensor),
        *_range_findings(bright, sensor.active(dark if white_dark is None else white_dark), sensor),
        *_correction_findings(bright, black, sensor),
    )


def inspect_raw(
    raw: _UInt16,
    white: _UInt16,
    dark: _UInt16,
    sensor: MosaicSensor,
    exposures: Exposures | None = None,
    *,
    white_dark: _UInt16 | None = None,
) -> tuple[Finding, ...]:
    """Findings about a raw frame, compared with its references.

    Parameters
    ----------
    raw, white, dark
        uint16 frames of the sensor's shape, digital numbers in the low bits.
    sensor
        The sensor that recorded the frames.
    exposures
        Exposure times in ms, if they differ.
    white_dark
        A second dark, at the white's exposure; the raw frame is compared with the dark that `plan_darks` selects.

    Raises
    ------
    CaptureError
        A frame has another shape or type.
    """
    require_frame(raw, sensor, "raw frame")
    image, bright = sensor.active(raw), sensor.active(white)
    findings = []
    saturated = _share(image >= sensor.saturation)
    if saturated > RAW_SATURATED_WARN:
        findings.append(
            Finding(
                "error" if saturated > RAW_SATURATED_REFUSE else "warning",
                "raw frame",
                f"{saturated:.1%} of its pixels are saturated (at {sensor.saturation} or more)",
                "Shorten the exposure or dim the light.",
            )
        )
    ratio = 1.0 if exposures is None else exposures.raw_ms / exposures.white_ms
    # Stay with integers if nothing is scaled: a service does this for each frame.
    limit = bright if ratio <= 1 else bright.astype(np.float32) * np.float32(ratio)
    below = _share(image < sensor.active(dark_of_raw(dark, white_dark, sensor, exposures)))
    above = _share(image > limit)
    if below + above > OUTSIDE_WARN:
        findings.append(
            Finding(
                "error" if below + above > OUTSIDE_REFUSE else "warning",
                "raw frame",
                f"{below:.1%} of its pixels are darker than the dark reference and {above:.1%} brighter than the white",
                "Check that raw, white and dark belong together and are not swapped.",
            )
        )
    findings += inspect_shadows(raw, shadow_floor(white, dark, sensor, exposures, white_dark=white_dark), sensor)
    others = [sensor.active(frame) for frame in (white, dark, white_dark) if frame is not None]
    # The first row almost always suffices to rule it out.
    if any(np.array_equal(image[0], other[0]) and np.array_equal(image, other) for other in others):
        findings.append(Finding("error", "raw frame", "is identical to a reference", "Use the raw frame of the scene."))
    return tuple(findings)


def _refused(findings: tuple[Finding, ...], kind: type[CaptureError]) -> tuple[Finding, ...]:
    for finding in findings:
        if finding.severity == "error":
            raise kind(finding.thing, finding.message, finding.remedy)
    return findings


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return np.count_nonzero(flags) / flags.size


def _light_findings(bright: _UInt16, black: _Float32, sensor: MosaicSensor) -> list[Finding]:
    """Check that there is light in the white and none in the dark."""
    light = bright - black
    limit = DARK_FRACTION * sensor.saturation
    if float(np.mean(-light >= limit)) > 0.5:
        return [
            Finding(
                "error",
                "white and dark reference",
                f"look swapped: the white's mean is {bright.mean():.0f}, the dark's {black.mean():.0f}",
                "Swap the two files.",
            )
        ]
    dim = float(np.mean(light < limit))
    if dim > WHITE_DIM_WARN:
        return [
            Finding(
                "error" if dim > WHITE_DIM_REFUSE else "warning",
                "white reference",
                f"is less than {DARK_FRACTION:.0%} of full scale above the dark at {dim:.1%} of its pixels "
                f"(means {bright.mean():.0f} and {black.mean():.0f})",
                "Record the white with the light on, filling the field of view.",
            )
        ]
    return []


def _range_findings(bright: _UInt16, black: _UInt16, sensor: MosaicSensor) -> list[Finding]:
    """Check that the white stays below saturation and the dark near zero."""
    findings = []
    saturated = float(np.mean(bright >= sensor.saturation))
    if saturated > WHITE_SATURATED_WARN:
        findings.append(
            Finding(
                "error" if saturated > WHITE_SATURATED_REFUSE else "warning",
                "white reference",
                f"{saturated:.1%} of its pixels are saturated (at {sensor.saturation} or more)",
                "Shorten the exposure of the white, and state the exposure times.",
            )
        )
    top = int(bright.max())
    clipped = float(np.mean(bright == top))
    if sensor.saturation // 4 < top < sensor.saturation and clipped > CLIPPED_WARN and int(bright.min()) < top:
        findings.append(
            Finding(
                "warning",
                "white reference",
                f"{clipped:.1%} of its pixels share its highest value {top}, below the saturation value "
                f"{sensor.saturation}: the camera may clip there",
                "If so, correct `saturation` in the sensor's description.",
            )
        )
    level = float(np.median(black))
    if level > DARK_BRIGHT_WARN * sensor.saturation:
        findings.append(
            Finding(
                "warning",
                "dark reference",
                f"its median is {level:.0f} of {sensor.saturation}: light may have entered",
                "Record the dark with the lens covered.",
            )
        )
    return findings


def _correction_findings(bright: _UInt16, black: _Float32, sensor: MosaicSensor) -> list[Finding]:
    """Check for bands that nearly cancel when the white is corrected before the division.

    A row of the matrix amplifies pixel noise by its Euclidean norm. If a band's corrected white is less than the signal
    of a dim pixel after the same amplification, the band is as noisy as a dim pixel.
    """
    if sensor.correction_after_division:
        return []
    matrix = sensor.band_matrix()
    light = (bright - black).reshape(-1, sensor.pattern[0], bright.shape[1])
    tile = light.mean(axis=0).reshape(sensor.pattern[0], -1, sensor.pattern[1]).mean(axis=1).ravel()
    left = matrix @ tile / (np.sqrt((matrix**2).sum(axis=1)) * sensor.saturation)
    weak = [
        f"{wavelength:.0f} nm ({share:.1%})"
        for wavelength, share in zip(sensor.wavelengths_nm, left, strict=True)
        if not share >= DARK_FRACTION
    ]
    if not weak:
        return []
    return [
        Finding(
            "warning",
            "white reference",
            f"after spectral correction, its signal is low relative to the amplified noise (share of full scale): "
            f"{', '.join(weak)}; these bands are poorly determined",
            "Record a brighter white, or omit the spectral correction.",
        )
    ]


def _exposure_findings(exposures: Exposures | None, plans: tuple[DarkPlan, DarkPlan]) -> list[Finding]:
    if exposures is None:
        return []
    notes = []
    if abs(exposures.white_over_raw - 1) > 1e-3:
        notes.append(f"white {exposures.white_ms:g} ms and raw {exposures.raw_ms:g} ms differ; scaled by time")
    if any(plan.factor != 1.0 for plan in plans):
        notes.append(f"the dark of {exposures.dark_ms:g} ms is scaled by time")
    return [Finding("warning", "exposure", note) for note in notes]
