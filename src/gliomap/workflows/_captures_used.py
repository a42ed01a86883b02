"""What is known of the captures of a training before any of their spectra is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gliomap._text import counted
from gliomap.sensors import MosaicSensor
from gliomap.studies import Study, require_aligned

__all__ = ["made_anew", "require_usable", "told_anew"]

_NAMED = 5


def made_anew(study: Study, captures: Iterable[str], sensor: MosaicSensor | None) -> frozenset[str]:
    """Captures whose prepared cube was made otherwise than is asked for, so that their frames are prepared again."""
    return frozenset(
        capture
        for capture in captures
        if study.has_cube(capture) and study.has_raw(capture) and not study.is_prepared(capture, sensor)
    )


def require_usable(study: Study, captures: Iterable[str], sensor: MosaicSensor | None) -> None:
    """Refuse captures that training or test would refuse for their size; only headers are read.

    Raises
    ------
    StudyError
        The first of them, as of `require_aligned`.
    """
    for capture in sorted(captures):
        require_aligned(study, capture, sensor)


def told_anew(captures: Collection[str]) -> list[str]:
    """The same in words; nothing where there are none."""
    if not captures:
        return []
    few = ", ".join(sorted(captures)[:_NAMED])
    more = f" and {len(captures) - _NAMED} more" if len(captures) > _NAMED else ""
    were = "was" if len(captures) == 1 else "were"
    return [
        f"{counted(len(captures), 'prepared cube')} {were} made with another sensor, preprocessing, crop or exposures"
        f" than are asked for: made anew from tif/ ({few}{more})"
    ]
