"""Numeric arrays in MATLAB 7.3 files, which are HDF5 with a 512-byte MATLAB header.

MATLAB orders axes from fastest to slowest, HDF5 from slowest to fastest, so the reader reverses every array's axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gliomap.errors import MissingExtraError, machine_error
from gliomap.studies._mat5 import MatVariable, damaged

__all__ = ["field_mat73", "read_mat73", "scan_mat73"]

_HDF5_FAULTS = (KeyError, RuntimeError, TypeError, ValueError, OverflowError, AttributeError, MemoryError)
"""Exceptions that h5py raises on corrupt data (found by corrupting files in the tests)."""


def scan_mat73(path: Path) -> list[MatVariable]:
    """List the variables of a version 7.3 file without reading their values."""
    with _opened(path) as file:
        return [_variable(file, name) for name in file if not name.startswith("#")]


def read_mat73(path: Path, names: frozenset[str]) -> dict[str, npt.NDArray[np.generic]]:
    """Read numeric variables listed by `scan_mat73`; the caller has checked kind and size."""
    with _opened(path) as file:
        return {name: _values(file[name]) for name in names}


def field_mat73(path: Path, structure: str, field: str, max_bytes: int) -> npt.NDArray[np.generic] | None:
    """Read a numeric field of a structure; None if there is no such structure or field."""
    import h5py

    with _opened(path) as file:
        if structure not in file or not isinstance(file.get(structure, getlink=True), h5py.HardLink):
            return None
        group = file[structure]
        if not isinstance(group, h5py.Group) or field not in group:
            return None
        variable = _variable(group, field)
        return _values(group[field]) if variable.numeric and 0 < variable.n_bytes <= max_bytes else None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(f"{path} (a MATLAB 7.3 file)", "train") from error
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except _HDF5_FAULTS as error:
        raise damaged(path, f"HDF5 says: {_one_line(error)}") from error
    except OSError as error:
        if machine_error(error) is not None:
            raise
        raise damaged(path, f"HDF5 says: {_one_line(error)}") from error


def _variable(file: Any, name: str) -> MatVariable:
    """Describe one member of the file; anything that is not plain data in this file gets a non-numeric kind."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return MatVariable(name, (), "link to elsewhere", 0)
    item = file[name]
    declared = item.attrs.get("MATLAB_class", b"")
    kind = declared.decode("latin-1") if isinstance(declared, bytes) else str(declared)
    if not isinstance(item, h5py.Dataset):
        return MatVariable(name, (), "sparse" if "MATLAB_sparse" in item.attrs else kind or "struct", 0)
    if item.external or item.is_virtual:
        return MatVariable(name, (), "data in another file", 0)
    if kind in _OTHER_KINDS or item.dtype.kind not in "fiu" or item.dtype.itemsize > 8:
        shape = tuple(item.shape or ())[::-1]
        return MatVariable(name, shape, kind if kind in _OTHER_KINDS else f"HDF5 {item.dtype}", 0)
    shape = _shape(item)
    # A chunk is always inflated whole, however little of it the array uses.
    cells = max(math.prod(shape), math.prod(item.chunks or (0,)))
    return MatVariable(name, shape, kind or _class_of(item.dtype), cells * item.dtype.itemsize)


_OTHER_KINDS = frozenset({"cell", "char", "struct", "function_handle", "object", "opaque", "string", "table"})


def _class_of(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return "double" if dtype.itemsize == 8 else "single"
    return f"{'u' if dtype.kind == 'u' else ''}int{8 * dtype.itemsize}"


def _shape(dataset: Any) -> tuple[int, ...]:
    """Shape in MATLAB's axis order; the values of an empty array are its shape."""
    if dataset.attrs.get("MATLAB_empty", 0):
        return tuple(int(length) for length in np.ravel(dataset[()])[:32])
    return tuple(int(length) for length in (dataset.shape or ()))[::-1]


def _values(dataset: Any) -> npt.NDArray[np.generic]:
    if dataset.attrs.get("MATLAB_empty", 0):
        return np.zeros(_shape(dataset), dataset.dtype)
    values = np.asarray(dataset[()])
    return np.ascontiguousarray(values.T).astype(values.dtype.newbyteorder("="), copy=False)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
