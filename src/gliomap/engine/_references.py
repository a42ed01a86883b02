"""References as the engine takes them: with the time they were taken and any fault."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gliomap.errors import ReferenceFrameError, UsageError
from gliomap.preprocessing import PreprocessingConfig, References
from gliomap.sensors import MosaicSensor

__all__ = ["DatedReferences", "require_references", "why_blank"]


@dataclass(frozen=True, eq=False)
class DatedReferences(References):
    """Prepared references, when they were taken, and any fault.

    Attributes
    ----------
    taken_at
        When the oldest reference was taken; None if unknown.
    fault
        Why no frame may be classified with them (swapped, hardly any light, …); None if they are usable.
    """

    taken_at: datetime | None = None
    fault: str | None = None


def require_references(references: References, sensor: MosaicSensor, config: PreprocessingConfig) -> None:
    """Refuse references prepared for another camera or another preprocessing chain.

    Raises
    ------
    ReferenceFrameError
        The references do not fit; the error names both sides.
    """
    if references.sensor is not sensor and references.sensor.fingerprint() != sensor.fingerprint():
        raise ReferenceFrameError(
            "references",
            f"were prepared for sensor {references.sensor.name!r}; the calibration of the bundle's "
            f"{sensor.name!r} differs from it",
            "Prepare them with Engine.prepare of this bundle.",
        )
    if references.config != config:
        raise ReferenceFrameError(
            "references",
            f"were prepared for preprocessing {references.config.as_dict()}, but the bundle has {config.as_dict()}",
            "Prepare them with Engine.prepare of this bundle.",
        )


def why_blank(references: References, taken_at: datetime | None, max_age: timedelta | None) -> str | None:
    """Why a frame taken at `taken_at` must not be classified with these references; None if it may be.

    If a maximum age is set, an unknown age is a reason too: the limit could not be enforced.

    Raises
    ------
    UsageError
        Only one of the two times has a time zone.
    """
    if isinstance(references, DatedReferences) and references.fault is not None:
        return f"the references are invalid: {references.fault}"
    if references.reasons.all():
        return "the references leave no valid pixel"
    if max_age is None:
        return None
    since = references.taken_at if isinstance(references, DatedReferences) else None
    if since is None or taken_at is None:
        missing = "the references were" if since is None else "the frame was"
        return f"the age of the references is unknown: it is not known when {missing} taken"
    if (since.utcoffset() is None) != (taken_at.utcoffset() is None):
        raise UsageError(
            "times of frame and references", "only one has a time zone", "Give both with a time zone or both without."
        )
    # References taken later are no better than old ones: the lamp may have been moved in between.
    age = taken_at - since
    if abs(age) <= max_age:
        return None
    when = "older" if age > timedelta(0) else "younger"
    return f"the references are {_minutes(abs(age))} {when} than the frame; the limit is {_minutes(max_age)}"


def _minutes(time: timedelta) -> str:
    return f"{time.total_seconds() / 60:.1f} min"
