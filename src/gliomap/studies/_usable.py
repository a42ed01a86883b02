"""Whether captures can be used, as far as names and headers of their files tell."""

from __future__ import annotations

from gliomap.preprocessing import PreprocessingConfig
from gliomap.studies._align import placed
from gliomap.studies._arrays import cube_shape
from gliomap.studies._study import SensorLike, Study

__all__ = ["require_aligned"]


def require_aligned(
    study: Study, capture_id: str, sensor: SensorLike | None = None, config: PreprocessingConfig | None = None
) -> None:
    """Refuse a capture that `Study.cube` would refuse for its size, without reading a spectrum or a pixel.

    Parameters
    ----------
    capture_id, sensor, config
        As of `Study.cube`.

    Raises
    ------
    StudyError
        Cube and map differ in size and no crop fits them; or neither a cube that fits what is asked for nor frames.
    """
    files = study.files(capture_id)
    if study.is_prepared(capture_id, sensor, config):
        have = cube_shape(files.cube)[:2]
    elif study.has_raw(capture_id):
        have = study.sensor(sensor).cube_shape
    else:
        raise study.no_cube(capture_id, sensor, config)
    placed(have, study.crop(capture_id), files.map, capture_id)
