"""Read numeric arrays from `.mat` files of version 5 and 7.3, and write version 5."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gliomap._files import atomic_file
from gliomap.errors import StudyError
from gliomap.studies._mat5 import HEADER_BYTES, MatVariable, damaged, encode_mat5, field_mat5, read_mat5, scan_mat5
from gliomap.studies._mat73 import field_mat73, read_mat73, scan_mat73

__all__ = ["MAX_BYTES", "list_mat", "read_field", "read_mat", "write_mat"]

MAX_BYTES = 1 << 30
"""Default limit for the size of a variable; a float64 cube of 217×409×826 fits."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_mat(
    path: Path, variables: Iterable[str], *, optional: Iterable[str] = (), max_bytes: int = MAX_BYTES
) -> dict[str, npt.NDArray[np.generic]]:
    """Read numeric variables of a `.mat` file.

    Parameters
    ----------
    path
        A MATLAB file of version 5 (also 'v6', 'v7') or 7.3.
    variables
        Names of required variables.
    optional
        Names of variables to read if they exist and are numeric.
    max_bytes
        A variable that would take more memory is rejected before it is read.

    Returns
    -------
    dict
        Name → array in MATLAB's axis order, with a type that corresponds to its MATLAB class.

    Raises
    ------
    StudyError
        The file is missing, damaged or not a MATLAB file, or a variable is missing, not numeric or too large.
    """
    wanted = tuple(variables)
    found = {variable.name: variable for variable in list_mat(path)}
    for name in wanted:
        _judge(path, name, found, max_bytes)
    extra = {name for name in optional if name in found and found[name].numeric}
    for name in extra:
        _judge(path, name, found, max_bytes)
    names = frozenset(wanted) | extra
    if _is_hdf5(path):
        return read_mat73(path, names)
    with path.open("rb") as stream:
        return read_mat5(path, stream, names)


def read_field(path: Path, structure: str, field: str, *, max_bytes: int) -> npt.NDArray[np.generic] | None:
    """Read a numeric field of a 1×1 structure of a `.mat` file.

    Parameters
    ----------
    path
        A MATLAB file, as in `read_mat`.
    structure, field
        Names of the structure and its field.
    max_bytes
        A larger field is not read.

    Returns
    -------
    ndarray or None
        In MATLAB's axis order; None if the file has no such structure, or the structure has no such numeric field or a
        larger one.

    Raises
    ------
    StudyError
        No such file, not a MATLAB file, or damaged.
    """
    if _is_hdf5(path):
        return field_mat73(path, structure, field, max_bytes)
    with path.open("rb") as stream:
        return field_mat5(path, stream, structure, field, max_bytes)


def list_mat(path: Path) -> list[MatVariable]:
    """List the variables of a `.mat` file with their shapes and kinds, without reading their values.

    Raises
    ------
    StudyError
        No such file, not a MATLAB file, or damaged.
    """
    if _is_hdf5(path):
        return scan_mat73(path)
    with path.open("rb") as stream:
        return scan_mat5(path, stream)


def write_mat(path: Path, variables: Mapping[str, npt.NDArray[np.generic]], *, compress: bool = False) -> None:
    """Write arrays to a version 5 file, atomically; the same arrays always yield the same bytes.

    Parameters
    ----------
    path
        Output; replaced if it exists.
    variables
        Name → numeric or boolean array of at least two dimensions.
    compress
        Deflate each variable. Maps shrink a lot; noisy cubes shrink little and slowly. The bytes then
        depend on the installed zlib.

    Raises
    ------
    StudyError
        MATLAB would not accept a name, or its file format cannot hold an array.
    """
    for name in variables:
        if not _NAME.fullmatch(name):
            raise StudyError(
                f"variable {name!r}",
                "is not a valid MATLAB name",
                "Use at most 63 letters, digits and underscores, beginning with a letter.",
            )
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        for part in encode_mat5(variables, compress=compress):
            stream.write(part)


def _judge(path: Path, name: str, found: Mapping[str, MatVariable], max_bytes: int) -> None:
    variable = found.get(name)
    if variable is None:
        has = ", ".join(f"{other.name} ({other.kind})" for other in found.values()) or "no variables at all"
        raise StudyError(
            path, f"lacks the variable {name!r}; it has {has[:500]}", f"Save it in MATLAB under the name {name!r}."
        )
    if not variable.numeric:
        raise StudyError(
            path, f"its variable {name!r} is a {variable.kind}", "Save it in MATLAB as a plain array of real numbers."
        )
    if variable.n_bytes > max_bytes:
        raise StudyError(
            path,
            f"its variable {name!r} of shape {variable.shape} would take {variable.n_bytes:,} bytes,"
            f" and at most {max_bytes:,} are read",
            "Check that it is the right file; if so, crop it.",
        )


def _is_hdf5(path: Path) -> bool:
    """True for version 7.3, False for version 5; anything else is rejected."""
    try:
        with path.open("rb") as stream:
            head = stream.read(512 + len(_HDF5_SIGNATURE))
    except FileNotFoundError as error:
        raise StudyError(path, "does not exist", "Check the name and the folder.") from error
    except IsADirectoryError as error:
        raise StudyError(path, "is a folder", "Use the .mat file.") from error
    if not head:
        raise StudyError(path, "is empty", "Copy the file again from its source.")
    if head.startswith(b"MATLAB 7.3 MAT-file"):
        if not head.endswith(_HDF5_SIGNATURE):
            raise damaged(path, "the HDF5 signature after its MATLAB header is missing")
        return True
    if head.startswith(b"MATLAB 5.0 MAT-file") and len(head) < HEADER_BYTES:
        raise damaged(path, f"it ends within its header, after {len(head)} bytes")
    if head.startswith(_HDF5_SIGNATURE):
        raise StudyError(
            path,
            "is HDF5 but not written by MATLAB, so the order of its axes is unknown",
            "Save it from MATLAB, or with scipy.io.savemat.",
        )
    if head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        return False
    raise StudyError(path, "is not a MATLAB file of version 5 or 7.3", "Save it in MATLAB with -v7 or -v7.3.")
