"""The layout's arrays, read from `.mat` files, checked and converted to GlioMap's types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap._text import counted
from gliomap.errors import CubeError, StudyError
from gliomap.studies._layout import CUBE_VARIABLE, DATASET_VARIABLES, MAP_VARIABLE, REASONS_VARIABLE, REFERENCES
from gliomap.studies._mat import list_mat, read_field, read_mat
from gliomap.taxonomy import THESIS_CLASSES, UNLABELLED, ClassSet

__all__ = [
    "ClassMap",
    "LabelledSpectra",
    "class_map",
    "cube_shape",
    "labelled_spectra",
    "map_shape",
    "read_codes",
    "read_cube_file",
    "read_dataset",
    "read_reference_pixels",
]

_MOST_REFERENCE_BYTES = 1 << 20
"""Pixels are clicked one by one, so there are never tens of thousands."""


@dataclass(frozen=True, eq=False)
class LabelledSpectra:
    """Labelled spectra of one capture, one per row.

    Attributes
    ----------
    data
        (N, B) float32, finite.
    codes
        (N,) uint16, tissue codes.
    classes
        (N,) uint8, class indices; 0 for codes that belong to no class.
    """

    data: npt.NDArray[np.float32]
    codes: npt.NDArray[np.uint16]
    classes: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Labels of one capture as a model sees them.

    Attributes
    ----------
    labels
        (H, W) uint8, class indices; 0 for pixels that do not take part in learning.
    ignored
        Known codes outside the classes → number of pixels.
    """

    labels: npt.NDArray[np.uint8]
    ignored: dict[int, int]


def class_map(codes: npt.NDArray[np.uint16], classes: ClassSet = THESIS_CLASSES) -> ClassMap:
    """Map tissue codes to the classes of a model, and count pixels of codes outside them.

    Raises
    ------
    TaxonomyError
        A code is not in the taxonomy.
    """
    return ClassMap(classes.from_codes(codes), classes.ignored(codes[codes != UNLABELLED]))


def labelled_spectra(
    data: npt.NDArray[np.float32], codes: npt.NDArray[np.uint16], classes: ClassSet = THESIS_CLASSES
) -> LabelledSpectra:
    """Extract the labelled pixels of a cube, in column-major order like MATLAB's `find`.

    Parameters
    ----------
    data
        (H, W, B) float32.
    codes
        (H, W) uint16.
    classes
        Codes outside these classes get class 0.

    Raises
    ------
    StudyError
        Cube and map differ in size.
    """
    if data.shape[:2] != codes.shape:
        raise StudyError(
            "labelled spectra",
            f"the cube has {data.shape[0]}×{data.shape[1]} pixels and the map {codes.shape[0]}×{codes.shape[1]}",
            "Crop the cube to the map.",
        )
    columns, rows = np.nonzero(codes.T)
    found = codes[rows, columns]
    return LabelledSpectra(data[rows, columns], found, classes.from_codes(found))


def map_shape(path: Path) -> tuple[int, int]:
    """(height, width) of a ground-truth map, read from its header only."""
    for variable in list_mat(path):
        if variable.name == MAP_VARIABLE and len(variable.shape) == 2:
            return variable.shape[0], variable.shape[1]
    # The reader says what is wrong with it.
    height, width = read_codes(path).shape
    return height, width


def cube_shape(path: Path) -> tuple[int, int, int]:
    """(height, width, bands) of a pre-processed cube, read from its header only."""
    for variable in list_mat(path):
        if variable.name == CUBE_VARIABLE and len(variable.shape) == 3:
            return variable.shape[0], variable.shape[1], variable.shape[2]
    # The reader says what is wrong with it.
    height, width, bands = read_cube_file(path)[0].shape
    return height, width, bands


def read_codes(path: Path) -> npt.NDArray[np.uint16]:
    """Read the tissue codes of a ground-truth map, (H, W) uint16.

    Raises
    ------
    StudyError
        The file cannot be read, or the map is not 2-D or holds anything other than whole numbers from 0 to 65535.
    """
    codes = read_mat(path, [MAP_VARIABLE])[MAP_VARIABLE]
    if codes.ndim != 2 or not codes.size:
        raise StudyError(path, f"its {MAP_VARIABLE} has shape {codes.shape}", "A map has shape (height, width).")
    return _as_codes(path, MAP_VARIABLE, codes)


def read_reference_pixels(path: Path) -> npt.NDArray[np.int64]:
    """Read the pixels from which the labels grew; the file of a ground-truth map may contain them.

    Returns
    -------
    ndarray
        int64 (n, 2), row and column from 0, without duplicates; (0, 2) if the file has none. MATLAB's rows of
        zeros, which stand for unused references, are dropped.

    Raises
    ------
    StudyError
        The file cannot be read.
    """
    found = read_field(path, *REFERENCES, max_bytes=_MOST_REFERENCE_BYTES)
    if found is None or found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all():
        return np.zeros((0, 2), np.int64)
    pixels = np.unique(found.astype(np.int64), axis=0) - 1
    return pixels[(pixels >= 0).all(axis=1)]


def read_cube_file(path: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Read a pre-processed cube, (H, W, B) float32, and the reasons (H, W), which only GlioMap's own files contain.

    Raises
    ------
    StudyError
        The file cannot be read, or the cube is not 3-D.
    CubeError
        The cube has NaN or infinite values; the message states how many and where the first one is.
    """
    _require_cube(path)
    found = read_mat(path, [CUBE_VARIABLE], optional=[REASONS_VARIABLE])
    cube, reasons = found[CUBE_VARIABLE], found.get(REASONS_VARIABLE)
    if cube.ndim != 3 or not cube.size:
        raise StudyError(
            path, f"its {CUBE_VARIABLE} has shape {cube.shape}", "A cube has shape (height, width, bands)."
        )
    data = _as_float32(path, CUBE_VARIABLE, cube)
    if reasons is None or reasons.dtype != np.uint8 or reasons.shape != data.shape[:2]:
        return data, None
    return data, reasons.view(np.uint8)


def _require_cube(path: Path) -> None:
    """Reject the study's other files, which could be mistaken for a cube."""
    names = {variable.name for variable in list_mat(path)}
    if CUBE_VARIABLE in names:
        return
    for variable, what in ((MAP_VARIABLE, "a ground-truth map"), (DATASET_VARIABLES[1], "a file of labelled spectra")):
        if variable in names:
            raise StudyError(path, f"is {what}, not a cube", "Use the capture's cube in preProcessedImages/.")


def read_dataset(path: Path, classes: ClassSet = THESIS_CLASSES) -> LabelledSpectra:
    """Read a file of labelled spectra.

    Classes are mapped from the codes in `label`. Only the length of `label4Classes` must match here;
    `gliomap study check` compares its values.

    Raises
    ------
    StudyError
        The file cannot be read, or its arrays do not match each other.
    CubeError
        A value is NaN or infinite.
    TaxonomyError
        A code is not in the taxonomy.
    """
    data, codes, _ = read_dataset_arrays(path)
    return LabelledSpectra(data, codes, classes.from_codes(codes))


def read_dataset_arrays(
    path: Path,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint16], npt.NDArray[np.uint16] | None]:
    """Read `data` (N, B), `label` (N,) and, if present, `label4Classes` (N,), without checking codes."""
    data_name, label_name, classes_name = DATASET_VARIABLES
    found = read_mat(path, [data_name, label_name], optional=[classes_name])
    data = found[data_name]
    if data.ndim != 2:
        raise StudyError(path, f"its {data_name} has shape {data.shape}", "Spectra have shape (pixels, bands).")
    labels = {name: _as_codes(path, name, found[name]).ravel() for name in (label_name, classes_name) if name in found}
    for name, values in labels.items():
        if values.size != data.shape[0]:
            raise StudyError(
                path,
                f"its {name} has {values.size:,} values for {data.shape[0]:,} rows of {data_name}",
                "Recreate it from the map with gliomap.studies.write_datasets.",
            )
    return _as_float32(path, data_name, data), labels[label_name], labels.get(classes_name)


def _as_codes(path: Path, name: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint16]:
    numbers = values.astype(np.float64)
    wrong = ~((numbers >= 0) & (numbers <= 65535) & (numbers == np.floor(numbers)))
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise StudyError(
            path,
            f"its {name} holds {counted(int(wrong.sum()), 'value')} that cannot be codes, the first {numbers[place]:g} at {place}",
            "Codes are whole numbers from 0 to 65535; 0 is unlabelled.",
        )
    return numbers.astype(np.uint16)


def _as_float32(path: Path, name: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    # A double beyond the range of float32 becomes infinite and is reported as such.
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(values, dtype=np.float32)
    wrong = ~np.isfinite(data)
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        pixels = int(wrong.any(axis=-1).sum())
        raise CubeError(
            path,
            f"its {name} holds {counted(int(wrong.sum()), 'value')} of NaN or infinity, in {counted(pixels, 'pixel')},"
            f" the first at {place} counted from 0",
            "Recreate it with `gliomap preprocess`, or set these spectra to 0 to mask them.",
        )
    return data
