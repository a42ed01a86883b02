"""Write each file of a study's layout."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap._files import refuse_existing
from gliomap._progress import Track, silent
from gliomap.captures import write_frame
from gliomap.errors import StudyError
from gliomap.preprocessing import HyperCube
from gliomap.studies._arrays import LabelledSpectra, labelled_spectra
from gliomap.studies._layout import (
    CHAIN_VARIABLE,
    CUBE_VARIABLE,
    DATASET_VARIABLES,
    MAP_VARIABLE,
    REASONS_VARIABLE,
    capture_files,
)
from gliomap.studies._mat import write_mat
from gliomap.studies._study import SensorLike, Study
from gliomap.taxonomy import THESIS_CLASSES, ClassSet

__all__ = ["write_capture_files", "write_cube", "write_dataset", "write_datasets", "write_frames", "write_map"]


def write_frames(
    root: Path,
    capture_id: str,
    raw: npt.NDArray[np.uint16],
    white: npt.NDArray[np.uint16],
    dark: npt.NDArray[np.uint16],
    *,
    taken_at: datetime | None = None,
) -> None:
    """Write the three TIFF files of a capture, each (rows, columns) uint16.

    Parameters
    ----------
    root
        The study folder.
    capture_id
        Such as ID0018C09.
    raw, white, dark
        Digital numbers.
    taken_at
        Written to the files as the camera's local time; if None, they hold no time.
    """
    files = capture_files(root, capture_id)
    for path, frame in ((files.raw, raw), (files.white, white), (files.dark, dark)):
        write_frame(path, frame, taken_at=taken_at)


def write_cube(root: Path, capture_id: str, cube: HyperCube, *, chain: npt.NDArray[np.uint8] | None = None) -> None:
    """Write the pre-processed cube of a capture as single precision, H×W×B.

    Besides the layout's variable, the file holds `reasons` (H×W uint8, see `Reason`) and, if given,
    `chain` (see `chain_of`). Other readers do not need them.

    Parameters
    ----------
    root
        The study folder.
    capture_id
        Such as ID0018C09.
    cube
        The cube; its mask is stored in `reasons`.
    chain
        (1, 32) uint8.
    """
    arrays: dict[str, npt.NDArray[np.generic]] = {CUBE_VARIABLE: cube.data, REASONS_VARIABLE: cube.reasons}
    if chain is not None:
        arrays[CHAIN_VARIABLE] = chain
    write_mat(capture_files(root, capture_id).cube, arrays)


def write_map(root: Path, capture_id: str, codes: npt.NDArray[np.uint16]) -> None:
    """Write the ground-truth map of a capture: tissue codes, H×W uint16.

    Parameters
    ----------
    root
        The study folder.
    capture_id
        Such as ID0018C09.
    codes
        (H, W) uint16, 0 where unlabelled.

    Raises
    ------
    StudyError
        `codes` has another type or shape.
    """
    if codes.ndim != 2 or codes.dtype != np.uint16:
        raise StudyError(
            f"map of {capture_id}", f"is {codes.dtype} of shape {codes.shape}", "A map is uint16 of shape (H, W)."
        )
    write_mat(capture_files(root, capture_id).map, {MAP_VARIABLE: codes})


def write_dataset(root: Path, capture_id: str, spectra: LabelledSpectra) -> None:
    """Write labelled spectra: `data` N×B double, `label` N×1 uint16, `label4Classes` N×1 uint8.

    Rows keep their order; `labelled_spectra` returns them in the layout's order.

    Parameters
    ----------
    root
        The study folder.
    capture_id
        Such as ID0018C09.
    spectra
        The N labelled spectra.
    """
    columns = (spectra.data.astype(np.float64), spectra.codes[:, np.newaxis], spectra.classes[:, np.newaxis])
    write_mat(capture_files(root, capture_id).dataset, dict(zip(DATASET_VARIABLES, columns, strict=True)))


def write_capture_files(
    root: Path,
    capture_id: str,
    *,
    frames: tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16], npt.NDArray[np.uint16]] | None = None,
    cube: HyperCube | None = None,
    codes: npt.NDArray[np.uint16] | None = None,
    chain: npt.NDArray[np.uint8] | None = None,
    taken_at: datetime | None = None,
) -> None:
    """Write the given parts of one capture; with both cube and codes, also its labelled spectra.

    Parameters
    ----------
    root
        The study folder.
    capture_id
        Such as ID0018C09.
    frames
        Raw, white and dark, each (rows, columns) uint16.
    cube
        Cube with the same height and width as `codes`.
    codes
        (H, W) uint16.
    chain
        Digest from `chain_of`, so that a later change of study.toml is noticed.
    taken_at
        Written to the TIFF files; if None, they hold no time.
    """
    if frames is not None:
        write_frames(root, capture_id, *frames, taken_at=taken_at)
    if cube is not None:
        write_cube(root, capture_id, cube, chain=chain)
    if codes is not None:
        write_map(root, capture_id, codes)
    if cube is not None and codes is not None:
        write_dataset(root, capture_id, labelled_spectra(cube.data, codes))


def write_datasets(
    study: Study,
    *,
    sensor: SensorLike | None = None,
    classes: ClassSet = THESIS_CLASSES,
    overwrite: bool = False,
    track: Track = silent,
) -> tuple[str, ...]:
    """Write datasets/ for every capture that has a map and a cube or frames; return these captures.

    Parameters
    ----------
    study
        An open study.
    sensor
        Overrides the sensor in study.toml.
    classes
        Classes for `label4Classes`.
    overwrite
        Replace existing files.
    track
        Reports progress.

    Raises
    ------
    OutputExistsError
        A file already exists and `overwrite` is False; nothing is written.
    """
    able = study.labelled
    for capture_id in able:
        refuse_existing(study.files(capture_id).dataset, overwrite=overwrite)
    for capture_id in track(able, "Labelled spectra"):
        cube = study.cube(capture_id, sensor)
        spectra = labelled_spectra(cube.data, study.codes(capture_id), classes)
        write_dataset(study.root, capture_id, spectra)
    return able
