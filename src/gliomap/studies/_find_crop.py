"""Find where a hand-cropped map lies in the full-size cube, which the thesis's files do not record."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gliomap.errors import StudyError
from gliomap.studies._arrays import map_shape, read_codes, read_cube_file, read_dataset_arrays
from gliomap.studies._settings import Crop
from gliomap.studies._study import SensorLike, Study

__all__ = ["find_crop"]

SAMPLES = 300
"""Number of spectra to compare at every position."""
CLOSE = 1e-2
"""Mean absolute difference (brightness-normalised reflectance is about 1) up to which spectra count as equal."""
CLEAR = 5.0
"""Factor by which the second-best position must be worse."""

_Samples = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]


def find_crop(study: Study, capture_id: str, sensor: SensorLike | None = None) -> Crop:
    """Find where a capture's map lies in the full-size cube made from its frames.

    Spectra of the cropped cube, or those in datasets/, are compared with the full-size cube at every
    possible position. A position is found only if the spectra match, so only with the same sensor and preprocessing.

    Parameters
    ----------
    study
        An open study.
    capture_id
        A capture with a map, frames, and a cropped cube or labelled spectra.
    sensor
        Overrides the sensor in study.toml.

    Raises
    ------
    StudyError
        There is nothing to compare with, or no position clearly fits.
    """
    files = study.files(capture_id)
    if not files.map.exists():
        raise StudyError(f"capture {capture_id}", "has no ground-truth map", "Only a map needs a crop.")
    height, width = map_shape(files.map)
    rows, columns, spectra = _samples(study, capture_id, (height, width))
    full = study.full_cube(capture_id, sensor).data
    if height > full.shape[0] or width > full.shape[1] or spectra.shape[1] != full.shape[2]:
        raise StudyError(
            f"capture {capture_id}",
            f"its map has {height}×{width} pixels and {spectra.shape[1]} bands, its frames yield"
            f" {full.shape[0]}×{full.shape[1]} and {full.shape[2]}",
            "Check the sensor, and that map and frames belong together.",
        )
    misfit = np.array(
        [
            [
                float(np.abs(full[rows + top, columns + left] - spectra).mean())
                for left in range(full.shape[1] - width + 1)
            ]
            for top in range(full.shape[0] - height + 1)
        ]
    )
    top, left = (int(index) for index in np.unravel_index(int(misfit.argmin()), misfit.shape))
    best, *others = np.sort(misfit, axis=None)
    if best > CLOSE or (others and others[0] <= CLEAR * best):
        raise StudyError(
            f"capture {capture_id}",
            f"no position clearly fits: the best, row {top} and column {left}, differs by {best:.3g} on average"
            + (f", the next by {others[0]:.3g}" if others else ""),
            "Check sensor and preprocessing, or find the crop by eye.",
        )
    return Crop(row=top, column=left, height=height, width=width)


def _samples(study: Study, capture_id: str, shape: tuple[int, int]) -> _Samples:
    """Evenly spread rows, columns and spectra of the crop to compare."""
    files = study.files(capture_id)
    if files.cube.exists():
        data, _ = read_cube_file(files.cube)
        rows, columns = np.nonzero(data.any(axis=2))
        if data.shape[:2] == shape and rows.size:
            chosen = _spread(rows.size)
            return rows[chosen], columns[chosen], data[rows[chosen], columns[chosen]]
    if files.dataset.exists():
        spectra, codes, _ = read_dataset_arrays(files.dataset)
        columns, rows = np.nonzero(read_codes(files.map).T)
        if codes.size == rows.size > 0:
            chosen = _spread(rows.size)
            return rows[chosen], columns[chosen], spectra[chosen]
    raise StudyError(
        f"capture {capture_id}",
        "has neither a cropped cube nor labelled spectra that fit its map, so its position cannot be found",
        "Find the crop by eye.",
    )


def _spread(count: int) -> npt.NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLES)).astype(np.intp))
