"""What is known about a training's captures before any of their spectra are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gliomap._text import counted
from gliomap.sensors import MosaicSensor
from gliomap.studies import Study, require_aligned, require_equal_bands

__all__ = ["made_anew", "require_usable", "told_anew"]

_NAMED = 5


def made_anew(study: Study, captures: Iterable[str], sensor: MosaicSensor | None) -> frozenset[str]:
    """Captures whose prepared cube was made with other settings than the present ones, so their frames are prepared again."""
    return frozenset(
        capture
        for capture in captures
        if study.has_cube(capture) and study.has_raw(capture) and not study.is_prepared(capture, sensor)
    )


def require_usable(study: Study, captures: Iterable[str], sensor: MosaicSensor | None) -> None:
    """Refuse captures whose size or number of bands training or test would refuse; only headers are read.

    Raises
    ------
    StudyError
        For the first such capture, as of `require_aligned` and `require_equal_bands`.
    """
    captures = sorted(captures)
    for capture in captures:
        require_aligned(study, capture, sensor)
    require_equal_bands(study, captures, sensor)


def told_anew(captures: Collection[str]) -> list[str]:
    """A hint about these captures; empty if there are none."""
    if not captures:
        return []
    few = ", ".join(sorted(captures)[:_NAMED])
    more = f" and {len(captures) - _NAMED} more" if len(captures) > _NAMED else ""
    were = "was" if len(captures) == 1 else "were"
    return [
        f"{counted(len(captures), 'prepared cube')} {were} made with other sensor, preprocessing, crop or exposure"
        f" settings than the present ones: made again from tif/ ({few}{more})"
    ]
