"""Whether captures can be used, judged by the names and headers of their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gliomap.errors import StudyError
from gliomap.preprocessing import PreprocessingConfig
from gliomap.sensors import MosaicSensor
from gliomap.studies._align import placed
from gliomap.studies._arrays import cube_shape
from gliomap.studies._prepared import require_bands
from gliomap.studies._study import SensorLike, Study

__all__ = ["require_aligned", "require_equal_bands", "require_labelled", "told_lacking"]

_NAMED = 5
"""Maximum number of captures that a message names."""


def require_aligned(
    study: Study, capture_id: str, sensor: SensorLike | None = None, config: PreprocessingConfig | None = None
) -> None:
    """Reject a capture that `Study.cube` would reject for its size, without reading a spectrum or a pixel.

    Parameters
    ----------
    capture_id, sensor, config
        See `Study.cube`.

    Raises
    ------
    StudyError
        Cube and map differ in size and no crop fits them; or there is neither the requested cube nor frames.
    """
    files, name = study.files(capture_id), None
    if study.is_prepared(capture_id, sensor, config):
        have = cube_shape(files.cube)[:2]
    elif study.has_raw(capture_id):
        camera = study.sensor(sensor)
        have, name = camera.cube_shape, camera.name
    else:
        raise study.no_cube(capture_id, sensor, config)
    placed(have, study.crop(capture_id), files.map, capture_id, name)


def require_equal_bands(study: Study, captures: Iterable[str], sensor: MosaicSensor | None = None) -> None:
    """Reject captures that cannot train and test together, because their cubes differ in the number of bands.

    Only the headers of prepared cubes are read; those made from frames have the bands of the sensor.

    Parameters
    ----------
    sensor
        The camera; None if unknown.

    Raises
    ------
    StudyError
        A prepared cube has another number of bands than the sensor or, without one, than most others.
    """
    prepared = [capture for capture in sorted(captures) if study.is_prepared(capture, sensor)]
    bands = {capture: cube_shape(study.files(capture).cube)[2] for capture in prepared}
    usual = Counter(bands.values()).most_common(1)
    for capture, count in bands.items():
        path = study.files(capture).cube
        if sensor is not None:
            require_bands(path, count, sensor, study.preprocessing)
        elif count != usual[0][0]:
            other = next(one for one in bands if bands[one] != count)
            raise StudyError(
                path,
                f"has {count} bands, but the cube of {other} has {bands[other]}",
                "Train and test on captures of one camera and preprocessing; move the others to a study of their own.",
            )


def require_labelled(study: Study) -> None:
    """Reject a study in which no capture can train or test.

    Raises
    ------
    StudyError
        There is no ground-truth map, or no map has an image; the message names what is missing.
    """
    if study.labelled:
        return
    if not any(study.has_map(capture_id) for capture_id in study.capture_ids):
        raise StudyError(
            study.root,
            "no capture has a ground-truth map, so none can train or test",
            f"Add maps, such as GroundTruthMaps/{study.files(study.capture_ids[0]).map.name}.",
        )
    raise StudyError(
        study.root,
        f"no capture has both a ground-truth map and an image: {told_lacking(study)}",
        "Add what is lacking; see `gliomap study check`.",
    )


def told_lacking(study: Study) -> str:
    """What captures lack for training and testing: 'ID0002C01 lacks tif/ID0002CW01.tif, ID0003C01 lacks its …'."""
    lacking = [f"{one} lacks {_lacking(study, one)}" for one in study.capture_ids if one not in study.labelled]
    more = f", and {len(lacking) - _NAMED} more captures lack something" if len(lacking) > _NAMED else ""
    return ", ".join(lacking[:_NAMED]) + more


def _lacking(study: Study, capture_id: str) -> str:
    files, lacking = study.files(capture_id), []
    if not study.has_cube(capture_id) and not study.has_raw(capture_id):
        frames = (files.raw, files.white, files.dark)
        missing = [f"tif/{path.name}" for path in frames if not path.exists()]
        lacking.append(" and ".join(missing) if 0 < len(missing) < len(frames) else "a prepared cube or frames")
    if not study.has_map(capture_id):
        lacking.append("its ground-truth map")
    return " and ".join(lacking)
